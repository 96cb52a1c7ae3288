"""The fields that keys, defaults and environments share, from what the file says to what they mean."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from reconciler.declaration.destinations import read_deliver
from reconciler.declaration.wording import described
from reconciler.units import MONEY_DECIMALS, parse_duration, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from reconciler.declaration.destinations import Destination, Drop
    from reconciler.declaration.nodes import Fields, Items, Report


_SMALLEST: Final = Decimal(1).scaleb(-MONEY_DECIMALS)


class KeyFields(TypedDict, total=False):
    """What a key, an environment or defaults say of a key; what they leave out comes from elsewhere."""

    credit_limit: Decimal | None
    is_enabled: bool
    expires_at: datetime | None
    description: str | None
    team: str | None
    deliver: tuple[Drop, ...]
    protected: bool
    rotate_every: timedelta | None
    rotation_overlap: timedelta | None
    verify: bool
    id: int
    renamed_from: tuple[str, ...]


def read_fields(node: Fields, destinations: Mapping[str, Destination | None], report: Report) -> KeyFields:
    """Read the fields of KeyFields from a mapping that is sound in shape; reports and takes out what makes no sense."""
    values: dict[str, Any] = {}
    unsound: list[str] = []
    for name, value in node.items():
        if name in _PLAIN or value is None:
            values[name] = value
        elif name in _READERS:
            try:
                values[name] = _READERS[name](value)
            except ValueError as error:
                report.error(node.value_marks[name], f"{name} {error}")
                unsound.append(name)
        elif name == "deliver":
            values[name] = read_deliver(cast("Items", value), destinations, report)
    for name in unsound:
        node.discard(name)
    return cast("KeyFields", values)  # the schema has seen to the types of what no reader converts


def read_duration(text: str) -> timedelta:
    """Read a duration of the file; raises ValueError, in words that follow the field's name."""
    try:
        return parse_duration(text)
    except ValueError as error:
        msg = f"must be a duration like 7d, not {described(text)}: {error}"
        raise ValueError(msg) from error


def _read_period(text: str) -> timedelta:
    period = read_duration(text)
    if not period:
        msg = "must be longer than nothing; write null for never"
        raise ValueError(msg)
    return period


def read_money(amount: int | Decimal) -> Decimal:
    """Read USD of the file; raises ValueError, in words that follow the field's name."""
    if isinstance(amount, int):
        return Decimal(amount)
    if amount != amount.quantize(_SMALLEST):
        msg = f"must have at most {MONEY_DECIMALS} decimals, not {described(amount)}"
        raise ValueError(msg)
    return amount


@lru_cache(maxsize=256)  # many keys expire together
def _read_instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        msg = f"must be a date-time with a time zone like 2027-01-01T00:00:00Z, or null, not {described(text)}"
        raise ValueError(msg) from error


# The schema has seen to the types of what arrives here.
_PLAIN: Final = frozenset({"is_enabled", "description", "team", "protected", "verify", "id"})
_READERS: Final[dict[str, Callable[[Any], object]]] = {
    "credit_limit": read_money,
    "expires_at": _read_instant,
    "rotate_every": _read_period,
    "rotation_overlap": read_duration,
    "renamed_from": tuple,
}
