"""Decides when to try again, and after which delay; knows what may have been carried out already."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from reconciler.http.exchange import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.errors import ReconcilerError
    from reconciler.http.exchange import Answer


PASSING: Final = frozenset(
    {
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses after which the same request may go better."""

WORTH_TELLING: Final = 5.0
"""A pause, in seconds, from which on somebody who watches would wonder."""

_log = logging.getLogger("reconciler.http")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try; delays in seconds.

    `attempts` bounds what fails, `rate_limit_attempts` what is answered 429 besides. No attempt is started later than
    `patience` after the first, nor later than `downtime` after the first that failed.
    """

    attempts: int = 6
    rate_limit_attempts: int = 12
    first_delay: float = 0.5
    longest_delay: float = 20.0
    longest_retry_after: float = 60.0
    patience: float = 300.0
    downtime: float = 300.0

    def backoff(self, failures: int) -> float:
        """Return the upper bound of the delay after so many failures (1 or more) in a row."""
        return min(self.longest_delay, self.first_delay * 2.0 ** min(failures - 1, 30))


POLICY: Final = RetryPolicy()


def _machine_time() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks and the chance that attempts depend on; tests put in their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic
    machine: Callable[[], datetime] = _machine_time


@dataclass(frozen=True, slots=True)
class Setback:
    """Why an attempt did not succeed, of which another one may.

    `maybe_done` is True when it may have been carried out, `limited` when the service wants fewer requests, and `wait`
    is how many seconds it asks to be left alone.
    """

    said: str
    maybe_done: bool
    limited: bool = False
    wait: float = 0.0


def judge(outcome: Answer | NoAnswer, now: datetime, passing: frozenset[int] = PASSING) -> Setback | None:
    """Return what stood in the way of a request and may pass; None for an outcome that is final.

    `now` is the service's time; `passing` are the statuses after which another attempt is made, besides 429.
    """
    if isinstance(outcome, NoAnswer):
        return None if outcome.lasting else Setback(outcome.cause, outcome.sent)
    limited = outcome.status == HTTPStatus.TOO_MANY_REQUESTS
    if not limited and outcome.status not in passing:
        return None
    maybe_done = outcome.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Setback(str(outcome.status), maybe_done, limited, outcome.retry_after(now) or 0.0)


class Attempts:
    """Counts the attempts at one thing and decides about the next."""

    def __init__(self, policy: RetryPolicy, timing: Timing, *, repeatable: bool) -> None:
        """Take whether it may be done again after it may have been carried out (a POST may not)."""
        self._policy = policy
        self._timing = timing
        self._repeatable = repeatable
        self._failures = 0
        self._rate_limits = 0
        self._deadline: float | None = None
        self.maybe_done = False

    def delay(self, setback: Setback | None, started: float) -> float | None:
        """Return the seconds to wait before the next attempt; None when this one was the last.

        `started` is the monotonic time at which the attempt was sent. After a 429 the gate holds everybody back, so
        there is nothing to wait for here.
        """
        if self._deadline is None:
            self._deadline = started + self._policy.patience
        if setback is None or (setback.maybe_done and not self._repeatable):
            return None
        asked = min(setback.wait, self._policy.longest_retry_after)
        if setback.limited:
            self._rate_limits += 1
            hopeless = self._rate_limits >= self._policy.rate_limit_attempts
            return None if hopeless or self._in_time(asked, self._deadline) is None else 0.0
        self._failures += 1
        if self._failures == 1:
            self._deadline = min(self._deadline, started + self._policy.downtime)
        if self._failures >= self._policy.attempts:
            return None
        self.maybe_done = self.maybe_done or setback.maybe_done
        jittered = self._timing.random() * self._policy.backoff(self._failures)
        return self._in_time(max(jittered, asked), self._deadline)

    def _in_time(self, delay: float, deadline: float) -> float | None:
        return None if self._timing.monotonic() + delay > deadline else delay


@dataclass(frozen=True, slots=True)
class Tried(Generic[_Result]):
    """What the last attempt gave; `maybe_done` when an earlier one may have been carried out."""

    result: _Result
    attempts: int
    maybe_done: bool


async def persist(
    attempt: Callable[[], Awaitable[tuple[_Result, Setback | None, float]]],
    timing: Timing,
    policy: RetryPolicy = POLICY,
    *,
    repeatable: bool = True,
    name: str = "",
) -> Tried[_Result]:
    """Try until an attempt meets nothing that may pass, or there is no time for another.

    An attempt gives its result, what it met, and the monotonic time at which it was sent. Pauses that somebody would
    wonder about are told under the `name`. What is not `repeatable` is not done again once it may have been.
    """
    attempts = Attempts(policy, timing, repeatable=repeatable)
    number = 1
    while True:
        result, setback, started = await attempt()
        took = timing.monotonic() - started
        delay = attempts.delay(setback, started)
        if delay is None or setback is None:
            return Tried(result, number, attempts.maybe_done)
        if name and took + delay >= WORTH_TELLING:
            _log.warning("%s did not succeed yet (%s): trying again in %d s.", name, setback.said, round(delay))
        await timing.sleep(delay)
        number += 1


class Passing(Exception):
    """An attempt failed in a way that may pass; `failure` is what to raise if it does not."""

    def __init__(self, failure: ReconcilerError, retry_after: float = 0.0) -> None:
        """Take the seconds that the other side asked to wait, 0 when it did not."""
        super().__init__(str(failure))
        self.failure = failure
        self.retry_after = retry_after


async def with_retries(attempt: Callable[[], Awaitable[_Result]], timing: Timing) -> _Result:
    """Try until an attempt, of several steps perhaps, raises no Passing any more, or the policy is at its end.

    Only for what may be repeated: storing the same secret once more changes nothing.

    Raises:
        ReconcilerError: the failure of the last attempt; and whatever else an attempt raises.
    """
    failures: list[ReconcilerError] = []

    async def once() -> tuple[_Result | None, Setback | None, float]:
        started = timing.monotonic()
        failures.clear()
        try:
            return await attempt(), None, started
        except Passing as passing:
            failures.append(passing.failure)
            return None, Setback(str(passing), maybe_done=True, wait=passing.retry_after), started

    tried = await persist(once, timing)
    if failures:
        raise failures[0]
    return tried.result  # type: ignore[return-value]  # without a failure there is a result
