from __future__ import annotations

import asyncio
import gc
import weakref

from reconciler.destinations.shared import Memo, PerRun


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
