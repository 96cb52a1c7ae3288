"""What the service answers, as JSON text; money as the documentation has it, exactly."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from reconciler.simulator.quirks import AS_DOCUMENTED, next_page
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.secret import Secret
    from reconciler.simulator.quirks import Pages, Quirks
    from reconciler.simulator.state import Key, State, Total

_MICROS: Final = Decimal(1_000_000)
_CREATED: Final = "API key created. This is the only time that it is shown, so store it now."


def key_list(keys: Iterable[Key], quirks: Quirks = AS_DOCUMENTED, offset: int = 0) -> str:
    """Answer GET /account/keys; where it comes in pages, with those after the first `offset`."""
    shown, name, says = list(keys), "keys", ""
    if quirks.pages:
        total, end = len(shown), offset + quirks.pages.size
        shown = (shown if "oldest" in quirks.pages.says else shown[::-1])[offset:end]
        says, name = _said_of_pages(quirks.pages, end, total)
    return f'{{"{name}": [' + ", ".join(one_key(key, quirks) for key in shown) + f"]{says}}}"


def one_key(key: Key, quirks: Quirks = AS_DOCUMENTED) -> str:
    """Answer GET and PATCH /account/keys/{key_id}."""
    return "{" + _members(key, quirks) + "}"


def created_key(key: Key, secret: Secret, quirks: Quirks = AS_DOCUMENTED) -> str:
    """Answer POST /account/keys: the only answer that ever holds a secret."""
    secret_and_message = f'"key": {json.dumps(secret.reveal())}, "message": {json.dumps(_CREATED)}'
    return f"{{{_members(key, quirks)}, {secret_and_message}}}"


def balance(amount: Decimal) -> str:
    """Answer GET /account/balance."""
    return json.dumps({"balance": _usd(amount)})


def activity(state: State, days: int) -> str:
    """Answer GET /account/activity for the last `days` days, today included; days without requests are left out."""
    until = state.now().date()
    since = until - timedelta(days=days - 1)
    by_day = state.totals("day", since, until)
    return json.dumps(
        {
            "period_days": days,
            "total_stats": {
                "total_requests": sum(total.requests for total in by_day),
                "total_cost": _usd(sum(total.cost_micros for total in by_day) / _MICROS),
                "total_input_tokens": sum(total.input_tokens for total in by_day),
                "total_output_tokens": sum(total.output_tokens for total in by_day),
            },
            "daily_stats": [{"date": t.name, "total_requests": t.requests} | _spent(t) for t in by_day],
            "top_models": [
                {"model_name": t.name, "request_count": t.requests} | _spent(t)
                for t in state.totals("model", since, until)
            ],
            "api_key_usage": [
                {"api_key_id": t.key_id, "api_key_name": t.name, "request_count": t.requests} | _spent(t)
                for t in state.totals("key", since, until)
            ],
        }
    )


def models(names: Iterable[str]) -> str:
    """Answer GET /models."""
    return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


def _members(key: Key, quirks: Quirks) -> str:
    # By hand, because json can write a float or a string but not a Decimal as the number that it is.
    limit = "null" if key.credit_limit is None else quirks.amount(format_money(key.credit_limit))
    expires_at = "null" if key.expires_at is None else f'"{quirks.instant(format_instant(key.expires_at))}"'
    created_at = quirks.instant(format_instant(key.created_at))
    return (
        f'"id": {key.id}, "name": {json.dumps(key.name)}, "created_at": "{created_at}",'
        f' "expires_at": {expires_at}, "is_enabled": {"true" if key.is_enabled else "false"}, "credit_limit": {limit}'
    )


def _said_of_pages(pages: Pages, end: int, total: int) -> tuple[str, str]:
    """Give what an answer says of there being more, and the name of its list."""
    more = end < total
    following = json.dumps(next_page(end) if more else None)
    says = {
        "has_more": f', "has_more": {"true" if more else "false"}',
        "next": f', "next": {following}',
        "cursor": f', "next_cursor": {json.dumps(str(end) if more else None)}',
        "total": f', "total": {total}',
    }
    return "".join(
        text for name, text in says.items() if name in pages.says
    ), "data" if "data" in pages.says else "keys"


def _spent(total: Total) -> dict[str, Any]:
    return {
        "total_cost": _usd(total.cost_micros / _MICROS),
        "total_input_tokens": total.input_tokens,
        "total_output_tokens": total.output_tokens,
    }


def _usd(amount: Decimal) -> str:
    """Write an amount with the two decimals that the documentation shows, or as many more as it has."""
    whole, _, fraction = format_money(amount).partition(".")
    return f"{whole}.{fraction:0<2}"
