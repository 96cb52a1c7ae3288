"""The schema is fit for a public catalogue, from which editors take it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from reconciler import schema_files

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads(schema_files.read("keys.schema.json"))


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from mappings(inner)


def fields() -> dict[str, dict[str, Any]]:
    """Give every field that can be written, by the group that it belongs to."""
    groups = {"file": SCHEMA, **SCHEMA["$defs"]}
    found = {}
    for group, schema in groups.items():
        for name, raw in schema.get("properties", {}).items():
            if raw is not True:
                reference = raw.get("$ref", "").rpartition("/")[2]
                found[f"{group}.{name}"] = SCHEMA["$defs"][reference] if reference else raw
    return found


@pytest.mark.parametrize("name", fields())
def test_every_field_has_a_title_a_description_and_an_example(name: str) -> None:
    field = fields()[name]
    assert field["title"]
    assert field["description"]
    assert field["examples"]


def test_it_says_what_it_is() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert re.fullmatch(r"https://[a-z./-]+\.json", SCHEMA["$id"])
    assert SCHEMA["title"] == "keys.yaml"
    assert SCHEMA["description"].endswith(".")


def test_nothing_stands_beside_a_reference_where_an_earlier_draft_would_not_see_it() -> None:
    assert [node for node in mappings(SCHEMA) if "$ref" in node and len(node) > 1] == []
