"""What is left to do by hand after `init`, in three steps."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.cli.scaffold import Project

_PLAN: Final = "plan"


def tell(project: Project, root: Path, repository: str | None, folder: Path, *, is_new: bool) -> Iterator[str]:
    """Give the steps, a line each, to be typed at the top of the repository, which is `root`.

    `repository` is owner/name where it is known, `folder` what init was called with.
    """
    whose = "" if repository is None else f" of {repository}"
    yield f"The workflows are for the branch {project.branch}{whose}; if that is not the default one, change it there."
    yield f"They install {project.package} by pip; if that is not where pip finds reconciler, change PACKAGE there."
    yield ""
    yield "Next steps"
    if Path.cwd() != root:
        yield ""
        yield f"0. Go to the top of the repository: cd {shlex.quote(os.path.relpath(root))}"
    yield from _account(project, folder.resolve().relative_to(root).as_posix(), is_new=is_new)
    yield from _secrets(project, repository)
    yield from _pull_request(project)


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
    yield "2. Give each GitHub Environment the provisioning key, as exported above, and the one that its plans run in:"
    for variable, environments in project.key_variables.items():
        yield f"     for name in {' '.join(f'{name} {name}-{_PLAN}' for name in environments)}; do"
        yield f'       gh api --silent "{home}/environments/$name" ||'
        yield f'         gh api --silent --method PUT "{home}/environments/$name"'
        # printf is of the shell itself, so that the key is in no list of processes.
        yield f'       printf %s "${{{variable}:?}}" | gh secret set {variable}{where} --env "$name"'
        yield "     done"
    if "github-actions" in project.destination_types:
        yield "   and, for those that apply, the GitHub App that may write their secrets:"
        yield f"     gh variable set RECONCILER_APP_ID{where}"
        yield f"     for name in {' '.join(project.environments)}; do"
        yield f'       gh secret set RECONCILER_APP_PRIVATE_KEY{where} --env "$name" < app.private-key.pem'
        yield "     done"
    yield "   Who has to approve an apply is set in the repository's Settings, Environments."


def _pull_request(project: Project) -> Iterator[str]:
    yield ""
    yield "3. Open a pull request, which shows the plan; merging it applies:"
    yield "     git switch --create api-keys"
    yield f"     git add {shlex.quote(project.file)} .github/workflows"
    yield "     git commit --message 'Declare our API keys'"
    yield "     git push --set-upstream origin api-keys"
    yield "     gh pr create --fill"
