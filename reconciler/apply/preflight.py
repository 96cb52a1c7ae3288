"""Ask every destination that a plan needs, before the first write, whether it would take the secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.errors import DestinationError
from reconciler.plan.actions import Create, Rotate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.destinations.registry import Registry
    from reconciler.model import Target
    from reconciler.plan.actions import Action


async def preflight(actions: Sequence[Action], registry: Registry) -> None:
    """Raise one DestinationError that holds everything found; do nothing for a plan that issues no key."""
    names: dict[Target, list[str]] = {}
    problems = []
    for action in actions:
        if isinstance(action, Create | Rotate):
            if not action.declared.deliver:
                problems.append(f"{action.address}: no destination would receive its secret; add `deliver`")
            for delivery in action.declared.deliver:
                names.setdefault(delivery.target, []).append(delivery.name)
    answers = await asyncio.gather(*(_ask(registry, target, wanted) for target, wanted in names.items()))
    problems += [answer for answer in answers if answer]
    if problems:
        raise DestinationError("\n".join(problems))


async def _ask(registry: Registry, target: Target, names: Sequence[str]) -> str:
    try:
        await registry.open(target).preflight(names)
    except DestinationError as error:
        return f"{target.destination}: {error}"
    return ""
