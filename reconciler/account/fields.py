"""The fields of the service's answers, read one by one and complained about by name; pure.

No complaint repeats a value: the answer to a POST holds a secret.
"""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal
from typing import Final, NoReturn

from reconciler.errors import UnexpectedAnswer

MISSING: Final = object()
"""What stands for a field that is not there, so that it is not null."""

# What counts of a limit: a float somewhere in the service may have left noise behind that.
_MILLIONTH: Final = Decimal("0.000001")
_EXACT: Final = Context(prec=80)
# With an exponent too: that is how Python writes a small decimal.
_AMOUNT: Final = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
# No amount of money has more digits before or after its point; an exponent beyond would fill the memory when written.
_MAGNITUDE: Final = 30
_KINDS: Final = {
    str: "this text",
    bool: "a boolean",
    int: "this number",
    Decimal: "this number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def read_object(body: bytes) -> dict[str, object]:
    """Read an answer that is one JSON object, its fractions exactly; raises UnexpectedAnswer."""
    raw = _parse(body)
    if not isinstance(raw, dict):
        msg = f"the answer must be an object, not {_KINDS[type(raw)]}"
        raise UnexpectedAnswer(msg)
    return raw


def read_cost(where: str, field: str, raw: object) -> Decimal:
    """Read an amount, exactly; raises UnexpectedAnswer."""
    amount = read_amount(raw)
    if amount is None:
        wrong(where, field, "a decimal amount of USD", raw)
    return amount


def read_limit(raw: object) -> Decimal | None:
    """Read an amount to the millionth of a USD; None for what cannot be one of money."""
    amount = read_amount(raw)
    if amount is None or amount == amount.to_integral_value():
        return amount
    return amount.quantize(_MILLIONTH, context=_EXACT)


def read_amount(raw: object) -> Decimal | None:
    """Read an amount that is a number, or text that spells one; None for what cannot be one of money."""
    if type(raw) is int or (isinstance(raw, str) and _AMOUNT.fullmatch(raw)):
        raw = Decimal(raw)
    if not isinstance(raw, Decimal) or (raw and not -_MAGNITUDE <= raw.adjusted() <= _MAGNITUDE):
        return None
    return raw


def is_unicode(text: str) -> bool:
    """Tell whether the text can be written anywhere: JSON can smuggle in halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def writable(text: str) -> str:
    """Give text that can be written anywhere, `?` in place of what cannot."""
    return text if is_unicode(text) else text.encode(errors="replace").decode()


def wrong(where: str, field: str, expected: str, raw: object) -> NoReturn:
    """Say that a field is not what it should be, or not there."""
    found = "but is missing" if raw is MISSING else f"not {_KINDS[type(raw)]}"
    msg = f"{where}: {field} must be {expected}, {found}"
    raise UnexpectedAnswer(msg)


def _parse(body: bytes) -> object:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        pass  # the exception holds the body; raised from here, ours would carry it along
    msg = "the answer is not JSON"
    raise UnexpectedAnswer(msg)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
