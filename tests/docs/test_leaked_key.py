"""The workflow that docs/leaked-key.md offers hands its inputs on as words, whatever somebody types into the form."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOW = Path(__file__).parents[2] / "docs/examples/github/revoke.yml"


def script() -> str:
    workflow: Any = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    steps = workflow["jobs"]["revoke"]["steps"]
    assert not [step for step in steps if "${{" in step.get("run", "")]
    return str(steps[-1]["run"])


@pytest.mark.parametrize(
    ("addresses", "replace", "words"),
    [
        ("ci/a  prod/*", "true", ["revoke", "--yes", "--", "ci/a", "prod/*"]),
        ("4711", "false", ["revoke", "--yes", "--no-replace", "--", "4711"]),
        ("$(touch x) `touch x`;* -f", "true", ["revoke", "--yes", "--", "$(touch", "x)", "`touch", "x`;*", "-f"]),
    ],
)
def test_the_inputs_are_words_and_nothing_else(tmp_path: Path, addresses: str, replace: str, words: list[str]) -> None:
    program = tmp_path / "reconciler/bin/reconciler"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n', "utf-8")
    program.chmod(0o755)
    environment = {"RUNNER_TEMP": str(tmp_path), "ADDRESSES": addresses, "REPLACE": replace, "PATH": "/usr/bin:/bin"}
    command = ["/bin/bash", "-e", "-c", script()]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert shown.splitlines() == words
    assert not (tmp_path / "x").exists()
