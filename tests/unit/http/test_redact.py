from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.http.redact import LONGEST_QUOTE, redact, redacted
from reconciler.secret import Secret

SECRETS = st.text("abcdefghijkmopqruvwxyzABC0123456789_-./+=\\\"' ü", min_size=12, max_size=40).filter(
    lambda text: text == text.strip() and "  " not in text
)


@settings(max_examples=100)
@given(before=st.text(max_size=400), secret=SECRETS, after=st.text(max_size=50))
def test_what_is_repeated_is_short_printable_and_without_the_secret(before: str, secret: str, after: str) -> None:
    shown = redact(before + secret + after, [Secret(secret)])
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
    assert redact(said, [Secret("s.12345678")]) == shown


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=8, max_size=60),
    around=st.tuples(st.sampled_from(["", "key=", "\n"]), st.sampled_from(["", ";", "\n"])),
)
def test_no_spelling_of_a_secret_is_left(secret: str, around: tuple[str, str]) -> None:
    content = secret.encode()
    spellings = {
        secret,
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        base64.b64encode(content).decode().rstrip("="),
        base64.urlsafe_b64encode(content).decode().rstrip("="),
    }
    for spelling in spellings:
        before, after = around
        assert redacted(f"{before}{spelling}{after}", Secret(secret)) == f"{before}<secret>{after}"


def test_what_is_no_secret_stays() -> None:
    assert redacted("status 403: forbidden", Secret("ng-1")) == "status 403: forbidden"


def test_half_a_character_of_a_secret_is_hidden_too() -> None:
    assert redacted("key ng-\udfff", Secret("ng-\udfff")) == "key <secret>"
