"""Turns the JSON of the account API into values and back. Pure.

Money is `Decimal` (USD) both ways and exact: it never passes through a float. Instants are RFC 3339. Whatever the
service adds to its answers is ignored; what is missing or of another type is an UnexpectedAnswer that names the field
and the key's id, and never repeats a value, because the answer to a POST holds a secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, datetime
from decimal import Context, Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, assert_never, cast

from reconciler.errors import IncompleteList, UnexpectedAnswer
from reconciler.http.exchange import MOST_PARTS, too_many_parts
from reconciler.http.redact import redact_names
from reconciler.model import Activity, CreatedKey, KeyPatch, KeyTally, LiveKey, NewKey, Statistics, Tally, Usage
from reconciler.secret import Secret
from reconciler.units import format_instant, format_money, parse_instant, same_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


# The fields of the service's answers, read one by one and complained about by name; pure.
#
# No complaint repeats a value: the answer to a POST holds a secret.

MISSING: Final = object()
"""What stands for a field that is not there, so that it is not null."""

# What counts of a limit: a float somewhere in the service may have left noise behind that.
_MILLIONTH: Final = Decimal("0.000001")
_EXACT: Final = Context(prec=80)
# With an exponent too: that is how Python writes a small decimal.
_AMOUNT: Final = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
# No amount of money has more digits before or after its point; an exponent beyond would fill the memory when written.
_MAGNITUDE: Final = 30
_LONGEST_NUMBER: Final = 400
_ID_END: Final = 2**64
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
    """Return whether the text can be written anywhere: JSON can smuggle in halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def writable(text: str) -> str:
    """Return text that can be written anywhere, `?` in place of what cannot."""
    return text if is_unicode(text) else text.encode(errors="replace").decode()


def wrong(where: str, field: str, expected: str, raw: object) -> NoReturn:
    """Say that a field is not what it should be, or not there."""
    found = "but is missing" if raw is MISSING else f"not {_KINDS[type(raw)]}"
    msg = f"{where}: {field} must be {expected}, {found}"
    raise UnexpectedAnswer(msg)


def _parse(body: bytes) -> object:
    if too_many_parts(body):
        msg = f"the answer has more than {MOST_PARTS:,} parts, so it was not read"
        raise UnexpectedAnswer(msg)
    try:
        return json.loads(body, parse_float=_fraction, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        pass  # the exception holds the body; raised from here, ours would carry it along
    msg = "the answer is not JSON"
    raise UnexpectedAnswer(msg)


def _fraction(text: str) -> Decimal:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError
    return Decimal(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


# Keys and balances: the JSON of the account API ↔ values.

Value = str | bool | Decimal | datetime | None

# By these names, whatever is between their words, services say that a list goes on, and how long it is.
_SAY_MORE: Final = frozenset(
    {
        *("hasmore", "hasnext", "hasnextpage", "more", "truncated", "istruncated"),
        *("next", "nextpage", "nextcursor", "nexturl", "nextlink", "nextoffset", "nextpagetoken", "nexttoken"),
        *("cursor", "endcursor", "continuationtoken"),
    }
)
_TELL_OF_PAGES: Final = frozenset({"meta", "metadata", "page", "pageinfo", "pagination", "paging", "links", "cursors"})
_SAY_HOW_MANY_PAGES: Final = frozenset({"totalpages", "pages", "pagecount", "lastpage"})
_SAY_HOW_MANY: Final = _SAY_HOW_MANY_PAGES | {
    *("total", "totalcount", "totalitems", "totalkeys", "totalresults", "count", "keycount")
}
_ZONELESS: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)
_FINE_FRACTION: Final = re.compile(r"(\.\d{6})\d+", re.ASCII)


def decode_keys(body: bytes) -> tuple[LiveKey, ...]:
    """Read the answer to `GET /account/keys`; raises UnexpectedAnswer.

    Raises IncompleteList when the answer says, in one of the common ways, that there are more keys than it has.
    """
    answer = read_object(body)
    keys = answer.get("keys", MISSING)
    if keys is MISSING and isinstance(answer.get("data"), list):
        raise IncompleteList(not_whole("it comes as data, like lists in pages, and not as keys"))
    if not isinstance(keys, list):
        wrong("the answer", "keys", "a list", keys)
    if sign := _sign_of_more(answer, len(keys)):
        raise IncompleteList(not_whole(f"it says {sign}"))
    decoded = tuple([_key(raw) for raw in keys])
    if len({key.id for key in decoded}) < len(decoded):
        msg = "the answer: keys has the same id twice"
        raise UnexpectedAnswer(msg)
    return decoded


def decode_key(body: bytes) -> LiveKey:
    """Read a single key, as GET, PATCH and POST answer it; raises UnexpectedAnswer."""
    return _key(read_object(body))


def decode_created(body: bytes) -> CreatedKey:
    """Read the answer to `POST /account/keys`, the one that shows the secret; raises UnexpectedAnswer."""
    raw = read_object(body)
    secret = raw.get("key", MISSING)
    if not isinstance(secret, str):
        wrong("the answer", "key", "the secret as text", secret)
    if not secret.strip() or not is_unicode(secret):
        msg = "the answer: key must be the secret, but is no usable text"
        raise UnexpectedAnswer(msg)
    return CreatedKey(_key(raw), Secret(secret))


def decode_balance(body: bytes) -> Decimal:
    """Read the answer to `GET /account/balance`, in USD; raises UnexpectedAnswer."""
    return read_cost("the answer", "balance", read_object(body).get("balance", MISSING))


def decode_activity(body: bytes, days: int) -> Activity:
    """Read what each key was used for, from the answer to `GET /account/activity`; raises UnexpectedAnswer.

    `days` is what was asked for, and what the answer is about if it says so at all. The sums over all keys, the days
    and the models are not looked at. Use that belongs to no key any more (`api_key_id` null) is left out.
    """
    raw = read_object(body)
    period = raw.get("period_days", days)
    if type(period) is not int or period != days:
        wrong("the answer", "period_days", f"{days}, as asked", period)
    usages = raw.get("api_key_usage", MISSING)
    if not isinstance(usages, list):
        wrong("the answer", "api_key_usage", "a list", usages)
    by_key: dict[int, Usage] = {}
    for entry in usages:
        _add_usage(by_key, entry, days)
    return Activity(days, by_key)


def not_whole(why: str) -> str:
    """Return why a list of keys is not the whole account, and that this ends the matter."""
    return (
        f"the list of keys is not the whole account: {why}; reconciler acts on a whole account only, so it stops here"
    )


def redacted(value: _Decoded, credentials: Sequence[Secret]) -> _Decoded:
    """Return what was read from an answer with the credentials hidden in the names of keys and models: they are shown.

    Raises UnexpectedAnswer for a new secret that holds a credential, which would go to destinations.
    """
    redacted: object = value
    match value:
        case tuple():  # of keys
            shown = redact_names([key.name for key in value], credentials)
            if any(key.name is not name for key, name in zip(value, shown, strict=True)):
                redacted = tuple(replace(key, name=name) for key, name in zip(value, shown, strict=True))
        case LiveKey():
            redacted = replace(value, name=_without(value.name, credentials))
        case CreatedKey():
            if redact_names([value.secret.reveal()], credentials)[0] != value.secret.reveal():
                msg = "the answer: key must be a new secret, but is the credential that was sent"
                raise UnexpectedAnswer(msg)
            redacted = CreatedKey(replace(value.key, name=_without(value.key.name, credentials)), value.secret)
        case Statistics():
            models = redact_names([name for name, _ in value.by_model], credentials)
            names = redact_names([tally.name for tally in value.by_key], credentials)
            redacted = replace(
                value,
                by_model=tuple((name, tally) for name, (_, tally) in zip(models, value.by_model, strict=True)),
                by_key=tuple(replace(tally, name=name) for name, tally in zip(names, value.by_key, strict=True)),
            )
        case _:
            pass
    return cast("_Decoded", redacted)


def _without(name: str, credentials: Sequence[Secret]) -> str:
    return redact_names([name], credentials)[0]


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


def _sign_of_more(answer: Mapping[str, object], length: int) -> str | None:
    """Find what says that a list of this length is not all there is, beside the list or one level below."""
    for name, value in answer.items():
        if isinstance(value, dict) and _plain(name) in _TELL_OF_PAGES:
            sign = next((member for member in value if _says_more(member, value[member], length)), None)
            if sign is not None:
                return f"{name}.{sign}"
        elif _says_more(name, value, length):
            return name
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _says_more(name: str, value: object, length: int) -> bool:
    plain = _plain(name)
    if plain in _SAY_MORE:
        return bool(value)
    if plain in _SAY_HOW_MANY:
        limit = 1 if plain in _SAY_HOW_MANY_PAGES else length
        number = read_amount(value)
        return number is not None and number > limit
    return False


def _key(raw: object) -> LiveKey:
    if not isinstance(raw, dict):
        wrong("the answer", "a key", "an object", raw)
    get = raw.get
    key_id = get("id", MISSING)
    if type(key_id) is not int or not 0 <= key_id < _ID_END:
        wrong("a key of the answer", "id", "an integer", key_id)
    name = get("name", MISSING)
    if not isinstance(name, str):
        wrong(f"key {key_id}", "name", "text", name)
    is_enabled = get("is_enabled", MISSING)
    if not isinstance(is_enabled, bool):
        wrong(f"key {key_id}", "is_enabled", "true or false", is_enabled)
    limit = get("credit_limit", MISSING)
    amount = None
    if limit is not None and (amount := read_limit(limit)) is None:
        wrong(f"key {key_id}", "credit_limit", "an amount of USD or null", limit)
    expiry = get("expires_at")
    return LiveKey(
        id=key_id,
        name=writable(name),
        created_at=_instant(key_id, "created_at", get("created_at", MISSING)),
        expires_at=None if expiry is None else _instant(key_id, "expires_at", expiry),
        is_enabled=is_enabled,
        credit_limit=amount,
    )


def _add_usage(by_key: dict[int, Usage], raw: object, days: int) -> None:
    if not isinstance(raw, dict):
        wrong("the answer", "an entry of api_key_usage", "an object", raw)
    key_id = raw.get("api_key_id", MISSING)
    if key_id is None:
        return
    if type(key_id) is not int:
        wrong("an entry of api_key_usage", "api_key_id", "an integer", key_id)
    requests = raw.get("request_count", MISSING)
    if type(requests) is not int or requests < 0:
        wrong(f"the usage of key {key_id}", "request_count", "a whole number from 0", requests)
    cost = read_cost(f"the usage of key {key_id}", "total_cost", raw.get("total_cost", MISSING))
    if cost < 0:
        wrong(f"the usage of key {key_id}", "total_cost", "an amount of USD from 0", raw["total_cost"])
    if earlier := by_key.get(key_id):
        cost, requests = cost + earlier.cost, requests + earlier.requests
    by_key[key_id] = Usage(days, cost, requests)


def _instant(key_id: int, field: str, raw: object) -> datetime:
    instant = _read_instant(raw) if isinstance(raw, str) else None
    if instant is None:
        wrong(f"key {key_id}", field, "a date-time like 2026-03-31T10:00:00Z", raw)
    return instant


def _read_instant(text: str) -> datetime | None:
    if _ZONELESS.fullmatch(text):
        text = f"{text.replace(' ', 'T')}Z"  # what says no zone is meant in UTC
    if "." in text:
        text = _FINE_FRACTION.sub(r"\1", text)  # nanoseconds, as some servers write them
    try:
        return parse_instant(text)
    except ValueError:
        return None


# All that `GET /account/activity` tells: what is left out is named, what is wrong is refused; pure.
#
# The planner's own reading of the same answer is `wire.decode_activity`, which wants little and wants it complete.

_Entry = TypeVar("_Entry")
_Decoded = TypeVar("_Decoded")

# A day may be written as the instant at which it begins.
_DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)([Tt ][\d:.]{5,20}([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)
# Beyond that a count is no count, and to write it out would take more digits than Python allows.
_COUNT_END: Final = 10**18


def decode_statistics(body: bytes, days: int) -> Statistics:
    """Read what the account was used for in the last `days` days; costs in USD, exactly.

    A part, a count or a name that is missing or null is taken for nothing and named in `absent`; total_stats that lacks
    its cost is no total. Raises UnexpectedAnswer for what is of another type, below zero, or about another period, and
    for an entry without its cost or its date.
    """
    raw = read_object(body)
    period = raw.get("period_days", days)
    if type(period) is not int or period != days:
        wrong("the answer", "period_days", f"{days}, as asked", period)
    reader = _Reader(raw)
    return Statistics(
        days,
        total=reader.total(),
        by_day=reader.entries("daily_stats", reader.day),
        by_model=reader.entries("top_models", reader.model),
        by_key=reader.entries("api_key_usage", reader.key),
        absent=tuple(reader.absent),
    )


class _Reader:
    """Reads the parts of one answer and keeps, in order and once, the names of what it lacks."""

    def __init__(self, answer: dict[str, object]) -> None:
        self._answer = answer
        self.absent: dict[str, None] = {}

    def total(self) -> Tally | None:
        part = "total_stats"
        raw = self._known(self._answer, part, part)
        if raw is None:
            return None
        if not isinstance(raw, dict):
            wrong("the answer", part, "an object", raw)
        if self._known(raw, "total_cost", f"{part}.total_cost") is None:
            return None
        return self._tally(part, raw, "total_requests")

    def entries(self, part: str, read: Callable[[str, dict[str, object]], _Entry]) -> tuple[_Entry, ...]:
        raw = self._known(self._answer, part, part)
        if raw is None:
            return ()
        if not isinstance(raw, list):
            wrong("the answer", part, "a list", raw)
        return tuple([read(part, self._entry(part, entry)) for entry in raw])

    def day(self, part: str, raw: dict[str, object]) -> tuple[date, Tally]:
        text = raw.get("date", MISSING)
        day = _read_day(text) if isinstance(text, str) else None
        if day is None:
            wrong(f"an entry of {part}", "date", "a date like 2026-01-20", text)
        return day, self._tally(part, raw, "total_requests")

    def model(self, part: str, raw: dict[str, object]) -> tuple[str, Tally]:
        return self._text(part, raw, "model_name"), self._tally(part, raw, "request_count")

    def key(self, part: str, raw: dict[str, object]) -> KeyTally:
        key_id = raw.get("api_key_id", MISSING)
        if key_id is MISSING:
            self._lacks(f"{part}.api_key_id")
            key_id = None
        if key_id is not None and type(key_id) is not int:
            wrong(f"an entry of {part}", "api_key_id", "an integer", key_id)
        return KeyTally(key_id, self._text(part, raw, "api_key_name"), self._tally(part, raw, "request_count"))

    def _tally(self, part: str, raw: dict[str, object], requests: str) -> Tally:
        where = part if part == "total_stats" else f"an entry of {part}"
        cost = read_cost(where, "total_cost", raw.get("total_cost", MISSING))
        if cost < 0:
            wrong(where, "total_cost", "an amount of USD from 0", raw["total_cost"])
        fields = (requests, "total_input_tokens", "total_output_tokens")
        count, input_tokens, output_tokens = (self._count(part, where, raw, field) for field in fields)
        return Tally(count, cost, input_tokens, output_tokens)

    def _count(self, part: str, where: str, raw: dict[str, object], field: str) -> int:
        count = self._known(raw, field, f"{part}.{field}")
        if count is None:
            return 0
        if type(count) is not int or not 0 <= count < _COUNT_END:
            wrong(where, field, "a whole number from 0", count)
        return count

    def _text(self, part: str, raw: dict[str, object], field: str) -> str:
        text = self._known(raw, field, f"{part}.{field}")
        if text is None:
            return ""
        if not isinstance(text, str):
            wrong(f"an entry of {part}", field, "text", text)
        return writable(text)

    def _entry(self, part: str, raw: object) -> dict[str, object]:
        if not isinstance(raw, dict):
            wrong("the answer", f"an entry of {part}", "an object", raw)
        return raw

    def _known(self, raw: dict[str, object], field: str, name: str) -> object:
        """Return a field; None, and its name is noted, where the answer does not have it."""
        value = raw.get(field)
        if value is None:
            self._lacks(name)
        return value

    def _lacks(self, name: str) -> None:
        self.absent.setdefault(name)


def _read_day(text: str) -> date | None:
    match = _DAY.fullmatch(text)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


# Whether what the service shows of a key is what it was asked for, or what it showed before.

_STATE: Final = attrgetter("name", "is_enabled", "credit_limit", "expires_at")


def altered_fields(asked: KeyPatch, answered: LiveKey) -> str:
    """Return which fields of a key are otherwise than they were asked to be; empty when the service did as told."""
    differences = []
    for field, value in asked.items():
        got = getattr(answered, field)
        if not same_value(got, value):
            differences.append(f"{field} {_show(got)} where {_show(value)} was asked")
    return ", ".join(differences)


def same_key(one: LiveKey, other: LiveKey) -> bool:
    """True for two answers about one key between which nothing has changed."""
    return one.id == other.id and same_value(one.created_at, other.created_at) and same_state(one, other)


def same_state(one: LiveKey, other: LiveKey) -> bool:
    """True when nothing that can be set differs between two keys."""
    return all(map(same_value, _STATE(one), _STATE(other)))


def _show(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return format_money(value)
        case datetime():
            return format_instant(value)
        case _:
            return str(value)
