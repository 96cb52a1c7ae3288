"""Histories that a random search found, each with the secret that would have been lost, or the key forgotten.

The search is tests/properties/test_state_machine.py.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.execution import executor
from reconciler.model import Environment
from reconciler.planning.actions import Options
from support.builders import SOMEWHERE, address, declaration, declared
from support.fakes import FakeDestination, FakeRegistry
from support.world import World, messages, statuses, to

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import Declaration, DeclaredKey

ROTATE_A = Options(frozenset({address("ci/a")}))
WEEK = timedelta(days=7)


class Places:
    """Two destinations, of which the second can be told to refuse."""

    def __init__(self, world: World) -> None:
        self.good, self.shaky = FakeDestination(), FakeDestination()
        world.registry = FakeRegistry(good=self.good, shaky=self.shaky)  # type: ignore[assignment]  # it has the one method that counts
        self._world = world

    def agree(self) -> bool:
        """Whether both hold the same secret, and it opens."""
        return self.good.held == self.shaky.held and self._world.state.opens(self.good.held["NAME"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def places(world: World) -> Places:
    return Places(world)


def key(**fields: Any) -> DeclaredKey:
    return declared("ci/a", deliver=to("good", "shaky"), **fields)


def graceful(*keys: DeclaredKey, grace: timedelta | None = WEEK) -> Declaration:
    return declaration(keys, [Environment("ci", SOMEWHERE, deletion_grace=grace)])


def half_rotate(world: World, places: Places, wanted: Declaration) -> None:
    """Leave the new secret in the first destination and the old one in the second."""
    places.shaky.break_with("forbidden")
    assert statuses(world.apply(wanted, options=ROTATE_A)) == ["rotate ci/a failed"]
    places.shaky.mend()


def roles(world: World) -> list[str]:
    return [name.partition(".")[0] for name in world.names()]


# --- the sign of an interrupted rotation ------------------------------------------------------------------------------


def test_a_key_retired_in_the_middle_of_a_rotation_comes_back_as_a_new_one(world: World, places: Places) -> None:
    world.apply(graceful(key()))
    half_rotate(world, places, graceful(key()))
    world.apply(graceful())
    result = world.apply(graceful(key()))
    assert (statuses(result), result.in_sync) == (["rotate ci/a done"], True)
    assert places.agree()
    assert roles(world) == ["ci/a", "ci/a~old", "ci/a~sent"]


def test_the_sign_of_an_interrupted_rotation_outlives_its_lease_while_the_key_can_come_back(
    world: World, places: Places
) -> None:
    world.apply(graceful(key()))
    half_rotate(world, places, graceful(key()))
    world.apply(graceful())
    world.state.travel(timedelta(hours=25))
    assert statuses(world.apply(graceful())) == []
    result = world.apply(graceful(key()))
    assert (statuses(result), result.in_sync) == (["rotate ci/a done", "delete ci/a done"], True)
    assert places.agree()


def test_the_sign_of_an_interrupted_rotation_outlives_its_lease_while_the_key_is_expired(
    world: World, places: Places
) -> None:
    expiry = world.state.now().replace(microsecond=0) + timedelta(hours=30)
    expiring, revived = declaration([key(expires_at=expiry)]), declaration([key(expires_at=expiry + WEEK)])
    world.apply(expiring)
    half_rotate(world, places, expiring)
    world.state.travel(timedelta(hours=31))
    assert statuses(world.apply(expiring)) == []
    result = world.apply(revived)
    assert (statuses(result), result.in_sync) == (["rotate ci/a done", "delete ci/a done"], True)
    assert places.agree()


def test_the_sign_goes_with_the_last_key_that_it_is_about(world: World, places: Places) -> None:
    world.apply(graceful(key()))
    half_rotate(world, places, graceful(key()))
    world.apply(graceful())
    world.state.travel(WEEK)
    assert statuses(world.apply(graceful())) == ["delete ci/a done", "delete ci/a done"]
    assert world.names() == []


# --- a key removed from the file in the middle of a rotation ----------------------------------------------------------


def interrupted_before_the_old_key_retires(world: World, wanted: Declaration) -> None:
    world.apply(wanted)
    world.faults = ["PATCH * status=403 skip=2"]
    assert statuses(world.apply(wanted, options=ROTATE_A)) == ["rotate ci/a failed"]
    world.faults = []
    assert world.names() == ["ci/a", "ci/a~next"]


def test_a_removal_that_stops_half_way_through_a_rotation_can_still_be_reverted(world: World, places: Places) -> None:
    interrupted_before_the_old_key_retires(world, graceful(key()))
    world.faults = ["PATCH /v1/account/keys/1 status=403"]
    assert statuses(world.apply(graceful(), parallelism=1)) == ["retire ci/a failed", "retire ci/a not_attempted"]
    world.faults = []
    result = world.apply(graceful(key()))
    assert (statuses(result), result.in_sync) == (["finish ci/a done"], True)
    assert places.agree()


def test_a_deletion_that_stops_half_way_through_a_rotation_can_still_be_reverted(world: World, places: Places) -> None:
    interrupted_before_the_old_key_retires(world, declaration([key()]))
    world.faults = ["DELETE /v1/account/keys/1 status=403"]
    result = world.apply(declaration([], ["ci"]))
    assert statuses(result) == ["delete ci/a failed", "delete ci/a not_attempted"]
    world.faults = []
    result = world.apply(declaration([key()]))
    assert (statuses(result), result.in_sync) == (["finish ci/a done"], True)
    assert places.agree()


def test_of_a_rotation_that_was_removed_only_the_delivered_key_comes_back(world: World, places: Places) -> None:
    interrupted_before_the_old_key_retires(world, graceful(key()))
    result = world.apply(graceful())
    assert (statuses(result), result.in_sync) == (["retire ci/a done", "retire ci/a done"], True)
    assert roles(world) == ["ci/a~gone", "ci/a~old"]
    assert [live.is_enabled for live in world.live()] == [False, False]
    assert statuses(world.apply(graceful(key()))) == ["restore ci/a done"]
    assert places.agree()


# --- a key that was replaced never comes back -------------------------------------------------------------------------


def test_a_retired_key_that_was_replaced_does_not_come_back_once_its_grace_is_forgotten(
    world: World, places: Places
) -> None:
    world.apply(graceful(key()))
    world.apply(graceful())
    assert statuses(world.apply(graceful(key()), options=ROTATE_A)) == ["rotate ci/a done"]
    assert places.agree()
    world.apply(graceful(grace=None))
    assert statuses(world.apply(graceful(key()))) == ["create ci/a done"]
    assert places.agree()


def test_a_retired_key_that_works_again_is_disabled_again(world: World) -> None:
    world.apply(graceful(world.key("ci/a")))
    world.apply(graceful())
    (live,) = world.live()
    world.state.update_key(live.id, is_enabled=True)
    result = world.apply(graceful())
    assert (statuses(result), result.in_sync) == (["retire ci/a done"], True)
    assert world.live() == (replace(live, is_enabled=False),)


# --- a key renamed in the middle of a rotation ------------------------------------------------------------------------


def test_a_rename_that_comes_with_a_rotation_can_be_reverted_half_way(world: World, places: Places) -> None:
    world.apply(declaration([key()]))
    renamed = replace(key(renamed_from=("ci/a",)), address=address("ci/b"), name="ci/b")
    places.shaky.break_with("forbidden")
    rotate_b = Options(frozenset({address("ci/b")}))
    assert statuses(world.apply(declaration([renamed]), options=rotate_b)) == ["rotate ci/b failed"]
    places.shaky.mend()
    world.apply(declaration([key()]))
    assert places.agree()


def test_a_key_whose_rotation_was_interrupted_is_not_renamed_away_from_its_sign(world: World, places: Places) -> None:
    world.apply(declaration([key()]))
    half_rotate(world, places, declaration([key()]))
    renamed = replace(key(renamed_from=("ci/a",)), address=address("ci/b"), name="ci/b")
    world.faults = ["POST * status=403"]
    rotate_b = Options(frozenset({address("ci/b")}))
    assert statuses(world.apply(declaration([renamed]), options=rotate_b)) == ["rotate ci/b failed"]
    world.faults = []
    again = replace(renamed, renamed_from=())
    world.apply(declaration([again]))
    assert places.agree()


def test_a_restore_that_comes_with_a_rename_and_a_rotation_can_be_reverted_half_way(
    world: World, places: Places
) -> None:
    world.apply(graceful(key()))
    world.apply(graceful())
    renamed = replace(key(renamed_from=("ci/a",)), address=address("ci/b"), name="ci/b")
    places.shaky.break_with("forbidden")
    rotate_b = Options(frozenset({address("ci/b")}))
    assert statuses(world.apply(graceful(renamed), options=rotate_b)) == ["rotate ci/b failed"]
    places.shaky.mend()
    world.apply(graceful(key()))
    assert places.agree()


# --- answers that are not what they seem ------------------------------------------------------------------------------


def test_a_key_that_is_only_said_to_be_gone_is_not_replaced_beside_itself(world: World, places: Places) -> None:
    world.apply(declaration([key()]))
    world.faults = ["PATCH /v1/account/keys/1 status=404"]
    result = world.apply(declaration([key()]), options=ROTATE_A)
    assert statuses(result) == ["rotate ci/a failed"]
    assert "404" in messages(result)
    world.faults = []
    assert statuses(world.apply(declaration([key()]))) == ["finish ci/a done"]
    assert roles(world) == ["ci/a", "ci/a~old"]
    assert places.agree()


# --- what is left of a run --------------------------------------------------------------------------------------------


def test_a_run_that_is_cut_off_leaves_nothing_for_asyncio_to_complain_about(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executor, "GRACE_SECONDS", 0.02)
    world.registry = FakeRegistry(good=FakeDestination(), slow=FakeDestination(hangs=True))  # type: ignore[assignment]  # it has the one method that counts
    wanted = declaration([declared("ci/a", deliver=to("good")), declared("ci/b", deliver=to("slow"))])
    result = world.apply(wanted, parallelism=2, stop=lambda _: True)
    assert statuses(result) == ["create ci/a done", "create ci/b failed"]
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
