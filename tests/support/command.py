"""The command as people use it: in this process, as a process of its own, and on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from reconciler.account import client
from reconciler.cli.main import run
from reconciler.http.retry import Timing
from reconciler.simulator import State, front
from support.simulation import PROVISIONING, Service, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

COMMAND = [sys.executable, "-c", "from reconciler.cli.main import main; main()"]
# Ctrl-C reaches who has the terminal and does not ignore it, as what a script starts in the background does.
ON_A_TERMINAL = """\
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
KEYS = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
environments:
  ci:
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys: %s
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Read stdout as the one JSON document that it should be."""
        return json.loads(self.out)


class Output(io.StringIO):
    """A standard stream of this process, no terminal unless said so."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def call(*words: str, terminal: bool = False, answer: str = "") -> Ended:
    """Run a command in this process."""
    out, err, keyboard = Output(terminal=terminal), Output(terminal=terminal), Output(terminal=terminal)
    keyboard.write(answer)
    keyboard.seek(0)
    before, sys.stdin = sys.stdin, keyboard
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
    finally:
        sys.stdin = before
    return Ended(code, out.getvalue(), err.getvalue())


class Front:
    """The command in a folder of its own, on a simulated account that tests can look at and change."""

    def __init__(self, state: State, *options: str) -> None:
        self.state = state
        self.options = options

    def declare(self, keys: str) -> Self:
        """Write keys.yaml, its keys given as one flow mapping."""
        return self.write(KEYS % keys)

    def write(self, text: str) -> Self:
        """Write keys.yaml."""
        with open("keys.yaml", "w", encoding="utf-8") as file:  # noqa: PTH123  # a file of the working folder
            file.write(textwrap.dedent(text))
        return self

    def __call__(self, *words: str, **how: Any) -> Ended:
        return call(*words, *self.options, **how)

    def names(self) -> list[str]:
        return sorted(key.name for key in self.state.keys())  # noqa: SIM118  # a method, not a mapping's


@contextmanager
def on_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Use the simulator inside the command."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NAGA_PROVISIONING_KEY", raising=False)
    with State(folder / "sim.db") as state:
        yield Front(state, "--simulator", "sim.db")


@contextmanager
def on_a_socket(folder: Path, monkeypatch: pytest.MonkeyPatch, *faults: str) -> Iterator[Front]:
    """Use a service on a real socket of this process, with faults."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NAGA_PROVISIONING_KEY", PROVISIONING)
    with (
        State(folder / "sim.db") as state,
        State(folder / "sim.db") as at_the_service,
        served(Service(at_the_service, *faults).app) as url,
    ):
        monkeypatch.setenv("NAGA_BASE_URL", url)
        yield Front(state)


def answers_come_after(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object] = lambda: None
) -> threading.Event:
    """Have what the service of this process answers with a latency wait for an event, however long that takes."""
    happened = threading.Event()

    async def until_it_has(_: float) -> None:
        meanwhile()
        while not happened.is_set():  # noqa: ASYNC110  # it happens in another thread
            await asyncio.sleep(0.01)

    monkeypatch.setattr(front, "asyncio", SimpleNamespace(sleep=until_it_has))
    return happened


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have attempts at requests to an account follow each other a hundred times as fast."""
    timing = Timing(sleep=lambda seconds: asyncio.sleep(seconds / 100))
    monkeypatch.setattr(client.connect, "__kwdefaults__", {**(client.connect.__kwdefaults__ or {}), "timing": timing})


def environment(**variables: str) -> dict[str, str]:
    """Give this process's environment without what would change how a command looks."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("NAGA_", "GITHUB_"))}
    for name in ("NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "PYTHONUTF8"):
        plain.pop(name, None)
    return {**plain, "COLUMNS": "120", **variables}


@contextmanager
def started(*words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command as a process of its own, its output in pipes."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*COMMAND, *words], text=True, encoding="utf-8", env=environment(**variables), **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Terminal:
    """A command on a terminal of its own; `seen` is all that it has shown."""

    def __init__(self, *words: str, **variables: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND[:2], ON_A_TERMINAL + COMMAND[2], *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(TERM="xterm", **variables),
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read on until this has been shown."""
        self._until(lambda: text in self.seen or self.process.poll() is not None)
        assert text in self.seen

    def end(self) -> int:
        """Read to the end and give the exit code."""
        self._until(lambda: self.process.poll() is not None)
        self._read()
        return self.process.returncode

    def _until(self, happened: Any) -> None:
        deadline = time.monotonic() + 60
        while not happened():
            assert time.monotonic() < deadline, self.seen
            self._read()
            time.sleep(0.01)
        self._read()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nothing there yet, or the other side is closed
            while data := os.read(self._master, 65536):
                self.seen += data.decode(errors="replace")
