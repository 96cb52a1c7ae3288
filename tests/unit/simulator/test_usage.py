from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.simulator import State
from reconciler.simulator.fields import generate
from support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.simulator.state import Total

FIRST_DAY = NOW.date() - timedelta(days=29)


@pytest.fixture
def state() -> Iterator[State]:
    with State(":memory:", clock=lambda: NOW) as opened:
        opened.create_key("small", Decimal(5))
        opened.create_key("large", Decimal(500))
        opened.create_key("unlimited")
        opened.create_key("blocked", Decimal(0))
        opened.create_key("off", Decimal(100), is_enabled=False)
        yield opened


def spent(state: State) -> dict[str, Total]:
    return {total.name: total for total in state.totals("key", FIRST_DAY, NOW.date())}


def test_every_key_that_can_spend_does_and_stays_below_its_limit(state: State) -> None:
    generate(state)
    totals = spent(state)
    assert set(totals) == {"small", "large", "unlimited"}
    assert 0 < totals["small"].cost_micros < 5_000_000
    assert totals["small"].cost_micros < totals["large"].cost_micros < 500_000_000


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(state: State) -> None:
    generate(state, seed=1)
    first = spent(state)
    generate(state, seed=2)
    assert spent(state) != first


def test_one_more_key_changes_nobody_elses_numbers(state: State) -> None:
    generate(state)
    before = spent(state)
    state.delete_key(2)
    state.create_key("another", Decimal(50))
    generate(state)
    after = spent(state)
    assert after.pop("another").requests > 0
    assert after == before


def test_usage_covers_the_days_asked_for_with_quieter_weekends(state: State) -> None:
    generate(state, days=7)
    days = {total.name: total.requests for total in state.totals("day", FIRST_DAY, NOW.date())}
    assert list(days) == [f"2026-11-{day}" for day in range(16, 23)]
    assert max(days["2026-11-21"], days["2026-11-22"]) < min(days[f"2026-11-{day}"] for day in range(16, 21))


def test_the_balance_is_left_alone(state: State) -> None:
    before = state.balance()
    generate(state)
    assert state.balance() == before
