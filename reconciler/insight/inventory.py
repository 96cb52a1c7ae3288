"""Every key of an account with all that is known of it: its owner, its use, and what a plan would do. Pure.

What a key was used for is known for some windows up to today (`WINDOWS`), and no further back than 30 days. Its limit,
however, is on all that it ever spends: the share of it is exact for a young key, and else the least that it can be.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from reconciler.model import LONGEST_DAYS, Activity, Usage
from reconciler.planning.accounts import whole
from reconciler.planning.actions import Create, is_whole_life, matcher
from reconciler.planning.budgets import days_since, is_raised, period_end
from reconciler.planning.matching import lease_end, match
from reconciler.planning.names import NAME, STAGES, End, Naming, ParsedName, Role, is_lock, parse_inherited, period_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date, datetime

    from reconciler.insight.history import Span
    from reconciler.model import Address, Declaration, DeclaredKey, KeyTally, Lease, LiveKey, Snapshot, Statistics
    from reconciler.planning.actions import AccountPlan, Action, Plan


# One key, what else there is of its address, and what a plan would do with it. Pure.


@dataclass(frozen=True, slots=True)
class KeyDetail:
    """A key, the others of its address, and of a plan what concerns them; `plan` None where nothing is declared.

    `errors` say in a line each which accounts could not be looked at, `warnings` what else could not be read.
    """

    key: InventoryKey
    relatives: tuple[InventoryKey, ...] = ()
    plan: Plan | None = None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def matching(keys: Sequence[InventoryKey], text: str) -> list[InventoryKey]:
    """Return the keys that an address, an id or a live name means; of an address, those that come first in its life."""
    if text.isascii() and text.isdecimal():
        return [key for key in keys if key.live is not None and str(key.live.id) == text.lstrip("0")]
    own = [key for key in keys if str(key.address) == text]
    if own:
        return [key for key in own if key.status is own[0].status]
    return [key for key in keys if key.live is not None and key.live.name == text]


def detail_of(key: InventoryKey, keys: Sequence[InventoryKey], plan: AccountPlan | None) -> KeyDetail:
    """Put together what there is to say of a key, from the inventory and the plan of its account."""
    family = [each for each in keys if key.address is not None and each.address == key.address]
    relatives = tuple(each for each in family if each != key)
    return KeyDetail(key, relatives, None if plan is None else whole([_part(plan, [key, *relatives])]))


def _part(plan: AccountPlan, family: Sequence[InventoryKey]) -> AccountPlan:
    """Leave of a plan what concerns these keys."""
    ids = {each.live.id for each in family if each.live is not None}
    address = family[0].address

    def concerns(action: Action) -> bool:
        if address is not None and action.address == address:
            return True
        return not isinstance(action, Create) and action.live.id in ids

    actions = tuple(action for action in plan.actions if concerns(action))
    findings = tuple(each for each in plan.findings if address is not None and each.address == address)
    return replace(plan, actions=actions, findings=findings)


# Whose a key is, and whose the use is that the service tells of.
#
# A key is found by its id among those that are live; use of one that is gone, by the name that the service still has
# for it. What the engine named (`~new`, `~sent`, `~next`, `~old`, `~gone`, `~run`) belongs to its address like the
# settled key, a renamed key to the address that its `id` or `renamed_from` leads to.

DEFAULT_NAMING: Final = "{environment}/{key}"
"""How names are read where no file says it."""

_BY_DEFAULT: Final = re.compile(rf"({NAME})/{NAME}(?:~.*)?", re.ASCII | re.DOTALL)


class Standing(StrEnum):
    """How a key stands to the file.

    `undeclared` has an address of a declared environment that the file does not name; without a file, any address.
    `unmanaged` has none, nor has what is `deleted` and went by no name that would give it one. A `lock` is an apply's.
    """

    DECLARED = "declared"
    UNDECLARED = "undeclared"
    UNMANAGED = "unmanaged"
    LOCK = "lock"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a key is.

    `name` is its live name, else the one that the service remembers; `live` None where it is not among the live keys,
    whatever its standing. `role` says where it is in the life of its address; `declared`, or `lease`, is what the file
    says of that.
    """

    standing: Standing
    name: str
    key_id: int | None
    address: Address | None = None
    role: Role | None = None
    declared: DeclaredKey | None = None
    live: LiveKey | None = None
    lease: Lease | None = None

    @property
    def team(self) -> str | None:
        """The team that the file names for the key, if any."""
        source = self.declared or self.lease
        return None if source is None else source.team


class Attribution:
    """Tells for the keys of one account whose they are; `live` holds the owner of each live key by its id."""

    def __init__(self, snapshot: Snapshot, declaration: Declaration | None = None) -> None:
        """Place every live key, by what is declared for this account; None reads names by the default naming."""
        environments = _environments(snapshot.keys) if declaration is None else declaration.environments
        self._naming = Naming(DEFAULT_NAMING if declaration is None else declaration.naming, environments)
        keys = () if declaration is None else declaration.keys
        self._declared: Mapping[Address, DeclaredKey] = {key.address: key for key in keys}
        leases = () if declaration is None else declaration.leases
        self._leases: Mapping[Address, Lease] = {lease.address: lease for lease in leases}
        self._heirs = {name: key.address for key in keys for name in key.renamed_from}
        self._guesses = declaration is None
        places = {} if declaration is None else _places(declaration, snapshot)
        self.live: Mapping[int, Owner] = {key.id: self._owner_of(key, places.get(key.id)) for key in snapshot.keys}

    def of(self, usage: KeyTally) -> Owner:
        """Return whose the use is that the service tells of; see `identified` for use without an id."""
        owner = None if usage.id is None else self.live.get(usage.id)
        if owner is not None:
            return owner
        parsed = self._parse(usage.name)
        if parsed is None:
            standing = Standing.LOCK if is_lock(usage.name) else Standing.DELETED
            return Owner(standing, usage.name, usage.id)
        return self._at(parsed, usage.name, usage.id)

    def _owner_of(self, key: LiveKey, place: ParsedName | None) -> Owner:
        parsed = place or self._parse(key.name)
        if parsed is None:
            standing = Standing.LOCK if is_lock(key.name) else Standing.UNMANAGED
            return Owner(standing, key.name, key.id, live=key)
        return self._at(parsed, key.name, key.id, key)

    def _at(self, parsed: ParsedName, name: str, key_id: int | None, live: LiveKey | None = None) -> Owner:
        declared, lease = self._declared.get(parsed.address), self._leases.get(parsed.address)
        standing = Standing.UNDECLARED if declared is None and lease is None else Standing.DECLARED
        return Owner(standing, name, key_id, parsed.address, parsed.role, declared, live, lease)

    def _parse(self, name: str) -> ParsedName | None:
        found = self._naming.parse(name)
        if found is None and self._guesses and (environment := _environment(name)):
            found = Naming(DEFAULT_NAMING, [environment]).parse(name)  # one that has no live key any more
        if found is not None and found.address in self._declared:
            return found
        heir = self._heirs.get(name)
        inherited = parse_inherited(name, self._heirs) if heir is None else ParsedName(heir, Role.SETTLED)
        return inherited or found


def identified(statistics: Statistics, snapshot: Snapshot) -> Statistics:
    """Return use that the service tells without an id that of the live key of its name, if there is just one."""
    if all(usage.id is not None for usage in statistics.by_key):
        return statistics
    names = Counter(key.name for key in snapshot.keys)
    ids = {key.name: key.id for key in snapshot.keys if names[key.name] == 1}
    by_key = (usage if usage.id is not None else replace(usage, id=ids.get(usage.name)) for usage in statistics.by_key)
    return replace(statistics, by_key=tuple(by_key))


def tells_of_keys(statistics: Statistics) -> bool:
    """Return whether the service says what single keys were used for: not where it leaves out which key it was."""
    if "api_key_usage" in statistics.absent:
        return False
    nobodys = any(usage.id is None and not usage.name for usage in statistics.by_key)
    return not (nobodys and "api_key_usage.api_key_id" in statistics.absent)


def _places(declaration: Declaration, snapshot: Snapshot) -> dict[int, ParsedName]:
    """Return the address of every live key that the planner gives one, by id."""
    matching = match(declaration, snapshot)
    places = {key.id: parsed for parsed, key in matching.engine}
    places |= {key.id: ParsedName(address, Role.SETTLED) for address, key in matching.undeclared}
    places |= {key.id: ParsedName(address, Role.SETTLED) for address, key in matching.live.items()}
    return places


def _environments(keys: Iterable[LiveKey]) -> set[str]:
    return {environment for key in keys if (environment := _environment(key.name))}


def _environment(name: str) -> str | None:
    found = _BY_DEFAULT.fullmatch(name)
    return found and found[1]


# Every key of an account with what there is to know about it, and every declared key that has none. Pure.

WINDOWS: Final = (1, 7, LONGEST_DAYS)
"""The windows, in days, by which the inventory tells when a key was last seen in use."""


class KeyStatus(StrEnum):
    """Where a key stands; the first that fits.

    `missing` is declared and not live. `unclear` are several live keys where one is declared. `new`, `sent`, `next`,
    `old` and `gone` are the stages of a rotation or a removal; `run` lives as long as a command; `lock` is that of a
    running apply. `undeclared` has an address of a declared environment that the file does not name; `unmanaged` has
    none. Of the others, `expired` and `disabled` do not work, and `settled` ones do.
    """

    MISSING = "missing"
    UNCLEAR = "unclear"
    SETTLED = "settled"
    DISABLED = "disabled"
    EXPIRED = "expired"
    NEXT = "next"
    SENT = "sent"
    NEW = "new"
    OLD = "old"
    GONE = "gone"
    RUN = "run"
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
class PeriodUse:
    """What a key with a budget that renews has spent in its period, in USD, and what it may.

    The period began on the day `begin` (UTC). The file says how long it is: `renew`, so that the next one begins on
    `next`; both are None where it does not. `spent` None means that it was not read.
    """

    begin: date
    renew: str | None
    next: date | None
    spent: Decimal | None
    allowance: Decimal


@dataclass(frozen=True, slots=True)
class InventoryKey:
    """A key with what there is to know; `live` None for one that is missing, `declared` None for one the file lacks.

    `until` is when a stage of the engine's ends: an overlap, a grace, a lease. `usage` is what the key was used for in
    the window that was asked for, None where that was not read. `account` is the variable with the
    provisioning key of its account. With a budget that renews, `period` is what was spent of it, and the `share` is
    that of the allowance. `raised_until` is when the limit that it has is over, where the file raises it for a while.
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
    lease: Lease | None = None
    period: PeriodUse | None = None
    raised_until: datetime | None = None

    @property
    def name(self) -> str:
        """The raw name that the key goes by: its address, else its live name."""
        if self.address is not None:
            return str(self.address)
        return "" if self.live is None else self.live.name

    @property
    def limit(self) -> Decimal | None:
        """What it may spend, in USD: of a budget that renews, in its period. None where there is no limit or no key."""
        if self.period is not None:
            return self.period.allowance
        return None if self.live is None else self.live.credit_limit

    @property
    def team(self) -> str | None:
        """The team that the file names for it."""
        source = self.declared or self.lease
        return None if source is None else source.team


@dataclass(frozen=True, slots=True)
class Inventory:
    """The keys of some accounts, with their use of the last `days` days, or of a `period` that is recorded.

    Without a file, nothing counts as `declared`: names are read by the default naming. `errors` say in a line each
    which accounts are left out, `warnings` what else could not be read.
    """

    keys: tuple[InventoryKey, ...]
    days: int
    declared: bool
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    period: Span | None = None


def key_activity(statistics: Statistics) -> Activity | None:
    """Return what each key was used for, as the planner wants it; None where the service does not tell of keys."""
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
    present = {*rivals, *(owner.address for owner in attribution.live.values() if _is_current(owner, Role.SUCCESSOR))}
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
        period = self._period(owner, live) if owner.role is Role.SETTLED else None
        return InventoryKey(
            account=self.account,
            status=KeyStatus.UNCLEAR if unclear and owner.role is Role.SETTLED else self._status(owner, live),
            address=owner.address,
            live=live,
            declared=owner.declared,
            until=_until(owner, live),
            usage=None if shown is None else shown.of(live.id),
            share=self._share(live, period),
            last_use=self._last_use(live),
            age=max(self.now - live.created_at, timedelta(0)),
            rotation_due=rotation_due(owner.declared, live, self.now) if owner.role is Role.SETTLED else None,
            lease=owner.lease,
            period=period,
            raised_until=raised_until(owner.declared, live, self.now),
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

    def _period(self, owner: Owner, live: LiveKey) -> PeriodUse | None:
        period = period_of(live.name)
        if period is None or live.credit_limit is None:
            return None
        activity = self.activities.get(days_since(period.begin, self.now))
        renew = None if owner.declared is None else owner.declared.renew
        return PeriodUse(
            period.begin,
            renew,
            None if renew is None else period_end(renew, period.begin),
            None if activity is None else activity.of(live.id).cost,
            live.credit_limit - period.spent,
        )

    def _share(self, live: LiveKey, period: PeriodUse | None) -> Share | None:
        if period is not None:
            if period.spent is None or period.allowance <= 0:
                return None
            late = (self.now.date() - period.begin).days >= LONGEST_DAYS
            return Share(period.spent, period.allowance, at_least=late)
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


def raised_until(declared: DeclaredKey | None, live: LiveKey, now: datetime) -> datetime | None:
    """Return when the limit of a live key is over that is raised for a while; None for one that is not raised."""
    raised = None if declared is None else declared.raised
    raised = raised if declared and raised and is_raised(declared, live, now) else None
    return None if raised is None else raised.until


def rotation_due(declared: DeclaredKey | None, live: LiveKey, now: datetime) -> datetime | None:
    """Return when a live key has to be rotated for its age; None where the file asks for no rotation."""
    if declared is None or not declared.rotate_every or not declared.is_enabled:
        return None
    if declared.expires_at is not None and declared.expires_at <= now:
        return None
    return live.created_at + declared.rotate_every


def _until(owner: Owner, live: LiveKey) -> datetime | None:
    if owner.standing is Standing.LOCK:
        return live.expires_at
    if owner.role is not None and STAGES[owner.role].end is End.LEASE:
        return lease_end(live)
    if owner.address is None:
        return None
    parsed = parse_inherited(live.name, {live.name.rpartition("~")[0]: owner.address})
    return None if parsed is None else parsed.until


def _order(key: InventoryKey) -> tuple[object, ...]:
    name, number = ("", 0) if key.live is None else (key.live.name, key.live.id)
    return (key.address is None, key.address or (), [*KeyStatus].index(key.status), name, number)


# Which keys of an inventory are meant, and in which order.

UNUSED_FOR: Final = {
    "1d": (timedelta(days=1), {LastUse.WEEK, LastUse.MONTH, LastUse.NOT_LATELY, LastUse.NEVER}),
    "7d": (timedelta(days=7), {LastUse.MONTH, LastUse.NOT_LATELY, LastUse.NEVER}),
    "30d": (timedelta(days=30), {LastUse.NOT_LATELY, LastUse.NEVER}),
}
"""For how long a key was not used: it is at least that old, and was last seen in use before."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which keys are meant; what is empty leaves out nothing. `only` are globs, `unused_for` is one of `UNUSED_FOR`."""

    only: tuple[str, ...] = ()
    states: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    unused_for: str | None = None

    def covers(self, key: InventoryKey) -> bool:
        """True when a key is meant."""
        return (
            (not self.only or matcher(self.only)(key.name))
            and (not self.states or key.status.value in self.states)
            and (not self.teams or key.team in self.teams)
            and (self.unused_for is None or _is_unused(key, *UNUSED_FOR[self.unused_for]))
        )


def _is_unused(key: InventoryKey, period: timedelta, uses: set[LastUse]) -> bool:
    return key.last_use in uses and key.age is not None and key.age >= period


def sorted_by(keys: Sequence[InventoryKey], field: str, *, reverse: bool = False) -> list[InventoryKey]:
    """Sort keys by `address` or a field of `SORTS`; of equal ones, and with nothing known about it, the order stays."""
    if field == "address":
        return [*reversed(keys)] if reverse else [*keys]
    value, descending = SORTS[field]
    known = [key for key in keys if value(key) is not None]
    unknown = [key for key in keys if value(key) is None]
    return [*sorted(known, key=value, reverse=descending != reverse), *unknown]


SORTS: Final[Mapping[str, tuple[Callable[[InventoryKey], Any], bool]]] = {
    "state": (lambda key: [*KeyStatus].index(key.status), False),
    "limit": (lambda key: key.limit, True),
    "spend": (lambda key: None if key.usage is None else key.usage.cost, True),
    "share": (lambda key: None if key.share is None else key.share.value, True),
    "age": (lambda key: key.age, True),
    "expiry": (lambda key: None if key.live is None else key.live.expires_at, False),
    "rotation": (lambda key: key.rotation_due, False),
    "last-use": (lambda key: None if key.last_use is LastUse.UNKNOWN else [*LastUse].index(key.last_use), False),
    "team": (lambda key: key.team, False),
}
"""What keys can be sorted by, and which of these go from the highest down."""
