"""Tables, the same for every command: aligned on a terminal, with bars where there is room, and in Markdown.

Build `Column`s and `Row`s once and hand them to `text_table` or to `markdown_table`. All text of a row is escaped
already: with `escape.terminal_name` for the one, with `escape.markdown_name` for the other. The first column is the
name of the row; nothing is ever cut off, a name that is too long has its own line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.render.ink import Ink, columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from reconciler.render.ink import Pen

_WIDEST_NAME: Final = 48
_GAP: Final = "  "
_SHORTEST_BAR: Final = 6
_LONGEST_BAR: Final = 30
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its title; numbers stand at its right. Optional ones are left out where a terminal is narrow."""

    title: str
    right: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Inked:
    """The text of a cell in an ink of its own."""

    text: str
    ink: Ink


@dataclass(frozen=True, slots=True)
class Row:
    """A cell for each column; `bar` is how much of a full bar the row gets, 0 to 1, None for a row without."""

    cells: tuple[str | Inked, ...]
    ink: Ink = Ink.PLAIN
    bar: Decimal | None = None


def text_table(heads: Sequence[Column], rows: Sequence[Row], pen: Pen, width: int | None) -> list[str]:
    """Lay out a table in lines for a terminal of that width; None is a pipe or a file, which gets no bars.

    Where even the columns that are not optional do not fit, each name stands above its numbers.
    """
    widths = [_width(head, [row.cells[at] for row in rows]) for at, head in enumerate(heads)]
    widths[0] = min(widths[0], max(_WIDEST_NAME, columns(heads[0].title)))
    kept = [*range(len(heads))]
    if width is not None and _taken(widths, kept) > width:
        kept = [at for at in kept if not heads[at].optional]
    if width is not None and _taken(widths, kept) > width:
        widths[0] = 0
    room = 0 if width is None else min(width - _taken(widths, kept) - len(_GAP), _LONGEST_BAR)
    lines: list[str] = []
    titles = Row(tuple(head.title for head in heads), Ink.BOLD)
    for row in (titles, *rows):
        cells = tuple(_Cell(row.cells[at], widths[at], right=heads[at].right) for at in kept)
        lines += _lines(row, cells, pen, room if room >= _SHORTEST_BAR else 0)
    return lines


def markdown_table(heads: Sequence[Column], rows: Sequence[Row]) -> str:
    """Write a table of GitHub's Markdown, without bars; the last line has no newline."""
    rule = ["---:" if head.right else "---" for head in heads]
    body = [[_text(cell) for cell in row.cells] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in ([head.title for head in heads], rule, *body))


def bar(share: Decimal, width: int) -> str:
    """Draw a share, 0 to 1, of a bar of `width` columns, to an eighth of a column; more than nothing always shows."""
    eighths = int(share * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    return (_EIGHTHS[-1] * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


class _Cell(NamedTuple):
    """A cell that takes `width` columns of its line."""

    content: str | Inked
    width: int
    right: bool


def _width(head: Column, cells: Sequence[str | Inked]) -> int:
    return max([columns(head.title), *(columns(_text(cell)) for cell in cells)])


def _taken(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[at] for at in kept) + len(_GAP) * (len(kept) - 1)


def _lines(row: Row, cells: Sequence[_Cell], pen: Pen, room: int) -> Iterator[str]:
    name, *rest = cells
    line = _inked(pen, row, name.content)
    if columns(_text(name.content)) > name.width:
        yield line
        line = " " * name.width
    else:
        line += " " * (name.width - columns(_text(name.content)))
    for cell in rest:
        gap = " " * (cell.width - columns(_text(cell.content)))
        inked = _inked(pen, row, cell.content)
        line += _GAP + (gap + inked if cell.right else inked + gap)
    if row.bar is not None and room:
        line += _GAP + pen(Ink.CYAN, bar(row.bar, room))
    if line.strip():
        yield line.rstrip()


def _text(cell: str | Inked) -> str:
    return cell if isinstance(cell, str) else cell.text


def _inked(pen: Pen, row: Row, cell: str | Inked) -> str:
    return pen(row.ink, cell) if isinstance(cell, str) else pen(cell.ink, cell.text)
