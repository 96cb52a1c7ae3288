"""Replace a key by a new one, so that at every moment one of the two works wherever a secret was delivered."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.apply.issue import issue
from reconciler.errors import RefusedByService
from reconciler.model import KeyPatch
from reconciler.plan.actions import RotateReason
from reconciler.plan.diff import patch
from reconciler.plan.names import is_retired, next_name, old_name, under

if TYPE_CHECKING:
    from reconciler.apply.run import Run
    from reconciler.model import DeclaredKey, LiveKey
    from reconciler.plan.actions import Finish, Rotate

NOT_FOUND: Final = 404
# How long a key that was disabled at once is kept, so that a rotation without overlap can still be looked into.
DISABLED_FOR: Final = timedelta(hours=24)


async def rotate(action: Rotate, run: Run) -> int:
    """Issue the successor and let it take over; returns its id.

    Raises AccountError or DestinationError; whatever happened, the old key works until the new one is everywhere.
    """
    declared = action.declared
    name = under(declared.name, action.live.name)
    if name != action.live.name and action.reason is not RotateReason.INTERRUPTED:
        # A run that dies from here on leaves its sign beside the key. One that was interrupted has its sign already.
        await run.change_key(action.live.id, KeyPatch(name=name))
    successor = await issue(declared, next_name(declared.name), run, trial=declared.verify and declared.is_enabled)
    await _retire(declared, action.live, action.overlap, run)
    await run.change_key(successor.id, KeyPatch(name=declared.name))
    return successor.id


async def finish(action: Finish, run: Run) -> int:
    """Complete a rotation from where it was interrupted; returns the id of the key that takes over."""
    if action.old:
        await _retire(action.declared, action.old, action.overlap, run)
    await run.change_key(action.live.id, patch(action.after, action.fields))
    return action.live.id


async def _retire(declared: DeclaredKey, old: LiveKey, overlap: timedelta | None, run: Run) -> None:
    """Give the old key its end: when the overlap is over, or at once; a key that is gone already is fine."""
    until = (run.account.now() + (overlap or DISABLED_FOR)).replace(microsecond=0)
    asked = KeyPatch(name=old_name(declared.name, until))
    if overlap is None:
        asked["is_enabled"] = False
    else:
        if old.expires_at is None or old.expires_at > until:
            asked["expires_at"] = until
        if is_retired(old.name):
            # Its removal was undone, so who still has its secret can go on. What was disabled by hand stays so.
            asked["is_enabled"] = True
    try:
        await run.change_key(old.id, asked)
    except RefusedByService as error:
        # Asked a second time: were it there after all, its successor would get the name that it still has.
        if error.status != NOT_FOUND or await run.account.get_key(old.id) is not None:
            raise
