"""Builds the data of a file from YAML events: each value with its place, and what messages call it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias, cast

from yaml import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconciler.diagnostic import Diagnostic, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


# What a file holds, as plain data that remembers where it stands.
#
# `Fields` is a dict and `Items` a list, so that every library takes them for what they are; what is known about their
# places hangs beside. A value that could not be read, or that is wrong in itself, is left out of its mapping and its
# name is kept in `broken`: "not there" and "there, but no use" are two things, and only the first is worth another
# message.

MOST_DIAGNOSTICS: Final = 200
"""How many errors are shown; of those beyond, how many there are."""


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
        self._break(name)

    def take(self, other: Fields, name: str) -> None:
        """Copy an entry with its places from another mapping."""
        if name in other:
            self[name] = other[name]
        else:
            self._break(name)
        self.key_marks[name] = other.key_marks[name]
        self.value_marks[name] = other.value_marks[name]

    def _break(self, name: str) -> None:
        if isinstance(self.broken, frozenset):
            self.broken = set()
        self.broken.add(name)


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


class Report:
    """Collects what is wrong; the same words about the same place count once.

    `values` counts what the files of a declaration hold, so that all of them together have a limit. `more` counts the
    errors beyond the MOST_DIAGNOSTICS that are kept.
    """

    def __init__(self) -> None:
        """Start with nothing to say."""
        self.values = 0
        self.more = 0
        self._found: dict[Diagnostic, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether further errors are only counted, so that finding words for them is wasted time."""
        return len(self._found) >= MOST_DIAGNOSTICS

    def error(self, mark: Mark, message: str) -> None:
        """Note an error."""
        self.error_at(location(mark), message)

    def error_at(self, place: Location, message: str) -> None:
        """Note an error at a place that is no mark any more."""
        found = Diagnostic(place, message)
        if found not in self._found and self.is_full:
            self.more += 1
        else:
            self._found[found] = None

    def __bool__(self) -> bool:
        """Return whether anything was found."""
        return bool(self._found)

    def in_reading_order(self) -> list[Diagnostic]:
        """Return what was found first, by file, line and column; how much more there is comes last."""
        found = sorted(self._found, key=lambda found: (found.location, found.message))
        if self.more:
            words = (
                f"these are the first {len(found)} errors, and {self.more} more were found; correct them to see those"
            )
            found.append(Diagnostic(found[-1].location, words, Severity.NOTE))
        return found


def location(mark: Mark) -> Location:
    """Return a place as people count: from 1."""
    return Location(mark.name, mark.line + 1, mark.column + 1)


# Plain scalars: text without quotes, which YAML lets stand for more than text.
#
# Programs disagree about `no`, `012` and `1:30`, so nothing here guesses: such a spelling is refused with the way
# out.

_LONGEST_NUMBER: Final = 40

_QUOTE: Final = "or quote it if it is text"
_PLAIN_DIGITS: Final = f"write the number in plain digits, {_QUOTE}"
_BOOLEAN: Final = f"write true or false, {_QUOTE}"
_EMPTY: Final = "has no value; write one behind the colon, or what belongs to it below it and further indented"
_EMPTY_KEYS: Final = (
    "has no value; write keys below it, further indented, or {} for none, which deletes those that are live"
)
_AFTER_A_COMMA: Final = "is what follows a comma, which ends a number; write numbers without commas"

_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("null", "Null", "NULL", "~"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_REFUSED: Final = {
    "".join(letters): _BOOLEAN
    for word in ("yes", "no", "on", "off", "y", "n")
    for letters in product(*((c.lower(), c.upper()) for c in word))
} | {"": _EMPTY}
WORDS: Final = _CONSTANTS.keys() | _REFUSED.keys()
NUMERIC: Final = frozenset("0123456789+-.")

_NUMBER: Final = re.compile(
    r"""
      (?P<whole> [-+]? (?: 0 | [1-9][0-9]* ) )
    | (?P<decimal> [-+]? (?: (?: 0 | [1-9][0-9]* ) \.[0-9]* | \.[0-9]+ ) )
    | (?P<infinite> [-+]? \. (?: nan | inf ) )
    | (?P<zeros> [-+]? 0 [0-9_]+ (?: \.[0-9_]* )? )
    | (?P<base> [-+]? 0 (?: x [0-9a-f_]+ | o [0-7_]+ | b [01_]+ ) )
    | (?P<underscores> [-+]? [0-9][0-9_]* (?: \.[0-9_]* )? )
    | (?P<sixty> [-+]? [0-9][0-9_]* (?: :[0-5]?[0-9] )+ (?: \.[0-9_]* )? )
    | (?P<exponent> [-+]? (?: [0-9][0-9_]* (?: \.[0-9_]* )? | \.[0-9]+ ) e [-+]? [0-9]+ )
    """,
    re.ASCII | re.VERBOSE | re.IGNORECASE,
)
_WHY_NOT: Final = {
    "infinite": f"is not a number that can be reckoned with; {_PLAIN_DIGITS}",
    "zeros": f"has a leading zero, which makes it octal for some programs; {_PLAIN_DIGITS}",
    "base": f"is a number in another base; {_PLAIN_DIGITS}",
    "underscores": f"is a number for some programs and text for others; {_PLAIN_DIGITS}",
    "sixty": f"is a number to base 60 for some programs; {_PLAIN_DIGITS}",
    "exponent": f"is written with an exponent; {_PLAIN_DIGITS}",
}


def word(text: str) -> bool | None:
    """Read one of WORDS; raises ValueError, in words that follow the field's name, for one that is no value."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    raise ValueError(_EMPTY if not text else f"must not be written as '{text}': {_REFUSED[text]}")


def number(text: str) -> int | Decimal | str:
    """Read text that starts like a number and may be none; raises ValueError as `word` does."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if len(text) > _LONGEST_NUMBER:
        msg = f"is a number of {len(text)} digits, where {_LONGEST_NUMBER} are the most; quote it if it is text"
        raise ValueError(msg)
    kind = str(match.lastgroup)
    if kind == "whole":
        return int(text)
    if kind == "decimal":
        value = Decimal(text)
        whole = int(value)
        return whole if whole == value else value  # 5.0 is a whole number, for every validator
    msg = f"must not be written as '{text}': it {_WHY_NOT[kind]}"
    raise ValueError(msg)


# How things of the file are spoken of in messages: always one line, always readable.

_LONGEST: Final = 60
_LONGEST_NAME: Final = 32
_MOST_KNOWN: Final = 200
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._-]+", re.ASCII)


def shown(text: str) -> str:
    """Make a text safe to print: control and other invisible characters escaped, a long one trimmed."""
    trimmed = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if trimmed.isprintable():
        return trimmed
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in trimmed)


def named(name: str, otherwise: str) -> str:
    """Show what the file calls something, unless it is longer than any name that somebody would think of.

    A file that is no declaration may hold a token in the place of a name.
    """
    return shown(name) if len(name) <= _LONGEST_NAME else otherwise


def described(value: object) -> str:
    """Return what stands in the file: `the text '5O0'`, `the number 3`, `a list`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return f"the number {value:f}" if isinstance(value, Decimal) else f"the number {value}"
    if isinstance(value, str):
        return f"the text '{shown(value)}'" if value else "an empty text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a misspelt one most likely means; None also where there are too many to compare."""
    import difflib

    names = list(islice(known, _MOST_KNOWN + 1))
    if len(names) > _MOST_KNOWN:
        return None
    return next(iter(difflib.get_close_matches(word[:_LONGEST].lower(), sorted(names), n=1)), None)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'credit_limit'?` when one of the known words is close, and nothing otherwise."""
    meant = closest(word, known)
    return "" if meant is None else f"; did you mean '{shown(meant)}'?"


def spelling(name: str) -> str:
    """Return `; 'nightly-batch' would do` for a name that can be spelt as names must be, and nothing otherwise."""
    proposal = _NOT_IN_NAMES.sub("-", name.lower()).strip("-._")[:63]
    return f"; '{proposal}' would do" if proposal else ""


def label(path: Sequence[str | int]) -> str:
    """Name what stands at a path of the file: an entry of a group by kind and name, anything else by its field."""
    match path:
        case ():
            return "the file"
        case ("environments", str(name)):
            return f"environment '{shown(name)}'"
        case ("environments", str(environment), "keys", str(name)):
            return f"key '{shown(environment)}/{shown(name)}'"
        case ("environments", str(environment), "leases", str(name)):
            return f"lease '{shown(environment)}/{shown(name)}'"
        case ("destinations", str(name)):
            return f"destination '{shown(name)}'"
        case _:
            return shown([step for step in path if isinstance(step, str)][-1])


# YAML events, built into data.

DEEPEST: Final = 32
MOST_VALUES: Final = 500_000
"""How many values a declaration may hold, all its files together and what aliases and merges repeat included."""

MOST_ITEMS: Final = 1_000
"""How many items a list may have."""

_MERGE: Final = "<<"
_THIS: Final = "this field"
_LONG: Final = "(a long name)"

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


def _without_value(name: str) -> str:
    """Return what to write for a name that has no value."""
    if name.isdigit():
        return _AFTER_A_COMMA
    return _EMPTY_KEYS if name == "keys" else _EMPTY


class Builder:
    """Builds the one document of a file, from events to `Fields`, `Items`, text, numbers, true, false and None."""

    def __init__(self, report: Report, start: Mark, next_event: Callable[[], Event]) -> None:
        """Take where to report, the place to blame for an empty file, and the parser's events."""
        self.here = start
        self._report = report
        self._next = next_event
        self._anchors: dict[str, _Anchored | None] = {}  # None: still being built
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
        if type(event) is not MappingStartEvent or event.tag is not None:
            # Whatever it is, it is the whole file: perhaps a token that a link leads to, and not to be repeated.
            self._stop(mark, "the file must hold fields such as version and environments, and it does not start so")
        value = self._value(event, "the file", 0)
        self._next()
        following = self._next()
        if type(following) is not StreamEndEvent:
            self._report.error(following.start_mark, "a second document starts here, and a file holds only one")
        return cast("Fields", value)

    def _value(self, event: Event, label: str, depth: int) -> Value | _Broken:
        mark: Mark = event.start_mark
        self._count(1, mark)
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
                words = error if text else _without_value(label)
                self._report.error(mark, f"{named(label, _THIS)} {words}")
                value = _BROKEN
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value)
        return value

    def _count(self, values: int, mark: Mark) -> None:
        self._report.values += values
        if self._report.values > MOST_VALUES:
            self._stop(mark, f"more than {MOST_VALUES} values stand up to here, what aliases repeat included")

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
        outer_deepest, values_before = self._deepest, self._report.values - 1
        self._anchors[anchor] = None
        self._deepest = depth
        value = self._container(event, label, depth)
        self._anchors[anchor] = _Anchored(value, self._report.values - values_before, self._deepest - depth)
        self._deepest = max(self._deepest, outer_deepest)
        return value

    def _container(self, event: Event, label: str, depth: int) -> Value | _Broken:
        node = self._fields(event, depth) if type(event) is MappingStartEvent else self._items(event, label, depth)
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
                first = key_marks[name].line + 1
                words = f"{named(name, _THIS)} stands twice in this mapping, first at line {first}; keep one"
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
                if len(node) > MOST_ITEMS:
                    self._stop(event.start_mark, f"{named(label, _THIS)} has more than {MOST_ITEMS} items")
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
            self._count(len(other.key_marks), mark)
            for name in other.key_marks:
                if name not in node.key_marks:
                    node.take(other, name)

    def _repeat(self, event: Event, depth: int) -> Value | _Broken:
        name = str(event.anchor)
        if name not in self._anchors:
            hint = "" if self._report.is_full else suggestion(name, self._anchors)
            words = f"*{named(name, _LONG)} names no anchor that stands before it{hint}"
            self._report.error(event.start_mark, words)
            return _BROKEN
        anchored = self._anchors[name]
        if anchored is None:
            self._report.error(
                event.start_mark, f"*{named(name, _LONG)} stands inside of what it names, which has no end"
            )
            return _BROKEN
        self._count(anchored.size - 1, event.start_mark)
        if depth + anchored.height >= DEEPEST:
            self._stop(event.start_mark, f"lists and mappings are nested more than {DEEPEST} deep here")
        self._deepest = max(self._deepest, depth + anchored.height)
        return anchored.value

    def _refuse_tag(self, event: Event) -> _Broken:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        self._report.error(event.start_mark, f"the tag {named(tag, _LONG)} can't be used here; remove it")
        return _BROKEN

    def _stop(self, mark: Mark, message: str) -> NoReturn:
        self._report.error(mark, message)
        raise Unreadable
