"""`reconciler demo`: the whole story, told by the real commands on a simulated account."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import chdir
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT: Final = "account.db"

_FIRST: Final = """\
version: 1

destinations:
  local:
    type: dotenv
    path: .secrets/{environment}.env

environments:
  production:
    deletion_grace: 7d
    deliver: [{to: local, as: "NAGA_API_KEY_{KEY}"}]
    keys:
      api: {credit_limit: 500, description: the public API}
      worker: {credit_limit: 100, description: nightly batch}
  ci:
    deliver: [{to: local, as: "NAGA_API_KEY_{KEY}"}]
    keys:
      tests: {credit_limit: 25}
"""
_WORKER: Final = "      worker: {credit_limit: 100, description: nightly batch}\n"


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the temporary folder, to look around and go on.")
def command(*, keep: bool) -> int:
    """Tell the whole story on a simulated account, in a temporary folder.

    Every command is shown as you would type it, and its real output follows. Nothing leaves this machine.

    \b
    Example:
      reconciler demo --keep
    """
    from reconciler.simulator import require_extra

    require_extra()
    folder = Path(tempfile.mkdtemp(prefix="reconciler-demo-"))
    try:
        with chdir(folder):
            code = _tell()
        if code == 0:
            _say("With a real account")
            click.echo(_NEXT)
        if keep:
            click.echo(f"\nThe demo's files are in {folder}; go on with  cd {folder}")
        return code
    finally:
        if not keep:
            shutil.rmtree(folder)


_NEXT: Final = """\
  export NAGA_PROVISIONING_KEY=…          # a provisioning key, from the dashboard; an inference key is refused
  reconciler import                       # writes keys.yaml from the keys of the account
  reconciler validate                     # offline
  reconciler plan                         # reads, changes nothing
  reconciler apply                        # shows the plan again and asks
  reconciler init                         # GitHub workflows: plan on the pull request, apply on merge"""


def _tell() -> int:
    """Go through the story; returns the exit code of the first command that did not end as the story says."""
    file = Path("keys.yaml")
    story: list[tuple[str, Callable[[], int]]] = [
        ("A team declares its keys in a file", lambda: _write(file, _FIRST)),
        ("What would change? Reading is all that plan does", lambda: _run("plan")),
        ("Make it so", lambda: _run("apply --auto-approve")),
        ("The secrets have arrived, and only there", _show_secrets),
        ("Now the account matches the file", lambda: _run("plan --detailed-exitcode")),
        ("Someone raises a limit on the dashboard …", _meddle),
        ("… and plan shows the drift (exit code 2: changes pending)", lambda: _run("plan --detailed-exitcode", 2)),
        ("A pull request removes the worker's key", lambda: _write(file, _FIRST.replace(_WORKER, ""))),
        ("Apply puts the limit back, and disables the key for its grace period", lambda: _run("apply --auto-approve")),
        ("That was a mistake: the worker stands still. git revert …", lambda: _write(file, _FIRST)),
        ("… and apply brings the same key back, with the same secret", lambda: _run("apply --auto-approve")),
        ("What the worker holds works again, nothing had to be delivered", _try_worker),
        ("Nothing is left to do", lambda: _run("plan --detailed-exitcode")),
    ]
    for title, tell in story:
        _say(title)
        if code := tell():
            return code
    return 0


def _say(title: str) -> None:
    click.echo()
    click.secho(f"# {title}", bold=True)


def _run(command_line: str, expected: int = 0) -> int:
    """Run a command on the simulated account, shown as typed; returns 0 when it ended as expected."""
    from reconciler.cli.main import run

    verb, *flags = command_line.split()
    words = [verb, "--simulator", ACCOUNT, *flags]
    click.secho(f"$ reconciler {' '.join(words)}", fg="cyan")
    code = run(words)
    return 0 if code == expected else code or 1


def _write(file: Path, text: str) -> int:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(text, encoding="utf-8")
    if not before:
        click.secho(f"$ cat {file}", fg="cyan")
        click.echo(text, nl=False)
        return 0
    import difflib

    click.secho("$ git diff --unified=1", fg="cyan")
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), f"a/{file}", f"b/{file}", n=1, lineterm="")
    click.echo("\n".join(lines))
    return 0


def _show_secrets() -> int:
    """Show the delivered file with its secrets cut short: even a simulated one is not shown whole."""
    from dotenv import dotenv_values

    for file in sorted(Path(".secrets").iterdir()):
        click.secho(f"$ cut -c 1-28 {file}", fg="cyan")
        for name, value in dotenv_values(file).items():
            click.echo(f"{name}='{value}"[:28])
    return 0


def _meddle() -> int:
    from reconciler.simulator.state import State

    with State(Path(ACCOUNT)) as state:
        keys = {key.name: key.id for key in state.keys()}  # noqa: SIM118  # a method, not a mapping's
        state.update_key(keys["production/api"], credit_limit=Decimal(900))
    click.echo("(production/api: $500 → $900, by hand)")
    return 0


def _try_worker() -> int:
    """Use the secret that was delivered at first, as the worker would."""
    from dotenv import dotenv_values

    from reconciler.simulator.state import State

    secret = dotenv_values(".secrets/production.env")["NAGA_API_KEY_WORKER"]
    with State(Path(ACCOUNT)) as state:
        works = state.opens(secret or "")
    click.echo(f"(the service {'accepts' if works else 'refuses'} it)")
    return 0 if works else 1
