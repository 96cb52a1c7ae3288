"""What a monitoring system is told of accounts, as gauges. Pure.

Only declared environments, teams and keys have series of their own, and no more keys than are asked for: names that
others choose would let the number of series grow without an end. All else is counted. What is not known is left out,
which is not the same as zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import AlertRule
from reconciler.insight.inventory import KeyStatus
from reconciler.insight.report import AccountReport
from reconciler.planning.actions import ActionKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from reconciler.insight.breakdown import Breakdown
    from reconciler.insight.inventory import InventoryKey
    from reconciler.insight.report import Account

_SECONDS_A_DAY: Final = 86_400
_FOR_EVER: Final = Decimal("Infinity")
_OWN: Final = frozenset({KeyStatus.SETTLED, KeyStatus.DISABLED, KeyStatus.EXPIRED})
_KEY_LABELS: Final = ("environment", "key", "team")


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a gauge; `labels` are the values of the gauge's labels, in their order."""

    labels: tuple[str, ...]
    value: Decimal


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge with its samples; its name ends in its unit, where it has one."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    unit: str = ""


def gauges(accounts: Sequence[Account], *, version: str, most_keys: int) -> tuple[Gauge, ...]:
    """Return all gauges of accounts; those without a sample are left out.

    `most_keys` is how many keys of an account have series of their own, the first ones by address.
    """
    build = Gauge("naga_exporter_build_info", "The version of what wrote this.", ("version",), (_one(1, version),))
    found = [build, _make(_UP, [*_whether_read(accounts)])]
    read = [account for account in accounts if isinstance(account, AccountReport)]
    for head, samples in _OF_ACCOUNTS:
        found.append(_make(head, [sample for account in read for sample in _of(account, samples(account))]))
    kept = [(account, _managed(account)[:most_keys]) for account in read]
    left_out = [_one(len(_managed(account)) - len(keys), account.variable) for account, keys in kept]
    found.append(_make(_LEFT_OUT, left_out))
    for head, value in _OF_KEYS:
        found.append(_make(head, [sample for account, keys in kept for sample in _of_keys(account, keys, value)]))
    return tuple(gauge for gauge in found if gauge.samples)


@dataclass(frozen=True, slots=True)
class _Head:
    """What a gauge is called and says; `labels` come after that of the account."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    unit: str = ""


def _make(head: _Head, samples: list[Sample]) -> Gauge:
    return Gauge(head.name, head.text, ("account", *head.labels), tuple(samples), head.unit)


def _one(value: int | Decimal, *labels: str) -> Sample:
    return Sample(labels, Decimal(value))


def _of(account: AccountReport, samples: Iterable[Sample]) -> Iterator[Sample]:
    return (Sample((account.variable, *sample.labels), sample.value) for sample in samples)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _seconds(instant: datetime | None) -> Decimal | None:
    return None if instant is None else Decimal(int(instant.timestamp()))


# --- an account -------------------------------------------------------------------------------------------------------

_UP: Final = _Head("naga_up", "Whether the keys of the account could be read: 1 or 0.")
_LEFT_OUT: Final = _Head("naga_keys_left_out", "Declared keys that have no series of their own, because of --max-keys.")


def _whether_read(accounts: Sequence[Account]) -> Iterator[Sample]:
    return (_one(isinstance(account, AccountReport), account.variable) for account in accounts)


def _last_success(account: AccountReport) -> Iterator[Sample]:
    if not account.unread:
        yield _one(int(account.now.timestamp()))


def _unread(account: AccountReport) -> Iterator[Sample]:
    yield _one(len(account.unread))


def _balance(account: AccountReport) -> Iterator[Sample]:
    if account.balance.amount is not None:
        yield _one(account.balance.amount)


def _runway(account: AccountReport) -> Iterator[Sample]:
    for runway in account.balance.runways:
        yield _one(_FOR_EVER if runway.days is None else runway.days * _SECONDS_A_DAY, str(runway.pace.asked))


def _limits(account: AccountReport) -> Iterator[Sample]:
    if account.balance.limits is not None:
        yield _one(account.balance.limits.total)


def _limits_left(account: AccountReport) -> Iterator[Sample]:
    limits = account.balance.limits
    if limits is not None and limits.left is not None:
        yield _one(limits.left)


def _unlimited(account: AccountReport) -> Iterator[Sample]:
    if account.balance.limits is not None:
        yield _one(account.balance.limits.unlimited)


def _spend(account: AccountReport) -> Iterator[Sample]:
    if account.spend is not None:
        yield _one(account.spend.total.cost)


def _requests(account: AccountReport) -> Iterator[Sample]:
    if account.spend is not None:
        yield _one(account.spend.total.requests)


def _by_environment(account: AccountReport) -> Iterator[Sample]:
    return _lines(account, account.spend)


def _by_team(account: AccountReport) -> Iterator[Sample]:
    return _lines(account, account.teams)


def _lines(account: AccountReport, breakdown: Breakdown | None) -> Iterator[Sample]:
    # Without a file, environments are whatever anybody has put before a slash.
    for line in () if account.plan is None or breakdown is None else breakdown.lines:
        yield _one(line.tally.cost, line.group.name, line.group.kind.value)


def _states(account: AccountReport) -> Iterator[Sample]:
    counts = Counter(key.status for key in account.keys)
    return (_one(counts[status], status.value) for status in KeyStatus)


def _changes(account: AccountReport) -> Iterator[Sample]:
    if account.plan is not None:
        counts = Counter(action.kind for action in account.plan.actions)
        yield from (_one(counts[kind], kind.value) for kind in ActionKind)


def _findings(account: AccountReport) -> Iterator[Sample]:
    if account.plan is not None:
        counts = Counter(finding.severity for finding in account.plan.findings)
        yield from (_one(counts[severity], severity.value) for severity in Severity)


def _alerts(account: AccountReport) -> Iterator[Sample]:
    verdict = account.verdict
    if verdict is None:
        return
    counts = Counter((alert.rule, alert.severity) for alert in verdict.alerts)
    unjudged = {each.rule for each in verdict.unjudged}
    for rule in AlertRule:
        if rule not in unjudged:
            for severity in (Severity.ERROR, Severity.WARNING):
                yield _one(counts[rule, severity], rule.value, severity.value)


_OF_ACCOUNTS: Final[Sequence[tuple[_Head, Callable[[AccountReport], Iterator[Sample]]]]] = (
    (
        _Head(
            "naga_last_success_timestamp_seconds",
            "When all of the account could be read, by the service's clock; missing where it could not.",
            unit="seconds",
        ),
        _last_success,
    ),
    (_Head("naga_unread_parts", "How much could not be read: the balance, or a window of activity."), _unread),
    (_Head("naga_balance_usd", "The balance.", unit="usd"), _balance),
    (
        _Head(
            "naga_runway_seconds",
            "How long the balance lasts at the pace of so many days; infinite where nothing is spent.",
            ("pace_days",),
            "seconds",
        ),
        _runway,
    ),
    (_Head("naga_limits_usd", "The limits of the keys that can spend now, added up.", unit="usd"), _limits),
    (
        _Head(
            "naga_limits_left_usd",
            "What the keys with a limit may spend yet; for keys older than 30 days, at most.",
            unit="usd",
        ),
        _limits_left,
    ),
    (_Head("naga_unlimited_keys", "Keys that can spend now and have no limit."), _unlimited),
    (_Head("naga_spend_30d_usd", "What was spent in the last 30 days, as the service adds it up.", unit="usd"), _spend),
    (_Head("naga_requests_30d", "The requests of the last 30 days."), _requests),
    (
        _Head(
            "naga_environment_spend_30d_usd",
            "What each environment spent in the last 30 days; what is of none has a kind of its own.",
            ("environment", "kind"),
            "usd",
        ),
        _by_environment,
    ),
    (
        _Head(
            "naga_team_spend_30d_usd",
            "What each team spent in the last 30 days; what is of none has a kind of its own.",
            ("team", "kind"),
            "usd",
        ),
        _by_team,
    ),
    (_Head("naga_keys", "Keys by their state, as reconciler list shows it.", ("state",)), _states),
    (_Head("naga_changes_pending", "What reconciler apply would do, by kind of change.", ("action",)), _changes),
    (_Head("naga_findings", "The findings of the plan by severity.", ("severity",)), _findings),
    (
        _Head("naga_alerts_firing", "The alerts that fire, as reconciler check has them.", ("alert", "severity")),
        _alerts,
    ),
)


# --- a key ------------------------------------------------------------------------------------------------------------


def _managed(account: AccountReport) -> list[InventoryKey]:
    """Return the keys that have series of their own: one for an address that is declared."""
    return [key for key in account.keys if key.status in _OWN and key.declared is not None]


def _of_keys(
    account: AccountReport, keys: Iterable[InventoryKey], value: Callable[[InventoryKey], Decimal | None]
) -> Iterator[Sample]:
    for key in keys:
        assert key.address is not None  # noqa: S101  # a state that only keys with an address have
        amount = value(key)
        if amount is not None:
            yield Sample((account.variable, key.address.environment, key.address.key, key.team or ""), amount)


def _key_head(name: str, text: str, unit: str = "") -> _Head:
    return _Head(f"naga_key_{name}", text, _KEY_LABELS, unit)


_OF_KEYS: Final[Sequence[tuple[_Head, Callable[[InventoryKey], Decimal | None]]]] = (
    (
        _key_head("enabled", "Whether the key is enabled and has not expired: 1 or 0."),
        lambda key: Decimal(key.status is KeyStatus.SETTLED),
    ),
    (
        _key_head("limit_usd", "The limit of the key; missing where there is none.", "usd"),
        lambda key: None if key.live is None else key.live.credit_limit,
    ),
    (
        _key_head("spend_30d_usd", "What the key spent in the last 30 days.", "usd"),
        lambda key: None if key.usage is None else key.usage.cost,
    ),
    (
        _key_head(
            "limit_used_ratio",
            "How much of its limit, or of its allowance, the key has spent; at least that, if older than 30 days.",
        ),
        lambda key: None if key.share is None else key.share.value,
    ),
    (
        _key_head("allowance_usd", "What the key may spend in its period, where its budget renews.", "usd"),
        lambda key: None if key.period is None else key.period.allowance,
    ),
    (
        _key_head("period_spend_usd", "What the key has spent in its period, where its budget renews.", "usd"),
        lambda key: None if key.period is None else key.period.spent,
    ),
    (
        _key_head("period_end_timestamp_seconds", "When the next period of the key's budget begins.", "seconds"),
        lambda key: None if key.period is None else _seconds(_midnight(key.period.next)),
    ),
    (
        _key_head("created_timestamp_seconds", "When the key was created.", "seconds"),
        lambda key: _seconds(None if key.live is None else key.live.created_at),
    ),
    (
        _key_head("expiry_timestamp_seconds", "When the key expires; missing where it does not.", "seconds"),
        lambda key: _seconds(None if key.live is None else key.live.expires_at),
    ),
    (
        _key_head("rotation_due_timestamp_seconds", "When the key is due for rotation, by rotate_every.", "seconds"),
        lambda key: _seconds(key.rotation_due),
    ),
)
