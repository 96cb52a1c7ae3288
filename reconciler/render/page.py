"""What a page of figures shows, as values: the words are chosen elsewhere, how it looks is up to the format.

Every text in here may hold a name from outside; whoever writes the page escapes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


class Tone(StrEnum):
    """How something stands, in words and in colour."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure that matters, and what to know about it."""

    label: str
    value: str
    notes: tuple[str, ...] = ()
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Name:
    """A name from the account or the file, set apart from what stands around it; `about` says more of it."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """A sentence, and below it what to do or to know."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that says how something stands."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, from 0 to 1 (what is beyond is shown as full), and the same in words."""

    part: Decimal
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount, a count or an instant, which stands to the right."""

    text: str


Cell = str | Name | Detail | Mark | Share | Figure


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; the cell in column `head` is what a row is about. `more` says what is left out.

    A `wide` one stays a table on a narrow screen; any other becomes a list there.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    head: int = 0
    wide: bool = False
    more: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one kind, one for each column of its chart; USD."""

    name: str
    values: tuple[Decimal, ...]
    total: Decimal


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures stacked by column; the table has the same ones for those who cannot see it."""

    title: str
    summary: str
    columns: tuple[str, ...]
    series: tuple[Series, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, with a chart or tables or neither; what stands in `notes` is about the figures."""

    ident: str
    heading: str
    intro: str = ""
    chart: Chart | None = None
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What is said of one account; `name` is empty where there is only one."""

    ident: str
    name: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page; `facts` say what it is about and of when it is, `footnotes` how its figures came about."""

    title: str
    facts: tuple[str, ...]
    parts: tuple[Part, ...]
    footnotes: tuple[str, ...] = ()
