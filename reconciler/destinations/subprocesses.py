"""Runs one program: input given, output kept in part, stopped with all it has started when its time is over."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from io import FileIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GRACE: Final = 0.5
"""Seconds between asking a program to stop and making it; an interrupted run has few left at this point."""

KEPT: Final = 64 * 1024
"""The bytes of a program's output that are kept: the last."""

_TRAILING: Final = 0.5
"""Seconds to wait for output after the end of a program; something that it has left behind may hold it open."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, for how many seconds at most: the file `program`, with `variables` alone as environment."""

    program: str
    argv: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str] = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class NotStarted:
    """It never ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It was stopped."""

    output: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """It ended: `status` is its exit status, or the negative number of the signal that ended it."""

    status: int
    output: bytes = field(repr=False)


Ending = NotStarted | TimedOut | Ended


async def run(command: Command, content: bytearray) -> Ending:
    """Run a program with this standard input, which is wiped; never raises for what it does.

    It gets a session of its own: no terminal, no Ctrl-C meant for us, and one signal reaches whatever it has started.
    Cancelled, it is stopped too.
    """
    # Pipes of our own: asyncio's would have to be waited for until the last process that holds them lets go.
    with ExitStack() as pipes:
        try:
            stdin, feeding = _pipe(pipes)
            reading, stdout = _pipe(pipes)
        except OSError as error:
            return _not_started(error)
        if not _fill(feeding, content):
            return NotStarted("the secret is too large for a pipe")
        output = _Output()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: output, reading)
        pipes.callback(transport.close)
        process = await _start(command, stdin, stdout)
        stdout.close()
        return process if isinstance(process, NotStarted) else await _finish(process, command.seconds, output)


def _pipe(pipes: ExitStack) -> tuple[FileIO, FileIO]:
    """Open a pipe: the end to read from, and the end to write to."""
    reading, writing = os.pipe()
    return pipes.enter_context(FileIO(reading, "r")), pipes.enter_context(FileIO(writing, "w"))


def _fill(feeding: FileIO, content: bytearray) -> bool:
    """Put the whole input into a pipe before anybody reads it, which no program can delay; tells whether it fits."""
    with feeding:
        os.set_blocking(feeding.fileno(), False)
        fits = feeding.write(content) == len(content)
    content[:] = bytes(len(content))  # the program may run for long
    return fits


class _Output(asyncio.Protocol):
    """Keeps the last of what comes out of a pipe."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._content += data
        del self._content[:-KEPT]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # however it has ended
        self._ended.set_result(None)

    async def last(self) -> bytes:
        await asyncio.wait({self._ended}, timeout=_TRAILING)
        return bytes(self._content)


async def _start(command: Command, stdin: FileIO, stdout: FileIO) -> asyncio.subprocess.Process | NotStarted:
    try:
        return await asyncio.create_subprocess_exec(
            *command.argv,
            executable=command.program,
            cwd=command.folder,
            env=command.variables,
            stdin=stdin,
            stdout=stdout,
            stderr=stdout,
            start_new_session=True,
        )
    except OSError as error:
        return _not_started(error)


def _not_started(error: OSError) -> NotStarted:
    return NotStarted(error.strerror or type(error).__name__)


async def _finish(process: asyncio.subprocess.Process, seconds: float, output: _Output) -> Ending:
    try:
        async with asyncio.timeout(seconds):
            status = await process.wait()
    except TimeoutError:
        await _stop(process)
        return TimedOut(await output.last())
    except asyncio.CancelledError:
        await _stop(process)
        raise
    return Ended(status, await output.last() if status else b"")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask the program and whatever it has started to stop, and after GRACE make them."""
    try:
        _signal(process, signal.SIGTERM)
        await _wait(process, GRACE)
    finally:
        _signal(process, signal.SIGKILL)
    await _wait(process, _TRAILING)  # one that runs as another user cannot be stopped


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _wait(process: asyncio.subprocess.Process, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()
