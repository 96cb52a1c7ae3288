"""Carry out a plan: independent changes at the same time, deletions last, and an orderly end when asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from reconciler.apply.change import carry_out
from reconciler.errors import ReconcilerError
from reconciler.plan.actions import Delete
from reconciler.plan.outcome import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from reconciler.apply.run import Run
    from reconciler.model import Address
    from reconciler.plan.actions import Action

GRACE_SECONDS: Final = 7.0
_CUT_OFF: Final = "stopped before its end; plan shows where it stands, and the next apply completes it"
_KEPT: Final = "kept, since another change of the same address failed"


async def execute(
    actions: Sequence[Action],
    run: Run,
    *,
    parallelism: int,
    stop: asyncio.Event,
    report: Callable[[Outcome], None],
) -> tuple[Outcome, ...]:
    """Carry out the actions, `parallelism` at a time; `report` hears of each outcome as it comes.

    What happens at one address happens in the plan's order, and a failure stops the rest of it, but nothing else: what
    comes later may be the sign by which the next run knows that a change is incomplete. All deletions wait until
    everything else has been tried. Once `stop` is set nothing new starts, and what is under way has seven seconds to
    finish. Returns an outcome for each action, in the plan's order.
    """
    outcomes: dict[int, Outcome] = {}
    failed: set[Address] = set()

    async def perform(position: int) -> None:
        action = actions[position]
        if action.address in failed:
            outcomes[position] = Outcome(action, Status.NOT_ATTEMPTED, _KEPT)
        else:
            outcomes[position] = await _attempt(action, run)
            if outcomes[position].status is Status.FAILED and action.address is not None:
                failed.add(action.address)
        report(outcomes[position])

    deletions = [position for position, action in enumerate(actions) if isinstance(action, Delete)]
    others = [position for position, action in enumerate(actions) if not isinstance(action, Delete)]
    for wave in (_by_address(others, actions), _by_address(deletions, actions)):
        queue = iter(wave)
        await _supervise([_work(queue, perform, stop) for _ in wave[:parallelism]], stop)
    return tuple(
        outcomes.get(position) or Outcome(action, Status.NOT_ATTEMPTED) for position, action in enumerate(actions)
    )


def _by_address(positions: Sequence[int], actions: Sequence[Action]) -> list[list[int]]:
    """Put together what has to happen one after the other; a key without an address concerns no other."""
    groups: dict[Address | int, list[int]] = {}
    for position in positions:
        groups.setdefault(actions[position].address or position, []).append(position)
    return list(groups.values())


async def _work(queue: Iterator[Sequence[int]], perform: Callable[[int], Awaitable[None]], stop: asyncio.Event) -> None:
    for group in queue:
        for position in group:
            if stop.is_set():
                return
            await perform(position)


async def _supervise(workers: Sequence[Awaitable[None]], stop: asyncio.Event) -> None:
    """Wait for the workers; after a stop give them their grace, then cut them off."""
    work: asyncio.Future[Any] = asyncio.gather(*workers)
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([work], timeout=GRACE_SECONDS)
    finally:
        stopped.cancel()
        cut_off = work.cancel()
        await asyncio.wait([work])
        if cut_off:
            # Looked at, or asyncio complains on the terminal that nobody did.
            with contextlib.suppress(asyncio.CancelledError):
                work.exception()
    if not cut_off:
        work.result()


async def _attempt(action: Action, run: Run) -> Outcome:
    try:
        key_id = await carry_out(action, run)
    except ReconcilerError as error:
        return Outcome(action, Status.FAILED, str(error))
    except asyncio.CancelledError:
        # Swallowed on purpose: only a stop cancels a worker, and its outcome has to be told.
        return Outcome(action, Status.FAILED, _CUT_OFF)
    except Exception as error:  # noqa: BLE001  # a third-party destination may raise anything, and others must go on
        # The message of a foreign exception might hold the secret, so only its type is told.
        return Outcome(action, Status.FAILED, f"unexpected {type(error).__name__}")
    return Outcome(action, Status.DONE, key_id=key_id)
