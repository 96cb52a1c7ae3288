from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.destinations.shared import one_line, repeated, utf8
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
