"""Asks destinations before the first write: would they take the secrets, and which do they hold?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from reconciler.destinations.base import FOREIGN, Describing
from reconciler.destinations.shared import unforeseen
from reconciler.diagnostic import Severity
from reconciler.errors import DestinationError
from reconciler.model import EXEC
from reconciler.planning.actions import Create, Finding, Rotate
from reconciler.planning.deliveries import Answer, Holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.destinations.registry import Registry
    from reconciler.model import DeclaredKey, Delivery, Target
    from reconciler.planning.actions import Action
    from reconciler.planning.deliveries import Due


RULE: Final = "preflight"
ALLOWANCE: Final = "allow-exec"


async def preflight(actions: Sequence[Action], registry: Registry) -> None:
    """Raise one DestinationError that holds everything found; do nothing for a plan that issues no key."""
    if found := await obstacles(actions, registry):
        raise DestinationError("\n".join(finding.message for finding in found))


def allowances(actions: Sequence[Action]) -> list[Finding]:
    """Tell which destinations of a plan run a command, so that whoever applies it knows to allow that."""
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
    """Give everything that would keep a secret from arriving, each at its place in the file; writes nothing."""
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
