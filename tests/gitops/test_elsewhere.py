"""What the guides tell people to copy for GitLab CI and cron does what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

import reconciler
from reconciler.simulator import State
from reconciler.simulator.app import create_app
from support import pages
from support.repository import commit, git
from support.simulation import names, served

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN: Final = Path(sys.executable).parent
BASH: Final = shutil.which("bash") or "bash"
KEYS: Final = """\
version: 1

destinations:
  local: {type: dotenv, path: ".secrets/{environment}.env"}

environments:
  production:
    deliver: [{to: local, as: "{KEY}"}]
    keys:
      api: {credit_limit: 500}
"""
PROTECTED: Final = KEYS.replace("    deliver", "    protected: true\n    deliver")


def said(environment: dict[str, str], script: str) -> tuple[int, str]:
    """Run a script in the working folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NAGA_", "GIT_", "GITHUB_"))}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": f"{BIN}:{os.environ['PATH']}"}
    shell = [BASH, "-c", script]
    done = subprocess.run(
        shell, check=False, stdout=-1, stderr=subprocess.STDOUT, text=True, env={**clean, **quiet, **environment}
    )
    return done.returncode, done.stdout


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[State, str]]:
    """An account, its address, and a repository with keys.yaml in the working folder."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    Path("keys.yaml").write_text(PROTECTED, "utf-8")
    Path(".gitignore").write_text("/.secrets/\n", "utf-8")
    with (
        State(tmp_path / "account.db") as state,
        State(tmp_path / "account.db") as at_the_service,
        served(create_app(at_the_service)) as address,
    ):
        yield state, address


# --- GitLab -----------------------------------------------------------------------------------------------------------


def gitlab() -> str:
    (block,) = pages.blocks(pages.read("docs/gitlab-ci.md"), "yaml")
    return block


def script(job: str) -> str:
    """Give what a job runs, as GitLab does: line by line, up to the first that fails."""
    document: dict[str, Any] = yaml.safe_load(gitlab())
    return "\n".join(["set -e", *document[job]["script"]])


def test_the_pipeline_is_as_gitlab_describes_pipelines(tmp_path: Path) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(gitlab(), "utf-8")
    judge = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    subprocess.run([*judge, str(file)], check=True, stdout=subprocess.DEVNULL)


def test_the_pipeline_installs_the_version_that_its_guide_belongs_to() -> None:
    assert yaml.safe_load(gitlab())["variables"]["RECONCILER"].endswith(f"=={reconciler.__version__}")


def test_no_job_of_a_merge_request_has_an_environment_and_so_a_key() -> None:
    document = yaml.safe_load(gitlab())
    jobs = {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
    of_merge_requests = [name for name, job in jobs.items() if "merge_request_event" in str(job["rules"])]
    assert of_merge_requests == ["validate", "plan-offline"]
    assert [name for name in of_merge_requests if "environment" in jobs[name]] == []


@pytest.mark.proof
def test_the_pipeline_goes_from_the_merge_request_to_the_key(account: tuple[State, str]) -> None:
    state, address = account
    git("init", "--quiet", "--initial-branch=main")
    before = git("commit-tree", "-m", "nothing", git("write-tree"))
    git("update-ref", "refs/heads/main", before)
    commit("Declare our API keys")
    offline = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": before}
    for job in ("validate", "plan-offline"):
        code, text = said(offline, script(job))
        assert code == 0, text
    push = {"CI_COMMIT_BEFORE_SHA": before, "NAGA_BASE_URL": address, "NAGA_PROVISIONING_KEY": "a-key"}
    for job in ("plan", "apply"):
        code, text = said(push, script(job))
        assert code == 0, text
    assert names(state) == ["production/api"]
    assert said(push, script("drift"))[0] == 0
    assert said(push, script("apply"))[0] == 4, "the plan has been carried out, so it is not what is due any more"
    (key,) = state.keys()
    state.update_key(key.id, is_enabled=False)
    assert said(push, script("drift"))[0] == 2


# --- cron -------------------------------------------------------------------------------------------------------------


def cron(folder: Path) -> list[str]:
    """Give the scripts of the guide, for a clone and a file with the key in this folder."""
    blocks = pages.blocks(pages.read("docs/cron.md"), "bash")
    return [
        re.sub(r"/srv/keys|/etc/reconciler", lambda at: str(folder / at[0].rpartition("/")[2]), each) for each in blocks
    ]


@pytest.mark.proof
def test_cron_applies_what_was_merged_and_what_was_protected_stays_so(
    account: tuple[State, str], tmp_path: Path
) -> None:
    state, address = account
    commit("Declare our API keys")
    git("clone", "--quiet", ".", str(tmp_path / "keys"))
    (tmp_path / "reconciler").mkdir()
    (tmp_path / "reconciler" / "key.env").write_text("NAGA_PROVISIONING_KEY=a-key\n", "utf-8")
    apply, look = cron(tmp_path)
    there = {"NAGA_BASE_URL": address}

    code, text = said(there, apply)
    assert code == 0, text
    assert names(state) == ["production/api"]
    assert said(there, look) == (0, "")

    Path("keys.yaml").write_text(
        KEYS.replace("api: {credit_limit: 500}", "{}").replace("keys:\n      {}", "keys: {}"), "utf-8"
    )
    commit("Remove a key and its protection in one go")
    for _ in range(2):  # it has failed once, and still knows what was applied last
        code, text = said(there, apply)
        assert (code, names(state)) == (3, ["production/api"]), text
    Path("keys.yaml").write_text(KEYS, "utf-8")
    commit("Remove the protection alone")
    assert said(there, apply)[0] == 0

    (key,) = state.keys()
    state.update_key(key.id, is_enabled=False)
    code, text = said(there, look)
    assert (code, "1 to update" in text) == (0, True), text
