"""How the account's use is put into words, for the terminal and for Markdown alike."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.insight.breakdown import Grouping, Kind
from reconciler.render.amounts import cents
from reconciler.render.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.insight.activity import ActivityReport
    from reconciler.insight.breakdown import Breakdown, Group, Line
    from reconciler.insight.trend import Change, Insights
    from reconciler.render.words import Show

_MOST_DECIMALS: Final = 6
_FEWEST_DECIMALS: Final = 2
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error


def label(group: Group, by: Grouping, show: Show, *, declared: bool) -> str:
    """Name a line; names from outside are set off by `show`."""
    kind = group.kind
    match kind:
        case Kind.DAY | Kind.ENVIRONMENT | Kind.KEY | Kind.TEAM | Kind.MODEL:
            return show.name(group.name) if group.name else "(no name)"
        case Kind.UNMANAGED:
            word = "unmanaged" if declared else "named otherwise"
            return _stray(group, show, word) if by is Grouping.KEY else f"keys that are {word}"
        case Kind.DELETED:
            return _stray(group, show, "deleted") if by is Grouping.KEY else "deleted keys"
        case Kind.LOCK:
            return "reconciler's lock"
        case Kind.NO_TEAM:
            return "no team"
        case Kind.UNDECLARED:
            return "not declared"
        case Kind.REST:
            return "everything else"
        case Kind.DIFFERENCE:
            return f"not in any {_part(by)}"
        case _:
            assert_never(kind)


def decimals(lines: Iterable[Line]) -> int:
    """Give the decimals that show every cost exactly: 2 at least, and 6 at most, where more are rounded."""
    needed = (-int(line.tally.cost.normalize(_ROOMY).as_tuple().exponent) for line in lines if line.tally.cost)
    return min(max([_FEWEST_DECIMALS, *needed]), _MOST_DECIMALS)


def percent(share: Decimal | None) -> str:
    """Write a share, in percent with one decimal; empty where there is none."""
    return "" if share is None else f"{share:.1f} %"


def heading(report: ActivityReport) -> str:
    """Say what days it is about."""
    days = report.question.days
    if days == 1:
        return f"Activity of today, {report.today} (UTC, not over yet)"
    return f"Activity of the last {days} days, {report.since} to {report.today} (UTC, today is not over)"


def nothing(report: ActivityReport) -> str:
    """Say that nothing was used."""
    return f"Nothing was used in the last {plural(report.question.days, 'day')}."


def observations(insights: Insights, show: Show, *, declared: bool) -> Iterator[str]:
    """Say what stands out, a sentence each."""
    if insights.models:
        named = [f"{_name(line, show)} {show.value(cents(line.tally.cost))}" for line in insights.models]
        yield f"Models that cost most: {', '.join(named)}."
    if insights.changed is None:
        return
    yield _changed(insights.changed, show)
    if insights.driver is not None and insights.driver.group is not None:
        name = label(insights.driver.group, Grouping.KEY, show, declared=declared)
        driver = insights.driver
        pair = f"{show.value(cents(driver.before))} → {show.value(cents(driver.after))}"
        yield f"What drives it most is the key {name}: {pair} a day."


def notes(report: ActivityReport, show: Show) -> Iterator[str]:
    """Say what has to be known to read the figures, a sentence each."""
    question, breakdown = report.question, report.whole
    if question.by is Grouping.ENVIRONMENT and not report.declared:
        yield "There is no file: environments are read from names like environment/key."
    if question.daily:
        yield (
            "The service tells no days of a key or a model: each day is what a window of days has and the one that is"
            " a day shorter has not."
        )
    corrected = sum(account.corrected for account in report.accounts)
    if corrected:
        yield (
            f"Of the days of lines, {corrected:,} came out below zero, because the service answers as of up to"
            " 5 minutes ago; that counts as nothing and is taken off the days after."
        )
    if any(line.group.kind is Kind.DIFFERENCE for line in breakdown.lines):
        yield (
            f"The service's figures by {_part(question.by)} do not add up to its total, so the difference is shown;"
            " they may lag, or leave something out."
        )
    if breakdown.absent:
        names = ", ".join(show.value(name) for name in breakdown.absent)
        yield f"The service's answer lacks {names}, which counts as nothing here."


def more(hidden: int, breakdown: Breakdown) -> str:
    """Say how many lines a table leaves out."""
    noun = {Grouping.DAY: "day", Grouping.MODEL: "model"}.get(breakdown.by, breakdown.by.value)
    return f"… {plural(hidden, f'more {noun}')}"


def _stray(group: Group, show: Show, word: str) -> str:
    if not group.name:
        return "no key" if group.key_id is None else f"key {group.key_id} ({word})"
    return f"{show.name(group.name)} ({word}{'' if group.key_id is None else f', id {group.key_id}'})"


def _name(line: Line, show: Show) -> str:
    return show.name(line.group.name) if line.group.name else "(no name)"


def _changed(change: Change, show: Show) -> str:
    before, after = show.value(cents(change.before)), show.value(cents(change.after))
    last = f"the last {change.last_days} days" if change.last_days > 1 else "the last day"
    first = f"the {change.first_days} days" if change.first_days > 1 else "the day"
    halves = f"{after} a day in {last} (today is not over), {before} a day in {first} before"
    if not change.by:
        return f"{halves}: no change."
    if not change.before:
        return f"{halves}."
    ratio = (abs(change.by) * 100 / change.before).quantize(Decimal(1), ROUND_HALF_EVEN, _ROOMY)
    return f"{halves}: {'up' if change.by > 0 else 'down'} by {ratio:,} %."


def _part(by: Grouping) -> str:
    return by.value if by in {Grouping.DAY, Grouping.MODEL} else Grouping.KEY.value
