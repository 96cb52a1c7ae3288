"""Ask the destinations that can tell whose secrets they hold; reads no secret and writes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.destinations.base import FOREIGN, Describing
from reconciler.destinations.wording import unforeseen
from reconciler.errors import DestinationError
from reconciler.plan.deliveries import Answer, Holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.destinations.registry import Registry
    from reconciler.model import Target
    from reconciler.plan.deliveries import Due


async def ask_destinations(due: Iterable[Due], registry: Registry) -> Mapping[Target, Answer]:
    """Ask each destination once about all the names that are due there; what cannot be told is an answer too."""
    names: dict[Target, list[str]] = {}
    for each in due:
        names.setdefault(each.delivery.target, []).append(each.delivery.name)
    answers = await asyncio.gather(*(_ask(registry, target, wanted) for target, wanted in names.items()))
    return dict(zip(names, answers, strict=True))


async def _ask(registry: Registry, target: Target, names: list[str]) -> Answer:
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
