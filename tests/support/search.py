"""How far Hypothesis searches."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int, *, gate: int | None = None) -> int:
    """Return how many are drawn: the number in the proof; a quarter, or `gate`, in the gate, where they are fixed."""
    if settings.get_current_profile_name() == "proof":
        return number
    return -(-number // 4) if gate is None else gate
