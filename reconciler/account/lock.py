"""A lock without a lock server: a key of the account that says "an apply is running".

Whoever wants to write posts a lock of its own and then reads the list. Two who do so at the same time cannot both miss
each other: the one whose list was read later sees the other's lock. Whoever sees another's withdraws and tries again. A
lock has a short lease that is renewed while the work goes on, so that a run that died holds up nobody for long. A run
that was not dead but asleep finds out before its next write that its lease may be over, and writes nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.errors import AccountError, AmbiguousCreate, LockLost, LockTimeout, RefusedByService
from reconciler.http.retry import Timing
from reconciler.model import KeyPatch, NewKey
from reconciler.planning.names import is_lock, lock_name
from reconciler.units import format_duration, format_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from reconciler.account.client import Account
    from reconciler.model import LiveKey, Snapshot
    from reconciler.secret import Secret

LEASE: Final = timedelta(minutes=2)
RENEW_EVERY: Final = 30.0
RETRY_RENEWAL_EVERY: Final = 5.0
# With this much left of the lease nothing new is begun; what is under way may take seven seconds more.
MARGIN: Final = timedelta(seconds=20)
# With this much left nothing is sent any more: at the lease's end another run may write.
LAST_WRITE: Final = timedelta(seconds=10)
SHORTEST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 3.0


class _Lease:
    """How long this run may write, by its own machine's clocks since just before the lock was posted or renewed.

    By two of them, whichever has gone further: one stands still while the machine sleeps, the other one can be set.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._began: tuple[float, datetime] | None = None

    def clocks(self) -> tuple[float, datetime]:
        return self._timing.monotonic(), self._timing.machine()

    def began(self, clocks: tuple[float, datetime]) -> None:
        """Count from when the clocks showed this."""
        self._began = clocks

    def end(self) -> None:
        """Take it for over: somebody has deleted the lock, so that another run may start at once."""
        self._began = None

    @property
    def left(self) -> timedelta:
        if self._began is None:
            return timedelta(0)
        monotonic, machine = self.clocks()
        return LEASE - max(timedelta(seconds=monotonic - self._began[0]), machine - self._began[1])

    def check(self) -> None:
        """Raise LockLost when nothing may be written any more."""
        if self.left < LAST_WRITE:
            msg = "the lock on the account has run out, so nothing more was written; apply again"
            raise LockLost(msg)


def _untold(_: LiveKey) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Lock:
    """How to lock an account: whom to tell what, and how long to wait for others.

    `waiting` hears whose lock is waited for, once for each.
    """

    account: Account
    nonce: Callable[[], str]
    mask: Callable[[Secret], None]
    timeout: timedelta
    timing: Timing = field(default_factory=Timing)
    waiting: Callable[[LiveKey], None] = _untold

    @contextlib.asynccontextmanager
    async def hold(self, lost: Callable[[], None]) -> AsyncIterator[Snapshot]:
        """Hold the lock; gives the account as it was read under the lock, to plan from.

        `lost` is called when the lock could not be renewed in time: nothing more may be written then, and every write
        raises LockLost. Raises LockTimeout when another run holds the lock for longer than `patience`.
        """
        lease = _Lease(self.timing)
        lock, snapshot = await self._acquire(lease)
        renewal = asyncio.create_task(self._renew(lock, lease, lost))
        try:
            with self.account.writing_while(lease.check):
                await sweep(self.account, snapshot)
                yield snapshot
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])
            await _delete(self.account, lock)

    async def _acquire(self, lease: _Lease) -> tuple[LiveKey, Snapshot]:
        give_up = self.timing.monotonic() + self.timeout.total_seconds()
        while True:
            # Reading first spares the others a lock that would be withdrawn, and tells the service's time for our own.
            await self._wait_for_others(give_up)
            lease.began(lease.clocks())
            lock = await self._post()
            try:
                snapshot = await self.account.list_keys()
                holders = [key.id for key in snapshot.keys if _holds(key, snapshot.now)]
                if holders == [lock.id]:
                    return lock, snapshot
                await _delete(self.account, lock)
            except BaseException:  # a cancelled run leaves no lock behind either
                await _delete(self.account, lock)
                raise
            if self.timing.monotonic() >= give_up:
                msg = "the account could not be locked: others lock it too, or it does not show the lock; try again"
                raise LockTimeout(msg)
            await self._pause()

    async def _post(self) -> LiveKey:
        """Post a lock of our own; one whose answer was lost is found by its name, since its secret is of no use."""
        new = NewKey(lock_name(self.nonce()), Decimal(0), self._lease())
        try:
            created = await self.account.create_key(new)
        except AmbiguousCreate:
            snapshot = await self.account.list_keys()
            found = [key for key in snapshot.keys if key.name == new.name]
            if not found:
                raise
            return found[0]
        except asyncio.CancelledError:  # whoever does not wait for the answer leaves no lock behind either
            with contextlib.suppress(AccountError):
                for key in (await self.account.list_keys()).keys:
                    if key.name == new.name:
                        await _delete(self.account, key)
            raise
        with created.secret:
            self.mask(created.secret)
        return created.key

    async def _wait_for_others(self, give_up: float) -> None:
        told: set[int] = set()
        while True:
            snapshot = await self.account.list_keys()
            rivals = [key for key in snapshot.keys if _holds(key, snapshot.now)]
            if not rivals:
                return
            if self.timing.monotonic() >= give_up:
                raise LockTimeout(_held_by(rivals, self.timeout))
            first = _first(rivals)
            if first.id not in told:
                told.add(first.id)
                self.waiting(first)
            await self._pause()

    async def _pause(self) -> None:
        """Let a random while go by, so that those who met do not meet again."""
        await self.timing.sleep(SHORTEST_PAUSE + self.timing.random() * LONGEST_PAUSE)

    async def _renew(self, lock: LiveKey, lease: _Lease, lost: Callable[[], None]) -> None:
        pause = RENEW_EVERY
        while True:
            await self.timing.sleep(pause)
            pause = RETRY_RENEWAL_EVERY
            clocks = lease.clocks()
            try:
                async with asyncio.timeout(RENEW_EVERY):
                    await self.account.update_key(lock.id, KeyPatch(expires_at=self._lease()))
            except (AccountError, TimeoutError) as error:
                if isinstance(error, RefusedByService) and error.status == HTTPStatus.NOT_FOUND:
                    lease.end()
                if lease.left < MARGIN:
                    lost()
                    return
            else:
                lease.began(clocks)
                pause = RENEW_EVERY

    def _lease(self) -> datetime:
        return (self.account.now() + LEASE).replace(microsecond=0)


async def sweep(account: Account, snapshot: Snapshot) -> None:
    """Delete the locks of runs that died, whether or not one holds the lock: nobody counts on theirs any more."""
    for key in snapshot.keys:
        if is_lock(key.name) and not _holds(key, snapshot.now):
            await _delete(account, key)


async def _delete(account: Account, lock: LiveKey) -> None:
    """Delete a lock; one that cannot be deleted now ends with its lease, and is swept later."""
    with contextlib.suppress(AccountError):
        await account.delete_key(lock.id)


def _holds(key: LiveKey, now: datetime) -> bool:
    return is_lock(key.name) and (key.expires_at or key.created_at + LEASE) > now


def _first(rivals: list[LiveKey]) -> LiveKey:
    return min(rivals, key=lambda key: (key.created_at, key.id))


def _held_by(rivals: list[LiveKey], timeout: timedelta) -> str:
    first = _first(rivals)
    since = format_instant(first.created_at)
    return (
        f"another apply is running: key {first.id} ({first.name}) has locked the account since {since}; "
        f"waited {format_duration(timeout)} for it, and nothing was changed; "
        "apply again later, or with a longer --lock-timeout"
    )
