"""Keys that live as long as something runs, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.account.client import connect
from reconciler.engine.leasing import LeaseContext, check_balance, find_lease, hold, watch_balance
from reconciler.errors import GuardrailRefused, RefusedByService, UsageError
from reconciler.http.retry import RetryPolicy, Timing
from reconciler.model import Lease
from reconciler.secret import Secret
from reconciler.simulator import Faults, State, parse_fault, transport
from support.builders import SOMEWHERE, address, declaration, declared
from support.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from reconciler.account.client import Account
    from reconciler.model import CreatedKey
    from reconciler.simulator.state import Key

AGENT = Lease(address("ci/agent"), "ci/agent", Decimal(2), timedelta(minutes=15), 2, SOMEWHERE)
FILE = declaration(environments=["ci"], leases=(AGENT,))


@dataclass
class World:
    """An account, and what was said to whoever holds a lease on it."""

    clock: VirtualClock
    state: State
    said: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def run(self, work: Callable[[], Awaitable[object]]) -> None:
        async def run() -> None:
            await work()

        self.clock.run(run(), lambda message, error: pytest.fail(f"{message}: {error}"))

    def account(self) -> Account:
        faults = Faults(map(parse_fault, self.faults))
        timing = Timing(asyncio.sleep, random.Random(0).random, self.clock.monotonic, self.clock.now)  # noqa: S311  # repeatable on purpose
        retry = RetryPolicy(downtime=5.0)
        return connect(Secret("provisioning"), transport=transport(self.state, faults), timing=timing, retry=retry)

    def context(self, account: Account) -> LeaseContext:
        nonces = itertools.count()
        return LeaseContext(account, self.said.append, lambda: f"{next(nonces):x}")

    def hold(self, inside: Callable[[CreatedKey], Awaitable[None]], lease: Lease = AGENT) -> None:
        async def work() -> None:
            async with self.account() as account, hold(lease, FILE, self.context(account)) as created:
                await inside(created)

        self.run(work)

    def live(self) -> tuple[Key, ...]:
        return self.state.keys()

    def names(self) -> list[str]:
        return [key.name for key in self.live()]


@pytest.fixture
def world() -> Iterator[World]:
    clock = VirtualClock()
    with State(":memory:", clock=clock.now) as state:
        yield World(clock, state)


async def nothing(_: CreatedKey) -> None:
    """Do nothing."""


def test_a_key_of_a_lease_has_its_limit_and_its_ttl_and_is_gone_afterwards(world: World) -> None:
    async def look(created: CreatedKey) -> None:
        (key,) = world.live()
        assert key.name == "ci/agent~run.0"
        assert (key.id, key.credit_limit, key.is_enabled) == (created.key.id, Decimal(2), True)
        assert key.expires_at == world.clock.now() + timedelta(minutes=15)
        held.append(created.secret)

    held: list[Secret] = []
    world.hold(look)
    assert world.names() == []
    assert [secret.wiped for secret in held] == [True]
    assert world.said == []


def test_a_day_of_work_never_outlives_its_key_and_an_abandoned_key_ends_within_the_ttl(world: World) -> None:
    async def a_day(_: CreatedKey) -> None:
        for _minute in range(24 * 60):
            await asyncio.sleep(60)
            (key,) = world.live()
            assert key.expires_at is not None
            assert timedelta(minutes=7) < key.expires_at - world.clock.now() <= AGENT.ttl

    world.hold(a_day)
    assert world.said == []


def test_who_fails_inside_leaves_no_key_behind(world: World) -> None:
    async def fail(_: CreatedKey) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        world.hold(fail)
    assert world.names() == []


@pytest.mark.parametrize(
    "fault",
    [
        "POST /v1/account/keys lose=after times=1",
        "POST /v1/account/keys status=503 times=1",
        "GET /v1/account/keys lag=2s",
        "PATCH * lose=after times=1",
        "DELETE * lose=after times=1",
    ],
)
def test_a_lost_answer_or_a_list_that_lags_costs_no_key_and_leaves_none(world: World, fault: str) -> None:
    async def half_an_hour(_: CreatedKey) -> None:
        await asyncio.sleep(1800)
        assert [key.is_enabled for key in world.live()] == [True]

    world.faults.append(fault)
    world.hold(half_an_hour)
    assert world.names() == []


@pytest.mark.parametrize("rivals", [1, 2, 5])
def test_as_many_as_max_open_get_a_key_and_all_others_none_however_they_meet(world: World, rivals: int) -> None:
    got: list[int] = []
    refused: list[int] = []

    async def one(number: int, account: Account) -> None:
        context = LeaseContext(account, world.said.append, lambda: f"{number:x}")
        try:
            async with hold(AGENT, FILE, context):
                got.append(number)
                await asyncio.sleep(600)
        except GuardrailRefused:
            refused.append(number)

    async def work() -> None:
        async with world.account() as account:
            await asyncio.gather(*(one(number, account) for number in range(rivals)))

    world.faults += ["* * latency=50ms", "GET /v1/account/keys lag=1s"]
    world.run(work)
    assert (len(got), len(refused)) == (min(rivals, AGENT.max_open), max(0, rivals - AGENT.max_open))
    assert world.names() == []


def test_a_lease_that_was_abandoned_counts_until_it_ends(world: World) -> None:
    for nonce in ("x", "y"):
        world.state.create_key(f"ci/agent~run.{nonce}", Decimal(2), world.clock.now() + timedelta(minutes=10))
    with pytest.raises(GuardrailRefused):
        world.hold(nothing)
    world.clock.advance(timedelta(minutes=11))
    world.hold(nothing)


def test_other_leases_and_keys_do_not_count(world: World) -> None:
    for name in ("ci/agents~run.x", "ci/agent", "ci/agent~old.20270101T000000Z", "dev/agent~run.y"):
        world.state.create_key(name, Decimal(2), world.clock.now() + timedelta(days=1))
    world.hold(nothing, replace(AGENT, max_open=1))


def test_a_renewal_that_fails_is_tried_until_the_key_is_dead(world: World) -> None:
    async def wait(_: CreatedKey) -> None:
        await asyncio.sleep(3600)

    world.faults.append("PATCH * status=503")
    world.hold(wait)
    assert len(world.said) > 2
    assert world.names() == []


def test_a_renewal_that_failed_once_is_made_up_for(world: World) -> None:
    async def wait(_: CreatedKey) -> None:
        await asyncio.sleep(3600)
        (key,) = world.live()
        assert key.expires_at is not None
        assert key.expires_at > world.clock.now()

    world.faults.append("PATCH * status=503 times=9")
    world.hold(wait)
    assert world.said


@pytest.mark.parametrize("change", ["delete", "disable"])
def test_a_key_that_somebody_took_away_is_not_brought_back(world: World, change: str) -> None:
    async def taken_away(created: CreatedKey) -> None:
        if change == "delete":
            world.state.delete_key(created.key.id)
        else:
            world.state.update_key(created.key.id, is_enabled=False)
        await asyncio.sleep(3600)
        assert not any(key.is_enabled for key in world.live())
        assert len(world.said) == 1

    world.hold(taken_away)


def test_a_key_that_cannot_be_deleted_is_named_and_ends_by_itself(world: World) -> None:
    world.faults.append("DELETE * status=503")
    world.hold(nothing)
    assert len(world.said) == 1
    assert len(world.names()) == 1


def test_a_service_that_refuses_a_key_ends_it_before_it_begins(world: World) -> None:
    world.faults.append("POST /v1/account/keys status=402")
    with pytest.raises(RefusedByService):
        world.hold(nothing)


def test_the_balance_is_looked_at_every_minute_and_one_that_cannot_be_read_stops_nothing(world: World) -> None:
    async def watch() -> None:
        async with world.account() as account:
            await check_balance(account, Decimal(10))
            why = asyncio.create_task(watch_balance(Decimal(10), world.context(account)))
            await asyncio.sleep(170)
            assert not why.done()
            assert len(world.said) == 1
            world.state.set_balance(Decimal(9))
            await asyncio.sleep(20)
            assert why.done()
            with pytest.raises(GuardrailRefused):
                await check_balance(account, Decimal(10))

    world.state.set_balance(Decimal(50))
    world.faults.append("GET /v1/account/balance status=403 skip=2 times=1")
    world.run(watch)


@pytest.mark.parametrize(
    ("wanted", "limit"), [("ci/nobody", None), ("ci/key", None), ("ci/agent", Decimal("2.01"))], ids=str
)
def test_what_is_no_lease_and_a_higher_limit_are_refused(wanted: str, limit: Decimal | None) -> None:
    file = declaration([declared("ci/key")], leases=(AGENT,))
    with pytest.raises(UsageError):
        find_lease(file, address(wanted), limit)


def test_a_limit_may_be_lowered_and_one_given_where_the_file_has_none() -> None:
    boundless = declaration(environments=["ci"], leases=(replace(AGENT, credit_limit=None),))
    assert find_lease(FILE, AGENT.address, Decimal(1)).credit_limit == 1
    assert find_lease(boundless, AGENT.address, Decimal(100)).credit_limit == 100
    assert find_lease(FILE, AGENT.address) == AGENT
