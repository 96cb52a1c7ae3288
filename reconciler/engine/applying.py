"""Applies a plan: each account under its own lock, until it is done or told to stop."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from reconciler.account.lock import Lock
from reconciler.destinations.registry import Registry
from reconciler.engine.accounts import AT_A_TIME, CONNECTIONS, Slot, in_a_line
from reconciler.engine.planning import doubtful, plan_account, spare_other_accounts
from reconciler.errors import AccountError, ReconcilerError, StalePlan
from reconciler.execution.executor import apply_plan, preflight, refuse_errors
from reconciler.execution.issue import ApplyContext
from reconciler.planning.accounts import UNREAD, merge_results, whole
from reconciler.planning.actions import cut_short, untouched
from reconciler.planning.planfile import digest, moved
from reconciler.units import format_duration, format_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from reconciler.account.client import Account
    from reconciler.destinations.base import Receiver
    from reconciler.engine.accounts import PlanRequest
    from reconciler.engine.planning import Reading, Readings
    from reconciler.model import LiveKey, Snapshot
    from reconciler.planning.actions import AccountPlan, ApplyResult, Outcome, Plan
    from reconciler.secret import Secret


# What an apply is asked to do, who hears how it goes on, and what forbids it before it begins.


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """What this apply was asked to do, and how.

    Of each account, `parallelism` changes are made at a time. Without `lock_patience` the accounts are not locked.
    Without `auto_approve` only what was shown is done. `expected` is the digest of the plan that was reviewed, if one
    was: nothing else is carried out then, in whatever account. `reviewed` are the changes of that plan, if it was
    saved. `guard` is asked right before the first write in each account, and raises what forbids it. `receivers` take
    the secrets of destinations of type python, by the destinations' names.
    """

    request: PlanRequest
    parallelism: int
    lock_timeout: timedelta | None
    auto_approve: bool
    allow_exec: bool = False
    expected: str | None = None
    reviewed: tuple[Mapping[str, Any], ...] = ()
    guard: Callable[[], Awaitable[None]] | None = None
    receivers: Mapping[str, Receiver] | None = None


class Listener(Protocol):
    """Hears how an apply moves on."""

    def mask(self, secret: Secret) -> None:
        """Hear of a secret before anything else happens with it."""
        ...

    def say(self, message: str) -> None:
        """Hear in words what is worth knowing at once."""
        ...

    def replanned(self, variable: str, plan: AccountPlan) -> None:
        """Hear that an account has changed since its plan was shown, and that this one is carried out instead."""
        ...

    def begin(self, variable: str, plan: AccountPlan) -> None:
        """Hear that the plan of an account, as it is under the lock, is carried out from now on."""
        ...

    def report(self, outcome: Outcome) -> None:
        """Hear of one outcome."""
        ...

    def finished(self, result: ApplyResult) -> None:
        """Hear the result, once."""
        ...


def check_outset(readings: Readings, apply_request: ApplyRequest) -> None:
    """Raise what forbids to carry out a plan, before anything is locked.

    GuardrailRefused when a finding does, in whichever account; StalePlan when it is not the plan that was reviewed, and
    AccountError when that cannot be told. Without a review, an account that could not be read holds up no other.
    """
    refuse_errors(finding for finding in readings.plan.findings if finding.rule != UNREAD)
    if apply_request.expected is not None and readings.unread:
        msg = "what was reviewed is done as a whole, and not every account could be read, so nothing was changed"
        raise AccountError("\n".join((msg, *(f"{v}: {in_a_line(each)}" for v, each in readings.unread.items()))))
    refuse_stale(readings.plan, apply_request)


def refuse_stale(plan: Plan, apply_request: ApplyRequest) -> None:
    """Raise StalePlan, with what moved, unless the plan is the one that was reviewed; without a review nothing is."""
    found = digest(plan)
    if apply_request.expected in (None, found):
        return
    from reconciler.planning.planfile import plan_document

    changes = plan_document(plan, found)["changes"]
    moves = moved(apply_request.reviewed, cast("list[Mapping[str, Any]]", changes)) if apply_request.reviewed else ()
    lines = (
        "the plan is not the one that was reviewed, so nothing was changed; review a new `reconciler plan`",
        *moves,
    )
    raise StalePlan("\n".join((*lines, f"the digest is {found}, and {apply_request.expected} was reviewed")))


# All or nothing: what was reviewed as a whole is begun in no account before all of them are locked and read.


class Agreement:
    """Lets accounts be locked one after the other, in the same order in every run, and begun all together.

    Two runs that locked the same accounts in different orders could wait for each other for ever. `failure` is what
    kept all from being begun.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        """Take the variables of the accounts, in the order they are locked."""
        self.failure: BaseException | None = None
        self._variables = list(variables)
        self._plans: dict[str, AccountPlan] = {}
        self._changed = asyncio.Event()
        self._begun = False

    async def turn(self, variable: str) -> None:
        """Wait until every earlier account is locked and read."""
        await self._until(lambda: len(self._plans) >= self._variables.index(variable))

    async def reach(
        self, variable: str, plan: AccountPlan, judge: Callable[[Collection[AccountPlan]], Awaitable[None]]
    ) -> None:
        """Wait until all are locked and read; `judge` gets all their plans, once, and raises unless they may begin."""
        self._plans[variable] = plan
        self._tell()
        if len(self._plans) == len(self._variables):
            await judge(self._plans.values())
            self._begun = True
            self._tell()
        await self._until(lambda: self._begun)

    def fail(self, error: BaseException) -> None:
        """Have nothing begun, unless it has been already."""
        if not self._begun and self.failure is None:
            self.failure = error
            self._tell()

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            if self.failure is not None:
                msg = "nothing was changed, since another account of the same plan could not be begun"
                raise AccountError(msg)
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


# The part of an apply that writes: each account under its own lock, until it is done or told to stop.

LOCK_LOST: Final = (
    "the lock on the account could not be renewed and another apply may have started, so this one stopped; apply again"
)


async def execute_plans(
    readings: Readings,
    apply_request: ApplyRequest,
    listener: Listener,
    signals: Callable[[Callable[[], object]], AbstractContextManager[None]],
) -> ApplyResult:
    """Plan each account that needs a change again on what is live under its lock, carry that out, and tell the result.

    Accounts go on independently: what keeps one from being applied is told, and the others are. What was reviewed as a
    whole is an exception: every account is locked and read before the first write anywhere. `signals` has the signals
    of the process call what it is given. Of a single account, raises StalePlan when it is not what was shown and
    somebody had to approve that, LockTimeout when another apply goes on for too long, and what `apply_plan` raises.
    """
    async with aclosing(Registry(allow_exec=apply_request.allow_exec, receivers=apply_request.receivers)) as registry:
        crew = _Crew(readings, apply_request, listener, registry)
        async with asyncio.TaskGroup() as group:
            for leg in crew.legs:
                leg.start(group)
            with signals(crew.signal):
                await crew.ended()
    return crew.conclude()


class _Crew:
    """The applies of all accounts, one leg each."""

    def __init__(self, readings: Readings, apply_request: ApplyRequest, listener: Listener, registry: Registry) -> None:
        self.apply_request = apply_request
        self.listener = listener
        self.registry = registry
        self.plan = readings.plan
        at_a_time = max(1, min(AT_A_TIME, CONNECTIONS // apply_request.parallelism))
        self.slots = asyncio.Semaphore(at_a_time)
        self._unread = {variable: str(error) for variable, error in readings.unread.items()}
        resting = (each for each in readings.accounts.items() if not each[1].plan.actions)
        self._resting = {variable: untouched(whole([each.plan])) for variable, each in resting}
        self.legs = [_Leg(v, each, self) for v, each in readings.accounts.items() if each.plan.actions]
        self.agreement = Agreement([leg.variable for leg in self.legs])
        self._said: set[str] = set()
        self._finished = False

    def signal(self) -> None:
        """Take in a signal."""
        for leg in self.legs:
            leg.stopping.signal()

    async def judge(self, plans: Collection[AccountPlan]) -> None:
        """See before the first write that all accounts need what was reviewed, and that it can be delivered."""
        accounts = {each.account: each for each in (*self.plan.accounts, *plans)}
        plan = whole(accounts.values())
        refuse_stale(plan, self.apply_request)
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
        """Return the result, or raise what stands in its place."""
        if failure := self._failure():
            raise failure
        for leg in self.legs:
            leg.settled = True
        self.settle()
        if any(leg.task.cancelled() for leg in self.legs):
            raise asyncio.CancelledError
        return self._result()

    def _failure(self) -> BaseException | None:
        """Return what leaves no result to tell.

        Of one account it is what went wrong before a change; of several a bug in one, or that all became stale.
        """
        if self.apply_request.expected is not None and self.agreement.failure is not None:
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
    _plan: AccountPlan = field(init=False)
    _slot: Slot = field(init=False)
    _reported: list[Outcome] = field(init=False, default_factory=list)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin, at once with all others, so that a signal finds them all."""
        self._plan = self.shown.plan
        self._slot = Slot(self.crew.slots)
        self.task = group.create_task(self._run())
        self.stopping = Stopping(self.task, self.crew.say)

    def outcome(self) -> ApplyResult:
        """Return what became of it, also when it came to nothing."""
        interrupted = self.result is None and self.error is None
        return self.result or cut_short(whole([self._plan]), self._reported, interrupted=interrupted)

    async def _run(self) -> None:
        try:
            await self._whole()
        except Exception as error:  # noqa: BLE001  # the others go on, whatever it is; it is raised at their end
            self.error = error
            self.crew.agreement.fail(error)
            if self._plan.account is not None and not isinstance(error, StalePlan):
                self.crew.say(f"error: {self.variable}: {in_a_line(error)}")
        except asyncio.CancelledError as error:
            self.crew.agreement.fail(error)
            raise
        finally:
            self.settled = True
            self.crew.settle()

    async def _whole(self) -> None:
        try:
            if self.crew.apply_request.expected is not None:
                await self.crew.agreement.turn(self.variable)
            else:
                await self._slot.take()
            await self._connected()
        finally:
            self._slot.give_back()

    async def _connected(self) -> None:
        """Lock the account, plan it again, and carry that out."""
        apply_request, crew = self.crew.apply_request, self.crew
        # One more than the changes need, so that the lock is renewed even while each of them waits for its answer.
        async with apply_request.request.open(self.variable, apply_request.parallelism + 1) as account:
            is_ready = apply_request.expected is not None  # they all agree on it before
            run = ApplyContext(
                account,
                crew.registry,
                nonce=lambda: secrets.token_hex(8),
                mask=crew.listener.mask,
                is_ready=is_ready,
            )
            async with self._locked(run) as snapshot:
                plan = plan_account(apply_request.request, self.variable, snapshot, self.shown.inputs)
                await self._see_all(plan, snapshot, account)
                await self._agree(plan)
                await self._slot.take()
                self.result = await self._apply(plan, run)
                self.settled = True
                crew.settle()
                self.stopping.leave()

    async def _see_all(self, plan: AccountPlan, snapshot: Snapshot, account: Account) -> None:
        """Raise IncompleteList when the list lacks a key that is there: one shown before, or one that was used."""
        before = {key.id for key in self.shown.snapshot.keys}
        await account.refuse_partial(snapshot, (before | doubtful(plan, self.shown.inputs)) - self.shown.gone)

    async def _agree(self, plan: AccountPlan) -> None:
        """See that the plan is the one that was shown or reviewed, or tell it where nobody has to approve it."""
        crew, apply_request = self.crew, self.crew.apply_request
        if apply_request.expected is not None:
            await crew.agreement.reach(self.variable, plan, crew.judge)
        if digest(plan) == digest(self.shown.plan):
            return
        if apply_request.expected is None and not apply_request.auto_approve:
            msg = (
                "the account changed after the plan was shown, so nothing was changed; `reconciler apply` shows it anew"
            )
            raise StalePlan(msg)
        spare_other_accounts(apply_request.request, self.variable, self.shown.plan, plan)
        crew.listener.replanned(self.variable, plan)

    async def _apply(self, plan: AccountPlan, run: ApplyContext) -> ApplyResult:
        apply_request = self.crew.apply_request
        self._plan = plan
        if apply_request.guard is not None:
            await apply_request.guard()

        def report(outcome: Outcome) -> None:
            self._reported.append(outcome)
            self.crew.listener.report(outcome)

        self.crew.listener.begin(self.variable, plan)
        work = apply_plan(
            plan,
            apply_request.request.part(self.variable),
            run,
            parallelism=apply_request.parallelism,
            stop=self.stopping.event,
            report=report,
        )
        result = await self.stopping.finish(
            work,
            complete=lambda: len(self._reported) >= len(plan.actions),
            cut_off=lambda: cut_short(whole([plan]), self._reported, interrupted=True),
        )
        if result.interrupted and self.stopping.lock_lost and not self.stopping.signalled:
            return replace(result, interrupted=False, note=LOCK_LOST)
        return result

    @asynccontextmanager
    async def _locked(self, run: ApplyContext) -> AsyncIterator[Snapshot]:
        """Read the account under its lock, unless it is not to be locked."""
        lock_timeout = self.crew.apply_request.lock_timeout
        if lock_timeout is None:
            yield await run.account.list_keys()
            return

        def waiting(rival: LiveKey) -> None:
            since = format_instant(rival.created_at)
            whose = f"key {rival.id} ({rival.name}) has locked the account since {since}"
            which = "" if self._plan.account is None else f" on {self.variable}"
            self._slot.give_back()  # many that are locked must not hold up those that are not
            self.crew.say(f"Waiting up to {format_duration(lock_timeout)} for another apply{which}: {whose}.")

        async with Lock(run.account, run.nonce, run.mask, lock_timeout, waiting=waiting).hold(
            self.stopping.lose_lock
        ) as snapshot:
            yield snapshot


# What ends the apply of an account before its work is done: signals, or the loss of the lock.

# What is left for taking the lock away once a run was told to stop. A cancelled workflow kills 10 s after its first
# signal, and the grace of what was under way has taken 7 s of these.
LEAVING_SECONDS: Final = 2.0


class Stopping:
    """Decides what a signal does to the apply of one account.

    ========================  =====================================================================
    a signal comes while it   ...
    waits for the lock        it is cancelled, two seconds are left to take its lock away
    carries the plan out      nothing new starts, what is under way gets its grace
    is stopping like that     what is under way is cut off, further signals change nothing
    takes the lock away       two seconds are left, further signals change nothing
    ========================  =====================================================================
    """

    def __init__(self, task: asyncio.Task[Any], say: Callable[[str], None]) -> None:
        """Begin with waiting for the lock, in the task that does all for the account."""
        self.event = asyncio.Event()
        self.signalled = False
        self.lock_lost = False
        self._cancel_all = task.cancel
        self._react: Callable[[], object] = self._give_up
        self._say = say

    def signal(self) -> None:
        """Take in a signal."""
        self._react()

    def lose_lock(self) -> None:
        """Stop, since what is written from now on might meet another run."""
        self._say("error: the lock on the account could not be renewed, so another apply may start; stopping")
        self.lock_lost = True
        self.event.set()

    async def finish(
        self,
        coroutine: Coroutine[Any, Any, ApplyResult],
        *,
        complete: Callable[[], bool],
        cut_off: Callable[[], ApplyResult],
    ) -> ApplyResult:
        """Carry the plan out.

        `complete` tells whether everything has an outcome; `cut_off` gives the result of what signals ended at once.
        """
        work = asyncio.create_task(coroutine)

        def end() -> None:
            self._react = _nothing
            work.cancel()

        def ask() -> None:
            self.signalled = True
            self._react = end
            self._say("Stopping: finishing what is under way, starting nothing new.")
            self.event.set()
            if complete():  # all that goes on is the reading that checks the result
                end()

        self._react = ask
        try:
            return await work
        except asyncio.CancelledError:
            return cut_off()
        finally:
            self._react = self._hurry

    def leave(self) -> None:
        """Take the lock away; quickly, if the run was told to stop."""
        if self.signalled:
            self._hurry()

    def _give_up(self) -> None:
        self._cancel_all()
        asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._cancel_all)

    def _hurry(self) -> None:
        self.signalled = True
        self._react = _nothing
        asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._cancel_all)


def _nothing() -> None:
    """Change nothing."""
