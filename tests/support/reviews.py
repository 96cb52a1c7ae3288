"""Accounts as `report` and `metrics` see them, from what was spent on which day."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from reconciler.engine.accounts import AccountReading
from reconciler.engine.review import make_report
from reconciler.model import KEY_VARIABLE, KeyTally, Statistics, Tally
from support.builders import NOW, declaration, declared, live, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.insight.report import AccountReport
    from reconciler.model import Declaration, LiveKey

Spent = tuple[int | None, str, int, str]
"""Under which key (its id and its name) how many days ago how many USD were spent."""


def window(days: int, spent: Iterable[Spent], **fields: Any) -> Statistics:
    """What the service tells of the last days."""
    found = [each for each in spent if each[2] < days]
    by_day: dict[Any, Tally] = {}
    by_key: dict[tuple[int | None, str], Tally] = {}
    for key_id, name, ago, cost in found:
        tally = Tally(10, Decimal(cost), 100, 50)
        day = (NOW - timedelta(days=ago)).date()
        by_day[day] = by_day.get(day, Tally()) + tally
        by_key[key_id, name] = by_key.get((key_id, name), Tally()) + tally
    total = sum(by_day.values(), Tally())
    values: dict[str, Any] = {
        "total": total,
        "by_day": tuple(sorted(by_day.items())),
        "by_model": (("gpt", total),) if found else (),
        "by_key": tuple(KeyTally(key_id, name, tally) for (key_id, name), tally in by_key.items()),
        **fields,
    }
    return Statistics(days, **values)


def reading(
    keys: Iterable[LiveKey] = (),
    spent: Iterable[Spent] = (),
    *,
    balance: str | None = "100",
    windows: Mapping[int, Statistics] | None = None,
    unread: tuple[str, ...] = (),
    variable: str = KEY_VARIABLE,
) -> AccountReading[Statistics]:
    """All that was read of an account, every window of activity included."""
    spent = [*spent]
    return AccountReading(
        variable=variable,
        now=NOW,
        snapshot=snapshot(*keys),
        balance=None if balance is None else Decimal(balance),
        windows={days: window(days, spent) for days in range(1, 31)} if windows is None else windows,
        unread=unread,
    )


def review(
    keys: Iterable[LiveKey] = (),
    spent: Iterable[Spent] = (),
    file: Declaration | None = None,
    *,
    environments: tuple[str, ...] = (),
    days: int = 30,
    **read: Any,
) -> AccountReport:
    """An account with these live keys and that spend, in the light of a file."""
    return make_report(reading(keys, spent, **read), file, environments, days)


def usual(**more: Any) -> AccountReport:
    """An account of three declared keys, and one that nobody declared."""
    file = declaration(
        [
            declared("production/api", "500", team="platform", rotate_every=timedelta(days=60)),
            declared("production/worker", "100", team="search"),
            declared("ci/tests", "25", expires_at=NOW + timedelta(days=10)),
        ]
    )
    keys = [
        live(1, "production/api", "500", created_at=NOW - timedelta(days=55)),
        live(2, "production/worker", "100", created_at=NOW - timedelta(days=20)),
        live(3, "ci/tests", "25", expires_at=NOW + timedelta(days=10)),
        live(4, "playground", None),
    ]
    spent = [
        (1, "production/api", 29, "80.5"),
        (1, "production/api", 3, "12.345678"),
        (2, "production/worker", 3, "99"),
        (3, "ci/tests", 1, "2.5"),
        (4, "playground", 0, "0.000125"),
        (None, "ci/gone", 2, "7"),
        (None, "somebody", 2, "1"),
    ]
    return review(keys, spent, file, **more)
