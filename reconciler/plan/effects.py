"""What an action does to the people who use the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.plan.actions import (
    Create,
    Delete,
    DeleteReason,
    Field,
    Finish,
    Rename,
    Restore,
    Retire,
    Rotate,
    Update,
)
from reconciler.plan.phrases import show_limit

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import KeyState, LiveKey
    from reconciler.plan.actions import Action

_DECIDED: Final = frozenset(
    {DeleteReason.UNDECLARED, DeleteReason.REMOVED, DeleteReason.LIVE_ONLY, DeleteReason.UNMANAGED}
)


def removes(action: Action) -> bool:
    """Tell whether somebody decided that the key goes; what is cleaned up when its time is over has gone before."""
    return isinstance(action, Retire | Delete) and action.reason in _DECIDED


def cuts_off(action: Action, now: datetime) -> bool:
    """True when a key that may have users is deleted, False where they have been without it for a while."""
    if not isinstance(action, Delete):
        return False
    live = action.live
    works = live.is_enabled and (live.expires_at is None or live.expires_at > now)
    return works or removes(action)


def held(action: Action) -> LiveKey | None:
    """Give the key that people use until the action is carried out."""
    match action:
        case Create():
            return None
        case Finish(live=live, old=old):
            return old or live
        case _:
            return action.live


def outcome(action: Action) -> KeyState | None:
    """Give what people have once it is; None when the key goes for good."""
    match action:
        case Create() | Rotate():
            return action.declared.state
        case Delete():
            return None
        case _:
            return action.after


def disables(action: Action) -> bool:
    """Tell whether a key that works stops to work but can be enabled again."""
    before, after = held(action), outcome(action)
    if before is None or after is None or not before.is_enabled:
        return False
    return not after.is_enabled or lacks_overlap(action)


def is_lower(limit: Decimal | None, other: Decimal | None) -> bool:
    """Compare two limits; None is no limit."""
    return limit is not None and (other is None or limit < other)


def place(action: Action) -> Location | None:
    """Give the place in the file that an action comes from."""
    return action.source if isinstance(action, Delete | Retire) else action.declared.source


def lacks_overlap(action: Action) -> bool:
    """Tell whether a key is replaced by another and disabled at once."""
    replaces = isinstance(action, Rotate) or (isinstance(action, Finish) and action.old is not None)
    return isinstance(action, Rotate | Finish) and replaces and not action.overlap


def new_limit(action: Action) -> tuple[LiveKey, Decimal] | None:
    """Give the limit that a live key gets which goes on with what it has spent, and the key; None for none."""
    match action:
        case Update() | Rename() | Restore() | Finish():
            limit = action.after.credit_limit
            return None if limit is None or Field.CREDIT_LIMIT not in action.fields else (action.live, limit)
        case _:
            return None


def injuries(action: Action) -> list[str]:
    """Say what an action does that may hurt who uses the key: `disable it`, `lower its limit from $5 to $4`."""
    if removes(action):
        return ["retire it" if isinstance(action, Retire) else "delete it"]
    found = ["disable it"] if disables(action) and not lacks_overlap(action) else []
    before, after = held(action), outcome(action)
    if before is not None and after is not None and is_lower(after.credit_limit, before.credit_limit):
        found.append(f"lower its limit from {show_limit(before.credit_limit)} to {show_limit(after.credit_limit)}")
    return [*found, "rotate it without overlap"] if lacks_overlap(action) else found
