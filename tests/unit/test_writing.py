"""Files are replaced as a whole, all or, when the disk fails in between, with a word about which."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import UsageError
from reconciler.files import write_files

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_replaced_and_new_ones_made(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_bytes(b"1")
    old.chmod(0o600)
    write_files({old: b"2", new: b"3"}, {old: b"1"})
    assert (old.read_bytes(), new.read_bytes()) == (b"2", b"3")
    assert old.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["new.yaml", "old.yaml"]


def test_a_file_that_has_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"theirs")
    with pytest.raises(UsageError, match=r"a\.yaml has been changed meanwhile; it is left as it is now"):
        write_files({file: b"ours"}, {file: b"before"})
    assert file.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.yaml"]


def test_a_file_that_has_appeared_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"theirs")
    with pytest.raises(UsageError, match=r"a\.yaml can't be written: File exists"):
        write_files({file: b"ours"}, {})
    assert file.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.yaml"]


def test_nothing_is_written_where_one_file_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing/b\.yaml can't be written: No such file or directory$"):
        write_files({tmp_path / "a.yaml": b"1", tmp_path / "missing/b.yaml": b"2"}, {})
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    file = tmp_path / "a.yaml"
    file.write_bytes(b"1")
    with pytest.raises(UsageError, match="No space left on device"):
        write_files({file: b"2"}, {file: b"1"})
    assert file.read_bytes() == b"1"
    assert names(tmp_path) == ["a.yaml"]


def test_what_is_written_before_a_failure_is_named(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    second.write_bytes(b"theirs")
    with pytest.raises(UsageError, match=r"b\.yaml can't be written: File exists; written before that: .*a\.yaml$"):
        write_files({first: b"1", second: b"2"}, {})
    assert first.read_bytes() == b"1"
    assert names(tmp_path) == ["a.yaml", "b.yaml"]
