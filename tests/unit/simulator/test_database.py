from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import UsageError
from reconciler.simulator import State
from support.simulation import names

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_account_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "sim.db"
    State(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_account_is_still_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with State(tmp_path / "sim.db") as state:
        state.create_key("production/api")
    with State(tmp_path / "sim.db") as state:
        assert names(state) == ["production/api"]


def test_an_empty_file_becomes_an_account(tmp_path: Path) -> None:
    path = tmp_path / "sim.db"
    path.touch()
    with State(path) as state:
        assert state.keys() == ()


def test_no_file_is_left_beside_the_account(tmp_path: Path) -> None:
    with State(tmp_path / "sim.db") as state:
        state.create_key("a")
        assert [path.name for path in tmp_path.iterdir()] == ["sim.db"]


def foreign_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE precious (x)")
    connection.close()


def newer_account(path: Path) -> None:
    State(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: path.mkdir(), "is not a file", id="a folder"),
        pytest.param(lambda path: path.write_text("version: 1\n"), "is not a simulator's account", id="a text"),
        pytest.param(foreign_database, "is not a simulator's account", id="another database"),
        pytest.param(newer_account, "was made by another version of reconciler", id="another format"),
    ],
)
def test_what_is_no_account_is_refused_and_not_touched(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "thing"
    assert callable(make)
    make(path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(UsageError) as caught:
        State(path)
    assert str(caught.value) == f"{path} {message}; give the path of a file that the simulator made, or of none yet"
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


def test_a_folder_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot keep a simulator's account in .*sim.db: No such file or directory"):
        State(tmp_path / "nowhere" / "sim.db")


def test_a_link_to_itself_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "loop"
    path.symlink_to(path)
    with pytest.raises(UsageError, match=r"loop cannot be read \(Too many levels of symbolic links\)"):
        State(path)


def test_a_damaged_account_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "sim.db"
    State(path).close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 4_000)
    with pytest.raises(UsageError, match=r"cannot use .*sim.db as a simulator's account"):
        State(path)
