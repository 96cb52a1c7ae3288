"""Days as differences of windows: whatever the service tells, the lines of a day come to its total."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import UsageError
from reconciler.insight.activity import Question
from reconciler.insight.breakdown import Grouping, Kind
from reconciler.insight.history import (
    NOBODY,
    History,
    KeyDay,
    KnownKey,
    ModelDay,
    Recorded,
    Span,
    by_month,
    gaps,
    is_of_another,
    missing_windows,
    period_of,
    record,
    recorded_activity,
    unknown_days,
)
from reconciler.model import KeyTally, LiveKey, Snapshot, Statistics, Tally
from support.declarations import loaded

NOW: Final = datetime(2026, 11, 15, 12, tzinfo=UTC)
CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)
A: Final = "NAGA_PROVISIONING_KEY"
Use = dict[int, dict[int, int]]  # cost by key, by days before today


def snapshot(*ids: int, now: datetime = NOW) -> Snapshot:
    return Snapshot(tuple(LiveKey(each, f"ci/k{each}", CREATED, None, True, None) for each in ids), now)  # noqa: FBT003


def tally(cost: int) -> Tally:
    return Tally(abs(cost), Decimal(cost).scaleb(-7), cost, cost)


def window(days: int, use: Use, total: Use | None = None, now: datetime = NOW) -> Statistics:
    """Say what the service tells; `total` is what its days come to where its keys say otherwise."""
    inside = {ago: keys for ago, keys in use.items() if ago < days}
    told = {ago: sum(keys.values()) for ago, keys in (total or use).items() if ago < days}
    keys: dict[int, Tally] = {}
    for each in inside.values():
        for key_id, cost in each.items():
            keys[key_id] = keys.get(key_id, Tally()) + tally(cost)
    by_day = tuple(((now - timedelta(days=ago)).date(), tally(cost)) for ago, cost in told.items())
    by_key = tuple(KeyTally(key_id, f"ci/k{key_id}", each) for key_id, each in keys.items())
    models = sum(keys.values(), Tally())
    return Statistics(days, tally(sum(told.values())), by_day, (("gpt", models),), by_key)


def recorded(history: History, use: Use, total: Use | None = None, now: datetime = NOW) -> tuple[Recorded, int]:
    """Record, and count the windows that it takes."""
    today = now.date()
    windows = {30: window(30, use, total, now)}
    unknown = unknown_days(history, A, windows[30], today)
    wanted = set(unknown)
    while wanted:
        windows |= {days: window(days, use, total, now) for days in wanted}
        wanted = missing_windows(history, A, windows, unknown, today)
    return record(history, A, snapshot(1, 2, 3, now=now), windows, unknown), len(windows)


def costs(history: History, now: datetime = NOW) -> dict[tuple[int, int | None], int]:
    return {((now.date() - each.day).days, each.key_id): int(each.tally.cost.scaleb(7)) for each in history.usage}


USE: Final = st.dictionaries(
    st.integers(0, 29), st.dictionaries(st.integers(1, 3), st.integers(1, 99), min_size=1), max_size=6
)


@given(USE, USE)
def test_days_come_out_as_they_were_also_after_corrections(before: Use, after: Use) -> None:
    first, _ = recorded(History(), before)
    second, _ = recorded(first.history, after)
    for found, use in ((first, before), (second, after)):
        totals = {ago: sum(keys.values()) for ago, keys in use.items() if ago}
        sums: dict[int, int] = {}
        for (ago, _), cost in costs(found.history).items():
            sums[ago] = sums.get(ago, 0) + cost
        assert sums == totals
    assert costs(first.history) == {
        (ago, key): cost for ago, keys in before.items() if ago for key, cost in keys.items()
    }


@given(USE, USE)
def test_whatever_the_keys_say_the_lines_of_a_day_come_to_its_total(keys: Use, days: Use) -> None:
    found, _ = recorded(History(), keys, days)
    assert all(each.tally.cost > 0 for each in found.history.usage if each.key_id is not None)
    for lines in (found.history.usage, found.history.models):
        sums: dict[int, Tally] = {}
        for each in lines:
            ago = (NOW.date() - each.day).days
            sums[ago] = sums.get(ago, Tally()) + each.tally
        told = {ago: tally(sum(each.values())) for ago, each in (days or keys).items() if ago}
        assert {ago: each for ago, each in sums.items() if each != Tally()} == told


def test_use_that_moved_to_another_key_is_found_by_one_more_window() -> None:
    first, _ = recorded(History(), {5: {1: 7}})
    use = {6: {2: 7}, 1: {1: 3}}
    second, windows = recorded(first.history, use, now=NOW + timedelta(days=1))
    assert windows == 3
    assert costs(second.history, NOW + timedelta(days=1)) == {(6, 1): 7, (1, 1): 3}


def test_use_of_no_key_is_looked_at_once_more() -> None:
    first, _ = recorded(History(), {1: {1: 3}}, {1: {1: 5}})
    assert costs(first.history) == {(1, 1): 3, (1, None): 2}
    second, windows = recorded(first.history, {1: {1: 5}})
    assert (costs(second.history), windows) == ({(1, 1): 5}, 2)


def test_what_was_nobodys_is_no_part_of_later_windows() -> None:
    first, _ = recorded(History(), {5: {1: 3}}, {5: {1: 5}})
    tomorrow = NOW + timedelta(days=1)
    second, windows = recorded(first.history, {6: {1: 3}, 1: {1: 1}}, {6: {1: 5}, 1: {1: 1}}, tomorrow)
    assert (costs(second.history, tomorrow), windows) == ({(6, 1): 3, (6, None): 2, (1, 1): 1}, 2)


def test_months_stand_side_by_side_for_one_account() -> None:
    days = [NOW.date() - timedelta(days=ago) for ago in (40, 1, 0)]
    lines = tuple(
        KeyDay(day, account, f"{name}/k", name, "", number, "", Tally(1, Decimal(cost)))
        for number, (day, account, name, cost) in enumerate(
            [
                *((days[0], A, "ci", 2), (days[1], A, "ci", 3), (days[1], A, "dev", 9)),
                *((days[1], "NAGA_B", "ci", 50), (days[2], A, "ci", 100)),
            ]
        )
    )
    history = History({A: (Span(days[0], days[0]), Span(days[1], days[1]))}, (), lines)
    found = by_month(history, A, Span(days[0], days[1]), Grouping.ENVIRONMENT)
    assert [str(month)[:7] for month in found.months] == ["2026-10", "2026-11"]
    assert found.days == (1, 1)
    assert [(group.name, *map(int, costs)) for group, costs in found.lines] == [("dev", 0, 9), ("ci", 2, 3)]
    assert [*map(int, found.totals)] == [2, 12]
    selected = by_month(history, A, Span(days[0], days[1]), Grouping.ENVIRONMENT, ("ci",))
    shown = [(group.kind, *map(int, costs)) for group, costs in selected.lines]
    assert shown == [(Kind.ENVIRONMENT, 2, 3), (Kind.REST, 0, 9)]


def test_whose_use_was_stays_and_whose_it_is_follows_the_file() -> None:
    file = loaded("version: 1\nenvironments: {ci: {keys: {k1: {credit_limit: 1, deliver: [], team: core}}}}\n")
    windows = {30: window(30, {1: {1: 2, 9: 4}}), 1: window(1, {})}
    found = record(History(), A, snapshot(1, 2), windows, {1}, file).history
    assert [(each.address, each.team, each.name) for each in found.usage] == [
        ("ci/k1", "core", "ci/k1"),
        ("ci/k9", "", "ci/k9"),
    ]
    windows = {30: window(30, {1: {1: 3}}), 1: window(1, {})}
    again = record(found, A, snapshot(1), windows, {1}).history
    assert [(each.address, each.team) for each in again.usage] == [("ci/k1", "core")]
    assert {key.key_id: key.team for key in again.keys} == {1: "core", 2: ""}


def test_use_without_an_id_is_recorded_under_its_name() -> None:
    told = Statistics(
        30, tally(3), ((NOW.date() - timedelta(days=1), tally(3)),), (), (KeyTally(None, "gone", tally(3)),)
    )
    found = record(History(), A, snapshot(1), {30: told, 1: window(1, {})}, {1}).history
    assert [(each.key_id, each.name, each.tally) for each in found.usage] == [(None, "gone", tally(3))]
    assert unknown_days(found, A, told, NOW.date()) == set()


def test_accounts_are_kept_apart() -> None:
    other = record(History(), "NAGA_B", snapshot(7), {30: window(30, {1: {7: 2}}), 1: window(1, {})}, {1}).history
    both, _ = recorded(other, {1: {1: 3}})
    assert costs(both.history) == {(1, 7): 2, (1, 1): 3}
    assert [*both.history.spans] == ["NAGA_B", A]
    assert {key.account for key in both.history.keys} == {"NAGA_B", A}


def day(at: int) -> date:
    return date(2026, 11, at)


SHOWN: Final = History(
    spans={A: (Span(day(2), day(2)), Span(day(4), day(20))), "NAGA_B": ()},
    usage=(
        KeyDay(day(1), A, "ci/a", "ci", "web", 1, "ci/a", tally(128)),
        KeyDay(day(2), A, "ci/a", "ci", "web", 1, "ci/a", tally(1)),
        KeyDay(day(4), A, "ci/b", "ci", "", 2, "ci/b", tally(2)),
        KeyDay(day(4), A, "ops/c", "ops", "web", 3, "ops/c", tally(4)),
        KeyDay(day(4), A, "", "", "", 4, "by hand", tally(8)),
        KeyDay(day(4), A, "", "", "", 5, "reconciler~lock.k", tally(16)),
        KeyDay(day(5), A, "", "", "", None, NOBODY, tally(32)),
        KeyDay(day(6), A, "ci/a", "ci", "web", 1, "ci/a", tally(64)),
    ),
    models=(
        ModelDay(day(1), A, "gpt", tally(7)),
        ModelDay(day(2), A, "gpt", tally(3)),
        ModelDay(day(5), A, "", tally(5)),
        ModelDay(day(2), "NAGA_B", "gpt", tally(9)),
    ),
)


@pytest.mark.parametrize(
    ("by", "only", "expected"),
    [
        pytest.param(
            Grouping.KEY,
            (),
            {("key", "ci/a"): 1, ("key", "ci/b"): 2, ("key", "ops/c"): 4, ("unmanaged", "by hand"): 8}
            | {("lock", "reconciler~lock.k"): 16, ("difference", ""): 32},
            id="by key",
        ),
        pytest.param(
            Grouping.KEY,
            ("ops",),
            {("key", "ops/c"): 4, ("rest", ""): 27, ("difference", ""): 32},
            id="of one environment",
        ),
        pytest.param(
            Grouping.ENVIRONMENT,
            (),
            {("environment", "ci"): 3, ("environment", "ops"): 4, ("unmanaged", ""): 8, ("lock", ""): 16}
            | {("difference", ""): 32},
            id="by environment",
        ),
        pytest.param(
            Grouping.TEAM,
            (),
            {("team", "web"): 5, ("no team", ""): 2, ("unmanaged", ""): 8, ("lock", ""): 16, ("difference", ""): 32},
            id="by team",
        ),
        pytest.param(
            Grouping.DAY,
            (),
            {("day", "2026-11-02"): 1, ("day", "2026-11-04"): 30, ("day", "2026-11-05"): 32},
            id="by day, without the one that was not recorded",
        ),
        pytest.param(Grouping.MODEL, (), {("model", "gpt"): 3, ("difference", ""): 5}, id="by model"),
    ],
)
def test_what_was_recorded_of_a_period_is_shown_by_what_is_asked_for(
    by: Grouping, only: tuple[str, ...], expected: dict[tuple[str, str], int]
) -> None:
    other, first = recorded_activity(Question(4, by, only), SHOWN, Span(day(2), day(5))).accounts
    found = {line.group[:2]: int(line.tally.cost.scaleb(7)) for line in first.breakdown.lines}
    assert found == expected
    assert (first.variable, first.corrected, other.variable) == (A, 0, "NAGA_B")


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, (2, 20)),
        (1, None, (1, 20)),
        (None, 2, (2, 2)),
        (20, 25, (20, 25)),
        (3, 3, None),
        (21, 25, None),
        (1, 1, None),
    ],
)
def test_a_period_has_a_day_that_was_recorded(
    since: int | None, until: int | None, expected: tuple[int, int] | None
) -> None:
    asked = [None if each is None else day(each) for each in (since, until)]
    if expected is None:
        with pytest.raises(UsageError):
            period_of(SHOWN, *asked)
    else:
        assert period_of(SHOWN, *asked) == Span(*map(day, expected))


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ((1, 30), [(1, 1), (3, 3), (21, 30)]),
        ((2, 3), [(3, 3)]),
        ((3, 4), [(3, 3)]),
        ((4, 20), []),
        ((5, 21), [(21, 21)]),
        ((21, 22), [(21, 22)]),
        ((1, 1), [(1, 1)]),
    ],
)
def test_gaps_are_the_days_of_a_period_that_were_not_recorded(
    asked: tuple[int, int], missing: list[tuple[int, int]]
) -> None:
    found = gaps(SHOWN, A, Span(*map(day, asked)))
    assert [(span.since.day, span.until.day) for span in found] == missing


def test_a_day_without_use_is_shown_where_it_was_recorded() -> None:
    (_, account) = recorded_activity(Question(4, Grouping.DAY), SHOWN, Span(day(2), day(8))).accounts
    assert [line.group.name[-2:] for line in account.breakdown.lines] == ["02", "04", "05", "06", "07", "08"]


def test_an_environment_without_use_in_the_period_is_an_error() -> None:
    with pytest.raises(UsageError, match="elsewhere"):
        recorded_activity(Question(4, Grouping.KEY, ("ci", "elsewhere")), SHOWN, Span(day(2), day(5)))


def test_days_in_between_are_lost() -> None:
    first, _ = recorded(History(), {})
    later, _ = recorded(first.history, {}, now=NOW + timedelta(days=32))
    assert later.lost == (Span(NOW.date(), NOW.date() + timedelta(days=2)),)
    assert recorded(first.history, {}, now=NOW + timedelta(days=29))[0].lost == ()
    assert recorded(later.history, {}, now=NOW + timedelta(days=32))[0].history.spans == later.history.spans


def test_another_account_is_told_by_its_keys() -> None:
    def known(key_id: int, created: str = "2026-01-01T00:00:00Z") -> History:
        return History(keys=(KnownKey(A, key_id, created, "n", "", "", ""),))

    nothing = window(30, {})
    assert not is_of_another(History(), A, snapshot(1), nothing)
    assert not is_of_another(known(1), A, snapshot(1), nothing)
    assert not is_of_another(known(1), A, snapshot(), nothing)
    assert not is_of_another(known(9), A, snapshot(1), window(30, {1: {9: 1}}))
    assert is_of_another(known(9), A, snapshot(1), nothing)
    assert is_of_another(known(1, "2025-01-01T00:00:00Z"), A, snapshot(1), nothing)


def test_locks_and_days_out_of_place_are_left_out() -> None:
    lock = LiveKey(5, "reconciler~lock.a", CREATED, None, False, None)  # noqa: FBT003  # as the service shows it
    told = window(30, {1: {1: 2}, 31: {1: 2}})
    strange = replace(told, by_day=(*told.by_day, (NOW.date() - timedelta(days=40), tally(9))))
    keys = Snapshot((*snapshot(1).keys, lock), NOW)
    found = record(History(), A, keys, {30: strange, 1: window(1, {})}, {1}).history
    assert [key.key_id for key in found.keys] == [1]
    assert costs(found) == {(1, 1): 2}
