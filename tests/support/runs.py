"""Two ways to run the real command `reconciler`: the installed script, and a fork of a process that is warm already."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from support.sabotage import Blow

SCRIPT: Final = Path(sysconfig.get_path("scripts")) / "reconciler"
LONGEST: Final = 60.0
"""Seconds after which a run is taken to hang."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run: what its shell would be given.

    `blow` is what happens at its system calls; one that `renews_often` renews its lock after 0.1 s, not after 30.
    """

    folder: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]
    blow: Blow | None = None
    renews_often: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended: its exit code (-9: killed), what it said, and the system calls it made."""

    code: int
    output: str
    errors: str
    calls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Show all of it, for the message of a failing test."""
        return f"exit code {self.code}\n--- stdout\n{self.output}--- stderr\n{self.errors}--- calls: {self.calls}"


class Running(Protocol):
    """A run that has begun; its machine's clock is ahead by the seconds that a test writes to the file `clock`."""

    pid: int
    clock: Path

    def wait(self) -> Done:
        """Wait for its end; one that hangs is killed, and that is an error."""
        ...


class Runner(Protocol):
    """A way to run the command."""

    def start(self, job: Job) -> Running:
        """Begin."""
        ...


class Script:
    """Runs the installed script, in a new process with nothing prepared; it cannot strike at system calls."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        """Take what to put before the command, as one puts `sudo`."""
        self._prefix = prefix

    def start(self, job: Job) -> Running:
        assert not any((job.blow, job.renews_often)), "only a fork can be made to behave otherwise"
        return _Process(
            subprocess.Popen(
                [*self._prefix, SCRIPT, *job.arguments],
                cwd=job.folder,
                env=job.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )


class _Process:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.clock = Path(os.devnull)

    def wait(self) -> Done:
        try:
            output, errors = self._process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        return Done(self._process.returncode, output, errors)


class Forks:
    """Runs the command in forks of one process; see `support.forkserver`."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._count = 0
        # Without coverage: it would measure imports only, and slow every fork down.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.forkserver", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
            )
        assert self._control.recv(1) == b"!", "the fork server does not start"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.wait(LONGEST)

    def start(self, job: Job) -> Running:
        self._count += 1
        said = job.folder / f".run-{self._count}"
        said.mkdir()
        order = {
            "folder": str(job.folder),
            "arguments": job.arguments,
            "environment": job.environment,
            "renews_often": job.renews_often,
            "blow": asdict(job.blow) if job.blow else None,
            **{name: str(said / name) for name in ("output", "errors", "calls", "clock")},
        }
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"."], [theirs.fileno()])
        ours.settimeout(LONGEST)
        ours.sendall(json.dumps(order).encode() + b"\n")
        return _Fork(ours, said)


class _Fork:
    def __init__(self, connection: socket.socket, said: Path) -> None:
        self._connection = connection
        self._lines = connection.makefile()
        self._said = said
        self.clock = said / "clock"
        self.pid = int(self._lines.readline())

    def wait(self) -> Done:
        with self._connection, self._lines:
            try:
                code = int(self._lines.readline())
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                raise
        output, errors, calls = (self._read(name) for name in ("output", "errors", "calls"))
        return Done(code, output, errors, tuple(calls.splitlines()))

    def _read(self, name: str) -> str:
        path = self._said / name
        return path.read_text() if path.exists() else ""
