"""Creates, delivers, settles and rotates keys so that no secret is lost, whatever happens in between.

A key is born under a pending name with a lease, so that a run that dies leaves nothing that lives on; it gets a lasting
name only once every destination holds its secret. Then, or when that came to nothing, the secret is wiped from memory.
The new key of a rotation says in its name when its delivery begins: what is only pending has reached nobody.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from reconciler.account.client import Trial
from reconciler.account.wire import altered_fields
from reconciler.destinations.base import FOREIGN, SecretDelivery
from reconciler.destinations.shared import unforeseen
from reconciler.errors import (
    AccountError,
    AmbiguousCreate,
    DestinationError,
    LockLost,
    ReconcilerError,
    RefusedByService,
)
from reconciler.http.redact import redact
from reconciler.model import KeyPatch, NewKey
from reconciler.planning.actions import RotateReason, patch
from reconciler.planning.matching import KEPT_FOR, LEASE
from reconciler.planning.names import Role, next_name, old_name, pending_name, role_of, sent_name, under
from reconciler.secret import Secret
from reconciler.units import format_duration, same_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from reconciler.account.client import Account
    from reconciler.destinations.registry import Registry
    from reconciler.model import Address, CreatedKey, DeclaredKey, Delivery, LiveKey, Target
    from reconciler.planning.actions import Finish, Rotate


PAUSES: Final = (1.0, 3.0)
"""The seconds between one attempt and the next, to issue a key or to try it."""

ATTEMPTS: Final = len(PAUSES) + 1
_HOURS: Final = LEASE // timedelta(hours=1)
UNPROVEN: Final = (
    "whether the service accepts the new key could not be told: it gives a key that is surely wrong the same answers"
)


class Issued(NamedTuple):
    """A key that was issued, and what to know about it although it is done."""

    key: LiveKey
    note: str | None = None


async def create_and_deliver(
    declared: DeclaredKey, name: str, context: ApplyContext, *, replaces: bool = False
) -> Issued:
    """Create a key, deliver its secret everywhere, and only then give it this name.

    One that `replaces` another has to be accepted by the service before any destination gets it, unless the file says
    otherwise, and is named as being delivered before that begins. Raises AccountError or DestinationError that says
    what became of the new key; no key has the name then.
    """
    created = await _post(declared, context)
    note = None
    with created.secret:
        try:
            context.mask(created.secret)
            if replaces:
                note = await _try(declared, created, context)
                await _begin_delivery(declared, created, context)
            await _deliver(declared, created, context)
        except ReconcilerError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, what becomes of the key has to be told
            # The message of a foreign exception might hold the secret, so only its type is told.
            msg = f"unexpected {type(error).__name__}; {_left(created.key)}"
            raise AccountError(msg) from None
    return Issued(await _settle(declared, name, created.key, context), note)


async def _post(declared: DeclaredKey, context: ApplyContext) -> CreatedKey:
    """Post the pending key."""
    return await post_with_expiry(
        lambda nonce: pending_name(declared.name, nonce), declared.credit_limit, LEASE, context
    )


async def post_with_expiry(
    named: Callable[[str], str], credit_limit: Decimal | None, lifetime: timedelta, context: Posting
) -> CreatedKey:
    """Post a key that expires by itself; where the answer is lost, it is looked for, never posted again blindly.

    Args:
        named: Gives the live name for a nonce.
        credit_limit: What the key may spend, in USD; None for no limit.
        lifetime: How far ahead of the service's clock the key expires.
        context: The account, and where nonces come from.

    Returns:
        The key, as it was asked for, and its secret.

    Raises:
        AccountError: there is no key, or what is left of one expires by itself; the message says which.
    """
    reason, ends = "", f"expires within {format_duration(lifetime)}"
    for pause in (*PAUSES, None):
        # Whole seconds: the service need not keep fractions, and the answer is compared with what was asked.
        expiry = (context.account.now() + lifetime).replace(microsecond=0)
        new = NewKey(named(context.nonce()), credit_limit, expiry)
        try:
            created = await context.account.create_key(new)
        except AmbiguousCreate as error:
            reason = str(error)
            if pause is not None:
                await context.sleep(pause)
            await _remove_orphans(new.name, reason, ends, context)
            continue
        asked = KeyPatch(name=new.name, is_enabled=True, credit_limit=new.credit_limit, expires_at=new.expires_at)
        if altered := altered_fields(asked, created.key):
            created.secret.wipe()
            fate = await _discard(created.key, context)
            msg = f"the service created the key with {altered}; {fate}"
            raise AccountError(msg)
        return created
    msg = f"{reason}; tried {ATTEMPTS} times, and what may be left behind {ends}"
    raise AccountError(msg)


async def _remove_orphans(name: str, reason: str, ends: str, context: Posting) -> None:
    """Delete the key of a lost answer: nobody holds its secret. Not found or not deleted, its lease ends it."""
    try:
        snapshot = await context.account.list_keys()
    except AccountError as error:
        msg = f"{reason}, and could not be looked for ({error}); if it exists, it {ends}"
        raise AccountError(msg) from None
    for key in snapshot.keys:
        if key.name == name:
            with suppress(AccountError):
                await context.account.delete_key(key.id)


async def _try(declared: DeclaredKey, created: CreatedKey, context: ApplyContext) -> str | None:
    """Use the new key once; a service may need a moment until it knows a key everywhere. Gives what remains open."""
    if not (declared.verify and declared.is_enabled):
        return None
    wrong = Secret(f"ng-{context.nonce()}{context.nonce()}")
    for pause in (*PAUSES, None):
        try:
            found = await context.account.try_key(created.secret, wrong)
        except AccountError as error:
            fate = await _discard(created.key, context)
            msg = (
                f"the new key could not be tried ({error}), so the old one stays; {fate}; `verify: false` goes without"
            )
            raise AccountError(msg) from None
        if found is not Trial.REFUSED:
            return UNPROVEN if found is Trial.UNPROVEN else None
        if pause is not None:
            await context.sleep(pause)
    msg = f"the service refuses the new key, so the old one stays; {await _discard(created.key, context)}"
    raise AccountError(msg)


async def _begin_delivery(declared: DeclaredKey, created: CreatedKey, context: ApplyContext) -> None:
    """Name the key so that a run that dies from here on is known to have delivered it, perhaps."""
    nonce = created.key.name.rpartition(".")[2]
    try:
        sent = await context.account.update_key(created.key.id, KeyPatch(name=sent_name(declared.name, nonce)))
    except AccountError as error:
        msg = f"{error}; nothing was delivered, so the old key stays; {await _discard(created.key, context)}"
        raise AccountError(msg) from None
    if not sent.is_enabled:
        msg = f"{_revoked(sent)}; nothing was delivered; {await _discard(sent, context)}"
        raise AccountError(msg)


async def sign_interrupted(declared: DeclaredKey, context: ApplyContext) -> None:
    """Post what a rotation that was interrupted leaves, a `~sent` key: the next plan rotates the settled key anew.

    Nobody gets its secret. Raises AccountError when it could not be posted.
    """
    created = await post_with_expiry(lambda nonce: sent_name(declared.name, nonce), Decimal(0), LEASE, context)
    with created.secret:
        context.mask(created.secret)


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
        settled = await context.account.update_key(pending.id, asked)
    except AccountError as error:
        msg = (
            f"{error}; the secret of key {pending.id} is delivered, but the key is not in place and ends with its "
            "lease: apply again"
        )
        raise AccountError(msg) from None
    await refuse_dead(settled, pending, asked, declared.name, context)
    return settled


async def _discard(key: LiveKey, context: Posting) -> str:
    """Delete a pending key that nobody may use; says what became of it."""
    try:
        await context.account.delete_key(key.id)
    except AccountError as error:
        return f"the key {key.id} could not be removed ({error}) and ends with its lease"
    return f"the key {key.id} was removed again"


def _left(key: LiveKey) -> str:
    return f"key {key.id} ({key.name}) is left to its lease, which ends within {_HOURS} h"


# Replace a key by a new one, so that at every moment one of the two works wherever a secret was delivered.

NOT_FOUND: Final = 404
CONFLICT: Final = 409


async def rotate(action: Rotate, context: ApplyContext) -> Issued:
    """Issue the successor and let it take over.

    Raises AccountError or DestinationError; whatever happened, the old key works until the new one is everywhere.
    """
    declared = action.declared
    name = under(declared.name, action.live.name)
    if name != action.live.name and action.reason is not RotateReason.INTERRUPTED:
        # A run that dies from here on leaves its sign beside the key. One that was interrupted has its sign already.
        await context.account.update_key(action.live.id, KeyPatch(name=name))
    issued = await create_and_deliver(declared, next_name(declared.name), context, replaces=True)
    takes_over = KeyPatch(name=declared.settled)
    try:
        await _retire(declared, action.live, action.overlap, context)
        settled = await context.account.update_key(issued.key.id, takes_over)
    except AccountError as error:
        msg = f"{error}; key {issued.key.id} is delivered everywhere and waits to take over: apply again"
        raise AccountError(msg) from None
    await refuse_dead(settled, issued.key, takes_over, declared.name, context)
    return issued


async def finish(action: Finish, context: ApplyContext) -> int:
    """Complete a rotation from where it was interrupted; returns the id of the key that takes over."""
    if action.old:
        await _retire(action.declared, action.old, action.overlap, context)
    asked = patch(action.after, action.fields)
    settled = await context.account.update_key(action.live.id, asked)
    await refuse_dead(settled, action.live, asked, action.declared.name, context)
    return action.live.id


async def _retire(declared: DeclaredKey, old: LiveKey, overlap: timedelta | None, context: ApplyContext) -> None:
    """Give the old key its end: when the overlap is over, or at once; a key that is gone already is fine."""
    until = (context.account.now() + (overlap or KEPT_FOR)).replace(microsecond=0)
    if role_of(old.name) is Role.RETIRED:
        await refuse_revoked(old, context)
    try:
        await _end_at(until, declared, old, overlap, context)
    except RefusedByService as error:
        if error.status != CONFLICT:
            raise
        # Names may have to differ, and a key that was rotated out within the same second has this one.
        await _end_at(until + timedelta(seconds=1), declared, old, overlap, context)


async def _end_at(
    until: datetime, declared: DeclaredKey, old: LiveKey, overlap: timedelta | None, context: ApplyContext
) -> None:
    asked = KeyPatch(name=old_name(declared.name, until))
    if overlap is None:
        asked["is_enabled"] = False
    else:
        if old.expires_at is None or old.expires_at > until:
            asked["expires_at"] = until
        if role_of(old.name) is Role.RETIRED:
            # Its removal was undone, so who still has its secret can go on. What was disabled by hand stays so.
            asked["is_enabled"] = True
    try:
        ended = await context.account.update_key(old.id, asked)
    except RefusedByService as error:
        # Asked a second time: were it there after all, its successor would get the name that it still has.
        if error.status != NOT_FOUND or await context.account.get_key(old.id) is not None:
            raise
    else:
        await refuse_dead(ended, old, asked, declared.name, context)


# `reconciler revoke` waits for no lock before it kills, so a key may die while an apply is at work on it. A dead key
# must not keep a lasting name: the next plan would enable it. A death is an end to `is_enabled` and an early
# `expires_at`; of what a PATCH does not send, its answer tells.


async def refuse_revoked(key: LiveKey, context: ApplyContext) -> None:
    """Read a key before it is enabled; raises AccountError when it was revoked since the plan was made."""
    current = await context.account.get_key(key.id)
    if current is not None and not current.is_enabled and role_of(current.name) is Role.SUPERSEDED:
        raise AccountError(_revoked(key))


async def refuse_dead(key: LiveKey, before: LiveKey, sent: KeyPatch, settled: str, context: ApplyContext) -> None:
    """Put a key back among the dead that was revoked between `before` and the PATCH that it is the answer to.

    Raises AccountError then. One whose time is over is another matter: a service may disable it by itself.
    """
    now = context.account.now()
    if key.expires_at is not None and key.expires_at <= now:
        return
    is_disabled = before.is_enabled and not key.is_enabled and "is_enabled" not in sent
    ends_soon = key.expires_at is not None and key.expires_at <= now + KEPT_FOR
    if not is_disabled and ("expires_at" in sent or not ends_soon or same_value(before.expires_at, key.expires_at)):
        return
    dead = old_name(settled, (now + KEPT_FOR).replace(microsecond=0))
    await context.account.update_key(key.id, KeyPatch(name=dead, is_enabled=False))
    msg = f"{_revoked(key)}; it stays disabled, as {dead}"
    raise AccountError(msg)


def _revoked(key: LiveKey) -> str:
    return f"key {key.id} was revoked while this ran; plan again"


# What every change needs while a plan is carried out.


class Posting(Protocol):
    """What it takes to post a key: the account, a fresh nonce at each call, and a way to wait."""

    @property
    def account(self) -> Account: ...  # noqa: D102  # see ApplyContext
    @property
    def nonce(self) -> Callable[[], str]: ...  # noqa: D102  # see ApplyContext
    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]: ...  # noqa: D102  # see ApplyContext


@dataclass(frozen=True, slots=True)
class ApplyContext:
    """The account, the destinations and the outside world of one apply.

    `nonce` gives a fresh one at each call; `mask` gets every secret before anything else happens with it. `deliveries`
    are where the secrets of declared keys go. `is_ready` says that the destinations were asked already whether they
    take the secrets of the plan.
    """

    account: Account
    registry: Registry
    nonce: Callable[[], str]
    mask: Callable[[Secret], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    deliveries: Mapping[Address, tuple[Delivery, ...]] = field(default_factory=dict)
    is_ready: bool = False
