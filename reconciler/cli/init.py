"""`reconciler init`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import suggestions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.cli.repository import Repository
    from reconciler.cli.scaffold import Project
    from reconciler.model import Declaration

FILE: Final = "keys.yaml"
FOLDER: Final = "keys"
GITHUB: Final = "github-actions"


@click.command("init")
@click.argument(
    "folder", required=False, default=Path(), type=click.Path(path_type=Path), shell_complete=suggestions.folders
)
@click.option(
    "--repository",
    metavar="OWNER/NAME",
    help="The repository on GitHub; needed only where no remote of git names it.",
)
@click.option(
    "--package",
    metavar="REQUIREMENT",
    shell_complete=suggestions.files,
    help="What pip installs in the workflows, by default this version; or a wheel, by its path or address.",
)
def command(folder: Path, repository: str | None, package: str | None) -> None:
    """Write a starter keys.yaml and the GitHub workflows into a repository.

    The workflows plan on pull requests, apply on merge, and look for drift every day. A keys.yaml that is in FOLDER
    already, or a folder keys/ of such files, is used as it is: each of its environments gets its jobs. Nothing is
    overwritten, and no network is used.

    \b
    Examples:
      reconciler init
      reconciler init infrastructure/naga
      reconciler init --repository acme/keys
    """
    from reconciler.cli import next_steps
    from reconciler.cli.console import show
    from reconciler.cli.repository import NAME, find_repository
    from reconciler.errors import UsageError
    from reconciler.render.escape import terminal

    if repository is not None and not NAME.fullmatch(repository):
        msg = f"--repository {repository} is no repository on GitHub; write it like acme/keys"
        raise UsageError(msg)
    place = find_repository(folder)
    if place.elsewhere and repository is None:
        where = f"the remote is at {place.elsewhere}, and these workflows are for GitHub"
        msg = f"{where}: see docs/gitlab-ci.md and docs/cron.md, or name a repository there: --repository acme/keys"
        raise UsageError(msg)
    setup = _set_up(folder, place, repository or place.name, package)
    steps = next_steps.tell(setup.project, place.root, setup.repository, folder, is_new=setup.is_new)
    lines = [*_write(place.root, setup), "", *steps]
    show("".join(f"{terminal(line)}\n" for line in lines))


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a repository gets: `files` by their path below its top, the declaration among them if it `is_new`."""

    project: Project
    repository: str | None
    files: Mapping[str, str]
    is_new: bool


def _set_up(folder: Path, place: Repository, repository: str | None, package: str | None) -> _Setup:
    from reconciler.cli import scaffold
    from reconciler.declaration import load
    from reconciler.errors import UsageError

    found = _find_declaration(folder, place.root)
    if found:
        project = _project(folder, found, place, package, load(folder / found))
        files = {}
    elif repository is None:
        msg = "no remote of git names the repository on GitHub, where the secrets go; name it: --repository acme/keys"
        raise UsageError(msg)
    else:
        project = _project(folder, FILE, place, package, None)
        files = {project.file: scaffold.starter_file(repository)}
    files |= {f".github/workflows/{name}.yml": scaffold.workflow(name, project) for name in scaffold.WORKFLOWS}
    return _Setup(project, repository, files, is_new=not found)


def _find_declaration(folder: Path, root: Path) -> str | None:
    """Give what declares keys already: keys.yaml, the folder keys/, or the folder itself with such files in it."""
    if (folder / FILE).exists():
        return FILE
    names = [FOLDER] if folder.resolve() == root else [FOLDER, "."]
    return next((name for name in names if any((folder / name).glob("*.yaml"))), None)


def _project(
    folder: Path, name: str, place: Repository, package: str | None, declaration: Declaration | None
) -> Project:
    """Say what the workflows have to know; without a declaration, of the starter file."""
    from reconciler.cli.scaffold import ENVIRONMENTS, Project
    from reconciler.errors import UsageError
    from reconciler.model import KEY_VARIABLE

    types, accounts = {GITHUB}, dict.fromkeys(ENVIRONMENTS, KEY_VARIABLE)
    if declaration is not None:
        types = {delivery.target.type for key in declaration.keys for delivery in key.deliver}
        declared = declaration.environments
        accounts = {name: declared[name].provisioning_key_env for name in sorted(declared)}
    environments = [*accounts]
    if not environments:
        msg = f"{folder / name} declares no environment, and each gets a job of its own; declare one first"
        raise UsageError(msg)
    return Project(
        file=(folder.resolve() / name).relative_to(place.root).as_posix(),
        is_folder=(folder / name).is_dir(),
        branch=place.branch,
        environments=environments,
        key_variables={
            variable: [name for name, its in accounts.items() if its == variable]
            for variable in sorted({*accounts.values()})
        },
        destination_types=sorted(types),
        package=package or _requirement(types),
    )


def _requirement(types: Iterable[str]) -> str:
    """Name this version, with the extras that the destinations need."""
    from reconciler import __version__
    from reconciler.destinations.registry import EXTRAS

    extras = ",".join(sorted(EXTRAS[kind] for kind in types if kind in EXTRAS))
    return f"naga-reconciler{f'[{extras}]' if extras else ''}=={__version__}"


def _write(root: Path, setup: _Setup) -> Iterator[str]:
    """Write what is not there yet, and say of each file what became of it."""
    from reconciler.errors import UsageError

    if not setup.is_new:
        yield f"used   {setup.project.file}"
    for name, text in setup.files.items():
        file = root / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"the folder {file.parent} cannot be made: {error.strerror}"
            raise UsageError(msg) from None
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            yield f"left   {name}: it is there already{_forgotten(file, setup.project)}"
        except OSError as error:
            msg = f"{file} cannot be written: {error.strerror}"
            raise UsageError(msg) from None
        else:
            yield f"wrote  {name}"


def _forgotten(workflow: Path, project: Project) -> str:
    """Name the environments that no job of an existing workflow speaks of: they would never be planned or applied."""
    from reconciler.cli.scaffold import environments_of

    known = environments_of(workflow)
    missing = [] if known is None else [name for name in project.environments if name not in known]
    return f", and has no job for {', '.join(missing)}: add it to the matrix" if missing else ""
