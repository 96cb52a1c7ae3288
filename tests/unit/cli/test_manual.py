"""Every `--help` is complete enough to be a page of a manual."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from reconciler.cli import help as help_pages
from reconciler.cli.main import COMMANDS, cli
from reconciler.errors import ReconcilerError
from support.command import call

DOCS = Path(__file__).parents[3] / "docs" / "commands.md"


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def helped(*words: str) -> str:
    ended = call(*words, "--help")
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def sections(text: str) -> dict[str, list[str]]:
    """Give the lines of each block that has a title, by it."""
    found: dict[str, list[str]] = {}
    for block in text.split("\n\n"):
        title, *lines = block.splitlines()
        if title.startswith("  ") and title.endswith(":") and lines:
            found[title.strip(" :")] = [line.strip() for line in lines]
    return found


def examples(name: str) -> list[str]:
    found = sections(helped(name))
    return found.get("Examples", []) + found.get("Example", [])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_can_be_typed(name: str) -> None:
    assert examples(name)
    for line in examples(name):
        typed = re.split(r" (?:>|\||&&|#) ", line)[0]
        program, used, *words = shlex.split(typed)
        assert (program, used) == ("reconciler", name)
        command(name).make_context(name, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_how_it_ends_and_what_it_reads(name: str) -> None:
    found = sections(helped(name))
    assert {"Exit codes", "Environment"} <= found.keys()
    options = {parameter.name for parameter in command(name).params}
    assert ("NAGA_PROVISIONING_KEY" in str(found["Environment"])) == ("simulator" in options)
    if "file" in options:
        assert found["Files"][0].startswith("keys.yaml ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_variable_that_a_help_tells_of_in_words_is_listed(name: str) -> None:
    words = (command(name).help or "").partition("Examples:")[0]  # in those, variables are given their values
    told = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", words))
    assert told <= set(re.findall(r"[A-Z_]+", str(sections(helped(name))["Environment"])))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_exit_code_that_a_help_tells_of_in_words_is_listed(name: str) -> None:
    told = {int(code) for code in re.findall(r"(?:[Ee]xits with|, |or|Exit with) (\d+)\b", command(name).help or "")}
    listed = {int(line.split()[0]) for line in sections(helped(name))["Exit codes"]}
    assert told <= listed
    assert {0, 1, 130} <= listed


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_a_help_fits_eighty_columns(words: tuple[str, ...]) -> None:
    text = helped(*words)
    for title in ("Exit codes", "Environment", "Files"):
        assert [line for line in sections(text).get(title, []) if len(line) > 76] == []


def test_the_help_of_the_program_lists_every_exit_code_and_every_variable() -> None:
    def codes(kind: type[ReconcilerError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(each) for each in kind.__subclasses__()))

    found = sections(helped())
    assert {int(line.split()[0]) for line in found["Exit codes"]} == codes(ReconcilerError) | {0, 2}
    assert [line.split("  ")[0] for line in found["Environment"]] == list(help_pages.VARIABLES)
    assert [line.split("  ")[0] for line in found["Files"]] == list(help_pages.FILES)


def test_the_variables_of_the_help_are_those_that_the_reference_explains() -> None:
    page = DOCS.read_text("utf-8")
    for names in help_pages.VARIABLES:
        for name in names.split(", "):
            assert f"`{name}`" in page


def test_showing_a_help_twice_shows_it_once() -> None:
    assert helped("simulate") == helped("simulate")
    assert helped("simulate").count("Exit codes:") == 1
