from __future__ import annotations

import pytest

from reconciler.render.escape import (
    markdown,
    markdown_code,
    markdown_name,
    terminal,
    terminal_name,
    workflow_data,
    workflow_property,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("production/api~new.k3v9", "production/api~new.k3v9"),
        ("a name of words", "a name of words"),
        ("", ""),
        ("ключ-é-鍵-مفتاح-e\u0301", "ключ-é-鍵-مفتاح-e\u0301"),
        ("🔑 → ✓", "🔑 → ✓"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\n\tb\x00\x7f", r"a\r\n\tb\x00\x7f"),
        ("\u202eb\u2066", r"\u202eb\u2066"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u00a0b\u2028", r"a\xa0b\u2028"),
        ("a\u3164b\ufe0f", r"a\u3164b\ufe0f"),
        ("\U000e0041", r"\U000e0041"),
        ("\udce9\ud800", r"\udce9\ud800"),
        ("\ue000\u0378", r"\ue000\u0378"),
        (r"\x1b", r"\\x1b"),
        ("::error::a", r"\::error::a"),
        ("a ::error::b", r"a \::error::b"),
        ("ci::tests", "ci::tests"),
        ("a##[group]b", r"a##\[group]b"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_instead(text: str, shown: str) -> None:
    assert terminal(text) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("production/api", "production/api"),
        ("ci:tests@host", "ci:tests@host"),
        ("鍵", "鍵"),
        ("my laptop", '"my laptop"'),
        ("someone's", '"someone\'s"'),
        ('a "b"', r'"a \"b\""'),
        ('a\\"', r'"a\\\""'),
        ("", '""'),
        (" ", '" "'),
        ("a→b", '"a→b"'),
        ("a, id 7", '"a, id 7"'),
        ("\x1b", r"\x1b"),
    ],
)
def test_a_name_that_is_not_one_plain_word_stands_in_quotes(name: str, shown: str) -> None:
    assert terminal_name(name) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("it keeps (it's said) its secret, but 1 key: no.", "it keeps (it's said) its secret, but 1 key: no."),
        ("$675 is over the budget of $600", "`$675` is over the budget of `$600`"),
        ("PATCH /account/keys/32: 503 after 5 tries", "PATCH `/account/keys/32`: 503 after 5 tries"),
        ("live keys 7 and 1234567, named x_y", "live keys 7 and `1234567`, named `x_y`"),
        ('the key "a b (c)" is gone', 'the key `"a b (c)"` is gone'),
        ('an unfinished "quote is no quote', 'an unfinished `"quote` is no quote'),
        ("a\n@octocat  and\x1b", r"`a\n@octocat` `and\x1b`".replace("` `", " ")),
        ("see #12 or GH-12 or acme/api#1.", "see `#12` or `GH-12` or `acme/api#1`."),
        ("www.example.com and https://example.com", "`www.example.com` and `https://example.com`"),
        ("deadbeef defaced dead", "`deadbeef defaced` dead"),
        (":tada: works:", "`:tada`: works:"),
        ("a **b** [c](d) ![e](f) <g> h", "a `**b** [c](d) ![e](f) <g>` h"),
        ("ключ → 鍵", "`ключ` → `鍵`"),
    ],
)
def test_a_sentence_in_markdown_has_as_code_what_is_no_plain_word(text: str, shown: str) -> None:
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ("production/api", "`production/api`"),
        ("a|b", r"`a\|b`"),
        ("a`b", "``a`b``"),
        ("a``b`c", "```a``b`c```"),
        ("`", "`` ` ``"),
        ("`a", "`` `a ``"),
        ("a`", "`` a` ``"),
        ("<!-- a --><!--", r"`<\!-- a --><\!--`"),
    ],
)
def test_code_has_a_fence_that_nothing_in_it_closes(shown: str, code: str) -> None:
    assert markdown_code(shown) == code


@pytest.mark.parametrize(
    ("name", "shown"), [("a", "`a`"), ("my laptop", '`"my laptop"`'), ("", '`""`'), ("\x1b@x", r"`\x1b@x`")]
)
def test_a_name_in_markdown_is_always_code(name: str, shown: str) -> None:
    assert markdown_name(name) == shown


@pytest.mark.parametrize(
    ("text", "data", "value"),
    [
        ("a: b, c=d", "a: b, c=d", "a%3A b%2C c=d"),
        ("50%\r\n%0A", "50%25%0D%0A%250A", "50%25%0D%0A%250A"),
        ("::error::", "::error::", "%3A%3Aerror%3A%3A"),
        ("", "", ""),
    ],
)
def test_a_workflow_command_takes_text_in_githubs_own_encoding(text: str, data: str, value: str) -> None:
    assert workflow_data(text) == data
    assert workflow_property(text) == value
