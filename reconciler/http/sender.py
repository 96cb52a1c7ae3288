"""Sends requests until their outcomes are final: a few at a time, and none while the service wants to be left alone."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.http.exchange import LARGEST_ANSWER, Answer, ServiceClock, Timeouts, exchange
from reconciler.http.retry import POLICY, WORTH_TELLING, Setback, judge, persist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from reconciler.http.connection import Connections
    from reconciler.http.exchange import NoAnswer, Request
    from reconciler.http.retry import RetryPolicy, Timing

    Judge = Callable[[Answer | NoAnswer, datetime], Setback | None]

_log = logging.getLogger("reconciler.http")


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


TIMEOUTS: Final = Timeouts()


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The last outcome of a request; `maybe_done` when an earlier attempt may have been carried out."""

    outcome: Answer | NoAnswer
    attempts: int
    maybe_done: bool

    @property
    def status(self) -> int:
        """The status, 0 without an answer."""
        return self.outcome.status if isinstance(self.outcome, Answer) else 0


def _nothing() -> None:
    """Let every write go out."""


class Sender:
    """Shares one gate, the connections and one clock among all requests to a service.

    `before_write` is called right before anything but a GET is sent; what it raises keeps the request from going out.
    """

    def __init__(  # noqa: PLR0913  # by keyword, nearly all with a default
        self,
        connections: Connections,
        timing: Timing,
        *,
        parallelism: int,
        policy: RetryPolicy = POLICY,
        timeouts: Timeouts = TIMEOUTS,
        judge: Judge = judge,
        label: str = "",
    ) -> None:
        """Let at most `parallelism` requests run at a time; what is logged begins with `label`."""
        self._connections = connections
        self._label = label
        self._gate = Gate(parallelism, policy, timing, label)
        self._policy = policy
        self._timeouts = timeouts
        self._judge = judge
        self.timing = timing
        self.clock = ServiceClock(timing.machine, timing.monotonic)
        self.before_write: Callable[[], None] = _nothing

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def perform(self, request: Request, *, creates: bool = False) -> Conclusion:
        """Send until the outcome is final; what `creates` something again only if it was certainly not carried out."""
        tried = await persist(
            lambda: self.once(request),
            self.timing,
            self._policy,
            repeatable=not creates,
            name=f"{self._label}{request}",
        )
        return Conclusion(tried.result, tried.attempts, tried.maybe_done)

    async def once(
        self, request: Request, most: int = LARGEST_ANSWER
    ) -> tuple[Answer | NoAnswer, Setback | None, float]:
        """Send once, when it is its turn; gives also what stood in its way and may pass, and when it was sent."""
        async with self._gate.passage() as seen:
            if request.method != "GET":
                self.before_write()  # at the last moment: getting here may have taken long
            started = self.timing.monotonic()
            outcome = await exchange(self._connections, request, self._timeouts, most)
            setback = self._take_in(outcome, seen)
        self._tell(request, outcome, self.timing.monotonic() - started)
        return outcome, setback, started

    async def at_once(
        self, request: Request, most: int = LARGEST_ANSWER
    ) -> tuple[Answer | NoAnswer, Setback | None, float]:
        """Send once as `once` does, without waiting for other requests."""
        started = self.timing.monotonic()
        outcome = await exchange(self._connections, request, self._timeouts, most)
        self._tell(request, outcome, self.timing.monotonic() - started)
        return outcome, self._judge(outcome, self.clock.now()), started

    def _take_in(self, outcome: Answer | NoAnswer, seen: int) -> Setback | None:
        """Let the clock and the gate know about an outcome; gives what stood in the way and may pass."""
        if isinstance(outcome, Answer):
            self.clock.hear(outcome.date)
        setback = self._judge(outcome, self.clock.now())
        if setback is not None and setback.limited:
            self._gate.slow_down(seen, setback.wait)
        elif isinstance(outcome, Answer) and outcome.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._gate.went_well(seen)
        return setback

    def _tell(self, request: Request, outcome: Answer | NoAnswer, seconds: float) -> None:
        said = outcome.status if isinstance(outcome, Answer) else outcome.cause
        level = logging.DEBUG if isinstance(outcome, Answer) and outcome.ok else logging.INFO
        _log.log(level, "%s%s: %s in %d ms", self._label, request, said, round(seconds * 1000))
