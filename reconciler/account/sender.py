"""Sends a request, through the gate and with a client of the pool, until `retry` takes the outcome for final."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from reconciler.account.clock import ServiceClock
from reconciler.account.exchange import Answer, NoAnswer, Request, Timeouts, exchange
from reconciler.account.gate import WORTH_TELLING, Gate
from reconciler.account.retry import Attempts, RetryPolicy, Timing, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.account.pool import ClientPool

_log = logging.getLogger("reconciler.account")


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
    """Shares one gate, one pool and one clock among all requests of an account.

    `before_write` is called right before anything but a GET is sent; what it raises keeps the request from going out.
    """

    def __init__(
        self,
        pool: ClientPool,
        parallelism: int,
        policy: RetryPolicy,
        timeouts: Timeouts,
        timing: Timing,
        label: str = "",
    ) -> None:
        """Let at most `parallelism` requests run at a time; what is logged begins with `label`."""
        self._pool = pool
        self._label = label
        self._gate = Gate(parallelism, policy, timing, label)
        self._policy = policy
        self._timeouts = timeouts
        self._timing = timing
        self.clock = ServiceClock(timing.machine, timing.monotonic)
        self.before_write: Callable[[], None] = _nothing

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def perform(self, request: Request) -> Conclusion:
        """Send until the outcome is final; a POST again only when it was certainly not carried out."""
        attempts = Attempts(self._policy, self._timing, repeatable=request.method != "POST")
        number = 1
        while True:
            outcome, delay = await self._attempt(request, attempts, number)
            if delay is None:
                return Conclusion(outcome, number, attempts.maybe_done)
            await self._timing.sleep(delay)
            number += 1

    async def _attempt(
        self, request: Request, attempts: Attempts, number: int
    ) -> tuple[Answer | NoAnswer, float | None]:
        async with self._gate.passage() as seen:
            if request.method != "GET":
                self.before_write()  # at the last moment: getting here may have taken long
            started = self._timing.monotonic()
            client = self._pool.take()
            try:
                outcome = await exchange(client, request, self._timeouts)
            finally:
                self._pool.give_back(client)
            asked = self._take_in(outcome, seen)
        took = self._timing.monotonic() - started
        delay = attempts.delay(outcome, started, asked)
        said = outcome.status if isinstance(outcome, Answer) else outcome.cause
        level = logging.DEBUG if isinstance(outcome, Answer) and outcome.ok else logging.INFO
        _log.log(level, "%s%s: %s in %d ms, attempt %d", self._label, request, said, round(took * 1000), number)
        if delay is not None and took + delay >= WORTH_TELLING:
            what = "%s%s did not succeed yet (%s): trying again in %d s."
            _log.warning(what, self._label, request, said, round(delay))
        return outcome, delay

    def _take_in(self, outcome: Answer | NoAnswer, seen: int) -> float:
        """Let the clock and the gate know about an outcome; gives what Retry-After asks for, in seconds."""
        if isinstance(outcome, NoAnswer):
            return 0.0
        self.clock.hear(outcome.date)
        asked = retry_after(outcome, self.clock.now())
        if outcome.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._gate.slow_down(seen, asked)
        elif outcome.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._gate.went_well(seen)
        return asked
