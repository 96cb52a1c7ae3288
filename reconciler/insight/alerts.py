"""What is worth a word about an account: alerts as values, and what they are judged by. Pure.

An alert whose evidence could not be read is not judged, which is not the same as fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.diagnostic import Severity
from reconciler.model import Alerts, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.diagnostic import Location
    from reconciler.insight.inventory import InventoryKey
    from reconciler.insight.runway import Runway
    from reconciler.model import Address
    from reconciler.plan.actions import Finding, Plan


class AlertRule(StrEnum):
    """The alerts, called as in the file, in the order in which they are listed."""

    BALANCE_BELOW = "balance_below"
    RUNWAY_BELOW = "runway_below"
    KEY_SPEND_ABOVE = "key_spend_above"
    EXPIRING_WITHIN = "expiring_within"
    ROTATION_OVERDUE = "rotation_overdue"
    DRIFT = "drift"
    UNMANAGED = "unmanaged"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that asks for a hand: `remedy` says what to do in words, `command` is the command line to begin with.

    It is about `address`, else about the live key called `name`, else about the whole account; `account` is the
    variable with that account's provisioning key. Texts hold names as they are: whoever shows them escapes them.
    """

    rule: AlertRule
    severity: Severity
    message: str
    remedy: str
    command: str
    account: str
    address: Address | None = None
    name: str | None = None
    source: Location | None = None

    @property
    def subject(self) -> str:
        """The raw name of what it is about."""
        return "account" if self.address is None and self.name is None else str(self.address or self.name)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes it the same alert as an earlier one, though its amounts have moved."""
        about = f"address {self.address}" if self.address else "account" if self.name is None else f"key {self.name}"
        return (self.account, self.rule.value, about, self.severity.value)


@dataclass(frozen=True, slots=True)
class Unread:
    """Why something is not known, in one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """An alert that could not be judged, and why."""

    rule: AlertRule
    account: str
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the keys of an account stand: its inventory, and a plan that rotates no key for its age.

    The age of a key is an alert of its own, and no difference between the file and the account.
    """

    keys: tuple[InventoryKey, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one account is judged by; what could not be read says why.

    `spend` says why what single keys spent is not known, None where it is. `findings` are what the destinations were
    found to lack, None where they were not asked.
    """

    account: str
    balance: Decimal | Unread
    runway: Runway | Unread
    standing: Standing | Unread
    spend: Unread | None = None
    findings: tuple[Finding, ...] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has fired, the worst first, what could not be judged, and what to know about it all the same."""

    alerts: tuple[Alert, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    remarks: tuple[str, ...] = ()

    def __add__(self, other: Verdict) -> Verdict:
        """Take the verdicts on two accounts together."""
        return Verdict(
            in_order((*self.alerts, *other.alerts)),
            (*self.unjudged, *other.unjudged),
            tuple(dict.fromkeys((*self.remarks, *other.remarks))),
        )


def standard_alerts(source: Location) -> Alerts:
    """Give the alerts that hold where the file declares none; `source` is the place that could say otherwise."""
    return Alerts(
        balance_below=Rule(Decimal(10), source),
        runway_below=Rule(timedelta(days=7), source),
        key_spend_above=Rule(Decimal("0.9"), source),
        expiring_within=Rule(timedelta(days=14), source),
        rotation_overdue=Rule(value=True, source=source),
        drift=Rule(value=True, source=source),
    )


def unjudged(alerts: Alerts, account: str, reason: str) -> Verdict:
    """Give the verdict on an account of which nothing could be read: none of the alerts that are wanted is judged."""
    wanted = (rule for rule in AlertRule if getattr(alerts, rule.value) is not None)
    return Verdict(unjudged=tuple(Unjudged(rule, account, reason) for rule in wanted))


def in_order(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Put the worst first, then as the alerts are listed, then by account and key."""
    return tuple(sorted(alerts, key=_order))


def _order(alert: Alert) -> tuple[object, ...]:
    severity, rule = [*Severity].index(alert.severity), [*AlertRule].index(alert.rule)
    return (severity, rule, alert.account, alert.address or (), alert.name or "", alert.message)
