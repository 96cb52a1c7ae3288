"""Names of the declaration, for a shell to propose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete

from reconciler.cli.main import COMPLETION, NAME, cli

if TYPE_CHECKING:
    from collections.abc import Sequence

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
