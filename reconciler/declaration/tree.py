"""The text of a file as a tree that keeps what the data leaves out: comments, blank lines, anchors, spellings.

`declaration.source` reads what a file means; this reads how it is written, so that it can be written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number or word: what it stands for, what spells it, and its style (`'`, `"`, `|`, `>`, or empty)."""

    text: str
    source: str = ""
    style: str = ""
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """A `*name`, which stands for what the anchor of that name marks."""

    name: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment behind something on the same line, and the column (from 0) that its author put it in."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a mapping, or an item of a list, which has no name.

    `above` are the lines over it that hold a comment or nothing; `beside` is the comment on its own line.
    """

    name: Scalar | None
    value: Value
    above: tuple[str, ...] = ()
    beside: Comment | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """A mapping or a list: `inline` in braces or brackets on one line, `tail` is as `above` at its end."""

    is_mapping: bool
    entries: tuple[Entry, ...] = ()
    inline: bool = False
    anchor: str | None = None
    tail: tuple[str, ...] = ()

    def find(self, name: str) -> Value | None:
        """Give the value of a field; None where the mapping does not say it itself."""
        return next((entry.value for entry in self.entries if entry.name and entry.name.text == name), None)


@dataclass(frozen=True, slots=True)
class Document:
    """A file: the lines above its first field, then its fields."""

    header: tuple[str, ...]
    root: Collection


Value: TypeAlias = Scalar | Alias | Collection

MERGE = "<<"


def field(name: str, value: Value, *, above: tuple[str, ...] = (), beside: str | None = None) -> Entry:
    """Make a field that nobody has written yet."""
    return Entry(Scalar(name), value, above, None if beside is None else Comment(beside, 0))
