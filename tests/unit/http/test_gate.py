"""A 429 slows the whole run: everybody pauses, and then fewer run at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.http.retry import RetryPolicy
from reconciler.http.sender import Gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
from support.account import FakeTime

POLICY = RetryPolicy()


def with_gate(width: int, do: Callable[[Gate, FakeTime], Awaitable[None]], chance: float = 1.0) -> FakeTime:
    time = FakeTime(chance=chance)

    async def run() -> None:
        await do(Gate(width, POLICY, time.timing), time)

    asyncio.run(run())
    return time


async def at_a_time(gate: Gate, requests: int = 12) -> int:
    """Count how many requests the gate lets run at a time."""
    inside = most = 0

    async def one() -> None:
        nonlocal inside, most
        async with gate.passage():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(requests)))
    return most


async def pass_through(gate: Gate) -> None:
    async with gate.passage():
        pass


def test_an_open_gate_lets_its_width_through_without_waiting() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        assert await at_a_time(gate) == 4

    assert with_gate(4, do).naps == []


def test_after_a_429_everybody_waits_until_the_pause_is_over() -> None:
    async def do(gate: Gate, time: FakeTime) -> None:
        gate.slow_down(0, 7.0)
        async with gate.passage() as seen:
            assert time.seconds == 1007.0
            assert seen == 1

    assert with_gate(4, do).naps == [7.0]


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_at_least_half_of_a_pause_that_nobody_asked_for_is_not_left_to_chance(chance: float, share: float) -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        gate.slow_down(0, 0.0)
        await pass_through(gate)

    assert with_gate(4, do, chance).naps == [POLICY.backoff(1) * share]


def test_a_pause_that_grows_while_one_waits_is_waited_for_too() -> None:
    async def do(gate: Gate, time: FakeTime) -> None:
        gate.slow_down(0, 5.0)

        async def waits() -> float:
            async with gate.passage():
                return time.seconds

        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        gate.slow_down(0, 10.0)
        assert await waiting == 1015.0

    with_gate(4, do)


def test_pauses_grow_while_429s_go_on_and_start_small_again_after_a_good_answer() -> None:
    async def do(gate: Gate, time: FakeTime) -> None:
        pauses = []
        for good in (False, False, False, True, False):
            before = time.seconds
            async with gate.passage() as seen:
                pauses.append(time.seconds - before)
            if good:
                gate.went_well(seen)
            else:
                gate.slow_down(seen, 0.0)
        async with gate.passage():
            assert pauses == [0.0, 0.5, 1.0, 2.0, 0.0]

    assert with_gate(4, do).naps[-1] == 0.5


def test_the_429s_of_one_burst_count_once() -> None:
    async def do(gate: Gate, time: FakeTime) -> None:
        for _ in range(8):
            gate.slow_down(0, 0.0)
        gate.went_well(0)  # sent before the pause, so it says nothing about now
        async with gate.passage():
            assert time.seconds == 1000.5
        assert await at_a_time(gate) == 4

    with_gate(8, do)


def test_a_request_for_an_hour_of_silence_is_a_minute() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        gate.slow_down(0, 3600.0)
        async with gate.passage():
            pass

    assert with_gate(4, do).naps == [60.0]


def test_fewer_run_at_a_time_after_each_429_but_never_none() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        widths = []
        for round_ in range(5):
            widths.append(await at_a_time(gate))
            gate.slow_down(round_, 0.0)
        assert widths == [8, 4, 2, 1, 1]

    with_gate(8, do)


def test_good_answers_let_one_more_run_until_the_width_is_back() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        gate.slow_down(0, 0.0)
        assert await at_a_time(gate) == 2
        gate.went_well(1)
        assert await at_a_time(gate) == 2
        gate.went_well(1)
        assert await at_a_time(gate) == 3
        for _more in range(20):
            gate.went_well(1)
        assert await at_a_time(gate) == 4

    with_gate(4, do)


def test_a_slot_that_comes_back_early_goes_to_whoever_waits() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        async with gate.passage(), gate.passage():
            gate.slow_down(0, 0.0)
            waiting = asyncio.create_task(pass_through(gate))
            await asyncio.sleep(0)
            gate.went_well(1)
            gate.went_well(1)
            assert not waiting.done()
        await waiting

    with_gate(2, do)


def test_whoever_gives_up_waiting_takes_no_slot_along() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        async with gate.passage():
            waiting = asyncio.create_task(pass_through(gate))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert await at_a_time(gate, 3) == 1

    with_gate(1, do)


def test_whoever_is_cancelled_at_the_moment_of_being_let_in_gives_the_slot_back() -> None:
    async def do(gate: Gate, _: FakeTime) -> None:
        async with gate.passage():
            waiting = asyncio.create_task(pass_through(gate))
            await asyncio.sleep(0)
        waiting.cancel()  # it has been let in, but has not run since
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await at_a_time(gate, 3) == 1

    with_gate(1, do)
