"""Errors say what to do next, and what they say works."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import reconciler
from reconciler.cli.main import COMMANDS, cli
from support.command import Front, call, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGE = Path(reconciler.__file__).parent
ONE = "{a: {credit_limit: 1}}"
PROPOSED = re.compile(r"`reconciler ([^`{]+?)(?: \{[^`]*)?`")


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def proposals(message: str) -> list[str]:
    return PROPOSED.findall(message)


def in_messages() -> list[str]:
    """Give the commands that texts of the program name, as far as they are the same each time."""
    texts = (file.read_text("utf-8") for file in sorted(PACKAGE.rglob("*.py")))
    lines = (line for text in texts for line in text.splitlines() if '"' in line and '"""' not in line)
    return sorted({found for line in lines for found in proposals(line)})


@pytest.mark.parametrize("proposed", in_messages())
def test_a_command_that_a_message_names_can_be_typed(proposed: str) -> None:
    name, *words = proposed.split()
    assert name in COMMANDS
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize(
    "words", [("validate",), ("plan", "--simulator", "sim.db"), ("apply", "--simulator", "sim.db")]
)
def test_without_a_file_the_ways_to_one_are_named(front: Front, words: Sequence[str]) -> None:
    assert front.names() == []
    ended = call(*words)
    assert ended.code == 1
    assert ended.err == (
        "error: there is no file keys.yaml; write one with `reconciler init`, or with `reconciler import` from the keys"
        " of the account, or name another place with -f\n"
    )


@pytest.mark.parametrize("name", ["plan", "apply"])
def test_without_a_provisioning_key_it_says_where_there_is_one_and_what_works_without(front: Front, name: str) -> None:
    front.declare(ONE)
    ended = call(name)
    assert ended.code == 1
    assert "create a provisioning key on the dashboard and export it (export NAGA_PROVISIONING_KEY=…)" in ended.err
    assert ended.err.endswith("or try --simulator sim.db\n")
    assert call("plan", *proposed_flag(ended.err, "--simulator")).code == 0


def proposed_flag(message: str, flag: str) -> list[str]:
    """Give a flag with its value, as a message says it."""
    (found,) = set(re.findall(rf"{flag} \S+", message))
    return shlex.split(found.rstrip(";,."))


def test_a_guardrail_names_the_very_address_that_lifts_it(front: Front) -> None:
    front.declare("{a: {credit_limit: 1}, b: {credit_limit: 1, protected: true}}")
    assert front("apply", "--auto-approve").code == 0
    front.state.update_key(2, credit_limit=Decimal(1))
    Path("before.yaml").write_text(Path("keys.yaml").read_text())
    front.declare(ONE)
    refused = front("apply", "--auto-approve", "--base", "before.yaml")
    assert refused.code == 3
    assert "1 finding of the plan must be resolved first" in refused.err
    flag = proposed_flag(refused.out, "--allow")
    assert flag == ["--allow", "ci/b"]
    assert front("apply", "--auto-approve", "--base", "before.yaml", *flag).code == 0
    assert front.names() == ["ci/a"]


def test_a_stale_plan_names_the_command_that_makes_it_anew(front: Front) -> None:
    front.declare(ONE)
    assert front("plan", "--out", "plan.json").code == 0
    front.state.create_key("ci/a", Decimal(7))
    stale = front("apply", "plan.json", "--auto-approve")
    assert stale.code == 4
    assert proposals(stale.err) == ["plan"]
    assert front("plan", "--out", "plan.json").code == 0
    assert front("apply", "plan.json", "--auto-approve").code == 0


@pytest.mark.parametrize("content", [None, b"{}", b'{"format_version": "0.0"}'])
def test_what_is_no_plan_names_the_command_that_makes_one(front: Front, content: bytes | None) -> None:
    front.declare(ONE)
    if content is not None:
        Path("my.plan").write_bytes(content)
    ended = front("apply", "my.plan", "--auto-approve")
    assert ended.code == 1
    (proposed,) = proposals(ended.err)
    assert proposed == "plan --out my.plan"
    assert front(*proposed.split()).code == 0
    assert front("apply", "my.plan", "--auto-approve").code == 0


def test_a_command_that_may_not_run_names_the_flag_that_allows_it(front: Front) -> None:
    front.write(
        """\
        version: 1
        destinations: {run: {type: exec, command: ["true"]}}
        environments: {ci: {deliver: [{to: run, as: x}], keys: {a: {credit_limit: 1}}}}
        """
    )
    ended = front("apply", "--auto-approve")
    assert ended.code == 1
    assert ended.err.rstrip().endswith("--allow-exec")
    assert front("apply", "--auto-approve", "--allow-exec").code == 0


def test_where_nobody_can_be_asked_the_flag_is_named(front: Front) -> None:
    ended = front.declare(ONE)("apply")
    assert ended.code == 1
    assert "pass --auto-approve to apply without asking" in ended.err
    assert front("apply", "--auto-approve").code == 0


def test_offline_without_a_base_names_one(front: Front) -> None:
    ended = front.declare(ONE)("plan", "--offline")
    assert ended.err == "error: --offline needs --base, which then stands for the account: add --base git:origin/main\n"


def test_a_wrong_flag_names_the_help(front: Front) -> None:
    ended = front.declare(ONE)("plan", "--nowhere")
    assert ended.err.endswith("(reconciler plan --help tells more)\n")
    assert call("plan", "--help").code == 0
