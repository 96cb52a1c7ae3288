"""Decides when to try again, and after which delay."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.http.exchange import Answer, NoAnswer, parse_http_date

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.errors import ReconcilerError


_PASSING: Final = frozenset(
    {
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_SECONDS: Final = re.compile(r"\d{1,18}", re.ASCII)


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
        """Give the upper bound of the delay after so many failures (1 or more) in a row."""
        return min(self.longest_delay, self.first_delay * 2.0 ** min(failures - 1, 30))


def _machine_time() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks and the chance that attempts depend on; tests put in their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic
    machine: Callable[[], datetime] = _machine_time


def retry_after(answer: Answer, now: datetime) -> float:
    """Read Retry-After as seconds from the answer's own Date (else from `now`); 0 when absent or unreadable."""
    text = (answer.retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = parse_http_date(text)
    return 0.0 if until is None else max(0.0, (until - (answer.date or now)).total_seconds())


class Attempts:
    """Counts the attempts of one request and decides about the next."""

    def __init__(self, policy: RetryPolicy, timing: Timing, *, repeatable: bool) -> None:
        """Take whether the request may be sent again after it may have been carried out (a POST may not)."""
        self._policy = policy
        self._timing = timing
        self._repeatable = repeatable
        self._failures = 0
        self._rate_limits = 0
        self._deadline: float | None = None
        self.maybe_done = False

    def delay(self, outcome: Answer | NoAnswer, started: float, asked: float) -> float | None:
        """Give the seconds to wait before the next attempt; None when this outcome is final.

        `started` is the monotonic time at which the attempt was sent, `asked` what Retry-After asks for. After a 429
        the gate holds everybody back, so there is nothing to wait for here.
        """
        if self._deadline is None:
            self._deadline = started + self._policy.patience
        if isinstance(outcome, Answer) and outcome.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._rate_limits += 1
            pause = min(asked, self._policy.longest_retry_after)
            hopeless = self._rate_limits >= self._policy.rate_limit_attempts
            return None if hopeless or self._in_time(pause, self._deadline) is None else 0.0
        if not self._may_repeat(outcome):
            return None
        self._failures += 1
        if self._failures == 1:
            self._deadline = min(self._deadline, started + self._policy.downtime)
        if self._failures >= self._policy.attempts:
            return None
        self.maybe_done = self.maybe_done or isinstance(outcome, Answer) or outcome.sent
        jittered = self._timing.random() * self._policy.backoff(self._failures)
        return self._in_time(max(jittered, min(asked, self._policy.longest_retry_after)), self._deadline)

    def _may_repeat(self, outcome: Answer | NoAnswer) -> bool:
        if isinstance(outcome, Answer):
            return self._repeatable and outcome.status in _PASSING
        return not outcome.lasting and (self._repeatable or not outcome.sent)

    def _in_time(self, delay: float, deadline: float) -> float | None:
        return None if self._timing.monotonic() + delay > deadline else delay


# When another attempt at another service is made: by the rules that hold for the account.
#
# Only for what may be repeated: storing the same secret once more changes nothing.

ATTEMPTS: Final = 6
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 20.0
LONGEST_RETRY_AFTER: Final = 60.0
PATIENCE: Final = 300.0

_Result = TypeVar("_Result")


class Passing(Exception):
    """An attempt failed in a way that may pass; `failure` is what to raise if it does not."""

    def __init__(self, failure: ReconcilerError, retry_after: float = 0.0) -> None:
        """Take the seconds that the other side asked to wait, 0 when it did not."""
        super().__init__(str(failure))
        self.failure = failure
        self.retry_after = retry_after


async def with_retries(attempt: Callable[[], Awaitable[_Result]], timing: Timing) -> _Result:
    """Try until an attempt raises no Passing any more, at most ATTEMPTS times and none later than PATIENCE.

    Raises:
        ReconcilerError: the failure of the last attempt; and whatever else an attempt raises.
    """
    deadline = timing.monotonic() + PATIENCE
    failures = 0
    while True:
        try:
            return await attempt()
        except Passing as passing:
            failure, asked = passing.failure, passing.retry_after
        failures += 1
        jittered = timing.random() * min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (failures - 1))
        delay = max(jittered, min(asked, LONGEST_RETRY_AFTER))
        if failures == ATTEMPTS or timing.monotonic() + delay > deadline:
            raise failure
        await timing.sleep(delay)
