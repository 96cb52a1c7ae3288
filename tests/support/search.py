"""How far Hypothesis searches."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int) -> int:
    """Return how many examples are drawn: the number in the proof, a quarter in the gate, where they are fixed."""
    return number if settings.get_current_profile_name() == "proof" else -(-number // 4)
