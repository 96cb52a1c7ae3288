from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import pytest

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


def test_there_is_no_empty_secret() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        Secret("")
