"""Money, instants, durations and counts: how they are read, and how they are written for programs and for people.

Money is USD as `Decimal` (1 credit of the service is 1 USD); instants are timezone-aware and in UTC; durations are
whole seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

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


# Amounts, counts and names in the words of messages.

_NAMED: Final = 5
_FEW: Final = 8  # names that a line has room for


def dollars(amount: Decimal) -> str:
    """Write USD as people read it: `$1,500`, `$12.50`, `$0.000125`, `-$3`."""
    whole, point, fraction = format_money(abs(amount)).partition(".")
    sign = "-" if amount < 0 else ""
    return f"{sign}${int(whole):,}{point}{fraction.ljust(2, '0') if point else ''}"


def show_limit(amount: Decimal | None) -> str:
    """Write a credit limit in USD; None is no limit."""
    return "no limit" if amount is None else dollars(amount)


def show_expiry(instant: datetime | None) -> str:
    """Write when a key expires, in UTC; None is never."""
    return "never" if instant is None else format_instant(instant)


def plural(count: int, noun: str) -> str:
    """Count a noun that takes an s, or ies for a y: `1 key`, `2,000 keys`, `2 expiries`."""
    if count == 1:
        return f"{count:,} {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"


def near(name: str, known: Collection[str]) -> str:
    """Return which of the known names may have been meant, or which there are if they are few; empty for neither."""
    from difflib import get_close_matches  # only where something is wrong

    found = get_close_matches(name, known, n=1) or sorted(each for each in known if each.startswith(name))
    if found:
        return f"; did you mean {found[0]}?"
    return f"; known here: {', '.join(sorted(known))}" if 0 < len(known) <= _FEW else ""


def listed(names: Sequence[str]) -> str:
    """List names, not more than anybody reads: `a, b, c, d, e and 7 more`."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
