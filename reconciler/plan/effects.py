"""What an action does to the people who use the key."""

from __future__ import annotations

from datetime import timedelta
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
from reconciler.plan.phrases import show_expiry, show_limit
from reconciler.units import format_duration

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import KeyState, LiveKey
    from reconciler.plan.actions import Action

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
    """True when a key is replaced by another and ends at once, or nearly so."""
    replaces = isinstance(action, Rotate) or (isinstance(action, Finish) and action.old is not None)
    return isinstance(action, Rotate | Finish) and replaces and (action.overlap or timedelta()) < SHORTEST_OVERLAP


def is_earlier(expiry: datetime | None, other: datetime | None) -> bool:
    """Compare two expiries; None is never."""
    return expiry is not None and (other is None or expiry < other)


def new_limit(action: Action) -> tuple[LiveKey, Decimal] | None:
    """Give the limit that a live key gets which goes on with what it has spent, and the key; None for none."""
    match action:
        case Update() | Rename() | Restore() | Finish():
            limit = action.after.credit_limit
            return None if limit is None or Field.CREDIT_LIMIT not in action.fields else (action.live, limit)
        case _:
            return None


def endings(action: Action, now: datetime) -> list[str]:
    """Say what an action does that ends a key, or ends it earlier: `disable it`, `let it expire at … instead of …`."""
    if removes(action, now):
        return ["retire it" if isinstance(action, Retire) else "delete it"]
    found = ["disable it"] if disables(action) and not lacks_overlap(action) else []
    before, after = held(action), outcome(action)
    if before is not None and after is not None and is_earlier(after.expires_at, before.expires_at):
        found.append(f"let it expire at {show_expiry(after.expires_at)} instead of {show_expiry(before.expires_at)}")
    if lacks_overlap(action):
        found.append(f"rotate it {_short_overlap(action)}")
    return found


def injuries(action: Action, now: datetime) -> list[str]:
    """Say what an action does that may hurt who uses the key: its endings, and `lower its limit from $5 to $4`."""
    found, before, after = endings(action, now), held(action), outcome(action)
    if before is not None and after is not None and is_lower(after.credit_limit, before.credit_limit):
        found.append(f"lower its limit from {show_limit(before.credit_limit)} to {show_limit(after.credit_limit)}")
    return found


def _short_overlap(action: Action) -> str:
    overlap = action.overlap if isinstance(action, Rotate | Finish) else None
    return f"with an overlap of {format_duration(overlap)} only" if overlap else "without overlap"
