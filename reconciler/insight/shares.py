"""Parts of a whole in percent that add up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_TENTHS: Final = 1000


def percentages(amounts: Sequence[Decimal]) -> tuple[Decimal, ...] | None:
    """Give the share of each amount (0 or more) in percent with one decimal, so that they add up to exactly 100.

    Those with the largest remainders are rounded up, of equal ones the first. None where there is nothing to share.
    """
    exact = [Fraction(amount) for amount in amounts]
    whole = sum(exact)
    if not whole:
        return None
    scaled = [amount * _TENTHS / whole for amount in exact]
    tenths = [int(amount) for amount in scaled]
    left = _TENTHS - sum(tenths)
    for at in sorted(range(len(scaled)), key=lambda at: tenths[at] - scaled[at])[:left]:
        tenths[at] += 1
    return tuple(Decimal(count) / 10 for count in tenths)
