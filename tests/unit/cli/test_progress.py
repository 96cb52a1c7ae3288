from __future__ import annotations

import os
import sys

import pytest

from reconciler.cli.apply import Progress
from reconciler.planning.actions import Create, Delete, DeleteReason, Outcome, Status
from support.builders import declared, live
from support.command import Output

CREATE = Create(declared("ci/tests"))
STRANGER = Delete(None, live(4, "someone's\x1b[2J laptop"), DeleteReason.UNMANAGED, None)


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


def shown(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome, total: int = 2, terminal: bool) -> str:
    stderr = Output(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress(total) as progress:
        for outcome in outcomes:
            progress.report(outcome)
        progress.say("Stopping.")
    assert progress.outcomes == [*outcomes]
    return stderr.getvalue()


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome(CREATE, Status.DONE, key_id=7), "[1/2] create ci/tests done (id 7)"),
        (Outcome(CREATE, Status.FAILED, "the disk is full", 7), "[1/2] create ci/tests failed: the disk is full"),
        (Outcome(CREATE, Status.NOT_ATTEMPTED), "[1/2] create ci/tests not attempted"),
        (Outcome(STRANGER, Status.DONE), "[1/2] delete someone's\\x1b[2J laptop done"),
    ],
)
def test_a_log_gets_a_line_for_each_change(monkeypatch: pytest.MonkeyPatch, outcome: Outcome, line: str) -> None:
    assert shown(monkeypatch, outcome, terminal=False) == f"{line}\nStopping.\n"


def test_a_terminal_gets_a_bar_and_what_is_said_stands_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = shown(monkeypatch, Outcome(CREATE, Status.DONE), Outcome(STRANGER, Status.DONE), terminal=True)
    assert "0/2" in seen
    assert "1/2" in seen
    assert "2/2" in seen
    assert "\nStopping.\n" in seen
    assert "ci/tests" not in seen


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "[1/2] create ci/tests done\n" in shown(monkeypatch, Outcome(CREATE, Status.DONE), terminal=True)


def test_a_runner_that_reads_commands_gets_lines_even_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a bar, `::add-mask::` would not be read as a command."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert shown(monkeypatch, Outcome(CREATE, Status.DONE), terminal=True).startswith("[1/2] ")


def test_no_bar_is_shown_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, total=0, terminal=True) == "Stopping.\n"


def test_a_terminal_that_hangs_up_does_not_stop_an_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    class HungUp(Output):
        def __init__(self) -> None:
            super().__init__(terminal=True)
            self._nowhere = os.open(os.devnull, os.O_WRONLY)

        def write(self, _: str) -> int:
            raise OSError

        def fileno(self) -> int:
            return self._nowhere

    monkeypatch.setattr(sys, "stderr", HungUp())
    with Progress(1) as progress:
        progress.report(Outcome(CREATE, Status.DONE))
        progress.say("Stopping.")
    assert len(progress.outcomes) == 1
    os.close(sys.stderr.fileno())
