"""What this process shows its user: results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING, TextIO

import click

from reconciler.render.escape import terminal

if TYPE_CHECKING:
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
    """Give the terminal's width; None when nobody watches."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(text: str, *, err: bool = False) -> None:
    """Show a result, whole lines whose names are escaped already, on stdout; with `err`, beside the results."""
    if err:
        _to_stderr(text, color=use_color())
    else:
        click.echo(text, nl=False, color=use_color())


def note(message: str, *, start: str = "", end: str = "\n") -> None:
    """Say something that is no result, on one line of stderr; what would act on a terminal is made visible."""
    _to_stderr(f"{start}{terminal(message)}{end}")


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
        click.echo(text, nl=False, err=True, color=color)
    except OSError:
        # Nobody listens any more, which is no reason to stop in the middle of something.
        let_go(sys.stderr)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False
