"""What `activity` shows: the use of each account and of all together, and what stands out in it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from reconciler.insight.breakdown import (
    ZERO,
    Grouping,
    Kind,
    Sorter,
    by_day,
    by_model,
    by_owner,
    model_tallies,
    together,
    with_days,
)
from reconciler.insight.inventory import Attribution
from reconciler.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date, datetime
    from decimal import Decimal

    from reconciler.insight.breakdown import Breakdown, Group, Line
    from reconciler.model import Declaration, Statistics, Tally


# What stands out in the use of some days: which models cost most, what has changed, and which key drives that.

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
    """Return the days of the second half of a window, which is the shorter one; 0 where there are no halves."""
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


# Everything that `activity` shows: the use of each account and of all of them, and what stands out in it.


@dataclass(frozen=True, slots=True)
class Question:
    """What to tell of the last `days` days, today included: by what, of which environments, with days of each line.

    Of what is `recorded`, the last day is that of the period which was asked for.
    """

    days: int
    by: Grouping
    environments: tuple[str, ...] = ()
    daily: bool = False
    recorded: bool = False


class Outlook(NamedTuple):
    """What the month of the last recorded day comes to: `month_end` USD on its last day, at `per_day` USD a day."""

    per_day: Decimal
    month_end: Decimal
    until: date


@dataclass(frozen=True, slots=True)
class AccountActivity:
    """The use of one account, the one of a variable.

    `corrected` counts the days of lines that came out below zero and were set right; see `daily`. `outlook` is for what
    is recorded, where the month is not over.
    """

    variable: str
    breakdown: Breakdown
    insights: Insights
    corrected: int = 0
    outlook: Outlook | None = None


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """The answer: the use of each account, and the `whole`, up to the day `today` of the service's clock.

    Without a file, `declared` is false: environments are read by the default naming. `unread` says in a line each what
    could not be read and why: of these, the `errors` leave an account out. `warnings` are the others, and what to know
    about the reading itself.
    """

    question: Question
    today: date
    accounts: tuple[AccountActivity, ...]
    whole: Breakdown
    declared: bool
    unread: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def since(self) -> date:
        """The first of the days."""
        return self.today - timedelta(days=self.question.days - 1)


def account_activity(
    question: Question,
    variable: str,
    windows: Mapping[int, Statistics],
    keys: Snapshot | None,
    now: datetime,
    declaration: Declaration | None,
) -> AccountActivity:
    """Answer a question for one account from its windows of activity.

    `windows` has that of `question.days`, those of fewer days where each day is wanted, and that of the second half
    where what has changed is. `keys` None is for where they could not be read, and do not matter to the question.
    """
    statistics = windows[question.days]
    attribution = Attribution(keys or Snapshot((), now), declaration)
    sorter = Sorter(question.by, attribution, question.environments)
    breakdown = _break_down(question.by, statistics, sorter, now.date())
    corrected = 0
    if question.daily:
        tallies = model_tallies if question.by is Grouping.MODEL else sorter.tallies
        dated = with_days(breakdown, windows, tallies, now.date())
        breakdown, corrected = dated.breakdown, dated.corrected
    by_key = None if keys is None else Sorter(Grouping.KEY, attribution)
    return AccountActivity(variable, breakdown, insights(question.days, windows, by_key), corrected)


def activity_report(
    question: Question,
    today: date,
    accounts: Collection[AccountActivity],
    *,
    declared: bool,
    unread: tuple[str, ...] = (),
) -> ActivityReport:
    """Put the answers for one account or more together."""
    whole = together(account.breakdown for account in accounts)
    return ActivityReport(question, today, tuple(accounts), whole, declared, unread)


def _break_down(by: Grouping, statistics: Statistics, sorter: Sorter, today: date) -> Breakdown:
    match by:
        case Grouping.DAY:
            return by_day(statistics, today)
        case Grouping.MODEL:
            return by_model(statistics)
        case Grouping.KEY | Grouping.ENVIRONMENT | Grouping.TEAM:
            return by_owner(by, statistics, sorter)
        case _:
            assert_never(by)
