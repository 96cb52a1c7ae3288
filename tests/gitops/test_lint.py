"""What people copy or generate for GitHub is sound by the strictest judges there are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from reconciler.cli.init import ENVIRONMENTS, WORKFLOWS
from reconciler.declaration import load
from support.command import call
from support.packages import ROOT
from support.repository import git

BIN: Final = Path(sys.executable).parent
BASH: Final = shutil.which("bash") or "bash"
EXAMPLE: Final = ROOT / "docs/examples/scale/matrix.yml"
WRITTEN: Final = [*sorted((ROOT / ".github/workflows").iterdir()), EXAMPLE]
DECLARATIONS: Final = {
    "the starter file": {},
    "an environment": {"keys.yaml": "version: 1\nenvironments: {ci: {keys: {}}}\n"},
    "a folder": {
        "teams/a.yaml": "version: 1\nenvironments: {a.b_c-d: {keys: {}}}\n",
        "teams/b.yaml": "version: 1\nenvironments: {no: {provisioning_key_env: NAGA_NO, keys: {}}}\n",
    },
    "destinations": {
        "keys.yaml": """\
version: 1
destinations:
  vault: {type: vault, path: "naga/{environment}"}
  aws: {type: aws-secrets-manager, region: eu-central-1}
  app: {type: github-actions, repository: acme/api}
environments:
  ci:
    deliver: [{to: vault, as: "{key}"}, {to: aws, as: "naga/{key}"}, {to: app, as: "{KEY}"}]
    keys: {tests: {credit_limit: 1}}
"""
    },
}


def judged(*words: str) -> str:
    """Run a judge on the working folder; gives what it says against it."""
    done = subprocess.run([BIN / words[0], *words[1:]], check=False, stdout=-1, stderr=subprocess.STDOUT, text=True)
    return "" if done.returncode == 0 else f"{words[0]}: {done.stdout}"


@pytest.fixture(params=[*DECLARATIONS.values()], ids=[*DECLARATIONS])
def generated(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that `init` has written into."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch=main")
    files: dict[str, str] = request.param
    for name, text in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, "utf-8")
    folder = "teams" if Path("teams").exists() else "."
    assert call("init", "--repository", "acme/api", folder).code == 0
    return tmp_path


def test_generated_workflows_have_no_finding(generated: Path) -> None:
    workflows = [str(file) for file in sorted(generated.glob(".github/workflows/*.yml"))]
    assert len(workflows) == len(WORKFLOWS)
    assert judged("actionlint", *workflows) == ""
    assert judged("zizmor", "--offline", "--quiet", "--persona", "auditor", "--strict-collection", ".") == ""
    assert judged("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows) == ""


def test_what_is_judged_is_really_read(generated: Path) -> None:
    """A judge that looks at nothing is content with everything."""
    workflow = generated / ".github/workflows/plan.yml"
    text = workflow.read_text("utf-8")
    workflow.write_text(text.replace('"$FILE"', "${{ github.head_ref }}"), "utf-8")
    assert "template-injection" in judged("zizmor", "--offline", "--persona", "auditor", "--strict-collection", ".")
    assert "untrusted" in judged("actionlint", str(workflow))


def test_the_example_for_many_accounts_has_no_finding() -> None:
    assert judged("actionlint", str(EXAMPLE)) == ""
    assert judged("zizmor", "--offline", "--quiet", "--persona", "auditor", "--strict-collection", str(EXAMPLE)) == ""
    assert judged("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(EXAMPLE)) == ""


def everything() -> dict[str, Any]:
    """Give all workflows of this repository and the example, as they are read."""
    return {file.name: yaml.safe_load(file.read_bytes()) for file in WRITTEN}


def test_this_repository_has_the_workflows_that_it_recommends() -> None:
    own = {"ci.yml", "dependencies.yml", "release.yml"}
    assert {*everything()} == {EXAMPLE.name, *own, *(f"{name}.yml" for name in WORKFLOWS)}
    assert list(load(ROOT / "keys.yaml.example").environments) == sorted(ENVIRONMENTS)


@pytest.mark.parametrize("name", everything())
def test_a_job_may_do_nothing_that_it_does_not_say_does_not_run_forever_and_stops_no_other(name: str) -> None:
    document = everything()[name]
    assert document["permissions"] == {}
    assert "pull_request_target" not in document[True]
    for job in document["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"] <= 30
        assert job.get("strategy", {"fail-fast": False})["fail-fast"] is False


def test_every_permission_has_its_reason() -> None:
    for file in WRITTEN:
        lines = [line for line in file.read_text("utf-8").splitlines() if line.endswith((": read", ": write"))]
        assert lines == [], f"{file.name} does not say why"


def scripts(steps: list[dict[str, Any]]) -> list[str]:
    return [step["run"] for step in steps if "run" in step]


def test_every_script_is_sound_shell() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_bytes())
    found = scripts(action["runs"]["steps"])
    for document in everything().values():
        found += [script for job in document["jobs"].values() for script in scripts(job["steps"])]
    for script in found:
        assert "${{" not in script
        subprocess.run([BASH, "-n", "-c", script], check=True)


def test_the_action_is_as_github_describes_actions() -> None:
    assert judged("check-jsonschema", "--builtin-schema", "vendor.github-actions", str(ROOT / "action.yml")) == ""


def test_every_action_in_use_is_pinned_to_a_revision_with_its_version() -> None:
    files = [ROOT / "action.yml", *WRITTEN, *(ROOT / "reconciler/templates").iterdir()]
    used = {line.strip() for file in files for line in file.read_text("utf-8").splitlines() if " uses:" in f" {line}"}
    uses = {line.removeprefix("- ") for line in used}
    assert uses <= {
        "uses: actions/attest-build-provenance@977bb373ede98d70efbf0b7b13af9c3d6651dc60 # v4.1.0",
        "uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0",
        "uses: actions/download-artifact@018cc2cf5baa6db3ef3c5f8a56943fffe632ef53 # v6.0.0",
        "uses: actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c # v6.0.0",
        "uses: actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0",
        "uses: pypa/gh-action-pypi-publish@ed0c53931b1dc9bd32cbe73a98c7f6766f8a527e # v1.13.0",
    }
