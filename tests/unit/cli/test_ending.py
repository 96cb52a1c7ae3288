from __future__ import annotations

import errno
import os
import sys

import click
import pytest

from reconciler.cli.help import explain
from reconciler.diagnostic import Diagnostic, Location
from reconciler.errors import (
    AccountError,
    DeclarationError,
    DestinationError,
    GuardrailRefused,
    Interrupted,
    PartlyApplied,
    ReconcilerError,
    StalePlan,
    UsageError,
)
from support.command import Output

SECRET = "ng-1234567890abcdefghijklmnopqrstuv"
HERE = Location("keys.yaml", 3, 7)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no key; set one"), 1, "error: no key; set one\n"),
        (AccountError("GET /v1/account/keys: 500"), 1, "error: GET /v1/account/keys: 500\n"),
        (DestinationError("a: full\nb: gone"), 1, "error: a: full\nerror: b: gone\n"),
        (GuardrailRefused("refused"), 3, "error: refused\n"),
        (StalePlan("stale"), 4, "error: stale\n"),
        (PartlyApplied("half"), 5, "error: half\n"),
        (Interrupted("stopped"), 130, "error: stopped\n"),
        (UsageError("\x1b[2J ::error::x"), 1, "error: \\x1b[2J \\::error::x\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.Abort(), 130, "Interrupted.\n"),
        (click.ClickException("it does\nnot work"), 1, "error: it does not work\n"),
        (click.UsageError("no such option"), 1, "error: no such option\n"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a\nb"), 1, "error: a\\nb: No such file or"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: No space left on device\n"),
        (TimeoutError(), 1, "error: TimeoutError\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_a_line_on_stderr_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert explain(error, verbose=False) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert err.count("\n") == said.count("\n") or not said.endswith("\n")


@pytest.mark.parametrize(("count", "ending"), [(1, "1 error; nothing was changed."), (2, "2 errors; nothing")])
def test_every_mistake_of_the_file_is_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], count: int, ending: str
) -> None:
    error = DeclarationError([Diagnostic(HERE, "credit_limit is\x1bmissing")] * count)
    assert explain(error, verbose=False) == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert lines == ["keys.yaml:3:7: error: credit_limit is\\x1bmissing"] * count
    assert last.startswith(ending)


def test_usage_errors_say_where_to_read_more(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(click.Command("plan"), info_name="reconciler plan")
    explain(click.UsageError("No such option '--fo'.", context), verbose=False)
    assert capsys.readouterr().err == "error: No such option '--fo'. (reconciler plan --help tells more)\n"


def test_ctrl_c_leaves_the_line_on_which_the_terminal_showed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Output(terminal=True)
    monkeypatch.setattr(sys, "stderr", stderr)
    explain(KeyboardInterrupt(), verbose=False)
    assert stderr.getvalue() == "\nInterrupted.\n"


def unforeseen() -> Exception:
    """Raise and catch an error with a secret in its message, in its cause, and in a local variable."""
    secret = SECRET

    def deliver(value: str) -> None:
        msg = f"cannot store {value}"
        raise ValueError(msg)

    def stumble() -> None:
        try:
            deliver(secret)
        except ValueError as error:
            raise RuntimeError(secret) from error

    with pytest.raises(RuntimeError) as caught:
        stumble()
    return caught.value


def test_an_error_that_nobody_foresaw_shows_its_kind_and_nothing_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(unforeseen(), verbose=False) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "error: unexpected RuntimeError, a bug in reconciler or in a destination; with reconciler -v"
    )
    assert SECRET not in said
    assert said.count("\n") == 1


def test_with_v_such_an_error_shows_where_it_comes_from_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(unforeseen(), verbose=True) == 1
    said = capsys.readouterr().err
    assert f"{__file__}:" in said
    assert "in deliver" in said
    assert said.index("RuntimeError, raised at") < said.index("ValueError, raised at")
    assert SECRET not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device\n"),
    ],
)
def test_what_stdout_could_not_take_is_not_tried_again_when_the_process_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stdout = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stdout", stdout)
    stdout.write("half a result")
    assert explain(error, verbose=False) == ReconcilerError.exit_code
    assert capsys.readouterr().err == said
    stdout.close()  # flushes what is left, as the end of the process does
