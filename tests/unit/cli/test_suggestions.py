"""Names of the declaration, for a shell to propose."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete

from reconciler.cli.main import COMPLETION, NAME, cli

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.com")
KEYS = """\
version: 1
environments:
  ci: {keys: {tests: {credit_limit: 1}, lint: {credit_limit: 1}}}
  production: {keys: {api: {credit_limit: 1}}}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def proposed(*typed: str) -> list[str]:
    """Give what is proposed for the last word, as a shell would ask for it."""
    *words, begun = typed
    return [each.value for each in BashComplete(cli, {}, NAME, COMPLETION).get_completions(words, begun)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["plan", "-e", ""], ["ci", "production"]),
        (["plan", "--environment", "p"], ["production"]),
        (["apply", "--rotate", ""], ["ci/lint", "ci/tests", "production/api"]),
        (["apply", "--allow", "ci/"], ["ci/lint", "ci/tests"]),
        (["plan", "--only", "production/a"], ["production/api"]),
        (["plan", "--only", "x"], []),
    ],
)
def test_names_that_begin_like_what_is_typed_are_proposed(typed: Sequence[str], expected: list[str]) -> None:
    Path("keys.yaml").write_text(KEYS)
    assert proposed(*typed) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["plan", "-e", "ci", "-e", ""], ["production"]),
        (["apply", "--rotate", "ci/lint", "--rotate", "ci/"], ["ci/tests"]),
        (["apply", "-e", "production", "--allow", ""], ["production/api"]),
        (["list", "-e", "production", "--only", ""], ["production/api"]),
        (["list", "--team", ""], ["core", "web"]),
        (["list", "--team", "web", "--team", ""], ["core"]),
        (["import", "--into", "p"], ["production"]),
        (["show", "pro"], ["production/api"]),
    ],
)
def test_only_what_would_mean_something_is_proposed(typed: Sequence[str], expected: list[str]) -> None:
    teams = KEYS.replace("tests: {", "tests: {team: web, ").replace("api: {", "api: {team: core, ")
    Path("keys.yaml").write_text(teams)
    assert proposed(*typed) == expected


def test_a_base_is_a_path_or_a_revision_that_has_a_name() -> None:
    run = partial(subprocess.run, check=True, capture_output=True)
    assert proposed("plan", "--base", "git:") == []
    run(["git", "init", "--quiet", "--initial-branch", "main"])
    run(["git", *AUTHOR, "commit", "--quiet", "--allow-empty", "--message", "one"])
    run(["git", "tag", "v1"])
    assert proposed("plan", "--base", "git:") == ["git:HEAD", "git:main", "git:v1"]
    Path("folder").mkdir()
    assert proposed("plan", "-f", "folder", "--base", "git:m") == ["git:main"]
    assert proposed("plan", "--base", "old") == ["old"]


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        (["plan", "--base", "x"], "file"),
        (["plan", "-f", "x"], "file"),
        (["plan", "--simulator", "x"], "file"),
        (["plan", "--out", "x"], "file"),
        (["apply", "x"], "file"),
        (["fmt", "a.yaml", "x"], "file"),
        (["simulate", "--state", "x"], "file"),
        (["init", "--package", "x"], "file"),
        (["init", "x"], "dir"),
    ],
)
def test_paths_are_left_to_the_shell(typed: Sequence[str], kind: str) -> None:
    *words, begun = typed
    (item,) = BashComplete(cli, {}, NAME, COMPLETION).get_completions(words, begun)
    assert (item.value, item.type) == ("x", kind)


def test_a_file_below_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("mine.yaml").write_text(KEYS)
    assert proposed("plan", "-f", "~/mine.yaml", "-e", "") == ["ci", "production"]


def test_the_file_or_folder_that_is_named_is_looked_into() -> None:
    Path("others").mkdir()
    Path("others/one.yaml").write_text(KEYS)
    assert proposed("plan", "-f", "others", "-e", "") == ["ci", "production"]
    assert proposed("plan", "-f", "others/one.yaml", "--rotate", "pro") == ["production/api"]


@pytest.mark.parametrize("content", [None, b"", b"version: [", b"version: 1\nenvironments: {ci: {keys: 7}}", b"\xff"])
def test_a_declaration_that_is_missing_or_broken_is_silence(
    content: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("keys.yaml").write_bytes(content)
    assert proposed("plan", "-e", "") == []
    assert proposed("plan", "--rotate", "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["-", "pipe", "nowhere.yaml"])
def test_what_would_have_to_be_waited_for_is_not_read(file: str) -> None:
    os.mkfifo("pipe")
    Path("-").write_text(KEYS)
    assert proposed("plan", "-f", file, "-e", "") == []
