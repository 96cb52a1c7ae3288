"""What is left to do by hand after `init`, in three steps."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.cli.scaffold import Project

_PLAN: Final = "plan"


def tell(project: Project, repository: str | None, folder: str, *, is_new: bool) -> Iterator[str]:
    """Give the steps, a line each; `repository` is owner/name where it is known, `folder` what init was called with."""
    yield "Next steps"
    yield from _account(project, folder, is_new=is_new)
    yield from _secrets(project, repository)
    yield from _pull_request(project, is_new=is_new)


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
    names = " ".join(f"{name} {name}-{_PLAN}" for name in project.environments)
    yield ""
    yield "2. Give each GitHub Environment the provisioning key (gh asks for it), and the one that its plans run in:"
    yield f"     for name in {names}; do"
    yield f'       gh api --silent "{home}/environments/$name" ||'
    yield f'         gh api --silent --method PUT "{home}/environments/$name"'
    for variable in project.key_variables:
        yield f'       gh secret set {variable}{where} --env "$name"'
    yield "     done"
    if "github-actions" in project.destination_types:
        yield "   and, for those that apply, the GitHub App that may write their secrets:"
        yield f"     gh variable set RECONCILER_APP_ID{where}"
        yield f"     for name in {' '.join(project.environments)}; do"
        yield f'       gh secret set RECONCILER_APP_PRIVATE_KEY{where} --env "$name" < app.private-key.pem'
        yield "     done"
    yield "   Who has to approve an apply is set in the repository's Settings, Environments."


def _pull_request(project: Project, *, is_new: bool) -> Iterator[str]:
    yield ""
    merged = "merging it applies" if is_new else "once it is merged, the last line applies"
    yield f"3. Open a pull request, which shows the plan; {merged}:"
    yield "     git switch --create api-keys"
    yield f"     git add {shlex.quote(project.file)} .github/workflows"
    yield "     git commit --message 'Declare our API keys'"
    yield "     git push --set-upstream origin api-keys"
    yield "     gh pr create --fill"
    if not is_new:  # the file itself does not change, so its workflow does not start by itself
        yield "     gh workflow run apply.yml"
