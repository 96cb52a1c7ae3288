from __future__ import annotations

import pytest

from reconciler.declaration.destinations import FIELDS, address_values, ambiguities, check_naming, parse_template
from reconciler.model import Address

VALUES = address_values(Address("prod-eu", "a.b-c_9"), "prod-eu/a.b-c_9")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{environment}/{key}", "prod-eu/a.b-c_9"),
        ("{ENVIRONMENT}_{KEY}", "PROD_EU_A_B_C_9"),
        ("{live_name}", "prod-eu/a.b-c_9"),
        ("{key}{key}", "a.b-c_9a.b-c_9"),
        ("100% %s %(key)s {key}", "100% %s %(key)s a.b-c_9"),
    ],
)
def test_a_template_is_filled_in(text: str, filled: str) -> None:
    assert parse_template(text).fill(VALUES) == filled


def test_all_fields_have_a_value() -> None:
    assert tuple(VALUES) == FIELDS


@pytest.mark.parametrize("text", ["{", "}", "{}", "{{key}}", "{key", "{Key}", "{key.x}", "{key!r}", "{0}", "{ key }"])
def test_other_braces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must hold no other braces than"):
        parse_template(text)


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\x7f", "\u2028"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        parse_template(text)


@pytest.mark.parametrize(
    "text", ["{environment}/{key}", "{key}@{environment}", "{environment}{key}", "ä {key}{environment}%"]
)
def test_a_naming_holds_both_fields_once(text: str) -> None:
    check_naming(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "each once"),
        ("{environment}", "each once"),
        ("{key}", "each once"),
        ("{environment}/{key}/{key}", "each once"),
        ("{environment}/{KEY}", "no other braces"),
        ("{environment}~{key}", "'~'"),
        ("{environment}\n{key}", "control characters"),
    ],
)
def test_a_naming_that_cannot_be_used_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_naming(text)


@pytest.mark.parametrize(
    ("naming", "environments", "found"),
    [
        ("{environment}/{key}", ["prod", "prod-eu"], []),
        ("{environment}-{key}", ["prod", "prod-eu"], [("prod-eu", "prod", "eu-a")]),
        ("{environment}-{key}", ["prod", "production"], []),
        ("{environment}-{key}", ["prod", "prod--eu"], []),
        ("{environment}{key}", ["prod", "prod1"], [("prod1", "prod", "1a")]),
        ("{environment}{key}", ["prod", "prod-1"], []),
        ("{key}-{environment}", ["eu", "prod-eu"], [("prod-eu", "eu", "a-prod")]),
        ("{key}{environment}", ["eu", "-eu"], [("-eu", "eu", "a-")]),
        ("x{key}/{environment}y", ["eu", "prod-eu"], []),
        ("{environment}.a.{key}", ["p", "p.a.b"], [("p.a.b", "p", "b.a.a")]),
        (
            "{environment}-{key}",
            ["a", "a-b", "a-b-c"],
            [("a-b", "a", "b-a"), ("a-b-c", "a", "b-c-a"), ("a-b-c", "a-b", "c-a")],
        ),
    ],
)
def test_environments_that_read_as_each_other_are_found(
    naming: str, environments: list[str], found: list[tuple[str, str, str]]
) -> None:
    assert list(ambiguities(naming, environments)) == found
