"""`reconciler import`: declares the keys that are live, and reports what it wrote."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import options
from reconciler.cli.options import simulator_option
from reconciler.declaration import STANDARD_INPUT
from reconciler.planning.actions import Delete, DeleteReason, Retire
from reconciler.render.escape import terminal, terminal_name
from reconciler.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.declaration import SourceFile
    from reconciler.model import Declaration, LiveKey, Snapshot
    from reconciler.planning.actions import AccountPlan, Finding, PlanInputs
    from reconciler.planning.importing import Adoption, NameRule


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
    default=options.default_file,
    show_default=options.DEFAULT_SHOWN,
    help="The file or folder to write, or to add to; - writes a new file to standard output.",
)
@click.option(
    "--into",
    metavar="ENV",
    shell_complete=options.environments,
    default="imported",
    show_default=True,
    help="The environment of keys whose names do not say where they belong.",
)
@click.option(
    "--map",
    "rules",
    multiple=True,
    metavar="PATTERN=ENV",
    help="Where names belong: '*-prod=production' makes web-prod production/web, 'old=ci/tests' names one key; can be "
    "given several times, the first that matches counts.",
)
@click.option("--keep-names", is_flag=True, help="Rename nothing: have the names that do not fit ignored instead.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, as a diff, and write nothing.")
@simulator_option
def command(
    file: Path, into: str, rules: tuple[str, ...], simulator: Path | None, *, keep_names: bool, dry_run: bool
) -> None:
    """Write a file that declares the live account, or add to one what it lacks.

    Keys whose names follow naming become keys of their environments. Others become keys of one environment (--into), or
    of several by patterns (--map), each with its id and a new name: the next apply renames them, and their secrets live
    on. Limits, expiry and enabled state are declared as they are, so that planning a new file proposes those renames
    and nothing else. A new file has guardrails too, and in each new environment a deletion_grace: what leaves the file
    by mistake can come back.

    A file or folder that is there already keeps its comments and its order. What it declares or ignores is left alone,
    and import says how many changes a plan proposes for that; a key that a plan would remove, because the file has its
    environment and does not declare it, is declared. A path without .yaml at its end is a new folder with a file for
    each environment.

    \b
    Examples:
      reconciler import
      reconciler import -f keys/ --into production
      reconciler import --map '*-prod=production' --map '*-staging=staging'
      reconciler import --keep-names --dry-run
    """
    from reconciler.cli import console
    from reconciler.cli.console import show
    from reconciler.cli.fmt import difference
    from reconciler.declaration import SourceFile, load_sources
    from reconciler.engine.accounts import PlanRequest
    from reconciler.engine.planning import plan_account

    _check_name(into)
    name_rules = _read_rules(rules, keep_names=keep_names)
    place = _find(file)
    declaration = load_sources(place.sources or [SourceFile("", Path(), b"version: 1\nenvironments: {}\n")])
    variable = _account_of(declaration, into)
    snapshot, inputs = console.run(_read(declaration, variable, simulator))
    _refuse_empty_rules(name_rules, snapshot)
    adoption = _adopt(declaration, variable, snapshot, into, name_rules, keep_names=keep_names)
    changed = _additions(place, variable, adoption, inputs, snapshot.now)
    to_standard_output = file == STANDARD_INPUT
    if dry_run:
        show(difference(place.sources, changed))
    elif to_standard_output:
        show(changed[0].content.decode())
    else:
        _write(place, changed)
    request = PlanRequest(_load(place, changed))
    plan = plan_account(request, variable, snapshot, inputs)
    words = report(file, changed, adoption, simulator, plan, is_written=not dry_run)
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
    from reconciler.planning.names import NAME

    if not re.fullmatch(NAME, environment, re.ASCII):
        msg = f"--into {environment} is no name of an environment: it must match [a-z0-9][a-z0-9._-]*"
        raise UsageError(msg)


def _find(file: Path) -> _Place:
    from reconciler.declaration import read_folder, read_sources

    if file == STANDARD_INPUT:
        return _Place(Path("keys.yaml"), is_folder=False, sources=())
    if file.is_dir():
        return _Place(file, is_folder=True, sources=read_folder(file))
    if file.exists():
        return _Place(file, is_folder=False, sources=read_sources(file))
    return _Place(file, is_folder=file.suffix not in _YAML, sources=())


def _account_of(declaration: Declaration, into: str) -> str:
    """Name the variable with the account's provisioning key: that of `into`, or the only one that the file names."""
    from reconciler.model import KEY_VARIABLE, account_variables

    if into in declaration.environments:
        return declaration.environments[into].provisioning_key_env
    first, *others = account_variables(declaration)
    return KEY_VARIABLE if others else first


async def _read(declaration: Declaration, variable: str, simulator: Path | None) -> tuple[Snapshot, PlanInputs]:
    from reconciler.cli.console import note
    from reconciler.engine.accounts import clock_warnings, open_account
    from reconciler.engine.planning import read_inputs, used
    from reconciler.model import part_of

    async with open_account(simulator, variable=variable) as account:
        snapshot, inputs = await read_inputs(variable, account, part_of(declaration, variable))
        await account.refuse_partial(snapshot, used(inputs))
    for text in (*clock_warnings([account.clock_skew]), *inputs.unread):
        note(f"warning: {text}")
    return snapshot, inputs


def _read_rules(texts: Sequence[str], *, keep_names: bool) -> list[NameRule]:
    from reconciler.errors import UsageError
    from reconciler.planning.importing import read_rule

    if texts and keep_names:
        msg = "--map names keys anew, and --keep-names has none renamed; leave one of them out"
        raise UsageError(msg)
    try:
        return [read_rule(text) for text in texts]
    except ValueError as error:
        msg = f"--map {error}"
        raise UsageError(msg) from error


def _refuse_empty_rules(rules: Sequence[NameRule], snapshot: Snapshot) -> None:
    """Raise UsageError for a pattern that no live name matches: it may be misspelt."""
    from reconciler.errors import UsageError
    from reconciler.units import near

    for rule in rules:
        names = [key.name for key in snapshot.keys]
        if not any(map(rule.address, names)):
            msg = f"--map {rule.pattern} matches no live key{near(rule.pattern, names)}"
            raise UsageError(msg)


def _adopt(
    declaration: Declaration,
    variable: str,
    snapshot: Snapshot,
    into: str,
    rules: Sequence[NameRule],
    *,
    keep_names: bool,
) -> Adoption:
    from reconciler.model import part_of
    from reconciler.planning.importing import adopt

    mine = part_of(declaration, variable)
    elsewhere = declaration.environments.keys() - mine.environments.keys()
    return adopt(mine, snapshot, into, keep_names=keep_names, taken=elsewhere, rules=rules)


def _additions(
    place: _Place, variable: str, adoption: Adoption, inputs: PlanInputs, now: datetime
) -> Sequence[SourceFile]:
    """Return the files to write; raises UsageError where they would not be valid."""
    from reconciler.errors import DeclarationError, UsageError
    from reconciler.formatting.edit import Additions, added, inheritance, key_texts
    from reconciler.model import KEY_VARIABLE
    from reconciler.planning.importing import glob_of
    from reconciler.units import format_instant

    additions = Additions(
        keys=key_texts(adoption.keys, inheritance(place.sources), inputs.usage, now),
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
    from reconciler.formatting.edit import changed_in

    return load_sources(changed_in(place.sources, changed))


def _write(place: _Place, changed: Sequence[SourceFile]) -> None:
    from reconciler.files import refuse_link, write_files

    if place.is_folder:
        refuse_link(place.path)
        place.path.mkdir(parents=True, exist_ok=True)
    before = {Path(source.name): source.content for source in place.sources}
    write_files({Path(file.name): file.content for file in changed}, before)


# What `import` says of what it wrote: what will be renamed, what was left alone, and what to type next.


def report(
    file: Path,
    changed: Sequence[SourceFile],
    adoption: Adoption,
    simulator: Path | None,
    plan: AccountPlan,
    *,
    is_written: bool,
) -> Iterator[str]:
    """Yield what was added, a line each; ends with the commands to go on with. `plan` is that of the result.

    What went to standard output counts as written too.
    """
    account = plan.account
    renames = {key.address for key in adoption.renames}
    others = [action for action in plan.actions if action.address not in renames]
    further, removals = len(others), sum(isinstance(action, Delete | Retire) for action in others)
    if changed:
        yield from _added(file, changed, adoption, is_written=is_written)
    else:
        yield f"Nothing to add: {terminal(str(file))} declares, owns or ignores every key that it can."
    if account is not None:
        yield ""
        yield f"Only the account of {account} was read; --into with an environment of another account reads that one."
    yield from _not_declared(adoption, plan)
    if further:
        removed = f", and removes {plural(removals, 'key')}" if removals else ""
        yield ""
        yield (
            f"A plan proposes {plural(further, 'change')} more, to keys that the file has or owns already or that "
            f"reconciler named{removed}: look at it before you apply."
        )
    if plan.errors:
        yield ""
        yield "Nothing can be applied yet:"
        yield from map(_reason, plan.errors)
    if is_written:
        is_refused = bool(plan.errors)
        yield from _next_steps(file, simulator, account, renames=len(renames), further=further, is_refused=is_refused)


def _added(file: Path, changed: Sequence[SourceFile], adoption: Adoption, *, is_written: bool) -> Iterator[str]:
    keys, environments = adoption.keys, {key.address.environment for key in adoption.keys}
    added = [f"{plural(len(keys), 'key')} in {plural(len(environments), 'environment')}"] if keys else []
    if adoption.ignored:
        added.append(f"{plural(len(adoption.ignored), 'key')} to ignore")
    what = " and ".join(added) or "no key"
    where = "standard output" if file == STANDARD_INPUT else " ".join(terminal(source.name) for source in changed)
    yield f"{'Added' if is_written else 'Would add'} {what}: {where}"
    if owned := sum(key.owned for key in keys):
        yield f"A plan would have removed {owned} of them: the file had their environments, and did not declare them."
    if adoption.renames:
        yield ""
        yield f"The next apply renames {plural(len(adoption.renames), 'key')}; no secret changes:"
        for key in adoption.renames:
            yield f"  {terminal_name(key.live.name)} (id {key.live.id}) → {key.address}"


def _not_declared(adoption: Adoption, plan: AccountPlan) -> Iterator[str]:
    notes = {left.live.id: [left.reason] for left in adoption.left_out}
    for action in plan.actions:
        if isinstance(action, Delete) and action.reason is DeleteReason.UNMANAGED:
            notes.setdefault(action.live.id, []).append("unmanaged is delete, so a plan deletes it")
    reasons = {key_id: "; ".join(parts) for key_id, parts in notes.items()}
    ignored = {key.id for key in adoption.ignored}
    left_out = [left.live for left in adoption.left_out if left.live.id not in ignored]
    yield from _listed("Not declared, and left alone from now on by ignore:", adoption.ignored, reasons)
    yield from _listed("Not declared:", left_out, reasons)
    yield from _listed(
        "Not declared: reconciler itself gave them their names, and goes on with those of declared environments:",
        adoption.engine,
        reasons,
    )


def _reason(finding: Finding) -> str:
    about = "" if finding.address is None else f"{terminal_name(str(finding.address))}: "
    return f"  {about}{terminal(finding.message)} ({finding.rule})"


def _listed(title: str, keys: Iterable[LiveKey], reasons: Mapping[int, str]) -> Iterator[str]:
    lines = [
        f"  {terminal_name(key.name)} (id {key.id})" + (f": {terminal(reasons[key.id])}" if key.id in reasons else "")
        for key in keys
    ]
    if lines:
        yield ""
        yield title
        yield from lines


def _next_steps(
    file: Path, simulator: Path | None, account: str | None, *, renames: int, further: int, is_refused: bool
) -> Iterator[str]:
    place = "keys.yaml" if file == STANDARD_INPUT else str(file)
    options = "" if place == "keys.yaml" else f" -f {shlex.quote(place)}"
    if simulator is not None:
        options += f" --simulator {shlex.quote(str(simulator))}"
    yield ""
    yield "Next:"
    others = "" if account is None else "; what the other accounts need comes on top"
    proposed = [*(["these renames"] if renames else []), *([plural(further, "change")] if further else [])]
    proposal = "says what to resolve first" if is_refused else f"proposes {' and '.join(proposed) or 'no change'}"
    yield terminal(f"  reconciler plan{options}     # {proposal}{others}")
    if renames and not is_refused:
        done = "makes all of these" if further else "renames them"
        yield terminal(f"  reconciler apply{options}    # {done}{others}")
