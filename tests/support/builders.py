"""Short ways to make the values that tests talk about; every field has a default that does not matter."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from reconciler.diagnostic import Location
from reconciler.model import (
    Activity,
    Address,
    Declaration,
    DeclaredKey,
    Delivery,
    Environment,
    Guardrails,
    LiveKey,
    Rule,
    Snapshot,
    Target,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SOMEWHERE = Location("keys.yaml", 1, 1)


def address(text: str) -> Address:
    environment, _, key = text.partition("/")
    return Address(environment, key)


def dotenv(path: str = ".secrets/test.env", name: str = "NAGA_API_KEY") -> Delivery:
    return Delivery(Target("local", "dotenv", (("path", path),)), name, SOMEWHERE)


def declared(text: str, credit_limit: str | None = "5", **fields: Any) -> DeclaredKey:
    values: dict[str, Any] = {
        "name": text,
        "is_enabled": True,
        "expires_at": None,
        "source": SOMEWHERE,
        "deliver": (dotenv(name="NAGA_" + text.upper().replace("/", "_").replace("-", "_")),),
        **fields,
    }
    return DeclaredKey(address(text), credit_limit=None if credit_limit is None else Decimal(credit_limit), **values)


def live(id: int, name: str, credit_limit: str | None = "5", **fields: Any) -> LiveKey:  # noqa: A002  # the API's word
    values: dict[str, Any] = {"created_at": NOW, "expires_at": None, "is_enabled": True, **fields}
    return LiveKey(id, name, credit_limit=None if credit_limit is None else Decimal(credit_limit), **values)


def declaration(
    keys: Iterable[DeclaredKey] = (), environments: Iterable[str | Environment] = (), **fields: Any
) -> Declaration:
    ordered = tuple(sorted(keys, key=lambda key: key.address))
    stated = {each if isinstance(each, str) else each.name: each for each in environments}
    names = sorted({key.address.environment for key in ordered} | set(stated))
    values: dict[str, Any] = {
        "naming": "{environment}/{key}",
        "environments": {
            name: each if isinstance(each := stated.get(name), Environment) else Environment(name, SOMEWHERE)
            for name in names
        },
        "keys": ordered,
        "source": SOMEWHERE,
        **fields,
    }
    return Declaration(**values)


def snapshot(*keys: LiveKey, now: datetime = NOW) -> Snapshot:
    return Snapshot(keys, now)


def rails(line: int = 1, **values: Any) -> Guardrails:
    """Guardrails of these values, all declared at a line."""
    return Guardrails(**{name: Rule(value, Location("keys.yaml", line, 3)) for name, value in values.items()})


def environment(name: str, line: int = 1, **values: Any) -> Environment:
    """An environment with these guardrails, all declared at a line."""
    return Environment(name, SOMEWHERE, guardrails=rails(line, **values))


def activity(used: Mapping[int, tuple[str, int]], days: int = 30) -> Activity:
    """What keys were used for: by id, what it cost and the number of requests."""
    return Activity(days, {key_id: Usage(days, Decimal(cost), count) for key_id, (cost, count) in used.items()})
