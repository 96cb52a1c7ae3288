"""A report on accounts in words: the page that people look at, section by section."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import AlertRule, percent
from reconciler.insight.breakdown import ZERO, Grouping
from reconciler.insight.inventory import KeyStatus
from reconciler.insight.report import (
    HORIZON,
    MOST_KINDS,
    WHOLE_ACCOUNT,
    UnreadAccount,
    by_need,
    calendar,
    strands,
    upcoming,
)
from reconciler.insight.trends import ACCOUNT, PACE_DAYS
from reconciler.render import words
from reconciler.render.activity import label_of
from reconciler.render.activity import percent as share_text
from reconciler.render.columns import cents
from reconciler.render.html import (
    Chart,
    Detail,
    Figure,
    Mark,
    Name,
    Page,
    Part,
    Section,
    Series,
    Share,
    Table,
    Tile,
    Tone,
)
from reconciler.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from reconciler.insight.balance import Runway
    from reconciler.insight.breakdown import Breakdown, Group
    from reconciler.insight.history import Months
    from reconciler.insight.inventory import InventoryKey
    from reconciler.insight.report import Account, AccountReport, Strand
    from reconciler.insight.trends import Forecast
    from reconciler.planning.actions import Action
    from reconciler.render.html import Cell


# The sections of a report on one account, in words. Long tables are cut, and say by how much.

TONES: Final = {Severity.ERROR: Tone.BAD, Severity.WARNING: Tone.WARNING, Severity.NOTE: Tone.PLAIN}
MOST_LINES: Final = 12

_SHOW: Final = words.Show(str)
_HIGH: Final = Decimal("0.8")
_FULL: Final = Decimal(1)


# --- what needs attention ---------------------------------------------------------------------------------------------


def attention(account: AccountReport, most: int) -> Section | None:
    """List alerts and findings, the worst first; None without a declaration, which they are about."""
    if account.plan is None or account.verdict is None:
        return _unread(account)
    alerts = [
        (each.severity, each.subject, each.message, f"{each.remedy}: {each.command}")
        for each in account.verdict.alerts
        if each.rule is not AlertRule.DRIFT
    ]
    findings = [
        (each.severity, "account" if each.address is None else str(each.address), each.message, "")
        for each in account.plan.findings
    ]
    found = sorted([*alerts, *findings], key=lambda each: [*Severity].index(each[0]))
    rows = [
        (Mark(severity.value, TONES[severity]), Name(subject), Detail(message, remedy))
        for severity, subject, message, remedy in found
    ]
    notes = (
        *account.unread,
        *(f"{each.rule.value} was not judged: {each.reason}" for each in account.verdict.unjudged),
    )
    caption = "Alerts and findings, the worst first"
    tables = (_cut(caption, ("Severity", "About", "What it is"), rows, most, "finding", head=1),) if rows else ()
    return Section("attention", "What needs attention", "" if rows else "Nothing does.", tables=tables, notes=notes)


def _unread(account: AccountReport) -> Section | None:
    if not account.unread:
        return None
    return Section("attention", "What needs attention", notes=account.unread)


# --- spend ------------------------------------------------------------------------------------------------------------


def spend(account: AccountReport) -> Section | None:
    """Draw what was spent by day, stacked by environment where that is known."""
    if account.spend is None or account.by_day is None:
        return None
    days, found = calendar(account.days, account.now), strands(account)
    if not found:
        return Section("spend", "Spend by day", f"Nothing was spent in {plural(account.days, 'day')}.")
    chart = _chart(account, found, tuple(f"{day:%b} {day.day}" for day in days))
    return Section("spend", "Spend by day", chart=chart, notes=tuple(_notes(account, found)))


def _chart(account: AccountReport, found: Sequence[Strand], columns: tuple[str, ...]) -> Chart:
    series = tuple(Series(_kind(account, strand), strand.costs, strand.total) for strand in found)
    sums = [sum(costs, ZERO) for costs in zip(*(strand.costs for strand in found), strict=True)]
    total, highest = sum(sums, ZERO), max(sums)
    summary = f"{cents(total)} in {plural(account.days, 'day')}, "
    summary += f"the most on {columns[sums.index(highest)]}: {cents(highest)}."
    if len(series) > 1:
        first = max(series, key=lambda each: each.total)
        summary += f" {first.name}: {percent(first.total / total)} of it."
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (column, *(Figure(cents(each.values[at])) for each in series), Figure(cents(sums[at])))
        for at, column in enumerate(columns)
    )
    totals: tuple[Cell, ...] = ("All days", *(Figure(cents(each.total)) for each in series), Figure(cents(total)))
    table = Table(
        "What was spent on each day", ("Day", *(each.name for each in series), "Total"), (*rows, totals), wide=True
    )
    return Chart("Spend by day", summary, columns, series, table)


def _kind(account: AccountReport, strand: Strand) -> str:
    if strand.group is None:
        return f"{strand.count} others"
    return "all keys" if strand.group == WHOLE_ACCOUNT else _group(account, strand.group)


def _group(account: AccountReport, group: Group) -> str:
    return label_of(group, Grouping.ENVIRONMENT, _SHOW, declared=account.plan is not None)


def _notes(account: AccountReport, found: Sequence[Strand]) -> Iterator[str]:
    assert account.spend is not None  # noqa: S101  # the caller has seen to it
    if found[0].group == WHOLE_ACCOUNT:
        yield "Not every day could be read by environment, so the days are those of the whole account."
    else:
        yield "The service tells no days of a key: each day is what the last n days have and the last n-1 have not."
    if account.corrected:
        yield (
            f"{plural(account.corrected, 'day')} came out below zero, because the service answers as of up to 5 minutes"
            " ago; counted as nothing and taken off the days after."
        )
    difference = account.spend.total.cost - sum((strand.total for strand in found), ZERO)
    if difference:
        yield f"{cents(difference)} of the service's total is in none of its parts, and so not in the chart."


def teams(account: AccountReport) -> Section | None:
    """Share the spend out to teams; None where there are not at least two lines of them."""
    if account.teams is None or len(account.teams.lines) <= 1:
        return None
    return Section("teams", "Teams", tables=(_shared_out(account, account.teams, "team"),))


def months(account: AccountReport) -> Section | None:
    """Put the months of a history side by side, by environment and by team; None without one."""
    found = account.months
    if found is None:
        return None
    if not any(found.totals):
        return Section("months", "Months", "Nothing is recorded of these months.")
    columns = tuple(f"{month:%b %Y}" for month in found.months)
    kept = len(found.lines) if len(found.lines) <= MOST_KINDS + 1 else MOST_KINDS
    series = [Series(_group(account, group), costs, sum(costs, ZERO)) for group, costs in found.lines[:kept]]
    rest = [costs for _, costs in found.lines[kept:]]
    if rest:
        together = tuple(sum(each, ZERO) for each in zip(*rest, strict=True))
        series.append(Series(f"{len(rest)} others", together, sum(together, ZERO)))
    drawn = tuple(replace(each, values=tuple(max(value, ZERO) for value in each.values)) for each in series)
    highest = max(found.totals)
    summary = f"{cents(sum(found.totals, ZERO))} in {plural(len(columns), 'month')}, the most in "
    summary += f"{columns[found.totals.index(highest)]}: {cents(highest)}."
    table = _side_by_side(account, found, columns, Grouping.ENVIRONMENT)
    by_team = account.team_months
    tables = () if by_team is None else (_side_by_side(account, by_team, columns, Grouping.TEAM),)
    whole = [(month, monthrange(month.year, month.month)[1]) for month in found.months]
    part = [
        f"{days} of {length} days of {month:%b %Y}"
        for (month, length), days in zip(whole, found.days, strict=True)
        if days < length
    ]
    notes = (f"As recorded: {', '.join(part)}.",) if part else ()
    return Section(
        "months", "Months", chart=Chart("Spend by month", summary, columns, drawn, table), tables=tables, notes=notes
    )


def _side_by_side(account: AccountReport, found: Months, columns: tuple[str, ...], by: Grouping) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (Name(label_of(group, by, _SHOW, declared=account.plan is not None)), *(Figure(cents(each)) for each in costs))
        for group, costs in found.lines
    ]
    shown, beyond = rows[:MOST_LINES], len(rows) - MOST_LINES
    more = f"{plural(beyond, f'more {by}')} not shown here." if beyond > 0 else ""
    totals: tuple[Cell, ...] = ("Total", *(Figure(cents(each)) for each in found.totals))
    heads = (by.value.capitalize(), *columns)
    return Table(f"What each {by} cost by month, as recorded", heads, (*shown, totals), more=more, wide=True)


def outlook(account: AccountReport, most: int) -> Section | None:
    """Return how spending goes on; None where no history knows the days."""
    found = () if account.verdict is None else account.verdict.forecasts
    if not found:
        return None
    rows = [
        (
            Name(_who(each), "" if each.group == ACCOUNT else each.group.kind.value),
            Figure(cents(each.per_day)),
            Figure(cents(each.spent)),
            Figure(cents(each.month_end)),
            _reached(each, account.now),
        )
        for each in found[:most]
    ]
    columns = ("Who", "A day", "This month so far", "The month comes to", "Reaches")
    table = _cut("At the pace of the last 7 whole days", columns, rows, most, "line", of=len(found))
    return Section("outlook", "How it goes on", tables=(table,))


def _who(forecast: Forecast) -> str:
    return "the account" if forecast.group == ACCOUNT else forecast.group.name


def _reached(forecast: Forecast, now: datetime) -> Cell:
    ceiling, reached = forecast.ceiling, forecast.reached
    if ceiling is None or reached is None:
        return ""
    tone = Tone.BAD if (reached - now.date()).days < PACE_DAYS else Tone.WARNING
    when = f"{'by' if ceiling.at_most else 'on'} {reached}"
    return Mark(f"{ceiling.bound.value.replace('_', ' ')} of {cents(ceiling.amount)} {when}", tone)


def models(account: AccountReport) -> Section | None:
    """List the models that cost most; None where nothing was used."""
    if account.models is None or not account.models.lines:
        return None
    return Section("models", "Models", tables=(_shared_out(account, account.models, "model"),))


def _shared_out(account: AccountReport, breakdown: Breakdown, noun: str) -> Table:
    rows = [
        (
            Name(label_of(line.group, breakdown.by, _SHOW, declared=account.plan is not None)),
            Figure(f"{line.tally.requests:,}"),
            Share((line.share or ZERO) / 100, share_text(line.share)),
            Figure(cents(line.tally.cost)),
        )
        for line in breakdown.lines
    ]
    columns = (noun.capitalize(), "Requests", "Share of the cost", "Cost")
    caption = f"What each {noun} cost in {plural(account.days, 'day')}"
    return _cut(caption, columns, rows, MOST_LINES, noun)


# --- keys -------------------------------------------------------------------------------------------------------------


def limits(account: AccountReport, most: int) -> Section | None:
    """Hold the keys against their limits, those that have used up most of it first."""
    keys = by_need(account.keys)
    if not keys:
        return None
    rows = [
        (
            Name(key.name, f"team {key.team}" if key.team else ""),
            _used_up(key),
            Figure("unknown" if key.usage is None else cents(key.usage.cost)),
            key.last_use.value,
            Mark(key.status.value, _STATES.get(key.status, Tone.PLAIN)),
        )
        for key in keys[:most]
    ]
    columns = ("Key", "Spent of its limit", f"Spent in {plural(account.days, 'day')}", "Last used", "State")
    table = _cut("What has used up most of its limit first", columns, rows, most, "key", of=len(keys))
    notes = () if not any(key.share and key.share.at_least for key in keys[:most]) else (_AT_LEAST,)
    return Section("limits", "Keys against their limits", tables=(table,), notes=notes)


_AT_LEAST: Final = (
    "“At least”: the key is older than the 30 days that the service tells of, and its limit is on all it spends."
)
_STATES: Final = {
    KeyStatus.SETTLED: Tone.GOOD,
    KeyStatus.UNCLEAR: Tone.BAD,
    KeyStatus.EXPIRED: Tone.BAD,
    KeyStatus.DISABLED: Tone.WARNING,
    KeyStatus.UNDECLARED: Tone.WARNING,
    KeyStatus.UNMANAGED: Tone.WARNING,
}


def _used_up(key: InventoryKey) -> Cell:
    share, limit = key.share, key.limit
    since = "" if key.period is None else f" since {key.period.begin}"
    if share is None:
        return "no limit" if limit is None else f"of {cents(limit)}{since}"
    tone = Tone.BAD if share.value >= _FULL else Tone.WARNING if share.value >= _HIGH else Tone.PLAIN
    least = "at least " if share.at_least and share.spent else ""
    return Share(
        share.value, f"{least}{percent(share.value)} · {cents(share.spent)} of {cents(share.limit)}{since}", tone
    )


def coming(account: AccountReport, most: int) -> Section:
    """List what expires, rotates or ends next."""
    heading, days = "What is next", HORIZON.days
    events = upcoming(account.keys, account.now)
    if not events:
        return Section("next", heading, f"Nothing expires or is due for rotation in the next {days} days.")
    rows = [
        (
            _when(event.at, account.now),
            Name(event.key.name),
            event.kind.value,
        )
        for event in events[:most]
    ]
    caption = f"What is overdue, and what happens in the next {days} days (UTC)"
    return Section("next", heading, tables=(_cut(caption, _COMING, rows, most, "event", head=1, of=len(events)),))


_COMING: Final = ("When", "Key", "What")


def _when(at: datetime, now: datetime) -> Cell:
    days = (at.date() - now.date()).days
    day = f"{at:%b} {at.day}" if at.year == now.year else f"{at:%b} {at.day}, {at.year}"
    if at <= now:
        return Mark(f"{day}, overdue" if not days else f"{day}, {plural(-days, 'day')} ago", Tone.BAD)
    return f"{day}, today" if not days else f"{day}, in {plural(days, 'day')}"


def changes(account: AccountReport, most: int) -> Section | None:
    """List what the next apply does; None without a declaration."""
    plan = account.plan
    if plan is None:
        return None
    heading = "Changes to apply"
    if not plan.actions:
        return Section("changes", heading, words.matching(plan) if not plan.errors else f"{words.headline(plan)}.")
    rows = [
        (
            Name(words.full_name(action)),
            f"{words.SYMBOLS[action.kind]} {action.kind.value}",
            "; ".join(_effects(action)),
        )
        for action in plan.actions[:most]
    ]
    table = _cut(
        "What reconciler apply does next", ("Key", "Change", "What changes"), rows, most, "change", of=len(plan.actions)
    )
    intro = f"{words.headline(plan)}. Limits: {words.limits(plan.credit)}."
    return Section("changes", heading, intro, tables=(table,))


def _effects(action: Action) -> tuple[str, ...]:
    return words.essentials(action, _SHOW)


def _cut(  # noqa: PLR0913  # by keyword what is seldom needed
    caption: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Cell, ...]],
    most: int,
    noun: str,
    *,
    head: int = 0,
    of: int = 0,
) -> Table:
    """Make a table of the first rows and say how many more there are; `of` is how many, where not all are given."""
    beyond = (of or len(rows)) - most
    more = f"{plural(beyond, f'more {noun}')} not shown here." if beyond > 0 else ""
    return Table(caption, columns, tuple(rows[:most]), head=head, more=more)


# A report in words: what was read of accounts, as the page that people look at.

TITLE: Final = "API keys and credits"
MOST_ACCOUNTS: Final = 10
"""How many accounts get a part of their own; of the others there is a line in the overview."""

_ROWS: Final = 60
_FEWEST_ROWS: Final = 10
_FOOTNOTES: Final = (
    "Amounts are in US dollars, rounded to cents; reconciler activity --format json has every digit. Days are UTC.",
    "The service may answer as of five minutes ago, and knows of no use that is older than 30 days.",
)


def report_page(accounts: Sequence[Account], days: int, at: datetime, facts: Sequence[str]) -> Page:
    """Put reports on accounts, in order of their variables, into words; `facts` say what else the page is about."""
    several = len(accounts) > 1
    shown = accounts[:MOST_ACCOUNTS]
    rows = max(_ROWS // max(len(shown), 1), _FEWEST_ROWS)
    parts = [_part(account, number, rows, several=several) for number, account in enumerate(shown, start=1)]
    return Page(
        title=TITLE,
        facts=(f"As of {at.day} {at:%B %Y, %H:%M} UTC", f"Last {plural(days, 'day')}", *facts),
        parts=(*([_overview(accounts)] if several else []), *parts),
        footnotes=_FOOTNOTES,
    )


def _part(account: Account, number: int, rows: int, *, several: bool) -> Part:
    ident = f"account-{number}-" if several else ""
    name = _title(account) if several else ""
    if isinstance(account, UnreadAccount):
        return Part(ident, name, (), (Section("unread", "Not read", account.reason),))
    shown = (
        attention(account, rows),
        spend(account),
        months(account),
        outlook(account, rows),
        teams(account),
        models(account),
        limits(account, rows),
        coming(account, rows),
        changes(account, rows),
    )
    return Part(ident, name, _tiles(account), tuple(section for section in shown if section is not None))


def _title(account: Account) -> str:
    environments = account.environments if isinstance(account, UnreadAccount) else account.balance.environments
    return f"{', '.join(environments)} ({account.variable})" if environments else account.variable


# --- the figures that matter ------------------------------------------------------------------------------------------


def _tiles(account: AccountReport) -> tuple[Tile, ...]:
    return (_balance(account), _spent(account), _limits(account), _keys(account), _attention(account))


def _balance(account: AccountReport) -> Tile:
    amount = account.balance.amount
    if amount is None:
        return Tile("Balance", "unknown", ("it could not be read",), Tone.WARNING)
    alerts = () if account.verdict is None else account.verdict.alerts
    rules = {AlertRule.BALANCE_BELOW, AlertRule.RUNWAY_BELOW}
    worst = next((TONES[each.severity] for each in alerts if each.rule in rules), Tone.PLAIN)
    return Tile("Balance", cents(amount), tuple(_lasts(each) for each in account.balance.runways), worst)


def _lasts(runway: Runway) -> str:
    over = "today" if runway.pace.partial else f"the last {plural(runway.pace.days, 'day')}"
    if runway.days is None:
        return f"nothing was spent in {over}"
    return f"lasts {_days(runway.days)} at the pace of {over}"


def _days(days: Decimal) -> str:
    """Write a number of days: with a decimal only where that matters."""
    many = 10
    shown = f"{days:,.0f}" if days >= many or days == days.to_integral_value() else f"{days:.1f}"
    return f"{shown} day{'s' * (shown != '1')}"


def _spent(account: AccountReport) -> Tile:
    label = f"Spent in {plural(account.days, 'day')}"
    if account.spend is None:
        return Tile(label, "unknown", ("the activity could not be read",), Tone.WARNING)
    total = account.spend.total
    paces = (f"{cents(each.pace.per_day)} a day in the last {each.pace.days}" for each in account.balance.runways)
    return Tile(label, cents(total.cost), (plural(total.requests, "request"), *paces))


def _limits(account: AccountReport) -> Tile:
    limits, amount = account.balance.limits, account.balance.amount
    if limits is None:
        return Tile("Limits handed out", "unknown", ("the keys could not be read",), Tone.WARNING)
    notes = [f"to {plural(limits.keys, 'key')}"]
    if limits.unlimited:
        notes.append(f"{plural(limits.unlimited, 'more key')} without a limit")
    if limits.left is not None:
        notes.append(f"{'' if limits.exact else 'at most '}{cents(limits.left)} left to spend")
    if amount is not None and amount > 0 and limits.total > amount:
        notes.append(f"{limits.total / amount:,.1f} times the balance")
    return Tile("Limits handed out", cents(limits.total), tuple(notes))


_FOREIGN: Final = {
    KeyStatus.UNMANAGED: "not managed",
    KeyStatus.UNDECLARED: "not declared",
    KeyStatus.MISSING: "missing",
}


def _keys(account: AccountReport) -> Tile:
    keys = [key for key in account.keys if key.status is not KeyStatus.LOCK]
    counts = {words: sum(key.status is status for key in keys) for status, words in _FOREIGN.items()}
    live = sum(key.live is not None for key in keys)
    return Tile("Keys", f"{live:,}", tuple(f"{count:,} {words}" for words, count in counts.items() if count))


def _attention(account: AccountReport) -> Tile:
    found = [(severity, account.troubles.get(severity, 0)) for severity in (Severity.ERROR, Severity.WARNING)]
    notes = tuple(plural(count, severity) for severity, count in found if count)
    worst = next((TONES[severity] for severity, count in found if count), Tone.PLAIN)
    waiting = len(account.plan.actions) if account.plan else 0
    changes = (f"{plural(waiting, 'change')} to apply",) if waiting else ()
    total = sum(count for _, count in found)
    return Tile("Needs attention", f"{total:,}" if total else "nothing", (*notes, *changes), worst)


# --- several accounts -------------------------------------------------------------------------------------------------


def _overview(accounts: Sequence[Account]) -> Part:
    columns = ("Account", "Balance", "Lasts", "Spent", "Keys", "Needs attention")
    table = Table("The accounts of the file", columns, tuple(_account_row(account) for account in accounts))
    beyond = len(accounts) - MOST_ACCOUNTS
    note = (
        (f"{plural(beyond, 'account')} at the end of this list are told of here only; -e selects.",)
        if beyond > 0
        else ()
    )
    return Part("overview-", "All accounts", (), (Section("accounts", "Side by side", tables=(table,), notes=note),))


def _account_row(account: Account) -> tuple[Cell, ...]:
    name = Name(_title(account))
    if isinstance(account, UnreadAccount):
        return (name, *[Figure("unknown")] * 4, Mark("not read", Tone.BAD))
    balance, spent, _, keys, attention = _tiles(account)
    runway = next(iter(account.balance.runways), None)
    lasts = "unknown" if runway is None else "for ever" if runway.days is None else _days(runway.days)
    tone = Tone.GOOD if attention.tone is Tone.PLAIN else attention.tone
    figures = (balance.value, lasts, spent.value, keys.value)
    return (name, *map(Figure, figures), Mark(", ".join(attention.notes) or attention.value, tone))
