"""The guide to the history: its nightly jobs record and push, and its queries read the files that they push."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from support import pages
from support.command import call, on_a_file
from support.repository import commit, git
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.simulator import State

BIN: Final = Path(sys.executable).parent
BASH: Final = shutil.which("bash") or "bash"
PAGE: Final = "docs/history.md"
BRANCH: Final = "refs/heads/api-key-history"
FILE: Final = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 5, deliver: [{to: local, as: "KEY_{ENVIRONMENT}_{KEY}"}]}
environments:
  ci: {keys: {tests: {team: core}, more: {}}}
"""
# What stands for the service in a job: the command itself on a simulated account.
STAND_IN: Final = '#!/bin/sh\nexec "%s" "$@" --simulator "%s"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[State, Path]]:
    """An account with use, a repository that takes pushes, and a `reconciler` that reads the account."""
    with on_a_file(tmp_path, monkeypatch) as front:
        state = front.state
        state.travel(datetime(2026, 11, 2, 12, tzinfo=UTC) - state.now())
        keys = [state.create_key(f"ci/{name}", None)[0].id for name in ("tests", "more")]
        for ago in range(1, 20):
            spend(state, keys[0], ago, days_ago=ago)
        spend(state, keys[1], 100, days_ago=1)
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin" / "reconciler"
        program.write_text(STAND_IN % (BIN / "reconciler", tmp_path / "sim.db"))
        program.chmod(0o755)
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        (tmp_path / "work" / "keys.yaml").write_text(FILE)
        commit("Declare our API keys")
        git("clone", "--quiet", "--bare", ".", str(tmp_path / "acme.git"))
        yield state, tmp_path


def run(folder: Path, script: str, **variables: str) -> None:
    """Run a script in the working folder, and have it end well."""
    author = {f"GIT_{who}_{what}": "night@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NAGA_", "GIT_"))}
    paths = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        [BASH, "-c", script],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**clean, **author, **paths, **variables},
    )
    assert done.returncode == 0, done.stdout


def pushed(folder: Path) -> tuple[int, set[str]]:
    """Count the nights on the branch, and name its files."""
    repository = ("--git-dir", str(folder / "acme.git"))
    names = git(*repository, "ls-tree", "-r", "--name-only", BRANCH).split()
    return int(git(*repository, "rev-list", "--count", BRANCH)), set(names)


FILES: Final = {
    *(".gitattributes", "history.json", "days.csv", "keys.csv"),
    *(f"usage/2026-{month}{kind}.csv" for month in (10, 11) for kind in ("", ".models")),
}


@pytest.mark.proof
def test_cron_records_every_night_beside_another_machine(place: tuple[State, Path]) -> None:
    state, folder = place
    (folder / "reconciler").mkdir()
    (folder / "reconciler" / "key.env").write_text("NAGA_PROVISIONING_KEY=a-key\n")
    (script,) = pages.blocks(pages.read(PAGE), "bash")
    script = script.replace("/srv/keys", str(folder / "work")).replace("/etc/reconciler", str(folder / "reconciler"))
    machines = [script.replace("/srv/history", str(folder / name)) for name in ("one", "other")]
    for name in ("one", "other"):
        git("clone", "--quiet", str(folder / "acme.git"), str(folder / name))
        git("-C", str(folder / name), "switch", "--quiet", "--orphan", "api-key-history")
    for night in range(3):
        for machine in machines:
            run(folder, machine)
        assert pushed(folder) == (night + 1, FILES)
        (key, _) = state.keys()
        spend(state, key.id, 5)
        state.travel(timedelta(days=1))


def gitlab() -> dict[str, Any]:
    (block,) = pages.blocks(pages.read(PAGE), "yaml")
    document: dict[str, Any] = yaml.safe_load(block)
    return document


@pytest.mark.proof
def test_gitlab_records_every_night(place: tuple[State, Path]) -> None:
    state, folder = place
    job = gitlab()["record"]
    variables = {name: value["value"] if isinstance(value, dict) else value for name, value in job["variables"].items()}
    for night in range(2):
        for _ in range(2):  # again in the same clone, as runners keep them
            run(folder, "\n".join(["set -e", *job["script"]]), CI_PROJECT_URL=str(folder / "acme"), **variables)
        assert pushed(folder) == (night + 1, FILES)
        spend(state, next(iter(state.keys())).id, 5)
        state.travel(timedelta(days=1))


@pytest.mark.proof
def test_the_job_is_as_gitlab_describes_jobs(tmp_path: Path) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(yaml.safe_dump({"stages": ["plan"], **gitlab()}), "utf-8")
    judge = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    subprocess.run([*judge, str(file)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.proof
def test_duckdb_and_pandas_read_the_files(place: tuple[State, Path]) -> None:
    _, folder = place
    run(folder, "reconciler record --to history -f keys.yaml")
    report = call("activity", "--from", "history", "--month", "2026-10", "--by", "team", "--format", "json").document
    expected = {each["name"] or each["kind"]: Decimal(each["cost"]) for each in report["lines"]}
    (query,) = pages.blocks(pages.read(PAGE), "sql")
    found = [line.split("\t") for line in answered(DUCKDB, query)]
    assert {team: Decimal(cost) for month, team, cost in found if month == "2026-10"} == expected
    assert sum((Decimal(cost) for *_, cost in found), Decimal(0)) == sum(range(1, 20)) + 100
    (program,) = pages.blocks(pages.read(PAGE), "python")
    _, first, *others = answered(program)
    assert ("ci/more" in first, "100" in first) == (True, True)
    assert any(line.split()[-2:] == ["core", str(expected["core"])] for line in others)


DUCKDB: Final = "import duckdb, sys; [print(*row, sep='\\t') for row in duckdb.sql(sys.argv[1]).fetchall()]"


def answered(program: str, *words: str) -> list[str]:
    """Run a program of Python, and give the lines that it prints."""
    done = subprocess.run([sys.executable, "-c", program, *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()
