"""Short ways to make what the service tells of an account's use, as values and as JSON."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from reconciler.model import KeyTally, Statistics, Tally
from support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TODAY = NOW.date()


def day(ago: int) -> date:
    return TODAY - timedelta(days=ago)


def tally(cost: str, requests: int = 1, input_tokens: int = 0, output_tokens: int = 0) -> Tally:
    return Tally(requests, Decimal(cost), input_tokens, output_tokens)


def used(key_id: int | None, name: str, cost: str, requests: int = 1) -> KeyTally:
    return KeyTally(key_id, name, tally(cost, requests))


def statistics(
    keys: Iterable[KeyTally] = (),
    *,
    days: int = 30,
    by_day: Mapping[int, str] | None = None,
    by_model: Mapping[str, str] | None = None,
    **fields: Any,
) -> Statistics:
    """What is told of some days: use under keys, costs by how many days ago, costs by model; no total by default."""
    dated = tuple((day(ago), tally(cost)) for ago, cost in sorted((by_day or {}).items(), reverse=True))
    models = tuple((name, tally(cost)) for name, cost in (by_model or {}).items())
    return Statistics(
        days, **{"total": None, "by_day": dated, "by_model": models, "by_key": tuple(keys), "absent": (), **fields}
    )


def figures(cost: str = "1.5", **fields: Any) -> dict[str, Any]:
    """The figures of an entry, as the service writes them."""
    return {"total_cost": cost, "total_input_tokens": 10, "total_output_tokens": 5, **fields}


def activity_json(days: int = 30, **parts: Any) -> dict[str, Any]:
    """A whole answer, with one entry in each part."""
    return {
        "period_days": days,
        "total_stats": {"total_requests": 3, **figures()},
        "daily_stats": [{"date": "2026-11-22", "total_requests": 3, **figures()}],
        "top_models": [{"model_name": "gpt-4o", "request_count": 3, **figures()}],
        "api_key_usage": [{"api_key_id": 12, "api_key_name": "ci/tests", "request_count": 3, **figures()}],
        **parts,
    }
