"""What stands out: models, the change between the halves, and who drives it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.insight.activity import Insights, half, insights
from reconciler.insight.breakdown import Grouping, Kind, Sorter
from reconciler.insight.inventory import Attribution
from support.builders import live, snapshot
from support.statistics import statistics, tally, used

if TYPE_CHECKING:
    from reconciler.model import KeyTally, Statistics

SORTER = Sorter(Grouping.KEY, Attribution(snapshot(live(1, "ci/tests"), live(2, "ci/other"))))


def told(days: int, total: str, *keys: KeyTally) -> Statistics:
    return statistics(keys, days=days, total=tally(total))


def compared(whole: Statistics, second: Statistics) -> Insights:
    return insights(whole.days, {whole.days: whole, second.days: second}, SORTER)


def test_the_models_that_cost_most_are_named() -> None:
    found = insights(1, {1: statistics(by_model={"a": "1", "b": "5", "c": "2", "d": "3", "free": "0"}, days=1)}, SORTER)
    assert [line.group.name for line in found.models] == ["b", "d", "c"]
    assert found.changed is None


@pytest.mark.parametrize(("days", "second"), [(1, 0), (2, 1), (7, 3), (30, 15)])
def test_the_second_half_is_the_shorter_one(days: int, second: int) -> None:
    assert half(days) == second


def test_a_rise_is_told_by_day_with_the_key_that_drives_it() -> None:
    whole = told(7, "22", used(1, "", "12"), used(2, "", "10"))
    second = told(3, "15", used(1, "", "10"), used(2, "", "5"))
    found = compared(whole, second)
    assert found.changed is not None
    assert found.driver is not None
    assert found.driver.group is not None
    assert (found.changed.before, found.changed.after) == (Decimal("1.75"), Decimal(5))
    assert (found.driver.group.name, found.driver.before) == ("ci/tests", Decimal("0.5"))


def test_a_fall_is_driven_by_the_key_that_fell_most() -> None:
    whole = told(2, "10", used(1, "", "3"), used(2, "", "7"))
    second = told(1, "3", used(1, "", "2"), used(2, "", "1"))
    driver = compared(whole, second).driver
    assert driver is not None
    assert driver.group is not None
    assert driver.group.name == "ci/other"
    assert driver.by == -5


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1)])
def test_of_keys_that_drive_alike_it_is_the_first_by_name_and_then_by_id(order: tuple[int, ...]) -> None:
    strays = Sorter(Grouping.KEY, Attribution(snapshot(live(1, "b"), live(2, "a"), live(3, "a"), live(4, "c"))))
    whole, second = (told(days, "8", *(used(key_id, "", "2") for key_id in order)) for days in (2, 1))
    driver = insights(2, {2: whole, 1: second}, strays).driver
    assert driver is not None
    assert driver.group is not None
    assert (driver.group.name, driver.group.key_id) == ("a", 2)


def test_nobody_drives_what_did_not_change_or_changed_the_other_way() -> None:
    steady = compared(told(2, "2", used(1, "", "2")), told(1, "1", used(1, "", "1")))
    assert steady.changed is not None
    assert steady.changed.by == 0
    assert steady.driver is None
    against = compared(told(2, "3", used(1, "", "3")), told(1, "2", used(1, "", "1")))
    assert against.driver is None


def test_a_key_that_is_new_in_the_second_half_can_drive() -> None:
    driver = compared(told(2, "5"), told(1, "5", used(2, "", "5"))).driver
    assert driver is not None
    assert driver.group is not None
    assert (driver.group.kind, driver.before, driver.after) == (Kind.KEY, Decimal(0), Decimal(5))


def test_a_first_half_is_never_below_zero() -> None:
    changed = compared(told(2, "1"), told(1, "3")).changed
    assert changed is not None
    assert (changed.before, changed.after) == (Decimal(0), Decimal(3))


def test_without_use_there_is_nothing_to_say() -> None:
    assert compared(told(2, "0"), told(1, "0")) == Insights()


def test_nothing_has_changed_where_only_the_later_answer_knows_of_any_use() -> None:
    assert compared(told(30, "0"), told(15, "9", used(1, "", "9"))) == Insights()


def test_without_a_total_the_largest_of_the_sums_stands_for_it() -> None:
    whole = statistics(by_day={0: "1", 1: "3"}, by_model={"a": "5"}, days=2)
    changed = compared(whole, statistics(by_day={0: "1"}, days=1)).changed
    assert changed is not None
    assert (changed.first_cost, changed.last_cost) == (Decimal(4), Decimal(1))


def test_without_the_keys_nobody_is_named() -> None:
    whole, second = told(2, "3", used(1, "", "3")), told(1, "2", used(1, "", "2"))
    assert insights(2, {2: whole, 1: second}, None).driver is None
