"""The balance against the limits that are handed out, and against a minimum."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.insight.balance import Balance, BalanceReport, Limits, limits, runways
from support.builders import NOW, live, snapshot
from support.statistics import statistics, used

LIVE = snapshot(
    live(1, "ci/a", "10"),
    live(2, "ci/b", "5.5"),
    live(3, "ci/free", None),
    live(4, "ci/off", "100", is_enabled=False),
    live(5, "ci/expired", "100", expires_at=NOW),
    live(6, "reconciler~lock.abc", "0"),
    live(7, "ci/lasting", "1", expires_at=NOW + timedelta(days=1)),
)


def test_the_limits_of_the_keys_that_can_spend_add_up() -> None:
    assert limits(LIVE, None) == Limits(Decimal("16.5"), keys=3, unlimited=1)


def test_what_is_left_is_not_known_where_the_service_does_not_tell_of_keys() -> None:
    found = limits(LIVE, statistics(absent=("api_key_usage",)))
    assert (found.spent, found.left) == (None, None)


def test_what_is_left_is_counted_key_by_key() -> None:
    told = statistics([used(1, "", "4"), used(1, "", "1"), used(2, "", "7"), used(3, "", "50"), used(None, "", "9")])
    found = limits(LIVE, told)
    assert (found.spent, found.left, found.exact) == (Decimal(12), Decimal(6), True)


@pytest.mark.parametrize(("days", "exact"), [(29, True), (30, False)])
def test_what_an_older_key_spent_before_is_not_known(days: int, exact: bool) -> None:  # noqa: FBT001  # a column of the table
    keys = snapshot(live(1, "ci/a", "10", created_at=NOW - timedelta(days=days)))
    assert limits(keys, statistics()).exact is exact


def test_the_balance_lasts_by_two_paces() -> None:
    told = statistics(by_day={1: "7", 20: "22"})
    assert [str(each.days) for each in runways(Decimal(29), told, [], NOW)] == ["29.0", "20.0"]


def report(*amounts: str | None, minimum: str | None = None) -> BalanceReport:
    accounts = tuple(Balance(f"NAGA_{n}", (), amount and Decimal(amount)) for n, amount in enumerate(amounts))  # type: ignore[arg-type]  # text or None
    return BalanceReport(NOW, accounts, None if minimum is None else Decimal(minimum))


@pytest.mark.parametrize(
    ("amounts", "minimum", "suffices"),
    [
        (["5"], None, None),
        (["5"], "5", True),
        (["4.999999"], "5", False),
        (["5", "6"], "5", True),
        (["5", "1"], "5", False),
        ([None], "5", None),
        ([None, "9"], "5", None),
        ([None, "1"], "5", False),
        (["-1"], "0", False),
    ],
)
def test_every_account_has_to_reach_the_minimum(
    amounts: list[str | None],
    minimum: str | None,
    suffices: bool | None,  # noqa: FBT001  # a column of the table
) -> None:
    assert report(*amounts, minimum=minimum).suffices is suffices


def test_the_whole_is_known_when_each_is() -> None:
    assert report("1.5", "2").whole == Decimal("3.5")
    assert report("1.5", None).whole is None
