"""`reconciler show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli import options
from reconciler.cli.options import environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("show")
@click.argument("key", metavar="ADDRESS|ID", shell_complete=options.addresses)
@file_option
@simulator_option
@environments_option("Look in the account of")
@format_option("text", "json")
@click.pass_context
def command(
    context: click.Context,
    *,
    key: str,
    file: Path,
    simulator: Path | None,
    environments: tuple[str, ...],
    output_format: str,
) -> int:
    """Show one key with all that is known of it, and what a plan would do with it.

    ADDRESS is environment/key; the id of a live key and a live name work too. Without a keys.yaml, names are read as
    environment/key, and nothing is known to be declared.

    \b
    Examples:
      reconciler show production/api
      reconciler show 4711 --format json
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show, use_color, width
    from reconciler.cli.options import declaration_if_any
    from reconciler.engine.inspect import Scope, show_key
    from reconciler.render.escape import to_json
    from reconciler.render.inventory import detail_document, detail_text

    declaration = declaration_if_any(context, file)
    if declaration is None:
        note(f"note: there is no {file}, so names are read as environment/key and no key counts as declared")
    detail = console.run(show_key(Scope(declaration, environments, simulator), key))
    console.tell(detail)
    if output_format == "json":
        show(to_json(detail_document(detail)))
    else:
        show(detail_text(detail, color=use_color(), width=width()))
    return 0
