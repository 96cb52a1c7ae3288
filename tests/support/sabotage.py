"""What a process does to itself on a test's order: it dies at a system call, or is told by one that it failed.

Only the calls by which a file is written are counted: a kill beside a read leaves what a kill beside the write before
leaves. No file is really synced, which would take most of a test's time: only a power cut, not a kill, could show the
difference.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE: Final = "before"
AFTER: Final = "after"
HALF: Final = "half"
"""In the middle of a write: half of its bytes are in the file."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens at the `number`-th call (1 is the first) whose name matches `call`, and, if it lasts, at all later.

    With an `errno` the call fails with it; without one the process is killed at the moment: `before`, `half`, `after`.
    """

    number: int
    moment: str = BEFORE
    call: str = "*"
    errno: int = 0
    lasts: bool = False


class Sabotage:
    """Takes the place of the system calls in `os`; writes the name of each call to a file as it is made."""

    def __init__(self, log: int, blow: Blow | None) -> None:
        """Take the descriptor of the log."""
        self._log = log
        self._blow = blow
        self._matching = 0
        self._counting = threading.Lock()
        self._write = os.write

    def install(self) -> None:
        """Stand between this process and its system."""
        self._wrap("mkdir", lambda *_: "mkdir")
        self._wrap("open", lambda _, flags, *__: "open" if flags & os.O_CREAT else "")
        self._wrap("fchmod", lambda *_: "chmod")
        self._wrap("write", lambda *_: "write")
        self._wrap("fsync", lambda descriptor: "fsync folder" if _is_folder(descriptor) else "fsync")
        self._wrap("replace", lambda *_: "rename")
        self._wrap("unlink", lambda *_: "unlink")

    def _wrap(self, function: str, name: Callable[..., str]) -> None:
        original: Callable[..., Any] = _synced if function == "fsync" else getattr(os, function)

        def call(*arguments: Any, **options: Any) -> Any:
            called = name(*arguments)
            if not called:
                return original(*arguments, **options)
            moment = self._strikes(called)
            if moment == BEFORE:
                _die()
            if moment == HALF:
                descriptor, content = arguments
                original(descriptor, content[: len(content) // 2])
                _die()
            result = original(*arguments, **options)
            if moment == AFTER:
                _die()
            return result

        setattr(os, function, call)

    def _strikes(self, called: str) -> str:
        """Count a call; give the moment at which to die, if it is this one; raises what the blow makes of it."""
        with self._counting:
            self._write(self._log, f"{called}\n".encode())
            blow = self._blow
            if blow is None or not fnmatchcase(called, blow.call):
                return ""
            self._matching += 1
            struck = self._matching == blow.number or (blow.lasts and self._matching > blow.number)
        if struck and blow.errno:
            raise OSError(blow.errno, os.strerror(blow.errno))
        return blow.moment if struck else ""


def _synced(_: int) -> None:
    """Sync nothing."""


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
