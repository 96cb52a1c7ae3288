"""The Tab key in bash, zsh and fish, with the scripts where `reconciler completion --help` puts them.

Not part of `make test`, which asks for none of these shells: `make shells` runs it, and so does CI.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.cli.completion import SHELLS
from support.command import call
from support.repository import GIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Answers the scripts; called by a person, as after Enter, it tells with which words.
PROGRAM: Final = f"""\
#!/bin/sh
[ -n "$_RECONCILER_COMPLETE" ] && exec {shlex.quote(sys.executable)} -c "from reconciler.cli.main import main; main()"
printf '%s\\n' "$@" > ~/words.part && mv ~/words.part ~/words
"""
# A shell needs the terminal as its own, for Ctrl-C and for its jobs; fish ends without.
ON_A_TERMINAL: Final = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
STARTED: Final = {
    "bash": (["bash", "--rcfile", ".bashrc", "-i"], ".local/share/bash-completion/completions/reconciler"),
    "zsh": (["zsh", "-i"], ".zfunc/_reconciler"),
    "fish": (["fish", "-i"], ".config/fish/completions/reconciler.fish"),
}
# Each prompt has a number, so that none is taken for the next one.
SETTINGS: Final = {
    ".bashrc": """\
. /usr/share/bash-completion/bash_completion
PROMPT_COMMAND='PS1="ready $((++line))> "'
""",
    ".zshrc": """\
fpath=(~/.zfunc $fpath)
autoload -U compinit && compinit -u
precmd() { PROMPT="ready $((++line))> " }
""",
    ".config/fish/config.fish": """\
set -g fish_greeting
set -g line 0
function count_lines --on-event fish_prompt; set -g line (math $line + 1); end
function fish_prompt; echo -n "ready $line> "; end
""",
}
KEYS: Final = """\
version: 1
environments:
  ci: {keys: {tests: {credit_limit: 1, team: R&D (EU)}, lint: {credit_limit: 1, team: $(touch broken-out)}}}
  %s: {keys: {api: {credit_limit: 1, team: "`touch broken-out`"}}}
"""
FILES: Final = {
    "keys.yaml": KEYS % "production",
    "my keys/sp ace.yaml": KEYS % "staging",
    "broken.yaml": "version: [",
    "plan.json": "{}",
}
AUTHOR: Final = ("-c", "user.name=a", "-c", "user.email=a@example.com")


class Shell:
    """An interactive shell on a terminal of its own; `seen` is all that it has shown."""

    def __init__(self, command: list[str], home: Path) -> None:
        self.home = home
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, 120))
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=home,
            env={"HOME": str(home), "PATH": f"{home}/bin{os.pathsep}{os.environ['PATH']}", "TERM": "xterm"}
            | {"LC_ALL": "C.UTF-8", "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.seen = ""
        self._line = 0

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        """Press keys, once the shell is ready for them."""
        self._line += 1
        self.until(lambda: f"ready {self._line}> " in self.seen)
        os.write(self._master, text.encode())

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not happened():
            assert time.monotonic() < deadline, self.seen
            with contextlib.suppress(BlockingIOError):
                self.seen += os.read(self._master, 65536).decode(errors="replace")
                continue
            time.sleep(0.01)

    def called_with(self, typed: str) -> list[str]:
        """Type a line and Enter; gives the words that the program is called with."""
        words = self.home / "words"
        self.type(f"reconciler {typed}\r")
        self.until(words.exists)
        called = words.read_text().splitlines()
        words.unlink()
        return called

    def shows(self, typed: str, *texts: str) -> None:
        """Type, and wait until all this is shown."""
        self.type(f"reconciler {typed}")
        self.until(lambda: all(text in self.seen for text in texts))


@contextmanager
def started(shell: str, home: Path) -> Iterator[Shell]:
    command, script = STARTED[shell]
    for name, content in {
        **SETTINGS,
        **FILES,
        script: call("completion", shell).out,
        "bin/reconciler": PROGRAM,
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    (home / "bin/reconciler").chmod(0o755)
    for words in (
        ["init", "--quiet"],
        [*AUTHOR, "commit", "--quiet", "--allow-empty", "-m", "a"],
        ["tag", "feature/x"],
    ):
        subprocess.run([GIT, *words], cwd=home, check=True)
    running = Shell(command, home)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with started(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("ba\t", ["balance"]),
        ("plan --detailed\t", ["plan", "--detailed-exitcode"]),
        ("plan --format m\t", ["plan", "--format", "markdown"]),
        ("plan --format=m\t", ["plan", "--format=markdown"]),
        ("plan -e pr\t", ["plan", "-e", "production"]),
        ("plan --environment=pr\t", ["plan", "--environment=production"]),
        ("plan -e ci -e \t", ["plan", "-e", "ci", "-e", "production"]),
        ("plan --rotate ci/t\t", ["plan", "--rotate", "ci/tests"]),
        ("show pr\t", ["show", "production/api"]),
        ("apply pl\t", ["apply", "plan.json"]),
        ("plan --simulator=pl\t", ["plan", "--simulator=plan.json"]),
        ("plan -f my\tsp\t", ["plan", "-f", "my keys/sp ace.yaml"]),
        ("plan -f my\\ keys -e st\t", ["plan", "-f", "my keys", "-e", "staging"]),
        ("plan --file='my keys/sp ace.yaml' -e st\t", ["plan", "--file=my keys/sp ace.yaml", "-e", "staging"]),
        ("init my\t", ["init", "my keys"]),
        ("plan --base pl\t", ["plan", "--base", "plan.json"]),
        ("plan --base git:fe\t", ["plan", "--base", "git:feature/x"]),
        ("plan --base=git:fe\t", ["plan", "--base=git:feature/x"]),
        ("list --team R\t", ["list", "--team", "R&D (EU)"]),
        ('list --team "R\t', ["list", "--team", "R&D (EU)"]),
        ("list --team=R\t", ["list", "--team=R&D (EU)"]),
    ],
)
def test_tab_completes_the_word(shell: Shell, typed: str, words: list[str]) -> None:
    called = shell.called_with(typed)
    assert [word.removesuffix("/") for word in called] == words  # zsh drops the slash that it has added, at Enter


def test_what_lies_below_the_home_folder_is_found(shell: Shell) -> None:
    assert shell.called_with("plan -f ~/keys.yaml -e pr\t")[-1] == "production"


@pytest.mark.parametrize(("typed", "team"), [("\\$\t", "$(touch broken-out)"), ("\\`\t", "`touch broken-out`")])
def test_a_name_is_a_name_and_no_command(shell: Shell, typed: str, team: str) -> None:
    assert shell.called_with(f"list --team {typed}") == ["list", "--team", team]
    assert not (shell.home / "broken-out").exists()


@pytest.mark.parametrize("file", ["broken.yaml", "nowhere.yaml"])
def test_without_a_sound_declaration_nothing_is_proposed_and_nothing_said(shell: Shell, file: str) -> None:
    assert shell.called_with(f"plan -f {file} -e \tx") == ["plan", "-f", file, "-e", "x"]
    assert "rror" not in shell.seen


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    ("typed", "listed"),
    [
        ("\t\t", ["init", "plan", "balance", "demo"]),
        ("plan --format \t\t", ["text", "json", "markdown", "github"]),
        ("plan -e \t\t", ["ci", "production"]),
    ],
)
def test_what_can_follow_is_listed(name: str, typed: str, listed: list[str], tmp_path: Path) -> None:
    with started(name, tmp_path) as running:
        running.shows(typed, *listed)


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_a_shell_that_can_says_what_a_command_does(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path) as running:
        running.shows("\t\t", "Show what is left on the account, how long")
