"""Lines that add up to the total, and say what does not belong to anything that was asked for."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from reconciler.insight.breakdown import Breakdown, Group, Grouping, Kind, Sorter, by_day, by_model, by_owner, together
from reconciler.insight.inventory import Attribution
from reconciler.model import Tally
from support.builders import declaration, declared, live, snapshot
from support.statistics import TODAY, day, statistics, tally, used

FILE = declaration(
    [declared("production/api", team="core"), declared("production/worker", team="batch"), declared("ci/tests")]
)
LIVE = snapshot(
    live(1, "production/api"),
    live(2, "production/api~old.20261201T000000Z"),
    live(3, "production/worker"),
    live(4, "ci/tests"),
    live(5, "ci/legacy"),
    live(6, "somebody's"),
    live(7, "somebody else's"),
)
USED = [
    used(1, "production/api", "4"),
    used(2, "production/api~old.20261201T000000Z", "1"),
    used(3, "production/worker", "8"),
    used(4, "ci/tests", "2"),
    used(5, "ci/legacy", "3"),
    used(6, "somebody's", "0.5"),
    used(7, "somebody else's", "0.5"),
    used(8, "ci/tests~old.20250101T000000Z", "0.25"),
    used(9, "ci/removed", "0.25"),
    used(10, "of long ago", "0.5"),
    used(None, "", "0"),
]


def costs(breakdown: Breakdown) -> list[tuple[str, str, str]]:
    return [(line.group.kind.value, line.group.name, str(line.tally.cost)) for line in breakdown.lines]


def broken_down(by: Grouping, *environments: str, total: str | None = None) -> Breakdown:
    told = statistics(USED, total=None if total is None else tally(total, len(USED)))
    return by_owner(by, told, Sorter(by, Attribution(LIVE, FILE), environments))


def test_by_key_rotations_count_to_their_address_and_strays_have_their_own_lines() -> None:
    found = broken_down(Grouping.KEY)
    assert costs(found) == [
        ("key", "production/worker", "8"),
        ("key", "production/api", "5"),
        ("key", "ci/legacy", "3"),
        ("key", "ci/tests", "2.25"),
        ("deleted", "of long ago", "0.5"),
        ("unmanaged", "somebody else's", "0.5"),
        ("unmanaged", "somebody's", "0.5"),
        ("deleted", "ci/removed", "0.25"),
        ("deleted", "", "0"),
    ]
    assert found.lines[1].key_ids == (1, 2)
    assert found.lines[-1].key_ids == ()
    assert found.total == Tally(11, Decimal(20))


def test_the_keys_of_a_line_are_in_order_however_the_service_lists_them() -> None:
    ids = (8, 64, 1000, 10_000)  # a set of them has another order
    told = statistics([used(key_id, "ci/tests", "1") for key_id in reversed(ids)])
    (line,) = by_owner(
        Grouping.KEY, told, Sorter(Grouping.KEY, Attribution(LIVE, declaration([declared("ci/tests")])))
    ).lines
    assert line.key_ids == ids


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
def test_keys_of_one_name_and_one_cost_are_in_order_of_their_ids(order: tuple[int, ...]) -> None:
    account = snapshot(live(1, "b"), live(2, "a"), live(3, "a"))
    told = statistics([used(key_id, "", "1") for key_id in order])
    found = by_owner(Grouping.KEY, told, Sorter(Grouping.KEY, Attribution(account)))
    assert [line.group.key_id for line in found.lines] == [2, 3, 1]


def test_by_environment_what_has_none_comes_last() -> None:
    assert costs(broken_down(Grouping.ENVIRONMENT)) == [
        ("environment", "production", "13"),
        ("environment", "ci", "5.50"),
        ("unmanaged", "", "1.0"),
        ("deleted", "", "0.5"),
    ]


def test_by_team_what_has_none_comes_last() -> None:
    assert costs(broken_down(Grouping.TEAM)) == [
        ("team", "batch", "8"),
        ("team", "core", "5"),
        ("no team", "", "2.25"),
        ("undeclared", "", "3.25"),
        ("unmanaged", "", "1.0"),
        ("deleted", "", "0.5"),
    ]


def test_what_was_not_selected_is_one_line() -> None:
    assert costs(broken_down(Grouping.KEY, "production")) == [
        ("key", "production/worker", "8"),
        ("key", "production/api", "5"),
        ("rest", "", "7.00"),
    ]


def test_what_the_total_has_and_no_line_has_is_a_line() -> None:
    found = broken_down(Grouping.ENVIRONMENT, total="22.5")
    assert found.total.cost == Decimal("22.5")
    assert found.lines[-1].group == Group(Kind.DIFFERENCE)
    assert found.lines[-1].tally == tally("2.50", 0)
    assert found.lines[-1].share == Decimal("11.1")
    assert sum(line.share or 0 for line in found.lines) == 100


def test_a_difference_below_zero_is_shown_without_a_share() -> None:
    found = broken_down(Grouping.ENVIRONMENT, total="19")
    assert found.lines[-1].tally == tally("-1", 0)
    assert found.lines[-1].share is None
    assert sum(line.share or 0 for line in found.lines) == 100


def test_by_day_days_without_use_are_filled_in_up_to_today() -> None:
    found = by_day(statistics(by_day={3: "1", 1: "2"}, days=7), TODAY)
    assert costs(found) == [
        ("day", "2026-11-19", "1"),
        ("day", "2026-11-20", "0"),
        ("day", "2026-11-21", "2"),
        ("day", "2026-11-22", "0"),
    ]


def test_a_day_out_of_place_stays_and_nothing_is_filled_in_for_it() -> None:
    found = by_day(statistics(by_day={400: "1", -1: "2"}, days=2), TODAY)
    assert [line.group.name for line in found.lines] == [day(400).isoformat(), "2026-11-21", "2026-11-22", "2026-11-23"]


def test_a_day_that_is_told_twice_is_one_line() -> None:
    told = statistics(by_day={0: "1"})
    assert costs(by_day(replace(told, by_day=told.by_day * 2), TODAY)) == [("day", "2026-11-22", "2")]


def test_by_model_the_costliest_is_first() -> None:
    found = by_model(statistics(by_model={"a": "1", "b": "3", "": "2"}, total=tally("7", 3)))
    assert costs(found) == [("model", "b", "3"), ("model", "", "2"), ("model", "a", "1"), ("difference", "", "1")]


@pytest.mark.parametrize("by", list(Grouping))
def test_an_account_without_use_has_no_lines(by: Grouping) -> None:
    told = statistics(total=Tally())
    sorter = Sorter(by, Attribution(LIVE, FILE))
    found = {Grouping.DAY: by_day(told, TODAY), Grouping.MODEL: by_model(told)}.get(by) or by_owner(by, told, sorter)
    assert (found.lines, found.total) == ((), Tally())


def test_accounts_are_taken_together_line_by_line() -> None:
    one = by_model(statistics(by_model={"a": "1", "b": "2"}, absent=("daily_stats",)))
    other = by_model(statistics(by_model={"a": "4"}, absent=("daily_stats", "top_models.model_name")))
    whole = together([one, other])
    assert costs(whole) == [("model", "a", "5"), ("model", "b", "2")]
    assert whole.total == tally("7", 3)
    assert [line.share for line in whole.lines] == [Decimal("71.4"), Decimal("28.6")]
    assert whole.absent == ("daily_stats", "top_models.model_name")


def test_keys_that_have_only_a_name_stay_apart_between_accounts() -> None:
    def one_account() -> Breakdown:
        told = statistics([used(6, "somebody's", "1"), used(9, "ci/removed", "1"), used(None, "gone", "1")])
        return by_owner(Grouping.KEY, told, Sorter(Grouping.KEY, Attribution(LIVE, FILE)))

    whole = together([one_account(), one_account()])
    assert len(whole.lines) == 6
    assert whole.total.cost == 6
