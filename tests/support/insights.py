"""Answers about an account's use and its balance, as the renderers get them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.insight.activity import AccountActivity, ActivityReport, Question, account_activity, activity_report
from reconciler.insight.balance import Balance, BalanceReport, limits, runways
from reconciler.insight.breakdown import Grouping
from reconciler.model import Tally
from support.builders import NOW, declaration, declared, live, snapshot
from support.statistics import TODAY, statistics, tally, used

if TYPE_CHECKING:
    from reconciler.model import Declaration, KeyTally, Snapshot, Statistics

MADE = NOW - timedelta(days=10)


def file(name: str = "tests", team: str | None = "core") -> Declaration:
    return declaration(
        [declared("production/api", "500", team=team), declared("production/worker", None), declared(f"ci/{name}")]
    )


def keys(name: str = "tests") -> Snapshot:
    return snapshot(
        live(1, "production/api", "500", created_at=MADE),
        live(2, "production/api~old.20261201T000000Z", "500", created_at=MADE),
        live(3, "production/worker", None, created_at=MADE),
        live(4, f"ci/{name}", "25", created_at=MADE),
        live(5, name, "5", created_at=MADE),
    )


def window(days: int, name: str = "tests", factor: int = 1) -> Statistics:
    """What the service tells of some days; its keys lag behind its total by a little."""
    spent: list[KeyTally] = [
        used(1, "production/api", str(12 * factor * days), 40 * days),
        used(2, "production/api~old.20261201T000000Z", str(2 * days), 7 * days),
        used(3, "production/worker", f"{Decimal('0.25') * days}", days),
        used(4, f"ci/{name}", f"{Decimal('1.5') * days}", 3 * days),
        used(5, name, "0.000125", 1),
        used(99, name + " of old", "0.5", 2),
    ]
    total = sum((usage.tally for usage in spent), Tally(0, Decimal("0.01"), 90_000 * days, 4_500 * days))
    by_day = {ago: "1.5" for ago in range(days) if ago % 3 == 0}
    by_model = {"gpt-4o": "3", name: "2", "": "1"}
    return statistics(spent, days=days, total=total, by_day=by_day, by_model=by_model)


def answer(question: Question, name: str = "tests", declared_by: Declaration | None = None) -> AccountActivity:
    windows = {days: window(days, name, factor=1 + (days < 3)) for days in range(1, question.days + 1)}
    return account_activity(question, "NAGA_PROVISIONING_KEY", windows, keys(name), NOW, declared_by)


def report(
    by: str = "key", days: int = 6, name: str = "tests", *, daily: bool = False, with_file: bool = True
) -> ActivityReport:
    """An answer about one account."""
    question = Question(days, Grouping(by), daily=daily)
    found = answer(question, name, file(name) if with_file else None)
    return activity_report(question, TODAY, [found], declared=with_file)


def empty(by: str = "day") -> ActivityReport:
    """An answer about an account that nobody uses."""
    question = Question(30, Grouping(by))
    told = {30: statistics(total=tally("0", 0)), 15: statistics(days=15, total=tally("0", 0))}
    found = account_activity(question, "NAGA_PROVISIONING_KEY", told, snapshot(), NOW, None)
    return activity_report(question, TODAY, [found], declared=False)


def two_accounts(by: str = "environment") -> ActivityReport:
    """An answer about two accounts, one of which tells less than it should, and a third that does not answer."""
    question = Question(6, Grouping(by))
    one = answer(question, declared_by=file())
    other = account_activity(
        question,
        "NAGA_OTHER_KEY",
        {6: statistics([used(7, "weird", "1")], days=6, absent=("total_stats", "daily_stats"))},
        snapshot(),
        NOW,
        file(),
    )
    return activity_report(question, TODAY, [one, other], declared=True, unread=("account of NAGA_X: no answer",))


def balance(
    amount: str | None = "125.5",
    minimum: str | None = None,
    *,
    spent: bool = True,
    variable: str = "NAGA_PROVISIONING_KEY",
    environments: tuple[str, ...] = ("ci", "production"),
) -> BalanceReport:
    """What is known of the balance of one account."""
    told = statistics([used(1, "", "120"), used(4, "", "30")], by_day={1: "9.5", 9: "4"} if spent else {})
    left = None if amount is None else Decimal(amount)
    found = Balance(
        variable,
        environments,
        left,
        () if left is None else runways(left, told, keys().keys, NOW),
        limits(keys(), told),
        ("the activity could not be read: `x` | y",) if left is None else (),
    )
    return BalanceReport(NOW, (found,), None if minimum is None else Decimal(minimum))
