"""What a 429 does to every request of the account: all pause, and then fewer run at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reconciler.account.retry import RetryPolicy, Timing

# A pause, in seconds, from which on somebody who watches would wonder.
WORTH_TELLING: Final = 5.0
_log = logging.getLogger("reconciler.account")


class Gate:
    """Lets at most `width` requests through at a time, and none while the service wants to be left alone.

    A 429 closes the gate, for longer each time that the first requests after a pause meet another, and halves how
    many may run at a time; as many good answers in a row let one more run again (additive increase, multiplicative
    decrease). Requests that were under way when the gate closed are no second 429.
    """

    def __init__(self, width: int, policy: RetryPolicy, timing: Timing, label: str = "") -> None:
        """Take how many requests may run at a time, 1 or more; what is logged begins with `label`."""
        self._label = label
        self._policy = policy
        self._timing = timing
        self._width = width
        self._allowed = width
        self._active = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._good = 0
        self._strikes = 0
        self._round = 0
        self._opens_at = 0.0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[int]:
        """Wait for a slot and for the end of the pause; gives the round, which tells 429s of one burst apart."""
        await self._enter()
        try:
            while (wait := self._opens_at - self._timing.monotonic()) > 0:
                await self._timing.sleep(wait)
            yield self._round
        finally:
            self._leave()

    def slow_down(self, seen: int, asked: float) -> None:
        """Close after a 429 to a request of round `seen`; `asked` is its Retry-After in seconds."""
        pause = min(asked, self._policy.longest_retry_after)
        if seen == self._round:
            self._round += 1
            self._strikes += 1
            self._allowed = max(1, self._allowed // 2)
            self._good = 0
            # Half of it fixed: everybody waits for the one pause, so no jitter is needed to keep requests apart,
            # only to keep two runs apart.
            pause = max(pause, self._policy.backoff(self._strikes) * (0.5 + 0.5 * self._timing.random()))
            if pause >= WORTH_TELLING:
                what = "%sThe service asks to be left alone (429): all requests wait for %d s."
                _log.warning(what, self._label, round(pause))
        self._opens_at = max(self._opens_at, self._timing.monotonic() + pause)

    def went_well(self, seen: int) -> None:
        """Take in a good answer to a request of round `seen`."""
        if seen != self._round:
            return
        self._strikes = 0
        if self._allowed == self._width:
            return
        self._good += 1
        if self._good >= self._allowed:
            self._good = 0
            self._allowed += 1
            self._admit()

    async def _enter(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in and cancelled at the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self._active -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._active < self._allowed:
            turn = self._queue.popleft()
            if not turn.cancelled():
                self._active += 1
                turn.set_result(None)
