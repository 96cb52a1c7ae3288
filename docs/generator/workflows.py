"""This project's own workflows: those that `init` writes, for the example and a simulated account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.cli.init import ENVIRONMENTS, WORKFLOWS, Project, workflow
from reconciler.model import KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = "# Made by docs/generator from what `reconciler init` writes, for the example on a simulated account.\n"

_PROJECT: Final = Project(
    file="keys.yaml.example",
    is_folder=False,
    branch="main",
    environments=sorted(ENVIRONMENTS),
    key_variables={KEY_VARIABLE: sorted(ENVIRONMENTS)},
    destination_types=["dotenv"],
)
_INSTALL: Final = """\
- name: Check out
  uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
  with:
    fetch-depth: 0 # the history, to see the change
    persist-credentials: false
- name: Set up Python
  uses: actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c # v6.0.0
  with:
    python-version: "3.13"
- name: Install reconciler from the checkout, with what it needs pinned and hashed
  run: make VENV="$RUNNER_TEMP/reconciler" "$RUNNER_TEMP/reconciler/.installed"
"""
_SIMULATE: Final = """\
- name: Simulate the account as it was before the change
  env:
    BEFORE: %s
  run: |
    git show "$BEFORE:$FILE" > "$RUNNER_TEMP/before.yaml"
    "$RUNNER_TEMP/reconciler/bin/reconciler" apply --file "$RUNNER_TEMP/before.yaml" \\
      --simulator "$RUNNER_TEMP/account.db" --parallelism 1 --auto-approve
"""
_BEFORE: Final = {
    "plan": "origin/${{ github.event.pull_request.base.ref }}",
    "apply": "${{ needs.due.outputs.base || github.sha }}",
    **dict.fromkeys(("nightly", "record", "revoke"), "${{ github.sha }}"),
}


def outputs() -> Iterator[tuple[str, str]]:
    """Make the workflows: paths below the root of the project, and what belongs there."""
    ours = {
        "install": _INSTALL,
        "reviewed": '"" # the account is simulated anew, so its keys are not those that the comment speaks of',
        "options": ' \\\n            --simulator "$RUNNER_TEMP/account.db"',
        **{f"simulate_{name}": _SIMULATE % _BEFORE[name] for name in _BEFORE},
    }
    for name in WORKFLOWS:
        yield f".github/workflows/{name}.yml", _HEAD + workflow(name, _PROJECT, ours)
