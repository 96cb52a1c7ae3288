from __future__ import annotations

import pytest

from reconciler.render.escape import terminal, terminal_name


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
