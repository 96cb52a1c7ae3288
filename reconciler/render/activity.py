"""The use of accounts as text, Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.insight.breakdown import MORE, ZERO, Grouping, Kind, abridged
from reconciler.model import Tally
from reconciler.render.columns import Ansi, Column, Pen, Row, cents, cost, markdown_table, text_table, wrapped
from reconciler.render.escape import defused, markdown, markdown_code, markdown_name, terminal, terminal_name
from reconciler.render.markdown import LIMIT
from reconciler.render.words import Show
from reconciler.units import format_money, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.insight.activity import AccountActivity, ActivityReport, Change, Insights, Outlook
    from reconciler.insight.breakdown import Breakdown, Group, Line


# How the account's use is put into words, for the terminal and for Markdown alike.

_MOST_DECIMALS: Final = 6
_FEWEST_DECIMALS: Final = 2
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error


def label_of(group: Group, by: Grouping, show: Show, *, declared: bool) -> str:
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
    """Return the decimals that show every cost exactly: 2 at least, and 6 at most, where more are rounded."""
    needed = (-int(line.tally.cost.normalize(_ROOMY).as_tuple().exponent) for line in lines if line.tally.cost)
    return min(max([_FEWEST_DECIMALS, *needed]), _MOST_DECIMALS)


def percent(share: Decimal | None) -> str:
    """Write a share, in percent with one decimal; empty where there is none."""
    return "" if share is None else f"{share:.1f} %"


def heading(report: ActivityReport) -> str:
    """Return what days it is about."""
    days = report.question.days
    if report.question.recorded:
        return f"Activity from {report.since} to {report.today} (UTC), as recorded"
    if days == 1:
        return f"Activity of today, {report.today} (UTC, not over yet)"
    return f"Activity of the last {days} days, {report.since} to {report.today} (UTC, today is not over)"


def nothing(report: ActivityReport) -> str:
    """Return the sentence that nothing was used."""
    if report.question.recorded:
        return f"Nothing was used from {report.since} to {report.today}."
    return f"Nothing was used in the last {plural(report.question.days, 'day')}."


def observations(insights: Insights, show: Show, *, declared: bool) -> Iterator[str]:
    """Yield what stands out, a sentence each."""
    if insights.models:
        named = [f"{_name(line, show)} {show.value(cents(line.tally.cost))}" for line in insights.models]
        yield f"Models that cost most: {', '.join(named)}."
    if insights.changed is None:
        return
    yield _changed(insights.changed, show)
    if insights.driver is not None and insights.driver.group is not None:
        name = label_of(insights.driver.group, Grouping.KEY, show, declared=declared)
        driver = insights.driver
        pair = f"{show.value(cents(driver.before))} → {show.value(cents(driver.after))}"
        yield f"What drives it most is the key {name}: {pair} a day."


def notes_of(report: ActivityReport, show: Show) -> Iterator[str]:
    """Yield what has to be known to read the figures, a sentence each."""
    question, breakdown = report.question, report.whole
    if question.by is Grouping.ENVIRONMENT and not report.declared:
        yield "There is no file: environments are read from names like environment/key."
    if question.daily and not question.recorded:
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
    """Return how many lines a table leaves out."""
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


# What the account was used for, in tables: for a terminal with bars, and in Markdown.

_TEXT: Final = Show(terminal_name, terminal)
_MARKDOWN: Final = Show(markdown_name, markdown_code)
_NUMBERS: Final = tuple(
    Column(title, right=True, optional=title.endswith("tokens"))
    for title in ("Requests", "Cost", "Share", "Input tokens", "Output tokens")
)
_ASIDE: Final = {Kind.REST, Kind.DIFFERENCE, Kind.DELETED, Kind.LOCK}


def render_text(report: ActivityReport, *, color: bool, width: int | None, top: int) -> str:
    """Show the use in tables of at most `top` lines; `width` is that of the terminal, None for a pipe or a file."""
    pen = Pen(color=color)
    blocks = [[pen(Ansi.BOLD, part) for part in wrapped(heading(report), width)]]
    for title, breakdown in _sections(report, _TEXT):
        if title:
            blocks.append([pen(Ansi.BOLD, title)])
        blocks.append(_text_block(report, breakdown, pen, width, top))
    for account in report.accounts:
        sentences = _observations(report, account, _TEXT)
        blocks.append([part for sentence in sentences for part in wrapped(sentence, width)])
    blocks.append([pen(Ansi.DIM, part) for note in notes_of(report, _TEXT) for part in wrapped(note, width)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def render_markdown(report: ActivityReport, *, top: int, limit: int = LIMIT) -> str:
    """Show the use in tables of at most `top` lines, or of fewer, so that the page has at most `limit` characters."""
    while len(page := _page(report, top)) > limit and top:
        top //= 2
    return page


def _page(report: ActivityReport, top: int) -> str:
    blocks = [f"### {heading(report)}"]
    for title, breakdown in _sections(report, _MARKDOWN):
        if title:
            blocks.append(f"#### {title}")
        rows = _rows(report, breakdown, _MARKDOWN, top)
        blocks.append(markdown_table(_heads(breakdown), rows) if rows else nothing(report))
    sentences = [sentence for account in report.accounts for sentence in _observations(report, account, _MARKDOWN)]
    blocks.append("\n".join(f"- {sentence}" for sentence in sentences))
    shown = Show(markdown_name, markdown)
    notes = [*notes_of(report, shown), *map(markdown, report.unread)]
    blocks.append("<br>\n".join(f"<sub>{note}</sub>" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _sections(report: ActivityReport, show: Show) -> Iterator[tuple[str, Breakdown]]:
    """Yield the tables with their titles: that of each account and the whole, or just the one."""
    if len(report.accounts) > 1:
        for account in report.accounts:
            yield f"Account of {show.name(account.variable)}", account.breakdown
        yield "All accounts", report.whole
    else:
        yield "", report.whole


def _text_block(report: ActivityReport, breakdown: Breakdown, pen: Pen, width: int | None, top: int) -> list[str]:
    rows = _rows(report, breakdown, _TEXT, top)
    return text_table(_heads(breakdown), rows, pen, width) if rows else [nothing(report)]


def _heads(breakdown: Breakdown) -> tuple[Column, ...]:
    return (Column(breakdown.by.value.capitalize()), *_NUMBERS)


def _rows(report: ActivityReport, breakdown: Breakdown, show: Show, top: int) -> list[Row]:
    """Make the rows of a table and its total; none where nothing was used."""
    if not breakdown.lines and breakdown.total == Tally():
        return []
    lines, hidden = breakdown.lines, 0
    if breakdown.by is not Grouping.DAY:
        lines, hidden = abridged(breakdown, top)
    most = max((line.tally.cost for line in lines), default=ZERO)
    places = decimals(breakdown.lines)
    rows: list[Row] = []
    for line in lines:
        is_rest = hidden and line.group == MORE
        label = label_of(line.group, breakdown.by, show, declared=report.declared)
        rows += _line(line, more(hidden, breakdown) if is_rest else label, places, most, show)
    whole = percent(Decimal(100) if any(line.share is not None for line in breakdown.lines) else None)
    rows.append(Row(_cells("Total", breakdown.total, whole, places, show), Ansi.BOLD))
    return rows


def _line(line: Line, label: str, places: int, most: Decimal, show: Show) -> Iterable[Row]:
    ansi = Ansi.DIM if line.group.kind in _ASIDE else Ansi.PLAIN
    length = max(line.tally.cost, ZERO) / most if most > 0 else ZERO
    yield Row(_cells(label, line.tally, percent(line.share), places, show), ansi, length)
    for day, tally in line.daily:
        yield Row(_cells(f"· {day}", tally, "", places, show), Ansi.DIM, tally.cost / most if most > 0 else ZERO)


def _cells(label: str, tally: Tally, share: str, places: int, show: Show) -> tuple[str, ...]:
    counts = f"{tally.input_tokens:,}", f"{tally.output_tokens:,}"
    return (label, f"{tally.requests:,}", show.value(cost(tally.cost, places)), share and show.value(share), *counts)


def _observations(report: ActivityReport, account: AccountActivity, show: Show) -> list[str]:
    found = [*observations(account.insights, show, declared=report.declared)]
    if account.outlook is not None:
        per_day, end, until = account.outlook
        pace = f"{show.value(cents(per_day))} a day over the last 7 days"
        found.append(f"At this pace, {until:%B %Y} comes to {show.value(cents(end))} ({pace}).")
    if found and len(report.accounts) > 1:
        found.insert(0, f"Account of {show.name(account.variable)}:")
    return found


# What the account was used for, for programs: JSON and CSV, every line and every amount exactly.

FORMAT_VERSION: Final = 1
CSV_FIELDS: Final = (
    "account",
    "kind",
    "name",
    "date",
    "key_ids",
    "requests",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "share_percent",
    "since",
    "until",
)


def activity_document(report: ActivityReport) -> dict[str, object]:
    """Lay out the use as JSON; costs in USD as decimal strings, shares in percent as decimal strings, days in UTC."""
    question = report.question
    return {
        "format_version": FORMAT_VERSION,
        "by": question.by.value,
        "days": question.days,
        "since": report.since.isoformat(),
        "until": report.today.isoformat(),
        "declared": report.declared,
        "total": _tally(report.whole.total),
        "absent": list(report.whole.absent),
        "unread": list(report.unread),
        "lines": [_line_document(line, daily=question.daily) for line in report.whole.lines],
        "accounts": [_account(account, daily=question.daily) for account in report.accounts],
    }


def activity_csv(report: ActivityReport) -> str:
    """Write a record for each line of each account, or for each of its days (RFC 4180, a header first).

    Control characters in names are written as visible escapes; a name that a spreadsheet would take for a formula has
    an apostrophe in front.
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(CSV_FIELDS)
    for account in report.accounts:
        for line in account.breakdown.lines:
            for record in _records(account, line, daily=report.question.daily):
                writer.writerow((*record, report.since, report.today))
    return stream.getvalue()


def _records(account: AccountActivity, line: Line, *, daily: bool) -> Iterator[tuple[object, ...]]:
    kind, name, _ = line.group
    start = (account.variable, kind.value, defused(name))
    ids = " ".join(map(str, line.key_ids))
    if not (daily and line.daily):
        date = name if kind is Kind.DAY else ""
        yield (*start, date, ids, *_figures(line.tally), "" if line.share is None else f"{line.share:.1f}")
        return
    for day, tally in line.daily:
        yield (*start, day.isoformat(), ids, *_figures(tally), "")


def _figures(tally: Tally) -> tuple[object, ...]:
    return (tally.requests, format_money(tally.cost), tally.input_tokens, tally.output_tokens)


def _account(account: AccountActivity, *, daily: bool) -> dict[str, object]:
    breakdown: Breakdown = account.breakdown
    return {
        "account": account.variable,
        "total": _tally(breakdown.total),
        "absent": list(breakdown.absent),
        "corrected_days": account.corrected,
        "insights": _insights(account.insights),
        **({} if account.outlook is None else {"outlook": _outlook(account.outlook)}),
        "lines": [_line_document(line, daily=daily) for line in breakdown.lines],
    }


def _outlook(outlook: Outlook) -> dict[str, object]:
    """Lay out what the month comes to; only what is recorded has it, and only while the month is not over."""
    return {
        "per_day": format_money(outlook.per_day),
        "month_end": format_money(outlook.month_end),
        "until": str(outlook.until),
    }


def _line_document(line: Line, *, daily: bool) -> dict[str, object]:
    days = [{"date": day.isoformat(), **_tally(tally)} for day, tally in line.daily]
    return {
        **_group(line.group),
        "key_ids": list(line.key_ids),
        **_tally(line.tally),
        "share": None if line.share is None else f"{line.share:.1f}",
        **({"daily": days} if daily else {}),
    }


def _group(group: Group) -> dict[str, object]:
    return {"kind": group.kind.value, "name": group.name or None}


def _tally(tally: Tally) -> dict[str, object]:
    return {
        "requests": tally.requests,
        "cost": format_money(tally.cost),
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
    }


def _insights(insights: Insights) -> dict[str, object]:
    return {
        "models": [
            {"name": line.group.name or None, "cost": format_money(line.tally.cost)} for line in insights.models
        ],
        "change": _change(insights.changed),
        "driver": _change(insights.driver),
    }


def _change(change: Change | None) -> dict[str, object] | None:
    if change is None:
        return None
    group = {} if change.group is None else {**_group(change.group), "key_id": change.group.key_id}
    return {
        **group,
        "first_days": change.first_days,
        "first_cost": format_money(change.first_cost),
        "last_days": change.last_days,
        "last_cost": format_money(change.last_cost),
    }
