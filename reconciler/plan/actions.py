"""A plan as a value: what to do, what speaks against it, and what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from reconciler.diagnostic import Severity

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import Address, DeclaredKey, KeyState, LiveKey


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

    @property
    def address(self) -> Address:
        """The address that the key moves to."""
        return self.declared.address


class DeleteReason(StrEnum):
    """Why a live key has to go."""

    UNDECLARED = "no longer declared"
    LEASE_EXPIRED = "left by an interrupted run, its lease has run out"
    UNMANAGED = "not managed, and the declaration says to delete such keys"


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a live key for good; `address` is None for a key that no declared environment owns."""

    kind: ClassVar = ActionKind.DELETE
    address: Address | None
    live: LiveKey
    reason: DeleteReason
    source: Location | None


Action = Create | Update | Rename | Delete


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reviewer has to know; one of severity error forbids to apply."""

    rule: str
    severity: Severity
    message: str
    address: Address | None = None
    source: Location | None = None


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
    """What has to be done, in order of environment, key and live key."""

    created_at: datetime
    actions: tuple[Action, ...]
    findings: tuple[Finding, ...]
    credit: Credit
    unchanged: int
    unmanaged: tuple[LiveKey, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to apply."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)
