"""The one form that a file has when nobody's editor or taste counts.

- Fields stand in the order of the schema. Environments, keys and destinations stay where their author put them.
- Two spaces indent, also the items of a list. What stands in braces on one line stays there while it fits.
- Blank lines keep apart what takes several lines at the top and among environments; elsewhere one of several is left.
- Text has no quotes where every program reads it alike without them, and double quotes otherwise.
- Comments stay with what they stand above or beside, and in the column that they were put in.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from reconciler.declaration.loader import SourceFile, collector_paused, read
from reconciler.declaration.parser import Report
from reconciler.declaration.schema import SCHEMA, check
from reconciler.errors import DeclarationError, UsageError
from reconciler.files import shipped_schema
from reconciler.formatting.printer import printed
from reconciler.formatting.tree import MERGE, Alias, Collection, Scalar, comments, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.formatting.tree import Document, Entry, Value

Schema = dict[str, Any]

MOST_LINES: Final = 250_000
"""How many lines a file may have whose comments are to be kept."""

_MARK: Final = b"\xef\xbb\xbf"
_ODD_BREAK: Final = re.compile("[\x85\u2028\u2029]")


def check_shape(sources: Iterable[SourceFile]) -> None:
    """See that each file is readable and holds known fields with values of their kind.

    What only the whole declaration can tell is left to `load_sources`, so that a file of a folder can stand alone here.

    Raises:
        DeclarationError: with everything that is wrong, in reading order.
    """
    report = Report()
    for source in sources:
        document = read(source, report)
        if document is not None:
            check(document, report)
    if report:
        raise DeclarationError(report.in_reading_order())


def formatted(source: SourceFile) -> bytes:
    """Write a valid file in its canonical form; the result means the same and has the same comments.

    Raises:
        UsageError: the file holds line breaks that only some programs take for such.
    """
    with collector_paused():
        return _formatted(source)


def _formatted(source: SourceFile) -> bytes:
    document = read_tree(source)
    # An alias must not get in front of what it repeats: where it would, the author's order stays.
    for ordered in (_ordered, _ordered_unless_anchored):
        result = printed(replace(document, root=ordered(document.root, _schema()))).encode()
        if _is_the_same(source, result):
            return result
    msg = f"{source.name} can't be written in another form without a change to what it says; it is left as it is"
    raise UsageError(msg)


def read_tree(source: SourceFile) -> Document:
    """Read a valid file as it is written; raises UsageError for line breaks that only some programs take for such."""
    return parse(_text(source))


def _text(source: SourceFile) -> str:
    if source.content.count(b"\n") + source.content.count(b"\r") > MOST_LINES:
        msg = (
            f"{source.name} has more than {MOST_LINES} lines, which is more than can be rewritten; split it into files"
        )
        raise UsageError(msg)
    text = source.content.removeprefix(_MARK).decode().replace("\r\n", "\n").replace("\r", "\n")
    if odd := _ODD_BREAK.search(text):
        msg = (
            f"{source.name} holds the line break U+{ord(odd[0]):04X}, which not every program takes for one; remove it"
        )
        raise UsageError(msg)
    return text


def _is_the_same(source: SourceFile, content: bytes) -> bool:
    """Return whether other content means what a file does, and has its comments."""
    other = replace(source, content=content)
    return _data(source) == _data(other) and comments(_text(source)) == comments(_text(other))


def _data(source: SourceFile) -> object:
    report = Report()
    data = read(source, report)
    return None if report else data


@cache
def _schema() -> Schema:
    schema: Schema = json.loads(shipped_schema(SCHEMA))
    return schema


def _ordered(value: Collection, schema: Schema) -> Collection:
    return _sorted(value, schema, lambda _: True)


def _ordered_unless_anchored(value: Collection, schema: Schema) -> Collection:
    return _sorted(value, schema, lambda collection: not any(map(_is_tied, collection.entries)))


def _is_tied(entry: Entry) -> bool:
    """Return whether an anchor or an alias is in an entry."""
    value = entry.value
    if isinstance(value, Alias) or value.anchor is not None or (entry.name and entry.name.anchor is not None):
        return True
    return isinstance(value, Collection) and any(map(_is_tied, value.entries))


def _sorted(value: Collection, schema: Schema, may_move: Callable[[Collection], bool]) -> Collection:
    """Put the fields of mappings into the order in which the schema has them; what it does not have stays behind."""
    schema = _meant(value, schema)
    order = {name: number for number, name in enumerate(schema.get("properties", ()))}
    order[MERGE] = -1
    entries = [replace(entry, value=_inner(entry, schema, may_move)) for entry in value.entries]
    if len(order) > 1 and may_move(value):
        entries.sort(key=lambda entry: order.get(entry.name.text, len(order)) if entry.name else 0)
    return replace(value, entries=tuple(entries))


def _inner(entry: Entry, schema: Schema, may_move: Callable[[Collection], bool]) -> Value:
    if not isinstance(entry.value, Collection):
        return entry.value
    if entry.name is None:
        inner = schema.get("items", schema)  # a list of merged mappings has the schema of what they are merged into
    elif entry.name.text == MERGE:
        inner = schema
    else:
        inner = schema.get("properties", {}).get(entry.name.text, schema.get("additionalProperties"))
    return _sorted(entry.value, inner if isinstance(inner, dict) else {}, may_move)


def _meant(value: Collection, schema: Schema) -> Schema:
    """Follow references, and choose the schema of a destination by its type."""
    definitions: Schema = _schema()["$defs"]
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    kind = value.find("type") if schema is definitions["destination"] else None
    settings: Schema = definitions.get(kind.text, schema) if isinstance(kind, Scalar) else schema
    return settings
