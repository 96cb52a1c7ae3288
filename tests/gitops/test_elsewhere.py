"""What the guides tell people to copy for GitLab CI and cron does what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from reconciler.cli.init import GITLAB_JOBS, Project, gitlab_files
from reconciler.simulator import State
from reconciler.simulator.app import create_app
from support import pages
from support.places.gitlab import TOKEN, FakeGitLab, MergeRequest
from support.places.gitlab import served as served_gitlab
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

FILES: Final = gitlab_files(
    Project(
        "keys.yaml",
        is_folder=False,
        branch="main",
        environments=["production"],
        key_variables={"NAGA_PROVISIONING_KEY": ["production"]},
        destination_types=["vault"],
    )
)
JOBS: Final[dict[str, Any]] = yaml.safe_load(FILES[GITLAB_JOBS])
HEAD, MERGED = "a" * 40, "b" * 40


def script(job: str, part: str = "script") -> str:
    """Give what a job runs, as GitLab does: line by line, up to the first that fails."""
    return "\n".join(["set -eo pipefail", *JOBS[job][part]])


def test_what_init_writes_is_as_gitlab_describes_pipelines(tmp_path: Path) -> None:
    for number, text in enumerate((*FILES.values(), *pages.blocks(pages.read("docs/gitlab-ci.md"), "yaml"))):
        file = tmp_path / f"{number}.yml"
        file.write_text(text, "utf-8")
        judge = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
        subprocess.run([*judge, str(file)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("job", [".reconciler", *(name for name, job in JOBS.items() if "script" in job)])
def test_every_script_is_sound_shell(job: str) -> None:
    part = "script" if "script" in JOBS[job] else "before_script"
    subprocess.run([BASH, "-n", "-c", script(job, part)], check=True)


def test_a_job_installs_by_hashes_alone_and_imports_nothing_of_the_repository() -> None:
    installing = script(".reconciler", "before_script")
    assert "--no-deps --only-binary :all: --require-hashes" in " ".join(installing.replace("\\\n", "").split())
    assert re.findall(r"(?<!-)python (?!-I)", installing) == []


def test_no_job_of_a_merge_request_runs_where_apply_does_and_none_of_a_fork_has_a_secret() -> None:
    of_merge_requests = {name: job for name, job in JOBS.items() if "merge_request_event" in str(job.get("rules"))}
    assert of_merge_requests.keys() == {"reconciler-validate", "reconciler-plan"}
    assert "environment" not in of_merge_requests["reconciler-validate"]
    assert of_merge_requests["reconciler-plan"]["environment"]["name"] == "$ENVIRONMENT-plan"
    (rule,) = of_merge_requests["reconciler-plan"]["rules"]
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID" in rule["if"]


@pytest.mark.proof
def test_the_pipeline_goes_from_the_merge_request_to_the_key_and_on(account: tuple[State, str]) -> None:
    state, address = account
    fake = FakeGitLab()
    project = fake.homes["projects/acme/api"]
    request = project.merge_requests[7] = MergeRequest(7, HEAD)
    project.tips["main"] = MERGED
    git("init", "--quiet", "--initial-branch=main")
    before = git("commit-tree", "-m", "nothing", git("write-tree"))
    git("update-ref", "refs/heads/main", before)
    commit("Declare our API keys")
    with served_gitlab(fake) as url:
        job = {"GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/api", "CI_SERVER_URL": url, "GITLAB_TOKEN": TOKEN}
        job |= {"RECONCILER": str(BIN / "reconciler"), "FILE": "keys.yaml", "CI_PROJECT_DIR": str(Path.cwd())}
        key = {"NAGA_BASE_URL": address, "NAGA_PROVISIONING_KEY": "a-key", "ENVIRONMENT": "production"}
        on_request = {"CI_MERGE_REQUEST_IID": "7", "CI_COMMIT_SHA": HEAD, "CI_MERGE_REQUEST_DIFF_BASE_SHA": before}
        push = {"CI_COMMIT_SHA": MERGED, "CI_COMMIT_BEFORE_SHA": "0" * 40}

        def ran(name: str, *variables: dict[str, str]) -> int:
            environment = {each: value for one in (job, *variables) for each, value in one.items()}
            code, text = said(environment, script(name))
            told.append(text)
            return code

        told: list[str] = []
        assert ran("reconciler-validate", on_request) == 0, told
        assert json.loads(Path("codequality.json").read_text("utf-8")) == []
        assert ran("reconciler-plan", on_request, key) == 0, told
        assert json.loads(Path("plan.json").read_text("utf-8")) == {"create": 1, "update": 0, "delete": 0}
        assert ran("reconciler-apply", push, key) == 4, "it is not merged"
        request.merged_at, request.merge_commit_sha = "2026-11-28T10:30:00.000Z", MERGED
        assert ran("reconciler-apply", push, key) == 0, told
        assert names(state) == ["production/api"]
        assert ran("reconciler-apply", push, key, {"CI_COMMIT_BEFORE_SHA": before}) == 0, "there is nothing to do"
        assert ran("reconciler-nightly", key) == 0, told
        revoked = {"REVOKE_IN": "production", "ADDRESSES": "production/api $(touch broken-into) nowhere/*"}
        assert ran("reconciler-revoke", key, revoked) == 1
        assert ran("reconciler-revoke", key, revoked | {"ADDRESSES": "production/*"}) == 0, told
    assert {name.partition(".")[0] for name in names(state)} == {"production/api", "production/api~old"}
    assert not Path("broken-into").exists()


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
