"""Executes the actions of a plan, and checks afterwards that the account matches."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from reconciler.account.wire import same_key
from reconciler.destinations.base import FOREIGN, Describing, Ending
from reconciler.destinations.shared import unforeseen
from reconciler.diagnostic import Severity
from reconciler.errors import AccountError, DestinationError, GuardrailRefused, ReconcilerError
from reconciler.execution.issue import (
    Issued,
    create_and_deliver,
    finish,
    refuse_dead,
    refuse_revoked,
    rotate,
)
from reconciler.model import EXEC
from reconciler.planning.accounts import whole
from reconciler.planning.actions import (
    ApplyResult,
    Create,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Finish,
    Outcome,
    PlanInputs,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Status,
    Update,
    errors_of,
    patch,
)
from reconciler.planning.deliveries import Answer, Holding
from reconciler.planning.names import without_period
from reconciler.planning.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence

    from reconciler.destinations.registry import Registry
    from reconciler.execution.issue import ApplyContext
    from reconciler.model import Address, Declaration, DeclaredKey, Delivery, Target
    from reconciler.planning.actions import AccountPlan, Action
    from reconciler.planning.deliveries import Due


# Carry out one action.


async def execute_action(action: Action, context: ApplyContext) -> tuple[int, str | None]:
    """Do it, and return the id of the key concerned and what to know about it although it is done.

    Raises AccountError or DestinationError when it is not done.
    """
    match action:
        case Create(declared=declared):
            return _told(await create_and_deliver(declared, declared.settled, context))
        case Rotate():
            return _told(await rotate(action, context))
        case Finish():
            return await finish(action, context), None
        case Update() | Renew() | Rename() | Retire() | Restore():
            return await _change(action, context), None
        case Delete():
            return await _delete(action, context)
    assert_never(action)


def _told(issued: Issued) -> tuple[int, str | None]:
    return issued.key.id, issued.note


async def _change(action: Update | Renew | Rename | Retire | Restore, context: ApplyContext) -> int:
    live, after = action.live, action.after
    if after.is_enabled and not live.is_enabled and Field.IS_ENABLED in action.fields:
        await refuse_revoked(live, context)
    asked = patch(after, action.fields)
    changed = await context.account.update_key(live.id, asked)
    if after.is_enabled:
        await refuse_dead(changed, live, asked, without_period(after.name), context)
    return changed.id


async def _delete(action: Delete, context: ApplyContext) -> tuple[int, str | None]:
    """Delete what was planned and nothing else: the key is read once more and must still be what the plan saw."""
    current = await context.account.get_key(action.live.id)
    if current is not None:
        if not same_key(current, action.live):
            msg = f"key {action.live.id} has changed since the plan was made, so it is kept; plan again"
            raise AccountError(msg)
        await context.account.delete_key(action.live.id)
    return action.live.id, await _put_away(action, context)


async def _put_away(action: Delete, context: ApplyContext) -> str | None:
    """Have destinations put away what they keep of a key that was rotated out; gives what did not work."""
    if action.address is None or action.reason is not DeleteReason.OVERLAP_OVER:
        return None
    troubles = []
    for delivery in context.deliveries.get(action.address, ()):
        try:
            destination = context.registry.open(delivery.target)
            if isinstance(destination, Ending):
                await destination.ended(delivery.name, action.live.id)
        except DestinationError as error:
            troubles.append(f"what {delivery.target.destination} keeps of it was not put away: {error}")
        except FOREIGN as error:
            troubles.append(f"what {delivery.target.destination} keeps of it was not put away: {unforeseen(error)}")
    return "; ".join(troubles) or None


# Carry out a plan: independent changes at the same time, deletions last, and an orderly end when asked to stop.

GRACE_SECONDS: Final = 7.0
_CUT_OFF: Final = "stopped before its end; plan shows where it stands, and the next apply completes it"
_LEFT: Final = "; a new key of it that is not in place ends with its lease, within 24 h"
_KEPT: Final = "kept, since another change of the same address failed"


async def execute(
    actions: Sequence[Action],
    context: ApplyContext,
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
            outcomes[position] = await _attempt(action, context)
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


async def _attempt(action: Action, context: ApplyContext) -> Outcome:
    try:
        key_id, note = await execute_action(action, context)
    except ReconcilerError as error:
        return Outcome(action, Status.FAILED, str(error))
    except asyncio.CancelledError:
        # Swallowed on purpose: only a stop cancels a worker, and its outcome has to be told.
        left = _LEFT if isinstance(action, Create | Rotate) else ""
        return Outcome(action, Status.FAILED, _CUT_OFF + left)
    except Exception as error:  # noqa: BLE001  # a third-party destination may raise anything, and others must go on
        # The message of a foreign exception might hold the secret, so only its type is told.
        return Outcome(action, Status.FAILED, f"unexpected {type(error).__name__}")
    return Outcome(action, Status.DONE, note, key_id)


# From an approved plan to an account that matches it.


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Raise GuardrailRefused when a finding forbids to carry out a plan."""
    if count := len(errors_of(findings)):
        msg = f"refused: {count} finding{'s' * (count > 1)} of the plan must be resolved first; nothing was changed"
        raise GuardrailRefused(msg)


async def apply_plan(
    plan: AccountPlan,
    declaration: Declaration,
    context: ApplyContext,
    *,
    parallelism: int,
    stop: asyncio.Event,
    report: Callable[[Outcome], None],
) -> ApplyResult:
    """Carry out the plan of an account, then read the account again: it must plan to nothing.

    Raises GuardrailRefused or DestinationError (preflight) before the first write; failures after it are outcomes.
    """
    refuse_errors(plan.findings)
    if not context.is_ready:
        await _unless(stop, preflight(plan.actions, context.registry))
    context = replace(context, deliveries={key.address: key.deliver for key in declaration.keys})
    outcomes = await execute(plan.actions, context, parallelism=parallelism, stop=stop, report=report)
    if stop.is_set():
        return ApplyResult(outcomes, interrupted=True)
    try:
        snapshot = await context.account.read_back()
    except AccountError as error:
        return ApplyResult(outcomes, interrupted=False, note=f"the result could not be checked: {error}")
    # As of the plan's own time, and without rotations for age: what became due meanwhile is the next run's work.
    options = replace(plan.options, rotate=frozenset(), by_age=False)
    inputs = PlanInputs(account=plan.account)
    remaining = make_plan(declaration, replace(snapshot, now=plan.created_at), options, inputs)
    return ApplyResult(outcomes, interrupted=False, remaining=whole([remaining]))


async def _unless(stop: asyncio.Event, asking: Coroutine[Any, Any, None]) -> None:
    """Ask until there is an answer or a stop: nothing is written yet, so there is nothing to finish."""
    asked = asyncio.ensure_future(asking)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([asked, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not asked.done():
            asked.cancel()
            await asyncio.wait([asked])
    if not asked.cancelled():
        asked.result()


# What is asked before the first write, and what destinations hold.

RULE: Final = "preflight"
ALLOWANCE: Final = "allow-exec"


async def preflight(actions: Sequence[Action], registry: Registry) -> None:
    """Raise one DestinationError that holds everything found; do nothing for a plan that issues no key."""
    if found := await obstacles(actions, registry):
        raise DestinationError("\n".join(finding.message for finding in found))


def allowances(actions: Sequence[Action]) -> list[Finding]:
    """Return which destinations of a plan run a command, so that whoever applies it knows to allow that."""
    needs: dict[str, list[tuple[DeclaredKey, Delivery]]] = {}
    for key in _issued(actions):
        for delivery in key.deliver:
            if delivery.target.type == EXEC:
                needs.setdefault(delivery.target.destination, []).append((key, delivery))
    return [_allowance(name, needs[name]) for name in sorted(needs)]


def _allowance(name: str, needs: Sequence[tuple[DeclaredKey, Delivery]]) -> Finding:
    key, delivery = needs[0]
    count = f"{len(needs)} secrets" if len(needs) > 1 else "its secret"
    message = f"{name}: a command of keys.yaml takes {count}, which apply runs only with --allow-exec"
    return Finding(ALLOWANCE, Severity.NOTE, message, key.address if len(needs) == 1 else None, delivery.source)


def _issued(actions: Sequence[Action]) -> list[DeclaredKey]:
    return [action.declared for action in actions if isinstance(action, Create | Rotate)]


async def obstacles(actions: Sequence[Action], registry: Registry) -> list[Finding]:
    """Return everything that would keep a secret from arriving, each at its place in the file; writes nothing."""
    targets: dict[Target, list[tuple[DeclaredKey, Delivery]]] = {}
    for key in _issued(actions):
        for delivery in key.deliver:
            targets.setdefault(delivery.target, []).append((key, delivery))
    answers = await asyncio.gather(*(_ask(registry, *needs) for needs in targets.items()))
    return [answer for answer in answers if answer]


async def _ask(registry: Registry, target: Target, needs: Sequence[tuple[DeclaredKey, Delivery]]) -> Finding | None:
    try:
        await registry.open(target).preflight([delivery.name for _, delivery in needs])
    except DestinationError as error:
        why = str(error)
    except FOREIGN as error:
        why = unforeseen(error)
    else:
        return None
    key, delivery = needs[0]
    address = key.address if len(needs) == 1 else None
    return Finding(RULE, Severity.ERROR, f"{target.destination}: {why}", address, delivery.source)


# Ask the destinations that can tell whose secrets they hold; reads no secret and writes nothing.


async def ask_destinations(due: Iterable[Due], registry: Registry) -> Mapping[Target, Answer]:
    """Ask each destination once about all the names that are due there; what cannot be told is an answer too."""
    names: dict[Target, list[str]] = {}
    for each in due:
        names.setdefault(each.delivery.target, []).append(each.delivery.name)
    answers = await asyncio.gather(*(_ask_holdings(registry, target, wanted) for target, wanted in names.items()))
    return dict(zip(names, answers, strict=True))


async def _ask_holdings(registry: Registry, target: Target, names: list[str]) -> Answer:
    try:
        destination = registry.open(target)
        if not isinstance(destination, Describing):
            return Answer()
        held = await destination.describe(names)
        return Answer({name: Holding(each.key_id, each.since) for name, each in held.items()})
    except DestinationError as error:
        return Answer(failure=str(error))
    except FOREIGN as error:
        return Answer(failure=unforeseen(error))
