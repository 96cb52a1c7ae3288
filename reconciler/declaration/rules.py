"""The guardrails of the account and of environments, and its alerts, each with the place that says so."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from reconciler.declaration.fields import read_duration, read_money
from reconciler.declaration.nodes import Fields, location
from reconciler.declaration.wording import described
from reconciler.model import LONGEST_DAYS, Alerts, Guardrails, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.declaration.nodes import Report

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
    """Give the rules of a mapping that is sound in shape; one that is `false` is no rule and is left out."""
    rules = {}
    for name, value in node.items():
        try:
            read = _READERS[name](value)
        except ValueError as error:
            report.error(node.value_marks[name], f"{name} {error}")
            continue
        if read is not False:
            rules[name] = Rule(read, location(node.key_marks[name]))
    return rules


def _read_count(count: int | None) -> int | None:
    return count


def _read_period(text: str) -> timedelta:
    period = read_duration(text)
    if not period:
        msg = "must be longer than nothing; leave it out where nothing is to be guarded"
        raise ValueError(msg)
    return period


def _read_recent(text: str) -> timedelta:
    period = _read_period(text)
    if period > timedelta(days=LONGEST_DAYS):
        msg = f"must be at most {LONGEST_DAYS}d, because the service tells no more of the past, not {described(text)}"
        raise ValueError(msg)
    return period


# The schema has seen to the names and types of what arrives here.
_READERS: Final[dict[str, Callable[[Any], object]]] = {
    "max_deletions": _read_count,
    "protected": bool,
    "protect_active": _read_recent,
    "credit_budget": read_money,
    "max_credit_limit": read_money,
    "require_limit": bool,
    "max_lifetime": _read_period,
    "require_rotation": bool,
    "limit_below_spend": bool,
    "balance_below": read_money,
    "runway_below": _read_period,
    "key_spend_above": Decimal,
    "expiring_within": _read_period,
    "rotation_overdue": bool,
    "drift": bool,
    "unmanaged": bool,
    "undelivered": bool,
}
