from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.declaration.parser import closest, described, label, shown, spelling, suggestion


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (3, "the number 3"),
        (Decimal("0.50"), "the number 0.50"),
        ("5O0", "the text '5O0'"),
        ("", "an empty text"),
        ([], "a list"),
        ({}, "a mapping"),
    ],
)
def test_a_value_is_described_in_words(value: object, words: str) -> None:
    assert described(value) == words


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 60 + "…"),
        ("é", "é"),
    ],
)
def test_a_text_is_shown_on_one_harmless_line(text: str, safe: str) -> None:
    assert shown(text) == safe


def test_a_misspelt_word_finds_what_was_meant() -> None:
    known = ["credit_limit", "is_enabled"]
    assert closest("credt_limit", known) == "credit_limit"
    assert closest("CREDIT_LIMIT", known) == "credit_limit"
    assert closest("colour", known) is None
    assert suggestion("isenabled", known) == "; did you mean 'is_enabled'?"
    assert not suggestion("x" * 100_000, known)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Prod EU", "; 'prod-eu' would do"),
        ("_api_", "; 'api' would do"),
        ("x" * 70, f"; '{'x' * 63}' would do"),
        ("größe", "; 'gr-e' would do"),
        ("---", ""),
        ("", ""),
    ],
)
def test_a_name_that_is_none_is_spelt_as_it_must_be(name: str, words: str) -> None:
    assert spelling(name) == words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ((), "the file"),
        (("naming",), "naming"),
        (("environments",), "environments"),
        (("environments", "ci"), "environment 'ci'"),
        (("environments", "ci", "keys"), "keys"),
        (("environments", "ci", "keys", "api"), "key 'ci/api'"),
        (("environments", "ci", "keys", "api", "team"), "team"),
        (("environments", "ci", "deliver", 0), "deliver"),
        (("environments", "ci", "deliver", 0, "to"), "to"),
        (("destinations", "local"), "destination 'local'"),
        (("environments", "c\nd"), "environment 'c\\nd'"),
    ],
)
def test_what_stands_at_a_path_has_a_name(path: tuple[str | int, ...], words: str) -> None:
    assert label(path) == words
