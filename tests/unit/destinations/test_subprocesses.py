from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from reconciler.destinations import exec as exec_destination
from reconciler.destinations.exec import Command, Ended, NotStarted, TimedOut

if TYPE_CHECKING:
    from pathlib import Path


def command(folder: Path, script: str, seconds: float = 20.0) -> Command:
    return Command("/bin/sh", ("sh", "-c", script), folder, {"PATH": os.environ["PATH"]}, seconds)


class Line:
    """A named pipe that tells when everybody who holds its other end has ended."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "line"
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    async def first_word(self) -> bytes:
        while True:
            try:
                if word := os.read(self._descriptor, 100):
                    return word
            except BlockingIOError:
                pass
            await asyncio.sleep(0.01)

    async def dead(self) -> bool:
        while True:
            try:
                if not os.read(self._descriptor, 100):
                    os.close(self._descriptor)
                    return True
            except BlockingIOError:
                await asyncio.sleep(0.01)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_content_and_output_of_any_size_that_pipes_take_pass_through(tmp_path: Path) -> None:
    ended = asyncio.run(exec_destination.run(command(tmp_path, "cat; exit 1"), bytearray(b"x" * 60_000)))
    assert ended == Ended(1, b"x" * 60_000)


def test_of_a_large_output_the_end_is_kept(tmp_path: Path) -> None:
    ended = asyncio.run(
        exec_destination.run(command(tmp_path, "head -c 5000000 /dev/zero; echo end; exit 1"), bytearray())
    )
    assert isinstance(ended, Ended)
    assert len(ended.output) == exec_destination.KEPT
    assert ended.output.endswith(b"\0end\n")


def test_content_that_no_pipe_takes_starts_nothing(tmp_path: Path) -> None:
    ended = asyncio.run(exec_destination.run(command(tmp_path, "touch started"), bytearray(b"x" * 10_000_000)))
    assert ended == NotStarted("the secret is too large for a pipe")
    assert list(tmp_path.iterdir()) == []


def test_no_pipes_to_be_had_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    async def run() -> exec_destination.Ending:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pipe", fail)
            return await exec_destination.run(command(tmp_path, "touch started"), bytearray(b"x"))

    assert asyncio.run(run()) == NotStarted("Too many open files")


def test_an_error_without_words_is_named_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    assert asyncio.run(exec_destination.run(command(tmp_path, "exit"), bytearray(b"x"))) == NotStarted(
        "BlockingIOError"
    )


def test_a_process_left_behind_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_destination, "_TRAILING", 0.05)

    async def run() -> None:
        assert await exec_destination.run(command(tmp_path, "echo said; sleep 1 & exit 0"), bytearray()) == Ended(
            0, b""
        )
        assert await exec_destination.run(command(tmp_path, "echo said; sleep 1 & exit 4"), bytearray()) == Ended(
            4, b"said\n"
        )

    asyncio.run(run())


def test_a_program_is_stopped_when_its_time_is_over(tmp_path: Path, line: Line) -> None:
    async def run() -> None:
        script = f"exec 2> {line.path}; sleep 60"
        assert await exec_destination.run(command(tmp_path, script, seconds=0.05), bytearray()) == TimedOut(b"")
        assert await line.dead()

    asyncio.run(run())


def test_whoever_does_not_stop_is_made_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    monkeypatch.setattr(exec_destination, "GRACE", 0.05)

    async def run() -> None:
        child = f"trap '' TERM; exec 4> {line.path}; echo deaf >&4; while :; do sleep 1; done"
        running = asyncio.create_task(exec_destination.run(command(tmp_path, f"({child}) & wait"), bytearray()))
        assert await line.first_word() == b"deaf\n"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await line.dead()

    asyncio.run(run())


def test_an_interrupted_program_can_tidy_up_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    monkeypatch.setattr(exec_destination, "GRACE", 60.0)

    async def run() -> None:
        script = f"trap 'touch tidy; exit' TERM; echo up > {line.path}; while :; do sleep 0.01; done"
        running = asyncio.create_task(exec_destination.run(command(tmp_path, script), bytearray()))
        await line.first_word()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    assert (tmp_path / "tidy").exists()


def test_a_program_of_another_user_is_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_destination, "GRACE", 0.01)
    sent = []
    kill = os.killpg

    def refuse_the_first(group: int, number: int) -> None:
        sent.append(number)
        if len(sent) == 1:
            raise PermissionError
        kill(group, number)

    monkeypatch.setattr(os, "killpg", refuse_the_first)
    assert asyncio.run(exec_destination.run(command(tmp_path, "sleep 60", seconds=0.05), bytearray())) == TimedOut(b"")
    assert sent == [signal.SIGTERM, signal.SIGKILL]
