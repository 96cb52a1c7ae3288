"""What ends the apply of an account before its work is done: signals, or the loss of the lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from reconciler.planning.actions import ApplyResult

# What is left for taking the lock away once a run was told to stop. A cancelled workflow kills 10 s after its first
# signal, and the grace of what was under way has taken 7 s of these.
LEAVING_SECONDS: Final = 2.0


class Stopping:
    """Decides what a signal does to the apply of one account.

    ========================  =====================================================================
    a signal comes while it   ...
    waits for the lock        it is cancelled, two seconds are left to take its lock away
    carries the plan out      nothing new starts, what is under way gets its grace
    is stopping like that     what is under way is cut off, further signals change nothing
    takes the lock away       two seconds are left, further signals change nothing
    ========================  =====================================================================
    """

    def __init__(self, task: asyncio.Task[Any], say: Callable[[str], None]) -> None:
        """Begin with waiting for the lock, in the task that does all for the account."""
        self.event = asyncio.Event()
        self.signalled = False
        self.lock_lost = False
        self._cancel_all = task.cancel
        self._react: Callable[[], object] = self._give_up
        self._say = say

    def signal(self) -> None:
        """Take in a signal."""
        self._react()

    def lose_lock(self) -> None:
        """Stop, since what is written from now on might meet another run."""
        self._say("error: the lock on the account could not be renewed, so another apply may start; stopping")
        self.lock_lost = True
        self.event.set()

    async def finish(
        self,
        coroutine: Coroutine[Any, Any, ApplyResult],
        *,
        complete: Callable[[], bool],
        cut_off: Callable[[], ApplyResult],
    ) -> ApplyResult:
        """Carry the plan out.

        `complete` tells whether everything has an outcome; `cut_off` gives the result of what signals ended at once.
        """
        work = asyncio.create_task(coroutine)

        def end() -> None:
            self._react = _nothing
            work.cancel()

        def ask() -> None:
            self.signalled = True
            self._react = end
            self._say("Stopping: finishing what is under way, starting nothing new.")
            self.event.set()
            if complete():  # all that goes on is the reading that checks the result
                end()

        self._react = ask
        try:
            return await work
        except asyncio.CancelledError:
            return cut_off()
        finally:
            self._react = self._hurry

    def leave(self) -> None:
        """Take the lock away; quickly, if the run was told to stop."""
        if self.signalled:
            self._hurry()

    def _give_up(self) -> None:
        self._cancel_all()
        asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._cancel_all)

    def _hurry(self) -> None:
        self.signalled = True
        self._react = _nothing
        asyncio.get_running_loop().call_later(LEAVING_SECONDS, self._cancel_all)


def _nothing() -> None:
    """Change nothing."""
