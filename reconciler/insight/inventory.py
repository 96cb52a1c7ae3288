"""Every key of an account with what there is to know about it, and every declared key that has none. Pure.

What a key was used for is known for some windows up to today (`WINDOWS`), and no further back than 30 days. Its limit,
however, is on all that it ever spends: the share of it is exact for a young key, and else the least that it can be.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from reconciler.insight.attribution import Attribution, Standing, tells_of_keys
from reconciler.model import LONGEST_DAYS, Activity, Usage
from reconciler.plan.facts import is_whole_life
from reconciler.plan.lineage import lease_end
from reconciler.plan.names import Role, parse_inherited

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from reconciler.insight.attribution import Owner
    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey, Snapshot, Statistics

WINDOWS: Final = (1, 7, LONGEST_DAYS)
"""The windows, in days, by which the inventory tells when a key was last seen in use."""


class KeyStatus(StrEnum):
    """Where a key stands; the first that fits.

    `missing` is declared and not live. `unclear` are several live keys where one is declared. `new`, `next`, `old` and
    `gone` are the stages of a rotation or a removal; `lock` is that of a running apply. `undeclared` has an address of
    a declared environment that the file does not name; `unmanaged` has none. Of the others, `expired` and `disabled`
    do not work, and `settled` ones do.
    """

    MISSING = "missing"
    UNCLEAR = "unclear"
    SETTLED = "settled"
    DISABLED = "disabled"
    EXPIRED = "expired"
    NEXT = "next"
    NEW = "new"
    OLD = "old"
    GONE = "gone"
    UNDECLARED = "undeclared"
    UNMANAGED = "unmanaged"
    LOCK = "lock"


class LastUse(StrEnum):
    """When a key was last seen in use, the latest first.

    `never` is a key that is younger than the longest window, in which it was not used; `unknown` was not read.
    """

    DAY = "within 1 day"
    WEEK = "within 7 days"
    MONTH = "within 30 days"
    NOT_LATELY = "not in 30 days"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Share:
    """What a key has spent of its limit, in USD; `at_least` where it is older than what the service tells."""

    spent: Decimal
    limit: Decimal
    at_least: bool

    @property
    def value(self) -> Decimal:
        """The share itself, 1 being all of the limit."""
        return self.spent / self.limit


@dataclass(frozen=True, slots=True)
class InventoryKey:
    """A key with what there is to know; `live` None for one that is missing, `declared` None for one the file lacks.

    `until` is when a stage of the engine's ends: an overlap, a grace, a lease. `usage` is what the key was used for in
    the window that was asked for, None where that was not read. `account` is the variable with the
    provisioning key of its account.
    """

    account: str
    status: KeyStatus
    address: Address | None = None
    live: LiveKey | None = None
    declared: DeclaredKey | None = None
    until: datetime | None = None
    usage: Usage | None = None
    share: Share | None = None
    last_use: LastUse = LastUse.UNKNOWN
    age: timedelta | None = None
    rotation_due: datetime | None = None

    @property
    def name(self) -> str:
        """The raw name that the key goes by: its address, else its live name."""
        if self.address is not None:
            return str(self.address)
        return "" if self.live is None else self.live.name

    @property
    def team(self) -> str | None:
        """The team that the file names for it."""
        return None if self.declared is None else self.declared.team


def key_activity(statistics: Statistics) -> Activity | None:
    """Give what each key was used for, as the planner wants it; None where the service does not tell of keys."""
    if not tells_of_keys(statistics):
        return None
    by_key: dict[int, Usage] = {}
    for each in statistics.by_key:
        if each.id is not None:
            before = by_key.get(each.id, Usage(statistics.days, Decimal(0), 0))
            cost, requests = before.cost + each.tally.cost, before.requests + each.tally.requests
            by_key[each.id] = Usage(statistics.days, cost, requests)
    return Activity(statistics.days, by_key)


def take_inventory(
    account: str,
    snapshot: Snapshot,
    activities: Iterable[Activity] = (),
    declaration: Declaration | None = None,
    *,
    days: int = LONGEST_DAYS,
) -> tuple[InventoryKey, ...]:
    """List the keys of an account by address, then those without one by name, then locks.

    `declaration` is what the file says about this account; None reads the names of the keys by the default naming.
    `activities` are the windows that could be read, `days` the one that the usage is shown for.
    """
    attribution = Attribution(snapshot, declaration)
    rivals = Counter(owner.address for owner in attribution.live.values() if _is_current(owner, Role.SETTLED))
    windows = {each.days: each for each in activities}
    clerk = _Clerk(account, snapshot.now, windows, days, declared=declaration is not None)
    keys = [clerk.entered(owner, unclear=rivals[owner.address] > 1) for owner in attribution.live.values()]
    present = {*rivals, *(owner.address for owner in attribution.live.values() if _is_current(owner, Role.NEXT))}
    wanted = () if declaration is None else declaration.keys
    keys += [
        InventoryKey(account, KeyStatus.MISSING, key.address, declared=key)
        for key in wanted
        if key.address not in present
    ]
    return tuple(sorted(keys, key=_order))


def _is_current(owner: Owner, role: Role) -> bool:
    return owner.standing is Standing.DECLARED and owner.role is role


@dataclass(frozen=True, slots=True)
class _Clerk:
    """Enters keys of one account; without anything `declared`, a key that has an address counts as settled."""

    account: str
    now: datetime
    activities: Mapping[int, Activity]
    days: int
    declared: bool

    def entered(self, owner: Owner, *, unclear: bool) -> InventoryKey:
        live = owner.live
        assert live is not None  # noqa: S101  # the owner of a live key
        shown = self.activities.get(self.days)
        return InventoryKey(
            account=self.account,
            status=KeyStatus.UNCLEAR if unclear and owner.role is Role.SETTLED else self._status(owner, live),
            address=owner.address,
            live=live,
            declared=owner.declared,
            until=_until(owner, live),
            usage=None if shown is None else shown.of(live.id),
            share=self._share(live),
            last_use=self._last_use(live),
            age=max(self.now - live.created_at, timedelta(0)),
            rotation_due=rotation_due(owner.declared, live, self.now) if owner.role is Role.SETTLED else None,
        )

    def _status(self, owner: Owner, live: LiveKey) -> KeyStatus:
        if owner.role is None:
            return KeyStatus.LOCK if owner.standing is Standing.LOCK else KeyStatus.UNMANAGED
        if owner.role is not Role.SETTLED:
            return KeyStatus(owner.role.value)
        if self.declared and owner.standing is not Standing.DECLARED:
            return KeyStatus.UNDECLARED
        if live.expires_at is not None and live.expires_at <= self.now:
            return KeyStatus.EXPIRED
        return KeyStatus.SETTLED if live.is_enabled else KeyStatus.DISABLED

    def _share(self, live: LiveKey) -> Share | None:
        activity = self.activities.get(LONGEST_DAYS)
        if activity is None or not live.credit_limit:
            return None
        young = is_whole_life(live.created_at, self.now)
        return Share(activity.of(live.id).cost, live.credit_limit, at_least=not young)

    def _last_use(self, live: LiveKey) -> LastUse:
        for days, seen in zip(WINDOWS, LastUse, strict=False):
            activity = self.activities.get(days)
            if activity is not None and activity.of(live.id):
                return seen
        if LONGEST_DAYS not in self.activities:
            return LastUse.UNKNOWN
        return LastUse.NEVER if is_whole_life(live.created_at, self.now) else LastUse.NOT_LATELY


def rotation_due(declared: DeclaredKey | None, live: LiveKey, now: datetime) -> datetime | None:
    """Say when a live key has to be rotated for its age; None where the file asks for no rotation."""
    if declared is None or not declared.rotate_every or not declared.is_enabled:
        return None
    if declared.expires_at is not None and declared.expires_at <= now:
        return None
    return live.created_at + declared.rotate_every


def _until(owner: Owner, live: LiveKey) -> datetime | None:
    if owner.standing is Standing.LOCK:
        return live.expires_at
    if owner.role is Role.PENDING:
        return lease_end(live)
    if owner.address is None:
        return None
    parsed = parse_inherited(live.name, {live.name.rpartition("~")[0]: owner.address})
    return None if parsed is None else parsed.until


def _order(key: InventoryKey) -> tuple[object, ...]:
    group = 0 if key.address is not None else 2 if key.status is KeyStatus.LOCK else 1
    stage = [*KeyStatus].index(key.status)
    name, number = ("", 0) if key.live is None else (key.live.name, key.live.id)
    return (group, key.address or (), stage, name, number)
