"""The part of an apply that writes: under the account's lock, until it is done or told to stop."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from reconciler.account.lock import Lock
from reconciler.apply.apply import apply_plan
from reconciler.apply.run import Run
from reconciler.cli.console import mask, note
from reconciler.cli.interrupt import signals_call
from reconciler.cli.wiring import open_account
from reconciler.destinations.registry import Registry
from reconciler.errors import StalePlan
from reconciler.plan.digest import digest
from reconciler.plan.planfile import moved
from reconciler.plan.planner import make_plan
from reconciler.render.document import plan_document
from reconciler.units import format_duration, format_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from datetime import timedelta

    from reconciler.cli.apply_output import Output
    from reconciler.cli.progress import Progress
    from reconciler.cli.request import Request
    from reconciler.model import LiveKey, Snapshot
    from reconciler.plan.actions import Plan
    from reconciler.plan.facts import Facts
    from reconciler.plan.outcome import ApplyResult

# What is left for taking the lock away once a run was told to stop. A cancelled workflow kills 10 s after its first
# signal, and the grace of what was under way has taken 7 s of these.
LEAVING_SECONDS: Final = 2.0
LOCK_LOST: Final = (
    "the lock on the account could not be renewed and another apply may have started, so this one stopped; apply again"
)


@dataclass(frozen=True, slots=True)
class Order:
    """What this apply was asked to do, and how.

    Without `lock_patience` the account is not locked. `expected` is the digest of the plan that was reviewed, if one
    was: nothing else is carried out then. `reviewed` are the changes of that plan, if it was saved.
    """

    request: Request
    parallelism: int
    lock_patience: timedelta | None
    auto_approve: bool
    allow_exec: bool = False
    expected: str | None = None
    reviewed: tuple[Mapping[str, Any], ...] = ()


def refuse_stale(plan: Plan, order: Order) -> None:
    """Raise StalePlan, with what moved, unless the plan is the one that was reviewed; without a review nothing is."""
    found = digest(plan)
    if order.expected in (None, found):
        return
    changes = plan_document(plan, found)["changes"]
    moves = moved(order.reviewed, cast("list[Mapping[str, Any]]", changes)) if order.reviewed else ()
    lines = ("the plan is not the one that was reviewed, so nothing was changed; plan and review again", *moves)
    raise StalePlan("\n".join((*lines, f"the digest is {found}, and {order.expected} was reviewed")))


async def carry_out(shown: Plan, facts: Facts, order: Order, output: Output) -> ApplyResult:
    """Plan again on what is live under the lock, carry that out, and show the result.

    Raises StalePlan when it is not what was shown and somebody had to approve that, LockTimeout when another apply goes
    on for too long, and what `apply_plan` raises.
    """
    async with (
        # One more than the changes need, so that the lock is renewed even while every one of them waits for its answer.
        open_account(order.request.simulator, parallelism=order.parallelism + 1) as account,
        aclosing(Registry(allow_exec=order.allow_exec)) as registry,
    ):
        run = Run(account, registry, nonce=lambda: secrets.token_hex(8), mask=mask)
        stopping = _Stopping()
        with signals_call(stopping.signal):
            async with _locked(run, order, stopping.lose_lock) as snapshot:
                plan = make_plan(order.request.declaration, snapshot, order.request.options, facts)
                _check_same(shown, plan, order, output)
                with output.progress(plan) as progress:
                    result = await stopping.finish(
                        apply_plan(
                            plan,
                            order.request.declaration,
                            run,
                            parallelism=order.parallelism,
                            stop=stopping.event,
                            report=progress.report,
                        ),
                        progress,
                    )
                result = _judged(result, stopping, output)
                output.show_result(result)
                stopping.leave()
    return result


def _check_same(shown: Plan, plan: Plan, order: Order, output: Output) -> None:
    """See that the plan is the one that was shown, or show it where nobody has to approve it."""
    if digest(plan) == digest(shown):
        return
    refuse_stale(plan, order)
    if not order.auto_approve:
        msg = "the account changed after the plan was shown, so nothing was changed; plan again"
        raise StalePlan(msg)
    note("The account has changed meanwhile; this is the plan now:")
    output.show_plan(plan)


def _judged(result: ApplyResult | None, stopping: _Stopping, output: Output) -> ApplyResult:
    """Tell a run that was interrupted from one that lost its lock; None is one that was cut off."""
    if result is None:
        return output.so_far(interrupted=True)
    if result.interrupted and not stopping.signalled:
        return replace(result, interrupted=False, note=LOCK_LOST)
    return result


@asynccontextmanager
async def _locked(run: Run, order: Order, lost: Callable[[], None]) -> AsyncIterator[Snapshot]:
    """Read the account under its lock, unless it is not to be locked."""
    if order.lock_patience is None:
        yield await run.account.list_keys()
        return
    patience = format_duration(order.lock_patience)

    def waiting(rival: LiveKey) -> None:
        since = format_instant(rival.created_at)
        whose = f"key {rival.id} ({rival.name}) has locked the account since {since}"
        note(f"Waiting up to {patience} for another apply: {whose}.")

    async with Lock(run.account, run.nonce, run.mask, order.lock_patience, waiting=waiting).hold(lost) as snapshot:
        yield snapshot


class _Stopping:
    """What ends a run before its work is done: signals, or the loss of the lock.

    ========================  =====================================================================
    a signal comes while it   ...
    waits for the lock        the run is cancelled
    carries the plan out      nothing new starts, what is under way gets its grace
    is stopping like that     what is under way is cut off, further signals change nothing
    takes the lock away       two seconds are left, further signals change nothing
    ========================  =====================================================================
    """

    def __init__(self) -> None:
        """Begin with waiting for the lock, in the task that does the whole run."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this is called in a coroutine
        self.event = asyncio.Event()
        self.signalled = False
        self._cancel_all = task.cancel
        self._react: Callable[[], object] = self._cancel_all
        self._say: Callable[[str], None] = note

    def signal(self) -> None:
        """Take in a signal."""
        self._react()

    def lose_lock(self) -> None:
        """Stop, since what is written from now on might meet another run."""
        self._say("error: the lock on the account could not be renewed, so another apply may start; stopping")
        self.event.set()

    async def finish(self, coroutine: Coroutine[Any, Any, ApplyResult], progress: Progress) -> ApplyResult | None:
        """Carry the plan out; None when signals cut it off."""
        work = asyncio.create_task(coroutine)

        def cut_off() -> None:
            self._react = _nothing
            work.cancel()

        def ask() -> None:
            self.signalled = True
            self._react = cut_off
            self._say("Stopping: finishing what is under way, starting nothing new.")
            self.event.set()
            if progress.complete:  # all that goes on is the reading that checks the result
                cut_off()

        self._react, self._say = ask, progress.say
        try:
            return await work
        except asyncio.CancelledError:
            return None
        finally:
            self._react, self._say = self._hurry, note

    def leave(self) -> None:
        """Take the lock away; quickly, if the run was told to stop."""
        if self.signalled:
            self._hurry()

    def _hurry(self) -> None:
        self.signalled = True
        self._react = _nothing
        asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._cancel_all)


def _nothing() -> None:
    """Change nothing."""
