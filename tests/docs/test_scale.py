"""The workflow that spreads accounts over CI jobs: which accounts a change is about."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from support.command import environment

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "docs/examples/scale/matrix.yml"


def script() -> str:
    """Take the step that finds the accounts out of the workflow."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["accounts"]["steps"]
    return str(next(step["run"] for step in steps if step.get("id") == "find"))


class Repository:
    """A repository with two accounts, both committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        self.write("accounts/alpha.yaml", "1")
        self.write("accounts/beta.yaml", "1")
        self.before = self.commit()

    def git(self, *words: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *words], cwd=self.folder, check=True, capture_output=True, text=True)  # noqa: S607
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def find(
        self, before: str, event: str = "push", account: str = "", secrets: str = "true"
    ) -> subprocess.CompletedProcess[str]:
        output = self.folder.parent / "output"
        output.write_text("")
        given = {"BEFORE": before, "GITHUB_EVENT_NAME": event, "ACCOUNT": account, "SECRETS": secrets}
        variables = environment(GITHUB_OUTPUT=str(output), RUNNER_TEMP=str(output.parent), **given)
        words = ["bash", "-e", "-c", script()]
        return subprocess.run(words, cwd=self.folder, check=False, capture_output=True, text=True, env=variables)

    def found(self, before: str, **more: str) -> dict[str, str]:
        done = self.find(before, **more)
        assert (done.returncode, done.stderr) == (0, "")
        lines = (self.folder.parent / "output").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def names(self, before: str, **more: str) -> list[str]:
        return list(json.loads(self.found(before, **more)["names"]))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder)


def change_one(repository: Repository) -> None:
    repository.write("accounts/beta.yaml", "2")


def add_one(repository: Repository) -> None:
    repository.write("accounts/gamma-2.yaml", "1")


def remove_one(repository: Repository) -> None:
    (repository.folder / "accounts/alpha.yaml").unlink()


def change_the_workflow(repository: Repository) -> None:
    repository.write(".github/workflows/keys.yml", "2")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (change_one, ["beta"]),
        (add_one, ["gamma-2"]),
        (remove_one, []),
        (change_the_workflow, []),
    ],
)
def test_a_change_is_about_the_accounts_whose_files_it_changes(
    repository: Repository, change: Callable[[Repository], None], names: list[str]
) -> None:
    change(repository)
    repository.commit()
    assert repository.names(repository.before) == names


@pytest.mark.parametrize(("secrets", "names"), [("true", ["alpha", "beta"]), ("false", [])])
def test_a_pull_request_that_changes_the_workflow_is_about_all_where_they_can_be_planned(
    repository: Repository, secrets: str, names: list[str]
) -> None:
    change_the_workflow(repository)
    repository.commit()
    assert repository.names("HEAD^1", event="pull_request", secrets=secrets) == names


def test_what_the_branch_has_lost_is_a_change_too(repository: Repository) -> None:
    change_one(repository)
    lost = repository.commit()
    repository.git("reset", "--quiet", "--hard", repository.before)
    assert repository.names(lost) == ["beta"]


def test_by_hand_it_is_about_all_or_the_one_that_is_named(repository: Repository) -> None:
    assert repository.names("", event="workflow_dispatch") == ["alpha", "beta"]
    assert repository.names("", event="workflow_dispatch", account="beta") == ["beta"]
    assert repository.find("", event="workflow_dispatch", account="nobody").returncode != 0


@pytest.mark.parametrize("before", ["", "0" * 40], ids=["at night", "a new branch"])
def test_where_nothing_tells_what_was_before_it_is_about_all(repository: Repository, before: str) -> None:
    assert repository.found(before) == {"names": '["alpha","beta"]', "base": "", "secrets": "true"}


def test_the_base_is_the_commit_before_the_change(repository: Repository) -> None:
    change_one(repository)
    repository.commit()
    assert repository.found("HEAD^1", event="pull_request")["base"] == repository.before


@pytest.mark.parametrize("link", [False, True], ids=["a folder", "a link to nothing"])
def test_what_else_the_repository_holds_hides_no_account(repository: Repository, *, link: bool) -> None:
    if link:
        (repository.folder / "files").symlink_to("/dev/null")
    else:
        repository.write("files/list", "of something else")
    change_one(repository)
    repository.commit()
    assert repository.names(repository.before) == ["beta"]


@pytest.mark.parametrize(
    "name", ["Upper.yaml", "a b.yaml", 'x";echo.yaml', "$(id).yaml", "deeper/x.yaml", "x.yml", "alpha-plan.yaml"]
)
def test_a_name_that_is_no_account_is_refused(repository: Repository, name: str) -> None:
    repository.write(f"accounts/{name}", "1")
    repository.commit()
    done = repository.find(repository.before)
    assert done.returncode == 1
    assert "must be called accounts/NAME.yaml" in done.stdout
    assert (repository.folder.parent / "output").read_text() == ""
