"""Which keys of declared environments have to go: what is no longer declared, and what the engine left for a while.

A key that goes must leave nothing behind by which a later plan would bring back a secret that no destination holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.model import KeyState
from reconciler.plan.actions import Create, Delete, DeleteReason, Field, Finish, Retire, Rotate
from reconciler.plan.diff import changed_fields
from reconciler.plan.lineage import Lineage
from reconciler.plan.names import Naming, gone_name, old_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from reconciler.model import Address, Declaration, Environment, LiveKey
    from reconciler.plan.actions import Change
    from reconciler.plan.match import Matching

_NO_LINEAGE: Final = Lineage()


def removals(
    declaration: Declaration,
    matching: Matching,
    lineages: Mapping[Address, Lineage],
    changes: Mapping[Address, Change],
    now: datetime,
) -> Iterable[Retire | Delete]:
    """Give what goes, whatever the run is about; `changes` is what happens to the declared addresses."""
    if not (matching.undeclared or lineages):
        return
    naming = Naming(declaration.naming, declaration.environments)
    declared = {key.address for key in declaration.keys}
    undeclared: dict[Address, list[LiveKey]] = {}
    for address, key in matching.undeclared:
        undeclared.setdefault(address, []).append(key)
    for address in {**undeclared, **lineages}:
        environment, lineage = declaration.environments[address.environment], lineages.get(address, _NO_LINEAGE)
        change = changes.get(address)
        if address in declared:
            lasting = _lasting(matching.live.get(address), change)
        else:
            settled = undeclared.get(address, [])
            yield from _undeclared(address, settled, lineage, environment, naming.format(address), now)
            lasting = settled if environment.deletion_grace else []
        lasting = [*lasting, *(key for _, key in lineage.retired if not _concerns(change, key))]
        for reason, key in lineage.superfluous(lasting):
            yield Delete(address, key, reason, environment.source)
        for until, key in lineage.retired:
            if key.is_enabled and not _concerns(change, key):
                yield _disable_again(address, key, environment, until - now)


def _lasting(live: LiveKey | None, change: Change | None) -> list[LiveKey]:
    """Give the key of a declared address that goes on with the secret it has."""
    if isinstance(change, Create | Rotate | Finish):
        return []
    key = change.live if change else live
    return [key] if key else []


def _undeclared(
    address: Address, settled: Sequence[LiveKey], lineage: Lineage, environment: Environment, name: str, now: datetime
) -> Iterable[Retire | Delete]:
    grace = environment.deletion_grace
    if not grace:
        for key in (*settled, *lineage.upcoming, *lineage.rotated_out):
            yield Delete(address, key, DeleteReason.UNDECLARED, environment.source)
        return
    # The rotated out stay: the removal may be undone, and then who still uses the old key must not have lost it.
    for key in (*settled, *lineage.upcoming):
        # What a rotation was about to replace is in no destination any more: only its successor may come back.
        replaced = lineage.upcoming and key not in lineage.upcoming
        after = KeyState(
            name=old_name(name, now + grace) if replaced else gone_name(name, now + grace),
            is_enabled=False,
            credit_limit=key.credit_limit,
            expires_at=key.expires_at,
        )
        yield Retire(address, key, after, changed_fields(key, after), grace, environment.source)


def _concerns(change: Change | None, key: LiveKey) -> bool:
    if change is None or isinstance(change, Create):
        return False
    return key == change.live or (isinstance(change, Finish) and key == change.old)


def _disable_again(address: Address, key: LiveKey, environment: Environment, left: timedelta) -> Retire:
    """Disable a retired key that somebody enabled, or that the service did not disable when it was asked to."""
    after = replace(key.state, is_enabled=False)
    return Retire(address, key, after, (Field.IS_ENABLED,), left, environment.source, DeleteReason.WORKS_AGAIN)
