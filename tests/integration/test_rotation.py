"""Rotation, retirement and restoring on the simulated account, interrupted wherever it hurts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model import Environment
from reconciler.planning.actions import Options, Status
from support.builders import SOMEWHERE, address, declaration, declared
from support.fakes import FakeDestination, FakeRegistry
from support.world import World, messages, statuses, to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.model import Declaration, DeclaredKey

ROTATE_A = Options(frozenset({address("ci/a")}))
WEEK = timedelta(days=7)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def graceful(*keys: DeclaredKey) -> Declaration:
    return declaration(keys, [Environment("ci", SOMEWHERE, deletion_grace=WEEK)])


def opened(world: World) -> list[str]:
    """The names of the delivered secrets that open the service."""
    return [name for name, secret in world.secrets().items() if world.state.opens(str(secret))]


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_key_that_is_due_is_replaced_and_the_old_one_goes_on_for_its_overlap(world: World) -> None:
    wanted = declaration([world.key("ci/a", rotate_every=timedelta(days=90), rotation_overlap=WEEK)])
    world.apply(wanted)
    before = str(world.secrets()["CI_A"])
    world.state.travel(timedelta(days=90))
    result = world.apply(wanted)
    assert (statuses(result), result.in_sync) == (["rotate ci/a done"], True)
    after = str(world.secrets()["CI_A"])
    assert after != before
    assert world.state.opens(after)
    assert world.state.opens(before)
    assert [name.partition(".")[0] for name in world.names()] == ["ci/a", "ci/a~old"]
    world.state.travel(WEEK)
    assert not world.state.opens(before)
    assert statuses(world.apply(wanted)) == ["delete ci/a done"]
    assert (world.names(), opened(world)) == (["ci/a"], ["CI_A"])


def test_a_leaked_key_is_disabled_as_soon_as_its_successor_is_delivered(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.apply(wanted)
    leaked = str(world.secrets()["CI_A"])
    result = world.apply(wanted, options=Options(ROTATE_A.rotate, overlap=False))
    assert (statuses(result), result.in_sync) == (["rotate ci/a done"], True)
    assert not world.state.opens(leaked)
    assert opened(world) == ["CI_A"]


def test_an_old_key_that_expires_before_its_overlap_is_over_keeps_its_expiry(world: World) -> None:
    expiry = world.state.now().replace(microsecond=0) + timedelta(hours=1)
    world.apply(declaration([world.key("ci/a", expires_at=expiry)]))
    world.apply(declaration([world.key("ci/a")]), options=ROTATE_A)
    old = next(key for key in world.live() if "~old." in key.name)
    assert old.expires_at == expiry


def test_a_new_key_that_the_service_refuses_replaces_nothing(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.apply(wanted)
    before = world.secrets()
    world.faults = ["GET /v1/models status=401"]
    result = world.apply(wanted, options=ROTATE_A)
    assert statuses(result) == ["rotate ci/a failed"]
    assert "the service refuses the new key, so the old one stays; the key 2 was removed again" in messages(result)
    assert (world.secrets(), world.names(), opened(world)) == (before, ["ci/a"], ["CI_A"])


def test_a_service_that_needs_a_moment_to_know_a_new_key_has_it(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.apply(wanted)
    world.faults = ["GET /v1/models status=401 times=2"]
    assert statuses(world.apply(wanted, options=ROTATE_A)) == ["rotate ci/a done"]


@pytest.mark.parametrize("fields", [{"verify": False}, {"is_enabled": False}])
def test_a_new_key_is_not_tried_when_the_file_says_so_or_it_would_be_refused_anyway(
    world: World, fields: dict[str, Any]
) -> None:
    wanted = declaration([world.key("ci/a", **fields)])
    world.apply(wanted)
    world.faults = ["GET /v1/models status=401"]
    assert statuses(world.apply(wanted, options=ROTATE_A)) == ["rotate ci/a done"]


def test_a_new_key_that_cannot_be_named_as_being_delivered_is_removed_and_moves_nothing(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.apply(wanted)
    before = world.secrets()
    world.faults = ["PATCH * status=403"]
    result = world.apply(wanted, options=ROTATE_A)
    assert statuses(result) == ["rotate ci/a failed"]
    assert "the key 2 was removed again" in messages(result)
    world.faults = []
    assert statuses(world.apply(wanted)) == []
    assert (world.secrets(), world.names(), opened(world)) == (before, ["ci/a"], ["CI_A"])


@pytest.mark.parametrize("skipped", [1, 2, 3])
def test_a_rotation_interrupted_at_any_change_is_finished_without_a_second_one(world: World, skipped: int) -> None:
    wanted = declaration([world.key("ci/a", "7")])
    world.apply(wanted)
    world.faults = [f"PATCH * status=403 skip={skipped}"]
    assert statuses(world.apply(wanted, options=ROTATE_A)) == ["rotate ci/a failed"]
    delivered = world.secrets()
    world.faults = []
    result = world.apply(wanted)
    assert statuses(result) == ["rotate ci/a done" if skipped == 1 else "finish ci/a done"]
    assert result.in_sync
    assert (world.secrets() == delivered) is (skipped > 1)
    assert opened(world) == ["CI_A"]
    (key,) = (key for key in world.live() if key.name == "ci/a")
    assert (key.credit_limit, key.expires_at) == (Decimal(7), None)


def test_an_old_key_that_someone_deleted_meanwhile_does_not_hold_up_a_rotation(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.apply(wanted)
    first = next(key.id for key in world.live())
    result = world.apply(wanted, options=ROTATE_A, after_plan=lambda: void(world.state.delete_key(first)))
    assert statuses(result) == ["rotate ci/a done"]
    assert (world.names(), opened(world)) == (["ci/a"], ["CI_A"])


def test_a_half_delivered_rotation_is_made_good_by_the_next_apply(world: World) -> None:
    good, shaky = FakeDestination(), FakeDestination()
    world.registry = FakeRegistry(good=good, shaky=shaky)  # type: ignore[assignment]  # it has the one method that counts
    wanted = declaration([declared("ci/a", deliver=to("good", "shaky"))])
    world.apply(wanted)
    working = good.held["NAME"]
    shaky.break_with("forbidden")
    result = world.apply(wanted, options=ROTATE_A)
    assert "good as NAME holds the secret of key 2, which ends with its lease" in messages(result)
    assert world.state.opens(working)
    assert good.held["NAME"] != working
    shaky.mend()
    assert statuses(world.apply(wanted)) == ["rotate ci/a done"]
    assert good.held == shaky.held
    world.state.travel(timedelta(days=30))
    assert statuses(world.apply(wanted)) == ["delete ci/a done", "delete ci/a done"]
    assert world.state.opens(good.held["NAME"])


def test_a_delivery_that_may_have_arrived_leaves_its_key_to_the_lease(world: World) -> None:
    shaky = FakeDestination()
    world.registry = FakeRegistry(shaky=shaky)  # type: ignore[assignment]  # as above
    shaky.break_with("the answer was lost", uncertain=True)
    wanted = declaration([declared("ci/a", deliver=to("shaky"))])
    result = world.apply(wanted)
    assert "perhaps shaky as NAME holds the secret of key 1, which ends with its lease" in messages(result)
    assert world.names() == ["ci/a~new.0000000000000000"]


def test_the_sign_of_an_incomplete_rotation_is_kept_until_it_is_complete(world: World) -> None:
    shaky, good = FakeDestination(), FakeDestination()
    world.registry = FakeRegistry(good=good, shaky=shaky)  # type: ignore[assignment]  # as above
    wanted = declaration([declared("ci/a", deliver=to("good", "shaky"))])
    world.apply(wanted)
    shaky.break_with("forbidden")
    world.apply(wanted, options=ROTATE_A)
    world.state.travel(timedelta(days=2))
    result = world.apply(wanted)
    assert statuses(result) == ["rotate ci/a failed", "delete ci/a not_attempted"]
    assert "kept, since another change of the same address failed" in messages(result)
    shaky.mend()
    result = world.apply(wanted)
    assert statuses(result) == ["rotate ci/a done", "delete ci/a done"]
    assert good.held == shaky.held
    assert world.state.opens(good.held["NAME"])


def test_a_lease_that_runs_out_in_the_middle_of_a_run_ends_well(world: World) -> None:
    slow = FakeDestination(on_deliver=lambda: world.state.travel(timedelta(hours=25)))
    world.registry = FakeRegistry(slow=slow)  # type: ignore[assignment]  # as above
    result = world.apply(declaration([declared("ci/a", deliver=to("slow"))]))
    assert (statuses(result), result.in_sync) == (["create ci/a done"], True)
    assert world.state.opens(slow.held["NAME"])


# --- grace ------------------------------------------------------------------------------------------------------------


def test_a_removed_key_stops_working_and_comes_back_with_its_secret_when_the_merge_is_reverted(world: World) -> None:
    with_key, without = graceful(world.key("ci/a", "5")), graceful()
    world.apply(with_key)
    secret = str(world.secrets()["CI_A"])
    (before,) = world.live()
    result = world.apply(without)
    assert (statuses(result), result.in_sync) == (["retire ci/a done"], True)
    assert not world.state.opens(secret)
    world.state.travel(timedelta(days=6))
    result = world.apply(graceful(world.key("ci/a", "8")))
    assert (statuses(result), result.in_sync) == (["restore ci/a done"], True)
    (after,) = world.live()
    assert (after.id, after.name, after.credit_limit) == (before.id, "ci/a", Decimal(8))
    assert world.state.opens(secret)
    assert world.secrets() == {"CI_A": secret}


def test_a_removed_key_is_deleted_when_its_grace_is_over(world: World) -> None:
    world.apply(graceful(world.key("ci/a")))
    world.apply(graceful())
    world.state.travel(WEEK)
    assert statuses(world.apply(graceful())) == ["delete ci/a done"]
    assert world.names() == []


def test_a_restored_key_that_is_overdue_is_rotated_by_the_run_after(world: World) -> None:
    old = world.key("ci/a", rotate_every=timedelta(days=3))
    world.apply(graceful(old))
    world.apply(graceful())
    world.state.travel(timedelta(days=5))
    result = world.apply(graceful(old))
    assert (statuses(result), result.in_sync) == (["restore ci/a done"], True)
    assert statuses(world.apply(graceful(old))) == ["rotate ci/a done"]


def test_a_retired_key_that_is_replaced_when_it_comes_back_goes_on_for_the_overlap(world: World) -> None:
    wanted = graceful(world.key("ci/a"))
    world.apply(wanted)
    before = str(world.secrets()["CI_A"])
    world.apply(graceful())
    assert not world.state.opens(before)
    assert statuses(world.apply(wanted, options=ROTATE_A)) == ["rotate ci/a done"]
    assert world.state.opens(before)
    assert opened(world) == ["CI_A"]


def test_the_clock_that_counts_is_that_of_the_service(world: World) -> None:
    world.state.travel(timedelta(days=400))
    world.apply(graceful(world.key("ci/a", rotate_every=timedelta(days=90))))
    assert world.apply(graceful(world.key("ci/a", rotate_every=timedelta(days=90)))).count(Status.DONE) == 0


def void(_: object) -> None:
    """Drop a result."""
