"""The JSON of the account API ↔ values; pure.

Money is `Decimal` (USD) both ways and exact: it never passes through a float. Instants are RFC 3339. Whatever the
service adds to its answers is ignored; what is missing or of another type is an UnexpectedAnswer that names the field
and the key's id, and never repeats a value, because the answer to a POST holds a secret.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn, assert_never

from reconciler.errors import UnexpectedAnswer
from reconciler.model import Activity, CreatedKey, KeyPatch, LiveKey, NewKey, Usage
from reconciler.secret import Secret
from reconciler.units import format_instant, format_money, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | bool | Decimal | datetime | None

_AMOUNT: Final = re.compile(r"-?\d{1,30}(\.\d{1,30})?", re.ASCII)
_FINE_FRACTION: Final = re.compile(r"(\.\d{6})\d+", re.ASCII)
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
_MISSING: Final = object()


def decode_keys(body: bytes) -> tuple[LiveKey, ...]:
    """Read the answer to `GET /account/keys`; raises UnexpectedAnswer."""
    keys = _object(body).get("keys", _MISSING)
    if not isinstance(keys, list):
        _wrong("the answer", "keys", "a list", keys)
    decoded = tuple([_key(raw) for raw in keys])
    if len({key.id for key in decoded}) < len(decoded):
        msg = "the answer: keys has the same id twice"
        raise UnexpectedAnswer(msg)
    return decoded


def decode_key(body: bytes) -> LiveKey:
    """Read a single key, as GET, PATCH and POST answer it; raises UnexpectedAnswer."""
    return _key(_object(body))


def decode_created(body: bytes) -> CreatedKey:
    """Read the answer to `POST /account/keys`, the one that shows the secret; raises UnexpectedAnswer."""
    raw = _object(body)
    secret = raw.get("key", _MISSING)
    if not isinstance(secret, str):
        _wrong("the answer", "key", "the secret as text", secret)
    if not secret.strip() or not _is_unicode(secret):
        msg = "the answer: key must be the secret, but is no usable text"
        raise UnexpectedAnswer(msg)
    return CreatedKey(_key(raw), Secret(secret))


def decode_balance(body: bytes) -> Decimal:
    """Read the answer to `GET /account/balance`, in USD; raises UnexpectedAnswer."""
    return _cost("the answer", "balance", _object(body).get("balance", _MISSING))


def decode_activity(body: bytes, days: int) -> Activity:
    """Read what each key was used for, from the answer to `GET /account/activity`; raises UnexpectedAnswer.

    `days` is what was asked for, and what the answer is about if it says so at all. The sums over all keys, the days
    and the models are not looked at. Use that belongs to no key any more (`api_key_id` null) is left out.
    """
    raw = _object(body)
    period = raw.get("period_days", days)
    if type(period) is not int or period != days:
        _wrong("the answer", "period_days", f"{days}, as asked", period)
    usages = raw.get("api_key_usage", _MISSING)
    if not isinstance(usages, list):
        _wrong("the answer", "api_key_usage", "a list", usages)
    by_key: dict[int, Usage] = {}
    for entry in usages:
        _add_usage(by_key, entry, days)
    return Activity(days, by_key)


def encode_new(new: NewKey) -> bytes:
    """Write the body of a POST; all three fields are always said, null as well."""
    return _encode({"name": new.name, "credit_limit": new.credit_limit, "expires_at": new.expires_at})


def encode_patch(patch: KeyPatch) -> bytes:
    """Write the body of a PATCH: the fields of the patch and no other."""
    fields: dict[str, Value] = {}
    if "name" in patch:
        fields["name"] = patch["name"]
    if "is_enabled" in patch:
        fields["is_enabled"] = patch["is_enabled"]
    if "credit_limit" in patch:
        fields["credit_limit"] = patch["credit_limit"]
    if "expires_at" in patch:
        fields["expires_at"] = patch["expires_at"]
    return _encode(fields)


def _encode(fields: Mapping[str, Value]) -> bytes:
    # By hand, because json.dumps has no way to write a Decimal as a number without going through a float.
    return ("{" + ", ".join(f'"{name}": {_literal(value)}' for name, value in fields.items()) + "}").encode()


def _literal(value: Value) -> str:
    match value:
        case None | bool() | str():
            return json.dumps(value)
        case Decimal():
            if not value.is_finite():
                msg = "an amount of money must be finite"
                raise ValueError(msg)
            return format_money(value)
        case datetime():
            return json.dumps(format_instant(value))
        case _:
            assert_never(value)


def _object(body: bytes) -> dict[str, object]:
    raw = _parse(body)
    if not isinstance(raw, dict):
        msg = f"the answer must be an object, not {_KINDS[type(raw)]}"
        raise UnexpectedAnswer(msg)
    return raw


def _parse(body: bytes) -> object:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        pass  # the exception holds the body; raised from here, ours would carry it along
    msg = "the answer is not JSON"
    raise UnexpectedAnswer(msg)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _key(raw: object) -> LiveKey:
    if not isinstance(raw, dict):
        _wrong("the answer", "a key", "an object", raw)
    get = raw.get
    key_id = get("id", _MISSING)
    if type(key_id) is not int:
        _wrong("a key of the answer", "id", "an integer", key_id)
    name = get("name", _MISSING)
    if not isinstance(name, str):
        _wrong(f"key {key_id}", "name", "text", name)
    is_enabled = get("is_enabled", _MISSING)
    if not isinstance(is_enabled, bool):
        _wrong(f"key {key_id}", "is_enabled", "true or false", is_enabled)
    limit = get("credit_limit", _MISSING)
    amount = None
    if limit is not None and (amount := _amount(limit)) is None:
        _wrong(f"key {key_id}", "credit_limit", "a number of USD or null", limit)
    expiry = get("expires_at")
    return LiveKey(
        id=key_id,
        name=name if _is_unicode(name) else name.encode(errors="replace").decode(),
        created_at=_instant(key_id, "created_at", get("created_at", _MISSING)),
        expires_at=None if expiry is None else _instant(key_id, "expires_at", expiry),
        is_enabled=is_enabled,
        credit_limit=amount,
    )


def _add_usage(by_key: dict[int, Usage], raw: object, days: int) -> None:
    if not isinstance(raw, dict):
        _wrong("the answer", "an entry of api_key_usage", "an object", raw)
    key_id = raw.get("api_key_id", _MISSING)
    if key_id is None:
        return
    if type(key_id) is not int:
        _wrong("an entry of api_key_usage", "api_key_id", "an integer", key_id)
    requests = raw.get("request_count", _MISSING)
    if type(requests) is not int or requests < 0:
        _wrong(f"the usage of key {key_id}", "request_count", "a whole number from 0", requests)
    cost = _cost(f"the usage of key {key_id}", "total_cost", raw.get("total_cost", _MISSING))
    if cost < 0:
        _wrong(f"the usage of key {key_id}", "total_cost", "an amount of USD from 0", raw["total_cost"])
    if earlier := by_key.get(key_id):
        cost, requests = cost + earlier.cost, requests + earlier.requests
    by_key[key_id] = Usage(days, cost, requests)


def _cost(where: str, field: str, raw: object) -> Decimal:
    """Read an amount that the service writes as text, or as a number."""
    if isinstance(raw, str) and _AMOUNT.fullmatch(raw):
        return Decimal(raw)
    amount = _amount(raw)
    if amount is None:
        _wrong(where, field, "a decimal amount of USD", raw)
    return amount


def _amount(raw: object) -> Decimal | None:
    if type(raw) is int:
        raw = Decimal(raw)
    if not isinstance(raw, Decimal) or (raw and not -_MAGNITUDE <= raw.adjusted() <= _MAGNITUDE):
        return None
    return raw


def _instant(key_id: int, field: str, raw: object) -> datetime:
    instant = _read_instant(raw) if isinstance(raw, str) else None
    if instant is None:
        _wrong(f"key {key_id}", field, "a date-time like 2026-03-31T10:00:00Z", raw)
    return instant


def _read_instant(text: str) -> datetime | None:
    if "." in text:
        text = _FINE_FRACTION.sub(r"\1", text)  # nanoseconds, as some servers write them
    try:
        return parse_instant(text)
    except ValueError:
        return None


def _is_unicode(text: str) -> bool:
    """Tell whether the text can be written anywhere: JSON can smuggle in halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _wrong(where: str, field: str, expected: str, raw: object) -> NoReturn:
    found = "but is missing" if raw is _MISSING else f"not {_KINDS[type(raw)]}"
    msg = f"{where}: {field} must be {expected}, {found}"
    raise UnexpectedAnswer(msg)
