"""Percentages that add up."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.insight.breakdown import percentages


@pytest.mark.parametrize(
    ("amounts", "shares"),
    [
        (["1", "1", "1"], ["33.4", "33.3", "33.3"]),
        (["2", "1"], ["66.7", "33.3"]),
        (["0.000001", "999999"], ["0.0", "100.0"]),
        (["5"], ["100.0"]),
        (["0", "5"], ["0.0", "100.0"]),
        (["1", "1", "1", "1", "1", "1", "1"], ["14.3", "14.3", "14.3", "14.3", "14.3", "14.3", "14.2"]),
    ],
)
def test_shares_are_rounded_so_that_they_add_up(amounts: list[str], shares: list[str]) -> None:
    assert percentages([Decimal(amount) for amount in amounts]) == tuple(Decimal(share) for share in shares)


@pytest.mark.parametrize("amounts", [[], ["0"], ["0", "0.00"]])
def test_there_are_no_shares_of_nothing(amounts: list[str]) -> None:
    assert percentages([Decimal(amount) for amount in amounts]) is None
