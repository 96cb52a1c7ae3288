"""Judges an account by its alerts, and tells which are new. Pure.

An alert whose evidence could not be read is not judged, which is not the same as fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypedDict, assert_never

from reconciler.diagnostic import Severity
from reconciler.insight.breakdown import Kind
from reconciler.insight.inventory import KeyStatus
from reconciler.insight.trends import key_groups, spikes, unknown_day
from reconciler.model import Address, Alerts, Rule
from reconciler.planning.actions import (
    Create,
    Delete,
    DeleteReason,
    Finish,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Update,
    source_of,
)
from reconciler.units import dollars, format_duration, format_instant, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from reconciler.diagnostic import Location
    from reconciler.insight.balance import Runway
    from reconciler.insight.breakdown import Group
    from reconciler.insight.inventory import InventoryKey
    from reconciler.insight.trends import DailyCosts, Forecast
    from reconciler.model import DeclaredKey
    from reconciler.planning.actions import AccountPlan, Action, Finding


class AlertRule(StrEnum):
    """The alerts, called as in the file, in the order in which they are listed."""

    BALANCE_BELOW = "balance_below"
    RUNWAY_BELOW = "runway_below"
    KEY_SPEND_ABOVE = "key_spend_above"
    SPEND_SPIKE = "spend_spike"
    EXPIRING_WITHIN = "expiring_within"
    ROTATION_OVERDUE = "rotation_overdue"
    DRIFT = "drift"
    UNMANAGED = "unmanaged"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that asks for a hand: `remedy` says what to do in words, `command` is the command line to begin with.

    It is about `address`, else about the live key called `name`, else about an `environment` or a `team`, else about
    the whole account; `account` is the variable with that account's provisioning key. Texts hold names as they are:
    whoever shows them escapes them.
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
    environment: str | None = None
    team: str | None = None

    @property
    def subject(self) -> str:
        """The raw name of what it is about."""
        if self.address is not None or self.name is not None:
            return str(self.address or self.name)
        if self.team is not None:
            return f"team {self.team}"
        return "account" if self.environment is None else self.environment

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes it the same alert as an earlier one, though its amounts have moved."""
        about = f"key {self.name}" if self.name is not None else self.subject
        if self.address or self.environment is not None:
            about = f"{'address' if self.address else 'environment'} {self.subject}"
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
    plan: AccountPlan


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one account is judged by; what could not be read says why.

    `spend` says why what single keys spent is not known, None where it is. `findings` are what the destinations were
    found to lack, None where they were not asked. `costs` are those of whole days.
    """

    account: str
    balance: Decimal | Unread
    runway: Runway | Unread
    standing: Standing | Unread
    spend: Unread | None = None
    findings: tuple[Finding, ...] | None = None
    costs: DailyCosts | Unread = Unread("its days are not read here; reconciler check does that")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has fired, the worst first, what could not be judged, and what to know about it all the same.

    With `standard`, the usual alerts were judged, since the file declares none. `warnings` are about the reading.
    `forecasts` say how spending goes on, where days are known.
    """

    alerts: tuple[Alert, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    standard: bool = False
    forecasts: tuple[Forecast, ...] = ()

    def __add__(self, other: Verdict) -> Verdict:
        """Take the verdicts on two accounts together."""
        return Verdict(
            in_order((*self.alerts, *other.alerts)),
            (*self.unjudged, *other.unjudged),
            tuple(dict.fromkeys((*self.remarks, *other.remarks))),
            (*self.warnings, *other.warnings),
            self.standard or other.standard,
            (*self.forecasts, *other.forecasts),
        )


def standard_alerts(source: Location) -> Alerts:
    """Return the alerts that hold where the file declares none; `source` is the place that could say otherwise."""
    return Alerts(
        balance_below=Rule(Decimal(10), source),
        runway_below=Rule(timedelta(days=7), source),
        key_spend_above=Rule((Decimal("0.9"),), source),
        expiring_within=Rule(timedelta(days=14), source),
        rotation_overdue=Rule(value=True, source=source),
        drift=Rule(value=True, source=source),
    )


def unjudged(alerts: Alerts, account: str, reason: str) -> Verdict:
    """Return the verdict on an account of which nothing could be read: none of the alerts that are wanted is judged."""
    wanted = (rule for rule in AlertRule if getattr(alerts, rule.value) is not None)
    return Verdict(unjudged=tuple(Unjudged(rule, account, reason) for rule in wanted))


def in_order(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Put the worst first, then as the alerts are listed, then by account and key."""
    return tuple(sorted(alerts, key=_order))


def _order(alert: Alert) -> tuple[object, ...]:
    severity, rule = [*Severity].index(alert.severity), [*AlertRule].index(alert.rule)
    return (severity, rule, alert.account, alert.address or (), alert.name or "", alert.message)


# Judges an account by the alerts of the file. Pure.
#
# Each alert has a function, which finds nothing where the alert is not wanted.

_CENT: Final = Decimal("0.01")
_TENTH: Final = Decimal("0.1")
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error


def judge(alerts: Alerts, evidence: Evidence) -> Verdict:
    """Judge an account by the alerts that are wanted."""
    outcomes: list[Alert | Unjudged | str] = [*_balance(alerts, evidence), *_runway(alerts, evidence)]
    if isinstance(evidence.standing, Unread):
        money = {AlertRule.BALANCE_BELOW, AlertRule.RUNWAY_BELOW}
        rest = unjudged(alerts, evidence.account, evidence.standing.reason).unjudged
        outcomes += [each for each in rest if each.rule not in money]
    else:
        outcomes += _of_keys(alerts, evidence, evidence.standing)
    return Verdict(
        in_order(each for each in outcomes if isinstance(each, Alert)),
        tuple(each for each in outcomes if isinstance(each, Unjudged)),
        tuple(each for each in outcomes if isinstance(each, str)),
    )


def _of_keys(alerts: Alerts, evidence: Evidence, standing: Standing) -> Iterator[Alert | Unjudged | str]:
    yield from _key_spend(alerts, evidence, standing)
    yield from _spend_spike(alerts, evidence, standing)
    yield from _expiring(alerts, standing)
    yield from _rotation(alerts, standing)
    yield from _drift(alerts, evidence, standing)
    yield from _unmanaged(alerts, evidence, standing)
    yield from _undelivered(alerts, evidence, standing)


# --- money ------------------------------------------------------------------------------------------------------------


def _balance(alerts: Alerts, evidence: Evidence) -> Iterator[Alert | Unjudged]:
    rule = alerts.balance_below
    if rule is None:
        return
    if isinstance(evidence.balance, Unread):
        yield Unjudged(AlertRule.BALANCE_BELOW, evidence.account, evidence.balance.reason)
    elif evidence.balance < rule.value:
        yield Alert(
            AlertRule.BALANCE_BELOW,
            Severity.ERROR,
            f"the balance of {dollars(evidence.balance)} is below {dollars(rule.value)}",
            "top up the account: without credit, no key works",
            "reconciler balance",
            evidence.account,
            source=rule.source,
        )


def _runway(alerts: Alerts, evidence: Evidence) -> Iterator[Alert | Unjudged]:
    rule, runway = alerts.runway_below, evidence.runway
    if rule is None:
        return
    if isinstance(runway, Unread):
        yield Unjudged(AlertRule.RUNWAY_BELOW, evidence.account, runway.reason)
    elif runway.is_below(rule.value):
        pace = f"{dollars(_in_cents(runway.pace.per_day))} a day over {plural(runway.pace.days, 'day')}"
        yield Alert(
            AlertRule.RUNWAY_BELOW,
            Severity.WARNING,
            f"the balance lasts {runway.days} days ({pace}), which is less than {format_duration(rule.value)}",
            "top up the account, or find out what spends so much",
            f"reconciler activity --days {runway.pace.asked} --by key",
            evidence.account,
            source=rule.source,
        )


# --- keys -------------------------------------------------------------------------------------------------------------

_WORKING: Final = frozenset({KeyStatus.SETTLED, KeyStatus.UNCLEAR, KeyStatus.NEXT, KeyStatus.OLD, KeyStatus.RUN})
_EXPIRING: Final = frozenset({KeyStatus.SETTLED, KeyStatus.UNCLEAR, KeyStatus.EXPIRED})


def _key_spend(alerts: Alerts, evidence: Evidence, standing: Standing) -> Iterator[Alert | Unjudged]:
    rule = alerts.key_spend_above
    if rule is None:
        return
    if evidence.spend is not None:
        yield Unjudged(AlertRule.KEY_SPEND_ABOVE, evidence.account, evidence.spend.reason)
        return
    for key in standing.keys:
        share = key.share
        if not _is_enabled(key) or key.status not in _WORKING or key.declared is None:
            continue
        if key.period is not None and key.period.spent is None:
            reason = f"what {key.name} has spent since {key.period.begin}, when its period began, could not be read"
            yield Unjudged(AlertRule.KEY_SPEND_ABOVE, evidence.account, reason)
        if share is None:
            continue
        passed = [each for each in rule.value if share.spent > each * share.limit]
        if passed:
            is_last = len(rule.value) > 1 and passed == [*rule.value]
            spent = f"{'at least ' if share.at_least else ''}{dollars(share.spent)}"
            about = "" if key.status is KeyStatus.SETTLED else f"{key.live}, which is {key.status}, "
            message = (
                f"{about}has spent {spent} of its {_limit(key)} of {dollars(share.limit)} ({percent(share.value)}), "
                f"more than {percent(passed[-1])}"
            )
            yield _about(
                key,
                AlertRule.KEY_SPEND_ABOVE,
                Severity.ERROR if is_last or share.spent >= share.limit else Severity.WARNING,
                message,
                "find out what spends it, and raise credit_limit if that is right",
                f"reconciler show {key.name}",
            )


def _limit(key: InventoryKey) -> str:
    return "limit" if key.period is None else f"allowance since {key.period.begin}"


def _spend_spike(alerts: Alerts, evidence: Evidence, standing: Standing) -> Iterator[Alert | Unjudged]:
    rule, costs, today = alerts.spend_spike, evidence.costs, standing.plan.created_at.date()
    if rule is None:
        return
    if isinstance(costs, Unread):
        yield Unjudged(AlertRule.SPEND_SPIKE, evidence.account, costs.reason)
        return
    if last := unknown_day(costs, today):
        reason = f"what was used on {last} is not known"
        yield Unjudged(AlertRule.SPEND_SPIKE, evidence.account, reason)
        return
    keys = {str(key.address): key for key in standing.keys if key.declared is not None}
    for spike in spikes(costs, rule.value, today, key_groups(standing.keys)):
        group, key = spike.group, keys.get(spike.group.name)
        usual = f"its median day of {plural(spike.days, 'day')} before cost {dollars(_in_cents(spike.usual))}"
        if not spike.days:
            usual = f"it was not used in the {plural(rule.value.over.days, 'day')} before"
        source = (
            rule.source if key is None or key.declared is None or group.kind is not Kind.KEY else key.declared.source
        )
        by = "team" if group.kind is Kind.TEAM else "key"
        yield Alert(
            AlertRule.SPEND_SPIKE,
            Severity.WARNING,
            f"cost {dollars(_in_cents(spike.cost))} on {spike.day}, and {usual}",
            "find out what was different; of a leaked key, reconciler revoke is the way",
            f"reconciler activity --days 7 --by {by} --daily",
            evidence.account,
            source=source,
            **_subject(group),
        )


def _subject(group: Group) -> _Subject:
    match group.kind:
        case Kind.ENVIRONMENT:
            return {"environment": group.name}
        case Kind.TEAM:
            return {"team": group.name}
        case Kind.KEY:
            environment, _, key = group.name.partition("/")
            return {"address": Address(environment, key)}
        case _:
            return {"name": group.name}


class _Subject(TypedDict, total=False):
    """What an alert is about."""

    address: Address
    name: str
    environment: str
    team: str


def _expiring(alerts: Alerts, standing: Standing) -> Iterator[Alert]:
    rule, now = alerts.expiring_within, standing.plan.created_at
    if rule is None:
        return
    for key in standing.keys:
        expires = None if key.live is None or not _is_enabled(key) else key.live.expires_at
        if expires is None or key.declared is None or key.status not in _EXPIRING or expires > now + rule.value:
            continue
        over = expires <= now
        left = "and is still declared" if over else f"which is within {format_duration(rule.value)}"
        yield _about(
            key,
            AlertRule.EXPIRING_WITHIN,
            Severity.ERROR if over else Severity.WARNING,
            f"{'has expired on' if over else 'expires on'} {format_instant(expires)}, {left}",
            "move expires_at in the file, or remove the key from it",
            f"reconciler plan --only {key.name}",
        )


def _rotation(alerts: Alerts, standing: Standing) -> Iterator[Alert]:
    if alerts.rotation_overdue is None:
        return
    for key in standing.keys:
        if key.rotation_due is not None and key.rotation_due <= standing.plan.created_at:
            yield _about(
                key,
                AlertRule.ROTATION_OVERDUE,
                Severity.WARNING,
                f"has been due for rotation since {format_instant(key.rotation_due)}",
                "apply rotates what is due",
                f"reconciler apply --only {key.name}{_allowance(key.declared)}",
            )


def _allowance(declared: DeclaredKey | None) -> str:
    return " --allow-exec" if declared is not None and declared.runs_command else ""


def _is_enabled(key: InventoryKey) -> bool:
    return key.live is not None and key.live.is_enabled


def _about(key: InventoryKey, rule: AlertRule, severity: Severity, message: str, remedy: str, command: str) -> Alert:
    source = None if key.declared is None else key.declared.source
    return Alert(rule, severity, message, remedy, command, key.account, key.address, source=source)


# --- the file and the account -----------------------------------------------------------------------------------------

_MISMATCHES: Final = frozenset({"duplicate-name", "wrong-id", "ambiguous-key", "unmanaged"})
"""The findings of a plan that say that live and declared keys do not fit together."""


def _drift(alerts: Alerts, evidence: Evidence, standing: Standing) -> Iterator[Alert]:
    if alerts.drift is None:
        return
    # What no environment owns has an alert of its own.
    told_apart = alerts.unmanaged is not None
    for finding in standing.plan.errors:
        if finding.rule in _MISMATCHES and not (told_apart and finding.rule == "unmanaged"):
            yield _drifted(evidence, finding.message, Severity.ERROR, finding.address, None, finding.source)
    for action in standing.plan.actions:
        if not (told_apart and isinstance(action, Delete) and action.reason is DeleteReason.UNMANAGED):
            name = None if isinstance(action, Create) or action.address is not None else action.live.name
            yield _drifted(evidence, _difference(action), Severity.WARNING, action.address, name, source_of(action))


def _drifted(
    evidence: Evidence,
    message: str,
    severity: Severity,
    address: Address | None,
    name: str | None,
    source: Location | None,
) -> Alert:
    scope = "" if address is None else f" --only {address}"
    remedy = "look at the plan, then apply it or change the file"
    command = f"reconciler plan{scope}"
    return Alert(AlertRule.DRIFT, severity, message, remedy, command, evidence.account, address, name, source)


def _difference(action: Action) -> str:
    match action:
        case Create():
            return "is declared and not live"
        case Restore():
            return f"is declared, and {action.live} was retired"
        case Rotate():
            return f"needs a new key: {action.reason}"
        case Finish():
            return "has a rotation that was interrupted"
        case Delete() | Retire():
            return f"{action.live} is live, and has to go: {action.reason}"
        case Renew():
            return f"{action.live} has a budget that is to be renewed"
        case Update() | Rename():
            fields = ", ".join(field.value for field in action.fields)
            return f"{action.live} is not as declared: {fields}"
        case _:
            assert_never(action)


def _unmanaged(alerts: Alerts, evidence: Evidence, standing: Standing) -> Iterator[Alert]:
    rule = alerts.unmanaged
    if rule is None:
        return
    for key in standing.plan.unmanaged:
        yield Alert(
            AlertRule.UNMANAGED,
            Severity.WARNING,
            f"{key} belongs to no declared environment",
            "declare it, add its name to ignore, or delete it",
            "reconciler list --state unmanaged",
            evidence.account,
            name=key.name,
            source=rule.source,
        )


def _undelivered(alerts: Alerts, evidence: Evidence, standing: Standing) -> Iterator[Alert | Unjudged | str]:
    rule = alerts.undelivered
    if rule is None:
        return
    if evidence.findings is None:
        reason = "the destinations were not asked; reconciler check does that"
        yield Unjudged(AlertRule.UNDELIVERED, evidence.account, reason)
        return
    declared = {key.declared.address: key.declared for key in standing.keys if key.declared}
    for finding in evidence.findings:
        if finding.address is not None:
            yield Alert(
                AlertRule.UNDELIVERED,
                Severity.WARNING,
                finding.message,
                "rotate the key: its secret cannot be read again",
                f"reconciler apply --rotate {finding.address}{_allowance(declared.get(finding.address))}",
                evidence.account,
                finding.address,
                source=finding.source,
            )
        elif finding.severity is Severity.NOTE:
            yield finding.message
        else:
            yield Unjudged(AlertRule.UNDELIVERED, evidence.account, finding.message)


def _in_cents(amount: Decimal) -> Decimal:
    """Round USD to cents, but for what is less than one."""
    return amount.quantize(_CENT, ROUND_HALF_EVEN, _ROOMY) if amount >= _CENT else amount


def percent(share: Decimal) -> str:
    """Write a share with at most one decimal, never more than it is: `92 %`, `0.4 %`."""
    text = f"{(share * 100).quantize(_TENTH, ROUND_FLOOR, _ROOMY):f}"
    return f"{text.removesuffix('.0')} %"


# What is new about alerts since somebody was told the last time. Pure.

Identity = tuple[str, str, str, str]
"""The account, the alert, what it is about, and its severity."""


@dataclass(frozen=True, slots=True)
class News:
    """What there is to tell: all that fires, which of it was told before, and what is over.

    `told` is what has been told once this has been.
    """

    alerts: tuple[Alert, ...]
    known: frozenset[Identity]
    gone: tuple[Identity, ...]
    told: frozenset[Identity]

    @property
    def all_well(self) -> bool:
        """Whether everything that was told before is over, and nothing else fires."""
        return not self.told


def news(verdict: Verdict, told: AbstractSet[Identity]) -> News | None:
    """Return what to tell to somebody who was told this before; None where nothing has changed.

    An alert that could not be judged this time is neither over nor new. Only that amounts have moved is no news.
    """
    current = {alert.identity for alert in verdict.alerts}
    unjudged = {(each.account, each.rule.value) for each in verdict.unjudged}
    now = frozenset(current | {each for each in told if each[:2] in unjudged and each[:3] not in _bare(current)})
    if now == told:
        return None
    gone = sorted(each for each in told - now if each[:3] not in _bare(now))
    return News(verdict.alerts, frozenset(told & current), tuple(gone), now)


def _bare(identities: AbstractSet[Identity]) -> set[tuple[str, ...]]:
    """Leave the severity aside."""
    return {each[:3] for each in identities}
