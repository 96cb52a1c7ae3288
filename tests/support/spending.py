"""Use of the keys of a simulated account, written down as if it had happened."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.simulator.state import Usage

if TYPE_CHECKING:
    from reconciler.simulator import State


def spend(state: State, key_id: int, cost: int, requests: int = 10, *, days_ago: int = 0) -> None:
    """Have a key spend USD on one day."""
    day = (state.now() - timedelta(days=days_ago)).date()
    state.record([Usage(day, key_id, "gpt", requests, 1, 1, cost * 1_000_000)])
