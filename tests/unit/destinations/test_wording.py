from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.destinations.wording import one_line, redacted, repeated, utf8
from reconciler.secret import Secret


@given(message=st.text())
def test_one_line_is_one_line(message: str) -> None:
    shown = one_line(message)
    assert shown.isprintable()
    assert message.isprintable() is (shown == message)


def test_names_that_more_than_one_key_wants_are_counted_in_order() -> None:
    assert list(repeated(["C", "B", "A", "B", "C", "B"])) == [
        "3 keys would be delivered as B",
        "2 keys would be delivered as C",
    ]


@given(secret=st.text(min_size=1))
def test_every_text_that_has_bytes_gives_them(secret: str) -> None:
    assert utf8(Secret(secret)) == secret.encode()


@pytest.mark.parametrize("secret", ["\ud800", "ng-\udfff", "\udc80ng"])
def test_half_a_character_has_no_bytes(secret: str) -> None:
    assert utf8(Secret(secret)) is None
    assert redacted(f"key {secret}", Secret(secret)) == "key <secret>"


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
