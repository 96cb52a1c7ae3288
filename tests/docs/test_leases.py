"""The examples of docs/leases.md, each run: in a GitHub job, in GitLab CI, by cron and under xargs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from reconciler.simulator import State
from support import pages
from support.act import Actions
from support.repository import commit, git
from support.simulation import PROVISIONING, Service, served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.proof

BIN: Final = Path(sys.executable).parent
BASH: Final = shutil.which("bash") or "bash"
PAGE: Final = pages.read("docs/leases.md")
COMMAND: Final = """\
#!/bin/sh
test -z "${NAGA_PROVISIONING_KEY-}" || exit 99
echo "$* with $NAGA_API_KEY" >> "$TOLD"
echo "the key is $NAGA_API_KEY"
"""
"""What the examples run: it writes down what it was called with, and tells its key to whoever reads the log."""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands write, outside of the repository in the working folder, which has the file of the page."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    Path("keys.yaml").write_text(next(each for each in pages.blocks(PAGE, "yaml") if "leases:" in each), "utf-8")
    Path("run-tests").write_text(COMMAND, "utf-8")
    Path("run-tests").chmod(0o755)
    told = tmp_path / "told"
    told.touch()
    monkeypatch.setenv("TOLD", str(told))
    return told


@pytest.fixture
def account(tmp_path: Path, told: Path) -> Iterator[tuple[State, str]]:
    """An account that tells which keys were open, and its address."""
    assert told.exists()
    with (
        State(tmp_path / "account.db") as state,
        State(tmp_path / "account.db") as at_the_service,
        served(Service(at_the_service).app) as address,
    ):
        yield state, address


def block(name: str) -> str:
    return next(each for each in pages.blocks(PAGE, "yaml") if pages.file_name(each) == name)


def run(script: str, address: str) -> str:
    """Run a script with the variables that its machine has; gives what it has said."""
    there = {"PATH": f"{BIN}:{os.environ['PATH']}", "TOLD": os.environ["TOLD"], "HOME": str(Path.cwd())}
    given = {"NAGA_BASE_URL": address, "NAGA_PROVISIONING_KEY": PROVISIONING}
    done = subprocess.run(
        [BASH, "-c", script], env={**there, **given}, check=False, stdout=-1, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def assert_each_had_a_key_of_its_own(told: Path, state: State, *calls: str) -> None:
    """All ended, each with another key, and no key of theirs is left."""
    lines = sorted(told.read_text("utf-8").splitlines())
    words, secrets = zip(*(line.split(" with ") for line in lines), strict=True)
    assert sorted(words) == sorted(calls)
    assert all(secrets)
    assert len(set(secrets)) == len(calls)
    assert state.keys() == ()


def test_a_github_job_has_a_key_that_its_log_does_not_show(
    told: Path, account: tuple[State, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, address = account
    Path(".github/workflows").mkdir(parents=True)
    Path(".github/workflows/tests.yml").write_text(block("tests.yml"), "utf-8")
    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", "https://github.com/acme/api.git")
    head = commit("Test with a key of our own")
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")  # what the steps left out of the example install
    actions = Actions(tmp_path / "machine", NAGA_BASE_URL=address, TOLD=str(told))
    event = {"ref": "refs/heads/main", "after": head, "repository": {"full_name": "acme/api", "default_branch": "main"}}
    done = actions.run(".github/workflows/tests.yml", "push", event, NAGA_PROVISIONING_KEY=PROVISIONING)
    assert (done.code, done.jobs) == (0, {"tests": "success"}), done.log
    secret = told.read_text("utf-8").split()[-1]
    assert_each_had_a_key_of_its_own(told, state, "--all")
    assert secret not in done.said


def test_a_gitlab_job_has_a_key(told: Path, account: tuple[State, str], tmp_path: Path) -> None:
    state, address = account
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(block("tests.gitlab-ci.yml"), "utf-8")
    judge = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    subprocess.run([*judge, str(file)], check=True, stdout=subprocess.DEVNULL)
    run("\n".join(["set -e", *yaml.safe_load(file.read_text("utf-8"))["tests"]["script"]]), address)
    assert_each_had_a_key_of_its_own(told, state, "--all")


def test_a_line_of_cron_has_a_key(told: Path, account: tuple[State, str], tmp_path: Path) -> None:
    state, address = account
    line = next(each for each in pages.blocks(PAGE, "text") if each.startswith("0 3 * * *"))
    key = tmp_path / "key.env"
    key.write_text(f"NAGA_PROVISIONING_KEY={PROVISIONING}\n", "utf-8")
    script = line.removeprefix("0 3 * * *").strip()
    script = script.replace("/etc/reconciler/key.env", shlex.quote(str(key)))
    run(script.replace("/srv/keys", shlex.quote(str(Path.cwd()))), address)
    assert_each_had_a_key_of_its_own(told, state, "--nightly")


def test_agents_side_by_side_have_a_key_each(told: Path, account: tuple[State, str]) -> None:
    state, address = account
    line = next(each for each in pages.blocks(PAGE, "bash") if "xargs" in each)
    few, changed = re.subn(r"seq 50 \| xargs -P 20", "seq 8 | xargs -P 4", line)
    assert changed == 1
    run(few, address)
    assert_each_had_a_key_of_its_own(told, state, *(f"--task {number}" for number in range(1, 9)))
