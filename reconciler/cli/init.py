"""`reconciler init`: writes a starter keys.yaml and the workflows, and prints the steps that are left."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reconciler.cli.git import Repository
    from reconciler.model import Declaration


FILE: Final = "keys.yaml"
FOLDER: Final = "keys"
GITHUB: Final = "github-actions"


@click.command("init")
@click.argument(
    "folder", required=False, default=Path(), type=click.Path(path_type=Path), shell_complete=options.folders
)
@click.option(
    "--repository",
    metavar="OWNER/NAME",
    help="The repository on GitHub, or the project on GitLab; needed only where no remote of git names it.",
)
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab"]),
    help="Where the jobs run; by default where the remote is, and GitHub where that is not known.",
)
@click.option(
    "--package",
    metavar="WHEEL",
    shell_complete=options.files,
    help="What the jobs install, by default what runs here: a wheel, its address with #sha256=…, or "
    "'naga-reconciler==VERSION --hash=sha256:…'.",
)
@click.option(
    "--pins",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write only what a job installs, into FOLDER, for a pipeline or an image of your own.",
)
def command(folder: Path, repository: str | None, ci: str | None, package: str | None, pins: Path | None) -> None:
    """Write a starter keys.yaml and the GitHub workflows, or GitLab jobs, into a repository.

    They plan on pull requests and apply on merge. Every night they do what is due, look for drift and record what was
    used. By hand they revoke leaked keys. A keys.yaml that is in FOLDER already, or a folder keys/ of such files, is
    used as it is: each of its environments gets its jobs. Nothing is overwritten, and no network is used. The jobs
    install what .github/reconciler, or .gitlab/reconciler, pins, all of it by its hash: reconciler as it runs here,
    packed into a wheel, and what it needs for the destinations of the file.

    \b
    Examples:
      reconciler init
      reconciler init infrastructure/naga
      reconciler init --repository acme/keys
      reconciler init --ci gitlab --repository acme/team/keys
      reconciler init --pins image/reconciler
    """
    from reconciler.cli.console import show
    from reconciler.cli.git import find_repository
    from reconciler.errors import UsageError
    from reconciler.render.escape import terminal

    if pins is not None:
        show("".join(f"{terminal(line)}\n" for line in _write(pins, _pins_alone(folder, package), REQUIREMENTS_FILE)))
        return
    place = find_repository(folder)
    forge = FORGES[ci or ("gitlab" if "gitlab" in (place.elsewhere or "") else "github")]
    if repository is not None and not forge.named(repository):
        msg = f"--repository {repository} is no {forge.home}; write it like acme/keys"
        raise UsageError(msg)
    if place.elsewhere and repository is None and ci is None and forge is FORGES["github"]:
        where = f"the remote is at {place.elsewhere}, and these workflows are for GitHub"
        msg = f"{where}: see docs/cron.md, or name a repository there: --repository acme/keys"
        raise UsageError(msg)
    setup = _set_up(folder, place, repository or forge.found(place), package, forge)
    steps = tell(setup.project, place.root, setup.repository, folder, forge, is_new=setup.is_new)
    lines = [
        *([] if setup.is_new else [f"used   {setup.project.file}"]),
        *_write(place.root, setup.files, f"{forge.pins}/{REQUIREMENTS_FILE}", setup.project),
        "",
        *steps,
    ]
    show("".join(f"{terminal(line)}\n" for line in lines))


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a repository gets: `files` by their path below its top, the declaration among them if it `is_new`."""

    project: Project
    repository: str | None
    files: Mapping[str, bytes]
    is_new: bool


def _set_up(folder: Path, place: Repository, repository: str | None, package: str | None, forge: _Forge) -> _Setup:
    from reconciler.declaration import load
    from reconciler.errors import UsageError
    from reconciler.installation import pinned

    found = _find_declaration(folder, place.root)
    if found:
        project = _project(folder, found, place, load(folder / found), forge)
        files = {}
    elif repository is None:
        msg = f"no remote of git names the {forge.home}, where the secrets go; name it: --repository acme/keys"
        raise UsageError(msg)
    else:
        project = _project(folder, FILE, place, None, forge)
        files = {project.file: starter_file(repository, forge).encode()}
    files |= {name: text.encode() for name, text in forge.files(project).items()}
    pins = pinned(extras_of(project.destination_types), package)
    return _Setup(project, repository, files | {f"{forge.pins}/{name}": data for name, data in pins.items()}, not found)


def _pins_alone(folder: Path, package: str | None) -> Mapping[str, bytes]:
    """Return what a job installs: for the destinations of the declaration in a folder, or for all without one."""
    from reconciler.declaration import load
    from reconciler.declaration.destinations import kinds
    from reconciler.installation import pinned

    found = _find_declaration(folder, folder.resolve())
    return pinned(extras_of(_types(load(folder / found)) if found else kinds()), package)


def _types(declaration: Declaration) -> set[str]:
    return {delivery.target.type for key in declaration.keys for delivery in key.deliver}


def _find_declaration(folder: Path, root: Path) -> str | None:
    """Return what declares keys already: keys.yaml, the folder keys/, or the folder itself with such files in it."""
    if (folder / FILE).exists():
        return FILE
    names = [FOLDER] if folder.resolve() == root else [FOLDER, "."]
    return next((name for name in names if any((folder / name).glob("*.yaml"))), None)


def _project(folder: Path, name: str, place: Repository, declaration: Declaration | None, forge: _Forge) -> Project:
    """Return what the workflows have to know; without a declaration, of the starter file."""
    from reconciler.errors import UsageError
    from reconciler.model import KEY_VARIABLE

    types, accounts = {forge.type}, dict.fromkeys(ENVIRONMENTS, KEY_VARIABLE)
    if declaration is not None:
        types = _types(declaration)
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
    )


def extras_of(types: Iterable[str]) -> list[str]:
    """Return the extras that destinations of these types need."""
    from reconciler.declaration.destinations import kind_of

    return sorted(extra for kind in types if (extra := kind_of(kind).extra))


def _write(root: Path, files: Mapping[str, bytes], requirements: str, project: Project | None = None) -> Iterator[str]:
    """Write what is not there yet below `root`, and say of each file what became of it.

    `requirements` is the list of pins among the files: where one is there already, it stays as it is, with its wheel.
    """
    from reconciler.errors import UsageError
    from reconciler.files import opened, put_new, refuse_link

    for name in files:
        refuse_link(root / name)
    has_pins = (root / requirements).exists()
    for name, data in files.items():
        file = root / name
        if has_pins and name.endswith(".whl"):
            continue
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"the folder {file.parent} cannot be made: {error.strerror}"
            raise UsageError(msg) from None
        try:
            with opened(file.parent) as to:
                put_new(to, file.name, data)
        except FileExistsError:
            lacks = _unpinned(file, data) if name == requirements else _forgotten(file, project)
            yield f"left   {name}: it is there already{lacks}"
        except OSError as error:
            msg = f"{file} cannot be written: {error.strerror}"
            raise UsageError(msg) from None
        else:
            yield f"wrote  {name}"


def _forgotten(workflow: Path, project: Project | None) -> str:
    """Name the environments that no job of an existing workflow speaks of: they would never be planned or applied."""
    if workflow.name == GITLAB_FILE:
        is_included = GITLAB_JOBS in workflow.read_text("utf-8", errors="replace")
        return "" if is_included else f"; add to it  include: [{{local: /{GITLAB_JOBS}}}]"
    known = environments_of(workflow)
    missing = [] if known is None or project is None else [name for name in project.environments if name not in known]
    return f", and has no job for {', '.join(missing)}: add it to the matrix" if missing else ""


def _unpinned(requirements: Path, wanted: bytes) -> str:
    """Name what an existing list of pins lacks: another version of reconciler, or what a new destination needs."""
    from reconciler.installation import pinned_names

    missing = pinned_names(wanted.decode()) - pinned_names(requirements.read_text("utf-8", errors="replace"))
    again = f"remove the folder {requirements.parent.name} and run init again"
    return f", and lacks {', '.join(sorted(missing))}: {again}" if missing else ""


# The files that `init` writes, filled in from the templates that ship with the program.

WORKFLOWS: Final = ("plan", "apply", "nightly", "revoke")
PINS: Final = ".github/reconciler"
"""The folder with what the jobs install. It lies in `.github`, so that whoever guards the workflows guards it too."""
REQUIREMENTS_FILE: Final = "requirements.txt"
REQUIREMENTS: Final = f"{PINS}/{REQUIREMENTS_FILE}"
MAIN: Final = "production"
ENVIRONMENTS: Final = (MAIN, "staging", "development", "ci")
"""The environments of the starter file."""

_TEMPLATES: Final = Path(__file__).parents[1] / "templates"
_PLACEHOLDER: Final = re.compile(r"(?m)^(?P<indent> *)@@(?P<block>\w+)@@\n|@@(?P<word>\w+)@@")
_LOGINS: Final = {
    "github-actions": (
        "GITHUB_APP_ID: ${{ vars.RECONCILER_APP_ID }} # the App that writes the secrets of destination github-actions",
        "GITHUB_APP_PRIVATE_KEY: ${{ secrets.RECONCILER_APP_PRIVATE_KEY }}",
    ),
    "vault": ("VAULT_ADDR: ${{ vars.VAULT_ADDR }}",),
}
_PERMISSIONS: Final = {"vault": "id-token: write # to log in to Vault as this job"}
_MORE_LOGINS: Final = "# What other destinations log in with belongs here."


@dataclass(frozen=True, slots=True)
class Project:
    """What the workflows of a repository have to know.

    `file` is the declaration, from the top of the repository, and `is_folder` whether it is a folder; `key_variables`
    hold the provisioning keys, each with the environments whose account it opens.
    """

    file: str
    is_folder: bool
    branch: str
    environments: Sequence[str]
    key_variables: Mapping[str, Sequence[str]]
    destination_types: Sequence[str]


def starter_file(repository: str, forge: _Forge | None = None) -> str:
    """Return the starter keys.yaml of a repository, whose environments get the secrets; owner/name needs no quotes."""
    forge = forge or FORGES["github"]
    destination = fill(f"destination-{forge.name}.yaml", {"repository": repository})
    return fill("keys.yaml", {"destination": destination, "to": forge.name, "request": forge.request})


def workflow(name: str, project: Project, replaced: Mapping[str, str] | None = None) -> str:
    """Return one of the WORKFLOWS of a project; `replaced` are placeholders that are filled in otherwise."""
    return fill(f"{name}.yml", {**_values(project), **(replaced or {})})


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template.

    A placeholder on a line of its own is replaced by lines with its indentation, or by none.
    """

    def replace(match: re.Match[str]) -> str:
        if match["word"]:
            return values[match["word"]]
        lines = values[match["block"]].splitlines()
        return "".join(f"{match['indent']}{line}".rstrip() + "\n" for line in lines)

    return _PLACEHOLDER.sub(replace, (_TEMPLATES / f"{template}.in").read_text("utf-8"))


def _values(project: Project) -> dict[str, str]:
    watched = f"{project.file}/*.yaml" if project.is_folder else project.file
    checkout = fill("checkout.yml", {})
    return {
        "branch": _quoted(_as_pattern(project.branch)),
        "branch_name": _quoted(project.branch),
        "plan_paths": _quoted([_as_pattern(watched), ".github/workflows/plan.yml", f"{PINS}/*"]),
        "watched": _quoted(f":(glob){_as_pattern(watched)}" if project.is_folder else f":(literal){project.file}"),
        "checkout": checkout,
        "file": _quoted(project.file),
        "environments": _quoted([*project.environments]),
        "accounts": _quoted([names[0] for names in project.key_variables.values()]),
        "first": _quoted(next((name for name in project.environments if name == MAIN), project.environments[0])),
        "install": fill("install.yml", {"pins": PINS, "checkout": checkout}),
        "credentials": "\n".join(f"{name}: ${{{{ secrets.{name} }}}}" for name in project.key_variables),
        "logins": "\n".join(
            [*(line for kind in project.destination_types for line in _LOGINS.get(kind, ())), _MORE_LOGINS]
        ),
        "permissions": "\n".join(_PERMISSIONS[kind] for kind in project.destination_types if kind in _PERMISSIONS),
        "reviewed": "${{ github.event_name == 'push' && '--reviewed' || '' }}",
        "options": "",
        **{f"simulate_{name}": "" for name in (*WORKFLOWS, "record")},
    }


def _quoted(value: object) -> str:
    """Write a string, or a list of them, as YAML that is taken for nothing else."""
    return json.dumps(value, ensure_ascii=False)


def _as_pattern(name: str) -> str:
    """Write a name so that GitHub takes none of its characters for a pattern; the * of a folder's files stays one."""
    return re.sub(r"([\\?+\[\]!])", r"\\\1", name)


def environments_of(workflow: Path) -> set[str] | None:
    """Return the environments that an existing workflow has jobs for; None where it does not say them as ours do."""
    import yaml

    try:
        document = yaml.safe_load(workflow.read_bytes())
        if "reconciler-apply" in document:  # GitLab's
            return {*document[".reconciler-environments"]["parallel"]["matrix"][0]["ENVIRONMENT"]}
        jobs = document["jobs"].values()
        lists = [job["strategy"]["matrix"]["environment"] for job in jobs if "strategy" in job]
        if not lists:  # of a workflow that is started by hand; `on` is read as True
            lists = [document[True]["workflow_dispatch"]["inputs"]["environment"]["options"]]
        return {name for each in lists for name in each}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None


# What is left to do by hand after `init`, in three steps.

_PLAN: Final = "plan"
_NIGHTLY: Final = "nightly"


def tell(  # what was found and made
    project: Project, root: Path, repository: str | None, folder: Path, forge: _Forge, *, is_new: bool
) -> Iterator[str]:
    """Yield the steps, a line each, to be typed at the top of the repository, which is `root`.

    `repository` is owner/name where it is known, `folder` what init was called with.
    """
    whose = "" if repository is None else f" of {repository}"
    yield f"{forge.jobs} for the branch {project.branch}{whose}; {forge.branch}"
    yield f"They install what {forge.pins} pins, all of it by its hash. Let CODEOWNERS guard {forge.guarded}."
    yield ""
    yield "Next steps"
    if Path.cwd() != root:
        yield ""
        yield f"0. Go to the top of the repository: cd {shlex.quote(os.path.relpath(root))}"
    yield from _account(project, folder.resolve().relative_to(root).as_posix(), is_new=is_new)
    yield from forge.secrets(project, repository)
    yield from forge.merge(project)


def _account(project: Project, folder: str, *, is_new: bool) -> Iterator[str]:
    file = shlex.quote(project.file)
    yield ""
    if is_new:
        yield f"1. Edit {project.file}. The keys that an account has already are added to it by import:"
    else:
        yield "1. See what the file would do to the account; plan changes nothing:"
    for variable in project.key_variables:
        yield f"     export {variable}=…   # a provisioning key, from the dashboard"
    if is_new:
        yield f"     reconciler import --file {file}"
        yield f"     reconciler init {shlex.quote(folder)}   # names environments that the workflows lack"
    else:
        yield f"     reconciler plan --file {file}"


def _secrets(project: Project, repository: str | None) -> Iterator[str]:
    where = f" --repo {repository}" if repository else ""
    home = f"repos/{repository}" if repository else "repos/{owner}/{repo}"
    yield ""
    yield "2. Give each GitHub Environment the provisioning key, as exported above, with those of its plans and nights:"
    for variable, environments in project.key_variables.items():
        names = [f"{name}{end}" for name in environments for end in ("", f"-{_PLAN}", f"-{_NIGHTLY}")]
        yield f"     for name in {' '.join(names)}; do"
        yield f'       gh api --silent "{home}/environments/$name" ||'
        yield f'         gh api --silent --method PUT "{home}/environments/$name"'
        # printf is of the shell itself, so that the key is in no list of processes.
        yield f'       printf %s "${{{variable}:?}}" | gh secret set {variable}{where} --env "$name"'
        yield "     done"
    if "github-actions" in project.destination_types:
        yield "   and, for those that apply, the GitHub App that may write their secrets:"
        yield f"     gh variable set RECONCILER_APP_ID{where}"
        yield f"     for name in {' '.join(f'{name} {name}-{_NIGHTLY}' for name in project.environments)}; do"
        yield f'       gh secret set RECONCILER_APP_PRIVATE_KEY{where} --env "$name" < app.private-key.pem'
        yield "     done"
    yield f"   Nobody approves what runs at night, so let only {project.branch} use those environments:"
    yield f"     for name in {' '.join(f'{name}-{_NIGHTLY}' for name in project.environments)}; do"
    # On one line: a backslash at its end would be shown as two.
    chosen = "-F 'deployment_branch_policy[{}]={}'"
    branches = f"{chosen.format('protected_branches', 'false')} {chosen.format('custom_branch_policies', 'true')}"
    yield f'       gh api --silent --method PUT "{home}/environments/$name" {branches}'
    policy = f'"{home}/environments/$name/deployment-branch-policies" -f {shlex.quote(f"name={project.branch}")}'
    yield f"       gh api --silent --method POST {policy}"
    yield "     done"
    yield "   Who has to approve an apply is set in the repository's Settings, Environments."


def _pull_request(project: Project) -> Iterator[str]:
    yield ""
    yield "3. Open a pull request, which shows the plan; merging it applies:"
    yield "     git switch --create api-keys"
    yield f"     git add {shlex.quote(project.file)} .github"
    yield "     git commit --message 'Declare our API keys'"
    yield "     git push --set-upstream origin api-keys"
    yield "     gh pr create --fill"


# The same for GitLab: its jobs are in a file of their own, which the pipeline includes.

GITLAB_FILE: Final = ".gitlab-ci.yml"
GITLAB_JOBS: Final = ".gitlab/reconciler.yml"
GITLAB_PINS: Final = ".gitlab/reconciler"


def gitlab_files(project: Project) -> dict[str, str]:
    """Return the jobs of a project, and a pipeline that has nothing else."""
    watched = f"{project.file}/*.yaml" if project.is_folder else project.file
    values = {
        **_values(project),
        "pins": GITLAB_PINS,
        "plan_paths": _quoted([_as_pattern(watched), GITLAB_JOBS, f"{GITLAB_PINS}/*"]),
        "id_tokens": "id_tokens:\n  VAULT_JWT: {aud: $VAULT_ADDR}" if "vault" in project.destination_types else "",
    }
    return {GITLAB_JOBS: fill("gitlab.yml", values), GITLAB_FILE: f"include:\n  - local: /{GITLAB_JOBS}\n"}


def _gitlab_variables(project: Project, repository: str | None) -> Iterator[str]:
    where = f" --repo {repository}" if repository else ""
    yield ""
    yield "2. Give the jobs of each environment the provisioning key, as exported above: protected where they apply."
    yield "   Whoever may push a branch can read what its plans have:"
    for variable, environments in project.key_variables.items():
        yield f"     for name in {' '.join(environments)}; do"
        for scope, protected in (("$name", " --protected"), (f"$name-{_PLAN}", "")):
            # printf is of the shell itself, so that the key is in no list of processes.
            yield f'       printf %s "${{{variable}:?}}" |'
            yield f'         glab variable set {variable}{where} --scope "{scope}" --masked{protected}'
        yield "     done"
    yield "   and access tokens of the project with the scope api (Settings, Access tokens): of the role Maintainer"
    yield "   where they apply, and of the role Reporter for the notes on merge requests:"
    yield "     export APPLY_TOKEN=… PLAN_TOKEN=…"
    yield f"     for name in {' '.join(project.environments)}; do"
    for scope, protected, token in (("$name", " --protected", "APPLY"), (f"$name-{_PLAN}", "", "PLAN")):
        yield f'       printf %s "${{{token}_TOKEN:?}}" |'
        yield f'         glab variable set GITLAB_TOKEN{where} --scope "{scope}" --masked{protected}'
    yield "     done"
    schedule = f"--cron '23 5 * * *' --ref {shlex.quote(project.branch)} --description 'Look after API keys'"
    yield "   and the night its pipeline:"
    yield f"     glab schedule create{where} {schedule}"


def _merge_request(project: Project) -> Iterator[str]:
    yield ""
    yield "3. Open a merge request, which shows the plan; merging it applies:"
    yield "     git switch --create api-keys"
    yield f"     git add {shlex.quote(project.file)} .gitlab {GITLAB_FILE}"
    yield "     git commit --message 'Declare our API keys'"
    yield "     git push --set-upstream origin api-keys"
    yield "     glab mr create --fill"


@dataclass(frozen=True, slots=True)
class _Forge:
    """What differs between GitHub and GitLab in what `init` writes and tells."""

    name: str
    home: str
    request: str
    type: str
    pins: str
    guarded: str
    jobs: str
    branch: str
    found: Callable[[Repository], str | None]
    named: Callable[[str], bool]
    files: Callable[[Project], dict[str, str]]
    secrets: Callable[[Project, str | None], Iterator[str]]
    merge: Callable[[Project], Iterator[str]]


def _is_repository(name: str) -> bool:
    from reconciler.cli.git import NAME

    return NAME.fullmatch(name) is not None


def _is_project(name: str) -> bool:
    from reconciler.cli.git import PATH

    return PATH.fullmatch(name) is not None


FORGES: Final = {
    "github": _Forge(
        name="github",
        home="repository on GitHub",
        request="pull request",
        type=GITHUB,
        pins=PINS,
        guarded=".github",
        jobs="The workflows are",
        branch="if that is not the default one, change it there.",
        found=lambda place: place.name,
        named=_is_repository,
        files=lambda project: {f".github/workflows/{name}.yml": workflow(name, project) for name in WORKFLOWS},
        secrets=_secrets,
        merge=_pull_request,
    ),
    "gitlab": _Forge(
        name="gitlab",
        home="project on GitLab",
        request="merge request",
        type="gitlab-ci",
        pins=GITLAB_PINS,
        guarded=f".gitlab and {GITLAB_FILE}",
        jobs="The jobs are",
        branch="they apply what is merged to the default one.",
        found=lambda place: place.path,
        named=_is_project,
        files=gitlab_files,
        secrets=_gitlab_variables,
        merge=_merge_request,
    ),
}
