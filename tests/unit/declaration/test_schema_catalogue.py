"""The schema is fit for a public catalogue, from which editors take it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.files import shipped_schema
from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG = [
    "alerts",
    "destinations",
    "destinations-github",
    "destinations-vault-aws",
    "guardrails",
    "list",
    "missing",
    "shape",
]
SCHEMA: dict[str, Any] = json.loads(shipped_schema("keys.schema.json"))


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
    assert SCHEMA["$id"] == "https://www.schemastore.org/naga-keys.json"
    assert SCHEMA["title"] == "keys.yaml"
    assert SCHEMA["description"].endswith(".")


def test_nothing_stands_beside_a_reference_where_an_earlier_draft_would_not_see_it() -> None:
    assert [node for node in mappings(SCHEMA) if "$ref" in node and len(node) > 1] == []


def test_no_default_keeps_a_language_server_from_completing() -> None:
    # yaml-language-server gives up on all later fields of a mapping that has a text of null, and writes [] for a list.
    assert [node for node in mappings(SCHEMA) if node.get("default", "") in (None, [])] == []


def test_each_value_to_choose_from_is_explained() -> None:
    explained = [node for node in mappings(SCHEMA) if "enumDescriptions" in node]
    assert [node["enum"] for node in explained if len(node["enum"]) != len(node["enumDescriptions"])] == []
    offered = {frozenset(node["enum"]) for node in mappings(SCHEMA) if isinstance(node.get("enum"), list)}
    assert offered == {frozenset(node["enum"]) for node in explained}


def test_the_entry_of_the_catalogue_keeps_its_rules() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    entry = json.loads(block)
    assert entry.keys() == {"name", "description", "fileMatch", "url"}
    assert entry["url"] == SCHEMA["$id"]
    assert not re.search(r"[,. \t-]$|schema", f"{entry['name']}\n{entry['description']}", re.IGNORECASE | re.MULTILINE)
    assert [name for name in entry["fileMatch"] if "naga" not in name or not re.match(r"\*\*/|[^/]+$", name)] == []


def test_check_jsonschema_refuses_each_example_of_a_wrong_shape() -> None:
    files = [str(ROOT / f"tests/examples/invalid/{name}.yaml") for name in WRONG]
    options = ["--output-format", "json", "--schemafile", str(ROOT / "schemas/keys.schema.json")]
    command = [str(Path(sys.executable).parent / "check-jsonschema"), *options, *files]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    assert found["parse_errors"] == []
    assert {error["filename"] for error in found["errors"]} == {*files}
