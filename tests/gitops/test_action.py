"""What action.yml makes of its inputs; whoever writes a workflow may pass on what others wrote."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from support.packages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

BASH: Final = shutil.which("bash") or "bash"
ACTION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_bytes())
STEP: Final[dict[str, Any]] = ACTION["runs"]["steps"][-1]
INPUTS: Final[dict[str, dict[str, Any]]] = ACTION["inputs"]
OUT: Final = "--out=TEMP/reconciler-plan.json"
HOSTILE: Final = "$(touch stolen) `touch stolen` ; touch stolen & \" ' * --simulator=x"


def ran(folder: Path, **inputs: str) -> tuple[int, list[str], str]:
    """Run the action's last step with a `reconciler` that writes down its arguments; gives code, arguments, output."""
    program = folder / "reconciler" / "bin" / "reconciler"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" > called\n", "utf-8")
    program.chmod(0o755)
    (folder / "work").mkdir()
    given = {name: str(about.get("default", "")) for name, about in INPUTS.items()} | inputs
    environment = {
        variable: given[expression.removeprefix("${{ inputs.").removesuffix(" }}")]
        for variable, expression in STEP["env"].items()
    }
    done = subprocess.run(
        [BASH, "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", STEP["run"]],
        cwd=folder / "work",
        env={"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(folder), **environment},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    called = folder / "work" / "called"
    words = called.read_text("utf-8").replace(str(folder), "TEMP").split("\0")[:-1] if called.exists() else []
    assert {each.name for each in (folder / "work").iterdir()} <= {"called"}, "something else was run"
    return done.returncode, words, done.stdout


def test_every_input_reaches_the_step_as_a_variable_and_no_other_way() -> None:
    assert sorted(STEP["env"].values()) == sorted(f"${{{{ inputs.{name} }}}}" for name in INPUTS)
    assert "${{" not in "".join(step.get("run", "") for step in ACTION["runs"]["steps"])


def test_every_output_comes_from_the_step_that_runs_reconciler() -> None:
    assert {name: about["value"] for name, about in ACTION["outputs"].items()} == {
        name: f"${{{{ steps.{STEP['id']}.outputs.{name} }}}}" for name in ("changes", "digest", "exitcode", "plan-file")
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"command": "validate"}, "validate --file=keys.yaml --format github"),
        (
            {"command": "validate", "environment": "ci", "base": "x", "allow": "ci/*"},
            "validate --file=keys.yaml --format github",
        ),
        ({"command": "plan", "comment": "true"}, f"plan --file=keys.yaml --comment {OUT} --format github"),
        (
            {"command": "plan", "file": "teams", "base": "git:HEAD", "offline": "true"},
            "plan --file=teams --offline --base=git:HEAD --format github",
        ),
        (
            {"command": "plan", "environment": " ci\n\n production "},
            f"plan --file=keys.yaml --environment=ci --environment=production {OUT} --format github",
        ),
        ({"command": "drift"}, "plan --file=keys.yaml --format github --issue"),
        (
            {"command": "apply", "reviewed": "true", "only-tip": "true", "allow": "ci/* ci/x"},
            "apply --file=keys.yaml --reviewed --only-tip --allow=ci/* --allow=ci/x --auto-approve",
        ),
        ({"command": "apply", "plan": "-p.json"}, "apply --file=keys.yaml --auto-approve -- -p.json"),
        ({"command": "apply", "allow-exec": "true"}, "apply --file=keys.yaml --allow-exec --auto-approve"),
    ],
    ids=lambda value: value["command"] if isinstance(value, dict) else "",
)
def test_inputs_become_flags(inputs: dict[str, str], words: str, tmp_path: Path) -> None:
    assert ran(tmp_path, **inputs) == (0, words.split(" "), "")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"command": "destroy"}, "The input command has to be validate, plan, apply or drift"),
        ({"command": HOSTILE}, "The input command has to be validate, plan, apply or drift"),
        ({"command": "plan", "reviewed": "true"}, "The input reviewed goes with the command apply only"),
        ({"command": "plan", "allow-exec": "true"}, "The input allow-exec goes with the command apply only"),
        ({"command": "apply", "comment": "true"}, "The input comment goes with the command plan only"),
        ({"command": "apply", "only-tip": "yes"}, "The input only-tip is neither true nor false"),
        ({"command": "plan", "offline": HOSTILE}, "The input offline is neither true nor false"),
    ],
)
def test_what_it_does_not_understand_is_refused(inputs: dict[str, str], message: str, tmp_path: Path) -> None:
    assert ran(tmp_path, **inputs) == (1, [], f"::error::{message}\n")


@pytest.mark.parametrize("name", ["file", "base", "plan", "github-token"])
def test_an_input_is_one_word_whatever_it_holds(name: str, tmp_path: Path) -> None:
    code, words, _ = ran(tmp_path, command="apply", **{name: HOSTILE})
    assert code == 0
    as_a_word = {"github-token": [], "plan": [HOSTILE]}.get(name, [f"--{name}={HOSTILE}"])
    assert [word for word in words if "stolen" in word] == as_a_word


@pytest.mark.parametrize("name", ["environment", "allow"])
def test_a_list_gives_values_and_no_flags_of_its_own(name: str, tmp_path: Path) -> None:
    code, words, _ = ran(tmp_path, command="plan", **{name: HOSTILE})
    assert code == 0
    rest = [word for word in words if not word.startswith(f"--{name}=")]
    assert rest == ["plan", "--file=keys.yaml", OUT, "--format", "github"]
    assert f"--{name}=*" in words
    assert f"--{name}=--simulator=x" in words
