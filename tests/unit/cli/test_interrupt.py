from __future__ import annotations

import asyncio
import signal

import pytest

from reconciler.cli import console

BOTH = pytest.mark.parametrize("number", console.SIGNALS)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in console.SIGNALS]


def test_undisturbed_work_gives_its_result() -> None:
    async def work() -> str:
        return "done"

    before = handlers()
    assert console.run(work()) == "done"
    assert handlers() == before


def test_nobody_writes_the_result_out() -> None:
    written = []

    class Large:
        def __repr__(self) -> str:
            written.append(self)
            return "ten thousand keys"

    async def work() -> Large:
        return Large()

    console.run(work())
    assert not written


def test_the_errors_of_the_work_come_through() -> None:
    async def work() -> None:
        raise ValueError

    before = handlers()
    with pytest.raises(ValueError, match=r"^$"):
        console.run(work())
    assert handlers() == before


@BOTH
def test_a_signal_lets_the_work_clean_up(number: signal.Signals) -> None:
    cleaned: list[str] = []

    async def work() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    before = handlers()
    with pytest.raises(KeyboardInterrupt):
        console.run(work())
    assert cleaned == ["up"]
    assert handlers() == before


@BOTH
def test_a_second_signal_cuts_the_cleaning_up_short(number: signal.Signals) -> None:
    cleaned: list[str] = []

    async def work() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(number)
            await asyncio.Event().wait()
            cleaned.append("up")

    with pytest.raises(KeyboardInterrupt):
        console.run(work())
    assert cleaned == []


@BOTH
def test_a_reaction_of_ones_own_takes_the_place_of_cancelling(number: signal.Signals) -> None:
    async def work() -> str:
        asked = asyncio.Event()
        with console.signals_call(asked.set):
            signal.raise_signal(number)
            await asked.wait()
        return "went on"

    assert console.run(work()) == "went on"
