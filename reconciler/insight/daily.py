"""Use by day where the service tells none: what the last n days have and the last n-1 have not, is that of one day.

The service may answer each window as of another moment, up to five minutes apart. A shorter window then knows of use
that a longer one does not, and their difference is below zero. It counts as nothing, and is taken off the days after
it: the days add up to the longest window, and none of them is below zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.model import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from reconciler.insight.breakdown import Breakdown, Group
    from reconciler.model import Statistics


@dataclass(frozen=True, slots=True)
class Days:
    """A breakdown whose lines have their days; `corrected` counts the days of lines that had come out below zero."""

    breakdown: Breakdown
    corrected: int


def with_days(
    breakdown: Breakdown,
    windows: Mapping[int, Statistics],
    tallies: Callable[[Statistics], Mapping[Group, Tally]],
    today: date,
) -> Days:
    """Add the days to the lines of a breakdown; `windows` has those of 1 to `breakdown.days` days.

    `tallies` adds up one window as the breakdown was made. Lines that stand for no use under a key or a model get none,
    nor does a day without use.
    """
    found = [tallies(windows[days]) for days in range(breakdown.days, 0, -1)]
    corrected = 0
    lines = []
    for line in breakdown.lines:
        each = [window.get(line.group, Tally()) for window in found]
        differences, wrong = spread(each)
        corrected += wrong
        dated = ((today - timedelta(days=len(each) - 1 - at), tally) for at, tally in enumerate(differences))
        lines.append(replace(line, daily=tuple((day, tally) for day, tally in dated if tally != Tally())))
    return Days(replace(breakdown, lines=tuple(lines)), corrected)


def spread(windows: Sequence[Tally]) -> tuple[list[Tally], int]:
    """Give the use of each day, the oldest first, from windows that get shorter by a day, the longest first.

    Also counts the days whose difference was below zero. The days add up to the first window.
    """
    days: list[Tally] = []
    so_far = Tally()
    wrong = 0
    for at, window in enumerate(windows):
        shorter = windows[at + 1] if at + 1 < len(windows) else Tally()
        wrong += _lowest(window, shorter) != shorter
        # All that is older than the shorter window; never less than was counted before.
        older = _highest(so_far, windows[0] - shorter)
        days.append(older - so_far)
        so_far = older
    return days, wrong


def _highest(one: Tally, other: Tally) -> Tally:
    return Tally(
        max(one.requests, other.requests),
        max(one.cost, other.cost),
        max(one.input_tokens, other.input_tokens),
        max(one.output_tokens, other.output_tokens),
    )


def _lowest(one: Tally, other: Tally) -> Tally:
    return one - _highest(one - other, Tally())
