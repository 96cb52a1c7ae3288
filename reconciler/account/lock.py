"""A lock without a lock server: a key of the account that says "an apply is running".

Whoever wants to write posts a lock of its own and then reads the list. Two who do so at the same time cannot both miss
each other: the one whose list was read later sees the other's lock. Whoever sees another's withdraws and tries again. A
lock has a short lease that is renewed while the work goes on, so that a run that died holds up nobody for long. A run
that was not dead but asleep finds out before its next write that its lease may be over, and writes nothing more.

A list may show the account as it was a while ago. So the list that decides is one that shows our own lock: it is as
of a moment after that was posted, and whoever posts later sees it. Locks that this run has withdrawn, or whose answer
was lost, are nobody's rivals.
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
    from collections.abc import AsyncIterator, Callable, Collection
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
# A service that neither shows a lock nor refuses it must not be filled with them.
MOST_LOCKS: Final = 5
# How much later than asked a lock may end: beyond, a run that died would hold up others for too long.
LATEST: Final = timedelta(minutes=1)
SHORTEST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 3.0

_NOT_TO_ITS_TASTE: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_WITHOUT: Final = "where no other apply can run at the same time, --no-lock goes without it"


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
        raises LockLost. Raises LockTimeout when another run holds the lock for longer than `timeout`, and AccountError
        when the service does not take the lock.
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
        posted: dict[str, tuple[float, datetime]] = {}
        while True:
            # Reading first spares the others a lock that would be withdrawn, and tells the service's time for our own.
            lock = await self._wait_for_others(give_up, posted)
            if lock is None:
                name = lock_name(self.nonce())
                posted[name] = lease.clocks()
                lock = await self._post(name, last=len(posted) == MOST_LOCKS)
            if lock is not None:
                lease.began(posted[lock.name])
                snapshot = await self._alone(lock, posted)
                if snapshot is not None:
                    return lock, snapshot
                if len(posted) == MOST_LOCKS or self.timing.monotonic() >= give_up:
                    msg = (
                        f"the account could not be locked, since others lock it too or delete the lock: tried "
                        f"{len(posted)} times, and nothing was changed; apply again later"
                    )
                    raise LockTimeout(msg)
            await self._pause(len(posted))

    async def _alone(self, lock: LiveKey, posted: Collection[str]) -> Snapshot | None:
        """Return the account if nobody else's lock is in it, else withdraw ours; whatever is raised withdraws it."""
        try:
            snapshot = await self.account.read_back()
            rivals = _rivals(snapshot, posted)
            if not rivals and any(key.id == lock.id for key in snapshot.keys):
                return snapshot
        except BaseException:  # a cancelled run leaves no lock behind either
            await _delete(self.account, lock)
            raise
        await _delete(self.account, lock)
        return None

    async def _post(self, name: str, *, last: bool) -> LiveKey | None:
        """Post a lock of our own; None when its answer was lost and it is not there, unless it is the last to be tried.

        One whose answer was lost is found by its name, and serves: its secret is of no use.
        """
        new = NewKey(name, Decimal(0), self._lease())
        try:
            created = await self.account.create_key(new)
        except AmbiguousCreate as error:
            if found := _named(await self.account.list_keys(), [name]):
                self.account.found(found, name)
                return await self._checked(found, new)
            if last:
                msg = f"the account could not be locked: {error}; tried {MOST_LOCKS} times, and nothing was changed"
                raise AccountError(msg) from None
            return None
        except RefusedByService as error:
            msg = f"the account could not be locked, and nothing was changed: {error}"
            if error.status in _NOT_TO_ITS_TASTE:
                msg += (
                    f"; the lock is a key with `~` in its name, a limit of 0 and an expiry in {format_duration(LEASE)},"
                    f" and the service takes no such key; {_WITHOUT}"
                )
            raise AccountError(msg) from None
        except asyncio.CancelledError:  # whoever does not wait for the answer leaves no lock behind either
            with contextlib.suppress(AccountError):
                if found := _named(await self.account.list_keys(), [name]):
                    await _delete(self.account, found)
            raise
        with created.secret:
            self.mask(created.secret)
        return await self._checked(created.key, new)

    async def _checked(self, lock: LiveKey, new: NewKey) -> LiveKey:
        """See that the service took the lock as it was sent; a limit is of no matter, since nobody has its secret."""
        wrong = "" if lock.name == new.name else f"the name {lock.name} where {new.name} was asked"
        # Without any expiry it counts for as long as its lease since its creation, see `_holds`.
        if lock.expires_at and new.expires_at and not _in_time(lock.expires_at, new.expires_at):
            wrong = f"the end {format_instant(lock.expires_at)} where {format_instant(new.expires_at)} was asked"
        if wrong:
            await _delete(self.account, lock)
            msg = (
                f"the account could not be locked, and nothing was changed: the lock is a key, which the service gave "
                f"{wrong}; {_WITHOUT}"
            )
            raise AccountError(msg)
        return lock

    async def _wait_for_others(self, give_up: float, posted: Collection[str]) -> LiveKey | None:
        """Wait until nobody else holds the lock; gives a lock of ours that has come after its answer was lost."""
        told: set[int] = set()
        while True:
            snapshot = await self.account.list_keys()
            rivals = _rivals(snapshot, posted)
            if not rivals:
                return self._came_late(snapshot, posted)
            if self.timing.monotonic() >= give_up:
                raise LockTimeout(_held_by(rivals, self.timeout))
            first = _first(rivals)
            if first.id not in told:
                told.add(first.id)
                self.waiting(first)
            await self._pause()

    def _came_late(self, snapshot: Snapshot, posted: Collection[str]) -> LiveKey | None:
        """Return a lock of ours whose answer was lost and that came all the same, unless it ends soon."""
        late = _named(snapshot, self.account.lost(posted))
        if late is None or not late.expires_at or late.expires_at - snapshot.now < LEASE / 2:
            return None
        self.account.found(late, late.name)
        return late

    async def _pause(self, posted: int = 1) -> None:
        """Let a random while go by, longer after a second and a third lock, so that those who met do not meet again."""
        longest = LONGEST_PAUSE * 2 ** (posted - 1)
        await self.timing.sleep(SHORTEST_PAUSE + self.timing.random() * longest)

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


def _rivals(snapshot: Snapshot, posted: Collection[str]) -> list[LiveKey]:
    """Return the locks of others that have not run out."""
    return [key for key in snapshot.keys if key.name not in posted and _holds(key, snapshot.now)]


def _in_time(end: datetime, asked: datetime) -> bool:
    """Return whether a lock lasts for as long as was asked: not less, and not much longer."""
    return timedelta(seconds=-1) < end - asked <= LATEST


def _named(snapshot: Snapshot, names: Collection[str]) -> LiveKey | None:
    return next((key for key in snapshot.keys if key.name in names), None)


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
