"""Creates, delivers, settles and rotates keys so that no secret is lost, whatever happens in between.

A key is born under a pending name with a lease, so that a run that dies leaves nothing that lives on; it gets a lasting
name only once every destination holds its secret. Then, or when that came to nothing, the secret is wiped from memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.destinations.base import FOREIGN, SecretDelivery
from reconciler.destinations.shared import unforeseen
from reconciler.errors import AccountError, AmbiguousCreate, DestinationError, LockLost, RefusedByService
from reconciler.http.redact import redact
from reconciler.model import KeyPatch, NewKey
from reconciler.planning.actions import RotateReason
from reconciler.planning.matching import LEASE
from reconciler.planning.names import is_retired, next_name, old_name, pending_name, under
from reconciler.planning.planner import patch
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.account.client import Account
    from reconciler.destinations.registry import Registry
    from reconciler.model import CreatedKey, DeclaredKey, LiveKey, Target
    from reconciler.planning.actions import Finish, Rotate
    from reconciler.secret import Secret


# What every change needs while a plan is carried out.


@dataclass(frozen=True, slots=True)
class ApplyContext:
    """The account, the destinations and the outside world of one apply.

    `nonce` gives a fresh one at each call; `mask` gets every secret before anything else happens with it.
    """

    account: Account
    registry: Registry
    nonce: Callable[[], str]
    mask: Callable[[Secret], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def change_key(self, key_id: int, asked: KeyPatch) -> LiveKey:
        """Change a key and see that the service did as it was told; raises AccountError when it did not."""
        answered = await self.account.update_key(key_id, asked)
        if altered := altered_fields(asked, answered):
            msg = f"the service left key {key_id} with {altered}"
            raise AccountError(msg)
        return answered


def altered_fields(asked: KeyPatch, answered: LiveKey) -> str:
    """Say which fields the service answered otherwise than it was asked; empty when it did as told."""
    differences = []
    for field, value in asked.items():
        got = getattr(answered, field)
        if got != value:
            differences.append(f"{field} {_show(got)} where {_show(value)} was asked")
    return ", ".join(differences)


def _show(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return format_money(value)
        case datetime():
            return format_instant(value)
        case _:
            return str(value)


# Issue keys so that no secret can be lost, whatever happens in between.

ATTEMPTS: Final = 3
TRIAL_PAUSES: Final = (1.0, 3.0)


async def create_and_deliver(
    declared: DeclaredKey, name: str, context: ApplyContext, *, trial: bool = False
) -> LiveKey:
    """Create a key, deliver its secret everywhere, and only then give it this name; returns it as it is now.

    With a `trial` the service has to accept the new key before any destination gets it. Raises AccountError or
    DestinationError that says where things stand; no key has the name then.
    """
    created = await _post(declared, context)
    with created.secret:
        context.mask(created.secret)
        if trial:
            await _try(created, context)
        await _deliver(declared, created, context)
    return await _settle(declared, name, created.key, context)


async def _post(declared: DeclaredKey, context: ApplyContext) -> CreatedKey:
    """Post the pending key; an answer that got lost is looked for by its nonce, never posted again blindly."""
    reason = ""
    for _ in range(ATTEMPTS):
        # Whole seconds: the service need not keep fractions, and the answer is compared with what was asked.
        lease = (context.account.now() + LEASE).replace(microsecond=0)
        new = NewKey(pending_name(declared.name, context.nonce()), declared.credit_limit, lease)
        try:
            created = await context.account.create_key(new)
        except AmbiguousCreate as error:
            reason = str(error)
            await _remove_orphans(new.name, context)
            continue
        asked = KeyPatch(name=new.name, is_enabled=True, credit_limit=new.credit_limit, expires_at=new.expires_at)
        if altered := altered_fields(asked, created.key):
            created.secret.wipe()
            fate = await _discard(created.key, context)
            msg = f"the service created the key with {altered}; {fate}"
            raise AccountError(msg)
        return created
    msg = (
        f"{reason}; tried {ATTEMPTS} times, and what may be left behind expires within {LEASE // timedelta(hours=1)} h"
    )
    raise AccountError(msg)


async def _remove_orphans(name: str, context: ApplyContext) -> None:
    """Delete the key of a lost answer: nobody holds its secret. Not found: should it appear late, its lease ends it."""
    snapshot = await context.account.list_keys()
    for key in snapshot.keys:
        if key.name == name:
            await context.account.delete_key(key.id)


async def _try(created: CreatedKey, context: ApplyContext) -> None:
    """Use the new key once; a service may need a moment until it knows a key everywhere."""
    for pause in (*TRIAL_PAUSES, None):
        if await context.account.try_key(created.secret):
            return
        if pause is not None:
            await context.sleep(pause)
    msg = f"the service refuses the new key, so the old one stays; {await _discard(created.key, context)}"
    raise AccountError(msg)


async def _deliver(declared: DeclaredKey, created: CreatedKey, context: ApplyContext) -> None:
    delivered: list[str] = []
    for delivery in declared.deliver:
        place = f"{delivery.target.destination} as {delivery.name}"
        secret_delivery = SecretDelivery(declared.address, created.key.id, delivery.name, created.secret)
        failure = await _hand_over(secret_delivery, delivery.target, context)
        if failure is not None:
            holders = [*delivered, f"perhaps {place}"] if failure.uncertain else delivered
            if holders:
                fate = f"{', '.join(holders)} holds the secret of key {created.key.id}, which ends with its lease"
            else:
                fate = await _discard(created.key, context)
            msg = f"not delivered to {place}: {failure}; {fate}"
            raise DestinationError(msg)
        delivered.append(place)


async def _hand_over(secret_delivery: SecretDelivery, target: Target, context: ApplyContext) -> DestinationError | None:
    """Deliver to one destination; gives why that failed, without the secret, whatever the destination has raised."""
    try:
        context.account.check_writing()
        await context.registry.open(target).deliver(secret_delivery)
    except LockLost as error:
        return DestinationError(str(error))
    except DestinationError as error:
        return DestinationError(redact(str(error), [secret_delivery.secret]), uncertain=error.uncertain)
    except FOREIGN as error:
        return DestinationError(unforeseen(error), uncertain=True)
    return None


async def _settle(declared: DeclaredKey, name: str, pending: LiveKey, context: ApplyContext) -> LiveKey:
    asked = KeyPatch(name=name, expires_at=declared.expires_at)
    if not declared.is_enabled:
        asked["is_enabled"] = False
    try:
        return await context.change_key(pending.id, asked)
    except AccountError as error:
        msg = f"{error}; the secret of key {pending.id} is delivered, but the key is not in place: apply again"
        raise AccountError(msg) from None


async def _discard(key: LiveKey, context: ApplyContext) -> str:
    """Delete a pending key that nobody may use; says what became of it."""
    try:
        await context.account.delete_key(key.id)
    except AccountError as error:
        return f"the key {key.id} could not be removed ({error}) and ends with its lease"
    return f"the key {key.id} was removed again"


# Replace a key by a new one, so that at every moment one of the two works wherever a secret was delivered.

NOT_FOUND: Final = 404
# How long a key that was disabled at once is kept, so that a rotation without overlap can still be looked into.
DISABLED_FOR: Final = timedelta(hours=24)


async def rotate(action: Rotate, context: ApplyContext) -> int:
    """Issue the successor and let it take over; returns its id.

    Raises AccountError or DestinationError; whatever happened, the old key works until the new one is everywhere.
    """
    declared = action.declared
    name = under(declared.name, action.live.name)
    if name != action.live.name and action.reason is not RotateReason.INTERRUPTED:
        # A run that dies from here on leaves its sign beside the key. One that was interrupted has its sign already.
        await context.change_key(action.live.id, KeyPatch(name=name))
    successor = await create_and_deliver(
        declared, next_name(declared.name), context, trial=declared.verify and declared.is_enabled
    )
    await _retire(declared, action.live, action.overlap, context)
    await context.change_key(successor.id, KeyPatch(name=declared.name))
    return successor.id


async def finish(action: Finish, context: ApplyContext) -> int:
    """Complete a rotation from where it was interrupted; returns the id of the key that takes over."""
    if action.old:
        await _retire(action.declared, action.old, action.overlap, context)
    await context.change_key(action.live.id, patch(action.after, action.fields))
    return action.live.id


async def _retire(declared: DeclaredKey, old: LiveKey, overlap: timedelta | None, context: ApplyContext) -> None:
    """Give the old key its end: when the overlap is over, or at once; a key that is gone already is fine."""
    until = (context.account.now() + (overlap or DISABLED_FOR)).replace(microsecond=0)
    asked = KeyPatch(name=old_name(declared.name, until))
    if overlap is None:
        asked["is_enabled"] = False
    else:
        if old.expires_at is None or old.expires_at > until:
            asked["expires_at"] = until
        if is_retired(old.name):
            # Its removal was undone, so who still has its secret can go on. What was disabled by hand stays so.
            asked["is_enabled"] = True
    try:
        await context.change_key(old.id, asked)
    except RefusedByService as error:
        # Asked a second time: were it there after all, its successor would get the name that it still has.
        if error.status != NOT_FOUND or await context.account.get_key(old.id) is not None:
            raise
