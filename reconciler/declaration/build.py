"""YAML events, built into data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from yaml import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconciler.declaration.nodes import Fields, Items
from reconciler.declaration.scalars import NUMERIC, WORDS, number, word
from reconciler.declaration.wording import described, shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.declaration.nodes import Mark, Report, Value

DEEPEST: Final = 32
MOST_REPEATED: Final = 1_000_000
"""How many values aliases may stand for, all in all: a bomb of ten lines stands for billions."""

_MERGE: Final = "<<"

Event: TypeAlias = Any  # the stubs of PyYAML know neither an event's mark nor its anchor and tag


class Unreadable(Exception):
    """The rest of the file can't be used; the report says why."""


class _Broken:
    """Stands for a value that is reported and left out."""


_BROKEN: Final = _Broken()


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an anchor names, how many values that is, and how many containers lie under it: -1 for a scalar."""

    value: Value | _Broken
    size: int = 1
    height: int = -1


class Builder:
    """Builds the one document of a file, from events to `Fields`, `Items`, text, numbers, true, false and None."""

    def __init__(self, report: Report, start: Mark, next_event: Callable[[], Event]) -> None:
        """Take where to report, the place to blame for an empty file, and the parser's events."""
        self.here = start
        self._report = report
        self._next = next_event
        self._anchors: dict[str, _Anchored | None] = {}  # None: still being built
        self._values = 0
        self._repeated = 0
        self._deepest = 0

    def document(self) -> Fields:
        """Build the document; raises Unreadable where it is not one mapping, and yaml.YAMLError where it is no YAML."""
        start = self.here
        self._next()
        if type(self._next()) is StreamEndEvent:
            self._stop(start, "the file is empty; it must hold at least version and environments")
        event = self._next()
        mark: Mark = event.start_mark
        if type(event) is ScalarEvent and not event.value and event.implicit[0]:
            self._stop(mark, "the file is empty; it must hold at least version and environments")
        value = self._value(event, "the file", 0)
        self._next()
        following = self._next()
        if type(following) is not StreamEndEvent:
            self._report.error(following.start_mark, "a second document starts here, and a file holds only one")
        if isinstance(value, Fields):
            return value
        if not isinstance(value, _Broken):
            words = f"the file must hold fields such as version and environments, not {described(value)}"
            self._report.error(mark, words)
        raise Unreadable

    def _value(self, event: Event, label: str, depth: int) -> Value | _Broken:
        mark: Mark = event.start_mark
        if type(event) is not ScalarEvent:
            return self._nested(event, label, depth)
        text = event.value
        value: Value | _Broken = text
        if event.tag is not None:
            value = self._refuse_tag(event)
        elif not event.implicit[0]:
            text.isascii() or text.encode()  # the pure parser lets half a surrogate pair through: ValueError
        elif text in WORDS or text[0] in NUMERIC:
            try:
                value = word(text) if text in WORDS else number(text)
            except ValueError as error:
                self._report.error(mark, f"{shown(label)} {error}")
                value = _BROKEN
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value)
        return value

    def _nested(self, event: Event, label: str, depth: int) -> Value | _Broken:
        """Build a list, a mapping or what an alias stands for, `depth` containers below the top."""
        if type(event) is AliasEvent:
            return self._repeat(event, depth)
        self.here = event.start_mark
        if depth >= DEEPEST:
            self._stop(event.start_mark, f"lists and mappings are nested more than {DEEPEST} deep here")
        self._deepest = max(self._deepest, depth)
        anchor = event.anchor
        if anchor is not None:
            return self._anchored(event, anchor, label, depth)
        return self._container(event, label, depth)

    def _anchored(self, event: Event, anchor: str, label: str, depth: int) -> Value | _Broken:
        outer_deepest, values_before = self._deepest, self._values
        self._anchors[anchor] = None
        self._deepest = depth
        value = self._container(event, label, depth)
        self._anchors[anchor] = _Anchored(value, self._values - values_before, self._deepest - depth)
        self._deepest = max(self._deepest, outer_deepest)
        return value

    def _container(self, event: Event, label: str, depth: int) -> Value | _Broken:
        node = self._fields(event, depth) if type(event) is MappingStartEvent else self._items(event, label, depth)
        self._values += len(node) + 1
        return node if event.tag is None else self._refuse_tag(event)

    def _fields(self, start: Event, depth: int) -> Fields:
        node = Fields(start.start_mark)
        key_marks, value_marks, next_event = node.key_marks, node.value_marks, self._next
        while type(event := next_event()) is not MappingEndEvent:
            mark = event.start_mark
            name: str | None
            if type(event) is ScalarEvent and event.tag is None and event.anchor is None and event.value.isascii():
                name = event.value
            else:
                name = self._odd_name(event, depth)
            if name is not None and name in key_marks:
                words = (
                    f"{shown(name)} stands twice in this mapping, first at line {key_marks[name].line + 1}; keep one"
                )
                self._report.error(mark, words)
                name = None
            event = next_event()
            value = self._value(event, "the value" if name is None else name, depth + 1)
            if name is None:
                continue
            key_marks[name] = mark
            value_marks[name] = event.start_mark
            if isinstance(value, _Broken):
                node.discard(name)
            else:
                node[name] = value
        if _MERGE in node:
            self._merge(node)
        return node

    def _items(self, start: Event, label: str, depth: int) -> Items:
        node = Items(start.start_mark)
        while type(event := self._next()) is not SequenceEndEvent:
            value = self._value(event, label, depth + 1)
            if not isinstance(value, _Broken):
                node.append(value)
                node.marks.append(event.start_mark)
        return node

    def _odd_name(self, event: Event, depth: int) -> str | None:
        """Read a name that is more than a word of ASCII; None for one that is reported and left out."""
        mark: Mark = event.start_mark
        if type(event) is ScalarEvent:
            name = event.value
            name.encode()  # as in _value
            if event.anchor is not None:
                self._anchors[event.anchor] = _Anchored(name)
            if event.tag is not None:
                self._refuse_tag(event)
            return name
        if type(event) is AliasEvent:
            self._report.error(mark, "a name can't be an alias; write it out")
            return None
        words = "a list" if type(event) is SequenceStartEvent else "a mapping"
        self._report.error(event.start_mark, f"a name must be text, not {words}; quote it if it starts with [ or {{")
        self._nested(event, "the name", depth + 1)
        return None

    def _merge(self, node: Fields) -> None:
        """Put in what `<<` names, behind what the mapping says itself and, in a list, behind what comes first."""
        mark = node.value_marks[_MERGE]
        merged = node.pop(_MERGE)
        del node.key_marks[_MERGE], node.value_marks[_MERGE]
        for other in merged if isinstance(merged, Items) else (merged,):
            if not isinstance(other, Fields):
                self._report.error(mark, f"<< must name a mapping or a list of mappings, not {described(other)}")
                continue
            for name in other.key_marks:
                if name not in node.key_marks:
                    node.take(other, name)

    def _repeat(self, event: Event, depth: int) -> Value | _Broken:
        name = str(event.anchor)
        if name not in self._anchors:
            words = f"*{shown(name)} names no anchor that stands before it{suggestion(name, self._anchors)}"
            self._report.error(event.start_mark, words)
            return _BROKEN
        anchored = self._anchors[name]
        if anchored is None:
            self._report.error(event.start_mark, f"*{shown(name)} stands inside of what it names, which has no end")
            return _BROKEN
        self._repeated += anchored.size
        if self._repeated > MOST_REPEATED:
            self._stop(event.start_mark, f"aliases stand for more than {MOST_REPEATED} values here")
        if depth + anchored.height >= DEEPEST:
            self._stop(event.start_mark, f"lists and mappings are nested more than {DEEPEST} deep here")
        self._values += anchored.size
        self._deepest = max(self._deepest, depth + anchored.height)
        return anchored.value

    def _refuse_tag(self, event: Event) -> _Broken:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        self._report.error(event.start_mark, f"the tag {shown(tag)} can't be used here; remove it")
        return _BROKEN

    def _stop(self, mark: Mark, message: str) -> NoReturn:
        self._report.error(mark, message)
        raise Unreadable
