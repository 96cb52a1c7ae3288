"""What a report tells of an account, chosen and put in order from what was read. Pure.

Whatever was not read is None, which is not the same as nothing: the report says so, or leaves the part out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from reconciler.insight.alerts import AlertRule
from reconciler.insight.breakdown import ZERO, Group, Kind
from reconciler.insight.inventory import KeyStatus
from reconciler.model import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal

    from reconciler.diagnostic import Severity
    from reconciler.insight.alerts import Verdict
    from reconciler.insight.balance import Balance
    from reconciler.insight.breakdown import Breakdown
    from reconciler.insight.history import Months
    from reconciler.insight.inventory import InventoryKey
    from reconciler.planning.actions import Plan

HORIZON: Final = timedelta(days=90)
"""How far ahead a report looks for what expires or is due."""

MOST_KINDS: Final = 6
"""How many kinds of spend are told apart in a chart; more colours than that are not."""


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One account as it was at `now`, the service's time.

    `days` is the window of all that is about spend. `spend` is by environment, with the figures of single days where
    these were read, of which `corrected` counts those that had come out below zero; `teams` is the same by team, and
    `by_day` and `models` are the whole account's. `keys` is its inventory over that window, without what was not
    selected; `plan` and `verdict` need a declaration. With a history, `months` are those of environments, `team_months`
    those of teams, and the verdict has forecasts. `unread` says in a line each what could not be read and why.
    """

    now: datetime
    days: int
    balance: Balance
    keys: tuple[InventoryKey, ...] = ()
    spend: Breakdown | None = None
    teams: Breakdown | None = None
    by_day: Breakdown | None = None
    models: Breakdown | None = None
    corrected: int = 0
    plan: Plan | None = None
    verdict: Verdict | None = None
    unread: tuple[str, ...] = ()
    months: Months | None = None
    team_months: Months | None = None

    @property
    def variable(self) -> str:
        """The variable that holds the provisioning key of the account."""
        return self.balance.variable

    @property
    def troubles(self) -> Mapping[Severity, int]:
        """How many alerts and findings there are; drift is counted by what is planned, not here."""
        alerts = () if self.verdict is None else self.verdict.alerts
        found = [each.severity for each in alerts if each.rule is not AlertRule.DRIFT]
        found += [] if self.plan is None else [each.severity for each in self.plan.findings]
        return Counter(found)


@dataclass(frozen=True, slots=True)
class UnreadAccount:
    """An account of which nothing is known, and why."""

    variable: str
    environments: tuple[str, ...]
    reason: str


Account = AccountReport | UnreadAccount


@dataclass(frozen=True, slots=True)
class Review:
    """All accounts that were looked at, with their use of the last `days` days up to `now`, the service's time.

    `errors` say in a line each which of them could not be read, `warnings` what else could not be.
    """

    days: int
    accounts: tuple[Account, ...]
    now: datetime
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


# --- spend by day -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strand:
    """The spend of a group by day, in USD; `group` None stands for the `count` groups that spent least."""

    group: Group | None
    costs: tuple[Decimal, ...]
    count: int = 1

    @property
    def total(self) -> Decimal:
        """What the days come to."""
        return sum(self.costs, ZERO)


WHOLE_ACCOUNT: Final = Group(Kind.DAY)
"""Stands for all that was spent, where it is not known by what."""


def calendar(days: int, now: datetime) -> tuple[date, ...]:
    """Return the days of a window that ends today, in UTC."""
    today = now.date()
    return tuple(today - timedelta(days=ago) for ago in range(days - 1, -1, -1))


def strands(report: AccountReport) -> tuple[Strand, ...]:
    """Lay out the spend by day and environment, what cost most first; those beyond the sixth are taken together.

    Where the days of environments were not read, it is one strand of the whole account.
    """
    days = calendar(report.days, report.now)
    lines = () if report.spend is None else report.spend.lines
    found = [Strand(line.group, _costs(dict(line.daily), days)) for line in lines]
    found = [strand for strand in found if any(strand.costs)]
    if not found:
        whole = Strand(WHOLE_ACCOUNT, _costs(_whole(report), days))
        return (whole,) if any(whole.costs) else ()
    if len(found) <= MOST_KINDS + 1:
        return tuple(found)
    kept, rest = found[:MOST_KINDS], found[MOST_KINDS:]
    together = tuple(sum(costs, ZERO) for costs in zip(*(strand.costs for strand in rest), strict=True))
    return (*kept, Strand(None, together, len(rest)))


def _whole(report: AccountReport) -> dict[date, Tally]:
    lines = () if report.by_day is None else report.by_day.lines
    return {date.fromisoformat(line.group.name): line.tally for line in lines if line.group.kind is Kind.DAY}


def _costs(daily: Mapping[date, Tally], days: tuple[date, ...]) -> tuple[Decimal, ...]:
    return tuple(daily.get(day, Tally()).cost for day in days)


# --- keys -------------------------------------------------------------------------------------------------------------


def by_need(keys: Iterable[InventoryKey]) -> tuple[InventoryKey, ...]:
    """Put the live keys in order: what has used up most of its limit first, then what has spent most."""
    return tuple(sorted((key for key in keys if key.live is not None and key.status is not KeyStatus.LOCK), key=_need))


def _need(key: InventoryKey) -> tuple[object, ...]:
    share = -1 if key.share is None else key.share.value
    return (-share, ZERO if key.usage is None else -key.usage.cost)


class EventKind(StrEnum):
    """What happens to a key at an instant that is known."""

    EXPIRES = "expires"
    ROTATES = "is due for rotation"
    OVERLAP_ENDS = "rotated out: stops working"
    GRACE_ENDS = "retired: is deleted for good"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a key; what is past was due then."""

    at: datetime
    kind: EventKind
    key: InventoryKey


def upcoming(keys: Iterable[InventoryKey], now: datetime) -> tuple[Event, ...]:
    """List what happens within the horizon, and what should have happened already, the earliest first."""
    events = [event for key in keys for event in _events(key) if event.at <= now + HORIZON]
    return tuple(sorted(events, key=lambda event: (event.at, event.key.name, event.kind)))


_STAGES: Final = {KeyStatus.OLD: EventKind.OVERLAP_ENDS, KeyStatus.GONE: EventKind.GRACE_ENDS}
_ENGINES: Final = frozenset(
    {KeyStatus.NEW, KeyStatus.SENT, KeyStatus.NEXT, KeyStatus.OLD, KeyStatus.GONE, KeyStatus.RUN, KeyStatus.LOCK}
)


def _events(key: InventoryKey) -> Iterable[Event]:
    if key.status in _STAGES and key.until is not None:
        yield Event(key.until, _STAGES[key.status], key)
    if key.status in _ENGINES:
        return
    if key.rotation_due is not None:
        yield Event(key.rotation_due, EventKind.ROTATES, key)
    if key.live is not None and key.live.expires_at is not None:
        yield Event(key.live.expires_at, EventKind.EXPIRES, key)
