from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.secret import HIDDEN, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = Secret("ng-0123456789abcdef")


@pytest.mark.parametrize(
    "shown",
    [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r:>40}".strip(), "%s" % SECRET, f"{[SECRET]}"[1:-1]],  # noqa: UP031  # every way to format
)
def test_a_secret_shows_a_placeholder_however_it_is_written(shown: str) -> None:
    assert shown == HIDDEN


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, Secret.__getstate__, hash])
def test_a_secret_is_not_carried_off(carry: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError):
        carry(SECRET)


def test_a_secret_is_given_out_when_asked_for_by_name() -> None:
    assert SECRET.reveal() == "ng-0123456789abcdef"


def test_secrets_are_compared_by_what_they_hold() -> None:
    assert Secret("ng-0123456789abcdef") == SECRET
    assert Secret("other") != SECRET
    assert SECRET != "ng-0123456789abcdef"


def test_a_wiped_secret_is_overwritten_for_all_who_hold_it_and_given_out_no_more() -> None:
    secret = Secret("ng-0123456789abcdef")
    buffer = secret._content
    secret.wipe()
    assert buffer == bytes(19)
    assert secret.wiped
    with pytest.raises(RuntimeError, match="asked for after it was wiped"):
        secret.reveal()
    with pytest.raises(RuntimeError, match="asked for after it was wiped"):
        secret.copy()
    secret.wipe()
    assert repr(secret) == HIDDEN


def test_a_wiped_secret_equals_none_not_even_another_one() -> None:
    wiped, other = Secret("ng-1"), Secret("ng-1")
    assert wiped == other
    wiped.wipe()
    assert wiped != other
    other.wipe()
    assert wiped != other


def test_a_block_wipes_its_secret_however_it_ends() -> None:
    with Secret("ng-1") as secret:
        assert secret.reveal() == "ng-1"
    assert secret.wiped
    other = Secret("ng-2")
    with pytest.raises(ZeroDivisionError), other:
        raise ZeroDivisionError
    assert other.wiped


def test_a_secret_that_nobody_holds_is_wiped() -> None:
    buffer = Secret("ng-1")._content
    assert buffer == bytes(4)


def test_a_copy_outlives_the_secret() -> None:
    secret = Secret("ng-1")
    copied = secret.copy()
    secret.wipe()
    assert copied.reveal() == "ng-1"


@given(st.text(st.characters(), min_size=1))
def test_what_comes_out_is_what_went_in(text: str) -> None:
    assert Secret(text).reveal() == text


def test_there_is_no_empty_secret() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        Secret("")
