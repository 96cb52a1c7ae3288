from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.model import Setting, Usage, setting_words
from reconciler.planning.actions import used, used_lately
from reconciler.units import dollars, listed
from support.builders import NOW, live


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (Usage(30, Decimal("28.34"), 892), "892 requests, $28.34 in 30 days"),
        (Usage(1, Decimal("0.000001"), 1), "1 request, $0.000001 in 1 day"),
        (Usage(2, Decimal(1234), 1_204_311), "1,204,311 requests, $1,234 in 2 days"),
    ],
)
def test_use_is_told_in_requests_and_dollars(usage: Usage, text: str) -> None:
    assert used(usage) == text
    assert used(usage, "<{}>".format) == text.replace(dollars(usage.cost), f"<{dollars(usage.cost)}>")


@pytest.mark.parametrize(
    ("usage", "age", "text"),
    [
        (Usage(30, Decimal("28.34"), 892), timedelta(0), "892 requests, <$28.34> in 30 days"),
        (Usage(30, Decimal(0), 0), timedelta(0), "never used"),
        (Usage(30, Decimal(0), 0), timedelta(days=29), "never used"),
        (Usage(30, Decimal(0), 0), timedelta(days=30), "not used in 30 days"),
        (Usage(7, Decimal(0), 0), timedelta(days=6), "never used"),
        (Usage(7, Decimal(0), 0), timedelta(days=7), "not used in 7 days"),
        (Usage(1, Decimal(0), 0), timedelta(days=1), "not used in 1 day"),
    ],
)
def test_a_key_that_is_younger_than_what_is_known_of_it_was_never_used(usage: Usage, age: timedelta, text: str) -> None:
    assert used_lately(live(1, "a", created_at=NOW - age), usage, NOW, "<{}>".format) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [("", ""), ("a", "a"), ("abcde", "a, b, c, d, e"), ("abcdef", "a, b, c, d, e and 1 more")],
)
def test_a_list_names_five_and_counts_the_rest(names: str, text: str) -> None:
    assert listed([*names]) == text


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "a b"), (("sh", "-c", "a b"), "sh -c 'a b'"), (True, "true"), (3, "3")]
)
def test_a_setting_is_written_as_people_would_type_it(value: Setting, text: str) -> None:
    assert setting_words(value) == text
