"""Days of a key, from the difference of windows."""

from __future__ import annotations

from dataclasses import replace

from reconciler.insight.breakdown import Grouping, Kind, Sorter, by_model, by_owner, model_tallies, spread, with_days
from reconciler.insight.inventory import Attribution
from reconciler.model import Statistics, Tally
from support.builders import live, snapshot
from support.statistics import TODAY, day, statistics, tally, used

SORTER = Sorter(Grouping.KEY, Attribution(snapshot(live(1, "ci/tests"), live(2, "ci/other"))))


def windows(*costs: dict[int, str]) -> dict[int, Statistics]:
    """Windows of 1, 2, 3, ... days, each with what keys cost in it."""
    return {
        days: statistics([used(key_id, "", cost) for key_id, cost in each.items()], days=days)
        for days, each in enumerate(costs, start=1)
    }


def test_a_day_is_what_a_window_has_and_the_next_shorter_one_has_not() -> None:
    told = windows({1: "1"}, {1: "1", 2: "4"}, {1: "3", 2: "5"})
    found = with_days(by_owner(Grouping.KEY, told[3], SORTER), told, SORTER.tallies, TODAY)
    assert [(line.group.name, line.daily) for line in found.breakdown.lines] == [
        ("ci/other", ((day(2), tally("1", 0)), (day(1), tally("4", 1)))),
        ("ci/tests", ((day(2), tally("2", 0)), (day(0), tally("1", 1)))),
    ]
    assert found.corrected == 0


def test_a_single_day_is_its_own_window() -> None:
    told = windows({1: "7"})
    found = with_days(by_owner(Grouping.KEY, told[1], SORTER), told, SORTER.tallies, TODAY)
    assert found.breakdown.lines[0].daily == ((TODAY, tally("7")),)


def test_what_lags_is_counted_as_nothing_and_taken_off_later() -> None:
    told = windows({1: "2"}, {1: "9"}, {1: "5"})
    found = with_days(by_owner(Grouping.KEY, told[3], SORTER), told, SORTER.tallies, TODAY)
    line = found.breakdown.lines[0]
    assert line.daily == ((day(1), tally("3", 0)), (day(0), tally("2", 1)))
    assert sum((each for _, each in line.daily), Tally()) == line.tally
    assert found.corrected == 1


def test_each_figure_lags_by_itself() -> None:
    days, corrected = spread([Tally(5, tally("1").cost, 10, 0), Tally(4, tally("2").cost, 10, 3)])
    assert days == [Tally(1, tally("0").cost, 0, 0), Tally(4, tally("1").cost, 10, 0)]
    assert corrected == 1


def test_models_have_days_too_and_the_difference_has_none() -> None:
    told = {
        1: statistics(by_model={"gpt": "1"}, days=1),
        2: replace(statistics(by_model={"gpt": "3"}, days=2), total=tally("4", 5)),
    }
    found = with_days(by_model(told[2]), told, model_tallies, TODAY).breakdown
    assert [(line.group.kind, [str(each.cost) for _, each in line.daily]) for line in found.lines] == [
        (Kind.MODEL, ["2", "1"]),
        (Kind.DIFFERENCE, []),
    ]
