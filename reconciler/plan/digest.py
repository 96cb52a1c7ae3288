"""A fingerprint of what a plan does, so that what was reviewed is what runs.

It covers the operations and the state of the keys that they touch, nothing else: rewording a description, or a change
to a key that the plan leaves alone, gives the same digest. Where there are several accounts, it covers them all, and
says whose each key is.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, assert_never

from reconciler.plan.actions import Create, Delete, Finish, Plan, Rename, Restore, Retire, Rotate, Update
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.model import DeclaredKey, KeyState, LiveKey
    from reconciler.plan.actions import Action

_Json = dict[str, object]


def digest(plan: Plan) -> str:
    """Give `sha256:` and the fingerprint of the plan's operations and their preconditions."""
    operations = json.dumps([_operation(action) for action in plan.actions], sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(operations.encode()).hexdigest()


def _operation(action: Action) -> _Json:
    address = str(action.address) if action.address else None
    operation: _Json = {"action": action.kind, "address": address}
    if action.account is not None:
        operation["account"] = action.account
    match action:
        case Create():
            return {**operation, **_issue(action.declared)}
        case Rotate():
            how = {"verify": action.declared.verify, **_overlap(action.overlap)}
            return {**operation, **_issue(action.declared), "before": _live(action.live), **how}
        case Finish():
            old = _live(action.old) if action.old else None
            changes = {"before": _live(action.live), "old": old, "after": _state(action.after)}
            return {**operation, **changes, **_overlap(action.overlap)}
        case Retire():
            # Not the state after: its name holds the day on which the grace ends, which moves on with every plan.
            return {**operation, "before": _live(action.live), "grace": action.grace.total_seconds()}
        case Update() | Rename() | Restore():
            return {**operation, "before": _live(action.live), "after": _state(action.after)}
        case Delete():
            return {**operation, "before": _live(action.live)}
    assert_never(action)


def _issue(declared: DeclaredKey) -> _Json:
    deliver = [[*_target(delivery.target.settings), delivery.name] for delivery in declared.deliver]
    return {"after": _state(declared.state), "deliver": deliver}


def _overlap(overlap: timedelta | None) -> _Json:
    return {"overlap": None if overlap is None else overlap.total_seconds()}


def _target(settings: tuple[tuple[str, object], ...]) -> list[object]:
    return [list(setting) for setting in sorted(settings)]


def _live(key: LiveKey) -> _Json:
    return {"id": key.id, "created_at": format_instant(key.created_at), **_state(key.state)}


def _state(state: KeyState) -> _Json:
    return {
        "name": state.name,
        "is_enabled": state.is_enabled,
        "credit_limit": None if state.credit_limit is None else format_money(state.credit_limit),
        "expires_at": None if state.expires_at is None else format_instant(state.expires_at),
    }
