"""`reconciler fmt`, `reconciler schema`, and `-f -` wherever a file is asked for."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.main import run
from reconciler.files import shipped_schema
from support.command import call, on_a_file
from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.command import Front

LOOSE = "environments: {}\nversion: 1 # one\n"
NEAT = "version: 1  # one\nenvironments: {}\n"
WRONG = "version: 1\nenvironments: {e: {key: {}}}\n"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """Standard input, for what is to be read from it."""
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", stream)
    yield stream
    stream.close()


def put(stream: io.TextIOWrapper, text: str) -> None:
    stream.seek(0)
    stream.truncate()
    stream.write(text)
    stream.seek(0)


def test_a_file_is_written_anew_and_keeps_its_mode_and_its_link(front: Front) -> None:
    front.write(LOOSE)
    Path("keys.yaml").chmod(0o640)
    Path("link.yaml").symlink_to("keys.yaml")
    done = call("fmt", "link.yaml")
    assert (done.code, done.out, done.err) == (0, "", "link.yaml is written anew\n")
    assert Path("keys.yaml").read_text("utf-8") == NEAT
    assert Path("keys.yaml").stat().st_mode & 0o777 == 0o640
    assert Path("link.yaml").is_symlink()
    assert sorted(os.listdir()) == ["keys.yaml", "link.yaml", "sim.db"]  # noqa: PTH208  # nothing else is left
    before = Path("keys.yaml").stat().st_mtime_ns
    assert call("fmt").err == ""
    assert Path("keys.yaml").stat().st_mtime_ns == before


@pytest.mark.usefixtures("front")
def test_check_shows_what_would_change_and_writes_nothing() -> None:
    Path("keys").mkdir()
    Path("keys/a.yaml").write_text(LOOSE)
    Path("keys/b.yaml").write_text(NEAT)
    done = call("fmt", "--check", "-f", "keys")
    assert done.code == 1
    assert done.out.startswith("--- keys/a.yaml\n+++ keys/a.yaml\n@@ -1,2 +1,2 @@\n+version: 1  # one\n")
    assert done.err == "keys/a.yaml is not in its canonical form; reconciler fmt writes it so\n"
    assert Path("keys/a.yaml").read_text() == LOOSE
    assert call("fmt", "keys").err == "keys/a.yaml is written anew\n"
    assert call("fmt", "--check", "keys").code == 0


@pytest.mark.usefixtures("front")
def test_one_invalid_file_keeps_all_as_they_are() -> None:
    Path("a.yaml").write_text(LOOSE)
    Path("b.yaml").write_text(WRONG)
    done = call("fmt", "a.yaml", "b.yaml")
    assert done.code == 1
    assert [line.partition(": ")[0] for line in done.err.splitlines()[:-1]] == ["b.yaml:2:20"]
    assert Path("a.yaml").read_text() == LOOSE


@pytest.mark.usefixtures("front")
def test_a_file_that_is_named_in_two_ways_is_written_once() -> None:
    Path("a.yaml").write_text(LOOSE)
    Path("b.yaml").symlink_to("a.yaml")
    done = call("fmt", "a.yaml", str(Path("a.yaml").resolve()), "b.yaml")
    assert (done.code, done.err.count("is written anew")) == (0, 1)
    assert Path("a.yaml").read_text() == NEAT


def test_the_example_is_in_its_canonical_form() -> None:
    assert call("fmt", "--check", str(ROOT / "keys.yaml.example")).out == ""


def test_standard_input_is_written_to_standard_output(
    typed: io.TextIOWrapper, capsys: pytest.CaptureFixture[str]
) -> None:
    put(typed, LOOSE)
    assert run(["fmt", "-f", "-"]) == 0
    assert capsys.readouterr().out == NEAT


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("words", [["validate"], ["plan", "--simulator", "sim.db"], ["fmt"]])
def test_errors_in_standard_input_name_it(
    words: list[str], typed: io.TextIOWrapper, capsys: pytest.CaptureFixture[str]
) -> None:
    put(typed, WRONG)
    assert run([*words, "-f", "-"]) == 1
    assert capsys.readouterr().err.startswith("<stdin>:2:20: error: unknown field 'key'")


def test_paths_of_standard_input_mean_the_current_folder(
    typed: io.TextIOWrapper, capsys: pytest.CaptureFixture[str], front: Front
) -> None:
    front.declare("{tests: {credit_limit: 5}}")
    put(typed, Path("keys.yaml").read_text())
    assert run(["apply", "-f", "-", "--auto-approve", "--simulator", "sim.db"]) == 0
    assert Path("secrets.env").exists()
    put(typed, Path("keys.yaml").read_text())
    assert run(["validate", "-f", "-"]) == 0
    assert capsys.readouterr().out.endswith("<stdin> is valid: 1 key in 1 environment.\n")


@pytest.mark.parametrize(
    ("base", "complaint"),
    [
        ("-", "-f and --base can't both be standard input; give one of them a path"),
        ("git:HEAD", "--base git:HEAD needs to know which file standard input stands for; give --base a path"),
    ],
)
def test_what_standard_input_cannot_be_compared_with_is_refused(
    base: str, complaint: str, typed: io.TextIOWrapper, capsys: pytest.CaptureFixture[str], front: Front
) -> None:
    put(typed, NEAT)
    assert run(["plan", "-f", "-", "--base", base, *front.options]) == 1
    assert capsys.readouterr().err == f"error: {complaint}\n"


def test_the_base_can_be_a_path_or_standard_input(
    typed: io.TextIOWrapper, capsys: pytest.CaptureFixture[str], front: Front
) -> None:
    front.write(NEAT)
    for words in (["-f", "-", "--base", "keys.yaml"], ["--base", "-"]):
        put(typed, NEAT)
        assert run(["plan", "--offline", *words]) == 0
    capsys.readouterr()


def test_standard_input_that_cannot_be_read_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with (tmp_path / "file").open("w") as stream:

        class Unreadable(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, _: object) -> int:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Unreadable())))
        assert run(["validate", "-f", "-"]) == 1
        assert not stream.closed
    assert capsys.readouterr().err == "error: standard input can't be read: Input/output error\n"


@pytest.mark.parametrize(
    ("words", "name"), [([], "keys"), (["keys"], "keys"), (["plan"], "plan")], ids=["nothing said", "keys", "plan"]
)
def test_a_schema_is_printed_as_it_is(words: list[str], name: str) -> None:
    assert call("schema", *words).out.encode() == shipped_schema(f"{name}.schema.json")
