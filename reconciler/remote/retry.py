"""When another attempt at another service is made: by the rules that hold for the account.

Only for what may be repeated: storing the same secret once more changes nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.errors import ReconcilerError

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


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock (seconds) and the chance that attempts depend on; tests put in their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic


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
