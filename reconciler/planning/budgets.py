"""Budgets that renew, and limits that are raised for a while: what a key's limit has to be at an instant.

The service's limit is on all that a key ever spends. With `renew`, `credit_limit` is the allowance of a period, and the
live limit is what the key had spent before the period began plus the allowance. That spend stands in the live name
beside the period's first day, so a renewal is one PATCH of name and limit: it can neither be lost nor happen twice.

The service tells the spend of a key for windows of whole days that end today. What was spent from one day until
another is the difference of two windows. Days that are more than 30 ago are told by none; what a key spent then is not
counted, which makes the limit lower, never higher.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Final

from reconciler.model import LONGEST_DAYS, KeyState
from reconciler.planning.names import Period, period_name, period_of, without_period
from reconciler.units import MONEY_DECIMALS, same_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey, Settable
    from reconciler.planning.actions import PlanInputs

_SMALLEST: Final = Decimal(1).scaleb(-MONEY_DECIMALS)


def period_begin(renew: str, today: date, anchor: date) -> date:
    """Return the first day of the period that a day is in.

    Args:
        renew: `month`, `week` (from Monday on), `day`, or `Nd` for periods of N days.
        today: the day, in UTC.
        anchor: a day at which a period of N days began.
    """
    match renew:
        case "month":
            return today.replace(day=1)
        case "week":
            return today - timedelta(days=today.weekday())
        case "day":
            return today
        case _:
            return today - (today - anchor) % timedelta(days=int(renew[:-1]))


def period_end(renew: str, begin: date) -> date:
    """Return the day (UTC) after a period that began on a day: the first of the next one, if that begins in time."""
    match renew:
        case "month":
            return (begin.replace(day=1) + timedelta(days=31)).replace(day=1)
        case "week":
            return begin + timedelta(days=7 - begin.weekday())
        case "day":
            return begin + timedelta(days=1)
        case _:
            return begin + timedelta(days=int(renew[:-1]))


def as_of(declaration: Declaration, now: datetime) -> Declaration:
    """Return what the file asks for at an instant: raised limits in force, and the names that new keys settle under."""
    if not any(key.renew or key.raised for key in declaration.keys):
        return declaration
    return replace(declaration, keys=tuple(_key_as_of(key, now) for key in declaration.keys))


def _key_as_of(key: DeclaredKey, now: datetime) -> DeclaredKey:
    if key.raised and now < key.raised.until:
        key = replace(key, credit_limit=key.raised.to, raised=replace(key.raised, then=key.credit_limit))
    if key.renew:
        begin = period_begin(key.renew, now.date(), now.date())
        key = replace(key, settled_name=period_name(key.name, Period(begin, Decimal(0))))
    return key


def allowance(key: Settable) -> Decimal | None:
    """Return what a key may spend in its period, in USD, by its limit and name; None for no limit.

    The limit itself where its name tells no period.
    """
    period = period_of(key.name)
    return key.credit_limit if key.credit_limit is None or period is None else key.credit_limit - period.spent


@dataclass(frozen=True, slots=True)
class Target:
    """What a live key should look like.

    `late` means that a part of what it spent before its period is not known, `waits` that none of it could be read, so
    that its period can't begin.
    """

    state: Settable
    late: bool = False
    waits: bool = False


def target(wanted: DeclaredKey, live: LiveKey, inputs: PlanInputs, now: datetime, *, renews: bool = True) -> Target:
    """Work out what the live key of an address should look like; without `renews`, in the period that it is in."""
    if wanted.renew is None or wanted.credit_limit is None:
        return Target(wanted)
    today, period = now.date(), period_of(live.name)
    since = live.created_at.date() if period is None else period.begin
    spent = Decimal(0) if period is None else period.spent
    begin = period_begin(wanted.renew, today, since)
    if begin <= since or not renews:
        return Target(_in_period(wanted, period or Period(begin, spent)))
    before = inputs.usage(live.id, days_since(since, now))
    after = inputs.usage(live.id, days_since(begin, now))
    if before is None or after is None:
        state = _in_period(wanted, period) if period else replace(wanted.state, credit_limit=live.credit_limit)
        return Target(state if period else replace(state, name=wanted.name), waits=True)
    more = max(before.cost - after.cost, Decimal(0)).quantize(_SMALLEST, ROUND_DOWN)
    return Target(_in_period(wanted, Period(begin, spent + more)), late=(today - since).days >= LONGEST_DAYS)


def restored(wanted: DeclaredKey, retired: LiveKey, now: datetime) -> Settable:
    """Work out what a retired key comes back as: with what it had left; the next period has the full allowance."""
    if wanted.renew is None or wanted.credit_limit is None:
        return wanted
    begin = period_begin(wanted.renew, now.date(), now.date())
    spent = max((retired.credit_limit or Decimal(0)) - wanted.credit_limit, Decimal(0))
    return _in_period(wanted, Period(begin, spent))


def _in_period(wanted: DeclaredKey, period: Period) -> KeyState:
    assert wanted.credit_limit is not None  # noqa: S101  # the file is refused otherwise, and callers have looked
    name, limit = period_name(wanted.name, period), period.spent + wanted.credit_limit
    return KeyState(name, wanted.is_enabled, limit, wanted.expires_at)


def windows_of(declaration: Declaration, live: Mapping[Address, LiveKey], now: datetime) -> set[int]:
    """Name the windows of activity that tell what keys spent in their periods, and before those that begin now.

    Args:
        declaration: what is declared.
        live: the live keys by their address.
        now: the service's time.
    """
    found: set[int] = set()
    today = now.date()
    for wanted in declaration.keys:
        key = live.get(wanted.address)
        if wanted.renew is None or key is None:
            continue
        period = period_of(key.name)
        since = key.created_at.date() if period is None else period.begin
        begin = max(period_begin(wanted.renew, today, since), since)
        found |= {days_since(day, now) for day in (since, begin)}
    return found


def days_since(day: date, now: datetime) -> int:
    """Return how many days the window of activity has that begins on a day, 1 to 30: today is the last of them."""
    return min(max((now.date() - day).days, 0) + 1, LONGEST_DAYS)


def renews_like(live: LiveKey) -> str | None:
    """Return a `renew` that fits the period of a live key; None where its name tells none.

    The name does not tell how long the period is: a month where it began on the first, else a week from a Monday on,
    else 30 days.
    """
    period = period_of(live.name)
    if period is None or live.credit_limit is None:
        return None
    return "month" if period.begin.day == 1 else "30d" if period.begin.weekday() else "week"


def begins_period(live: Settable, after: Settable) -> bool:
    """True when a key goes on into its next period: both names tell one, and the second begins later."""
    before, now = period_of(live.name), period_of(after.name)
    return before is not None and now is not None and before.begin < now.begin


def keeps_name(wanted: DeclaredKey, live: LiveKey) -> bool:
    """True when a live key has the name of its address already, with or without a period."""
    return without_period(live.name) == wanted.name


def is_in_step(wanted: DeclaredKey, live: LiveKey) -> bool:
    """True when the period of a live key may be one that the file asks for, by its first day, or neither has one."""
    period = period_of(live.name)
    if period is None or wanted.renew is None:
        return period is None and wanted.renew is None
    return period_begin(wanted.renew, period.begin, period.begin) == period.begin


def is_raised(wanted: DeclaredKey, live: LiveKey, now: datetime) -> bool:
    """True when a live key has the raised limit of its address, which is in force."""
    raised = wanted.raised
    return raised is not None and now < raised.until and same_value(allowance(live), raised.to)


def ends_raise(wanted: DeclaredKey, live: LiveKey, now: datetime) -> bool:
    """True when a live key still has the raised limit of its address, whose time is over."""
    raised = wanted.raised
    return raised is not None and raised.until <= now and same_value(allowance(live), raised.to)
