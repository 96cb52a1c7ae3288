"""How fast the account spends, and how long its balance lasts at that pace.

The pace is the mean of whole days in UTC: today, which is not over, is left aside. It is measured over as many days as
the account has: from its first live key or its first use on, whichever is earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.model import LiveKey, Statistics

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
        """Tell whether the balance is used up before a period has passed."""
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
    """Say how many days a balance in USD lasts at a pace, rounded down to a tenth, `LONGEST_RUNWAY` at most."""
    if not measured.cost:
        return Runway(measured, None)
    days = max(balance, Decimal(0)) * measured.days / measured.cost
    return Runway(measured, min(days, LONGEST_RUNWAY).quantize(_TENTH, ROUND_FLOOR))
