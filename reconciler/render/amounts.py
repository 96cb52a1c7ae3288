"""Amounts as people compare them: in cents, or with as many decimals as their column has."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

_CENT: Final = Decimal("0.01")
_CENTS: Final = 2
_MILLIONTHS: Final = 6
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error


def cost(amount: Decimal, decimals: int) -> str:
    """Write USD with that many decimals, to be read one below the other."""
    rounded = amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN, _ROOMY)
    whole, _, fraction = f"{abs(rounded):f}".partition(".")
    return f"{'-' if rounded < 0 else ''}${int(whole):,}.{fraction}"


def cents(amount: Decimal) -> str:
    """Write USD rounded to cents, `$1,500.00`; what is below a cent with six decimals."""
    return cost(amount, _MILLIONTHS if 0 < abs(amount) < _CENT else _CENTS)
