"""How long the balance lasts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.insight.balance import LONGEST_RUNWAY, Pace, Runway, pace, paces, runway
from support.builders import NOW, live
from support.statistics import statistics, tally

OLD = live(1, "ci/tests", created_at=NOW - timedelta(days=400))


def test_the_pace_is_that_of_whole_days_without_today() -> None:
    told = statistics(by_day={0: "1000", 1: "7", 7: "7", 8: "100", 29: "50"})
    assert paces(told, [OLD], NOW) == (Pace(7, 7, Decimal(14)), Pace(30, 29, Decimal(164)))
    assert [each.per_day for each in paces(told, [OLD], NOW)] == [Decimal(2), Decimal("5.655172")]


def test_a_young_account_is_measured_over_the_days_that_it_has() -> None:
    told = statistics(by_day={0: "9", 1: "2", 2: "4"})
    young = live(1, "ci/tests", created_at=NOW - timedelta(days=3))
    assert paces(told, [young], NOW) == (Pace(7, 3, Decimal(6)),)


def test_use_from_before_the_oldest_key_counts_too() -> None:
    told = statistics(by_day={10: "10"})
    assert paces(told, [live(1, "ci/tests")], NOW) == (Pace(7, 7, Decimal(0)), Pace(30, 10, Decimal(10)))


def test_an_account_of_today_is_measured_by_today_as_it_stands() -> None:
    assert paces(statistics(by_day={0: "3"}), [live(1, "x")], NOW) == (Pace(7, 1, Decimal(3), partial=True),)


def test_an_account_without_keys_and_use_spends_nothing() -> None:
    assert paces(statistics(), [], NOW) == (Pace(7, 7, Decimal(0)), Pace(30, 29, Decimal(0)))


def test_one_whole_day_is_enough_for_a_pace_and_today_does_not_count_then() -> None:
    young = live(1, "x", created_at=NOW - timedelta(days=1))
    assert paces(statistics(by_day={0: "9", 1: "2"}), [young], NOW) == (Pace(7, 1, Decimal(2)),)


def test_of_a_window_of_today_only_today_counts_whatever_else_the_service_tells() -> None:
    told = statistics(by_day={0: "3", 1: "5"}, days=1)
    assert pace(told, [OLD], NOW, 7) == Pace(7, 1, Decimal(3), partial=True)


def test_a_day_beyond_today_is_not_a_whole_one_and_does_not_make_the_account_older() -> None:
    assert pace(statistics(by_day={-1: "5"}), [], NOW, 7) == Pace(7, 1, Decimal(5), partial=True)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([OLD], (Pace(30, 30, Decimal(60), partial=True),)),
        ([live(1, "x", created_at=NOW - timedelta(days=4))], (Pace(30, 5, Decimal(60), partial=True),)),
        ([], (Pace(30, 30, Decimal(60), partial=True),)),
    ],
)
def test_without_days_the_total_stands_for_them(keys: list[object], found: tuple[Pace, ...]) -> None:
    told = statistics(total=tally("60"), absent=("daily_stats",))
    assert paces(told, keys, NOW) == found  # type: ignore[arg-type]  # the table holds lists of any keys


def test_without_days_and_total_there_is_no_pace() -> None:
    assert paces(statistics(absent=("total_stats", "daily_stats")), [OLD], NOW) == ()


@pytest.mark.parametrize(
    ("balance", "cost", "days", "lasts"),
    [
        ("100", "7", 7, "100.0"),
        ("100", "3", 7, "233.3"),
        ("0.99", "7", 7, "0.9"),
        ("0", "1", 7, "0.0"),
        ("-5", "1", 7, "0.0"),
        ("1000000000000", "0.000001", 29, str(LONGEST_RUNWAY)),
        ("1" + "0" * 30, "0." + "0" * 29 + "1", 7, str(LONGEST_RUNWAY)),
    ],
)
def test_the_runway_is_the_balance_by_the_pace_rounded_down(balance: str, cost: str, days: int, lasts: str) -> None:
    assert runway(Decimal(balance), Pace(7, days, Decimal(cost))).days == Decimal(lasts)


def test_without_spend_there_is_no_end() -> None:
    assert runway(Decimal(5), Pace(7, 7, Decimal(0))).days is None


def test_any_pace_can_be_written() -> None:
    assert Pace(7, 7, Decimal("1" + "0" * 30)).per_day == Decimal("142857142857142857142857142857.142857")


@pytest.mark.parametrize(
    ("days", "period", "below"),
    [
        ("6.9", timedelta(days=7), True),
        ("7.0", timedelta(days=7), False),
        ("0.4", timedelta(hours=10), True),
        ("0.5", timedelta(hours=10), False),
        (None, timedelta(days=3650), False),
    ],
)
def test_a_runway_is_held_against_a_period(days: str | None, period: timedelta, below: bool) -> None:  # noqa: FBT001  # a column of the table
    assert Runway(Pace(7, 7, Decimal(1)), days and Decimal(days)).is_below(period) is below  # type: ignore[arg-type]  # the column is text or None
