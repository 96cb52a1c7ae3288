"""The keys that the engine itself named, by the address they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.plan.actions import DeleteReason
from reconciler.plan.names import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from reconciler.model import Address, LiveKey
    from reconciler.plan.names import ParsedName

LEASE: Final = timedelta(hours=24)
_OVER: Final = {
    Role.PENDING: DeleteReason.LEASE_EXPIRED,
    Role.OLD: DeleteReason.OVERLAP_OVER,
    Role.GONE: DeleteReason.GRACE_OVER,
}


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an address has besides its settled key.

    `pending` was being created by a run that did not get to its end, `upcoming` is delivered and waits to take over,
    `rotated_out` works until its overlap is over, `retired` can be restored; what of all this is `outdated` has to go.
    """

    pending: list[LiveKey] = field(default_factory=list)

    upcoming: list[LiveKey] = field(default_factory=list)
    rotated_out: list[LiveKey] = field(default_factory=list)
    retired: list[tuple[datetime, LiveKey]] = field(default_factory=list)
    outdated: list[tuple[DeleteReason, LiveKey]] = field(default_factory=list)

    def interrupted_rotation(self, live: LiveKey) -> bool:
        """Tell whether a rotation of the live key stopped while secrets were delivered.

        A destination may hold the secret of the pending key then, and nobody can read the live key's secret again.
        """
        return any(_is_newer(key, live) for key in self.pending)

    def superfluous(self, lasting: Sequence[LiveKey]) -> Iterable[tuple[DeleteReason, LiveKey]]:
        """Give what has to go, if these keys of the address stay or may come back with the secrets that they have.

        A pending key is the sign that the rotation of an older one was interrupted, and must not be forgotten before
        that is. One that lost its expiry is no such sign: it would work for ever.
        """
        for reason, key in self.outdated:
            is_sign = key in self.pending and key.expires_at is not None
            if not (is_sign and any(_is_newer(key, older) for older in lasting)):
                yield reason, key

    def restorable(self, key_id: int | None) -> LiveKey | None:
        """Give the retired key to bring back: the one with this id, else the one that was retired last."""
        candidates = [entry for entry in self.retired if entry[1].id == key_id] or self.retired
        return max(candidates, key=lambda entry: (entry[0], entry[1].id))[1] if candidates else None


def trace(engine: Iterable[tuple[ParsedName, LiveKey]], now: datetime) -> dict[Address, Lineage]:
    """Put the engine's keys in their place at an instant."""
    lineages: dict[Address, Lineage] = {}
    for parsed, key in engine:
        _place(parsed, key, lineages.setdefault(parsed.address, Lineage()), now)
    return lineages


def lease_end(key: LiveKey) -> datetime:
    """Say when a pending key may be removed: at its expiry, or a lease after its creation if that was taken away."""
    return key.expires_at or key.created_at + LEASE


def _is_newer(key: LiveKey, other: LiveKey) -> bool:
    return (key.created_at, key.id) > (other.created_at, other.id)


def _place(parsed: ParsedName, key: LiveKey, lineage: Lineage, now: datetime) -> None:
    if parsed.role is Role.NEXT:
        lineage.upcoming.append(key)
        return
    if parsed.role is Role.PENDING:
        lineage.pending.append(key)
    # A name of the other roles carries its end, a pending key has it in its lease.
    until = parsed.until or lease_end(key)
    if until <= now:
        lineage.outdated.append((_OVER[parsed.role], key))
    elif parsed.role is Role.OLD:
        lineage.rotated_out.append(key)
    elif parsed.role is Role.GONE:
        lineage.retired.append((until, key))
