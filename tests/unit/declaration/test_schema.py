from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.declaration import schema
from reconciler.files import shipped_schema
from reconciler.units import MONEY_LIMIT
from support.declarations import errors, keys_file, loaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: dict[str, Any] = json.loads(shipped_schema("keys.schema.json"))


def fields(node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in node.get("properties", {}).items():
        if isinstance(inner, dict) and "$ref" not in inner:
            yield name, inner
            yield from fields(inner)
    for keyword in ("items", "additionalProperties"):
        inner = node.get(keyword)
        if isinstance(inner, dict) and "$ref" not in inner:
            yield keyword, inner
            yield from fields(inner)


DESCRIBED = {"": SCHEMA, **SCHEMA["$defs"], **dict(fields(SCHEMA))} | {
    f"{name}.{field}": node for name, definition in SCHEMA["$defs"].items() for field, node in fields(definition)
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_an_editor_can_explain_every_field(name: str) -> None:
    node = DESCRIBED[name]
    assert node["title"]
    assert node["description"].endswith((".", "%."))
    if "properties" in node:  # a language server would say it of a misspelt field and of a missing one as well
        assert "errorMessage" not in node
    else:
        assert node["errorMessage"].startswith("must be ") or "must match " in node["errorMessage"]


@pytest.mark.parametrize("name", DESCRIBED)
def test_examples_and_defaults_in_the_schema_are_valid(name: str) -> None:
    node = DESCRIBED[name]
    validator = Draft202012Validator({**node, "$defs": SCHEMA["$defs"]})
    for example in [*node.get("examples", []), *([node["default"]] if "default" in node else [])]:
        validator.validate(example)


@pytest.mark.parametrize(
    "name", [name for name, node in DESCRIBED.items() if "properties" in node and "$ref" not in node]
)
def test_no_mapping_of_known_fields_takes_others(name: str) -> None:
    closed = DESCRIBED[name].get("additionalProperties")
    assert closed is False or name in {"destination", "settings"}


def test_the_schema_is_one_of_its_draft_and_agrees_about_money() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["credit_limit"]["exclusiveMaximum"] == MONEY_LIMIT


def test_a_schema_that_is_not_shipped_is_not_found() -> None:
    with pytest.raises(StopIteration):
        shipped_schema("nothing.schema.json")


def test_one_wrong_key_is_not_looked_for_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Any] = []
    explainer = schema._explainer()

    class Spy:
        def iter_errors(self, part: Any) -> Iterator[Any]:
            looked_at.append(part)
            return explainer.iter_errors(part)

    monkeypatch.setattr(schema, "_explainer", Spy)
    keys = "".join(f"k{index}: {{credit_limit: 1}}, " for index in range(50))
    wrong = "wrong: {credit_limit: x}, WRONG: {credit_limit: 1}"
    found = errors(
        keys_file(
            f"{{{keys}{wrong}}}",
            top="destinations: {a: {type: dotenv, path: x}, b: {type: dotenv}}",
            environment="team: x",
        )
        + "  other: {keys: {a: {credit_limit: 1}}}\n"
    )
    assert len(found) == 4
    destination, *environments = looked_at
    assert destination["destinations"].keys() == {"b"}
    assert [list(part["environments"]["e"]["keys"]) for part in environments] == [[], ["wrong"], ["WRONG"]]


def test_more_errors_than_anybody_reads_are_only_counted() -> None:
    found = errors(keys_file("{" + "".join(f"k{number}: {{credit_limit: x}}, " for number in range(1_000)) + "}"))
    assert len(found) == 201
    assert "and 800 more were found" in found[-1]
    found = errors("version: 1\nenvironments: {}\n" + "".join(f"wrong{number}: 1\n" for number in range(1_000)))
    assert "and 800 more were found" in found[-1]


def test_a_type_of_another_package_that_is_wrong_twice_is_explained_once() -> None:
    found = errors(f"version: 1\ndestinations: {{a: {{type: {'A' * 64}.b}}}}\nenvironments: {{}}\n")
    assert [message.split(", not ")[0] for message in found] == [
        "2:26 type must be small letters, digits and - between dots, as in acme.box"
    ]


def test_errors_of_shape_and_of_meaning_come_at_once() -> None:
    found = errors(
        keys_file(
            "{a: {credit_limit: x}, b: {}, c: {credit_limit: 0x1}, d: {credt_limit: 1}, e: {credit_limit: 1, id: 0}}",
            environment="deliver: [{to: nowhere, as: A}]",
        )
    )
    assert [message.split(" ", 1)[1].split(",")[0] for message in found] == [
        "credit_limit must be a number of USD or null",
        "credit_limit is missing in key 'e/b'",
        "credit_limit must not be written as '0x1': it is a number in another base; write the number in plain digits",
        "unknown field 'credt_limit'; did you mean 'credit_limit'?",
        "id must be at least 1",
        "to must name a destination",
    ]


def test_a_field_that_could_not_be_read_is_not_missing() -> None:
    content = "version: 0x1\ndestinations: {a: {type: dotenv, path: 0x1}}\nenvironments: {}\n"
    assert [message.split(" ")[1] for message in errors(content)] == ["version", "path"]


def test_a_misspelt_field_beside_the_right_one_takes_nothing_away() -> None:
    found = errors(keys_file("{a: {credit_limt: 1, credit_limit: x}}"))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("credit_limit", "999999999999.999999"), ("credit_limit", "5.0"), ("id", "7.0"), ("credit_limit", "null")],
)
def test_numbers_at_the_edge_are_taken(field: str, value: str) -> None:
    content = keys_file(
        f"{{a: {{credit_limit: 1, {field}: {value}}}}}"
        if field != "credit_limit"
        else f"{{a: {{credit_limit: {value}}}}}"
    )
    key = loaded(content).keys[0]
    assert getattr(key, field) == (None if value == "null" else Decimal(value))


def test_one_setting_may_be_wrong_in_two_ways() -> None:
    found = errors(keys_file("{a: {credit_limit: 1}}", environment="deliver: [{to: 1, as: ''}, {to: 2, as: A}]"))
    assert found == [
        "6:19 to must be the name of a destination, not the number 1".replace("6:19", "6:20"),
        "6:27 as must be a name like NAGA_{KEY}, not an empty text",
        "6:37 to must be the name of a destination, not the number 2",
    ]


def test_schemas_are_found_beside_the_package_and_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    beside.mkdir()
    (beside / "x.json").write_bytes(b"beside")
    monkeypatch.setattr("reconciler.files._SCHEMAS", (inside, beside))
    assert shipped_schema("x.json") == b"beside"
    inside.mkdir()
    (inside / "x.json").write_bytes(b"inside")
    assert shipped_schema("x.json") == b"inside"
