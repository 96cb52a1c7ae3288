"""A plan as a value: its options and inputs, the plans of its accounts, and the outcomes of an apply.

A plan is a list of account plans, of one or of many. Where a file declares more than one account, each action and
finding names the variable of its `account`, since two accounts may have keys of the same id; else that is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fnmatch import translate
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Final

from reconciler.diagnostic import Severity
from reconciler.model import LONGEST_DAYS, KeyPatch
from reconciler.units import dollars, plural, same_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from reconciler.diagnostic import Location
    from reconciler.model import Activity, Address, Declaration, DeclaredKey, KeyState, LiveKey, Raise, Settable, Usage


# What became of a plan: one outcome for every action, and how the account compares afterwards.


class Status(StrEnum):
    """How an action ended, in the order summaries list it."""

    DONE = "done"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended.

    `message` says in one line why it failed, was not attempted, or what to know about it although it is done; it never
    holds a secret. `key_id` is the id of the key that was created or changed, None where there is none to name.
    """

    action: Action
    status: Status
    message: str | None = None
    key_id: int | None = None


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What an apply did, its outcomes in the order of the plan.

    `remaining` is the plan of the account read again after the last change; None when it was not read, and then `note`
    says why. `interrupted` means that the run was asked to stop. `unreached` are the variables of the accounts, of
    several, of which nothing could be done.
    """

    outcomes: tuple[Outcome, ...]
    interrupted: bool = False
    remaining: Plan | None = None
    note: str | None = None
    unreached: tuple[str, ...] = ()

    @property
    def in_sync(self) -> bool | None:
        """Whether nothing is left to do; None when that is not known."""
        return None if self.remaining is None else not self.remaining.actions

    def count(self, status: Status) -> int:
        """Count the actions that ended this way."""
        return sum(outcome.status is status for outcome in self.outcomes)


def untouched(plan: Plan) -> ApplyResult:
    """Return the result of not having started: nothing attempted, and everything remains."""
    return ApplyResult(tuple(Outcome(action, Status.NOT_ATTEMPTED) for action in plan.actions), remaining=plan)


def cut_short(
    plan: Plan, known: Iterable[Outcome], *, interrupted: bool = False, note: str | None = None
) -> ApplyResult:
    """Return the result of an apply that ended early: what is known, and that the other actions were not tried."""
    outcomes = {id(outcome.action): outcome for outcome in known}
    remaining = None if outcomes or plan.errors else plan
    every = tuple(outcomes.get(id(action)) or Outcome(action, Status.NOT_ATTEMPTED) for action in plan.actions)
    return ApplyResult(every, interrupted=interrupted, remaining=remaining, note=note)


# What a plan is judged by besides what is declared and what is live.


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What was read beside the keys; what was not read is left out, which is not the same as zero.

    `balance` is in USD; `activity` holds one for each window that `windows` asks for; `base` is the declaration as it
    was before the change. `unread` says in a line each what could not be read and why. With `offline` the base stands
    for the account: what only the account knows cannot be judged. `elsewhere` names the environments that are declared
    for other accounts, `account` the variable of this one where that has to be said.
    """

    balance: Decimal | None = None
    activity: tuple[Activity, ...] = ()
    base: Declaration | None = None
    unread: tuple[str, ...] = ()
    offline: bool = False
    elsewhere: frozenset[str] = frozenset()
    account: str | None = None

    def usage(self, key_id: int, days: int = LONGEST_DAYS) -> Usage | None:
        """Return how much a key was used in the last days; None when that was not read."""
        return next((activity.of(key_id) for activity in self.activity if activity.days == days), None)


NOTHING_READ: Final = PlanInputs()


def window(period: timedelta) -> int:
    """Return how many days of activity show all use within a period: the service counts whole days.

    A period of 24 hours reaches into two days of the calendar, so one day more than it has; 30 at most.
    """
    return min(-(-period // timedelta(days=1)) + 1, LONGEST_DAYS)


def is_whole_life(created_at: datetime, now: datetime, days: int = LONGEST_DAYS) -> bool:
    """Return whether the last days of activity hold the whole life of a key: today is one of them."""
    return (now.date() - created_at.date()).days < days


def used(usage: Usage, value: Callable[[str], str] = str) -> str:
    """Return how much a key was used: `892 requests, $28.34 in 30 days`; `value` sets off the amount."""
    return f"{plural(usage.requests, 'request')}, {value(dollars(usage.cost))} in {plural(usage.days, 'day')}"


def used_lately(live: LiveKey, usage: Usage, now: datetime, value: Callable[[str], str] = str) -> str:
    """Return how much a live key was used: as `used` does, or `not used in 30 days`, of a younger one `never used`."""
    if usage:
        return used(usage, value)
    young = is_whole_life(live.created_at, now, usage.days)
    return "never used" if young else f"not used in {plural(usage.days, 'day')}"


def windows(declaration: Declaration, base: Declaration | None = None) -> tuple[int, ...]:
    """Return the numbers of days whose activity a plan wants to know: 30, and what `protect_active` asks for."""
    files = [declaration] if base is None else [declaration, base]
    guardrails = [file.guardrails for file in files]
    guardrails += [environment.guardrails for file in files for environment in file.environments.values()]
    rules = [each.protect_active for each in guardrails if each.protect_active is not None]
    return tuple(sorted({LONGEST_DAYS, *(window(rule.value) for rule in rules)}))


# What a run asks for beyond the file.


@dataclass(frozen=True, slots=True)
class Options:
    """Wishes that the command line adds to what the file says.

    `rotate` are declared addresses to rotate now, and without `overlap` their old keys are disabled at once; without
    `by_age` no key is rotated for its age. With `due`, only what the clock asks for is done (see `due`). `allow` are
    globs of addresses whose guardrails are lifted for this run. `environments` and `only` (globs of addresses) select
    what the run is about: what they leave out is neither changed nor judged; both empty select everything.
    """

    rotate: frozenset[Address] = frozenset()
    overlap: bool = True
    by_age: bool = True
    due: bool = False
    allow: tuple[str, ...] = ()
    environments: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()

    @property
    def selective(self) -> bool:
        """Whether something is left out."""
        return bool(self.environments or self.only)

    def selector(self) -> Callable[[Address], bool]:
        """Return the test that tells whether the run is about an address."""
        environments, matches = self.environments, matcher(self.only)
        if not self.selective:
            return lambda _: True
        return lambda address: (
            (not environments or address.environment in environments) and (not self.only or matches(str(address)))
        )


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return the test that tells whether one of the globs matches a whole text; `*` matches `/` too."""
    pattern = re.compile("|".join(translate(glob) for glob in globs) or "(?!)")
    return lambda text: pattern.match(text) is not None


AS_THE_FILE_SAYS: Final = Options()


# A plan as a value: what to do, what speaks against it, and what it is about.


class ActionKind(StrEnum):
    """The words that people and plan.json use, in the order summaries list them."""

    CREATE = "create"
    UPDATE = "update"
    RENEW = "renew"
    RENAME = "rename"
    ROTATE = "rotate"
    FINISH = "finish"
    RETIRE = "retire"
    RESTORE = "restore"
    DELETE = "delete"


class Field(StrEnum):
    """The fields of a key that the API lets us set, in the order they are shown."""

    NAME = "name"
    IS_ENABLED = "is_enabled"
    CREDIT_LIMIT = "credit_limit"
    EXPIRES_AT = "expires_at"


_VALUES: Final = attrgetter(*map(str, Field))  # plain text: attributes are found twice as fast by it


def changed_fields(before: Settable, after: Settable) -> tuple[Field, ...]:
    """Return the fields that differ, in the order people see them; amounts and instants are compared by value.

    Instants count as equal at the coarser precision of the two, see `units.same_value`.
    """
    old, new = _VALUES(before), _VALUES(after)
    if old == new:
        return ()
    return tuple(field for field, one, other in zip(Field, old, new, strict=True) if not same_value(one, other))


def patch(after: KeyState, fields: tuple[Field, ...]) -> KeyPatch:
    """Return just these fields of the state, as a PATCH sends them."""
    changes = KeyPatch()
    if Field.NAME in fields:
        changes["name"] = after.name
    if Field.IS_ENABLED in fields:
        changes["is_enabled"] = after.is_enabled
    if Field.CREDIT_LIMIT in fields:
        changes["credit_limit"] = after.credit_limit
    if Field.EXPIRES_AT in fields:
        changes["expires_at"] = after.expires_at
    return changes


@dataclass(frozen=True, slots=True)
class Create:
    """Make a key that is declared and not live, and deliver its secret."""

    kind: ClassVar = ActionKind.CREATE
    declared: DeclaredKey
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address that gets a key."""
        return self.declared.address


@dataclass(frozen=True, slots=True)
class Update:
    """Change fields of a live key under the name of its address; only what the name tells of a period may change."""

    kind: ClassVar = ActionKind.UPDATE
    declared: DeclaredKey
    live: LiveKey
    after: KeyState
    fields: tuple[Field, ...]
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address whose key changes."""
        return self.declared.address


@dataclass(frozen=True, slots=True)
class Renew:
    """Begin the next period of a live key's budget, with whatever else changes: one PATCH of name and limit."""

    kind: ClassVar = ActionKind.RENEW
    declared: DeclaredKey
    live: LiveKey
    after: KeyState
    fields: tuple[Field, ...]
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address whose budget renews."""
        return self.declared.address


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a live key the name of its address, with whatever else changes; its secret lives on."""

    kind: ClassVar = ActionKind.RENAME
    declared: DeclaredKey
    live: LiveKey
    after: KeyState
    fields: tuple[Field, ...]
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address that the key moves to."""
        return self.declared.address


@dataclass(frozen=True, slots=True)
class Rotate:
    """Replace a live key by a new one; the old one goes on for `overlap`, or is disabled at once when that is None."""

    kind: ClassVar = ActionKind.ROTATE
    declared: DeclaredKey
    live: LiveKey
    fields: tuple[Field, ...]
    overlap: timedelta | None
    reason: RotateReason
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address whose key is replaced."""
        return self.declared.address


class RotateReason(StrEnum):
    """Why a key is replaced."""

    DUE = "it is due"
    REQUESTED = "asked for"
    INTERRUPTED = "an earlier rotation was interrupted while the secret was delivered"


@dataclass(frozen=True, slots=True)
class Finish:
    """Complete a rotation that was interrupted: `live` is delivered and takes over, `old` (if it is left) retires."""

    kind: ClassVar = ActionKind.FINISH
    declared: DeclaredKey
    live: LiveKey
    old: LiveKey | None
    after: KeyState
    fields: tuple[Field, ...]
    overlap: timedelta | None
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address whose rotation is completed."""
        return self.declared.address


class DeleteReason(StrEnum):
    """Why a live key has to go."""

    UNDECLARED = "no longer declared"
    REMOVED = "removed by this change"
    LIVE_ONLY = "not declared, and not in the base file either: live only"
    OVERLAP_OVER = "rotated out, its overlap is over"
    GRACE_OVER = "retired, its grace period is over"
    WORKS_AGAIN = "retired, and yet it works"
    LEASE_EXPIRED = "left by an interrupted run, its lease has run out"
    UNMANAGED = "not managed, and the declaration says to delete such keys"


@dataclass(frozen=True, slots=True)
class Retire:
    """Disable a key that is no longer declared; it can be restored until `grace` is over."""

    kind: ClassVar = ActionKind.RETIRE
    address: Address
    live: LiveKey
    after: KeyState
    fields: tuple[Field, ...]
    grace: timedelta
    source: Location
    reason: DeleteReason = DeleteReason.UNDECLARED
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring a retired key back: the same id, the same secret, and whatever the file says today."""

    kind: ClassVar = ActionKind.RESTORE
    declared: DeclaredKey
    live: LiveKey
    after: KeyState
    fields: tuple[Field, ...]
    account: str | None = None

    @property
    def address(self) -> Address:
        """The address that gets its key back."""
        return self.declared.address


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a live key for good; `address` is None for a key that no declared environment owns."""

    kind: ClassVar = ActionKind.DELETE
    address: Address | None
    live: LiveKey
    reason: DeleteReason
    source: Location | None
    account: str | None = None


Action = Create | Update | Renew | Rename | Rotate | Finish | Retire | Restore | Delete
Change = Create | Update | Renew | Rename | Rotate | Finish | Restore


def named(action: Action) -> str:
    """Return what a list calls an action: `update ci/api`, or the live name where no environment owns the key."""
    return f"{action.kind} {action.live.name if action.address is None else action.address}"


def raise_of(action: Action) -> Raise | None:
    """Return the raise that decides the limit which an action gives a key; it may be over. None where none does."""
    if isinstance(action, Retire | Delete):
        return None
    sets_limit = isinstance(action, Create | Rotate | Restore) or Field.CREDIT_LIMIT in action.fields
    return action.declared.raised if sets_limit else None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reviewer has to know; one of severity error forbids to apply.

    `lifts` names what `--allow` means by this: the finding would forbid to apply, or warn, without it.
    """

    rule: str
    severity: Severity
    message: str
    address: Address | None = None
    source: Location | None = None
    account: str | None = None
    lifts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credit:
    """The limits of the managed keys added up, before and after; unlimited ones are counted apart."""

    limits_before: Decimal
    limits_after: Decimal
    unlimited_before: int
    unlimited_after: int
    balance: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """What has to be done in one account, in order of environment, key and live key.

    `unmanaged` are the live keys that no declared environment owns, `leased` those that live as long as a command and
    whose lease still runs. `usage` tells by its id how much a live key that is changed was used lately; where it was
    not read, it is empty. `options` are the wishes that it was made with. `account` is the variable with the account's
    provisioning key, where that has to be said.
    """

    created_at: datetime
    actions: tuple[Action, ...]
    findings: tuple[Finding, ...]
    credit: Credit
    unchanged: int
    unmanaged: tuple[LiveKey, ...]
    leased: tuple[LiveKey, ...] = ()
    usage: Mapping[int, Usage] = field(default_factory=dict)
    options: Options = AS_THE_FILE_SAYS
    account: str | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to apply."""
        return errors_of(self.findings)

    def named(self, account: str | None) -> AccountPlan:
        """Have the plan, its actions and its findings say whose they are."""
        if account is None:
            return self
        return replace(
            self,
            actions=tuple(replace(action, account=account) for action in self.actions),
            findings=tuple(replace(finding, account=account) for finding in self.findings),
            account=account,
        )


@dataclass(frozen=True)
class Plan:
    """What has to be done: the plans of one account or more, and all that speaks against it.

    `findings` are theirs, and those about the whole. What the accounts say one by one is added up: the plan is as old
    as the oldest of them, and the balance is the sum of all, unless one is not known.
    """

    accounts: tuple[AccountPlan, ...]
    findings: tuple[Finding, ...]

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """What to do in all accounts, in order of environment, key and live key."""
        return tuple(sorted((action for each in self.accounts for action in each.actions), key=order_of))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to apply."""
        return errors_of(self.findings)

    @property
    def lifted(self) -> tuple[Finding, ...]:
        """The findings that would say more if `--allow` did not lift what guards their addresses."""
        return tuple(finding for finding in self.findings if finding.lifts)

    @property
    def created_at(self) -> datetime:
        """When the accounts were read, by the service's clock."""
        return min(each.created_at for each in self.accounts)

    @property
    def options(self) -> Options:
        """The wishes that it was made with."""
        return self.accounts[0].options

    @cached_property
    def credit(self) -> Credit:
        """The limits of the managed keys of all accounts added up."""
        credits_ = [each.credit for each in self.accounts]
        balances = [credit.balance for credit in credits_ if credit.balance is not None]
        return Credit(
            limits_before=sum((credit.limits_before for credit in credits_), Decimal(0)),
            limits_after=sum((credit.limits_after for credit in credits_), Decimal(0)),
            unlimited_before=sum(credit.unlimited_before for credit in credits_),
            unlimited_after=sum(credit.unlimited_after for credit in credits_),
            balance=sum(balances, Decimal(0)) if len(balances) == len(credits_) else None,
        )

    @property
    def unchanged(self) -> int:
        """How many declared keys are as they should be."""
        return sum(each.unchanged for each in self.accounts)

    @property
    def unmanaged(self) -> tuple[LiveKey, ...]:
        """The live keys that no declared environment owns."""
        return tuple(key for each in self.accounts for key in each.unmanaged)

    @property
    def leased(self) -> tuple[LiveKey, ...]:
        """The live keys that live as long as a command."""
        return tuple(key for each in self.accounts for key in each.leased)

    @property
    def tells_usage(self) -> bool:
        """Whether it is known of any key that changes how much it was used lately."""
        return any(each.usage for each in self.accounts)

    @cached_property
    def _usage(self) -> Mapping[str | None, Mapping[int, Usage]]:
        return {each.account: each.usage for each in self.accounts}

    def usage_of(self, action: Action) -> Usage | None:
        """Return how much the live key of one of its actions was used lately; None where that is not known."""
        return None if isinstance(action, Create) else self._usage.get(action.account, {}).get(action.live.id)


def source_of(action: Action) -> Location | None:
    """Return the place in the file that an action comes from."""
    return action.source if isinstance(action, Delete | Retire) else action.declared.source


def errors_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that forbid to apply."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)


def order_of(action: Action) -> tuple[bool, str, str, str, int]:
    """Return what every plan has its actions in the order of."""
    if isinstance(action, Create):
        return (False, action.address.environment, action.address.key, "", 0)
    if action.address is None:
        return (True, action.account or "", "", action.live.name, action.live.id)
    return (False, action.address.environment, action.address.key, action.live.name, action.live.id)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put findings in the order that every plan has them in, each of them once."""
    return tuple(sorted(dict.fromkeys(findings), key=_finding_order))


def _finding_order(finding: Finding) -> tuple[bool, str, str, str, str]:
    address = finding.address
    if address is None:
        return (True, finding.account or "", "", finding.rule, finding.message)
    return (False, address.environment, address.key, finding.rule, finding.message)
