"""Everything that `activity` shows: the use of each account and of all of them, and what stands out in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from reconciler.insight.attribution import Attribution
from reconciler.insight.breakdown import Grouping, Sorter, by_day, by_model, by_owner, model_tallies, together
from reconciler.insight.daily import with_days
from reconciler.insight.trend import Insights, insights
from reconciler.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date, datetime

    from reconciler.insight.breakdown import Breakdown
    from reconciler.model import Declaration, Statistics


@dataclass(frozen=True, slots=True)
class Question:
    """What to tell of the last `days` days, today included: by what, of which environments, with days of each line."""

    days: int
    by: Grouping
    environments: tuple[str, ...] = ()
    daily: bool = False


@dataclass(frozen=True, slots=True)
class AccountActivity:
    """The use of one account, the one of a variable.

    `corrected` counts the days of lines that came out below zero and were set right; see `daily`.
    """

    variable: str
    breakdown: Breakdown
    insights: Insights
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """The answer: the use of each account, and the `whole`, up to the day `today` of the service's clock.

    Without a file, `declared` is false: environments are read by the default naming. `unread` says in a line each what
    could not be read and why.
    """

    question: Question
    today: date
    accounts: tuple[AccountActivity, ...]
    whole: Breakdown
    declared: bool
    unread: tuple[str, ...] = ()

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
