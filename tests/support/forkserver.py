"""A process that has imported all that `reconciler apply` needs, and forks one that runs it whenever it is asked to.

Run as `python -m support.forkserver DESCRIPTOR`, the descriptor being a socket on which each run arrives as a socket of
its own. What runs is `reconciler.cli.main.main`, as the installed script calls it; only the imports are done already,
and the real seconds that it would wait (see PAUSES) are milliseconds.

It has one thread, since forking a process with several is asking for trouble: a run that is waited for is waited for by
a process of its own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from support.sabotage import Blow, Sabotage

if TYPE_CHECKING:
    from typing import NoReturn

PRELOADED: Final = (
    "anyio._backends._asyncio",
    "deepdiff",
    "dotenv",
    "httpcore",
    "httpx",
    "importlib.metadata",
    "jsonschema_rs",
    "sniffio",
    "yaml",
)
PAUSES: Final[dict[str, dict[str, Any]]] = {
    "reconciler.account.lock": {"SHORTEST_PAUSE": 0.01, "LONGEST_PAUSE": 0.02},
    "reconciler.account.client": {"PAUSES": (0.01,) * 4, "SETTLING_PAUSES": (0.01,)},
    "reconciler.execution.issue": {"PAUSES": (0.01, 0.01)},
    "reconciler.engine.revoking": {"LOCK_TIMEOUT": timedelta(seconds=0.3)},
}
RENEWALS: Final[dict[str, dict[str, Any]]] = {
    "reconciler.account.lock": {"RENEW_EVERY": 0.1, "RETRY_RENEWAL_EVERY": 0.02}
}
"""Constants that are real seconds. Leases and overlaps stay what they are: they are the service's time."""


def serve(control: socket.socket) -> None:
    """Fork until the other end is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks what became of those who wait
    control.sendall(b"!")
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            _supervise(socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def _supervise(connection: socket.socket) -> NoReturn:
    """Run one job, and tell its process id at its beginning and its status at its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    job = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become_the_command(job)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become_the_command(job: dict[str, Any]) -> NoReturn:
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, job["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["reconciler", *job["arguments"]]
    _follow_clock(job["clock"])
    _set(PAUSES)
    if job["renews_often"]:
        _set(RENEWALS)
    blow = job["blow"]
    log = os.open(job["calls"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    Sabotage(log, Blow(**blow) if blow else None).install()
    os._exit(_main())


def _follow_clock(path: str) -> None:
    """Have this machine's clock ahead by the seconds that stand in a file, should a test write any there."""

    def machine() -> datetime:
        try:
            return datetime.now(UTC) + timedelta(seconds=float(Path(path).read_text()))
        except FileNotFoundError:
            return datetime.now(UTC)

    timing = importlib.import_module("reconciler.http.retry").Timing
    *others, _ = timing.__init__.__defaults__
    timing.__init__.__defaults__ = (*others, machine)


def _set(constants: dict[str, dict[str, Any]]) -> None:
    for module, values in constants.items():
        for name, value in values.items():
            setattr(importlib.import_module(module), name, value)


def _main() -> int:
    main = importlib.import_module("reconciler.cli.main").main
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _preload() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    package = importlib.import_module("reconciler")
    for module in pkgutil.walk_packages(package.__path__, "reconciler."):
        if not module.name.startswith("reconciler.simulator"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _preload()
    serve(socket.socket(fileno=int(sys.argv[1])))
