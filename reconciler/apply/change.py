"""Carry out one action."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from reconciler.apply.create import create
from reconciler.apply.run import altered_fields
from reconciler.errors import AccountError
from reconciler.plan.actions import Create, Delete, Rename, Update
from reconciler.plan.diff import patch

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.plan.actions import Action


async def carry_out(action: Action, run: Run) -> int:
    """Do it, and return the id of the key concerned; raises AccountError or DestinationError when it is not done."""
    match action:
        case Create(declared=declared):
            return await create(declared, run)
        case Update() | Rename():
            return await _update(action, run)
        case Delete():
            return await _delete(action, run)
    assert_never(action)


async def _update(action: Update | Rename, run: Run) -> int:
    asked = patch(action.after, action.fields)
    answered = await run.account.update_key(action.live.id, asked)
    if altered := altered_fields(asked, answered):
        msg = f"the service left key {action.live.id} with {altered}"
        raise AccountError(msg)
    return action.live.id


async def _delete(action: Delete, run: Run) -> int:
    """Delete what was planned and nothing else: the key is read once more and must still be what the plan saw."""
    current = await run.account.get_key(action.live.id)
    if current is None:
        return action.live.id
    if current != action.live:
        msg = f"key {action.live.id} has changed since the plan was made, so it is kept; plan again"
        raise AccountError(msg)
    await run.account.delete_key(action.live.id)
    return action.live.id
