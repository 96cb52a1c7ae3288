from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.destinations.quoting import LONGEST_QUOTE, harmless
from reconciler.secret import Secret

SECRETS = st.text("abcdefghijkmopqruvwxyzABC0123456789_-./+=\\\"' ü", min_size=12, max_size=40).filter(
    lambda text: text == text.strip() and "  " not in text
)


@settings(max_examples=100)
@given(before=st.text(max_size=400), secret=SECRETS, after=st.text(max_size=50))
def test_what_is_repeated_is_short_printable_and_without_the_secret(before: str, secret: str, after: str) -> None:
    shown = harmless(before + secret + after, [Secret(secret)])
    assert secret not in shown
    assert shown.isprintable()
    assert len(shown) <= LONGEST_QUOTE


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("permission\n\tdenied ", "permission denied"),
        ("\x1b[31mred\u202e", "\\x1b[31mred\\u202e"),
        ("key ng-0123456789abcdefghijklmnop is taken", "key <secret> is taken"),
        ("naga_sk_0123456789abcdef", "<secret>"),
        ("a token=s.12345678", "a token=<secret>"),
        ("encoded cy4xMjM0NTY3OA==", "encoded <secret>=="),
    ],
)
def test_words_of_the_other_side_become_one_harmless_line(said: str, shown: str) -> None:
    assert harmless(said, [Secret("s.12345678")]) == shown
