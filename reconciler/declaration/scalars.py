"""Plain scalars: text without quotes, which YAML lets stand for more than text.

Programs disagree about `no`, `012` and `1:30`, so nothing here guesses: such a spelling is refused with the way out.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import product
from typing import Final

_LONGEST_NUMBER: Final = 40

_QUOTE: Final = "or quote it if it is text"
_PLAIN_DIGITS: Final = f"write the number in plain digits, {_QUOTE}"
_BOOLEAN: Final = f"write true or false, {_QUOTE}"
_EMPTY: Final = "has no value; write null, {} or [] if that is what it shall be"

_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("null", "Null", "NULL", "~"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_REFUSED: Final = {
    "".join(letters): _BOOLEAN
    for word in ("yes", "no", "on", "off", "y", "n")
    for letters in product(*((c.lower(), c.upper()) for c in word))
} | {"": _EMPTY}
WORDS: Final = _CONSTANTS.keys() | _REFUSED.keys()
NUMERIC: Final = frozenset("0123456789+-.")

_NUMBER: Final = re.compile(
    r"""
      (?P<whole> [-+]? (?: 0 | [1-9][0-9]* ) )
    | (?P<decimal> [-+]? (?: (?: 0 | [1-9][0-9]* ) \.[0-9]* | \.[0-9]+ ) )
    | (?P<infinite> [-+]? \. (?: nan | inf ) )
    | (?P<zeros> [-+]? 0 [0-9_]+ (?: \.[0-9_]* )? )
    | (?P<base> [-+]? 0 (?: x [0-9a-f_]+ | o [0-7_]+ | b [01_]+ ) )
    | (?P<underscores> [-+]? [0-9][0-9_]* (?: \.[0-9_]* )? )
    | (?P<sixty> [-+]? [0-9][0-9_]* (?: :[0-5]?[0-9] )+ (?: \.[0-9_]* )? )
    | (?P<exponent> [-+]? (?: [0-9][0-9_]* (?: \.[0-9_]* )? | \.[0-9]+ ) e [-+]? [0-9]+ )
    """,
    re.ASCII | re.VERBOSE | re.IGNORECASE,
)
_WHY_NOT: Final = {
    "infinite": f"is not a number that can be reckoned with; {_PLAIN_DIGITS}",
    "zeros": f"has a leading zero, which makes it octal for some programs; {_PLAIN_DIGITS}",
    "base": f"is a number in another base; {_PLAIN_DIGITS}",
    "underscores": f"is a number for some programs and text for others; {_PLAIN_DIGITS}",
    "sixty": f"is a number to base 60 for some programs; {_PLAIN_DIGITS}",
    "exponent": f"is written with an exponent; {_PLAIN_DIGITS}",
}


def word(text: str) -> bool | None:
    """Read one of WORDS; raises ValueError, in words that follow the field's name, for one that is no value."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    raise ValueError(_EMPTY if not text else f"must not be written as '{text}': {_REFUSED[text]}")


def number(text: str) -> int | Decimal | str:
    """Read text that starts like a number and may be none; raises ValueError as `word` does."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if len(text) > _LONGEST_NUMBER:
        msg = f"is a number of {len(text)} digits, where {_LONGEST_NUMBER} are the most; quote it if it is text"
        raise ValueError(msg)
    kind = str(match.lastgroup)
    if kind == "whole":
        return int(text)
    if kind == "decimal":
        value = Decimal(text)
        whole = int(value)
        return whole if whole == value else value  # 5.0 is a whole number, for every validator
    msg = f"must not be written as '{text}': it {_WHY_NOT[kind]}"
    raise ValueError(msg)
