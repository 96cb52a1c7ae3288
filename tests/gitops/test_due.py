"""Whether a push has anything to apply, and what was applied before: what the first job of apply.yml finds out."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from reconciler.cli.init import Project, workflow
from support.gh import GitHubProgram
from support.repository import commit, git

BASH: Final = shutil.which("bash") or "bash"


def job(name: str, file: str = "keys.yaml") -> list[dict[str, Any]]:
    """Give the steps of a job of apply.yml that run something."""
    is_folder = file.startswith("keys/")
    variables = {"NAGA_PROVISIONING_KEY": ["ci"]}
    project = Project("keys" if is_folder else file, is_folder, "main", ["ci"], variables, [])
    steps = yaml.safe_load(workflow("apply", project))["jobs"][name]["steps"]
    return [step for step in steps if "run" in step]


class Main:
    """The default branch of a repository, and what its pushes find out."""

    def __init__(self, folder: Path, file: str) -> None:
        self.gh = GitHubProgram(folder / "gh")
        self._file = Path(file)
        self._output = folder / "output"
        (self._look,) = job("due", file)
        self._file.parent.mkdir(exist_ok=True)
        self.first = commit("before there were keys")

    def declare(self, content: str) -> str:
        """Change the declaration; gives the commit."""
        self._file.write_text(content, "utf-8")
        return commit("keys")

    def write(self, file: str = "README.md", content: str = "hello") -> str:
        """Change something else; gives the commit."""
        Path(file).write_text(content, "utf-8")
        return commit("something else")

    def look(self, event: str = "push", before: str = "") -> dict[str, str]:
        """Give the outputs of the step for the newest commit."""
        self._output.write_text("", "utf-8")
        given = {
            "GITHUB_REPOSITORY": "acme/api",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_OUTPUT": str(self._output),
            "GH_TOKEN": "a token",
            **{name: self._look["env"][name] for name in ("WATCHED", "BRANCH")},
            "BEFORE": before,
            "PATH": f"{self.gh.folder}:{os.environ['PATH']}",
        }
        subprocess.run([BASH, "-e", "-c", self._look["run"]], env=given, check=True, capture_output=True)
        return dict(line.split("=", 1) for line in self._output.read_text("utf-8").splitlines())


EACH: Final = pytest.mark.parametrize("main", ["keys.yaml", "keys/a.yaml", "ke [y]*s+.yaml"], indirect=True)


@pytest.fixture
def main(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Main:
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    return Main(tmp_path, getattr(request, "param", "keys.yaml"))


def test_as_long_as_nothing_was_applied_everything_is_due_and_the_push_tells_what_was_before(main: Main) -> None:
    main.declare("1")
    assert main.look(before=main.first) == {"due": "true", "base": main.first}
    assert main.look("workflow_dispatch") == {"due": "true", "base": ""}


@EACH
def test_what_was_applied_is_not_due_again_whatever_else_is_pushed(main: Main) -> None:
    applied = main.declare("1")
    main.gh.over("push", applied)
    before = main.write()
    assert main.look(before=applied) == {"due": "false", "base": applied}
    main.write(content="more")
    assert main.look(before=before) == {"due": "false", "base": applied}


def test_by_hand_everything_is_due_and_what_was_applied_last_is_the_base(main: Main) -> None:
    applied = main.declare("1")
    main.gh.over("push", applied)
    main.write()
    assert main.look("workflow_dispatch") == {"due": "true", "base": applied}


def test_a_change_stays_due_until_a_run_went_well(main: Main) -> None:
    """Overtaken, refused, cancelled or dropped by GitHub: each is no success."""
    applied = main.declare("1")
    main.gh.over("push", applied)
    changed = main.declare("2")
    main.gh.over("push", changed, success=False)
    main.write()
    assert main.look(before=changed) == {"due": "true", "base": applied}
    main.gh.over("workflow_dispatch", main.write(content="more"))
    main.write(content="still more")
    assert main.look()["due"] == "false"


def test_a_change_that_was_taken_back_is_due_because_a_part_of_it_may_have_been_applied(main: Main) -> None:
    main.gh.over("push", main.declare("1"))
    main.declare("2")
    before = main.declare("1")
    assert main.look(before=before)["due"] == "true"


@EACH
def test_what_a_merge_brings_is_due(main: Main) -> None:
    main.gh.over("push", main.declare("1"))
    git("checkout", "--quiet", "-b", "topic")
    main.declare("2")
    git("checkout", "--quiet", "main")
    git("merge", "--quiet", "--no-ff", "--message", "Merge", "topic")
    assert main.look()["due"] == "true"


@pytest.mark.parametrize(("event", "branch"), [("pull_request", "main"), ("push", "topic")])
def test_a_run_that_is_none_of_the_branch_is_not_believed(main: Main, event: str, branch: str) -> None:
    """A fork may call its branch main, and have its pull request run an apply.yml of its own."""
    main.gh.over("push", main.first)
    main.gh.over(event, main.declare("1"), branch=branch)
    assert main.look() == {"due": "true", "base": main.first}


def test_a_commit_that_the_branch_has_lost_is_not_the_base(main: Main) -> None:
    main.gh.over("push", "f" * 40)
    main.declare("1")
    assert main.look(before=main.first) == {"due": "true", "base": main.first}


def test_when_github_cannot_be_asked_the_job_fails(main: Main) -> None:
    (main.gh.folder / "gh").write_text('#!/bin/sh\n[ "${8#event=}" != push ]\n', "utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        main.look()


@EACH
def test_a_file_beside_those_of_a_folder_is_none_of_them(main: Main) -> None:
    applied = main.declare("1")
    main.gh.over("push", applied)
    Path("keys/below").mkdir(parents=True, exist_ok=True)
    for other in ("keys/notes.txt", "keys/below/b.yaml", "keyszyaml"):
        main.write(other)
    assert main.look()["due"] == "false"


# --- what is made of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, []),
        ({"BASE": "a1"}, ["--base", "git:a1"]),
        ({"REVIEWED": "--reviewed"}, ["--reviewed"]),
        ({"ALLOW": " ci/a  ci/*\n--lost"}, ["--allow=ci/a", "--allow=ci/*"]),
        (
            {"ALLOW": "$(touch stolen);--simulator=x `id`"},
            ["--allow=$(touch", "--allow=stolen);--simulator=x", "--allow=`id`"],
        ),
    ],
)
def test_apply_is_told_the_base_whether_to_look_for_a_review_and_what_is_lifted(
    given: dict[str, str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "reconciler/bin/reconciler"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n", "utf-8")
    program.chmod(0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    environment = {
        "RUNNER_TEMP": str(tmp_path),
        "FILE": "my keys.yaml",
        "ENVIRONMENT": "ci",
        "PATH": os.environ["PATH"],
    }
    script = job("apply")[-1]["run"]
    shell = [BASH, "-e", "-c", script]
    done = subprocess.run(shell, env={**environment, **given}, check=True, capture_output=True, text=True)
    head = ["apply", "--file", "my keys.yaml", "--environment", "ci"]
    assert done.stdout.split("\0")[:-1] == [*head, *words, "--only-tip", "--auto-approve"]
    assert list(Path().iterdir()) == []
