"""What the balance of an account means: how long it lasts, and what it is promised to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final

from reconciler.insight.inventory import tells_of_keys
from reconciler.planning.names import is_lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.model import LiveKey, Snapshot, Statistics


# How fast the account spends, and how long its balance lasts at that pace.
#
# The pace is the mean of whole days in UTC: today, which is not over, is left aside. It is measured over as many days
# as the account has: from its first live key or its first use on, whichever is earlier.

PACES: Final = (7, 30)
"""Over how many days, today included, the pace is of interest."""

LONGEST_RUNWAY: Final = Decimal(36_500)
"""A runway of that many days or more is said to be this long, a hundred years."""

_MICRO: Final = Decimal("0.000001")
_TENTH: Final = Decimal("0.1")
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error


@dataclass(frozen=True, slots=True)
class Pace:
    """What was spent in some days: `cost` in USD over `days` days (1 or more), out of `asked` days up to today.

    With `partial`, today is among them: there is no whole day, or the service does not tell of single days.
    """

    asked: int
    days: int
    cost: Decimal
    partial: bool = False

    @property
    def per_day(self) -> Decimal:
        """The mean in USD a day, rounded to 6 decimals."""
        return _ROOMY.divide(self.cost, self.days).quantize(_MICRO, ROUND_HALF_EVEN, _ROOMY)


@dataclass(frozen=True, slots=True)
class Runway:
    """How long a balance lasts at a pace; `days` None means that nothing is spent, so that it lasts for ever."""

    pace: Pace
    days: Decimal | None

    def is_below(self, period: timedelta) -> bool:
        """Return whether the balance is used up before a period has passed."""
        return self.days is not None and self.days < Decimal(period / timedelta(seconds=1)) / 86_400


def paces(statistics: Statistics, keys: Iterable[LiveKey], now: datetime) -> tuple[Pace, ...]:
    """Measure the pace of the last 7 and of the last 30 days, from the statistics of 30.

    One that is measured over the same days as the one before tells nothing new and is left out.
    """
    found: list[Pace] = []
    keys = tuple(keys)
    for asked in PACES:
        measured = pace(statistics, keys, now, asked)
        if measured and all((each.days, each.partial) != (measured.days, measured.partial) for each in found):
            found.append(measured)
    return tuple(found)


def pace(statistics: Statistics, keys: Iterable[LiveKey], now: datetime, asked: int) -> Pace | None:
    """Measure the pace of the last `asked` days; None where the service does not tell of days, or only of more."""
    today = now.date()
    first = min([key.created_at.date() for key in keys] + [day for day, _ in statistics.by_day], default=None)
    age = statistics.days if first is None else max((today - first).days, 0)
    if "daily_stats" in statistics.absent:
        if statistics.total is None or statistics.days != asked:
            return None
        return Pace(asked, min(asked, age + 1), statistics.total.cost, partial=True)
    # Of a window that ends today, one day less is whole.
    days = min(asked, statistics.days - 1, age)
    if days < 1:
        spent = sum((tally.cost for day, tally in statistics.by_day if day >= today), Decimal(0))
        return Pace(asked, 1, spent, partial=True)
    since = today - timedelta(days=days)
    return Pace(asked, days, sum((tally.cost for day, tally in statistics.by_day if since <= day < today), Decimal(0)))


def runway(balance: Decimal, measured: Pace) -> Runway:
    """Return how many days a balance in USD lasts at a pace, rounded down to a tenth, `LONGEST_RUNWAY` at most."""
    if not measured.cost:
        return Runway(measured, None)
    days = max(balance, Decimal(0)) * measured.days / measured.cost
    return Runway(measured, min(days, LONGEST_RUNWAY).quantize(_TENTH, ROUND_FLOOR))


# What the balance of an account means: how long it lasts, and how it compares with the limits that are handed out.


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the live keys that can spend now: enabled, not expired, and no lock.

    `total` (USD) adds up the limits of `keys` keys; `unlimited` more have none. `spent` is what those with a limit have
    spent in the last days, and `left` what they may spend yet, each key for itself. A limit is on all that a key ever
    spends: only with `exact` are all of them young enough for that to be known, else `spent` is the least and `left`
    the most. Both are None where it is not known what single keys spent.
    """

    total: Decimal
    keys: int
    unlimited: int
    spent: Decimal | None = None
    left: Decimal | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """What is known of the balance of an account, the one of a variable, and of its `environments` in the file.

    `amount` (USD) None means that it could not be read. `unread` says in a line each what could not be read and why.
    With `partial`, that is because the list of keys is not the whole account.
    """

    variable: str
    environments: tuple[str, ...]
    amount: Decimal | None
    runways: tuple[Runway, ...] = ()
    limits: Limits | None = None
    unread: tuple[str, ...] = ()
    partial: bool = False

    def suffices(self, minimum: Decimal | None) -> bool | None:
        """Return whether the balance reaches a minimum in USD; None where either is not known."""
        return None if minimum is None or self.amount is None else self.amount >= minimum


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """What is known of the balance of each account at an instant, and the `minimum` in USD that each has to reach.

    `errors` say in a line each which balance could not be read, or that a list of keys is not the whole account;
    `warnings` what else could not be read.
    """

    now: datetime
    accounts: tuple[Balance, ...]
    minimum: Decimal | None = None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def whole(self) -> Decimal | None:
        """The balance of all accounts together; None where one is not known."""
        amounts = [balance.amount for balance in self.accounts if balance.amount is not None]
        return sum(amounts, Decimal(0)) if len(amounts) == len(self.accounts) else None

    @property
    def suffices(self) -> bool | None:
        """Return whether every account reaches the minimum; None where that is not known, or none was given."""
        each = [balance.suffices(self.minimum) for balance in self.accounts]
        if False in each:
            return False
        return None if None in each else True


def runways(amount: Decimal, statistics: Statistics, keys: Iterable[LiveKey], now: datetime) -> tuple[Runway, ...]:
    """Return how long a balance lasts at the pace of the last 7 and of the last 30 days, from the statistics of 30."""
    return tuple(runway(amount, measured) for measured in paces(statistics, keys, now))


def limits(snapshot: Snapshot, statistics: Statistics | None) -> Limits:
    """Add up the limits of the keys that can spend now."""
    live = [key for key in snapshot.keys if _can_spend(key, snapshot.now)]
    limited = [(key, key.credit_limit) for key in live if key.credit_limit is not None]
    total = sum((limit for _, limit in limited), Decimal(0))
    counts = len(limited), len(live) - len(limited)
    if statistics is None or not tells_of_keys(statistics):
        return Limits(total, *counts)
    spent: dict[int | None, Decimal] = {}
    for usage in statistics.by_key:
        spent[usage.id] = spent.get(usage.id, Decimal(0)) + usage.tally.cost
    used = [(limit, spent.get(key.id, Decimal(0))) for key, limit in limited]
    return Limits(
        total,
        *counts,
        spent=sum((cost for _, cost in used), Decimal(0)),
        left=sum((max(limit - cost, Decimal(0)) for limit, cost in used), Decimal(0)),
        exact=all((snapshot.now.date() - key.created_at.date()).days < statistics.days for key, _ in limited),
    )


def _can_spend(key: LiveKey, now: datetime) -> bool:
    return key.is_enabled and not is_lock(key.name) and (key.expires_at is None or key.expires_at > now)
