"""`reconciler apply` on a terminal of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.command import Front, Terminal, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLY = ("apply", "--simulator", "sim.db")
QUESTION = "Make these 2 changes? [y/N] "
GREEN = "\x1b[32m"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front.declare("{a: {credit_limit: 1}, b: {credit_limit: 2}}")


def test_a_person_sees_the_plan_the_question_a_bar_and_the_sum(front: Front) -> None:
    with Terminal(*APPLY) as terminal:
        terminal.wait_for(QUESTION)
        assert front.names() == []
        assert GREEN in terminal.seen
        terminal.type("y\n")
        assert terminal.end() == 0
    before, _, after = terminal.seen.partition(QUESTION)
    assert "Plan: 2 to create." in re.sub(r"\x1b\[[\d;]*m", "", before)
    assert re.search(r"Applying +\[#+\] +2/2", after)
    assert "Applied 2 changes." in after
    # Neither a line for each change nor a list of them: the plan has just named them all.
    assert "ci/a" not in after
    assert "Done" not in after
    assert front.names() == ["ci/a", "ci/b"]


def test_a_person_who_says_no_is_left_in_peace(front: Front) -> None:
    with Terminal(*APPLY, NO_COLOR="1") as terminal:
        terminal.wait_for(QUESTION)
        terminal.type("n\n")
        assert terminal.end() == 1
    assert terminal.seen.replace("\r", "").splitlines()[-1].startswith("error: ")
    assert "\x1b" not in terminal.seen
    assert front.names() == []


def test_the_end_of_input_is_no_yes(front: Front) -> None:
    with Terminal(*APPLY) as terminal:
        terminal.wait_for(QUESTION)
        terminal.type("\x04")
        assert terminal.end() == 1
    assert front.names() == []


def test_ctrl_c_at_the_question_changes_nothing(front: Front) -> None:
    with Terminal(*APPLY) as terminal:
        terminal.wait_for(QUESTION)
        terminal.type("\x03")
        assert terminal.end() == 130
    assert terminal.seen.replace("\r", "").endswith("^C\nInterrupted.\n")
    assert "Traceback" not in terminal.seen
    assert front.names() == []
