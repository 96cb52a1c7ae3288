"""`reconciler demo`: the whole story, told by the real commands on a simulated account."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import chdir
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.simulator import State

ACCOUNT: Final = "account.db"
TAKEN_OVER: Final = "hand-made.db"
_BALANCE: Final = Decimal(1000)
_PATIENCE: Final = 60.0
"""How many seconds the run that is to be killed may take until its keys are there."""

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
_MORE: Final = _FIRST.replace(_WORKER, _WORKER + "      search: {credit_limit: 50}\n      mailer: {credit_limit: 10}\n")
_NEXT: Final = """\
  export NAGA_PROVISIONING_KEY=…          # a provisioning key, from the dashboard; an inference key is refused
  reconciler import                       # writes keys.yaml from the keys of the account
  reconciler validate                     # offline
  reconciler plan                         # reads, changes nothing
  reconciler apply                        # shows the plan again and asks
  reconciler init                         # GitHub workflows: plan on the pull request, apply on merge"""


@click.command("demo")
@click.option("--fast", is_flag=True, help="Go through without a pause; on a terminal, each chapter waits for Enter.")
@click.option("--keep", is_flag=True, help="Keep the temporary folder, to look around and go on.")
def command(*, fast: bool, keep: bool) -> int:
    """Tell the whole story on a simulated account, in a temporary folder.

    Five chapters: a file and its keys, a run that is killed, a mistake that is reverted, a rotation that nobody
    notices, an account that has keys already. Every command is shown as you would type it, and its real output follows.
    Nothing leaves this machine.

    \b
    Examples:
      reconciler demo
      reconciler demo --fast --keep
    """
    from reconciler.simulator import require_extra

    require_extra()
    pauses = not fast and sys.stdin.isatty() and sys.stdout.isatty()
    folder = Path(tempfile.mkdtemp(prefix="reconciler-demo-"))
    try:
        with chdir(folder):
            code = _tell(pauses=pauses)
        if code == 0:
            click.echo()
            click.secho("With a real account", bold=True)
            click.echo(_NEXT)
        if keep:
            click.echo(f"\nThe demo's files are in {folder}; go on with  cd {folder}")
        return code
    finally:
        if not keep:
            shutil.rmtree(folder)


# --- the story --------------------------------------------------------------------------------------------------------

Step = tuple[str, "Callable[[], int]"]
"""What is said, and what is done then; gives an exit code, 0 when it ended as the story says."""

_FILE: Final = Path("keys.yaml")


def _chapters() -> list[tuple[str, list[Step]]]:
    return [
        ("Keys are declared in a file", _declaring()),
        ("A run is killed in the middle", _killing()),
        ("Two mistakes, noticed and undone", _mistakes()),
        ("A rotation that nobody notices", _rotation()),
        ("An account that has keys already", _taking_over()),
    ]


def _declaring() -> list[Step]:
    return [
        (
            "A team writes down what it needs: keys, limits, and where the secrets go",
            partial(_write, _FILE, _FIRST),
        ),
        ("What would change? plan only reads", partial(_run, "plan")),
        ("Make it so", partial(_run, "apply --auto-approve")),
        ("The secrets have arrived, and only there", _show_secrets),
        ("Now the account matches the file", partial(_run, "plan --detailed-exitcode")),
    ]


def _killing() -> list[Step]:
    return [
        ("Two more keys are wanted", partial(_write, _FILE, _MORE)),
        ("kill -9, with the keys created and delivered, but not settled", _kill),
        ("Their names in the account say where things stand: there is no state file", partial(_run, "list")),
        (
            "The dead run's lock on the account ends by itself",
            partial(_wait, timedelta(minutes=3), "3 minutes"),
        ),
        (
            "The next apply makes both anew; what the dead run left ends by itself within a day",
            partial(_run, "apply --auto-approve"),
        ),
        ("All keys are there, and nobody had to clean up", partial(_run, "plan --detailed-exitcode")),
    ]


def _mistakes() -> list[Step]:
    return [
        ("Someone raises a limit on the dashboard …", _meddle),
        (
            "… and plan shows the drift (exit code 2: changes pending)",
            partial(_run, "plan --detailed-exitcode", 2),
        ),
        ("A pull request removes the worker's key", partial(_write, _FILE, _MORE.replace(_WORKER, ""))),
        (
            "Apply puts the limit back, and disables the key for its grace period",
            partial(_run, "apply --auto-approve"),
        ),
        ("That was a mistake: the worker stands still. git revert …", partial(_write, _FILE, _MORE)),
        ("… and apply brings the same key back, with the same secret", partial(_run, "apply --auto-approve")),
        ("What the worker holds works again, nothing had to be delivered", partial(_try, "WORKER")),
    ]


def _taking_over() -> list[Step]:
    return [
        ("Another account: its keys were made by hand", _make_by_hand),
        (
            "import writes the file",
            partial(_run, "import -f theirs.yaml --map *-prod=production", account=TAKEN_OVER),
        ),
        (
            "Read it, correct it, apply it",
            partial(_run, "apply -f theirs.yaml --auto-approve", account=TAKEN_OVER),
        ),
        ("From now on, the file decides", partial(_run, "plan -f theirs.yaml", account=TAKEN_OVER)),
    ]


def _rotation() -> list[Step]:
    before: list[str] = []  # the secret that the program got when it was started

    def remember() -> int:
        before.append(_secret("API"))
        return _try("API")

    return [
        ("A program runs with the secret it was started with", remember),
        (
            "The key gets a new secret, which is delivered before anything else changes",
            partial(_run, "apply --rotate production/api --auto-approve"),
        ),
        ("What is started from now on has the new secret", partial(_try, "API")),
        ("What runs still has the old one, which goes on working for its overlap of a day", lambda: _opens(before[0])),
        ("A day later everything has been started anew", partial(_wait, timedelta(hours=25), "25 hours")),
        ("The next apply removes the old key", partial(_run, "apply --auto-approve")),
        ("And the old secret opens nothing any more", lambda: _opens(before[0], works=False)),
    ]


def _tell(*, pauses: bool) -> int:
    """Go through the story; returns the exit code of the first step that did not end as the story says."""
    chapters = _chapters()
    for number, (title, steps) in enumerate(chapters, start=1):
        if number > 1 and pauses:
            click.secho("\n(Enter goes on, Ctrl-C ends the demo)", dim=True, nl=False)
            sys.stdin.readline()
        click.secho(f"\n{number}/{len(chapters)}  {title}", bold=True, underline=True)
        for words, step in steps:
            click.secho(f"\n# {words}", bold=True)
            if code := step():
                return code
    return 0


# --- its steps --------------------------------------------------------------------------------------------------------


def _run(command_line: str, expected: int = 0, account: str = ACCOUNT) -> int:
    """Run a command on a simulated account, shown as typed; returns 0 when it ended as expected."""
    from reconciler.cli.main import run

    words = _typed(command_line, account)
    code = run(words)
    return 0 if code == expected else code or 1


def _typed(command_line: str, account: str = ACCOUNT) -> list[str]:
    import shlex

    verb, *flags = command_line.split()
    words = [verb, "--simulator", account, *flags]
    click.secho(f"$ reconciler {shlex.join(words)}", fg="cyan")
    return words


def _write(file: Path, text: str) -> int:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(text, encoding="utf-8")
    if not before:
        with _account() as state:
            state.set_balance(_BALANCE)
        click.secho(f"$ cat {file}", fg="cyan")
        click.echo(text, nl=False)
        return 0
    import difflib

    click.secho("$ git diff --unified=1", fg="cyan")
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), f"a/{file}", f"b/{file}", n=1, lineterm="")
    click.echo("\n".join(lines))
    return 0


def _show_secrets() -> int:
    """Show the delivered files with their secrets cut short: even a simulated one is not shown whole."""
    from dotenv import dotenv_values

    for file in sorted(Path(".secrets").iterdir()):
        click.secho(f"$ cut -c 1-28 {file}", fg="cyan")
        for name, value in dotenv_values(file).items():
            click.echo(f"{name}='{value}"[:28])
    return 0


def _kill() -> int:
    """Kill an apply, a process of its own, where all its keys are delivered and none has its name."""
    import subprocess

    from reconciler.simulator import FAULTS_VARIABLE

    # The service never answers the last request for a key, so that the moment to kill at does not slip by.
    environment = {**os.environ, FAULTS_VARIABLE: "PATCH /v1/account/keys/* latency=3600s"}
    words = [sys.executable, "-m", "reconciler", *_typed("apply --auto-approve")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, env=environment, stdin=quiet, stdout=quiet, stderr=quiet) as process:  # noqa: S603  # ourselves
        try:
            until = time.monotonic() + _PATIENCE
            while process.poll() is None and time.monotonic() < until and not _is_delivered("SEARCH", "MAILER"):
                time.sleep(0.05)
        finally:
            process.kill()
    delivered = _is_delivered("SEARCH", "MAILER")
    click.echo("Killed" if delivered else "(it ended before it could be killed)")
    return 0 if delivered else 1


def _wait(period: timedelta, words: str) -> int:
    with _account() as state:
        state.travel(period)
    click.echo(f"(for the service, {words} pass; this machine's clock stays as it is)")
    return 0


def _meddle() -> int:
    with _account() as state:
        keys = {key.name: key.id for key in state.keys()}  # noqa: SIM118  # a method, not a mapping's
        state.update_key(keys["production/api"], credit_limit=Decimal(900))
    click.echo("(production/api: $500 → $900, by hand)")
    return 0


def _make_by_hand() -> int:
    made = {"checkout-prod": Decimal(300), "search-prod": Decimal(50), "Anna's laptop": Decimal(20)}
    with _account(TAKEN_OVER) as state:
        state.set_balance(_BALANCE)
        for name, limit in made.items():
            state.create_key(name, credit_limit=limit)
    click.echo(f"({', '.join(made)})")
    return 0


def _try(key: str) -> int:
    """Use the secret of a key of production as it was delivered."""
    return _opens(_secret(key))


def _opens(secret: str, *, works: bool = True) -> int:
    with _account() as state:
        does = state.opens(secret)
    click.echo(f"(the service {'accepts' if does else 'refuses'} it)")
    return 0 if does is works else 1


def _is_delivered(*keys: str) -> bool:
    return all(_secret(key) for key in keys)


def _secret(key: str) -> str:
    from dotenv import dotenv_values

    return dotenv_values(".secrets/production.env").get(f"NAGA_API_KEY_{key}") or ""


def _account(path: str = ACCOUNT) -> State:
    from reconciler.simulator.state import State

    return State(Path(path))
