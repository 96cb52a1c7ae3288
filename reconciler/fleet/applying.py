"""The part of an apply that writes: each account under its own lock, until it is done or told to stop."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from reconciler.account.lock import Lock
from reconciler.apply.apply import apply_plan
from reconciler.apply.run import Run
from reconciler.destinations.registry import Registry
from reconciler.errors import ReconcilerError, StalePlan
from reconciler.fleet.agreement import Agreement
from reconciler.fleet.order import refuse_stale
from reconciler.fleet.planning import plan_account, spare_other_accounts
from reconciler.fleet.reading import AT_A_TIME, CONNECTIONS, in_a_line
from reconciler.fleet.slots import Slot
from reconciler.fleet.stopping import Stopping
from reconciler.plan.digest import digest
from reconciler.plan.outcome import cut_short, untouched
from reconciler.units import format_duration, format_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractContextManager

    from reconciler.fleet.order import Listener, Order
    from reconciler.fleet.reading import Reading, Readings
    from reconciler.model import LiveKey, Snapshot
    from reconciler.plan.actions import Plan
    from reconciler.plan.outcome import ApplyResult, Outcome

LOCK_LOST: Final = (
    "the lock on the account could not be renewed and another apply may have started, so this one stopped; apply again"
)


async def carry_out(
    readings: Readings,
    order: Order,
    listener: Listener,
    signals: Callable[[Callable[[], object]], AbstractContextManager[None]],
) -> ApplyResult:
    """Plan each account that needs a change again on what is live under its lock, carry that out, and tell the result.

    Accounts go on independently: what keeps one from being applied is told, and the others are. What was reviewed as a
    whole is an exception: every account is locked and read before the first write anywhere. `signals` has the signals
    of the process call what it is given. Of a single account, raises StalePlan when it is not what was shown and
    somebody had to approve that, LockTimeout when another apply goes on for too long, and what `apply_plan` raises.
    """
    async with aclosing(Registry(allow_exec=order.allow_exec)) as registry:
        crew = _Crew(readings, order, listener, registry)
        async with asyncio.TaskGroup() as group:
            for leg in crew.legs:
                leg.start(group)
            with signals(crew.signal):
                await crew.ended()
    return crew.conclude()


class _Crew:
    """The applies of all accounts, one leg each."""

    def __init__(self, readings: Readings, order: Order, listener: Listener, registry: Registry) -> None:
        self.order = order
        self.listener = listener
        self.registry = registry
        self.plan = readings.plan
        self.several = order.request.several
        at_a_time = max(1, min(AT_A_TIME, CONNECTIONS // order.parallelism))
        self.slots = asyncio.Semaphore(at_a_time)
        self._unread = {variable: str(error) for variable, error in readings.unread.items()}
        self._resting = {v: untouched(each.plan) for v, each in readings.accounts.items() if not each.plan.actions}
        self.legs = [_Leg(v, each, self) for v, each in readings.accounts.items() if each.plan.actions]
        self.agreement = Agreement([leg.variable for leg in self.legs])
        self._said: set[str] = set()
        self._finished = False

    def signal(self) -> None:
        """Take in a signal."""
        for leg in self.legs:
            leg.stopping.signal()

    async def judge(self, plans: Mapping[str, Plan]) -> None:
        """See, before the first write anywhere, that what was reviewed is what all accounts together need."""
        if not self.several:
            refuse_stale(next(iter(plans.values())), self.order)
            return
        from reconciler.apply.preflight import preflight
        from reconciler.plan.merge import merge

        plan = merge({**self.plan.parts, **plans})
        refuse_stale(plan, self.order)
        await preflight(plan.actions, self.registry)

    def say(self, message: str) -> None:
        """Say what several may have to say alike."""
        if message not in self._said:
            self._said.add(message)
            self.listener.say(message)

    async def ended(self) -> None:
        """Wait until nothing goes on in any account."""
        if self.legs:
            await asyncio.wait([leg.task for leg in self.legs])

    def settle(self) -> None:
        """Tell the result as soon as it is known, which is before the last lock is taken away."""
        if not self._finished and all(leg.settled for leg in self.legs) and not self._failure():
            self._finished = True
            self.listener.finished(self._result())

    def conclude(self) -> ApplyResult:
        """Give the result, or raise what stands in its place."""
        if failure := self._failure():
            raise failure
        for leg in self.legs:
            leg.settled = True
        self.settle()
        if any(leg.task.cancelled() for leg in self.legs):
            raise asyncio.CancelledError
        return self._result()

    def _failure(self) -> BaseException | None:
        """Give what leaves no result to tell.

        Of one account it is what went wrong before a change; of several a bug in one, or that all became stale.
        """
        if self.order.expected is not None and self.agreement.failure is not None:
            return self.agreement.failure
        if len(self.legs) == 1 and not self._resting and not self._unread:
            (leg,) = self.legs
            if leg.result is None:
                return leg.error or (asyncio.CancelledError() if leg.task.cancelled() else None)
        stale = [leg.error for leg in self.legs if isinstance(leg.error, StalePlan)]
        if stale and len(stale) == len(self.legs):
            return StalePlan("\n".join(dict.fromkeys(map(str, stale))))
        return next((leg.error for leg in self.legs if not isinstance(leg.error, ReconcilerError | None)), None)

    def _result(self) -> ApplyResult:
        results = {**self._resting, **{leg.variable: leg.outcome() for leg in self.legs}}
        if not self.several:
            return next(iter(results.values()))
        from reconciler.plan.merge import merge_results

        failed = {leg.variable: str(leg.error) for leg in self.legs if leg.error is not None and leg.result is None}
        return merge_results(results, {**self._unread, **failed})


@dataclass(slots=True)
class _Leg:
    """The apply of one account."""

    variable: str
    shown: Reading
    crew: _Crew
    result: ApplyResult | None = None
    error: Exception | None = None
    settled: bool = False
    task: asyncio.Task[None] = field(init=False)
    stopping: Stopping = field(init=False)
    _plan: Plan = field(init=False)
    _slot: Slot = field(init=False)
    _reported: list[Outcome] = field(init=False, default_factory=list)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin, at once with all others, so that a signal finds them all."""
        self._plan = self.shown.plan
        self._slot = Slot(self.crew.slots)
        self.task = group.create_task(self._run())
        self.stopping = Stopping(self.task, self.crew.say)

    def outcome(self) -> ApplyResult:
        """Give what became of it, also when it came to nothing."""
        interrupted = self.result is None and self.error is None
        return self.result or cut_short(self._plan, self._reported, interrupted=interrupted)

    async def _run(self) -> None:
        try:
            await self._whole()
        except Exception as error:  # noqa: BLE001  # the others go on, whatever it is; it is raised at their end
            self.error = error
            self.crew.agreement.fail(error)
            if self.crew.several and not isinstance(error, StalePlan):
                self.crew.say(f"error: {self.variable}: {in_a_line(error)}")
        except asyncio.CancelledError as error:
            self.crew.agreement.fail(error)
            raise
        finally:
            self.settled = True
            self.crew.settle()

    async def _whole(self) -> None:
        try:
            if self.crew.order.expected is not None:
                await self.crew.agreement.turn(self.variable)
            else:
                await self._slot.take()
            await self._connected()
        finally:
            self._slot.give_back()

    async def _connected(self) -> None:
        """Lock the account, plan it again, and carry that out."""
        order, crew = self.crew.order, self.crew
        # One more than the changes need, so that the lock is renewed even while each of them waits for its answer.
        async with order.request.open(self.variable, order.parallelism + 1) as account:
            run = Run(account, crew.registry, nonce=lambda: secrets.token_hex(8), mask=crew.listener.mask)
            async with self._locked(run) as snapshot:
                plan = plan_account(order.request, self.variable, snapshot, self.shown.facts)
                await self._agree(plan)
                await self._slot.take()
                self.result = await self._apply(plan, run)
                self.settled = True
                crew.settle()
                self.stopping.leave()

    async def _agree(self, plan: Plan) -> None:
        """See that the plan is the one that was shown or reviewed, or tell it where nobody has to approve it."""
        crew, order = self.crew, self.crew.order
        if order.expected is not None:
            await crew.agreement.reach(self.variable, plan, crew.judge)
        if digest(plan) == digest(self.shown.plan):
            return
        if order.expected is None and not order.auto_approve:
            msg = (
                "the account changed after the plan was shown, so nothing was changed; `reconciler apply` shows it anew"
            )
            raise StalePlan(msg)
        spare_other_accounts(order.request, self.variable, self.shown.plan, plan)
        crew.listener.replanned(self.variable, plan)

    async def _apply(self, plan: Plan, run: Run) -> ApplyResult:
        order = self.crew.order
        self._plan = plan
        if order.guard is not None:
            await order.guard()

        def report(outcome: Outcome) -> None:
            self._reported.append(outcome)
            self.crew.listener.report(outcome)

        self.crew.listener.begin(self.variable, plan)
        work = apply_plan(
            plan,
            order.request.part(self.variable),
            run,
            parallelism=order.parallelism,
            stop=self.stopping.event,
            report=report,
        )
        result = await self.stopping.finish(
            work,
            complete=lambda: len(self._reported) >= len(plan.actions),
            cut_off=lambda: cut_short(plan, self._reported, interrupted=True),
        )
        if self.crew.several and result.remaining is not None:
            from reconciler.plan.merge import of_account

            result = replace(result, remaining=of_account(result.remaining, self.variable))
        if result.interrupted and self.stopping.lock_lost and not self.stopping.signalled:
            return replace(result, interrupted=False, note=LOCK_LOST)
        return result

    @asynccontextmanager
    async def _locked(self, run: Run) -> AsyncIterator[Snapshot]:
        """Read the account under its lock, unless it is not to be locked."""
        patience = self.crew.order.lock_patience
        if patience is None:
            yield await run.account.list_keys()
            return

        def waiting(rival: LiveKey) -> None:
            since = format_instant(rival.created_at)
            whose = f"key {rival.id} ({rival.name}) has locked the account since {since}"
            which = f" on {self.variable}" if self.crew.several else ""
            self._slot.give_back()  # many that are locked must not hold up those that are not
            self.crew.say(f"Waiting up to {format_duration(patience)} for another apply{which}: {whose}.")

        async with Lock(run.account, run.nonce, run.mask, patience, waiting=waiting).hold(
            self.stopping.lose_lock
        ) as snapshot:
            yield snapshot
