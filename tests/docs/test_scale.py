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

    def find(self, before: str) -> subprocess.CompletedProcess[str]:
        output = self.folder.parent / "output"
        output.write_text("")
        variables = environment(BEFORE=before, GITHUB_OUTPUT=str(output))
        words = ["bash", "-e", "-c", script()]
        return subprocess.run(words, cwd=self.folder, check=False, capture_output=True, text=True, env=variables)

    def names(self, before: str) -> list[str]:
        done = self.find(before)
        assert (done.returncode, done.stderr) == (0, "")
        name, _, value = (self.folder.parent / "output").read_text().partition("=")
        assert name == "names"
        return list(json.loads(value))


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
        (change_the_workflow, ["alpha", "beta"]),
    ],
)
def test_a_change_is_about_the_accounts_whose_files_it_changes(
    repository: Repository, change: Callable[[Repository], None], names: list[str]
) -> None:
    change(repository)
    repository.commit()
    assert repository.names(repository.before) == names


@pytest.mark.parametrize("before", ["", "0" * 40], ids=["at night", "a new branch"])
def test_where_nothing_tells_what_was_before_it_is_about_all(repository: Repository, before: str) -> None:
    assert repository.names(before) == ["alpha", "beta"]


@pytest.mark.parametrize("name", ["Upper.yaml", "a b.yaml", 'x";echo.yaml', "$(id).yaml", "deeper/x.yaml"])
def test_a_name_that_is_no_account_is_refused(repository: Repository, name: str) -> None:
    repository.write(f"accounts/{name}", "1")
    repository.commit()
    done = repository.find(repository.before)
    assert done.returncode == 1
    assert "must be called accounts/NAME.yaml" in done.stdout
    assert (repository.folder.parent / "output").read_text() == ""
