"""Carry out one action."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from reconciler.apply.issue import issue
from reconciler.apply.rotate import finish, rotate
from reconciler.errors import AccountError
from reconciler.plan.actions import Create, Delete, Finish, Rename, Restore, Retire, Rotate, Update
from reconciler.plan.diff import patch

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.plan.actions import Action


async def carry_out(action: Action, run: Run) -> int:
    """Do it, and return the id of the key concerned; raises AccountError or DestinationError when it is not done."""
    match action:
        case Create(declared=declared):
            return (await issue(declared, declared.name, run)).id
        case Rotate():
            return await rotate(action, run)
        case Finish():
            return await finish(action, run)
        case Update() | Rename() | Retire() | Restore():
            return (await run.change_key(action.live.id, patch(action.after, action.fields))).id
        case Delete():
            return await _delete(action, run)
    assert_never(action)


async def _delete(action: Delete, run: Run) -> int:
    """Delete what was planned and nothing else: the key is read once more and must still be what the plan saw."""
    current = await run.account.get_key(action.live.id)
    if current is not None:
        if current != action.live:
            msg = f"key {action.live.id} has changed since the plan was made, so it is kept; plan again"
            raise AccountError(msg)
        await run.account.delete_key(action.live.id)
    return action.live.id
