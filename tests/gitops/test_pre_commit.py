"""The hooks for pre-commit, used by the real program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Final

import pytest

from support.command import call
from support.offline import copy_of_the_project, without_index
from support.packages import ROOT
from support.repository import commit, git

pytestmark = pytest.mark.proof

PROGRAM: Final = Path(sys.executable).with_name("pre-commit")
VALID: Final = (ROOT / "keys.yaml.example").read_text("utf-8")


class Hooks:
    """A repository whose commits are checked."""

    def __init__(self, project: Path, revision: str, environment: dict[str, str]) -> None:
        self._project = project
        self._revision = revision
        self._environment = environment

    def use(self, *hooks: dict[str, object]) -> None:
        config = {"repos": [{"repo": str(self._project), "rev": self._revision, "hooks": hooks}]}
        Path(".pre-commit-config.yaml").write_text(json.dumps(config), "utf-8")

    def run(self) -> tuple[int, str]:
        git("add", "--all")
        words = [str(PROGRAM), "run", "--color", "never", "--verbose"]
        done = subprocess.run(words, check=False, stdout=-1, stderr=subprocess.STDOUT, text=True, env=self._environment)
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Hooks:
    """The hooks of this project as it is at the moment, installed where pre-commit keeps them."""
    folder = tmp_path_factory.mktemp("hooks")
    copy_of_the_project(folder / "project")
    with chdir(folder / "project"):
        revision = commit("The project")
    left = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "GIT_", "COV"))}
    # pip turns it around: 0 is what --no-build-isolation does. Without a network, hatchling is the one installed here.
    own = {
        "PRE_COMMIT_HOME": str(folder / "home"),
        "HOME": str(folder),
        "PIP_NO_BUILD_ISOLATION": "0",
        "VIRTUALENV_NO_PERIODIC_UPDATE": "1",
    }
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return Hooks(folder / "project", revision, {**left, **without_index(folder), **own, **quiet})


@pytest.fixture
def hooks(installed: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch=main")
    return installed


def test_a_valid_file_is_committed_and_an_invalid_one_is_shown_with_its_place(hooks: Hooks) -> None:
    hooks.use({"id": "reconciler-validate"})
    Path("keys.yaml").write_text(VALID, "utf-8")
    code, said = hooks.run()
    assert (code, "keys.yaml is valid" in said) == (0, True), said
    Path("keys.yaml").write_text(VALID.replace("credit_limit: 500 ", "credit_limit: much "), "utf-8")
    code, said = hooks.run()
    assert code == 1
    assert re.search(r"^keys\.yaml:\d+:\d+: error: credit_limit must be a number", said, re.MULTILINE), said


def test_other_files_are_nobodys_business(hooks: Hooks) -> None:
    hooks.use({"id": "reconciler-validate"}, {"id": "reconciler-fmt"})
    Path("compose.yaml").write_text("services: {}\n", "utf-8")
    code, said = hooks.run()
    assert code == 0, said
    assert said.count("(no files to check)Skipped") == 2, said


def test_a_folder_is_checked_as_one(hooks: Hooks) -> None:
    hooks.use({"id": "reconciler-validate", "args": ["--file", "keys"]})
    Path("keys").mkdir()
    Path("keys/a.yaml").write_text("version: 1\nenvironments: {ci: {keys: {a: {credit_limit: 1}}}}\n", "utf-8")
    Path("keys/b.yaml").write_text("version: 1\nenvironments: {ci: {keys: {a: {credit_limit: 2}}}}\n", "utf-8")
    code, said = hooks.run()
    assert (code, "keys/b.yaml:1" in said or "keys/b.yaml:2" in said) == (1, True), said


def test_a_file_that_is_not_in_its_form_is_not_committed(hooks: Hooks) -> None:
    hooks.use({"id": "reconciler-fmt"})
    Path("keys.yaml").write_text('environments:   {ci: {keys: {"a": {credit_limit:   1}}}}\nversion: 1\n', "utf-8")
    code, said = hooks.run()
    assert (code, "reconciler fmt writes it so" in said) == (1, True), said
    assert call("fmt").code == 0
    code, said = hooks.run()
    assert code == 0, said
