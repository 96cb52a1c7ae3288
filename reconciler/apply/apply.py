"""From an approved plan to an account that matches it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.executor import execute
from reconciler.apply.preflight import preflight
from reconciler.errors import AccountError, GuardrailRefused
from reconciler.plan.outcome import ApplyResult
from reconciler.plan.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from reconciler.apply.run import Run
    from reconciler.model import Declaration
    from reconciler.plan.actions import Plan
    from reconciler.plan.outcome import Outcome


def refuse_errors(plan: Plan) -> None:
    """Raise GuardrailRefused when a finding forbids to carry out the plan."""
    if plan.errors:
        count = len(plan.errors)
        msg = f"refused: {count} finding{'s' * (count > 1)} of the plan must be resolved first; nothing was changed"
        raise GuardrailRefused(msg)


async def apply_plan(
    plan: Plan,
    declaration: Declaration,
    run: Run,
    *,
    parallelism: int,
    stop: asyncio.Event,
    report: Callable[[Outcome], None],
) -> ApplyResult:
    """Carry out the plan, then read the account again: it must plan to nothing.

    Raises GuardrailRefused or DestinationError (preflight) before the first write; failures after it are outcomes.
    """
    refuse_errors(plan)
    await _unless(stop, preflight(plan.actions, run.registry))
    outcomes = await execute(plan.actions, run, parallelism=parallelism, stop=stop, report=report)
    if stop.is_set():
        return ApplyResult(outcomes, interrupted=True)
    try:
        snapshot = await run.account.list_keys()
    except AccountError as error:
        return ApplyResult(outcomes, interrupted=False, note=f"the result could not be checked: {error}")
    # As of the plan's own time, and without rotations for age: what became due meanwhile is the next run's work.
    options = replace(plan.options, rotate=frozenset(), due=False)
    remaining = make_plan(declaration, replace(snapshot, now=plan.created_at), options)
    return ApplyResult(outcomes, interrupted=False, remaining=remaining)


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
