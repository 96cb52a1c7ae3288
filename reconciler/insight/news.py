"""What is new about alerts since somebody was told the last time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from reconciler.insight.alerts import Alert, Verdict

Identity = tuple[str, str, str, str]
"""The account, the alert, what it is about, and its severity."""


@dataclass(frozen=True, slots=True)
class News:
    """What there is to tell: all that fires, which of it was told before, and what is over.

    `told` is what has been told once this has been.
    """

    alerts: tuple[Alert, ...]
    known: frozenset[Identity]
    gone: tuple[Identity, ...]
    told: frozenset[Identity]

    @property
    def all_well(self) -> bool:
        """Whether everything that was told before is over, and nothing else fires."""
        return not self.told


def news(verdict: Verdict, told: AbstractSet[Identity]) -> News | None:
    """Say what to tell to somebody who was told this before; None where nothing has changed.

    An alert that could not be judged this time is neither over nor new. Only that amounts have moved is no news.
    """
    current = {alert.identity for alert in verdict.alerts}
    unjudged = {(each.account, each.rule.value) for each in verdict.unjudged}
    now = frozenset(current | {each for each in told if each[:2] in unjudged and each[:3] not in _bare(current)})
    if now == told:
        return None
    gone = sorted(each for each in told - now if each[:3] not in _bare(now))
    return News(verdict.alerts, frozenset(told & current), tuple(gone), now)


def _bare(identities: AbstractSet[Identity]) -> set[tuple[str, ...]]:
    """Leave the severity aside."""
    return {each[:3] for each in identities}
