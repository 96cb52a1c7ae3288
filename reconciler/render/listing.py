"""Lists for a terminal: aligned columns, wrapped where they have to be, nothing ever cut off."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from reconciler.render.ink import Ink, columns, pad

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.render.ink import Pen

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
    ink: Ink
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
        """Give the lines of one entry."""
        pen, loud = self._pen, entry.ink if entry.loud else Ink.PLAIN
        head = f"  {pen(entry.ink, f'{entry.mark} {pad(entry.word, self._word)}')}  {pen(loud, entry.name)}"
        body = self._body(entry, loud)
        if body and columns(entry.name) <= self._name:
            yield head + " " * (self._name - columns(entry.name)) + "  " + body.pop(0)
        else:
            yield head
        for line in body:
            yield " " * self._indent + line

    def _body(self, entry: Entry, loud: Ink) -> list[str]:
        details = [part for line in entry.lines if line for part in wrapped(line, self._room)]
        if not details:
            return [self._pen(Ink.DIM, entry.place)] if entry.place else []
        first, *rest = details
        body = [self._pen(loud, first), *rest]
        if not entry.place:
            return body
        place = self._pen(Ink.DIM, entry.place)
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
