"""The shape of the file: which fields there are, and what kind of value each takes.

A compiled validator says yes or no to a whole file in milliseconds. Only a file that it refuses is looked at again,
with jsonschema, whose error tree knows enough to explain; and only the part of it that was refused, because that takes
a hundred times as long. What is wrong is then taken out of the data, so that later checks see sound values only.
"""

from __future__ import annotations

import functools
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import jsonschema_rs

from reconciler.declaration.parser import (
    MOST_DIAGNOSTICS,
    Fields,
    Items,
    closest,
    described,
    label,
    named,
    shown,
    spelling,
    suggestion,
)
from reconciler.files import shipped_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from reconciler.declaration.parser import Mark, Report, Value

SCHEMA: Final = "keys.schema.json"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_GROUPS: Final = {"environments": "environment", "keys": "key", "leases": "lease", "destinations": "destination"}
_BOUNDS: Final = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMaximum": "must be under {}",
    "maxLength": "must have at most {} characters",
    "uniqueItems": "must not hold the same thing twice",
}

_DURATION: Final = "^(0|[1-9][0-9]{0,8})[smhdw]$"
_PERIOD: Final = re.compile(r"(\d{1,6}) ?(M|[a-z]+)", re.ASCII | re.IGNORECASE)
_AMOUNT: Final = re.compile(r"[$€]? ?(\d[\d,_ ]{0,15}(?:\.\d{1,6})?) ?(?:\$|USD|usd|dollars?)?", re.ASCII)
_APART: Final = str.maketrans("", "", ",_ ")
_EMPTY: Final[dict[str, Any]] = {"version": 1, "environments": {}}

_Path = tuple[str | int, ...]


def check(document: Fields, report: Report) -> None:
    """Report what is wrong with the shape of a file, and take it out of the document."""
    gate = jsonschema_rs.validator_for(shipped_schema(SCHEMA).decode())
    if gate.is_valid(document):
        return
    unsound: list[_Path] = []
    for part in _refused(document, gate.is_valid):
        if report.is_full:
            report.more += 1
            continue
        for error in sorted(_explainer().iter_errors(part), key=_steps):  # jsonschema's order varies
            unsound += _explain(error, document, report)
    for path in unsound:
        _discard(document, path)


def _refused(document: Fields, is_valid: Callable[[object], bool]) -> Iterator[dict[str, Any]]:
    """Take the document apart into what stands at the top, destinations, environments and keys; give what is refused.

    The validator that is fast tells of all errors at once, however many there are and however much memory that takes.
    """
    top: dict[str, Any] = {
        name: {} if name in _GROUPS and isinstance(value, Fields) else value for name, value in document.items()
    }
    parts = [top]
    parts += [{**_EMPTY, "destinations": {name: each}} for name, each in _entries(document, "destinations")]
    for name, environment in _entries(document, "environments"):
        around, inside = environment, []
        for group in ("keys", "leases"):
            if isinstance(environment, Fields) and isinstance(environment.get(group), Fields):
                around = {**around, group: {}}
                entries = _entries(environment, group)
                inside += [{**_EMPTY, "environments": {name: {group: {key: each}}}} for key, each in entries]
        parts += [{**_EMPTY, "environments": {name: around}}, *inside]
    return (part for part in parts if not is_valid(part))


def _entries(node: Fields, name: str) -> Iterable[tuple[str, Any]]:
    group = node.get(name)
    return group.items() if isinstance(group, Fields) else ()


@functools.cache
def _explainer() -> Validator:
    """Return a validator of jsonschema that agrees with the gate."""
    import json

    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_validator: Validator, wanted: str, instance: object, _schema: object) -> Iterator[ValidationError]:
        # The schema's `$` is ECMAScript's, the very end; Python's lets a line break follow.
        if isinstance(instance, str) and not re.search(wanted.replace("$", r"\Z"), instance):
            yield ValidationError("pattern")

    def properties(
        validator: Validator, wanted: dict[str, Any], instance: object, schema: object
    ) -> Iterator[ValidationError]:
        # `false` has no words of its own: those of the schema around it count. jsonschema loses its path as well.
        if isinstance(instance, dict):
            forbidden = [name for name, inner in wanted.items() if inner is False and name in instance]
            yield from (ValidationError("properties", path=[name]) for name in forbidden)
            allowed = {name: inner for name, inner in wanted.items() if inner is not False}
            yield from Draft202012Validator.VALIDATORS["properties"](validator, allowed, instance, schema)

    extend: Callable[[type[Validator], dict[str, object]], type[Validator]] = validators.extend
    explained: dict[str, object] = {"pattern": pattern, "properties": properties}
    return extend(Draft202012Validator, explained)(json.loads(shipped_schema(SCHEMA)))


def _steps(error: ValidationError) -> list[str]:
    return [str(step) for step in error.absolute_path]


def _explain(error: ValidationError, document: Fields, report: Report) -> list[_Path]:
    """Report one error in the user's words; gives the paths of what is no use because of it."""
    path: _Path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        return [_explain_name(str(error.instance), path, document, report)]
    if error.validator == "additionalProperties":
        return _explain_unknown(_schema(error)["properties"], path, document, report)
    if error.validator == "anyOf":
        if "required" not in _schema(error)["anyOf"][0]:
            return _explain(_of_package(error), document, report)
        return _explain_missing(error, path, document, report)
    if error.validator == "required":
        return _explain_missing(error, path, document, report)
    report.error(_value_mark(document, path), f"{label(path)} {_requirement(error)}")
    return [path]


def _of_package(error: ValidationError) -> ValidationError:
    """Return what is wrong with the type of a destination: with a dot in it, it is meant to be another package's."""
    choice = int("." in str(error.instance))
    return next(inner for inner in error.context or () if inner.relative_schema_path[0] == choice)


def _explain_name(name: str, path: _Path, document: Fields, report: Report) -> _Path:
    words = "must match [a-z0-9][a-z0-9._-]* and have at most 63 characters"
    kind = _GROUPS[str(path[-1])]
    report.error(_key_mark(document, (*path, name)), f"{kind} '{shown(name)}' {words}{spelling(name)}")
    return (*path, name)


def _explain_unknown(known: Collection[str], path: _Path, document: Fields, report: Report) -> list[_Path]:
    node = _node(document, path)
    unsound: list[_Path] = []
    unknown = [name for name in node if name not in known]
    for number, name in enumerate(unknown):
        if report.is_full:
            report.more += len(unknown) - number
            break
        meant = closest(name, known)
        hint = (
            f" in {label(path)}; known are {', '.join(sorted(known))}"
            if meant is None
            else f"; did you mean '{meant}'?"
        )
        report.error(node.key_marks[name], f"unknown field {_quoted(name)}{hint}")
        unsound.append((*path, name))
        if meant is not None and meant not in node:
            unsound.append((*path, meant))  # it was said, if badly: nobody shall be told that it is missing
    return unsound


def _quoted(name: str) -> str:
    return f"'{short}'" if (short := named(name, "")) else "(a long name)"


def _explain_missing(error: ValidationError, path: _Path, document: Fields, report: Report) -> list[_Path]:
    node, schema = _node(document, path), _schema(error)
    if error.validator == "required":
        wanted = [[name] for name in schema["required"]]
    else:  # anyOf, of fields that stand for each other
        wanted = [[name for choice in schema["anyOf"] for name in choice["required"]]]
    missing = [names for names in wanted if node.broken.isdisjoint(names) and node.keys().isdisjoint(names)]
    closed = schema.get("additionalProperties") is False  # so that a misspelt field is an error of its own
    unknown = (name for name in node if closed and name not in schema["properties"])
    said = {closest(name, schema["properties"]) for name in islice(unknown, MOST_DIAGNOSTICS)}
    for names in missing:
        if said.isdisjoint(names):
            report.error(_key_mark(document, path), f"{' or '.join(names)} is missing in {label(path)}")
    return [path] if missing else []


def _requirement(error: ValidationError) -> str:
    """Return what would be right and what is there."""
    found = error.instance
    if error.validator in _BOUNDS:
        bound = _BOUNDS[error.validator].format(error.validator_value)
        return bound if isinstance(found, Items) else f"{bound}, not {described(found)}"
    schema = _schema(error)
    if error.validator == "properties":  # `false`: whatever it is, it is in the wrong place
        return str(schema["errorMessage"])
    hint = _hint(found, schema) if isinstance(found, str) else ""
    return f"{schema['errorMessage']}, not {described(found)}{hint}"


def _hint(found: str, schema: Mapping[str, Any]) -> str:
    """Return what was probably meant by a text: one of several words, a number, a duration; empty for no idea."""
    if "enum" in schema:
        return suggestion(found, schema["enum"])
    if "number" in schema.get("type", "") and (amount := _AMOUNT.fullmatch(found)):
        return f"; write the plain number {amount[1].translate(_APART)}"
    if schema.get("pattern") == _DURATION and (period := _PERIOD.fullmatch(found)):
        count, unit = int(period[1]), period[2].lower()
        if period[2] == "M" or unit.startswith(("mo", "y")):
            days = count * (365 if unit.startswith("y") else 30)
            return f"; months and years have no fixed length: write {days}d"
        return f"; write {count}{unit[0]}"
    return ""


def _schema(error: ValidationError) -> dict[str, Any]:
    """Return the part of the schema that an error comes from; jsonschema sets it on every error that it yields."""
    return cast("dict[str, Any]", error.schema)


def _step(value: Value, step: str | int) -> Value:
    return value[step]  # type: ignore[index]  # a path of the validator fits what it was given


def _node(document: Fields, path: _Path) -> Fields:
    """Return the mapping at a path that leads to one."""
    return cast("Fields", functools.reduce(_step, path, cast("Value", document)))


def _key_mark(document: Fields, path: _Path) -> Mark:
    """Return the place of the name at the end of a path; of the value where there is no name."""
    if path and isinstance(path[-1], str):
        return _node(document, path[:-1]).key_marks[path[-1]]
    return _value_mark(document, path)


def _value_mark(document: Fields, path: _Path) -> Mark:
    if not path:
        return document.mark
    parent = functools.reduce(_step, path[:-1], cast("Value", document))
    if isinstance(parent, Items):
        return parent.marks[cast("int", path[-1])]
    return cast("Fields", parent).value_marks[str(path[-1])]


def _discard(document: Fields, path: _Path) -> None:
    """Take out the value at a path, or the first list on the way, which without an item would say something else."""
    node: Value | None = document
    for depth, step in enumerate(path):
        if not isinstance(node, Fields):  # an earlier error has taken it out
            return
        inner = node.get(str(step))
        if depth == len(path) - 1 or isinstance(inner, Items):
            node.discard(str(step))
            return
        node = inner
