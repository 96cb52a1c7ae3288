"""`reconciler validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import file_option, format_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("validate")
@file_option
@format_option("text", "github")
def command(file: Path, output_format: str) -> None:
    """Check the file, offline.

    Every error comes at once, with its file, line and column. Needs no credential and touches no account. A key whose
    secret nobody would receive, because it has no destination, is an error too: `deliver: []` says that it is live
    already.

    With --format github the errors are annotations at their place in the pull request as well.

    \b
    Examples:
      reconciler validate -f keys.yaml
      reconciler validate --format github
    """
    from reconciler.cli.console import show
    from reconciler.cli.options import annotated
    from reconciler.declaration import STANDARD_INPUT, load
    from reconciler.declaration.loader import STDIN
    from reconciler.declaration.resolve import undeliverable
    from reconciler.errors import DeclarationError
    from reconciler.render.escape import terminal

    with annotated(output_format):
        declaration = load(file)
        if found := undeliverable(declaration):
            raise DeclarationError(found)
    keys, environments = len(declaration.keys), len(declaration.environments)
    counts = f"{keys} key{'s' * (keys != 1)} in {environments} environment{'s' * (environments != 1)}"
    show(f"{STDIN if file == STANDARD_INPUT else terminal(str(file))} is valid: {counts}.\n")
