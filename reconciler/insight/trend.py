"""What stands out in the use of some days: which models cost most, what has changed, and which key drives that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.insight.breakdown import ZERO, Kind, by_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from reconciler.insight.breakdown import Group, Line, Sorter
    from reconciler.model import Statistics, Tally

_MODELS_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What some use cost a day, in USD, in the first `first_days` days and in the last `last_days`, today included.

    `group` None is the whole account.
    """

    group: Group | None
    first_days: int
    last_days: int
    first_cost: Decimal
    last_cost: Decimal

    @property
    def before(self) -> Decimal:
        """The cost a day in the first days."""
        return self.first_cost / self.first_days

    @property
    def after(self) -> Decimal:
        """The cost a day in the last days."""
        return self.last_cost / self.last_days

    @property
    def by(self) -> Decimal:
        """How much more is spent a day than before; below zero, how much less."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Insights:
    """What stands out: the `models` that cost most, what `changed`, and the key that drives it.

    `changed` is None where there are no two halves to compare, `driver` also where no key went the same way.
    """

    models: tuple[Line, ...] = ()
    changed: Change | None = None
    driver: Change | None = None


def half(days: int) -> int:
    """Give the days of the second half of a window, which is the shorter one; 0 where there are no halves."""
    return days // 2


def insights(days: int, windows: Mapping[int, Statistics], sorter: Sorter | None) -> Insights:
    """Look at a window and its second half, if that was read; `sorter` is one by key, None where keys are unknown."""
    whole, second = windows[days], windows.get(half(days))
    models = [line for line in by_model(whole).lines if line.group.kind is Kind.MODEL and line.tally.cost > 0]
    top = tuple(models[:_MODELS_NAMED])
    # The service may answer for the halves as of another moment, when something was used already.
    if second is None or not _total(whole):
        return Insights(top)
    changed = _change(None, days, _total(whole), _total(second))
    driver = None if sorter is None else _driver(days, whole, second, sorter, changed)
    return Insights(top, changed, driver)


def _total(statistics: Statistics) -> Decimal:
    if statistics.total is not None:
        return statistics.total.cost
    return max(sum((tally.cost for _, tally in parts), ZERO) for parts in (statistics.by_day, statistics.by_model))


def _driver(days: int, whole: Statistics, second: Statistics, sorter: Sorter, changed: Change) -> Change | None:
    """Find the key whose change is the largest in the direction of the whole change."""
    before, after = sorter.tallies(whole), sorter.tallies(second)
    changes = [
        _change(group, days, _cost(before, group), _cost(after, group))
        for group in sorted({*before, *after}, key=lambda group: (group.name, group.key_id or 0))
    ]
    direction = 1 if changed.by > 0 else -1
    driver = max(changes, key=lambda change: change.by * direction, default=None)
    return None if driver is None or driver.by * direction <= 0 else driver


def _cost(tallies: Mapping[Group, Tally], group: Group) -> Decimal:
    return tallies[group].cost if group in tallies else ZERO


def _change(group: Group | None, days: int, whole: Decimal, second: Decimal) -> Change:
    """Compare halves; the whole may be as of an earlier moment than its second half, so the first is not below zero."""
    return Change(group, days - half(days), half(days), max(whole - second, ZERO), second)
