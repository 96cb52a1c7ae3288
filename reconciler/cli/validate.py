"""`reconciler validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import file_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("validate")
@file_option
def command(file: Path) -> None:
    """Check the file, offline.

    Every error comes at once, with its file, line and column. Needs no credential and touches no account.

    \b
    Example:
      reconciler validate -f keys.yaml
    """
    from reconciler.declaration import load

    declaration = load(file)
    keys, environments = len(declaration.keys), len(declaration.environments)
    click.echo(
        f"{file} is valid: {keys} key{'s' * (keys != 1)} in {environments} environment{'s' * (environments != 1)}."
    )
