"""`reconciler revoke`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import options
from reconciler.cli.options import environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.engine.revoking import Found
    from reconciler.model import Declaration, LiveKey
    from reconciler.planning.revocation import Death
    from reconciler.secret import Secret


_FROM_STDIN: Final = "-"
"""The target that stands for a secret on standard input."""


@click.command("revoke")
@click.argument("targets", metavar="ADDRESS|ID|-...", nargs=-1, required=True, shell_complete=options.addresses)
@file_option
@simulator_option
@environments_option("Look in the account of")
@click.option("--no-replace", is_flag=True, help="Only kill: issue no successor.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can answer.")
@click.option("--allow-exec", is_flag=True, help="Let destinations of type exec run the commands of the file.")
@format_option("text", "json")
@click.pass_context
def command(
    context: click.Context,
    *,
    targets: tuple[str, ...],
    file: Path,
    simulator: Path | None,
    environments: tuple[str, ...],
    no_replace: bool,
    yes: bool,
    allow_exec: bool,
    output_format: str,
) -> int:
    """Kill leaked keys at once, then replace them.

    ADDRESS is environment/key or a glob like 'production/*', and means all keys of these addresses, also those that
    wait to take over or have been rotated out. The id of a live key, or its live name, means that key alone. A dash
    reads a leaked secret from standard input and finds its address by asking the destinations that can tell: dotenv
    compares, and systems that have room for a note have its fingerprint.

    One request disables each key and names it ~old, so that no later run enables it again. No lock is waited for, no
    guardrail asks, and no other change of the file is made. Then a declared address with destinations gets a new key,
    and its destinations the new secret. A key that is not declared is killed by its id or live name.

    \b
    Examples:
      reconciler revoke production/api
      reconciler revoke 4711 --no-replace
      reconciler revoke 'production/*' --yes --format json
      reconciler revoke - --yes < leaked.txt
    """
    from reconciler.cli import console
    from reconciler.engine.revoking import RevokeRequest, find, revoke
    from reconciler.render.revocation import result_json, result_text

    declaration, broken = _declaration(context, file)
    if _FROM_STDIN in targets:
        targets = (*(each for each in targets if each != _FROM_STDIN), *_addresses(declaration, allow_exec=allow_exec))
    request = RevokeRequest(
        targets=targets,
        declaration=declaration,
        environments=() if declaration is None else environments,
        replace=not no_replace,
        broken=broken,
        allow_exec=allow_exec,
        simulator=simulator,
    )
    found = console.run(find(request))
    if not yes:
        _ask(found)
    result = console.run(revoke(request, found, _Progress(), console.signals_call))
    console.show(result_json(result) if output_format == "json" else result_text(result))
    return result.exit_code


def _addresses(declaration: Declaration | None, *, allow_exec: bool) -> tuple[str, ...]:
    """Read a secret and find its addresses; raises UsageError where that is not possible."""
    from getpass import getpass

    from reconciler.cli import console
    from reconciler.engine.revoking import holders
    from reconciler.errors import UsageError
    from reconciler.secret import Secret

    if declaration is None:
        msg = "- asks the destinations of a declaration that can be used; without one, give the address or the id"
        raise UsageError(msg)
    text = getpass("Secret: ") if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        msg = "standard input holds no secret"
        raise UsageError(msg)
    with Secret(text.strip()) as secret:
        return console.run(holders(secret, declaration, allow_exec=allow_exec))


def _declaration(context: click.Context, file: Path) -> tuple[Declaration | None, bool]:
    """Load the declaration, if any, and say whether there is one that cannot be used: the key dies all the same."""
    from reconciler.cli.console import note
    from reconciler.cli.options import declaration_if_any
    from reconciler.errors import DeclarationError

    try:
        declaration = declaration_if_any(context, file)
    except DeclarationError as error:
        for line in str(error).split("\n"):
            note(f"warning: {line}")
        note("warning: so names are read as environment/key, in the account of NAGA_PROVISIONING_KEY alone")
        return None, True
    if declaration is None:
        note("warning: there is no declaration here, so what is killed is not replaced; name another place with -f")
    return declaration, False


def _ask(found: Mapping[str, Found]) -> None:
    """Ask the person at the terminal; raises UsageError where there is none, or when the answer is not yes."""
    from reconciler.cli.console import note
    from reconciler.errors import UsageError

    keys = [each.key for account in found.values() for each in account.chosen]
    for key in keys:
        note(f"  {key.name} (id {key.id})")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        msg = "there is nobody to ask, so nothing was changed; pass --yes to revoke without asking"
        raise UsageError(msg)
    note(f"Disable {'this key' if len(keys) == 1 else f'these {len(keys)} keys'} now, for good? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        msg = "not confirmed; nothing was changed"
        raise UsageError(msg)


class _Progress:
    """Says on stderr what dies, as it does."""

    def mask(self, secret: Secret) -> None:
        """Have GitHub Actions hide a secret from its logs."""
        from reconciler.cli.console import mask

        mask(secret)

    def died(self, death: Death) -> None:
        """Say what became of a key."""
        from reconciler.cli.console import note

        end = "is dead" if death.failure is None else f"is NOT dead: {death.failure}"
        note(f"{death.key.name} (id {death.key.id}) {end}")

    def waiting(self, lock: LiveKey) -> None:
        """Say what the successors wait for."""
        from reconciler.cli.console import note

        note(f"Waiting a moment for another run, key {lock.id} ({lock.name}), before a new key is issued.")
