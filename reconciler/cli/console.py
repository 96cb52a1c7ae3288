"""What this process shows its user: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from reconciler.errors import DeclarationError
from reconciler.render.escape import terminal

if TYPE_CHECKING:
    from reconciler.errors import ReconcilerError
    from reconciler.secret import Secret


def use_color() -> bool:
    """Colour only for a person: on a terminal, and not when NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def width() -> int | None:
    """Give the terminal's width; None when nobody watches."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def note(message: str) -> None:
    """Say something that is no result."""
    click.echo(terminal(message), err=True)


def show_error(error: ReconcilerError) -> None:
    """Show an error, one line for each thing it holds, names in it made harmless."""
    if isinstance(error, DeclarationError):
        for diagnostic in error.diagnostics:
            note(str(diagnostic))
        count = len(error.diagnostics)
        note(f"{count} error{'s' * (count != 1)}; nothing was changed.")
        return
    for line in str(error).split("\n"):
        note(f"error: {line}")


def mask(secret: Secret) -> None:
    """Have GitHub Actions hide a secret from its logs, before anything else happens with it."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        value = secret.reveal().replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        # stderr: stdout may be one JSON document, and the runner reads commands from both.
        click.echo(f"::add-mask::{value}", err=True)
