from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.cli import console
from reconciler.secret import Secret
from support.command import Output

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("terminal", "variables", "color"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": ""}, False),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_a_person_who_wants_it(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,  # noqa: FBT001  # a column of the table
    variables: dict[str, str],
    color: bool,  # noqa: FBT001  # the same
) -> None:
    monkeypatch.setattr(sys, "stdout", Output(terminal=terminal))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.use_color() is color


@pytest.mark.parametrize(("terminal", "width"), [(True, 90), (False, None)])
def test_text_is_wrapped_for_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,  # noqa: FBT001  # a column of the table
    width: int | None,
) -> None:
    monkeypatch.setattr(sys, "stdout", Output(terminal=terminal))
    monkeypatch.setenv("COLUMNS", "90")
    assert console.width() == width


def test_a_result_goes_to_stdout_and_what_stands_beside_it_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.show("a\nb\n")
    console.show("c\n", err=True)
    assert capsys.readouterr() == ("a\nb\n", "c\n")


def test_a_note_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    console.note("key \x1b[2J\nerror: forged\u202e")
    assert capsys.readouterr().err == "key \\x1b[2J\\nerror: forged\\u202e\n"


def broken(monkeypatch: pytest.MonkeyPatch, name: str) -> int:
    """Give the process a stream whose reader has gone; returns its number."""
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, name, os.fdopen(writing, "w"))
    return writing


def test_a_note_that_nobody_hears_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "stderr")
    console.note("is anybody there?")
    console.note("still here")
    sys.stderr.close()  # flushes what is left, as the end of the process does


@pytest.mark.parametrize(
    ("secret", "line"), [("ng-abc", "::add-mask::ng-abc\n"), ("a%\r\nb", "::add-mask::a%25%0D%0Ab\n")]
)
def test_github_is_told_to_mask_a_secret_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secret: str, line: str
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    console.mask(Secret(secret))
    assert capsys.readouterr() == ("", line)


def test_outside_of_github_a_secret_is_told_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    console.mask(Secret("ng-abc"))
    assert capsys.readouterr() == ("", "")


def test_a_secret_is_never_written_into_a_file_for_the_sake_of_its_mask(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        console.mask(Secret("ng-abc"))
    assert (tmp_path / "log").read_text() == ""


def wrapped(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")


def test_output_is_utf_8_whatever_the_locale_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, wrapped("latin-1"))
    console.prepare_streams()
    streams = [sys.stdin, sys.stdout, sys.stderr]
    assert [stream.encoding for stream in streams] == ["utf-8"] * 3
    assert [stream.errors for stream in streams] == ["replace", "backslashreplace", "backslashreplace"]


def test_an_encoding_asked_for_is_kept_and_what_it_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    stream = wrapped("latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    console.prepare_streams()
    console.show("é →\n")
    assert isinstance(stream.buffer, io.BytesIO)
    assert stream.buffer.getvalue() == b"\xe9 \\u2192\n"


def test_a_stream_that_the_caller_closed_takes_its_output_to_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    console.prepare_streams()
    with sys.stdin, sys.stdout, sys.stderr:
        console.show("a result\n")
        console.note("a note")
        assert (sys.stdin.read(), sys.stdout.isatty()) == ("", False)
