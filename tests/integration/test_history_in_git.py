"""Two jobs that record to branches of their own: git merges what they wrote, and it is read as if one had done it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.simulator import State
from support.command import Front, call, on_a_file
from support.repository import commit, git
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE: Final = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 5, deliver: [{to: local, as: "KEY_{ENVIRONMENT}_{KEY}"}]}
environments:
"""
CI: Final = "  ci: {keys: {tests: {team: core}}}\n"
PRODUCTION: Final = "  production: {provisioning_key_env: NAGA_B, keys: {api: {team: web}}}\n"


class Service(Front):
    """The command on two simulated accounts, whose clocks go alike."""

    accounts: tuple[State, State]

    def sleep(self, duration: timedelta) -> None:
        for each in self.accounts:
            each.travel(duration)


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with on_a_file(tmp_path, monkeypatch) as one, State(tmp_path / "sim.naga_b.db") as other:
        service = Service(one.state, *one.options)
        service.accounts = (one.state, other)
        for each in service.accounts:
            each.travel(datetime(2026, 11, 27, 12, tzinfo=UTC) - each.now())
        (tmp_path / "one.yaml").write_text(FILE + CI)
        (tmp_path / "other.yaml").write_text(FILE + PRODUCTION)
        (tmp_path / "both.yaml").write_text(FILE + CI + PRODUCTION)
        yield service


def record(front: Front, folder: Path, file: str) -> None:
    ended = front("record", "--to", str(folder), "-f", file)
    assert ended.code == 0, ended.err


def told(folder: Path) -> str:
    """Say what is recorded, by day and key."""
    ended = call("activity", "--from", str(folder), "--by", "key", "--daily", "--format", "json")
    assert ended.code == 0, ended.err
    return ended.out


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


A, B = "a", "b"
OWN: Final = {A: "one.yaml", B: "other.yaml"}
SAME: Final = {A: "both.yaml", B: "both.yaml"}


@pytest.mark.parametrize("into", [A, B])
@pytest.mark.parametrize(
    ("nights", "declared"),
    [
        pytest.param(("", A, B), SAME, id="a night later"),
        pytest.param(("", A + B), SAME, id="the same night"),
        pytest.param(("", A, B, A, B, A, B), SAME, id="in turn, into the next month", marks=pytest.mark.proof),
        pytest.param(("", A, A, A, "", "", B), SAME, id="one sleeps, and catches up", marks=pytest.mark.proof),
        pytest.param(("", A, "", B), SAME, id="both miss a night"),
        pytest.param((A + B, "", A + B, A, B), OWN, id="an account each"),
        pytest.param(("", A, B, "", A + B, A), OWN, id="an account each, with gaps", marks=pytest.mark.proof),
    ],
)
def test_branches_merge_and_read_as_one(
    front: Service, tmp_path: Path, nights: tuple[str, ...], declared: dict[str, str], into: str
) -> None:
    home = tmp_path / "repository"
    home.mkdir()
    one, other = front.accounts
    tests = one.create_key("ci/tests", None)[0].id
    spend(one, tests, 1, days_ago=2)
    for file in sorted({*declared.values()}):
        record(front, home, file)
    shutil.copytree(home, tmp_path / "alone", ignore=shutil.ignore_patterns(".git"))
    at_work = {A: tmp_path / "a", B: tmp_path / "b"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        commit()
        for branch, folder in at_work.items():
            git("worktree", "add", "--quiet", "-b", branch, str(folder))
    for number, jobs in enumerate(nights, start=1):
        spend(one, tests, number)
        spend(one, one.create_key(f"ci/k{number}", None)[0].id, 3)
        spend(other, other.create_key(f"production/k{number}", None)[0].id, 3)
        front.sleep(timedelta(days=1))
        for job in jobs:
            record(front, at_work[job], declared[job])
            git("-C", str(at_work[job]), "add", "--all")
            git("-C", str(at_work[job]), "commit", "--quiet", "--allow-empty", "--message", "night")
    git("-C", str(at_work[into]), "merge", "--quiet", "--no-edit", {A: B, B: A}[into])
    # Somebody who was there every night of both jobs has the same.
    for file in sorted({*declared.values()}):
        record(front, tmp_path / "alone", file)
    if declared is SAME:
        assert told(at_work[into]) == told(tmp_path / "alone")
    for file in sorted({*declared.values()}):
        record(front, at_work[into], file)
    assert files(at_work[into]) == files(tmp_path / "alone")
    assert told(at_work[into]) == told(tmp_path / "alone")


def test_jobs_that_saw_different_things_are_told_and_one_line_is_to_be_left(front: Service, tmp_path: Path) -> None:
    spend(front.state, front.state.create_key("ci/tests", None)[0].id, 5, days_ago=1)
    (tmp_path / "one").mkdir()
    record(front, tmp_path / "one", "one.yaml")
    place = tmp_path / "one" / "usage" / "2026-11.csv"
    union = place.read_text() + place.read_text().splitlines()[-1].replace("core", "web") + "\n"
    place.write_text(union)
    before = files(tmp_path / "one")
    ended = front("record", "--to", "one", "-f", "one.yaml")
    assert (ended.code, ended.out, f"{place.relative_to(tmp_path)}:3: " in ended.err) == (1, "", True)
    assert files(tmp_path / "one") == before
    # Whichever is left, the next run is content, and mends what is wrong.
    place.write_text("\n".join(union.splitlines()[:-1]).replace(",5,", ",6,") + "\n")
    record(front, tmp_path / "one", "one.yaml")
    assert place.read_text() == "\n".join(union.splitlines()[:-1]) + "\n"
