"""`reconciler import`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import suggestions
from reconciler.cli.options import simulator_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.declaration import SourceFile
    from reconciler.model import Declaration, Snapshot
    from reconciler.plan.adoption import Adoption
    from reconciler.plan.facts import Facts

_YAML: Final = frozenset({".yaml", ".yml"})
_GRACE: Final = "7d"
_GUARDRAILS: Final = (
    ("max_deletions", "2", "more in one plan is a mistake"),
    ("protect_active", "7d", "a key that was used in this time is neither deleted nor disabled"),
)
"""What a new file guards, as the one of `init` does: its author has not seen yet what a slip can do."""


@click.command("import")
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    default=Path("keys.yaml"),
    show_default=True,
    help="The file or folder to write, or to add to; - writes a new file to standard output.",
)
@click.option(
    "--into",
    metavar="ENV",
    shell_complete=suggestions.environments,
    default="imported",
    show_default=True,
    help="The environment of keys whose names do not say where they belong.",
)
@click.option("--keep-names", is_flag=True, help="Rename nothing: have the names that do not fit ignored instead.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, as a diff, and write nothing.")
@simulator_option
def command(file: Path, into: str, simulator: Path | None, *, keep_names: bool, dry_run: bool) -> None:
    """Write a file that declares the live account, or add to one what it lacks.

    Keys whose names follow naming become keys of their environments. Others become keys of one environment (--into),
    each with its id and a new name: the next apply renames them, and their secrets live on. Limits, expiry and enabled
    state are declared as they are, so that planning a new file proposes those renames and nothing else. A new file has
    guardrails too, and in each new environment a deletion_grace: what leaves the file by mistake can come back.

    A file or folder that is there already keeps its comments and its order. What it declares or ignores is left alone,
    and import says how many changes a plan proposes for that; a key that a plan would remove, because the file has its
    environment and does not declare it, is declared. A path without .yaml at its end is a new folder with a file for
    each environment.

    \b
    Examples:
      reconciler import
      reconciler import -f keys/ --into production
      reconciler import --keep-names --dry-run
    """
    from reconciler.cli import interrupt
    from reconciler.cli.console import show
    from reconciler.cli.difference import difference
    from reconciler.cli.import_report import report
    from reconciler.declaration import STANDARD_INPUT, SourceFile, load_sources
    from reconciler.fleet.planning import plan_account
    from reconciler.fleet.request import Request

    _check_name(into)
    place = _find(file)
    declaration = load_sources(place.sources or [SourceFile("", Path(), b"version: 1\nenvironments: {}\n")])
    variable = _account_of(declaration, into)
    snapshot, facts = interrupt.run(_read(declaration, variable, simulator))
    adoption = _adopt(declaration, variable, snapshot, into, keep_names=keep_names)
    changed = _additions(place, variable, adoption, facts, snapshot.now)
    to_standard_output = file == STANDARD_INPUT
    if dry_run:
        show(difference(place.sources, changed))
    elif to_standard_output:
        show(changed[0].content.decode())
    else:
        _write(place, changed)
    request = Request(_load(place, changed))
    plan = plan_account(request, variable, snapshot, facts)
    account = variable if request.several else None
    words = report(file, changed, adoption, simulator, plan, is_written=not dry_run, account=account)
    show("\n".join(words) + "\n", err=dry_run or to_standard_output)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to write, and what is there."""

    path: Path
    is_folder: bool
    sources: Sequence[SourceFile]


def _check_name(environment: str) -> None:
    import re

    from reconciler.errors import UsageError
    from reconciler.plan.names import NAME

    if not re.fullmatch(NAME, environment, re.ASCII):
        msg = f"--into {environment} is no name of an environment: it must match [a-z0-9][a-z0-9._-]*"
        raise UsageError(msg)


def _find(file: Path) -> _Place:
    from reconciler.declaration import STANDARD_INPUT, read_folder, read_sources

    if file == STANDARD_INPUT:
        return _Place(Path("keys.yaml"), is_folder=False, sources=())
    if file.is_dir():
        return _Place(file, is_folder=True, sources=read_folder(file))
    if file.exists():
        return _Place(file, is_folder=False, sources=read_sources(file))
    return _Place(file, is_folder=file.suffix not in _YAML, sources=())


def _account_of(declaration: Declaration, into: str) -> str:
    """Name the variable with the account's provisioning key: that of `into`, or the only one that the file names."""
    from reconciler.model import KEY_VARIABLE
    from reconciler.plan.accounts import account_variables

    if into in declaration.environments:
        return declaration.environments[into].provisioning_key_env
    first, *others = account_variables(declaration)
    return KEY_VARIABLE if others else first


async def _read(declaration: Declaration, variable: str, simulator: Path | None) -> tuple[Snapshot, Facts]:
    from reconciler.cli.console import note
    from reconciler.cli.wiring import check_clock, open_account
    from reconciler.fleet.reading import read_account
    from reconciler.plan.accounts import part_of

    async with open_account(simulator, variable=variable) as account:
        snapshot, facts = await read_account(part_of(declaration, variable), None, account)
        check_clock(account)
    for text in facts.unread:
        note(f"warning: {text}")
    return snapshot, facts


def _adopt(declaration: Declaration, variable: str, snapshot: Snapshot, into: str, *, keep_names: bool) -> Adoption:
    from reconciler.plan.accounts import part_of
    from reconciler.plan.adoption import adopt

    mine = part_of(declaration, variable)
    elsewhere = declaration.environments.keys() - mine.environments.keys()
    return adopt(mine, snapshot, into, keep_names=keep_names, taken=elsewhere)


def _additions(place: _Place, variable: str, adoption: Adoption, facts: Facts, now: datetime) -> Sequence[SourceFile]:
    """Give the files to write; raises UsageError where they would not be valid."""
    from reconciler.declaration.additions import Additions, added
    from reconciler.declaration.adopted import inheritance, key_texts
    from reconciler.errors import DeclarationError, UsageError
    from reconciler.model import KEY_VARIABLE
    from reconciler.plan.adoption import glob_of
    from reconciler.units import format_instant

    additions = Additions(
        keys=key_texts(adoption.keys, inheritance(place.sources), facts.usage, now),
        ignore=list(dict.fromkeys(glob_of(key.name) for key in adoption.ignored)),
        variable=None if variable == KEY_VARIABLE else variable,
        grace=_GRACE,
        guardrails=_GUARDRAILS,
        title=f"What `reconciler import` found in the account on {format_instant(now).partition('T')[0]}.",
    )
    if place.sources and not additions.keys and not additions.ignore:
        return ()
    changed = added(place.sources, additions, place.path, is_folder=place.is_folder)
    try:
        _load(place, changed)
    except DeclarationError as error:
        msg = f"nothing is written, because the result would not be valid: {error.diagnostics[0].message}"
        raise UsageError(msg) from error
    return changed


def _load(place: _Place, changed: Sequence[SourceFile]) -> Declaration:
    """Load the declaration as it is with these files changed."""
    from reconciler.declaration import load_sources
    from reconciler.declaration.additions import changed_in

    return load_sources(changed_in(place.sources, changed))


def _write(place: _Place, changed: Sequence[SourceFile]) -> None:
    from reconciler.declaration.writing import write_files

    if place.is_folder:
        place.path.mkdir(parents=True, exist_ok=True)
    before = {Path(source.name): source.content for source in place.sources}
    write_files({Path(file.name): file.content for file in changed}, before)
