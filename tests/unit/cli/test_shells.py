"""What the scripts of the shells get for the line that is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import completion
from reconciler.cli.completion import SHELLS
from reconciler.cli.main import COMMANDS, cli

KEYS = """\
version: 1
environments:
  ci: {keys: {tests: {credit_limit: 1, team: R&D (EU)}, lint: {credit_limit: 1, team: $(touch x)}}}
  production: {keys: {api: {credit_limit: 1, team: "two\\nlines"}, job: {credit_limit: 1, team: a@b.c}}}
"""
BREAKS = " \t\n\"'@><=;|&(:"
"""Where bash ends a word, unless told otherwise."""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys.yaml").write_text(KEYS)
    monkeypatch.setenv("COMP_WORDBREAKS", BREAKS)


class Asking:
    """Ask as a script does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, shell: str, typed: str) -> list[list[str]]:
        self._monkeypatch.setenv("COMP_LINE", f"reconciler {typed}")
        assert completion.answer(f"{shell}_complete", cli) == 0
        out, err = self._capsys.readouterr()
        assert err == ""
        return [line.split("\x1f") for line in out.splitlines() if line]

    def values(self, shell: str, typed: str) -> list[str]:
        return [value for _, value, _ in self(shell, typed)]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asking:
    return Asking(monkeypatch, capsys)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options_come_with_what_they_mean(ask: Asking, shell: str) -> None:
    assert ask(shell, "") == [["plain", name, text] for name, text in COMMANDS.items()]
    assert ask(shell, "pl") == [["plain", "plan", COMMANDS["plan"]]]
    assert ask(shell, "--vers") == [["plain", "--version", "Show the version and exit."]]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("plan --format=m", "markdown"),
        ("plan -e ci --format ma", "markdown"),
        ("plan --file=keys.yaml -e pr", "production"),
        ("plan \\\n -e pr", "production"),
        ("plan -f './keys.yaml' -e pr", "production"),
        ("plan -e ci -e ", "production"),
        ("plan -e production --rotate production/a", "production/api"),
    ],
)
def test_the_value_of_an_option_is_proposed_however_it_is_typed(
    ask: Asking, shell: str, typed: str, expected: str
) -> None:
    assert ask.values(shell, typed) == [expected]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_finds_by_itself_is_left_to_it(ask: Asking, shell: str) -> None:
    assert ask(shell, "plan -f ke") == [["file", "ke", ""]]
    assert ask(shell, "init ") == [["dir", "", ""]]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("R", [r"R\&D\ \(EU\)"]),
        (r"R\&", [r"R\&D\ \(EU\)"]),
        ('"R', ["R&D (EU)"]),
        ("$", [r"\$\(touch\ x\)"]),
        ('"$', []),
        ("'$", []),
        ("a@", ["b.c"]),
        ('"a@', ["a@b.c"]),
        ("two", []),
    ],
)
def test_bash_gets_what_it_takes_for_the_name_and_for_nothing_more(
    ask: Asking, typed: str, expected: list[str]
) -> None:
    assert ask.values("bash", f"list --team {typed}") == expected
    assert ask.values("bash", f"list --team={typed}") == expected


def test_bash_gets_the_whole_word_where_it_ends_none_in_its_middle(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDBREAKS", " \t\n\"'")
    assert ask.values("bash", "plan --format=m") == ["--format=markdown"]
    assert ask.values("bash", "list --team a@") == ["a@b.c"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_that_quotes_by_itself_gets_the_name(ask: Asking, shell: str) -> None:
    assert ask.values(shell, "list --team ") == ["$(touch x)", "R&D (EU)", "a@b.c"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_given_its_script(shell: str) -> None:
    script = completion.script(shell, cli)
    assert f"_RECONCILER_COMPLETE={shell}_complete" in script
    assert script.startswith({"bash": "_reconciler", "zsh": "#compdef reconciler\n", "fish": "function"}[shell])


def test_a_question_of_no_shell_is_none() -> None:
    assert completion.answer("tcsh_complete", cli) == 1
