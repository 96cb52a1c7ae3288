"""`reconciler schema`."""

from __future__ import annotations

from typing import Final

import click

_FILES: Final = {"keys": "keys.schema.json", "plan": "plan.schema.json", "record": "record.schema.json"}


@click.command("schema")
@click.argument("name", metavar="[keys|plan|record]", default="keys", type=click.Choice([*_FILES]))
def command(name: str) -> None:
    """Print the JSON schema of keys.yaml, of a plan, or of what record says with --format json.

    An editor explains, completes and checks every field of keys.yaml by it; a first line there that says
    `# yaml-language-server: $schema=keys.schema.json` names the file to VS Code, Neovim and Helix.

    \b
    Examples:
      reconciler schema > keys.schema.json
      reconciler schema plan
    """
    from reconciler.cli.console import show
    from reconciler.files import shipped_schema

    show(shipped_schema(_FILES[name]).decode())
