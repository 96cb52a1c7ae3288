"""The text of a file as a tree that keeps what the data leaves out: comments, blank lines, anchors, spellings.

`declaration.loader` reads what a file means; this reads how it is written, so that it can be written anew.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml
from yaml import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent
from yaml.events import CollectionEndEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
        """Return the value of a field; None where the mapping does not say it itself."""
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


# The comments and blank lines of a file, which the YAML parser passes over.

Span = tuple[int, int]
"""Where a scalar stands in the text: its first character, and the one behind it."""

_COMMENT: Final = re.compile(r"(?:^|(?<=[ \t]))#.*")
_INK: Final = re.compile(r"[^\n]")


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment or, where `text` is empty, a blank line; `alone` when nothing stands before it on its line."""

    text: str
    index: int
    line: int
    column: int
    alone: bool


class Remarks:
    """Gives the remarks of a text in their order, each once."""

    def __init__(self, text: str, scalars: Iterable[Span]) -> None:
        """Find all remarks outside of the scalars, which stand in the order of the text."""
        self._left = deque(_find(text, scalars))

    def before(self, index: int) -> tuple[str, ...]:
        """Take all that stand before a place."""
        taken = []
        while self._left and self._left[0].index < index:
            taken.append(self._left.popleft().text)
        return tuple(taken)

    def beside(self, line: int, index: int) -> Remark | None:
        """Take the comment on a line behind something, if it stands before a place."""
        if self._left and (first := self._left[0]).line == line and not first.alone and first.index < index:
            return self._left.popleft()
        return None

    def indented(self, column: int, index: int) -> tuple[str, ...]:
        """Take the comments before a place that are indented at least so far, with the blank lines between them."""
        count = 0
        for number, remark in enumerate(self._left, start=1):
            if remark.index >= index or (remark.text and not (remark.alone and remark.column >= column)):
                break
            if remark.text:
                count = number
        return tuple(self._left.popleft().text for _ in range(count))

    def rest(self) -> tuple[str, ...]:
        """Take all that are left."""
        return self.before(self._left[-1].index + 1) if self._left else ()


def _find(text: str, scalars: Iterable[Span]) -> Iterator[Remark]:
    """Look for comments where the scalars have been blotted out."""
    blotted: list[str] = []
    covered: set[int] = set()
    end = line = 0
    for first, last in scalars:
        blotted += (text[end:first], _INK.sub("x", text[first:last]))
        line += blotted[-2].count("\n")
        breaks = blotted[-1].count("\n")
        covered.update(range(line + 1, line + breaks + 1))
        line += breaks
        end = last
    index = 0
    for number, content in enumerate("".join((*blotted, text[end:])).split("\n")):
        match = _COMMENT.search(content)
        if match:
            start = index + match.start()
            alone = not content[: match.start()].strip()
            yield Remark(text[start : index + match.end()].rstrip(), start, number, match.start(), alone)
        elif not content.strip() and number not in covered:
            yield Remark("", index, number, 0, alone=True)
        index += len(content) + 1


# From the text of a valid file to its tree.

Event: TypeAlias = Any  # the stubs of PyYAML know neither an event's mark nor its anchor

_BLOCK: Final = frozenset("|>")
_HEADER: Final = re.compile(r"[|>][-+0-9]*")


def parse(text: str) -> Document:
    r"""Read a file whose lines end with `\n` and that is known to be valid."""
    return _Reader(text, _events(text)).document()


def comments(text: str) -> list[str]:
    r"""Return the comments of a valid file whose lines end with `\n`, in the order of the alphabet."""
    return sorted(filter(None, Remarks(text, _spans(text, _events(text))).rest()))


def _events(text: str) -> list[Event]:
    return list(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


class _Reader:
    """Walks through the events, and takes up what remarks stand around them."""

    def __init__(self, text: str, events: list[Event]) -> None:
        self._text = text
        self._events = events
        self._at = 0
        self._line = -1
        self._remarks = Remarks(text, _spans(text, events))

    def document(self) -> Document:
        self._at = 2  # behind the starts of the stream and of the document
        header = self._remarks.before(self._events[3].start_mark.index)
        root = self._collection(in_list=False)
        tail = (*root.tail, *self._remarks.rest())
        return Document(header, replace(root, tail=tail))

    @property
    def _next(self) -> Event:
        return self._events[self._at]

    def _value(self, column: int) -> Value:
        event = self._next
        if _opens(event):
            return self._collection(in_list=False, parent=column)
        self._at += 1
        if not _is(event, AliasEvent):
            return self._scalar(event)
        self._line = event.end_mark.line
        return Alias(str(event.anchor))

    def _scalar(self, event: Event) -> Scalar:
        # What is beside a text of several lines stands beside the sign that opens it.
        self._line = event.start_mark.line if event.style in _BLOCK else event.end_mark.line
        source = self._text[event.start_mark.index : event.end_mark.index]
        return Scalar(event.value, source, event.style or "", event.anchor)

    def _collection(self, *, in_list: bool, parent: int = -1) -> Collection:
        start = self._next
        self._at += 1
        is_mapping = _is(start, MappingStartEvent)
        entries: list[Entry] = []
        column = self._next.start_mark.column if is_mapping else start.start_mark.column
        while not _is(self._next, CollectionEndEvent):
            entries.append(self._field(column) if is_mapping else self._item(column))
        end = self._next
        self._at += 1
        if start.flow_style:
            tail = self._remarks.before(end.start_mark.index)
            self._line = end.end_mark.line
        else:
            # A list may stand as far left as what it belongs to; what is at that place then belongs to neither surely.
            deeper = column + (not is_mapping and not in_list and column == parent)
            tail = self._remarks.indented(deeper, end.start_mark.index)
            self._line = -1
        inline = bool(start.flow_style) and start.start_mark.line == end.end_mark.line
        return Collection(is_mapping, tuple(entries), inline, start.anchor, tail)

    def _field(self, column: int) -> Entry:
        above = self._remarks.before(self._next.start_mark.index)
        event = self._next
        self._at += 1
        name = self._scalar(event)
        opened = self._remarks.beside(self._line, self._content().start_mark.index)
        if not _opens(self._next) or self._next.flow_style:
            above = (*above, *filter(None, self._remarks.before(self._next.start_mark.index)))
        value = self._value(column)
        return self._entry(name, value, above, opened)

    def _item(self, column: int) -> Entry:
        above = self._remarks.before(self._next.start_mark.index)
        if _opens(self._next):
            value: Value = self._collection(in_list=True, parent=column)
        else:
            value = self._value(column)
        return self._entry(None, value, above, None)

    def _entry(self, name: Scalar | None, value: Value, above: tuple[str, ...], opened: Remark | None) -> Entry:
        if isinstance(value, Collection) and value.tail and not value.entries:
            above, value = (*above, *value.tail), replace(value, tail=())  # empty braces have no room for comments
        closed = self._remarks.beside(self._line, self._next.start_mark.index)
        found = [remark for remark in (opened, closed) if remark is not None]
        above = (*above, *(remark.text for remark in found[:-1]))
        return Entry(name, value, above, Comment(found[-1].text, found[-1].column) if found else None)

    def _content(self) -> Event:
        """Return the event where the value of a field starts, or the first thing in it."""
        return self._events[self._at + _opens(self._next)]


def _is(event: Event, kind: type) -> bool:
    return isinstance(event, kind)


def _opens(event: Event) -> bool:
    return isinstance(event, MappingStartEvent | SequenceStartEvent)


def _spans(text: str, events: list[Event]) -> Iterator[Span]:
    """Yield where the scalars stand; of a block, without its header, which a comment may follow, and blank lines."""
    for event in events:
        if _is(event, ScalarEvent):
            first, last = event.start_mark.index, event.end_mark.index
            if event.style in _BLOCK:
                header = _HEADER.search(text, first)
                assert header is not None  # noqa: S101  # what opens a block is there
                below = text[header.end() : last].partition("\n")
                first = header.end() + len(below[0])
                last = first + len(f"\n{below[2].rstrip()}" if below[1] else "")
            yield first, last
