"""Applies that are disturbed and killed wherever it hurts, on an account and destinations that outlive them.

Everything is repeatable: time is virtual, nonces are counted, chance is seeded.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import httpx
from dotenv import dotenv_values

from reconciler.account.client import connect
from reconciler.account.lock import Lock
from reconciler.destinations.dotenv import Dotenv
from reconciler.errors import DestinationError, ReconcilerError
from reconciler.execution.executor import apply_plan, refuse_errors
from reconciler.execution.issue import ApplyContext
from reconciler.http.retry import Timing
from reconciler.model import Activity, Snapshot, Usage
from reconciler.planning.accounts import whole
from reconciler.planning.actions import AS_THE_FILE_SAYS, PlanInputs, untouched
from reconciler.planning.budgets import windows_of
from reconciler.planning.matching import match
from reconciler.planning.planner import make_plan
from reconciler.secret import Secret
from reconciler.simulator import Faults, parse_fault, quirks
from reconciler.simulator.app import SimulatorTransport, create_app
from support.promises import Ledger, Place, Promises, environment_of
from support.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import date
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.destinations.base import Destination, SecretDelivery
    from reconciler.model import Declaration, Target
    from reconciler.planning.actions import ApplyResult, Options, Outcome

PATIENCE: Final = timedelta(minutes=5)
_Result = TypeVar("_Result")


class Killed(BaseException):
    """The process is gone, as after SIGKILL: whatever its code still tries, nothing comes of it."""


class Moment(StrEnum):
    """When a process dies at a request or a delivery; `within` leaves a request in flight, or a file half written."""

    BEFORE = "before"
    WITHIN = "within"
    AFTER = "after"


class Mood(StrEnum):
    """What becomes of a delivery."""

    FINE = "fine"
    REFUSES = "refuses"
    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"
    BREAKS = "breaks"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befalls one apply: where it is killed (counting requests and deliveries), what deliveries meet in turn.

    `stop_after` so many outcomes it is asked to stop, as by Ctrl-C.
    """

    killed_at: int | None = None
    moment: Moment = Moment.AFTER
    moods: tuple[Mood, ...] = ()
    stop_after: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One apply: of what, how, and what befalls it."""

    declaration: Declaration
    options: Options = AS_THE_FILE_SAYS
    trouble: Trouble = Trouble()  # it is frozen
    parallelism: int = 4


@dataclass(slots=True)
class End:
    """How an apply ended: with a result, an error, or neither when it was killed."""

    result: ApplyResult | None = None
    error: ReconcilerError | None = None
    killed: bool = False

    def __str__(self) -> str:
        if self.result is None:
            return "killed" if self.killed else f"error: {self.error}"
        told = [f"{o.action.kind} {o.action.address} {o.status} ({o.message or ''})" for o in self.result.outcomes]
        return "; ".join(told) or "nothing to do"


class ChaosWorld:
    """An account with its destinations: `dotenv` files in a folder, and places of type `fake` in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.ledger = Ledger(self.clock.now)
        self.vaults: dict[str, dict[str, str]] = {}
        self.promises = Promises(self.ledger, self.held)
        self.kills: Counter[Moment] = Counter()
        self.troubles: Counter[str] = Counter()
        self.posts: Counter[str] = Counter()
        self._files: dict[str, tuple[tuple[int, int], dict[str, str | None]]] = {}
        self._nonces = itertools.count(1)
        self.ahead = timedelta(0)
        self._seeds = itertools.count()
        self._chance = random.Random(0)  # noqa: S311  # repeatable on purpose
        self.timing = Timing(
            asyncio.sleep, self._chance.random, self.clock.monotonic, lambda: self.clock.now() + self.ahead
        )

    def close(self) -> None:
        self.ledger.close()

    def nonce(self) -> str:
        return f"{next(self._nonces):x}"

    def travel(self, by: timedelta) -> None:
        self.clock.advance(by)
        self.promises.check()

    def held(self, where: Place) -> str | None:
        """Read a secret where it was delivered, as its consumer would."""
        target, name = where
        if target.type == "fake":
            return self.vaults.get(target.destination, {}).get(name)
        path = self.folder / str(dict(target.settings)["path"])
        if not path.exists():
            return None
        status = path.stat()
        stamp = (status.st_ino, status.st_mtime_ns)
        if self._files.get(target.destination, (None,))[0] != stamp:
            self._files[target.destination] = (stamp, dict(dotenv_values(path)))
        return self._files[target.destination][1].get(name)

    def apply(self, *orders: Order, faults: Sequence[str] = ()) -> list[End]:
        """Carry out the orders, all at the same time, against a service with these faults."""
        self.promises.declared(order.declaration for order in orders)
        self.promises.careless_service = any("ignore=" in spec for spec in faults)
        before = self._unowned(orders)
        ends = self.clock.run(self._apply(orders, faults), self._mishap)
        self.promises.careless_service = False
        self.promises.check()
        if self._unowned(orders) != before:
            self.promises.broken.append(f"unmanaged keys were touched: {before} became {self._unowned(orders)}")
        return ends

    def snapshot(self) -> Snapshot:
        """The account as the service would show it now."""
        from reconciler.model import LiveKey

        keys = tuple(
            LiveKey(key.id, key.name, key.created_at, key.expires_at, key.is_enabled, key.credit_limit)
            for key in self.ledger.live()
        )
        return Snapshot(keys, self.ledger.now())

    def inputs(self, declaration: Declaration) -> PlanInputs:
        """What the keys whose budgets renew have used, in the windows that tell it."""
        snapshot = self.snapshot()
        days = windows_of(declaration, match(declaration, snapshot).live, snapshot.now)
        return PlanInputs(activity=tuple(self._activity(each, snapshot.now.date()) for each in sorted(days)))

    def _activity(self, days: int, today: date) -> Activity:
        spent = self.ledger.spent(today - timedelta(days=days - 1), today)
        return Activity(days, {key_id: Usage(days, cost, 1) for key_id, cost in spent.items()})

    async def _apply(self, orders: Sequence[Order], faults: Sequence[str]) -> list[End]:
        struck = _Counted(faults, next(self._seeds), self.clock.monotonic, self.troubles)
        service = SimulatorTransport(create_app(self.ledger, faults=struck))
        ends = await asyncio.gather(*(_Process(self, order, service).live() for order in orders))
        # The service goes on with what the dead have asked for, and what is left of them ends at its next step.
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left)
        return ends

    def _unowned(self, orders: Sequence[Order]) -> list[object]:
        """The keys that none of the files owns by their environment or claims by an earlier name."""
        environments = {name for order in orders for name in order.declaration.environments}
        claimed = {name for order in orders for key in order.declaration.keys for name in key.renamed_from}
        return [
            key
            for key in self.ledger.live()
            if environment_of(key.name) not in environments
            and key.name.partition("~")[0] not in claimed
            and not key.name.startswith("reconciler~lock.")
        ]

    def _mishap(self, message: str, error: BaseException | None) -> None:
        if not isinstance(error, Killed):
            self.promises.broken.append(f"{message}: {error!r}")


class _Counted(Faults):
    """Faults that are counted by kind when they strike."""

    def __init__(self, specs: Sequence[str], seed: int, clock: Callable[[], float], counter: Counter[str]) -> None:
        super().__init__((), seed=seed, clock=clock)
        for spec in specs:
            self.add([parse_fault(spec)])
        self._kinds = [what_it_does(spec) for spec in specs]
        self._counter = counter

    def strike(self, method: str, path: str, name: str = "") -> Any:
        before = [active.struck for active in self._active]
        verdict = super().strike(method, path, name)
        for kind, active, struck in zip(self._kinds, self._active, before, strict=True):
            self._counter[kind] += active.struck - struck
        return verdict


_KINDS: Final = ("latency=", "status=", "when=", "rate=", "lose=", "body=", "ignore=", *quirks.WORDS)


def what_it_does(spec: str) -> str:
    """Give those words of a fault that say what it does: not to which requests, nor how often."""
    return " ".join(word for word in spec.split() if word.startswith(_KINDS))


class _Process:
    """One apply as the command does it, mortal."""

    def __init__(self, world: ChaosWorld, order: Order, service: httpx.AsyncBaseTransport) -> None:
        self.world = world
        self.order = order
        self.dead = False
        self.wanted = {key.address: key for key in order.declaration.keys}
        self._service = service
        self._steps = 0
        self._moods = iter(order.trouble.moods)
        self._opened: dict[Target, Destination] = {}

    async def live(self) -> End:
        try:
            return End(await self._work())
        except ReconcilerError as error:
            return End(error=error)
        except Killed:
            return End(killed=True)

    async def _work(self) -> ApplyResult:
        order, world = self.order, self.world
        async with self._account() as account:
            shown = await account.list_keys()
            inputs = world.inputs(order.declaration)
            plan = make_plan(order.declaration, shown, order.options, inputs)
            refuse_errors(plan.findings)
            if not plan.actions:
                return untouched(whole([plan]))
            stop = asyncio.Event()
            outcomes: list[Outcome] = []

            def report(outcome: Outcome) -> None:
                outcomes.append(outcome)
                if len(outcomes) == order.trouble.stop_after:
                    stop.set()

            run = ApplyContext(account, self, world.nonce, lambda _: None)  # type: ignore[arg-type]  # it has the one method that counts
            async with Lock(account, world.nonce, run.mask, PATIENCE, world.timing).hold(stop.set) as snapshot:
                plan = make_plan(order.declaration, snapshot, order.options, inputs)
                await account.refuse_partial(snapshot, (key.id for key in shown.keys))
                return await apply_plan(
                    plan, order.declaration, run, parallelism=order.parallelism, stop=stop, report=report
                )

    def _account(self) -> Account:
        transport = _Mortal(self, self._service)
        return connect(
            Secret("a-provisioning-key"),
            transport=transport,
            timing=self.world.timing,
            parallelism=self.order.parallelism + 1,  # as the command has it: one for the lock's renewal
        )

    def open(self, target: Target) -> Destination:
        """Give a destination, as the registry does."""
        if target not in self._opened:
            self._opened[target] = _Unreliable(self, target)
        return self._opened[target]

    def next_mood(self) -> Mood:
        return next(self._moods, Mood.FINE)

    async def step(
        self, effect: Callable[[], Awaitable[_Result]], within: Callable[[Awaitable[_Result]], None]
    ) -> _Result:
        """Let something happen in the world, or die at it."""
        if self.dead:
            raise Killed
        self._steps += 1
        moment = self.order.trouble.moment if self._steps == self.order.trouble.killed_at else None
        if moment is Moment.BEFORE:
            self.die()
        if moment is Moment.WITHIN:
            within(effect())
            self.die()
        try:
            return await effect()
        finally:
            if moment is Moment.AFTER:
                self.die()
            if self.dead:  # by another task, while this one waited
                raise Killed

    def die(self) -> NoReturn:
        self.dead = True
        self.world.kills[self.order.trouble.moment] += 1
        raise Killed


class _Mortal(httpx.AsyncBaseTransport):
    """Carries the requests of a process to the service, which outlives it."""

    def __init__(self, process: _Process, service: httpx.AsyncBaseTransport) -> None:
        self._process = process
        self._service = service
        self._left_behind: set[asyncio.Future[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        def in_flight(response: Awaitable[httpx.Response]) -> None:
            task = asyncio.ensure_future(response)
            self._left_behind.add(task)
            task.add_done_callback(asyncio.Future.exception)  # nobody else looks at it

        if request.method == "POST":
            self._process.world.posts["lock" if b"reconciler~lock." in request.read() else "key"] += 1
        return await self._process.step(lambda: self._service.handle_async_request(request), in_flight)


class _Unreliable:
    """A destination with moods: a dotenv file, or a place in memory."""

    def __init__(self, process: _Process, target: Target) -> None:
        self._process = process
        self._world = process.world
        self._target = target
        self._file = None
        if target.type == "dotenv":
            path = str(self._world.folder / str(dict(target.settings)["path"]))
            self._file = Dotenv(type(target)(target.destination, "dotenv", (("path", path),)))

    async def preflight(self, names: Sequence[str]) -> None:
        if self._file:
            await self._file.preflight(names)

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        self._world.promises.sent(secret_delivery.key_id, self._process.wanted[secret_delivery.address])

        async def effect() -> None:
            mood = self._process.next_mood()
            if mood is not Mood.FINE:
                self._world.troubles[f"delivery {mood}"] += 1
            await self._deliver(secret_delivery, mood)

        await self._process.step(effect, self._half_written)

    async def _deliver(self, secret_delivery: SecretDelivery, mood: Mood) -> None:
        match mood:
            case Mood.REFUSES:
                msg = "it refuses"
                raise DestinationError(msg)
            case Mood.BREAKS:
                msg = "broken"
                raise ZeroDivisionError(msg)
            case Mood.LOST_BEFORE:
                msg = "no answer"
                raise DestinationError(msg, uncertain=True)
            case Mood.SLOW:
                await asyncio.sleep(45)
            case _:
                pass
        self._world.promises.arrives(secret_delivery.key_id)
        if self._file:
            await self._file.deliver(secret_delivery)
        else:
            self._world.vaults.setdefault(self._target.destination, {})[secret_delivery.name] = (
                secret_delivery.secret.reveal()
            )
        self._world.promises.check()
        if mood is Mood.LOST_AFTER:
            msg = "no answer"
            raise DestinationError(msg, uncertain=True)

    def _half_written(self, delivery: Awaitable[None]) -> None:
        """Leave what a process leaves that dies while it writes: the temporary file."""
        delivery.close()  # type: ignore[attr-defined]  # it is a coroutine
        if self._file:
            (self._world.folder / ".reconciler-0123456789abcdef.tmp").write_text("HALF='ng-")
