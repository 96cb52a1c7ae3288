"""What a shell proposes while a command is typed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.completion import SHELLS
from support.command import call, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS = """\
version: 1
environments:
  ci:
    keys: {tests: {credit_limit: 1}, lint: {credit_limit: 1}}
    leases: {agent: {credit_limit: 1, ttl: 1h, max_open: 2}}
  production: {keys: {api: {credit_limit: 1}}}
"""
PROGRAM = f"""\
#!/bin/sh
exec "{sys.executable}" -c "from reconciler.cli.main import main; main()" "$@"
"""
# Sets the line and where in it the cursor is as bash does, and shows what it would propose.
BASH = """\
source <(reconciler completion bash) || exit 1
COMP_LINE="reconciler $*"; COMP_POINT=${#COMP_LINE}
complete -p reconciler > /dev/null || exit 1
_reconciler_completion reconciler
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with the program on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "reconciler"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


WORDS_ONLY = """\
source <(reconciler completion bash) || exit 1
unset COMP_LINE COMP_POINT
COMP_WORDS=(reconciler "$@"); COMP_CWORD=$#
_reconciler_completion
printf '%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(*typed: str) -> list[str]:
    return _lines("bash", "-c", BASH, "bash", *typed)


def asked(shell: str, *typed: str) -> list[str]:
    """Ask as the script of a shell does."""
    line = " ".join(["reconciler", *typed])
    variables = {"_RECONCILER_COMPLETE": f"{shell}_complete", "COMP_LINE": line, "COMP_WORDBREAKS": "=:"}
    return _lines("reconciler", **variables)


def _lines(*words: str, **variables: str) -> list[str]:
    ended = subprocess.run(words, env=environment(**variables), capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("pl",), ["plan"]),
        (("completion", ""), list(SHELLS)),
        (("plan", "--detailed"), ["--detailed-exitcode"]),
        (("plan", "-e", ""), ["ci", "production"]),
        (("plan", "-e", "p"), ["production"]),
        (("apply", "--rotate", ""), ["ci/lint", "ci/tests", "production/api"]),
        (("apply", "--rotate", "ci/"), ["ci/lint", "ci/tests"]),
        (("plan", "--only", "pro"), ["production/api"]),
        (("plan", "--allow", "ci/t"), ["ci/tests"]),
        (("plan", "--format", "m"), ["markdown"]),
        (("run", ""), ["ci/agent"]),
        (("-v", "apply", "--auto-approve", "--rotate", "production/api", "--rotate", "ci/t"), ["ci/tests"]),
        (("plan", "-e", "nothing"), []),
    ],
)
def test_bash_proposes_what_can_follow(typed: Sequence[str], expected: list[str]) -> None:
    Path("keys.yaml").write_text(KEYS)
    assert in_bash(*typed) == expected


def test_the_file_that_is_named_is_the_one_that_is_looked_into() -> None:
    Path("others").mkdir()
    Path("others/one.yaml").write_text(KEYS)
    assert in_bash("plan", "-e", "") == []
    assert in_bash("plan", "-f", "others/one.yaml", "-e", "") == ["ci", "production"]
    assert in_bash("plan", "--file", "others", "--rotate", "pro") == ["production/api"]


@pytest.mark.parametrize(
    "content", [None, "", "version: [", "version: 1\nenvironments: {ci: {keys: {A B: {credit_limit: x}}}}", "\x00"]
)
def test_without_a_sound_declaration_nothing_is_proposed_and_nothing_said(content: str | None) -> None:
    if content is not None:
        Path("keys.yaml").write_text(content)
    assert in_bash("plan", "-e", "") == []
    assert in_bash("plan", "--rotate", "") == []
    assert in_bash("run", "") == []


@pytest.mark.parametrize("file", ["-", "pipe"])
def test_what_would_have_to_be_waited_for_is_not_read(file: str) -> None:
    os.mkfifo("pipe")
    assert asked("bash", "plan", "-f", file, "-e", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_the_names(shell: str) -> None:
    Path("keys.yaml").write_text(KEYS)
    assert asked(shell, "plan", "-e", "") == ["plain", "ci", "plain", "production"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_every_shell_is_printed_and_asks_this_program(shell: str) -> None:
    ended = call("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_RECONCILER_COMPLETE={shell}_complete" in ended.out
    assert ended.out.endswith("\n")


@pytest.mark.parametrize("words", [("completion",), ("completion", "tcsh")])
def test_another_shell_is_refused_and_the_known_ones_are_named(words: Sequence[str]) -> None:
    ended = call(*words)
    assert ended.code == 1
    assert "bash" in ended.err
    assert "zsh" in ended.err
    assert "fish" in ended.err


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_the_shells_of_this_machine_take_their_scripts(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(call("completion", shell).out)
    assert _lines(shell, "-n", str(script)) == []


def test_who_calls_the_function_in_the_place_of_bash_may_set_the_words_only() -> None:
    assert _lines("bash", "-c", WORDS_ONLY, "bash", "plan", "--format", "m") == ["markdown"]
