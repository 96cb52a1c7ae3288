"""Money, instants and durations: how they are read and how they are written.

Money is USD as `Decimal` (1 credit of the service is 1 USD); instants are timezone-aware and in UTC; durations are
whole seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

MONEY_DECIMALS: Final = 6
MONEY_LIMIT: Final = Decimal(10) ** 12

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION: Final = re.compile(r"(0|[1-9]\d{0,8})([smhdw])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST: Final = 3_650 * 86_400


def format_money(amount: Decimal) -> str:
    """Write an amount in plain digits without trailing zeros: `400`, `0.5`, never `4E+2`."""
    if not amount:
        return "0"
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 date-time with a time zone as UTC; raises ValueError on anything else."""
    if not _INSTANT.fullmatch(text):
        msg = "not a date-time with a time zone, like 2027-01-01T00:00:00Z"
        raise ValueError(msg)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        msg = "outside the years 1 to 9999"
        raise ValueError(msg) from error


def format_instant(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC: `2027-01-01T00:00:00Z`, with a fraction only where there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def same_value(one: object, other: object) -> bool:
    """True for two values of a field that mean the same.

    Instants do if they are equal at the coarser precision of the two: a second, a millisecond or finer. A service may
    keep fewer digits of a second than it was sent, or show more of them in one answer than in another.
    """
    if one == other:
        return True
    if not isinstance(one, datetime) or not isinstance(other, datetime):
        return False
    return abs(one - other) < max(_precision(one), _precision(other))


def _precision(instant: datetime) -> timedelta:
    for unit in (1_000_000, 1_000):
        if instant.microsecond % unit == 0:
            return timedelta(microseconds=unit)
    return timedelta(0)


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `24h`, `7d` or `2w`; raises ValueError on anything else and above ten years."""
    match = _DURATION.fullmatch(text)
    if not match:
        msg = "not a duration, like 90s, 30m, 24h, 7d or 2w"
        raise ValueError(msg)
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST:
        msg = "longer than ten years"
        raise ValueError(msg)
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration in the largest unit up to days that divides it: `7d`, `36h`, `90s`."""
    seconds = int(duration.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"
