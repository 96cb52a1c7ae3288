"""What an account is like after a service did exactly what a plan asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.model import LiveKey, Snapshot
from reconciler.planning.actions import Create, Delete, Finish, Rename, Renew, Restore, Retire, Rotate, Update
from reconciler.planning.names import old_name

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.model import DeclaredKey, KeyState
    from reconciler.planning.actions import AccountPlan

DAY = timedelta(days=1)


def carried_out(plan: AccountPlan, account: Snapshot) -> Snapshot:
    """Give the account after a plan, at the account's own time."""
    now = account.now
    keys = {key.id: key for key in account.keys}
    for number, action in enumerate(plan.actions, start=max([999, *keys]) + 1):
        match action:
            case Create(declared=wanted):
                keys[number] = born(number, wanted, now)
            case Rotate(declared=wanted, live=old, overlap=overlap):
                keys[number] = born(number, wanted, now)
                keys[old.id] = rotated_out(old, wanted, now, overlap)
            case Finish(declared=wanted, live=successor, old=left, overlap=overlap):
                keys[successor.id] = changed(successor, action.after)
                if left:
                    keys[left.id] = rotated_out(left, wanted, now, overlap)
            case Update() | Renew() | Rename() | Retire() | Restore():
                keys[action.live.id] = changed(action.live, action.after)
            case Delete():
                del keys[action.live.id]
    return Snapshot(tuple(keys.values()), now)


def born(number: int, wanted: DeclaredKey, now: datetime) -> LiveKey:
    return LiveKey(number, wanted.settled, now, wanted.expires_at, wanted.is_enabled, wanted.credit_limit)


def rotated_out(key: LiveKey, wanted: DeclaredKey, now: datetime, overlap: timedelta | None) -> LiveKey:
    """End a key as an apply does: at the end of its overlap, or at once."""
    until = now + (overlap or DAY)
    end = min(key.expires_at or until, until) if overlap else key.expires_at
    return replace(key, name=old_name(wanted.name, until), expires_at=end, is_enabled=bool(overlap) and key.is_enabled)


def changed(key: LiveKey, after: KeyState) -> LiveKey:
    return LiveKey(key.id, after.name, key.created_at, after.expires_at, after.is_enabled, after.credit_limit)
