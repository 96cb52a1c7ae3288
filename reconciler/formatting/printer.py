"""Prints the tree of a file, each tree in one way only."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, assert_never

from reconciler.declaration.parser import NUMERIC, WORDS, number, word
from reconciler.formatting.tree import MERGE, Alias, Collection, Scalar
from reconciler.units import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.formatting.tree import Comment, Document, Entry, Value


# How names and values are spelled: plainly where every program reads the same, and quoted otherwise.

_PLAIN: Final = re.compile(r"""(?:[\w./(]|-(?=[\w-])(?!--))[^{}\[\],#"&*!?|>%@`\\]*""")
_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LOOSE_POINT: Final = re.compile(r"(-?)(\d*)\.(\d*)", re.ASCII)


def spelled_name(name: str) -> str:
    """Spell the name of a field, an environment or a key."""
    return name if name == MERGE else _text(name)


def spelled(text: str, style: str) -> str:
    """Spell a value of one line; without quotes around it, it may stand for more than text."""
    if style:
        return _text(text)
    if text in WORDS:
        return _CONSTANTS[word(text)]
    if text[0] in NUMERIC and not isinstance(number(text), str):
        return _number(text)
    return _text(text)


def quoted(text: str) -> str:
    """Put text in quotes, whatever it holds visible."""
    if ('"' in text or "\\" in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    return '"' + "".join(map(_in_quotes, text)) + '"'


def _text(text: str) -> str:
    return text if _is_plain(text) else quoted(text)


@lru_cache(maxsize=4096)  # the fields of a file are few
def _is_plain(text: str) -> bool:
    if not _PLAIN.fullmatch(text) or ": " in text or text[-1] in ": " or not text.isprintable() or text in WORDS:
        return False
    return _is_instant(text) or (not _is_number(text) and _is_text_in_yaml_1_1(text))


def _is_number(text: str) -> bool:
    """Return whether a text is a number for us, or so much like one that we refuse it."""
    try:
        return text[0] in NUMERIC and not isinstance(number(text), str)
    except ValueError:
        return True


def _is_text_in_yaml_1_1(text: str) -> bool:
    from yaml import ScalarNode
    from yaml.resolver import Resolver

    resolver: Any = Resolver()  # which the stubs know no types of
    return str(resolver.resolve(ScalarNode, text, (True, False))).endswith(":str")


def _is_instant(text: str) -> bool:
    try:
        parse_instant(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> str:
    """Write a number as it was written, without a plus or a loose point: money keeps its zeros."""
    digits = text.removeprefix("+")
    loose = _LOOSE_POINT.fullmatch(digits)
    if loose is None:
        return digits
    sign, whole, fraction = loose.groups()
    return f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else "")


def _in_quotes(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else _escaped(character)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code <= 0xFF:  # noqa: PLR2004  # as much as two digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # four digits


# From the tree of a file to its text, each tree in one way only.

WIDTH: Final = 120
"""How long a line with braces may get before each of its fields gets a line of its own."""

_STEP: Final = "  "
_GAP: Final = 2
_APART: Final = "environments:"
"""The group whose entries are kept apart by blank lines, as those of the file itself are."""

_BLOCK: Final = re.compile(r"[|>]-?(?![-+0-9])")


def printed(document: Document) -> str:
    """Write a file."""
    lines = [*_condensed(document.header), *_entries(document.root, "", apart=True)]
    return "\n".join(lines).strip("\n") + "\n"


def _entries(collection: Collection, indent: str, *, apart: bool = False) -> list[str]:
    """Write what a mapping or a list holds; where it is kept `apart`, with a line around all that takes several."""
    lines: list[str] = []
    was_long = False
    for entry in map(_hoisted, collection.entries):
        body = _entry(entry, indent)
        above = _condensed(entry.above)
        is_long = len(body) > 1
        if lines and apart and (is_long or was_long) and (not above or above[0]):
            above.insert(0, "")
        lines += [*(indent + line if line else "" for line in above), *body]
        was_long = is_long
    lines += [indent + line if line else "" for line in _condensed(collection.tail)]
    inked = [number for number, line in enumerate(lines) if line]
    return lines[inked[0] : inked[-1] + 1]


def _hoisted(entry: Entry) -> Entry:
    """Put what stands above the first field of a list's item above the item itself, where the dash leaves room."""
    value = entry.value
    if entry.name is not None or not isinstance(value, Collection) or not value.entries or not value.entries[0].above:
        return entry
    first, *others = value.entries
    value = replace(value, entries=(replace(first, above=()), *others))
    return replace(entry, value=value, above=(*entry.above, *first.above))


def _entry(entry: Entry, indent: str) -> list[str]:
    label = "-" if entry.name is None else f"{_anchor(entry.name.anchor)}{spelled_name(entry.name.text)}:"
    lines = _labelled(indent, label, entry.value)
    if entry.beside:
        lines[0] = _with_comment(lines[0], entry.beside)
    return lines


def _labelled(indent: str, label: str, value: Value) -> list[str]:
    inside = indent + _STEP
    match value:
        case Alias():
            return [f"{indent}{label} *{value.name}"]
        case Scalar():
            anchor = _anchor(value.anchor)
            if block := _block(value):
                header, *content = block
                return [f"{indent}{label} {anchor}{header}", *(inside + line if line else "" for line in content)]
            return [f"{indent}{label} {anchor}{spelled(value.text, value.style)}"]
        case Collection():
            if value.inline or not value.entries:
                line = f"{indent}{label} {_on_one_line(value)}"
                if len(line) <= WIDTH or not value.entries:
                    return [line]
            lines = _entries(value, inside, apart=f"{indent}{label}" == _APART)
            if label == "-" and value.is_mapping and value.anchor is None:
                return [f"{indent}- {lines[0].removeprefix(inside)}", *lines[1:]]
            return [f"{indent}{label} {_anchor(value.anchor)}".rstrip(), *lines]
        case _:
            assert_never(value)


def _on_one_line(value: Value) -> str:
    match value:
        case Alias():
            return f"*{value.name}"
        case Scalar():
            return _anchor(value.anchor) + spelled(value.text, value.style)
        case Collection():
            entries = [
                f"{_anchor(entry.name.anchor)}{spelled_name(entry.name.text)}: {_on_one_line(entry.value)}"
                if entry.name
                else _on_one_line(entry.value)
                for entry in value.entries
            ]
            opened, closed = "{}" if value.is_mapping else "[]"
            return f"{_anchor(value.anchor)}{opened}{', '.join(entries)}{closed}"
        case _:
            assert_never(value)


def _block(scalar: Scalar) -> list[str] | None:
    """Return the lines of a text written with `|` or `>`; None for one that is to be put in quotes instead."""
    header = _BLOCK.match(scalar.source)
    if header is None or not scalar.style or scalar.style not in "|>" or not scalar.text.strip():
        return None
    lines = scalar.source.split("\n")[1:]
    indent = next(len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" "))
    content = [line[indent:] for line in lines]
    while not content[-1]:
        content.pop()
    sign = scalar.style if scalar.text.endswith("\n") else f"{scalar.style}-"
    return [sign, *content]


def _with_comment(line: str, comment: Comment) -> str:
    """Put a comment behind a line, at its author's column where there is room."""
    return line.ljust(max(comment.column, len(line) + _GAP)) + comment.text


def _anchor(name: str | None) -> str:
    return "" if name is None else f"&{name} "


def _condensed(lines: Iterable[str]) -> list[str]:
    """Leave one of several blank lines."""
    condensed: list[str] = []
    for line in lines:
        if line or (condensed and condensed[-1]) or not condensed:
            condensed.append(line)
    return condensed
