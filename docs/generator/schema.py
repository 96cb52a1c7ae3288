"""The parts of the schema and of what is known of destinations that their own modules describe."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import reconciler.destinations
from reconciler.declaration.destinations import OTHER, Kind
from reconciler.destinations.base import Description

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
KINDS: Final = "reconciler/declaration/destinations.json"
SCHEMA: Final = "schemas/keys.schema.json"


def descriptions() -> dict[str, tuple[str, Description]]:
    """Give what our modules say of their types, in alphabetical order, each with the name of its module."""
    found = {}
    for folder in reconciler.destinations.__path__:
        for path in Path(folder).glob("*.py"):
            name = f"reconciler.destinations.{path.stem}"
            described = getattr(import_module(name), "DESCRIPTION", None)
            if isinstance(described, Description):
                found[described.type] = (name, described)
    return dict(sorted(found.items()))


def outputs() -> Iterator[tuple[str, str]]:
    """Make both files: paths below the root of the project, and what belongs there."""
    yield KINDS, _written({name: _kind(module, described) for name, (module, described) in descriptions().items()})
    yield SCHEMA, _written(keys())


@cache
def keys() -> dict[str, Any]:
    """Make the schema of keys.yaml: as it is, with what the modules say now of their types."""
    known = {name: described for name, (_, described) in descriptions().items()}
    schema: dict[str, Any] = json.loads((ROOT / SCHEMA).read_text("utf-8"))
    destination = schema["$defs"]["destination"]
    for name in destination["properties"]["type"]["anyOf"][0]["enum"]:
        del schema["$defs"][name]
    schema["$defs"] |= {name: _definition(described) for name, described in known.items()}
    schema["$defs"] = dict(sorted(schema["$defs"].items()))
    _describe_type(destination, {name: described.summary for name, described in known.items()})
    return schema


def _kind(module: str, described: Description) -> dict[str, object]:
    """Give what differs from a type of which nothing is known."""
    values = {each.name: getattr(described.kind, each.name) for each in fields(Kind)}
    values |= {"module": module, "extra": described.extra}
    return {name: value for name, value in values.items() if value != getattr(OTHER, name)}


def _definition(described: Description) -> dict[str, object]:
    settings = {
        name: {"title": name.replace("_", " ").capitalize(), **setting} for name, setting in described.settings.items()
    }
    return {
        "title": described.title,
        "description": described.description,
        "properties": {"type": True, **settings},
        **({"required": described.required} if described.required else {}),
        **described.rules,
        "additionalProperties": False,
    }


def _describe_type(destination: dict[str, Any], summaries: dict[str, str]) -> None:
    """Have the schema of a destination choose by its type; a type that is not ours may have any settings."""
    destination["allOf"] = [
        destination["allOf"][0],
        *({"if": _has({"const": name}), "then": {"$ref": f"#/$defs/{name}"}} for name in summaries),
        {"if": _has({"enum": [*summaries]}), "else": {"$ref": "#/$defs/settings"}},
    ]
    kind = destination["properties"]["type"]
    *most, last = summaries
    kind["errorMessage"] = f"must be {', '.join(most)} or {last}, or what another package offers, with a dot in it"
    kind["anyOf"][0] = {
        "enum": [*summaries],
        "enumDescriptions": [*summaries.values()],
        "errorMessage": kind["errorMessage"],
    }


def _has(kind: dict[str, object]) -> dict[str, object]:
    return {"properties": {"type": kind}, "required": ["type"]}


def _written(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
