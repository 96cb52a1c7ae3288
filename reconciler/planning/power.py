"""What a plan takes from people and what it gives them, beside what it does to keys.

A renewal, a rename, the end of a rotation, the return of a key and the cleanup of one that is dead change nobody's
access. They are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.planning import budgets
from reconciler.planning.actions import (
    ActionKind,
    Create,
    Delete,
    DeleteReason,
    Field,
    Finish,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Update,
)
from reconciler.planning.names import period_of
from reconciler.units import format_duration, show_expiry, show_limit

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from reconciler.model import Delivery, KeyState, LiveKey
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


# What an action does to the people who use the key.

SHORTEST_OVERLAP: Final = timedelta(hours=1)
"""An overlap below this leaves nobody the time to take the new secret over."""

_DECIDED: Final = frozenset(
    {DeleteReason.UNDECLARED, DeleteReason.REMOVED, DeleteReason.LIVE_ONLY, DeleteReason.UNMANAGED}
)
# An old key is named by the second at which it ends. The service may keep a fraction more, or round it up.
_ALMOST_OVER: Final = timedelta(minutes=1)


def removes(action: Action, now: datetime) -> bool:
    """True when a key goes that may have users: somebody decided it, or the key still works whatever its name says."""
    if not isinstance(action, Retire | Delete):
        return False
    return action.reason in _DECIDED or (isinstance(action, Delete) and works(action.live, now))


def works(key: LiveKey, now: datetime) -> bool:
    """True when the service accepts the key, by what it says of it, and goes on to do so for a while."""
    return key.is_enabled and (key.expires_at is None or key.expires_at > now + _ALMOST_OVER)


def cuts_off(action: Action, now: datetime) -> bool:
    """True when a key that may have users is deleted, False where they have been without it for a while."""
    return isinstance(action, Delete) and removes(action, now)


def held(action: Action) -> LiveKey | None:
    """Return the key that people use until the action is carried out."""
    match action:
        case Create():
            return None
        case Finish(live=live, old=old):
            return old or live
        case _:
            return action.live


def outcome(action: Action) -> KeyState | None:
    """Return what people have once it is; None when the key goes for good."""
    match action:
        case Create() | Rotate():
            return action.declared.state
        case Delete():
            return None
        case _:
            return action.after


def disables(action: Action) -> bool:
    """Return whether a key that works stops to work but can be enabled again."""
    before, after = held(action), outcome(action)
    if before is None or after is None or not before.is_enabled:
        return False
    return not after.is_enabled or lacks_overlap(action)


def limits_of(action: Action) -> tuple[Decimal | None, Decimal | None]:
    """Return the limits before and after an action that changes or replaces a key, in USD.

    Those of the period where a budget renews: what the key spent before it makes the live limit no higher.
    """
    before, after = held(action), outcome(action)
    assert before is not None  # noqa: S101  # only a creation has none
    assert after is not None  # noqa: S101  # only a deletion has none
    if isinstance(action, Rotate) or (period_of(after.name) and not isinstance(action, Restore)):
        return budgets.allowance(before), budgets.allowance(after)
    return before.credit_limit, after.credit_limit


def ends_raise(action: Action, now: datetime) -> bool:
    """True when an action lowers a limit because the time of its raise is over: that was reviewed with the raise."""
    if not isinstance(action, Update | Renew | Rotate | Finish):
        return False
    key = held(action)
    return key is not None and budgets.ends_raise(action.declared, key, now)


def is_lower(limit: Decimal | None, other: Decimal | None) -> bool:
    """Compare two limits; None is no limit."""
    return limit is not None and (other is None or limit < other)


def name_of(action: Action) -> str:
    """Return what an action goes by on its own: the address, else the live name."""
    return action.live.name if action.address is None else str(action.address)


def lacks_overlap(action: Action) -> bool:
    """True when a key is replaced by another and ends at once, or nearly so."""
    replaces = isinstance(action, Rotate) or (isinstance(action, Finish) and action.old is not None)
    return isinstance(action, Rotate | Finish) and replaces and (action.overlap or timedelta()) < SHORTEST_OVERLAP


def is_earlier(expiry: datetime | None, other: datetime | None) -> bool:
    """Compare two expiries; None is never."""
    return expiry is not None and (other is None or expiry < other)


def new_limit(action: Action) -> tuple[LiveKey, Decimal] | None:
    """Return the limit that a live key gets which goes on with what it has spent, and the key; None for none."""
    match action:
        case Update() | Rename() | Restore() | Finish():
            limit = action.after.credit_limit
            return None if limit is None or Field.CREDIT_LIMIT not in action.fields else (action.live, limit)
        case _:
            return None


def endings_of(action: Action, now: datetime) -> list[str]:
    """Return what an action does that ends a key, or ends it earlier: `disable it`, `let it expire at …`."""
    if removes(action, now):
        return ["retire it" if isinstance(action, Retire) else "delete it"]
    found = ["disable it"] if disables(action) and not lacks_overlap(action) else []
    before, after = held(action), outcome(action)
    if before is not None and after is not None and is_earlier(after.expires_at, before.expires_at):
        found.append(f"let it expire at {show_expiry(after.expires_at)} instead of {show_expiry(before.expires_at)}")
    if lacks_overlap(action):
        found.append(f"rotate it {_short_overlap(action)}")
    return found


def injuries_of(action: Action, now: datetime) -> list[str]:
    """Return what an action does that may hurt who uses the key: its endings, and `lower its limit from $5 to $4`."""
    found = endings_of(action, now)
    if isinstance(action, Create | Delete) or ends_raise(action, now):
        return found
    before, after = limits_of(action)
    if is_lower(after, before):
        found.append(f"lower its limit from {show_limit(before)} to {show_limit(after)}")
    return found


def _short_overlap(action: Action) -> str:
    overlap = action.overlap if isinstance(action, Rotate | Finish) else None
    return f"with an overlap of {format_duration(overlap)} only" if overlap else "without overlap"


def deliveries_of(action: Action) -> tuple[Delivery, ...]:
    """Return where the secret of an action goes: a create and a rotation have one."""
    return action.declared.deliver if isinstance(action, Create | Rotate) else ()


# What a plan takes and gives.


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
            if cuts_off(action, now):
                power.deletions.append(action)
            else:
                power.moves[CLEANUP] += 1
            return
        case Renew() | Rename() | Finish() | Restore():
            power.moves[action.kind.value] += 1
        case _:
            pass
    before, after = held(action), outcome(action)
    assert before is not None  # noqa: S101  # only a creation has none
    assert after is not None  # noqa: S101  # only a deletion has none
    if isinstance(action, Retire) or disables(action):
        power.disabling.append(action)
    elif after.is_enabled and not before.is_enabled and not isinstance(action, Restore):
        power.enabling.append(action)
    _compare_limits(LimitChange(action, *limits_of(action)), power)
    _compare_expiries(ExpiryChange(action, before.expires_at, after.expires_at), power)


def _compare_limits(change: LimitChange, power: Power) -> None:
    if is_lower(change.after, change.before):
        power.lower_limits.append(change)
    elif is_lower(change.before, change.after):
        (power.removed_limits if change.after is None else power.raised_limits).append(change)


def _compare_expiries(change: ExpiryChange, power: Power) -> None:
    if is_earlier(change.after, change.before):
        power.earlier_expiries.append(change)
    elif is_earlier(change.before, change.after):
        (power.removed_expiries if change.after is None else power.later_expiries).append(change)
