"""A plan as a value: what to do, what speaks against it, and what it is about.

Where a file declares several accounts, each action and finding names the variable of its `account`, since two accounts
may have keys of the same id; else that is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from reconciler.diagnostic import Severity
from reconciler.plan.options import AS_THE_FILE_SAYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import Address, DeclaredKey, KeyState, LiveKey, Usage
    from reconciler.plan.options import Options


class ActionKind(StrEnum):
    """The words that people and plan.json use, in the order summaries list them."""

    CREATE = "create"
    UPDATE = "update"
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
    """Change fields of a live key, its name not among them."""

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


UsageKey = int | tuple[str, int]
"""The id of a live key; where there are several accounts, beside the variable of its own."""

Action = Create | Update | Rename | Rotate | Finish | Retire | Restore | Delete
Change = Create | Update | Rename | Rotate | Finish | Restore


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reviewer has to know; one of severity error forbids to apply."""

    rule: str
    severity: Severity
    message: str
    address: Address | None = None
    source: Location | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """The limits of the managed keys added up, before and after; unlimited ones are counted apart."""

    limits_before: Decimal
    limits_after: Decimal
    unlimited_before: int
    unlimited_after: int
    balance: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done, in order of environment, key and live key.

    `usage` tells how much a live key that is changed was used lately; where it was not read, it is empty. `options` are
    the wishes that it was made with. `parts` are the plans of the accounts by their variables, where there are several.
    """

    created_at: datetime
    actions: tuple[Action, ...]
    findings: tuple[Finding, ...]
    credit: Credit
    unchanged: int
    unmanaged: tuple[LiveKey, ...]
    usage: Mapping[UsageKey, Usage] = field(default_factory=dict)
    options: Options = AS_THE_FILE_SAYS
    parts: Mapping[str, Plan] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to apply."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


def usage_key(key_id: int, account: str | None) -> UsageKey:
    """Give what `Plan.usage` knows a live key by."""
    return key_id if account is None else (account, key_id)
