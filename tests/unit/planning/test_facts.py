"""What is read beside the keys, how far back, and what a plan tells of it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.diagnostic import Severity
from reconciler.model import Unmanaged, Usage
from reconciler.planning.actions import PlanInputs, window, windows
from reconciler.planning.planfile import digest
from reconciler.planning.planner import make_plan
from support.builders import activity, declaration, declared, environment, live, rails, snapshot

if TYPE_CHECKING:
    from reconciler.planning.actions import AccountPlan, Finding

DAY = timedelta(days=1)
SPEND = activity({1: ("28.34", 892), 9: ("1", 1)})


def findings(plan: AccountPlan, rule: str) -> list[Finding]:
    return [finding for finding in plan.findings if finding.rule == rule]


@pytest.mark.parametrize(
    ("period", "days"),
    [
        (timedelta(seconds=1), 2),
        (DAY, 2),
        (timedelta(hours=25), 3),
        (7 * DAY, 8),
        (29 * DAY, 30),
        (30 * DAY, 30),
        (90 * DAY, 30),
    ],
)
def test_a_window_of_whole_days_covers_the_period(period: timedelta, days: int) -> None:
    assert window(period) == days


def test_as_many_days_are_read_as_the_guardrails_of_both_files_ask_for() -> None:
    wanted = declaration([], [environment("ci", protect_active=7 * DAY), "x"], guardrails=rails(protect_active=3 * DAY))
    base = declaration([], [environment("old", protect_active=DAY)])
    assert windows(declaration([])) == (30,)
    assert windows(wanted) == (4, 8, 30)
    assert windows(wanted, base) == (2, 4, 8, 30)


def test_what_was_not_read_is_not_zero() -> None:
    inputs = PlanInputs(activity=(SPEND,))
    assert inputs.usage(1) == Usage(30, Decimal("28.34"), 892)
    assert inputs.usage(2) == Usage(30, Decimal(0), 0)
    assert inputs.usage(1, 7) is None
    assert PlanInputs().usage(1) is None


def test_a_plan_tells_of_each_key_it_changes_how_much_it_was_used() -> None:
    wanted = declaration([declared("ci/a"), declared("ci/b"), declared("ci/c")], ["ci"])
    account = snapshot(live(1, "ci/a", "4"), live(2, "ci/b", "4"), live(3, "ci/d"), live(9, "ci/c"))
    assert make_plan(wanted, account).usage == {}
    assert make_plan(wanted, account, inputs=PlanInputs(activity=(SPEND,))).usage == {
        1: Usage(30, Decimal("28.34"), 892),
        2: Usage(30, Decimal(0), 0),
        3: Usage(30, Decimal(0), 0),
    }


def test_what_could_not_be_read_is_a_warning() -> None:
    plan = make_plan(declaration([]), snapshot(), inputs=PlanInputs(unread=("no balance: 503", "no activity: 503")))
    assert [(each.severity, each.message) for each in findings(plan, "not-read")] == [
        (Severity.WARNING, "no activity: 503"),
        (Severity.WARNING, "no balance: 503"),
    ]


@pytest.mark.parametrize(
    ("balance", "limit", "account", "expected"),
    [
        ("5", "5", [], []),
        ("6", "5", [], []),
        ("4.5", "5", [], ["the limits add up to $5, which is $0.50 more than the balance of $4.50"]),
        ("-1", "5", [], ["the limits add up to $5, which is $6 more than the balance of -$1"]),
        ("4", "5", [live(1, "ci/a")], []),
        (None, "5", [], []),
    ],
)
def test_limits_over_the_balance_are_noted_where_something_changes(
    balance: str | None, limit: str, account: list[object], expected: list[str]
) -> None:
    inputs = PlanInputs(balance=None if balance is None else Decimal(balance))
    plan = make_plan(declaration([declared("ci/a", limit)]), snapshot(*account), inputs=inputs)  # type: ignore[arg-type]  # live keys
    assert plan.credit.balance == inputs.balance
    assert [each.message for each in findings(plan, "over-balance")] == expected


def test_the_digest_is_about_what_is_done_and_not_about_what_was_read() -> None:
    wanted = declaration([declared("ci/a", "5")], [environment("ci", protected=True)], unmanaged=Unmanaged.DELETE)
    account = snapshot(live(1, "ci/a", "9"), live(2, "ci/b"), live(3, "x"))
    inputs = PlanInputs(Decimal(1), (SPEND, activity({}, 8)), declaration([declared("ci/b")]), ("something",))
    plan, judged = make_plan(wanted, account), make_plan(wanted, account, inputs=inputs)
    assert plan.findings != judged.findings
    assert digest(plan) == digest(judged)
