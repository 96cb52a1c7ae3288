from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref

import pytest

from reconciler.destinations.shared import Memo, PerRun, Threads


class Thing:
    """Something that costs much."""


def test_one_run_shares_a_thing_by_its_key_and_the_next_gets_another() -> None:
    shared: PerRun[Thing] = PerRun()

    async def use() -> tuple[Thing, Thing, Thing]:
        return shared.get("a", Thing), shared.get("a", Thing), shared.get("b", Thing)

    first, again, other = asyncio.run(use())
    assert first is again
    assert first is not other
    assert asyncio.run(use())[0] is not first


def test_a_thing_that_nobody_uses_any_more_is_let_go() -> None:
    shared: PerRun[Thing] = PerRun()

    async def use() -> bool:
        first = weakref.ref(shared.get("a", Thing))
        gc.collect()
        return first() is None

    assert asyncio.run(use())


def test_a_question_is_asked_once_even_if_the_first_who_asks_gives_up() -> None:
    asked: list[str] = []

    async def answer() -> str:
        asked.append("?")
        await asyncio.sleep(0)
        return "yes"

    async def ask() -> None:
        memo: Memo[str] = Memo()
        impatient = asyncio.create_task(memo.get("open", answer))
        patient = asyncio.create_task(memo.get("open", answer))
        await asyncio.sleep(0)
        assert memo.known("open") is None
        impatient.cancel()
        assert await patient == "yes"
        assert memo.known("open") == await memo.get("open", answer) == "yes"
        assert asked == ["?"]
        memo.forget("open")
        memo.forget("never asked")
        assert await memo.get("open", answer) == "yes"
        assert asked == ["?", "?"]

    asyncio.run(ask())


def test_what_blocks_gives_its_result_or_raises_and_no_more_of_it_runs_at_a_time_than_said() -> None:
    running: set[int] = set()
    most = [0]

    def work() -> int:
        running.add(threading.get_ident())
        most[0] = max(most[0], len(running))
        running.discard(threading.get_ident())
        return 5

    def fail() -> int:
        raise ZeroDivisionError

    async def run() -> list[int]:
        threads = Threads(2, "test")
        with pytest.raises(ZeroDivisionError):
            await threads.run(fail, 60)
        return await asyncio.gather(*(threads.run(work, 60) for _ in range(20)))

    assert asyncio.run(run()) == [5] * 20
    assert 1 <= most[0] <= 2


class Slow:
    """Work that ends when it is told to, in a thread of its own."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.thread = threading.current_thread()

    def __call__(self) -> None:
        self.thread = threading.current_thread()
        self.began.set()
        self.may_end.wait(60)

    def end(self) -> None:
        """Have it end, and wait until its thread has."""
        assert self.began.wait(60)
        self.may_end.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_what_is_not_done_in_time_is_left_behind_and_its_place_is_free() -> None:
    slow = Slow()

    async def run() -> str:
        threads = Threads(1, "test")
        with pytest.raises(TimeoutError):
            await threads.run(slow, 0.01)
        given = await threads.run(lambda: "next", 60)
        await asyncio.to_thread(slow.end)  # while the run goes on, which takes no notice
        return given

    assert asyncio.run(run()) == "next"


def test_what_ends_after_the_run_ends_quietly() -> None:
    slow = Slow()

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await Threads(1, "test").run(slow, 0.01)

    asyncio.run(run())
    slow.end()


HANGING = """
import asyncio, threading
from reconciler.destinations.shared import Threads

async def run():
    try:
        await Threads(1, "test").run(threading.Event().wait, 0.01)
    except TimeoutError:
        print("given up")

asyncio.run(run())
"""


def test_the_end_of_the_process_waits_for_nothing_that_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("given up\n", "")
