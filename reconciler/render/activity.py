"""What the account was used for, in tables: for a terminal with bars, and in Markdown."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.insight.breakdown import MORE, ZERO, Grouping, Kind, abridged
from reconciler.model import Tally
from reconciler.render import activity_words as words
from reconciler.render.amounts import cost
from reconciler.render.escape import markdown, markdown_code, markdown_name, terminal, terminal_name
from reconciler.render.ink import Ink, Pen
from reconciler.render.listing import wrapped
from reconciler.render.markdown import LIMIT
from reconciler.render.table import Column, Row, markdown_table, text_table
from reconciler.render.words import Show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.insight.activity import AccountActivity, ActivityReport
    from reconciler.insight.breakdown import Breakdown, Line

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
    blocks = [[pen(Ink.BOLD, part) for part in wrapped(words.heading(report), width)]]
    for title, breakdown in _sections(report, _TEXT):
        if title:
            blocks.append([pen(Ink.BOLD, title)])
        blocks.append(_text_block(report, breakdown, pen, width, top))
    for account in report.accounts:
        sentences = _observations(report, account, _TEXT)
        blocks.append([part for sentence in sentences for part in wrapped(sentence, width)])
    blocks.append([pen(Ink.DIM, part) for note in words.notes(report, _TEXT) for part in wrapped(note, width)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def render_markdown(report: ActivityReport, *, top: int, limit: int = LIMIT) -> str:
    """Show the use in tables of at most `top` lines, or of fewer, so that the page has at most `limit` characters."""
    while len(page := _page(report, top)) > limit and top:
        top //= 2
    return page


def _page(report: ActivityReport, top: int) -> str:
    blocks = [f"### {words.heading(report)}"]
    for title, breakdown in _sections(report, _MARKDOWN):
        if title:
            blocks.append(f"#### {title}")
        rows = _rows(report, breakdown, _MARKDOWN, top)
        blocks.append(markdown_table(_heads(breakdown), rows) if rows else words.nothing(report))
    sentences = [sentence for account in report.accounts for sentence in _observations(report, account, _MARKDOWN)]
    blocks.append("\n".join(f"- {sentence}" for sentence in sentences))
    shown = Show(markdown_name, markdown)
    notes = [*words.notes(report, shown), *map(markdown, report.unread)]
    blocks.append("<br>\n".join(f"<sub>{note}</sub>" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _sections(report: ActivityReport, show: Show) -> Iterator[tuple[str, Breakdown]]:
    """Give the tables with their titles: that of each account and the whole, or just the one."""
    if len(report.accounts) > 1:
        for account in report.accounts:
            yield f"Account of {show.name(account.variable)}", account.breakdown
        yield "All accounts", report.whole
    else:
        yield "", report.whole


def _text_block(report: ActivityReport, breakdown: Breakdown, pen: Pen, width: int | None, top: int) -> list[str]:
    rows = _rows(report, breakdown, _TEXT, top)
    return text_table(_heads(breakdown), rows, pen, width) if rows else [words.nothing(report)]


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
    places = words.decimals(breakdown.lines)
    rows: list[Row] = []
    for line in lines:
        is_rest = hidden and line.group == MORE
        label = words.label(line.group, breakdown.by, show, declared=report.declared)
        rows += _line(line, words.more(hidden, breakdown) if is_rest else label, places, most, show)
    whole = words.percent(Decimal(100) if any(line.share is not None for line in breakdown.lines) else None)
    rows.append(Row(_cells("Total", breakdown.total, whole, places, show), Ink.BOLD))
    return rows


def _line(line: Line, label: str, places: int, most: Decimal, show: Show) -> Iterable[Row]:
    ink = Ink.DIM if line.group.kind in _ASIDE else Ink.PLAIN
    length = max(line.tally.cost, ZERO) / most if most > 0 else ZERO
    yield Row(_cells(label, line.tally, words.percent(line.share), places, show), ink, length)
    for day, tally in line.daily:
        yield Row(_cells(f"· {day}", tally, "", places, show), Ink.DIM, tally.cost / most if most > 0 else ZERO)


def _cells(label: str, tally: Tally, share: str, places: int, show: Show) -> tuple[str, ...]:
    counts = f"{tally.input_tokens:,}", f"{tally.output_tokens:,}"
    return (label, f"{tally.requests:,}", show.value(cost(tally.cost, places)), share and show.value(share), *counts)


def _observations(report: ActivityReport, account: AccountActivity, show: Show) -> list[str]:
    found = [*words.observations(account.insights, show, declared=report.declared)]
    if found and len(report.accounts) > 1:
        found.insert(0, f"Account of {show.name(account.variable)}:")
    return found
