"""`reconciler validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import file_option, format_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("validate")
@file_option
@format_option("text", "github", "gitlab", "sarif")
def command(file: Path, output_format: str) -> None:
    """Check the file, offline.

    Every error comes at once, with its file, line and column. Needs no credential and touches no account. A key whose
    secret nobody would receive, because it has no destination, is an error too: `deliver: []` says that it is live
    already.

    With --format github the errors are annotations at their place in the pull request as well, with --format gitlab the
    report of code quality that a merge request shows, with --format sarif a document for code scanning services and
    editors.

    \b
    Examples:
      reconciler validate -f keys.yaml
      reconciler validate --format github
      reconciler validate --format gitlab > codequality.json
      reconciler validate --format sarif > keys.sarif
    """
    from reconciler.cli.console import note, show
    from reconciler.cli.options import annotated
    from reconciler.declaration import STANDARD_INPUT, load_sources, read_sources
    from reconciler.declaration.destinations import exposed
    from reconciler.declaration.loader import STDIN, quoted
    from reconciler.declaration.resolve import undeliverable
    from reconciler.errors import DeclarationError
    from reconciler.render.escape import terminal

    with annotated(output_format):
        sources = read_sources(file)
        declaration = load_sources(sources)
        if found := undeliverable(declaration):
            raise DeclarationError(quoted(found, sources))
    for delivery, why in exposed(declaration.keys):
        note(f"warning: {delivery.source}: {delivery.target.destination}: {why}")
    if output_format == "gitlab":
        from reconciler.render.gitlab import code_quality

        show(code_quality(()))
        return
    if output_format == "sarif":
        from reconciler import __version__
        from reconciler.render.sarif import render_diagnostics

        show(render_diagnostics((), __version__))
        return
    keys, environments = len(declaration.keys), len(declaration.environments)
    counts = f"{keys} key{'s' * (keys != 1)} in {environments} environment{'s' * (environments != 1)}"
    show(f"{STDIN if file == STANDARD_INPUT else terminal(str(file))} is valid: {counts}.\n")
