"""What a client may send, read as strictly as the documentation states it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn

from reconciler.simulator.refusal import bad_request
from reconciler.units import MONEY_LIMIT, parse_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from reconciler.simulator.state import KeyChanges

LONGEST_NAME: Final = 255
_MOST_DECIMALS: Final = 400  # the smallest float needs 342; one number must not become a page of zeros


def read_object(body: bytes, ignored: Collection[str] = ()) -> dict[str, object]:
    """Read the body as a JSON object with exact numbers, without the fields that the service is told to ignore."""
    try:
        value = json.loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        bad_request("the body is not valid JSON")
    if not isinstance(value, dict):
        bad_request("the body must be a JSON object")
    return {name: field for name, field in value.items() if name not in ignored}


def read_new_key(fields: Mapping[str, object], now: datetime) -> tuple[str, Decimal | None, datetime | None]:
    """Read what POST takes: name, credit_limit and expires_at; unknown fields say nothing."""
    return (
        _name(fields.get("name")),
        _credit_limit(fields.get("credit_limit")),
        _expires_at(fields.get("expires_at"), now),
    )


def read_changes(fields: Mapping[str, object], now: datetime) -> KeyChanges:
    """Read what PATCH takes; null leaves a name and is_enabled alone, but removes a limit and an expiry."""
    changes: KeyChanges = {}
    if fields.get("name") is not None:
        changes["name"] = _name(fields["name"])
    if fields.get("is_enabled") is not None:
        changes["is_enabled"] = _is_enabled(fields["is_enabled"])
    if "credit_limit" in fields:
        changes["credit_limit"] = _credit_limit(fields["credit_limit"])
    if "expires_at" in fields:
        changes["expires_at"] = _expires_at(fields["expires_at"], now)
    return changes


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME or not _is_text(value):
        bad_request(f"name must be a string of 1 to {LONGEST_NAME} characters")
    return value


def _is_enabled(value: object) -> bool:
    if not isinstance(value, bool):
        bad_request("is_enabled must be true, false or null")
    return value


def _credit_limit(value: object) -> Decimal | None:
    if value is None:
        return None
    if not isinstance(value, Decimal) or not 0 <= value <= MONEY_LIMIT:
        bad_request(f"credit_limit must be a number from 0 to {MONEY_LIMIT:f}, or null")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_MOST_DECIMALS:
        bad_request("credit_limit has too many decimals")
    return value


def _expires_at(value: object, now: datetime) -> datetime | None:
    if value is None:
        return None
    try:
        instant = parse_instant(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None:
        bad_request("expires_at must be a date-time with a time zone, like 2027-01-01T00:00:00Z, or null")
    if instant <= now:
        bad_request("expires_at must be in the future")
    return instant


def _is_text(value: str) -> bool:
    """Tell a real string from one with half a character in it, which JSON can spell and UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_number(constant: str) -> NoReturn:
    raise ValueError(constant)
