"""Issue keys so that no secret can be lost, whatever happens in between.

A key is born under a pending name with a lease, so that a run that dies leaves nothing that lives on; it gets a lasting
name only once every destination holds its secret. Then, or when that came to nothing, the secret is wiped from memory.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.apply.run import altered_fields
from reconciler.destinations.base import FOREIGN, Consignment
from reconciler.destinations.wording import unforeseen
from reconciler.errors import AccountError, AmbiguousCreate, DestinationError, LockLost
from reconciler.model import KeyPatch, NewKey
from reconciler.plan.lineage import LEASE
from reconciler.plan.names import pending_name
from reconciler.remote.quoting import redacted

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.model import CreatedKey, DeclaredKey, LiveKey, Target

ATTEMPTS: Final = 3
TRIAL_PAUSES: Final = (1.0, 3.0)


async def issue(declared: DeclaredKey, name: str, run: Run, *, trial: bool = False) -> LiveKey:
    """Create a key, deliver its secret everywhere, and only then give it this name; returns it as it is now.

    With a `trial` the service has to accept the new key before any destination gets it. Raises AccountError or
    DestinationError that says where things stand; no key has the name then.
    """
    created = await _post(declared, run)
    with created.secret:
        run.mask(created.secret)
        if trial:
            await _try(created, run)
        await _deliver(declared, created, run)
    return await _settle(declared, name, created.key, run)


async def _post(declared: DeclaredKey, run: Run) -> CreatedKey:
    """Post the pending key; an answer that got lost is looked for by its nonce, never posted again blindly."""
    reason = ""
    for _ in range(ATTEMPTS):
        # Whole seconds: the service need not keep fractions, and the answer is compared with what was asked.
        lease = (run.account.now() + LEASE).replace(microsecond=0)
        new = NewKey(pending_name(declared.name, run.nonce()), declared.credit_limit, lease)
        try:
            created = await run.account.create_key(new)
        except AmbiguousCreate as error:
            reason = str(error)
            await _remove_orphans(new.name, run)
            continue
        asked = KeyPatch(name=new.name, is_enabled=True, credit_limit=new.credit_limit, expires_at=new.expires_at)
        if altered := altered_fields(asked, created.key):
            created.secret.wipe()
            fate = await _discard(created.key, run)
            msg = f"the service created the key with {altered}; {fate}"
            raise AccountError(msg)
        return created
    msg = (
        f"{reason}; tried {ATTEMPTS} times, and what may be left behind expires within {LEASE // timedelta(hours=1)} h"
    )
    raise AccountError(msg)


async def _remove_orphans(name: str, run: Run) -> None:
    """Delete the key of a lost answer: nobody holds its secret. Not found: should it appear late, its lease ends it."""
    snapshot = await run.account.list_keys()
    for key in snapshot.keys:
        if key.name == name:
            await run.account.delete_key(key.id)


async def _try(created: CreatedKey, run: Run) -> None:
    """Use the new key once; a service may need a moment until it knows a key everywhere."""
    for pause in (*TRIAL_PAUSES, None):
        if await run.account.try_key(created.secret):
            return
        if pause is not None:
            await run.sleep(pause)
    msg = f"the service refuses the new key, so the old one stays; {await _discard(created.key, run)}"
    raise AccountError(msg)


async def _deliver(declared: DeclaredKey, created: CreatedKey, run: Run) -> None:
    delivered: list[str] = []
    for delivery in declared.deliver:
        place = f"{delivery.target.destination} as {delivery.name}"
        consignment = Consignment(declared.address, created.key.id, delivery.name, created.secret)
        failure = await _hand_over(consignment, delivery.target, run)
        if failure is not None:
            holders = [*delivered, f"perhaps {place}"] if failure.uncertain else delivered
            if holders:
                fate = f"{', '.join(holders)} holds the secret of key {created.key.id}, which ends with its lease"
            else:
                fate = await _discard(created.key, run)
            msg = f"not delivered to {place}: {failure}; {fate}"
            raise DestinationError(msg)
        delivered.append(place)


async def _hand_over(consignment: Consignment, target: Target, run: Run) -> DestinationError | None:
    """Deliver to one destination; gives why that failed, without the secret, whatever the destination has raised."""
    try:
        run.account.check_writing()
        await run.registry.open(target).deliver(consignment)
    except LockLost as error:
        return DestinationError(str(error))
    except DestinationError as error:
        return DestinationError(redacted(str(error), consignment.secret), uncertain=error.uncertain)
    except FOREIGN as error:
        return DestinationError(unforeseen(error), uncertain=True)
    return None


async def _settle(declared: DeclaredKey, name: str, pending: LiveKey, run: Run) -> LiveKey:
    asked = KeyPatch(name=name, expires_at=declared.expires_at)
    if not declared.is_enabled:
        asked["is_enabled"] = False
    try:
        return await run.change_key(pending.id, asked)
    except AccountError as error:
        msg = f"{error}; the secret of key {pending.id} is delivered, but the key is not in place: apply again"
        raise AccountError(msg) from None


async def _discard(key: LiveKey, run: Run) -> str:
    """Delete a pending key that nobody may use; says what became of it."""
    try:
        await run.account.delete_key(key.id)
    except AccountError as error:
        return f"the key {key.id} could not be removed ({error}) and ends with its lease"
    return f"the key {key.id} was removed again"
