"""Reads the fields of keys, guardrails and alerts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast

from reconciler.declaration.destinations import read_deliver
from reconciler.declaration.parser import Fields, described, location
from reconciler.model import LONGEST_DAYS, Alerts, Guardrails, Raise, Rule, SpendSpike
from reconciler.units import MONEY_DECIMALS, parse_duration, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from reconciler.declaration.destinations import Destination, Drop
    from reconciler.declaration.parser import Items, Report


_SHORTEST_PERIOD: Final = timedelta(days=1)
LEASE_TTL: Final = timedelta(minutes=15)
LEASES_OPEN: Final = 10
"""What a lease has that says nothing of it."""

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
    renew: str | None
    raised: Raise | None
    verify: bool
    id: int
    renamed_from: tuple[str, ...]


def read_fields(node: Fields, destinations: Mapping[str, Destination | None], report: Report) -> KeyFields:
    """Read the fields of KeyFields from a mapping that is sound in shape; reports and takes out what makes no sense."""
    values: dict[str, Any] = {}
    unsound: list[str] = []
    for name, value in node.items():
        if name == "raise":
            values["raised"] = None if value is None else _read_raise(cast("Fields", value), report)
        elif name in _PLAIN or value is None:
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


class LeaseFields(TypedDict):
    """What a lease says."""

    credit_limit: Decimal | None
    ttl: timedelta
    max_open: int
    description: str | None
    team: str | None


def read_lease(node: Fields, report: Report) -> LeaseFields:
    """Read a lease that is sound in shape; reports what makes no sense and gives the default in its place."""
    sound: dict[str, object] = {"credit_limit": None, "ttl": LEASE_TTL}
    for name, value in node.items():
        if name in sound and value is not None:
            try:
                sound[name] = _LEASE_READERS[name](value)
            except ValueError as error:
                report.error(node.value_marks[name], f"{name} {error}")
    plain = {name: node.get(name) for name in ("description", "team")}
    return cast("LeaseFields", {**sound, **plain, "max_open": node.get("max_open", LEASES_OPEN)})


def read_duration(text: str) -> timedelta:
    """Read a duration of the file; raises ValueError, in words that follow the field's name."""
    try:
        return parse_duration(text)
    except ValueError as error:
        msg = f"must be a duration like 7d, not {described(text)}: {error}"
        raise ValueError(msg) from error


def _read_ttl(text: str) -> timedelta:
    ttl = read_duration(text)
    if not ttl:
        msg = "must be longer than nothing"
        raise ValueError(msg)
    return ttl


def _read_raise(node: Fields, report: Report) -> Raise | None:
    if not {"to", "until"} <= node.keys():  # the schema has said so
        return None
    name = "to"
    try:
        to = read_money(cast("int | Decimal", node[name]))
        name = "until"
        return Raise(to, _read_instant(cast("str", node[name])))
    except ValueError as error:
        report.error(node.value_marks[name], f"{name} {error}")
        return None


def _read_period(text: str) -> timedelta:
    period = read_duration(text)
    if period < _SHORTEST_PERIOD:
        months = f": m is minutes, for months write {30 * int(text[:-1])}d" if text.endswith("m") else ""
        msg = f"must be at least 1d, or null for never, not {described(text)}{months}"
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
_PLAIN: Final = frozenset({"is_enabled", "description", "team", "protected", "verify", "id", "renew"})
_READERS: Final[dict[str, Callable[[Any], object]]] = {
    "credit_limit": read_money,
    "expires_at": _read_instant,
    "rotate_every": _read_period,
    "rotation_overlap": read_duration,
    "renamed_from": tuple,
}


_LEASE_READERS: Final[dict[str, Callable[[Any], object]]] = {"credit_limit": read_money, "ttl": _read_ttl}


# The guardrails of the account and of environments, and its alerts, each with the place that says so.

_STANDING_ALONE: Final = ("credit_budget", "protected")
"""Those that an environment may also say without `guardrails` around them."""


def read_account(root: Fields, report: Report) -> Guardrails:
    """Read what holds for the account; reports and leaves out what makes no sense."""
    return Guardrails(**_rules(_group(root), report))


def read_environment(node: Fields, report: Report) -> Guardrails:
    """Read what holds for an environment, which may say some of it in two places, but only in one of them."""
    group = _group(node)
    for name in _STANDING_ALONE:
        if name in node.key_marks and name in group.key_marks:
            first = location(group.key_marks[name])
            report.error(node.key_marks[name], f"{name} stands in guardrails too, at {first}; keep one")
    alone = Fields(node.mark)
    for name in _STANDING_ALONE:
        if name in node:
            alone.take(node, name)
    return Guardrails(**{**_rules(group, report), **_rules(alone, report)})


def read_alerts(root: Fields, report: Report) -> Alerts:
    """Read what is worth a word; reports and leaves out what makes no sense."""
    return Alerts(**_rules(_group(root, "alerts"), report))


def _group(node: Fields, name: str = "guardrails") -> Fields:
    return cast("Fields", node.get(name, Fields(node.mark)))


def _rules(node: Fields, report: Report) -> dict[str, Any]:
    """Return the rules of a mapping that is sound in shape; one that is `false` is no rule and is left out."""
    rules = {}
    for name, value in node.items():
        try:
            read = _RULE_READERS[name](value)
        except ValueError as error:
            report.error(node.value_marks[name], f"{name} {error}")
            continue
        if read is not False:
            rules[name] = Rule(read, location(node.key_marks[name]))
    return rules


def _read_count(count: int | None) -> int | None:
    return count


def _read_shares(given: Decimal | list[Decimal]) -> tuple[Decimal, ...]:
    shares = tuple(map(Decimal, given)) if isinstance(given, list) else (Decimal(given),)
    if any(share <= before for before, share in pairwise(shares)):
        msg = "must be in rising order: the last one is an error, the others are warnings"
        raise ValueError(msg)
    return shares


def _read_spike(node: Fields) -> SpendSpike | Literal[False]:
    if not {"factor", "over"} <= node.keys():  # the schema has said so
        return False
    factor, over = Decimal(cast("int | Decimal", node["factor"])), _read_rule_period(cast("str", node["over"]))
    if factor <= 1:
        msg = f"has to have a factor above 1, not {described(node['factor'])}"
        raise ValueError(msg)
    if over % _SHORTEST_PERIOD or not _FEWEST_DAYS <= over <= _MOST_DAYS:
        days = f"{_FEWEST_DAYS.days}d to {_MOST_DAYS.days}d"
        msg = f"has to be over {days} in whole days, of which the service tells no more, not {described(node['over'])}"
        raise ValueError(msg)
    least = cast("int | Decimal", node.get("at_least", _LEAST_SPIKE))
    return SpendSpike(factor, over, read_money(least))


_LEAST_SPIKE: Final = 1
_FEWEST_DAYS: Final = timedelta(days=3)
_MOST_DAYS: Final = timedelta(days=LONGEST_DAYS - 2)
"""Today is not whole, and the last whole day is what is compared."""


def _read_rule_period(text: str) -> timedelta:
    period = read_duration(text)
    if not period:
        msg = "must be longer than nothing; leave it out where nothing is to be guarded"
        raise ValueError(msg)
    return period


def _read_recent(text: str) -> timedelta:
    period = _read_rule_period(text)
    if period > timedelta(days=LONGEST_DAYS):
        msg = f"must be at most {LONGEST_DAYS}d, because the service tells no more of the past, not {described(text)}"
        raise ValueError(msg)
    return period


# The schema has seen to the names and types of what arrives here.
_RULE_READERS: Final[dict[str, Callable[[Any], object]]] = {
    "max_deletions": _read_count,
    "protected": bool,
    "protect_active": _read_recent,
    "credit_budget": read_money,
    "max_credit_limit": read_money,
    "require_limit": bool,
    "max_lifetime": _read_rule_period,
    "require_rotation": bool,
    "limit_below_spend": bool,
    "balance_below": read_money,
    "runway_below": _read_rule_period,
    "key_spend_above": _read_shares,
    "spend_spike": _read_spike,
    "expiring_within": _read_rule_period,
    "rotation_overdue": bool,
    "drift": bool,
    "unmanaged": bool,
    "undelivered": bool,
}
