"""Whose the use is: by id, by live name, through rotations, removals and renames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.insight.inventory import Attribution, Standing, identified, tells_of_keys
from reconciler.planning.names import Role
from support.builders import address, declaration, declared, live, snapshot
from support.statistics import statistics, used

if TYPE_CHECKING:
    from reconciler.model import KeyTally

FILE = declaration(
    [declared("production/api", team="core"), declared("ci/tests", renamed_from=("old/tests", "ci/runner"), id=30)],
    environments=["production", "ci"],
)
LIVE = snapshot(
    live(1, "production/api"),
    live(2, "production/api~old.20261201T000000Z"),
    live(3, "production/api~next"),
    live(4, "production/api~new.abc123"),
    live(5, "production/legacy"),
    live(6, "production/legacy~gone.20261201T000000Z"),
    live(7, "somebody's"),
    live(8, "reconciler~lock.abc"),
    live(30, "called by hand"),
)
ATTRIBUTION = Attribution(LIVE, FILE)


@pytest.mark.parametrize(
    ("key_id", "where", "standing", "role"),
    [
        (1, "production/api", Standing.DECLARED, Role.SETTLED),
        (2, "production/api", Standing.DECLARED, Role.SUPERSEDED),
        (3, "production/api", Standing.DECLARED, Role.SUCCESSOR),
        (4, "production/api", Standing.DECLARED, Role.PENDING),
        (5, "production/legacy", Standing.UNDECLARED, Role.SETTLED),
        (6, "production/legacy", Standing.UNDECLARED, Role.RETIRED),
        (7, None, Standing.UNMANAGED, None),
        (8, None, Standing.LOCK, None),
        (30, "ci/tests", Standing.DECLARED, Role.SETTLED),
    ],
)
def test_a_live_key_is_found_by_its_id_whatever_the_service_calls_it(
    key_id: int, where: str | None, standing: Standing, role: Role | None
) -> None:
    owner = ATTRIBUTION.of(used(key_id, "an earlier name", "1"))
    assert owner is ATTRIBUTION.live[key_id]
    assert (owner.address, owner.standing, owner.role) == (where and address(where), standing, role)


@pytest.mark.parametrize(
    ("name", "where", "standing"),
    [
        ("production/api", "production/api", Standing.DECLARED),
        ("production/api~old.20250101T000000Z", "production/api", Standing.DECLARED),
        ("production/batch", "production/batch", Standing.UNDECLARED),
        ("ci/runner", "ci/tests", Standing.DECLARED),
        ("old/tests", "ci/tests", Standing.DECLARED),
        ("old/tests~old.20250101T000000Z", "ci/tests", Standing.DECLARED),
        ("staging/api", None, Standing.DELETED),
        ("production/api~old.sometime", None, Standing.DELETED),
        ("reconciler~lock.zzz", None, Standing.LOCK),
        ("", None, Standing.DELETED),
    ],
)
@pytest.mark.parametrize("key_id", [99, None])
def test_a_key_that_is_gone_is_found_by_the_name_that_the_service_remembers(
    key_id: int | None, name: str, where: str | None, standing: Standing
) -> None:
    owner = ATTRIBUTION.of(used(key_id, name, "1"))
    assert (owner.address, owner.standing) == (where and address(where), standing)
    assert owner.live is None or (key_id is None and owner.live.id == 1)


def test_use_without_an_id_is_that_of_the_one_live_key_of_its_name() -> None:
    told = statistics([used(None, "somebody's", "1"), used(None, "nobody's", "1"), used(1, "somebody's", "1")])
    assert [usage.id for usage in identified(told, LIVE).by_key] == [7, None, 1]


def test_use_without_an_id_is_nobodys_where_two_keys_share_the_name() -> None:
    keys = snapshot(live(1, "x"), live(2, "x"))
    told = identified(statistics([used(None, "x", "1")]), keys)
    assert Attribution(keys, FILE).of(told.by_key[0]).standing is Standing.DELETED


@pytest.mark.parametrize(
    ("usage", "absent", "tells"),
    [
        (used(1, "", "1"), ("api_key_usage.api_key_name",), True),
        (used(None, "x", "1"), ("api_key_usage.api_key_id",), True),
        (used(None, "", "1"), (), True),  # said to be nobody's
        (used(None, "", "1"), ("api_key_usage.api_key_id", "api_key_usage.api_key_name"), False),
    ],
)
def test_use_that_names_no_key_at_all_tells_nothing_of_single_keys(
    usage: KeyTally,
    absent: tuple[str, ...],
    tells: bool,  # noqa: FBT001  # a column of the table
) -> None:
    assert tells_of_keys(statistics([usage], absent=absent)) is tells


def test_keys_that_nobody_can_tell_apart_still_count_to_their_address() -> None:
    attribution = Attribution(snapshot(live(1, "production/api"), live(2, "production/api")), FILE)
    assert [owner.address for owner in attribution.live.values()] == [address("production/api")] * 2


def test_the_team_is_that_of_the_declared_key() -> None:
    assert ATTRIBUTION.live[1].team == "core"
    assert ATTRIBUTION.live[30].team is None
    assert ATTRIBUTION.live[7].team is None


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("production/api", "production/api"),
        ("ci/tests~next", "ci/tests"),
        ("gone/key~old.20250101T000000Z", "gone/key"),
        ("Production/API", None),
        ("a/b/c", None),
        ("plain", None),
    ],
)
@pytest.mark.parametrize("key_id", [1, 99])
def test_without_a_file_names_are_read_by_the_default_naming(key_id: int, name: str, where: str | None) -> None:
    attribution = Attribution(snapshot(*([live(1, name)] if key_id == 1 else [])))
    owner = attribution.of(used(key_id, name, "1"))
    assert owner.address == (where and address(where))
    stray = Standing.UNMANAGED if key_id == 1 else Standing.DELETED
    assert owner.standing is (Standing.UNDECLARED if where else stray)
