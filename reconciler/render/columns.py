"""Text in columns: lists and tables for a terminal and for Markdown, ANSI colours, widths and amounts."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import Enum
from functools import lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Ansi(Enum):
    """The ways text is set apart, by their ANSI code."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"
    ALARM = "1;31"


class Pen:
    """Writes text in an ink, or plainly when there is to be no colour."""

    __slots__ = ("_color",)

    def __init__(self, *, color: bool) -> None:
        """Say whether to use colour at all."""
        self._color = color

    def __call__(self, ansi: Ansi, text: str) -> str:
        """Return the text with the codes around it that switch the ink on and off."""
        if not self._color or ansi is Ansi.PLAIN or not text:
            return text
        return f"\x1b[{ansi.value}m{text}\x1b[0m"


def columns(text: str) -> int:
    """Count the columns that text without escapes takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def pad(text: str, width: int) -> str:
    """Fill text with spaces up to a width in columns; longer text stays as it is."""
    return text + " " * (width - columns(text))


@lru_cache(maxsize=4096)
def _columns_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


# Lists for a terminal: aligned columns, wrapped where they have to be, nothing ever cut off.

_WIDEST_NAME: Final = 32
_WIDEST_DETAIL: Final = 56
_NARROWEST: Final = 24


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a list: what happens, to what, the lines about it, and where it comes from.

    All text is escaped already. A loud entry has its name and its first line in its ink too.
    """

    mark: str
    word: str
    name: str
    ansi: Ansi
    lines: tuple[str, ...] = ()
    place: str = ""
    loud: bool = False


class Listing:
    """Lays out entries in the columns that fit all of them; `width` is that of the terminal, None for no end."""

    def __init__(self, entries: Iterable[Entry], pen: Pen, width: int | None) -> None:
        """Measure the entries."""
        entries = tuple(entries)
        self._pen = pen
        self._word = max((columns(entry.word) for entry in entries), default=0)
        self._name = min(max((columns(entry.name) for entry in entries), default=0), _WIDEST_NAME)
        self._indent = len("  + ") + self._word + len("  ") + self._name + len("  ")
        self._room = None if width is None else max(width - self._indent, _NARROWEST)
        place = max((columns(entry.place) for entry in entries), default=0)
        first = max((columns(entry.lines[0]) for entry in entries if entry.lines), default=0)
        most = _WIDEST_DETAIL if self._room is None else self._room - len("  ") - place
        self._first = max(0, min(first, _WIDEST_DETAIL, most))

    def lines(self, entry: Entry) -> Iterator[str]:
        """Yield the lines of one entry."""
        pen, loud = self._pen, entry.ansi if entry.loud else Ansi.PLAIN
        head = f"  {pen(entry.ansi, f'{entry.mark} {pad(entry.word, self._word)}')}  {pen(loud, entry.name)}"
        body = self._body(entry, loud)
        if body and columns(entry.name) <= self._name:
            yield head + " " * (self._name - columns(entry.name)) + "  " + body.pop(0)
        else:
            yield head
        for line in body:
            yield " " * self._indent + line

    def _body(self, entry: Entry, loud: Ansi) -> list[str]:
        details = [part for line in entry.lines if line for part in wrapped(line, self._room)]
        if not details:
            return [self._pen(Ansi.DIM, entry.place)] if entry.place else []
        first, *rest = details
        body = [self._pen(loud, first), *rest]
        if not entry.place:
            return body
        place = self._pen(Ansi.DIM, entry.place)
        if self._fits(first, entry.place):
            body[0] += " " * max(0, self._first - columns(first)) + "  " + place
            return body
        return [*body, place]

    def _fits(self, first: str, place: str) -> bool:
        if self._room is None:
            return columns(first) <= _WIDEST_DETAIL
        return max(columns(first), self._first) + len("  ") + columns(place) <= self._room


def wrapped(line: str, width: int | None) -> list[str]:
    """Break a line between words where it is wider than `width` columns; None never breaks it."""
    if width is None or columns(line) <= width:
        return [line]
    # Breaking inside a word could put `::` at the start of a line, where a build log would obey it.
    return wrap(line, max(width, _NARROWEST), break_long_words=False, break_on_hyphens=False)


# Tables, the same for every command: aligned on a terminal, with bars where there is room, and in Markdown.
#
# Build `Column`s and `Row`s once and hand them to `text_table` or to `markdown_table`. All text of a row is escaped
# already: with `escape.terminal_name` for the one, with `escape.markdown_name` for the other. The first column is the
# name of the row; nothing is ever cut off, a name that is too long has its own line.

_WIDEST_FIRST_COLUMN: Final = 48
_GAP: Final = "  "
_SHORTEST_BAR: Final = 6
_LONGEST_BAR: Final = 30
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its title; numbers stand at its right.

    Optional ones are left out where a terminal is narrow: those of the highest number first, and 0 never.
    """

    title: str
    right: bool = False
    optional: int = 0


@dataclass(frozen=True, slots=True)
class Styled:
    """The text of a cell in an ink of its own."""

    text: str
    ansi: Ansi


@dataclass(frozen=True, slots=True)
class Row:
    """A cell for each column; `bar` is how much of a full bar the row gets, 0 to 1, None for a row without."""

    cells: tuple[str | Styled, ...]
    ansi: Ansi = Ansi.PLAIN
    bar: Decimal | None = None


def text_table(heads: Sequence[Column], rows: Sequence[Row], pen: Pen, width: int | None) -> list[str]:
    """Lay out a table in lines for a terminal of that width; None is a pipe or a file, which gets no bars.

    A name that is much longer than the others stands above its numbers, and where even the columns that are not
    optional do not fit, each name does.
    """
    layout = _layout(heads, rows, width)
    room = 0 if width is None else min(width - layout.taken - len(_GAP), _LONGEST_BAR)
    lines: list[str] = []
    titles = Row(tuple(head.title for head in heads), Ansi.BOLD)
    for row in (titles, *rows):
        cells = tuple(_Cell(row.cells[at], layout.widths[at], right=heads[at].right) for at in layout.kept)
        lines += _lines(row, cells, pen, room if room >= _SHORTEST_BAR else 0)
    return lines


def left_out(heads: Sequence[Column], rows: Sequence[Row], width: int | None) -> tuple[str, ...]:
    """Return the titles of the columns that a table for a terminal of that width leaves out."""
    kept = _layout(heads, rows, width).kept
    return tuple(head.title for at, head in enumerate(heads) if at not in kept)


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

    content: str | Styled
    width: int
    right: bool


def _width(head: Column, cells: Sequence[str | Styled]) -> int:
    return max([columns(head.title), *(columns(_text(cell)) for cell in cells)])


class _Layout(NamedTuple):
    """The columns that are `kept`, by their place among all, and how many columns of the screen each of all takes."""

    widths: Sequence[int]
    kept: Sequence[int]

    @property
    def taken(self) -> int:
        return sum(self.widths[at] for at in self.kept) + len(_GAP) * (len(self.kept) - 1)


def _layout(heads: Sequence[Column], rows: Sequence[Row], width: int | None) -> _Layout:
    widest, *others = [_width(head, [row.cells[at] for row in rows]) for at, head in enumerate(heads)]
    title = columns(heads[0].title)
    widest = min(widest, max(_WIDEST_FIRST_COLUMN, title))
    layout = _Layout((widest, *others), range(len(heads)))
    if width is None or layout.taken <= width:
        return layout
    names = sorted(columns(_text(row.cells[0])) for row in rows)
    usual = min(widest, max(title, names[(len(names) - 1) * 9 // 10]))
    layout = _Layout((usual, *others), layout.kept)
    for rank in sorted({head.optional for head in heads if head.optional}, reverse=True):
        if layout.taken > width:
            layout = layout._replace(kept=[at for at in layout.kept if heads[at].optional != rank])
    spare = width - layout.taken
    return layout._replace(widths=(min(widest, usual + spare) if spare >= 0 else 0, *others))


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
        line += _GAP + pen(Ansi.CYAN, bar(row.bar, room))
    if line.strip():
        yield line.rstrip()


def _text(cell: str | Styled) -> str:
    return cell if isinstance(cell, str) else cell.text


def _inked(pen: Pen, row: Row, cell: str | Styled) -> str:
    return pen(row.ansi, cell) if isinstance(cell, str) else pen(cell.ansi, cell.text)


# Amounts as people compare them: in cents, or with as many decimals as their column has.

_CENT: Final = Decimal("0.01")
_CENTS: Final = 2
_MILLIONTHS: Final = 6
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error


def cost(amount: Decimal, decimals: int) -> str:
    """Write USD with that many decimals, to be read one below the other."""
    rounded = amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN, _ROOMY)
    whole, _, fraction = f"{abs(rounded):f}".partition(".")
    return f"{'-' if rounded < 0 else ''}${int(whole):,}.{fraction}"


def cents(amount: Decimal) -> str:
    """Write USD rounded to cents, `$1,500.00`; what is below a cent with six decimals."""
    return cost(amount, _MILLIONTHS if 0 < abs(amount) < _CENT else _CENTS)
