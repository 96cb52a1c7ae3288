"""What a plan takes from people and what it gives them, beside what it does to keys.

A renewal, a rename, the end of a rotation, the return of a key and the cleanup of one that is dead change nobody's
access. They are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.planning import guardrails
from reconciler.planning.actions import ActionKind, Create, Delete, Finish, Rename, Renew, Restore, Retire
from reconciler.planning.places import deliveries_of

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from reconciler.model import Delivery
    from reconciler.planning.actions import AccountPlan, Action, Plan

CLEANUP: Final = "cleanup"
MOVES: Final = (
    ActionKind.RENEW.value,
    ActionKind.RENAME.value,
    ActionKind.FINISH.value,
    ActionKind.RESTORE.value,
    CLEANUP,
)
"""What moves are counted by: the words of their actions, and one for the deletion of keys that are dead already."""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit that changes, in USD; None is no limit."""

    action: Action
    before: Decimal | None
    after: Decimal | None


@dataclass(frozen=True, slots=True)
class ExpiryChange:
    """An expiry that changes; None is never."""

    action: Action
    before: datetime | None
    after: datetime | None


@dataclass(slots=True)
class Power:
    """What a plan takes and gives; each list in the order of the plan.

    `disabling` are keys that stop to work and can be enabled again: disabled, retired, or replaced with so short an
    overlap that nobody can take the new secret over in time.
    """

    deletions: list[Delete] = field(default_factory=list)
    disabling: list[Action] = field(default_factory=list)
    lower_limits: list[LimitChange] = field(default_factory=list)
    earlier_expiries: list[ExpiryChange] = field(default_factory=list)
    new_keys: list[Create] = field(default_factory=list)
    raised_limits: list[LimitChange] = field(default_factory=list)
    removed_limits: list[LimitChange] = field(default_factory=list)
    enabling: list[Action] = field(default_factory=list)
    later_expiries: list[ExpiryChange] = field(default_factory=list)
    removed_expiries: list[ExpiryChange] = field(default_factory=list)
    new_places: list[tuple[Action, Delivery]] = field(default_factory=list)
    moves: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOVES, 0))

    @property
    def takes(self) -> bool:
        """Whether anybody loses something."""
        return bool(self.deletions or self.disabling or self.lower_limits or self.earlier_expiries)


def power_of(plan: Plan | AccountPlan) -> Power:
    """Sum up what a plan takes and gives."""
    power = Power()
    for action in plan.actions:
        _count(action, power, plan.created_at)
        power.new_places += [(action, delivery) for delivery in deliveries_of(action) if delivery.new]
    return power


def _count(action: Action, power: Power, now: datetime) -> None:
    match action:
        case Create():
            power.new_keys.append(action)
            return
        case Delete():
            if guardrails.cuts_off(action, now):
                power.deletions.append(action)
            else:
                power.moves[CLEANUP] += 1
            return
        case Renew() | Rename() | Finish() | Restore():
            power.moves[action.kind.value] += 1
        case _:
            pass
    before, after = guardrails.held(action), guardrails.outcome(action)
    assert before is not None  # noqa: S101  # only a creation has none
    assert after is not None  # noqa: S101  # only a deletion has none
    if isinstance(action, Retire) or guardrails.disables(action):
        power.disabling.append(action)
    elif after.is_enabled and not before.is_enabled and not isinstance(action, Restore):
        power.enabling.append(action)
    _compare_limits(LimitChange(action, *guardrails.limits_of(action)), power)
    _compare_expiries(ExpiryChange(action, before.expires_at, after.expires_at), power)


def _compare_limits(change: LimitChange, power: Power) -> None:
    if guardrails.is_lower(change.after, change.before):
        power.lower_limits.append(change)
    elif guardrails.is_lower(change.before, change.after):
        (power.removed_limits if change.after is None else power.raised_limits).append(change)


def _compare_expiries(change: ExpiryChange, power: Power) -> None:
    if guardrails.is_earlier(change.after, change.before):
        power.earlier_expiries.append(change)
    elif guardrails.is_earlier(change.before, change.after):
        (power.removed_expiries if change.after is None else power.later_expiries).append(change)
