"""Whether destinations hold the secrets of the keys that are live, by what they tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.planning.actions import Create, Delete, Finding, Retire, Rotate
from reconciler.planning.matching import match
from reconciler.units import format_instant, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Address, Declaration, Delivery, LiveKey, Snapshot, Target
    from reconciler.planning.actions import AccountPlan

TOLERATED_SKEW: Final = timedelta(minutes=5)
"""By how much the clock of a destination may be behind that of the service."""


@dataclass(frozen=True, slots=True)
class Due:
    """A secret that a destination should hold: of this live key."""

    address: Address
    key: LiveKey
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Holding:
    """A secret that a destination holds: of which key, and since when (UTC); None is unknown."""

    key_id: int | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a destination says it holds, by name; `held` None: it cannot tell, or failed to, which `failure` words."""

    held: Mapping[str, Holding] | None = None
    failure: str = ""


def due_deliveries(declaration: Declaration, snapshot: Snapshot, plan: AccountPlan) -> list[Due]:
    """Return the secrets that destinations should hold, less those that the plan delivers anyway."""
    holders = match(declaration, snapshot).live
    for action in plan.actions:
        if isinstance(action, Create | Rotate):
            holders.pop(action.address, None)
        elif not isinstance(action, Delete | Retire):
            holders[action.address] = action.live
    covers = plan.options.selector()
    return [
        Due(declared.address, holders[declared.address], delivery)
        for declared in declaration.keys
        if declared.address in holders and covers(declared.address)
        for delivery in declared.deliver
    ]


def undelivered(due: Sequence[Due], answers: Mapping[Target, Answer]) -> Iterator[Finding]:
    """Find what destinations lack, and the destinations of which that is not known."""
    for each in due:
        answer = answers[each.delivery.target]
        if answer.held is not None and (fault := _fault(each, answer.held.get(each.delivery.name))):
            where = f"destination {each.delivery.target.destination} {fault} ({each.delivery.name})"
            message = f"{where}, and the secret cannot be read again; pass --rotate {each.address} to deliver a new one"
            yield Finding("undelivered", Severity.WARNING, message, each.address, each.delivery.source)
    for target, answer in answers.items():
        if answer.failure:
            message = f"what destination {target.destination} holds could not be found out: {answer.failure}"
            source = next(each.delivery.source for each in due if each.delivery.target == target)
            yield Finding("not-checked", Severity.WARNING, message, source=source)
    silent = {target.destination for target, answer in answers.items() if answer.held is None and not answer.failure}
    if silent:
        message = (
            f"not looked at, because they cannot tell whose secrets they hold: destinations {listed(sorted(silent))}"
        )
        yield Finding("not-checked", Severity.NOTE, message)


def _fault(due: Due, holding: Holding | None) -> str:
    """Return what is wrong with what is held; empty for nothing."""
    if holding is None:
        return f"does not hold the secret of {due.key}"
    if holding.key_id is not None:
        return "" if holding.key_id == due.key.id else f"holds the secret of key {holding.key_id}, not of {due.key}"
    if holding.since is not None and holding.since < due.key.created_at - TOLERATED_SKEW:
        since, created = format_instant(holding.since), format_instant(due.key.created_at)
        return f"holds a secret that is from {since}, older than {due.key}, which is from {created}"
    return ""
