"""Holds a key for as long as something runs: posted under a lease, renewed at half of it, deleted at the end.

Nothing but the service remembers such a key. Its name says what it is (`ci/agent~run.<nonce>`), its expiry ends it when
whoever holds it was killed, and `max_open` is kept by all who look at the same list: each posts its own key, lists, and
withdraws where as many with lower ids are open. Ids are given in order, so all of them come to the same result.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import AccountError, GuardrailRefused, RefusedByService, UsageError
from reconciler.execution.issue import post_with_expiry
from reconciler.model import Address, KeyPatch
from reconciler.planning.matching import open_leases
from reconciler.planning.names import Naming, run_name
from reconciler.units import format_duration, format_money

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime, timedelta
    from decimal import Decimal

    from reconciler.account.client import Account
    from reconciler.model import CreatedKey, Declaration, Lease, LiveKey, Snapshot

RETRY_SECONDS: Final = 5.0
"""How long to wait before a renewal that failed is tried again."""

_FOR_GOOD: Final = frozenset({401, 403, 404})

LOOK_SECONDS: Final = 60.0
"""How often the balance is looked at."""


@dataclass(frozen=True, slots=True)
class LeaseContext:
    """The outside world of a lease: the account, fresh nonces, and a way to wait and to tell somebody."""

    account: Account
    say: Callable[[str], None]
    nonce: Callable[[], str] = field(default=lambda: secrets.token_hex(8))
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def find_lease(declaration: Declaration, address: Address, limit: Decimal | None = None) -> Lease:
    """Return a lease of the file.

    Args:
        declaration: The file.
        address: Where the lease stands in it.
        limit: What the key may spend, in USD, where that is less than the file says.

    Raises:
        UsageError: there is no such lease, or the limit is higher than the file's.
    """
    from dataclasses import replace

    lease = next((lease for lease in declaration.leases if lease.address == address), None)
    if lease is None:
        known = ", ".join(str(each.address) for each in declaration.leases)
        what = (
            "is a key, and no lease" if any(key.address == address for key in declaration.keys) else "is not declared"
        )
        msg = f"{address} {what}; leases of the file: {known or 'none (declare one under leases of an environment)'}"
        raise UsageError(msg)
    if limit is None:
        return lease
    if lease.credit_limit is not None and limit > lease.credit_limit:
        declared = format_money(lease.credit_limit)
        msg = f"the limit of {format_money(limit)} USD is higher than what the file allows {address}, {declared} USD"
        raise UsageError(msg)
    return replace(lease, credit_limit=limit)


@asynccontextmanager
async def hold(lease: Lease, declaration: Declaration, context: LeaseContext) -> AsyncIterator[CreatedKey]:
    """Hold a key under a lease until left; then it is deleted, however that came about.

    Raises GuardrailRefused when as many as `max_open` are open already, and AccountError when no key could be had.
    """
    created = await post_with_expiry(lambda nonce: run_name(lease.name, nonce), lease.credit_limit, lease.ttl, context)
    async with AsyncExitStack() as stack:
        stack.enter_context(created.secret)
        stack.push_async_callback(_give_back, created.key, lease, context)
        await _keep_to_the_count(lease, declaration, created.key, context)
        renewing = asyncio.create_task(_renew(created.key, lease, context))
        stack.push_async_callback(_stop, renewing)
        yield created


async def check_balance(account: Account, minimum: Decimal) -> None:
    """Raise GuardrailRefused when the account has less than this, in USD."""
    balance = await account.balance()
    if balance < minimum:
        msg = f"the balance of {format_money(balance)} USD is below {format_money(minimum)} USD"
        raise GuardrailRefused(msg)


async def watch_balance(minimum: Decimal, context: LeaseContext) -> str:
    """Look at the balance every minute; return why to stop, as soon as it is below the minimum in USD."""
    while True:
        await context.sleep(LOOK_SECONDS)
        try:
            await check_balance(context.account, minimum)
        except GuardrailRefused as error:
            return str(error)
        except AccountError as error:
            context.say(f"warning: the balance could not be looked at: {error}")


async def _keep_to_the_count(lease: Lease, declaration: Declaration, mine: LiveKey, context: LeaseContext) -> None:
    # As soon as the list shows this key, it shows all that were posted before: who comes later looks later.
    ahead = [key for key in _open(lease, declaration, await context.account.read_back()) if key.id < mine.id]
    if len(ahead) >= lease.max_open:
        ends = min((key.expires_at for key in ahead if key.expires_at), default=None)
        when = "" if ends is None else f"; if it was abandoned, the first of them ends at {ends:%H:%M:%S} UTC"
        msg = f"{lease.address}: {len(ahead)} are open, and max_open allows {lease.max_open}{when}"
        raise GuardrailRefused(msg)


def _open(lease: Lease, declaration: Declaration, snapshot: Snapshot) -> tuple[LiveKey, ...]:
    naming = Naming(declaration.naming, declaration.environments)
    parsed = [(found, key) for key in snapshot.keys if (found := naming.parse(key.name))]
    return open_leases([entry for entry in parsed if entry[0].address == lease.address], snapshot.now)


async def _renew(key: LiveKey, lease: Lease, context: LeaseContext) -> None:
    """Move the expiry on at half of the lease, for ever; what fails is tried again until the key is surely dead."""
    expiry = key.expires_at
    pause = lease.ttl.total_seconds() / 2
    while True:
        await context.sleep(pause)
        until = _ahead(context.account, lease.ttl)
        try:
            renewed = await context.account.update_key(key.id, KeyPatch(expires_at=until))
        except AccountError as error:
            context.say(f"warning: {lease.address}: the key could not be renewed: {error}")
            if isinstance(error, RefusedByService) and error.status in _FOR_GOOD:
                return
        else:
            if renewed.name != key.name or not renewed.is_enabled:
                context.say(f"warning: {lease.address}: somebody has disabled or renamed the key; it is not renewed")
                return
            expiry, pause = until, lease.ttl.total_seconds() / 2
            continue
        if expiry is not None and context.account.now() >= expiry:
            context.say(f"warning: {lease.address}: the key has expired")
            return
        pause = min(RETRY_SECONDS, lease.ttl.total_seconds() / 4)


def _ahead(account: Account, ttl: timedelta) -> datetime:
    """Return when a lease that begins now ends; whole seconds, since the service need not keep fractions."""
    return (account.now() + ttl).replace(microsecond=0)


async def _give_back(key: LiveKey, lease: Lease, context: LeaseContext) -> None:
    try:
        await asyncio.shield(context.account.delete_key(key.id))
    except AccountError as error:
        ends = f"it ends by itself within {format_duration(lease.ttl)}"
        context.say(f"warning: {lease.address}: the key could not be deleted ({error}); {ends}")


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
