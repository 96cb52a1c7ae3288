from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.model import Usage
from reconciler.plan import phrases


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (Usage(30, Decimal("28.34"), 892), "892 requests, $28.34 in 30 days"),
        (Usage(1, Decimal("0.000001"), 1), "1 request, $0.000001 in 1 day"),
        (Usage(2, Decimal(1234), 1_204_311), "1,204,311 requests, $1,234 in 2 days"),
    ],
)
def test_use_is_told_in_requests_and_dollars(usage: Usage, text: str) -> None:
    assert phrases.used(usage) == text
    assert phrases.used(usage, "<{}>".format) == text.replace(
        phrases.dollars(usage.cost), f"<{phrases.dollars(usage.cost)}>"
    )


@pytest.mark.parametrize(
    ("names", "text"),
    [("", ""), ("a", "a"), ("abcde", "a, b, c, d, e"), ("abcdef", "a, b, c, d, e and 1 more")],
)
def test_a_list_names_five_and_counts_the_rest(names: str, text: str) -> None:
    assert phrases.listed([*names]) == text
