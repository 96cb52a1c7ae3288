"""Reads what a client sends as strictly as the documentation has it; writes error answers, and makes up usage."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn

from reconciler.simulator.state import Usage
from reconciler.units import MONEY_LIMIT, parse_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import date, datetime

    from reconciler.simulator.state import Key, KeyChanges, State


# Spend that looks real, for trying out what reports on it: the same account and seed give the same numbers.

LONGEST_DAYS: Final = 30

_WITHOUT_LIMIT: Final = Decimal(150)
_WEEKEND: Final = 0.25
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Model:
    """A model with its prices, in USD a million tokens, and the size of a usual request, in tokens."""

    name: str
    input_price: Decimal
    output_price: Decimal
    input_tokens: int
    output_tokens: int

    def cost_micros(self, input_tokens: int, output_tokens: int) -> int:
        """Price tokens in millionths of a USD, which is what one token costs at a USD a million."""
        return round(input_tokens * self.input_price + output_tokens * self.output_price)


MODELS: Final = (
    Model("gpt-4o", Decimal("2.50"), Decimal(10), 900, 350),
    Model("gpt-4o-mini", Decimal("0.15"), Decimal("0.60"), 1_200, 400),
    Model("claude-sonnet-4", Decimal(3), Decimal(15), 1_500, 500),
    Model("gemini-2.5-flash", Decimal("0.30"), Decimal("2.50"), 2_000, 300),
    Model("llama-3.3-70b-instruct", Decimal("0.10"), Decimal("0.25"), 800, 250),
)


def generate(state: State, *, seed: int = 0, days: int = LONGEST_DAYS) -> None:
    """Let every enabled key spend for `days` days up to today (UTC), in proportion to its limit and below it.

    Days before a key's creation are filled too, so that an account made a minute ago has a past to show. The balance
    stays as it is: it is what is left after that spend. Usage already there for the same day, key and model goes.
    """
    today = state.now().date()
    past = [today - timedelta(days=ago) for ago in range(days)]
    keys = state.keys()
    state.record(usage for key in keys if key.is_enabled for usage in _spend(key, past, seed))


def _spend(key: Key, days: list[date], seed: int) -> Iterator[Usage]:
    # A generator of its own for each key, so that one more key changes nobody else's numbers.
    chance = random.Random(f"{seed}:{key.id}")  # noqa: S311  # numbers that look real, not secrets
    monthly = _WITHOUT_LIMIT if key.credit_limit is None else key.credit_limit
    share = chance.uniform(0.1, 0.85)
    models = chance.sample(MODELS, k=chance.randint(1, 3))
    for day in days:
        rhythm = (_WEEKEND if day.weekday() >= _SATURDAY else 1) * chance.uniform(0.4, 1)
        for model in models:
            budget = float(monthly) * 1_000_000 / LONGEST_DAYS * share * rhythm / len(models)
            usage = _day(key, day, model, budget, chance)
            if usage.requests:
                yield usage


def _day(key: Key, day: date, model: Model, budget_micros: float, chance: random.Random) -> Usage:
    each = model.cost_micros(model.input_tokens, model.output_tokens)
    requests = int(budget_micros / each)
    input_tokens = int(requests * model.input_tokens * chance.uniform(0.7, 1))
    output_tokens = int(requests * model.output_tokens * chance.uniform(0.7, 1))
    cost = model.cost_micros(input_tokens, output_tokens)
    return Usage(day, key.id, model.name, requests, input_tokens, output_tokens, cost)


# The error answers of the service.

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    405: "method_not_allowed",
    422: "invalid_request_error",
    429: "rate_limit_exceeded",
}
_CLIENTS_FAULT: Final = range(400, 500)


def error_type(status: int) -> str:
    """Name the `type` of an error status; those that the documentation leaves open are of our making."""
    return _TYPES.get(status, "invalid_request_error" if status in _CLIENTS_FAULT else "server_error")


def error_body(status: int, message: str) -> dict[str, dict[str, str]]:
    """Make the documented body of an error."""
    return {"error": {"type": error_type(status), "message": message}}


class Refusal(Exception):
    """A request that the service answers with an error status."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep the status, what the service says, and the headers that go with it."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def bad_request(message: str) -> NoReturn:
    """Refuse a field or a value."""
    raise Refusal(400, message)


def unauthenticated(message: str) -> NoReturn:
    """Refuse a credential, or the lack of one."""
    raise Refusal(401, message, {"WWW-Authenticate": "Bearer"})


def no_such_key() -> NoReturn:
    """Refuse an id that belongs to no key."""
    message = "there is no such API key"
    raise Refusal(404, message)


# What a client may send, read as strictly as the documentation states it.

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
    """Return a real string from one with half a character in it, which JSON can spell and UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_number(constant: str) -> NoReturn:
    raise ValueError(constant)
