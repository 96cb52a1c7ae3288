from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import DestinationError
from reconciler.http.retry import POLICY, Passing, Timing, with_retries


class Clock:
    """Time that passes only while somebody sleeps; `chance` is what the dice show every time."""

    def __init__(self, chance: float = 1.0) -> None:
        self.slept: list[float] = []
        self._chance = chance

    def timing(self) -> Timing:
        return Timing(sleep=self.sleep, random=lambda: self._chance, monotonic=lambda: sum(self.slept))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Attempt:
    """Fails as often as it is told to, every time in other words."""

    def __init__(self, failures: int, retry_after: float = 0.0) -> None:
        self.made = 0
        self._failures = failures
        self._retry_after = retry_after

    async def __call__(self) -> str:
        self.made += 1
        if self.made <= self._failures:
            failure = DestinationError(f"attempt {self.made} failed", uncertain=True)
            raise Passing(failure, self._retry_after)
        return "done"


def test_what_passes_is_waited_out_longer_each_time() -> None:
    clock = Clock()
    assert asyncio.run(with_retries(Attempt(5), clock.timing())) == "done"
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_what_does_not_pass_is_told_as_it_was_the_last_time() -> None:
    attempt = Attempt(100)
    with pytest.raises(DestinationError, match="attempt 6 failed") as caught:
        asyncio.run(with_retries(attempt, Clock().timing()))
    assert caught.value.uncertain
    assert caught.value.__context__ is None
    assert attempt.made == POLICY.attempts


def test_what_the_other_side_asks_for_counts_within_reason() -> None:
    clock = Clock(chance=0.0)
    asyncio.run(with_retries(Attempt(1, retry_after=7.0), clock.timing()))
    asyncio.run(with_retries(Attempt(1, retry_after=86_400.0), clock.timing()))
    assert clock.slept == [7.0, POLICY.longest_retry_after]


def test_any_other_failure_is_final() -> None:
    async def attempt() -> None:
        msg = "no"
        raise DestinationError(msg)

    clock = Clock()
    with pytest.raises(DestinationError, match="no"):
        asyncio.run(with_retries(attempt, clock.timing()))
    assert clock.slept == []


@given(chance=st.floats(0, 1), failures=st.integers(0, 10), asked=st.floats(0, 1e6))
def test_no_wait_is_longer_than_promised(chance: float, failures: int, asked: float) -> None:
    clock, attempt = Clock(chance), Attempt(failures, asked)
    try:
        asyncio.run(with_retries(attempt, clock.timing()))
    except DestinationError:
        assert attempt.made in {POLICY.attempts, failures}
    assert attempt.made <= POLICY.attempts
    assert all(seconds <= max(POLICY.longest_delay, POLICY.longest_retry_after) for seconds in clock.slept)
    assert sum(clock.slept) <= POLICY.patience
