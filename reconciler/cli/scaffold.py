"""The files that `init` writes, filled in from the templates that ship with the program."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKFLOWS: Final = ("plan", "apply", "drift")
ENVIRONMENTS: Final = ("production", "staging", "development", "ci")
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

    `file` is the declaration, from the top of the repository, and `is_folder` whether it is a folder; `package` is what
    pip installs; `key_variables` hold the provisioning keys, each with the environments whose account it opens.
    """

    file: str
    is_folder: bool
    branch: str
    environments: Sequence[str]
    key_variables: Mapping[str, Sequence[str]]
    destination_types: Sequence[str]
    package: str


def starter_file(repository: str) -> str:
    """Give the starter keys.yaml of a repository, whose environments get the secrets; owner/name needs no quotes."""
    return fill("keys.yaml", {"repository": repository})


def workflow(name: str, project: Project, replaced: Mapping[str, str] | None = None) -> str:
    """Give one of the WORKFLOWS of a project; `replaced` are placeholders that are filled in otherwise."""
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
        "plan_paths": _quoted([_as_pattern(watched), ".github/workflows/plan.yml"]),
        "watched": _quoted(f":(glob){_as_pattern(watched)}" if project.is_folder else f":(literal){project.file}"),
        "checkout": checkout,
        "file": _quoted(project.file),
        "environments": _quoted([*project.environments]),
        "install": fill("install.yml", {"package": _quoted(project.package), "checkout": checkout}),
        "credentials": "\n".join(f"{name}: ${{{{ secrets.{name} }}}}" for name in project.key_variables),
        "logins": "\n".join(
            [*(line for kind in project.destination_types for line in _LOGINS.get(kind, ())), _MORE_LOGINS]
        ),
        "permissions": "\n".join(_PERMISSIONS[kind] for kind in project.destination_types if kind in _PERMISSIONS),
        "reviewed": "${{ github.event_name == 'push' && '--reviewed' || '' }}",
        "options": "",
        **{f"simulate_{name}": "" for name in WORKFLOWS},
    }


def _quoted(value: object) -> str:
    """Write a string, or a list of them, as YAML that is taken for nothing else."""
    return json.dumps(value, ensure_ascii=False)


def _as_pattern(name: str) -> str:
    """Write a name so that GitHub takes none of its characters for a pattern; the * of a folder's files stays one."""
    return re.sub(r"([\\?+\[\]!])", r"\\\1", name)


def environments_of(workflow: Path) -> set[str] | None:
    """Give the environments of the jobs of an existing workflow; None where it does not say them as ours do."""
    import yaml

    try:
        document = yaml.safe_load(workflow.read_bytes())
        jobs = document["jobs"].values()
        matrices = [job["strategy"]["matrix"]["environment"] for job in jobs if "strategy" in job]
        return {name for matrix in matrices for name in matrix} if matrices else None
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None
