"""Talks to the terminal: results on stdout, everything else on stderr, and what Ctrl-C does."""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, TypeVar

import click

from reconciler.render.escape import terminal
from reconciler.secret import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from reconciler.secret import Secret


def prepare_streams() -> None:
    """See to it that the standard streams exist and take every character.

    They are UTF-8 whatever the locale says, unless PYTHONIOENCODING wants otherwise; what an encoding lacks is escaped.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed by the caller. Left so, the next file or connection would get its number, and its output.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # for the whole run
    encoding = None if os.environ.get("PYTHONIOENCODING") else "utf-8"
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors=errors)


def use_color() -> bool:
    """Colour for a person at a terminal; NO_COLOR and FORCE_COLOR say otherwise, the former being the stronger."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Return the terminal's width; None when nobody watches."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# A secret that was typed as an argument is never repeated: neither in a result, nor in an error about the argument.

_typed: list[str] = []


def hide_typed(arguments: Iterable[str]) -> None:
    """Hide from now on, in all that is shown, what in these arguments looks like a key of the service."""
    _typed.clear()
    if any("ng-" in each or "naga_sk_" in each for each in arguments):
        from reconciler.http.redact import keys_in

        _typed.extend(keys_in(arguments))


def _without_typed(text: str) -> str:
    for key in _typed:
        text = text.replace(key, HIDDEN)
    return text


def show(text: str, *, err: bool = False) -> None:
    """Show a result, whole lines whose names are escaped already, on stdout; with `err`, beside the results."""
    if err:
        _to_stderr(text, color=use_color())
    else:
        click.echo(_without_typed(text), nl=False, color=use_color())


def note(message: str, *, start: str = "", end: str = "\n") -> None:
    """Say something that is no result, on one line of stderr; what would act on a terminal is made visible."""
    _to_stderr(f"{start}{terminal(message)}{end}")


class Told(Protocol):
    """A result that says what could not be read."""

    @property
    def errors(self) -> tuple[str, ...]:
        """What is missing in it, in a line each."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What else to know about it, in a line each."""
        ...


def tell(result: Told) -> None:
    """Say beside a result what could not be read, and what else to know about it."""
    for text in result.errors:
        note(f"error: {text}")
    warn(result.warnings)


def warn(texts: Iterable[str]) -> None:
    """Say what to know, on a line each."""
    for text in texts:
        note(f"warning: {text}")


def mask(secret: Secret) -> None:
    """Have GitHub Actions hide a secret from its logs, before anything else happens with it."""
    # A file is not read by the runner: there the line would hide nothing and be a leak itself.
    if os.environ.get("GITHUB_ACTIONS") == "true" and not _is_file(sys.stderr):
        value = secret.reveal().replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        # stderr: stdout may be one JSON document, and the runner reads commands from both.
        _to_stderr(f"::add-mask::{value}\n")


def let_go(stream: TextIO) -> None:
    """Send to nowhere what a stream could not write, so that the interpreter does not stumble over it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _to_stderr(text: str, *, color: bool = False) -> None:
    try:
        click.echo(_without_typed(text), nl=False, err=True, color=color)
    except OSError:
        # Nobody listens any more, which is no reason to stop in the middle of something.
        let_go(sys.stderr)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False


# What Ctrl-C and SIGTERM do while an event loop runs.

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, or until a signal: then `work` is cancelled, cleans up, and KeyboardInterrupt is raised.

    A second signal cancels the cleaning up as well.
    """
    import asyncio

    # Not the task's own result: when the loop ends, the signal module asks for the task's repr, all keys included.
    results: list[T] = []

    async def supervised() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this is a coroutine of a running loop
        with signals_call(task.cancel):
            results.append(await work)
            await asyncio.sleep(0)  # a signal that came after the last wait of all takes effect here

    try:
        asyncio.run(supervised())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return results[0]


@contextmanager
def signals_call(react: Callable[[], object]) -> Iterator[None]:
    """Have signals call `react` on the running event loop, where it cannot tear anything apart.

    The loop's own `add_signal_handler` is no help: when it ends, SIGTERM kills the process where it stands.
    """
    import asyncio

    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(react)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# `-v`: what the program logs about itself, as notes on stderr.


@contextmanager
def notes_of_the_log() -> Iterator[None]:
    """Show what reconciler logs, until left; what other libraries log may hold credentials and is not shown."""
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    log = logging.getLogger("reconciler")
    before, handler = log.level, Notes()
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
