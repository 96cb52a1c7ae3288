"""Two applies at once, kept apart by a key."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.account.client import connect
from reconciler.account.lock import LEASE, Lock
from reconciler.errors import AccountError, LockLost, LockTimeout, RefusedByService
from reconciler.http.retry import Timing
from reconciler.model import KeyPatch
from reconciler.secret import Secret
from reconciler.simulator import Faults, State, parse_fault, transport
from support.command import on_a_file
from support.virtual import VirtualClock
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    import httpx

    from reconciler.account.client import Account
    from reconciler.model import CreatedKey, NewKey, Snapshot

PATIENCE = timedelta(minutes=5)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def hold(
    world: World,
    work: Callable[[Snapshot, Account], Awaitable[None]],
    *,
    patience: timedelta = PATIENCE,
    lost: Callable[[], None] = lambda: None,
    mask: Callable[[Secret], None] | None = None,
) -> None:
    """Do some work under the lock."""

    async def run() -> None:
        async with world.account() as account:
            lock = Lock(account, world.nonce, mask or world.masked.append, patience, world.timing)
            async with lock.hold(lost) as snapshot:
                await work(snapshot, account)

    asyncio.run(run())


async def nothing(_: Snapshot, __: Account) -> None:
    """Do nothing."""


def post_rival(world: World, *, lease: timedelta = LEASE) -> int:
    key, _ = world.state.create_key("reconciler~lock.rival", Decimal(0), world.state.now() + lease)
    return key.id


def test_the_lock_is_a_key_that_opens_nothing_costs_nothing_and_is_gone_afterwards(world: World) -> None:
    async def look(snapshot: Snapshot, _: Account) -> None:
        (key,) = world.live()
        assert key.name == "reconciler~lock.0000000000000000"
        assert key.credit_limit == 0
        assert key.expires_at
        assert timedelta(seconds=118) <= key.expires_at - key.created_at <= LEASE
        assert [seen.name for seen in snapshot.keys] == [key.name]

    hold(world, look)
    assert world.names() == []
    assert [secret.wiped for secret in world.masked] == [True]


@pytest.mark.parametrize("arrived", [["reconciler~lock.0000000000000000"], []])
def test_who_is_interrupted_before_the_answer_leaves_no_lock_behind(
    arrived: list[str], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.state.create_key("ci/a")

    async def run() -> None:
        async with world.account() as account:
            posted = asyncio.Event()
            create = account.create_key

            async def unheard(new: NewKey) -> CreatedKey:
                if arrived:
                    (await create(new)).secret.wipe()
                posted.set()
                await asyncio.Event().wait()
                raise AssertionError

            monkeypatch.setattr(account, "create_key", unheard)
            lock = Lock(account, world.nonce, world.masked.append, PATIENCE, world.timing)
            task = asyncio.create_task(lock.hold(lambda: None).__aenter__())
            await posted.wait()
            assert world.names() == ["ci/a", *arrived]
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(run())
    assert world.names() == ["ci/a"]


def test_who_sees_the_lock_of_another_waits_without_one_of_its_own(world: World) -> None:
    rival = post_rival(world)
    while_waiting: list[str] = []

    def rival_ends() -> None:
        while_waiting.extend(world.names())
        world.state.delete_key(rival)

    world.clock.on_sleep = rival_ends
    hold(world, nothing)
    assert while_waiting[0] == "reconciler~lock.rival"
    assert world.names() == []


def test_who_meets_another_withdraws_and_tries_again(world: World) -> None:
    rivals: list[int] = []

    def another_appears(_: Secret) -> None:
        if not rivals:
            rivals.append(post_rival(world))

    def another_ends() -> None:
        assert world.names() == ["reconciler~lock.rival"]
        world.state.delete_key(rivals[0])
        world.clock.on_sleep = lambda: None

    world.clock.on_sleep = another_ends
    hold(world, nothing, mask=another_appears)
    assert world.names() == []


def test_the_lease_is_counted_by_the_clock_of_the_service(world: World) -> None:
    world.state.travel(timedelta(days=-1))

    async def look(_: Snapshot, __: Account) -> None:
        (key,) = world.live()
        assert key.expires_at
        assert timedelta(seconds=118) <= key.expires_at - key.created_at <= LEASE

    hold(world, look)


def test_a_lock_whose_lease_has_run_out_holds_up_nobody_and_is_swept(world: World) -> None:
    post_rival(world)
    world.state.create_key("reconciler~lock.eternal", Decimal(0), None)
    world.state.travel(LEASE + timedelta(seconds=1))
    hold(world, nothing)
    assert world.names() == []


def test_who_has_waited_long_enough_is_told_for_whom(world: World) -> None:
    rival = post_rival(world, lease=timedelta(days=1))
    with pytest.raises(LockTimeout) as caught:
        hold(world, nothing)
    assert f"another apply is running: key {rival} (reconciler~lock.rival) has locked the account since " in str(
        caught.value
    )
    assert [word in str(caught.value) for word in (" 5m ", "--lock-timeout")] == [True, True]
    assert world.names() == ["reconciler~lock.rival"]


def test_a_service_that_does_not_show_the_lock_is_not_trusted(world: World) -> None:
    def vanish(_: Secret) -> None:
        for key in world.live():
            world.state.delete_key(key.id)

    with pytest.raises(LockTimeout, match="could not be locked"):
        hold(world, nothing, patience=timedelta(seconds=5), mask=vanish)


@pytest.mark.parametrize("fault", ["POST * lose=after times=1", "POST * status=503 when=after times=1"])
def test_a_lock_whose_answer_was_lost_is_found_by_its_name(world: World, fault: str) -> None:
    world.faults = [fault]
    hold(world, nothing)
    assert world.names() == []


@pytest.mark.parametrize(
    "fault", ["POST * lose=before times=4", "POST * status=503 times=4", "POST * status=408 times=4"]
)
def test_a_lock_whose_answer_was_lost_and_that_never_came_is_tried_anew(world: World, fault: str) -> None:
    world.faults = [fault]
    hold(world, nothing)
    assert world.names() == []


@pytest.mark.parametrize("fault", ["POST * lose=before", "POST * status=503"])
def test_a_lock_that_never_comes_about_is_tried_five_times(world: World, fault: str) -> None:
    world.faults = [fault]
    with pytest.raises(AccountError, match="tried 5 times"):
        hold(world, nothing)
    assert len({secret.reveal() for secret in world.masked}) == 0


def test_a_list_that_cannot_be_read_leaves_no_lock_behind(world: World) -> None:
    world.faults = ["GET * status=403 skip=1"]
    with pytest.raises(RefusedByService):
        hold(world, nothing)
    assert world.names() == []


def test_a_lock_that_cannot_be_removed_ends_with_its_lease(world: World) -> None:
    world.faults = ["DELETE * status=403"]
    hold(world, nothing)
    assert world.names() == ["reconciler~lock.0000000000000000"]
    world.state.travel(LEASE + timedelta(seconds=1))
    world.faults = []
    hold(world, nothing)
    assert world.names() == []


async def for_a_while(_: Snapshot, __: Account) -> None:
    """Work on, until the renewal has had a few turns."""
    for _turn in range(200):
        await asyncio.sleep(0)


def test_the_lease_is_renewed_while_the_work_goes_on(world: World) -> None:
    ends: set[datetime | None] = set()

    async def work(snapshot: Snapshot, account: Account) -> None:
        for _ in range(5):
            await for_a_while(snapshot, account)
            ends.update(key.expires_at for key in world.live())
            world.state.travel(timedelta(seconds=40))

    hold(world, work)
    assert len(ends) > 1


async def until_told(told: list[str]) -> None:
    for _turn in range(10_000):
        if told:
            break
        await asyncio.sleep(0)


@pytest.mark.parametrize("fault", ["PATCH * status=404", "PATCH * status=403"])
def test_a_lock_that_cannot_be_renewed_is_lost(world: World, fault: str) -> None:
    world.faults = [fault]
    world.clock.on_sleep = lambda: world.state.travel(timedelta(seconds=5))
    told: list[str] = []

    async def until_lost(_: Snapshot, __: Account) -> None:
        await until_told(told)

    hold(world, until_lost, lost=lambda: told.append("lost"))
    assert told == ["lost"]


def test_a_renewal_that_works_again_in_time_loses_nothing(world: World) -> None:
    world.faults = ["PATCH * status=403 times=1"]
    told: list[str] = []
    hold(world, for_a_while, lost=lambda: told.append("lost"))
    assert told == []


class Asleep:
    """Clocks that a test puts forward, as they show it when a machine has slept: one of them, or the other."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.machine = datetime(2026, 11, 22, tzinfo=UTC)

    def timing(self, world: World) -> Timing:
        return replace(world.timing, monotonic=lambda: self.monotonic, machine=lambda: self.machine)


@pytest.mark.parametrize("clock", ["monotonic", "machine"])
def test_who_has_slept_through_its_lease_writes_nothing_more(world: World, clock: str) -> None:
    asleep = Asleep()
    key, _ = world.state.create_key("ci/a")

    async def run() -> None:
        async with world.account() as account:
            lock = Lock(account, world.nonce, world.masked.append, PATIENCE, asleep.timing(world))
            async with lock.hold(lambda: None):
                await account.update_key(key.id, KeyPatch(name="before"))
                asleep.monotonic += 115 if clock == "monotonic" else 0
                asleep.machine += timedelta(seconds=115 if clock == "machine" else 0)
                with pytest.raises(LockLost, match="the lock on the account has run out, so nothing more was written"):
                    await account.update_key(key.id, KeyPatch(name="after"))
                with pytest.raises(LockLost):
                    account.check_writing()
                assert await account.get_key(key.id)
            await account.update_key(key.id, KeyPatch(credit_limit=Decimal(1)))

    asyncio.run(run())
    (left,) = world.live()
    assert (left.name, left.credit_limit) == ("before", Decimal(1))


def test_until_ten_seconds_before_the_end_of_the_lease_is_written_and_not_later(world: World) -> None:
    asleep = Asleep()

    async def run() -> None:
        async with world.account() as account:
            lock = Lock(account, world.nonce, world.masked.append, PATIENCE, asleep.timing(world))
            async with lock.hold(lambda: None):
                asleep.machine += LEASE - timedelta(seconds=10)
                account.check_writing()
                asleep.machine += timedelta(milliseconds=1)
                with pytest.raises(LockLost):
                    account.check_writing()

    asyncio.run(run())


def test_who_finds_its_lock_deleted_writes_nothing_more(world: World) -> None:
    key, _ = world.state.create_key("ci/a")

    async def work(_: Snapshot, account: Account) -> None:
        await until_told(told)
        with pytest.raises(LockLost):
            await account.delete_key(key.id)

    told: list[str] = []
    world.faults = ["PATCH * status=404"]
    hold(world, work, lost=lambda: told.append("lost"))
    assert world.names() == ["ci/a"]


def test_an_apply_with_nothing_to_do_takes_away_what_dead_runs_have_left_of_their_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_file(tmp_path, monkeypatch) as front:
        for name, lease in (("dead", -LEASE), ("alive", LEASE)):
            front.state.create_key(f"reconciler~lock.{name}", Decimal(0), front.state.now() + lease)
        assert front.declare("{}")("plan").code == 0
        assert front.names() == ["reconciler~lock.alive", "reconciler~lock.dead"]
        assert front("apply").code == 0
        assert front.names() == ["reconciler~lock.alive"]


def test_several_at_once_never_work_at_the_same_time() -> None:
    """In virtual time, so that who meets whom does not depend on how fast this machine is."""
    clock, chance, nonces = VirtualClock(), random.Random(0), itertools.count()  # noqa: S311  # repeatable on purpose
    timing = Timing(asyncio.sleep, chance.random, clock.monotonic, clock.now)
    at_work: list[int] = []

    async def one(number: int, service: httpx.AsyncBaseTransport) -> None:
        await asyncio.sleep(number % 3 * 0.05)
        account = connect(Secret("provisioning"), transport=service, timing=timing)
        lock = Lock(account, lambda: f"{next(nonces):x}", lambda _: None, PATIENCE, timing)
        async with lock.hold(lambda: None):
            at_work.append(number)
            await asyncio.sleep(1)
            assert at_work[-1] == number

    async def all_of_them(state: State) -> None:
        slow = Faults([parse_fault("* * latency=100ms")])
        service = transport(state, slow)
        await asyncio.gather(*(one(number, service) for number in range(6)))

    with State(":memory:", clock=clock.now) as state:
        clock.run(all_of_them(state), lambda message, error: pytest.fail(f"{message}: {error}"))
        assert sorted(at_work) == list(range(6))
        assert state.keys() == ()
