"""Spend that looks real, for trying out what reports on it: the same account and seed give the same numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.simulator.state import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from reconciler.simulator.state import Key, State

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
