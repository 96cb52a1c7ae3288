"""How spending goes on: days that cost far more than usual, and what the limits and the balance come to. Pure.

Both rest on what keys, environments, teams and the whole account cost on whole days (UTC). A history knows these days;
without one they are the differences of windows that the service tells, which are read for `spend_spike` alone.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING, Final

from reconciler.insight.activity import Outlook
from reconciler.insight.breakdown import ZERO, Group, Grouping, Kind, Sorter, by_owner, with_days
from reconciler.insight.history import NOBODY, Span
from reconciler.insight.inventory import KeyStatus
from reconciler.units import dollars, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.insight.activity import ActivityReport
    from reconciler.insight.history import History
    from reconciler.insight.inventory import Attribution, InventoryKey
    from reconciler.model import Environment, SpendSpike, Statistics

ACCOUNT: Final = Group(Kind.DAY)
"""Stands for the whole account."""

PACE_DAYS: Final = 7
"""Over how many whole days the pace is taken: a week has all its weekdays."""

FEWEST_DAYS: Final = 3
"""On so many days a group has to be used, to be compared with itself."""

_MICRO: Final = Decimal("0.000001")
_CENT: Final = Decimal("0.01")
_ROOMY: Final = Context(prec=100)


@dataclass(frozen=True, slots=True)
class DailyCosts:
    """What each group of an account cost in USD by day, of the `days` that are known; days without use are left out.

    Groups are keys (by address, else by id and name), environments, teams, and `ACCOUNT`.
    """

    account: str
    days: frozenset[date]
    costs: Mapping[Group, Mapping[date, Decimal]]


def recorded_costs(history: History, account: str, today: date) -> DailyCosts:
    """Add up what is recorded of the whole days of an account, by group."""
    found: dict[Group, dict[date, Decimal]] = {}
    lines = [line for line in history.usage if line.account == account and line.day < today]
    for line in lines:
        groups = [ACCOUNT]
        if line.address:
            groups += [Group(Kind.KEY, line.address), Group(Kind.ENVIRONMENT, line.environment)]
        elif line.subject != NOBODY:
            groups.append(Group(Kind.UNMANAGED, line.name, line.key_id))
        groups += [Group(Kind.TEAM, line.team)] if line.team else []
        for group in groups:
            by_day = found.setdefault(group, {})
            by_day[line.day] = by_day.get(line.day, ZERO) + line.tally.cost
    spans = history.spans.get(account, ())
    days = {span.since + timedelta(days=at) for span in spans for at in range((span.until - span.since).days + 1)}
    return DailyCosts(account, frozenset(day for day in days if day < today), found)


def told_costs(account: str, windows: Mapping[int, Statistics], attribution: Attribution, today: date) -> DailyCosts:
    """Return the days apart that the windows of 1, 2, 3 … days have; today, which is not over, is left out."""
    longest = max(windows)
    found: dict[Group, dict[date, Decimal]] = {}
    for by, kinds in _KINDS.items():
        sorter = Sorter(by, attribution)
        dated = with_days(by_owner(by, windows[longest], sorter), windows, sorter.tallies, today).breakdown
        for line in dated.lines:
            if line.group.kind in kinds:
                found[line.group] = {day: tally.cost for day, tally in line.daily if day < today}
    days = [today - timedelta(days=ago) for ago in range(1, longest)]
    found[ACCOUNT] = {day: tally.cost for day, tally in windows[longest].by_day if day in days}
    return DailyCosts(account, frozenset(days), found)


_KINDS: Final = {
    Grouping.KEY: {Kind.KEY, Kind.DELETED, Kind.UNMANAGED},
    Grouping.ENVIRONMENT: {Kind.ENVIRONMENT},
    Grouping.TEAM: {Kind.TEAM},
}
"""By what the use of groups is added up, and which lines of that are of a group."""


# Days that cost far more than usual.


@dataclass(frozen=True, slots=True)
class Spike:
    """A day on which a group cost `cost` USD, while its median day of those before cost `usual`.

    `days` is how many of the days before it was used on; with none of them, it was not used for the whole time.
    """

    group: Group
    day: date
    cost: Decimal
    usual: Decimal
    days: int


def spikes(known: DailyCosts, rule: SpendSpike, today: date, since: Mapping[Group, date]) -> tuple[Spike, ...]:
    """Find the groups whose last whole day cost more than `factor` times their median day.

    The median is that of the days on which the group was used, of the `over` before the last one: whoever works once a
    week is held against such a day. What was used on fewer than three of them is new and is not compared, unless it has
    been there for the whole time: `since` says from when on.
    """
    last = today - timedelta(days=1)
    first = last - rule.over
    found = []
    for group, by_day in known.costs.items():
        cost = by_day.get(last, ZERO)
        before = [each for day, each in by_day.items() if first <= day < last and each > 0]
        if cost < rule.at_least or not cost or group == ACCOUNT:
            continue
        if len(before) < FEWEST_DAYS and since.get(group, today) > first:
            continue
        usual = median(before) if before else ZERO
        if cost > rule.factor * usual:
            found.append(Spike(group, last, cost, usual, len(before)))
    return tuple(sorted(found, key=lambda spike: (-spike.cost, spike.group.kind, spike.group.name)))


def key_groups(keys: Iterable[InventoryKey]) -> dict[Group, date]:
    """Return of the groups of keys since when there has been a live one."""
    found: dict[Group, date] = {}
    for key in keys:
        if key.live is not None:
            group = Group(Kind.UNMANAGED, key.live.name, key.live.id)
            group = group if key.address is None else Group(Kind.KEY, str(key.address))
            created = key.live.created_at.date()
            found[group] = min(created, found.get(group, created))
    return found


def unknown_day(known: DailyCosts, today: date) -> date | None:
    """Return the last whole day where it is not known, else None."""
    last = today - timedelta(days=1)
    return None if last in known.days else last


# What a month comes to, and when a limit is reached.


class Bound(StrEnum):
    """What an amount is that must not be reached."""

    LIMIT = "limit"
    ALLOWANCE = "allowance"
    LIMITS = "limits"
    CREDIT_BUDGET = "credit_budget"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a group may spend in all, and what of it is `left`, in USD; `until` is the last day that it is for.

    With `at_most`, less may be left: the service tells no more of the past than 30 days.
    """

    group: Group
    bound: Bound
    amount: Decimal
    left: Decimal
    until: date
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a group of an account goes on at its pace of the last whole days.

    `per_day` is the pace in USD. `spent` is what it cost on the `days` days of this month that are known, `month_end`
    what all of the month comes to. `ceiling` is what is reached first, on the day `reached`; where nothing is reached
    within its time, both are None.
    """

    account: str
    group: Group
    per_day: Decimal
    spent: Decimal
    days: int
    month_end: Decimal
    ceiling: Ceiling | None = None
    reached: date | None = None


def month_of(day: date) -> Span:
    """Return the first and the last day of the month of a day."""
    return Span(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))


def forecasts(known: DailyCosts, today: date, ceilings: Iterable[Ceiling] = ()) -> tuple[Forecast, ...]:
    """Return how each group goes on that spends: the account, then environments, teams and keys, the fastest first.

    Args:
        known: What the groups cost by day.
        today: The day of the service's clock; it is not over, so it goes by the pace like the days to come.
        ceilings: What must not be reached.
    """
    by_group: dict[Group, list[Ceiling]] = {}
    for each in ceilings:
        by_group.setdefault(each.group, []).append(each)
    first, last = month_of(today)
    counted = [day for day in known.days if first <= day < today]
    found = []
    for group, by_day in known.costs.items():
        per_day = pace_of(by_day, known.days, today)
        spent = sum((by_day.get(day, ZERO) for day in counted), ZERO)
        if not per_day and not spent:
            continue
        end = spent + per_day * ((last - first).days + 1 - len(counted))
        soonest = _soonest(by_group.get(group, ()), per_day, today)
        figures = (_rounded(per_day), spent, len(counted), _rounded(end))
        found.append(Forecast(known.account, group, *figures, *(soonest or (None, None))))
    return tuple(sorted(found, key=_order))


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_MICRO, ROUND_HALF_EVEN, _ROOMY)


def with_outlook(report: ActivityReport, history: History, period: Span) -> ActivityReport:
    """Add to what is recorded of a period what the month comes to, where the period reaches up to the last day."""
    accounts = (replace(each, outlook=_outlook(history, each.variable, period)) for each in report.accounts)
    return replace(report, accounts=tuple(accounts))


def _outlook(history: History, account: str, period: Span) -> Outlook | None:
    last = history.spans[account][-1].until
    today, until = last + timedelta(days=1), month_of(last).until
    # Of the months before the period, nothing may have been read.
    known_since = min(period.since.replace(day=1), last.replace(day=1))
    if last == until or period.until < last or known_since > today - timedelta(days=PACE_DAYS):
        return None
    found = [each for each in forecasts(recorded_costs(history, account, today), today) if each.group == ACCOUNT]
    return Outlook(found[0].per_day, found[0].month_end, until) if found else None


def pace_of(by_day: Mapping[date, Decimal], days: Iterable[date], today: date) -> Decimal:
    """Return the mean in USD of the last 7 whole days that are known, since the first one with use."""
    begun = min(by_day, default=today)
    counted = [day for day in days if today - timedelta(days=PACE_DAYS) <= day < today and day >= begun]
    cost = sum((by_day.get(day, ZERO) for day in counted), ZERO)
    return max(_ROOMY.divide(cost, len(counted)), ZERO) if counted else ZERO


def _soonest(ceilings: Iterable[Ceiling], per_day: Decimal, today: date) -> tuple[Ceiling, date] | None:
    """Return the ceiling that is reached first, and when; None where none is within its time."""
    found = [(reached, each) for each in ceilings if (reached := _reached(each, per_day, today)) <= each.until]
    if not found:
        return None
    reached, ceiling = min(found, key=lambda each: (each[0], each[1].bound))
    return ceiling, reached


def _reached(ceiling: Ceiling, per_day: Decimal, today: date) -> date:
    if ceiling.left <= 0:
        return today
    span = (date.max - today).days
    days = span if not per_day else min(int(_ROOMY.divide(ceiling.left, per_day)), span)
    return today + timedelta(days=days)


_ORDER: Final = (Kind.DAY, Kind.ENVIRONMENT, Kind.TEAM)


def _order(forecast: Forecast) -> tuple[object, ...]:
    kind, name, key_id = forecast.group
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), -forecast.per_day, name, key_id or 0)


def told(forecasts: Iterable[Forecast]) -> tuple[str, ...]:
    """Return which groups reach what they may spend, and when: the soonest first, and of very many the number."""
    coming = sorted(
        (each for each in forecasts if each.reached is not None), key=lambda each: (each.reached, *_order(each))
    )
    found = [_sentence(each) for each in coming[:_MOST_TOLD]]
    beyond = len(coming) - len(found)
    return (*found, f"{plural(beyond, 'more limit')} will be reached at this pace") if beyond else tuple(found)


_MOST_TOLD: Final = 10
_BOUNDS: Final = {
    Bound.LIMIT: "its limit of ",
    Bound.ALLOWANCE: "its allowance of ",
    Bound.LIMITS: "the limits of its keys, together ",
    Bound.CREDIT_BUDGET: "its credit_budget of ",
    Bound.BALANCE: "the end of its balance of ",
}


def _sentence(forecast: Forecast) -> str:
    ceiling, reached = forecast.ceiling, forecast.reached
    assert ceiling is not None  # noqa: S101  # the caller has seen to it
    who = "the account" if forecast.group == ACCOUNT else forecast.group.name
    if ceiling.left <= 0:
        return f"{who} has reached {_BOUNDS[ceiling.bound]}{dollars(ceiling.amount)}"
    when = f"{'by' if ceiling.at_most else 'on'} {reached}"
    pace = f"{dollars(_cents(forecast.per_day))} a day"
    return f"at this pace {who} reaches {_BOUNDS[ceiling.bound]}{dollars(ceiling.amount)} {when} ({pace})"


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_EVEN, _ROOMY) if amount >= _CENT else amount


def ceilings_of(
    keys: Iterable[InventoryKey], environments: Mapping[str, Environment], balance: Decimal | None, today: date
) -> tuple[Ceiling, ...]:
    """Return what must not be reached: limits and allowances of keys, those of environments together, and the balance.

    A limit or the balance is for the month, an allowance for its period. Of an environment it is what its keys may
    spend together, where all of them have a limit, and its `credit_budget`.
    """
    last = month_of(today).until
    found = [] if balance is None else [Ceiling(ACCOUNT, Bound.BALANCE, balance, balance, last)]
    together: dict[str, list[Ceiling]] = {}
    unlimited: set[str] = set()
    for key in keys:
        if key.address is None or key.status is not KeyStatus.SETTLED:
            continue
        share, period = key.share, key.period
        if share is None:
            unlimited.add(key.address.environment)
            continue
        bound = Bound.LIMIT if period is None else Bound.ALLOWANCE
        until = last if period is None or period.next is None else period.next - timedelta(days=1)
        left = max(share.limit - share.spent, ZERO)
        ceiling = Ceiling(Group(Kind.KEY, str(key.address)), bound, share.limit, left, until, share.at_least)
        together.setdefault(key.address.environment, []).append(ceiling)
    for name, each in together.items():
        found += each
        if name in environments and name not in unlimited:
            found += _of_environment(environments[name], each, last)
    return tuple(found)


def _of_environment(environment: Environment, ceilings: Sequence[Ceiling], last: date) -> Iterator[Ceiling]:
    group, at_most = Group(Kind.ENVIRONMENT, environment.name), any(each.at_most for each in ceilings)
    amount = sum((each.amount for each in ceilings), ZERO)
    left = sum((each.left for each in ceilings), ZERO)
    yield Ceiling(group, Bound.LIMITS, amount, left, last, at_most)
    budget = environment.guardrails.credit_budget
    if budget is not None and budget.value is not None:
        yield Ceiling(group, Bound.CREDIT_BUDGET, budget.value, budget.value - (amount - left), last, at_most)
