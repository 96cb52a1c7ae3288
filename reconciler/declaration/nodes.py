"""What a file holds, as plain data that remembers where it stands.

`Fields` is a dict and `Items` a list, so that every library takes them for what they are; what is known about their
places hangs beside. A value that could not be read, or that is wrong in itself, is left out of its mapping and its name
is kept in `broken`: "not there" and "there, but no use" are two things, and only the first is worth another message.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from reconciler.diagnostic import Diagnostic, Location, Severity

MOST_DIAGNOSTICS: Final = 1_000


class Mark(Protocol):
    """A place as the YAML parser gives it; `line` and `column` count from 0."""

    @property
    def name(self) -> str:
        """The file, as messages show it."""
        ...

    @property
    def line(self) -> int:
        """The line, from 0."""
        ...

    @property
    def column(self) -> int:
        """The column, from 0, in characters."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A mark that no parser gave."""

    name: str
    line: int = 0
    column: int = 0


class Fields(dict[str, "Value"]):
    """A mapping of the file, with the place of every name and every value."""

    __slots__ = ("broken", "key_marks", "mark", "value_marks")

    def __init__(self, mark: Mark) -> None:
        """Start empty at a place."""
        self.mark = mark
        self.key_marks: dict[str, Mark] = {}
        self.value_marks: dict[str, Mark] = {}
        self.broken: set[str] | frozenset[str] = _NOTHING

    def discard(self, name: str) -> None:
        """Take a value that is no use out, and remember that it was there."""
        self.pop(name, None)
        self.broken = self.broken | {name}

    def take(self, other: Fields, name: str) -> None:
        """Copy an entry with its places from another mapping."""
        if name in other:
            self[name] = other[name]
        else:
            self.broken = self.broken | {name}
        self.key_marks[name] = other.key_marks[name]
        self.value_marks[name] = other.value_marks[name]


class Items(list["Value"]):
    """A list of the file, with the place of every item."""

    __slots__ = ("mark", "marks")

    def __init__(self, mark: Mark) -> None:
        """Start empty at a place."""
        self.mark = mark
        self.marks: list[Mark] = []


Scalar = str | int | Decimal | bool | None
Value = Scalar | Fields | Items

_NOTHING: Final[frozenset[str]] = frozenset()


class TooManyDiagnostics(Exception):
    """A file so wrong that listing more helps nobody."""


class Report:
    """Collects what is wrong; the same words about the same place count once."""

    def __init__(self) -> None:
        """Start with nothing to say."""
        self._found: dict[Diagnostic, None] = {}

    def error(self, mark: Mark, message: str) -> None:
        """Note an error; raises TooManyDiagnostics when nobody could read them all."""
        self.error_at(location(mark), message)

    def error_at(self, place: Location, message: str) -> None:
        """Note an error at a place that is no mark any more."""
        self._found[Diagnostic(place, message)] = None
        if len(self._found) == MOST_DIAGNOSTICS:
            words = f"these are {MOST_DIAGNOSTICS} errors; correct them to see the rest"
            self._found[Diagnostic(place, words, Severity.NOTE)] = None
            raise TooManyDiagnostics

    def __bool__(self) -> bool:
        """Tell whether anything was found."""
        return bool(self._found)

    def in_reading_order(self) -> list[Diagnostic]:
        """Give everything found, by file, line and column; that there is more comes last."""
        return sorted(self._found, key=lambda found: (found.severity is Severity.NOTE, found.location, found.message))


def location(mark: Mark) -> Location:
    """Give a place as people count: from 1."""
    return Location(mark.name, mark.line + 1, mark.column + 1)
