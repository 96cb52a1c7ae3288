from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.insight.inventory import (
    SORTS,
    Filter,
    InventoryKey,
    KeyStatus,
    LastUse,
    detail_of,
    key_activity,
    matching,
    sorted_by,
    take_inventory,
)
from reconciler.model import KEY_VARIABLE, Activity, Declaration, KeyTally, LiveKey, Statistics, Tally, Unmanaged, Usage
from reconciler.planning.actions import Create
from reconciler.planning.planner import make_plan
from support.builders import NOW, activity, address, declaration, declared, live, snapshot

DAY = timedelta(days=1)
UNTIL = datetime(2026, 12, 1, tzinfo=UTC)
WANTED = declaration([declared("ci/a", team="web"), declared("ci/b")])


def inventory(
    *keys: LiveKey, wanted: Declaration | None = WANTED, used: tuple[Activity, ...] = (), days: int = 30
) -> tuple[InventoryKey, ...]:
    return take_inventory(KEY_VARIABLE, snapshot(*keys), used, wanted, days=days)


def only(*keys: LiveKey, wanted: Declaration | None = WANTED, used: tuple[Activity, ...] = ()) -> InventoryKey:
    """The one entry that has a live key."""
    (found,) = (key for key in inventory(*keys, wanted=wanted, used=used) if key.live)
    return found


@pytest.mark.parametrize(
    ("key", "status", "until"),
    [
        (live(1, "ci/a"), KeyStatus.SETTLED, None),
        (live(1, "ci/a", is_enabled=False), KeyStatus.DISABLED, None),
        (live(1, "ci/a", expires_at=NOW), KeyStatus.EXPIRED, None),
        (live(1, "ci/a", expires_at=NOW + DAY), KeyStatus.SETTLED, None),
        (live(1, "ci/a~next"), KeyStatus.NEXT, None),
        (live(1, "ci/a~new.k3v9", expires_at=NOW + DAY), KeyStatus.NEW, NOW + DAY),
        (live(1, "ci/a~new.k3v9"), KeyStatus.NEW, NOW + DAY),
        (live(1, "ci/a~sent.k3v9", expires_at=NOW + DAY), KeyStatus.SENT, NOW + DAY),
        (live(1, "ci/a~old.20261201T000000Z"), KeyStatus.OLD, UNTIL),
        (live(1, "ci/a~gone.20261201T000000Z", is_enabled=False), KeyStatus.GONE, UNTIL),
        (live(1, "ci/x"), KeyStatus.UNDECLARED, None),
        (live(1, "ci/x", is_enabled=False), KeyStatus.UNDECLARED, None),
        (live(1, "somebody's"), KeyStatus.UNMANAGED, None),
        (live(1, "reconciler~lock.abc", "0", expires_at=NOW + DAY), KeyStatus.LOCK, NOW + DAY),
    ],
)
def test_tells_where_each_key_stands(key: LiveKey, status: KeyStatus, until: datetime | None) -> None:
    found = only(key)
    assert (found.status, found.until) == (status, until)


def test_lists_declared_keys_that_are_not_live() -> None:
    keys = inventory(live(1, "ci/a"))
    assert [(key.name, key.status) for key in keys] == [("ci/a", KeyStatus.SETTLED), ("ci/b", KeyStatus.MISSING)]


def test_a_key_whose_successor_waits_to_take_over_is_not_missing() -> None:
    keys = inventory(live(1, "ci/a~next"), live(2, "ci/b"))
    assert KeyStatus.MISSING not in {key.status for key in keys}


def test_a_key_that_is_only_being_created_or_was_retired_is_missing() -> None:
    keys = inventory(live(1, "ci/a~new.k3v9"), live(2, "ci/b~gone.20261201T000000Z"))
    assert [(key.name, key.status.value) for key in keys] == [
        ("ci/a", "missing"),
        ("ci/a", "new"),
        ("ci/b", "missing"),
        ("ci/b", "gone"),
    ]


def test_two_live_keys_of_a_declared_name_are_unclear() -> None:
    keys = inventory(live(2, "ci/a"), live(1, "ci/a"), live(3, "ci/a~next"), live(4, "ci/b"))
    assert [(key.live.id, key.status.value) for key in keys if key.live] == [
        (1, "unclear"),
        (2, "unclear"),
        (3, "next"),
        (4, "settled"),
    ]


def test_an_adopted_key_is_found_by_its_id_and_listed_by_its_address() -> None:
    found = only(live(7, "by hand"), wanted=declaration([declared("ci/a", id=7)]))
    assert (found.name, found.status) == ("ci/a", KeyStatus.SETTLED)


def test_lists_by_address_then_what_has_none_then_locks() -> None:
    keys = inventory(live(1, "reconciler~lock.abc"), live(2, "aaa"), live(3, "ci/b"), live(4, "ci/a"))
    assert [key.name for key in keys] == ["ci/a", "ci/b", "aaa", "reconciler~lock.abc"]


def test_without_a_file_names_are_read_by_default_and_nothing_is_missing() -> None:
    keys = inventory(live(1, "ci/a"), live(2, "by hand"), wanted=None)
    assert [(key.name, key.status.value) for key in keys] == [("ci/a", "settled"), ("by hand", "unmanaged")]


def test_tells_team_age_and_due_rotation() -> None:
    wanted = declaration([declared("ci/a", team="web", rotate_every=90 * DAY)])
    found = only(live(1, "ci/a", created_at=NOW - 10 * DAY), wanted=wanted)
    assert (found.team, found.age, found.rotation_due) == ("web", 10 * DAY, NOW + 80 * DAY)
    assert only(live(1, "somebody's")).team is None


def test_a_key_from_the_future_has_no_age_below_zero() -> None:
    assert only(live(1, "ci/a", created_at=NOW + DAY)).age == timedelta(0)


@pytest.mark.parametrize("fields", [{"is_enabled": False}, {"expires_at": NOW}, {"rotate_every": None}])
def test_a_key_that_the_file_wants_not_rotated_or_not_working_has_no_due_rotation(fields: dict[str, Any]) -> None:
    wanted = declaration([declared("ci/a", "5", **{"rotate_every": 90 * DAY, **fields})])
    assert only(live(1, "ci/a"), wanted=wanted).rotation_due is None


def test_what_was_rotated_out_is_not_due_itself() -> None:
    wanted = declaration([declared("ci/a", rotate_every=DAY)])
    assert only(live(1, "ci/a~old.20261201T000000Z"), wanted=wanted).rotation_due is None


# --- use --------------------------------------------------------------------------------------------------------------

OLD = live(1, "ci/a", "10", created_at=NOW - 100 * DAY)
YOUNG = live(1, "ci/a", "10", created_at=NOW - 29 * DAY)


@pytest.mark.parametrize(
    ("key", "windows", "seen"),
    [
        (OLD, {1: "1", 7: "1", 30: "1"}, LastUse.DAY),
        (OLD, {1: "0", 7: "1", 30: "1"}, LastUse.WEEK),
        (OLD, {1: "0", 7: "0", 30: "1"}, LastUse.MONTH),
        (OLD, {1: "0", 7: "0", 30: "0"}, LastUse.NOT_LATELY),
        (YOUNG, {1: "0", 7: "0", 30: "0"}, LastUse.NEVER),
        (OLD, {7: "1", 30: "1"}, LastUse.WEEK),
        (OLD, {1: "0", 7: "0"}, LastUse.UNKNOWN),
        (OLD, {}, LastUse.UNKNOWN),
    ],
)
def test_tells_when_a_key_was_last_seen_in_use(key: LiveKey, windows: dict[int, str], seen: LastUse) -> None:
    used = tuple(activity({1: (cost, 0)}, days) for days, cost in windows.items())
    assert only(key, used=used).last_use is seen


def test_shows_the_spend_of_the_window_that_is_asked_for_and_the_share_of_all_that_is_known() -> None:
    used = (activity({1: ("1", 5)}, 7), activity({1: ("4", 20)}, 30))
    (found, _) = inventory(OLD, used=used, days=7)
    assert found.usage == Usage(7, Decimal(1), 5)
    assert found.share
    assert (found.share.value, found.share.spent) == (Decimal("0.4"), Decimal(4))


@pytest.mark.parametrize(("key", "at_least"), [(OLD, True), (YOUNG, False)])
def test_the_share_of_a_key_older_than_what_is_told_is_the_least_it_can_be(key: LiveKey, *, at_least: bool) -> None:
    share = only(key, used=(activity({}, 30),)).share
    assert share
    assert share.at_least is at_least


@pytest.mark.parametrize("limit", [None, "0"])
def test_a_key_without_a_limit_or_with_none_to_spend_has_no_share_of_it(limit: str | None) -> None:
    assert only(live(1, "ci/a", limit), used=(activity({1: ("3", 1)}),)).share is None


def test_what_was_not_read_is_not_zero() -> None:
    found = only(OLD)
    assert (found.usage, found.share, found.last_use) == (None, None, LastUse.UNKNOWN)


def test_statistics_tell_what_each_key_was_used_for() -> None:
    tally = Tally(3, Decimal("1.5"), 1, 1)
    rows = (KeyTally(1, "ci/a", tally), KeyTally(None, "gone", tally), KeyTally(1, "ci/a", tally))
    found = key_activity(Statistics(30, None, (), (), rows))
    assert found == Activity(30, {1: Usage(30, Decimal(3), 6)})


def test_statistics_that_do_not_tell_of_keys_are_no_activity_of_keys() -> None:
    assert key_activity(Statistics(30, None, (), (), (), ("api_key_usage",))) is None


def test_statistics_that_leave_out_which_key_it_was_are_no_activity_of_keys() -> None:
    rows, absent = (KeyTally(None, "", Tally(1)),), ("api_key_usage.api_key_id", "api_key_usage.api_key_name")
    assert key_activity(Statistics(30, None, (), (), rows, absent)) is None


def test_names_a_key_by_its_address_else_by_its_live_name() -> None:
    assert only(live(1, "somebody's")).name == "somebody's"
    assert InventoryKey(KEY_VARIABLE, KeyStatus.MISSING).name == ""
    assert InventoryKey(KEY_VARIABLE, KeyStatus.MISSING, address("ci/a")).name == "ci/a"


@pytest.mark.parametrize(
    ("name", "concerned"),
    [
        ("ci/a", {"ci/a", "ci/a~old.20261101T000000Z"}),
        ("ci/b", {"ci/b"}),
        ("ci/new", set()),
        ("ci/x", {"ci/x"}),
        ("somebody's", {"somebody's"}),
        ("nobody's", {"nobody's"}),
    ],
)
def test_the_plan_of_a_key_holds_what_concerns_its_address_or_its_own_key(name: str, concerned: set[str]) -> None:
    wanted = declaration([declared("ci/a", "1"), declared("ci/b", "1"), declared("ci/new")], unmanaged=Unmanaged.DELETE)
    account = snapshot(
        *(live(at, each, "2") for at, each in enumerate(["ci/a", "ci/b", "ci/x", "somebody's", "nobody's"], start=1)),
        live(6, "ci/a~old.20261101T000000Z"),
    )
    keys = take_inventory(KEY_VARIABLE, account, (), wanted)

    plan = detail_of(next(key for key in keys if key.name == name), keys, make_plan(wanted, account)).plan

    assert plan is not None
    assert {action.live.name for action in plan.actions if not isinstance(action, Create)} == concerned
    assert [str(action.address) for action in plan.actions if isinstance(action, Create)] == (
        [name] if name == "ci/new" else []
    )


# --- which keys, and in which order -----------------------------------------------------------------------------------

_USED = (activity({1: ("30", 1), 2: ("10", 1)}), activity({1: ("1", 1)}, days=7))
_LISTED = inventory(
    live(1, "ci/a", "40", created_at=NOW - 90 * DAY, expires_at=NOW + 2 * DAY),
    live(2, "ci/b", "100", created_at=NOW - 20 * DAY, expires_at=NOW + DAY, is_enabled=False),
    live(3, "ci/c", None, created_at=NOW - DAY),
    wanted=declaration(
        [
            declared("ci/a", team="web", rotate_every=100 * DAY),
            declared("ci/b"),
            declared("ci/c", team="apps", rotate_every=2 * DAY),
            declared("ci/d"),
        ]
    ),
    used=_USED,
)


@pytest.mark.parametrize(
    ("field", "names", "turned"),
    [
        ("address", "abcd", "dcba"),
        ("state", "dacb", "bacd"),
        ("limit", "bacd", "abcd"),
        ("spend", "abcd", "cbad"),
        ("share", "abcd", "bacd"),
        ("age", "abcd", "cbad"),
        ("expiry", "bacd", "abcd"),
        ("rotation", "cabd", "acbd"),
        ("last-use", "abcd", "cbad"),
        ("team", "cabd", "acbd"),
    ],
)
def test_keys_are_sorted_and_those_of_which_nothing_is_known_come_last(field: str, names: str, turned: str) -> None:
    for reverse, expected in ((False, names), (True, turned)):
        assert [key.name for key in sorted_by(_LISTED, field, reverse=reverse)] == [f"ci/{name}" for name in expected]
    assert field == "address" or field in SORTS


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(), "abcd"),
        (Filter(only=("ci/[ab]", "ci/d")), "abd"),
        (Filter(states=frozenset({"missing", "disabled"})), "bd"),
        (Filter(teams=frozenset({"web"})), "a"),
        (Filter(only=("ci/b",), teams=frozenset({"web"})), ""),
        (Filter(unused_for="1d"), "abc"),
        (Filter(unused_for="7d"), "b"),
        (Filter(unused_for="30d"), ""),
    ],
)
def test_a_filter_leaves_out_what_is_not_meant(wanted: Filter, names: str) -> None:
    assert [key.name for key in _LISTED if wanted.covers(key)] == [f"ci/{name}" for name in names]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("7", [7]),
        ("007", [7]),
        ("\u0667", [8]),  # an Arabic seven is a name, and no id
        ("ci/a", [1]),
        ("ci/a~next", [2]),
        ("hand-made", [9]),
        ("nothing", []),
    ],
)
def test_a_key_is_meant_by_its_id_its_address_or_its_live_name(text: str, ids: list[int]) -> None:
    keys = inventory(live(1, "ci/a"), live(2, "ci/a~next"), live(7, "x"), live(8, "\u0667"), live(9, "hand-made"))
    assert [key.live.id for key in matching(keys, text) if key.live] == ids
