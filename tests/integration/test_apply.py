"""Plans carried out on the simulated account, with every kind of trouble on the way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.account.client import Account
from reconciler.errors import DestinationError, GuardrailRefused, LockLost
from reconciler.execution import executor
from reconciler.model import Unmanaged
from reconciler.planning.actions import Status
from reconciler.secret import Secret
from support.builders import declaration, declared
from support.fakes import FakeDestination, FakeRegistry
from support.world import World, messages, statuses, to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Declaration, DeclaredKey
    from reconciler.planning.actions import ApplyResult


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


# --- when all goes well -----------------------------------------------------------------------------------------------


def test_a_declared_key_comes_to_live_with_its_secret_where_it_belongs(world: World) -> None:
    expiry = world.state.now().replace(microsecond=0) + timedelta(days=90)
    wanted = declaration([world.key("ci/a", "2.5"), world.key("ci/b", None, is_enabled=False, expires_at=expiry)])
    result = world.apply(wanted)
    assert statuses(result) == ["create ci/a done", "create ci/b done"]
    assert result.in_sync
    a, b = world.state.keys()
    assert {a.name: a.credit_limit, b.name: b.credit_limit} == {"ci/a": Decimal("2.5"), "ci/b": None}
    by_name = {key.name: key for key in (a, b)}
    assert (by_name["ci/a"].is_enabled, by_name["ci/a"].expires_at) == (True, None)
    assert (by_name["ci/b"].is_enabled, by_name["ci/b"].expires_at) == (False, expiry)
    secret = world.secrets()["CI_A"]
    assert secret
    assert world.state.opens(secret)
    assert [outcome.key_id for outcome in result.outcomes] == [by_name["ci/a"].id, by_name["ci/b"].id]


def test_every_secret_is_masked_before_it_is_delivered(world: World) -> None:
    world.apply(declaration([world.key("ci/a"), world.key("ci/b")]))
    assert sorted(secret.reveal() for secret in world.masked) == sorted(str(v) for v in world.secrets().values())


def test_changes_renames_and_deletions_arrive_at_the_service(world: World) -> None:
    for name in ("ci/more", "ci/old-name", "ci/superfluous", "stranger"):
        world.state.create_key(name, credit_limit=Decimal(5), expires_at=None)
    wanted = declaration(
        [
            world.key("ci/more", "9", is_enabled=False),
            world.key("ci/new-name", renamed_from=("ci/old-name",)),
        ]
    )
    result = world.apply(wanted)
    assert statuses(result) == ["update ci/more done", "rename ci/new-name done", "delete ci/superfluous done"]
    assert result.in_sync
    assert world.names() == ["ci/more", "ci/new-name", "stranger"]
    more = world.state.key(1)
    assert more
    assert (more.credit_limit, more.is_enabled) == (Decimal(9), False)


def test_strangers_go_when_the_file_says_so(world: World) -> None:
    world.state.create_key("stranger", credit_limit=None, expires_at=None)
    result = world.apply(declaration([], unmanaged=Unmanaged.DELETE))
    assert (statuses(result), world.names()) == (["delete None done"], [])


def test_a_second_apply_finds_nothing_to_do(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.apply(wanted)
    before = world.secrets()
    assert world.apply(wanted).outcomes == ()
    assert world.secrets() == before


def test_many_keys_are_made_at_the_same_time(world: World) -> None:
    wanted = declaration([world.key(f"ci/key-{number:02d}") for number in range(40)])
    result = world.apply(wanted, parallelism=16)
    assert result.count(Status.DONE) == 40
    secrets = world.secrets()
    assert len(secrets) == 40
    assert all(secret and world.state.opens(secret) for secret in secrets.values())


# --- answers that get lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "POST * lose=before times=1",
        "POST * lose=after times=2",
        "POST * status=500 times=1",
        "POST * status=503 when=after times=1",
        "POST * body=html times=1",
        "POST * body=cut times=1",
        "POST * body=empty times=1",
        "POST * status=429 retry-after=2 times=3",
        "PATCH * lose=after times=1",
        "PATCH * status=502 times=2",
        "GET * lose=before times=1",
        "* * probability=0.2 lose=after",
    ],
)
def test_lost_answers_neither_lose_a_secret_nor_leave_a_second_key(world: World, fault: str) -> None:
    world.state.create_key("stranger", credit_limit=None, expires_at=None)
    world.faults = [fault]
    result = world.apply(declaration([world.key("ci/a")]))
    assert statuses(result) == ["create ci/a done"]
    assert world.names() == ["ci/a", "stranger"]
    assert world.state.opens(str(world.secrets()["CI_A"]))


def test_a_post_that_never_gets_an_answer_is_given_up_and_leaves_nothing(world: World) -> None:
    world.faults = ["POST * lose=after"]
    result = world.apply(declaration([world.key("ci/a")]))
    assert statuses(result) == ["create ci/a failed"]
    assert "tried 3 times, and what may be left behind expires within 1d" in messages(result)
    assert (world.names(), world.secrets(), result.in_sync) == ([], {}, False)


def test_a_post_that_is_refused_is_reported_in_the_words_of_the_service(world: World) -> None:
    world.faults = ["POST * status=402"]
    result = world.apply(declaration([world.key("ci/a")]))
    assert "POST /v1/account/keys: 402" in messages(result)
    assert world.names() == []


def test_a_list_that_cannot_be_read_after_a_lost_answer_leaves_the_orphan_to_its_lease(world: World) -> None:
    world.faults = ["POST * lose=after", "GET * status=500 skip=1"]
    result = world.apply(declaration([world.key("ci/a")]))
    (orphan,) = world.state.keys()
    assert statuses(result) == ["create ci/a failed"]
    assert orphan.name.startswith("ci/a~new.")
    assert orphan.expires_at
    assert timedelta(hours=23) < orphan.expires_at - orphan.created_at <= timedelta(hours=24)
    assert result.note
    assert "could not be checked" in result.note


@pytest.mark.parametrize("field", ["name", "credit_limit", "expires_at"])
def test_a_key_that_the_service_made_otherwise_than_asked_is_removed_again(world: World, field: str) -> None:
    world.faults = [f"POST * ignore={field}"]
    result = world.apply(declaration([world.key("ci/a")]))
    assert statuses(result) == ["create ci/a failed"]
    assert world.names() == []
    assert world.secrets() == {}
    if field != "name":
        assert f"the service created the key with {field}" in messages(result)


def test_a_key_that_cannot_even_be_removed_is_left_to_its_lease(world: World) -> None:
    world.faults = ["POST * ignore=credit_limit", "DELETE * status=403"]
    result = world.apply(declaration([world.key("ci/a")]))
    assert "could not be removed" in messages(result)
    assert "ends with its lease" in messages(result)
    assert world.names()[0].startswith("ci/a~new.")


def test_a_delivered_key_that_does_not_get_its_name_is_made_anew_by_the_next_apply(world: World) -> None:
    wanted = declaration([world.key("ci/a")])
    world.faults = ["PATCH * status=400"]
    first = world.apply(wanted)
    assert "is delivered, but the key is not in place and ends with its lease: apply again" in messages(first)
    dying = world.secrets()["CI_A"]
    world.faults = []
    assert statuses(world.apply(wanted)) == ["create ci/a done"]
    assert world.secrets()["CI_A"] != dying
    assert world.state.opens(str(world.secrets()["CI_A"]))
    world.state.travel(timedelta(hours=25))
    assert statuses(world.apply(wanted)) == ["delete ci/a done"]
    assert world.names() == ["ci/a"]


@pytest.mark.parametrize("field", ["credit_limit", "is_enabled", "expires_at"])
def test_a_change_that_the_service_ignores_is_a_failure(world: World, field: str) -> None:
    world.state.create_key("ci/a", credit_limit=Decimal(1), expires_at=None)
    expiry = world.state.now() + timedelta(days=1)
    world.faults = [f"PATCH * ignore={field}"]
    result = world.apply(declaration([world.key("ci/a", None, is_enabled=False, expires_at=expiry)]))
    assert statuses(result) == ["update ci/a failed"]
    assert f"the service left key 1 with {field} " in messages(result)
    assert result.in_sync is False


def test_a_name_that_the_service_ignores_is_a_failure(world: World) -> None:
    world.faults = ["PATCH * ignore=name"]
    result = world.apply(declaration([world.key("ci/a")]))
    assert "the service left key 1 with name ci/a~new.0000000000000000 where ci/a was asked" in messages(result)


# --- destinations that refuse -----------------------------------------------------------------------------------------


def apply_with(world: World, keys: list[DeclaredKey], **destinations: FakeDestination) -> ApplyResult:
    world.registry = FakeRegistry(**destinations)  # type: ignore[assignment]  # it has the one method that counts
    return world.apply(declaration(keys))


def test_a_refused_delivery_removes_the_key_again(world: World) -> None:
    broken = FakeDestination(refuses=DestinationError("the disk is full"))
    result = apply_with(world, [declared("ci/a", deliver=to("broken"))], broken=broken)
    assert messages(result) == "not delivered to broken as NAME: the disk is full; the key 1 was removed again"
    assert world.names() == []


def test_a_half_delivered_key_is_left_to_its_lease_and_named(world: World) -> None:
    good, broken = FakeDestination(), FakeDestination(refuses=DestinationError("forbidden"))
    result = apply_with(world, [declared("ci/a", deliver=to("good", "broken"))], good=good, broken=broken)
    assert messages(result) == (
        "not delivered to broken as NAME: forbidden; good as NAME holds the secret of key 1, which ends with its lease"
    )
    assert world.names() == ["ci/a~new.0000000000000000"]
    assert world.state.opens(good.held["NAME"])


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_destination_that_breaks_in_an_unforeseen_way_shows_no_secret_and_stops_no_other_key(
    world: World, kind: type[BaseException]
) -> None:
    broken = FakeDestination(refuses=kind("the body was: ng-secret"))
    keys = [declared("ci/a", deliver=to("broken")), declared("ci/b", deliver=to("good"))]
    result = apply_with(world, keys, broken=broken, good=FakeDestination())
    assert statuses(result) == ["create ci/a failed", "create ci/b done"]
    assert messages(result).strip() == (
        f"not delivered to broken as NAME: unexpected {kind.__name__}, a bug of the destination; "
        "perhaps broken as NAME holds the secret of key 1, which ends with its lease"
    )


def test_nothing_is_delivered_once_the_lock_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: Account) -> None:
        msg = "another apply may write by now"
        raise LockLost(msg)

    monkeypatch.setattr(Account, "check_writing", lost)
    good = FakeDestination()
    result = apply_with(world, [declared("ci/a", deliver=to("good"))], good=good)
    assert "not delivered to good as NAME: another apply may write by now" in messages(result)
    assert good.held == {}


def test_a_defect_beside_the_destinations_shows_no_secret_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(secret: Secret) -> None:
        raise RuntimeError(secret.reveal())

    monkeypatch.setattr(world, "mask", broken)
    assert messages(world.apply(declaration([world.key("ci/a")]))).startswith("unexpected RuntimeError; key 1 ")


def test_what_a_destination_says_of_a_failure_is_shown_without_the_secret(world: World) -> None:
    class Telling(FakeDestination):
        async def deliver(self, secret_delivery: SecretDelivery) -> None:
            msg = f"cannot store {secret_delivery.secret.reveal()}"
            raise DestinationError(msg)

    result = apply_with(world, [declared("ci/a", deliver=to("telling"))], telling=Telling())
    assert messages(result) == "not delivered to telling as NAME: cannot store <secret>; the key 1 was removed again"


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_a_destination_that_breaks_in_preflight_is_named_before_the_first_write(
    world: World, kind: type[BaseException]
) -> None:
    class Broken(FakeDestination):
        async def preflight(self, _: Sequence[str]) -> None:
            raise kind

    with pytest.raises(DestinationError, match=f"^broken: unexpected {kind.__name__}, a bug of the destination$"):
        apply_with(world, [declared("ci/a", deliver=to("broken"))], broken=Broken())
    assert world.names() == []


def test_destinations_are_asked_once_and_before_the_first_write(world: World) -> None:
    shared, full = FakeDestination(), FakeDestination(preflight="it is full")
    keys = [
        declared("ci/a", deliver=to("shared")),
        declared("ci/b", deliver=to("shared", "full")),
    ]
    with pytest.raises(DestinationError, match=r"^full: it is full$"):
        apply_with(world, keys, shared=shared, full=full)
    assert shared.asked == [["NAME", "NAME"]]
    assert world.names() == []


def test_a_key_whose_secret_nobody_would_receive_is_refused_before_anybody_is_asked(world: World) -> None:
    shared = FakeDestination()
    with pytest.raises(GuardrailRefused):
        apply_with(world, [declared("ci/a", deliver=to("shared")), declared("ci/c", deliver=())], shared=shared)
    assert (shared.asked, world.names()) == ([], [])


def test_findings_of_severity_error_refuse_before_the_first_write(world: World) -> None:
    world.state.create_key("ci/a", credit_limit=None, expires_at=None)
    world.state.create_key("ci/a", credit_limit=None, expires_at=None)
    with pytest.raises(GuardrailRefused):
        world.apply(declaration([world.key("ci/a"), world.key("ci/b")]))
    assert world.names() == ["ci/a", "ci/a"]


# --- others who change the account meanwhile --------------------------------------------------------------------------


def test_a_key_that_changed_since_the_plan_is_not_deleted(world: World) -> None:
    world.state.create_key("ci/a", credit_limit=None, expires_at=None)
    result = world.apply(
        declaration([], ["ci"]), after_plan=lambda: void(world.state.update_key(1, credit_limit=Decimal(1)))
    )
    assert messages(result) == "key 1 has changed since the plan was made, so it is kept; plan again"
    assert world.names() == ["ci/a"]


def test_a_key_that_is_already_gone_is_as_good_as_deleted(world: World) -> None:
    world.state.create_key("ci/a", credit_limit=None, expires_at=None)
    result = world.apply(declaration([], ["ci"]), after_plan=lambda: void(world.state.delete_key(1)))
    assert statuses(result) == ["delete ci/a done"]


def test_a_key_that_vanished_cannot_be_changed(world: World) -> None:
    world.state.create_key("ci/a", credit_limit=None, expires_at=None)
    result = world.apply(declaration([world.key("ci/a")]), after_plan=lambda: void(world.state.delete_key(1)))
    assert "PATCH /v1/account/keys/1: 404" in messages(result)


def void(_: object) -> None:
    """Drop a result."""


# --- failures and stops -----------------------------------------------------------------------------------------------


def test_a_stop_while_destinations_are_asked_ends_the_asking_at_once(world: World) -> None:
    from reconciler.execution.executor import apply_plan
    from reconciler.execution.issue import ApplyContext
    from reconciler.planning.planner import make_plan

    stop = asyncio.Event()
    ended: list[str] = []

    class Silent(FakeDestination):
        async def preflight(self, _: Sequence[str]) -> None:
            stop.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("asking")

    world.registry = FakeRegistry(silent=Silent())  # type: ignore[assignment]  # as above

    async def work(wanted: Declaration) -> ApplyResult:
        async with world.account() as account:
            plan = make_plan(wanted, await account.list_keys())
            run = ApplyContext(account, world.registry, lambda: "00ff", lambda _: None)
            return await apply_plan(plan, wanted, run, parallelism=1, stop=stop, report=lambda _: None)

    result = asyncio.run(work(declaration([declared("ci/a", deliver=to("silent"))])))
    assert [outcome.status for outcome in result.outcomes] == [Status.NOT_ATTEMPTED]
    assert result.interrupted
    assert ended == ["asking"]
    assert world.names() == []


def test_a_failure_stops_nothing_else(world: World) -> None:
    world.state.create_key("ci/gone", credit_limit=None, expires_at=None)
    world.faults = ["POST * status=400 times=1"]
    wanted = declaration([world.key("ci/a"), world.key("ci/b"), world.key("ci/c")])
    result = world.apply(wanted, parallelism=1)
    assert statuses(result) == ["create ci/a failed", "create ci/b done", "create ci/c done", "delete ci/gone done"]
    assert [outcome.status for outcome in world.reported] == [outcome.status for outcome in result.outcomes]


def test_deletions_wait_until_everything_else_was_tried(world: World) -> None:
    world.state.create_key("ci/a", credit_limit=None, expires_at=None)
    world.apply(declaration([world.key("ci/b"), world.key("ci/c")]), parallelism=16)
    assert [str(outcome.action.kind) for outcome in world.reported] == ["create", "create", "delete"]


def test_after_a_stop_nothing_new_starts(world: World) -> None:
    world.state.create_key("ci/z", credit_limit=None, expires_at=None)
    wanted = declaration([world.key("ci/a"), world.key("ci/b")])
    result = world.apply(wanted, parallelism=1, stop=lambda _: True)
    assert statuses(result) == ["create ci/a done", "create ci/b not_attempted", "delete ci/z not_attempted"]
    assert (result.interrupted, result.in_sync) == (True, None)


def test_what_is_under_way_at_a_stop_has_its_grace_and_is_then_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "GRACE_SECONDS", 0.02)
    world.registry = FakeRegistry(good=FakeDestination(), slow=FakeDestination(hangs=True))  # type: ignore[assignment]  # as above
    wanted = declaration([declared("ci/a", deliver=to("good")), declared("ci/b", deliver=to("slow"))])
    result = world.apply(wanted, parallelism=2, stop=lambda _: True)
    assert statuses(result) == ["create ci/a done", "create ci/b failed"]
    assert "stopped before its end" in messages(result)
    assert world.names() == ["ci/a", "ci/b~new.0000000000000001"]


def test_a_defect_of_the_reporting_itself_is_not_swallowed(world: World) -> None:
    def broken(_: Any) -> bool:
        msg = "a defect"
        raise ZeroDivisionError(msg)

    with pytest.raises(ZeroDivisionError):
        world.apply(declaration([world.key("ci/a")]), stop=broken)


def test_cancelling_the_whole_run_leaves_no_task_behind(world: World) -> None:
    slow = FakeDestination(hangs=True)
    world.registry = FakeRegistry(slow=slow)  # type: ignore[assignment]  # as above

    async def work(wanted: Declaration) -> int:
        from reconciler.execution.issue import ApplyContext
        from reconciler.planning.planner import make_plan

        async with world.account() as account:
            plan = make_plan(wanted, await account.list_keys())
            run = ApplyContext(account, world.registry, lambda: "00ff", lambda _: None)
            task = asyncio.create_task(
                executor.execute(plan.actions, run, parallelism=1, stop=asyncio.Event(), report=lambda _: None)
            )
            await slow.reached.wait()
            task.cancel()
            await asyncio.wait([task])
        return len(asyncio.all_tasks())

    assert asyncio.run(work(declaration([declared("ci/a", deliver=to("slow"))]))) == 1


def test_no_outcome_ever_holds_a_secret(world: World) -> None:
    world.faults = ["PATCH * status=400 body=shape"]
    result = world.apply(declaration([world.key("ci/a")]))
    (secret,) = world.masked
    assert isinstance(secret, Secret)
    assert secret.reveal() not in messages(result) + repr(result)
