from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.destinations import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NEW = b"NAGA_API=new\n"
OLD = b"NAGA_API=old\n"


def write(path: Path, content: bytes = NEW) -> None:
    with files.locked(path.parent) as folder:
        files.replace(folder, path.name, content, files.read(folder, path.name))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def fail_with(code: int) -> Callable[..., Any]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def fail_for_folders(real: Callable[[int], None]) -> Callable[[int], None]:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    return fsync


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "production.env"


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0o000, 0o022, 0o277])
def test_a_new_file_is_only_its_owners_whatever_the_umask(path: Path, bits: int) -> None:
    with umask(bits):
        write(path)
    assert (path.read_bytes(), mode(path)) == (NEW, 0o600)


def test_an_existing_file_open_to_others_is_closed(path: Path) -> None:
    path.write_bytes(OLD)
    path.chmod(0o666)
    write(path)
    assert (path.read_bytes(), mode(path)) == (NEW, 0o600)


def test_missing_folders_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    with umask(0):
        write(tmp_path / "a" / "b" / "c.env")
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [0o700, 0o700]


def test_a_write_that_the_system_takes_in_pieces_is_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:3]))
    write(path)
    assert path.read_bytes() == NEW


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.env"
    link.symlink_to("real/file.env")
    for content in (OLD, NEW):  # the first time, the file behind the link is missing
        write(files.resolve(str(link)), content)
    assert link.is_symlink()
    assert (tmp_path / "real" / "file.env").read_bytes() == NEW


def test_what_a_killed_process_left_is_cleared_away(path: Path) -> None:
    left = path.parent / ".reconciler-0011223344556677.tmp"
    left.write_bytes(NEW)
    stuck = path.parent / ".reconciler-8899aabbccddeeff.tmp"
    stuck.mkdir()
    write(path)
    assert sorted(path.parent.iterdir()) == [stuck, path]


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, OLD], ids=["no file", "old file"])
@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("open", errno.EROFS),
        ("fchmod", errno.EPERM),
        ("write", errno.ENOSPC),
        ("fsync", errno.EIO),
        ("replace", errno.EROFS),
        ("replace", errno.ENOSPC),
    ],
)
def test_a_failure_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, before: bytes | None
) -> None:
    if before is not None:
        path.write_bytes(before)
    with files.locked(path.parent) as folder:
        monkeypatch.setattr(os, call, fail_with(code))
        with pytest.raises(OSError, match=os.strerror(code)):
            files.replace(folder, path.name, NEW, before)
    monkeypatch.undo()
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == (
        {} if before is None else {path.name: before}
    )


@pytest.mark.parametrize("before", [None, OLD], ids=["no file", "old file"])
def test_a_folder_that_cannot_be_synced_gets_the_old_file_back(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    if before is not None:
        path.write_bytes(before)
    monkeypatch.setattr(os, "fsync", fail_for_folders(os.fsync))
    with pytest.raises(OSError, match=r"^\[Errno 5\] Input/output error$"):
        write(path)
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == (
        {} if before is None else {path.name: before}
    )


def test_it_says_so_when_even_the_old_file_cannot_be_put_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail_for_folders(os.fsync))
    monkeypatch.setattr(os, "unlink", fail_with(errno.EIO))
    with pytest.raises(files.Unsettled, match="could not be put back, the new one is there but may not last"):
        write(path)
    assert path.read_bytes() == NEW


def test_a_new_folder_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail_with(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "a" / "b.env")


def test_a_file_where_a_folder_is_needed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for path in (tmp_path / "a" / "b.env", tmp_path / "a" / "b" / "c.env"):
        with pytest.raises(NotADirectoryError):
            write(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a named pipe"),
        (make_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
        (lambda path: path.symlink_to(path), "a symbolic link that leads back to itself"),
    ],
    ids=["folder", "pipe", "socket", "device", "circle"],
)
def test_what_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    make(tmp_path.__class__("x"))
    target = files.resolve("x")
    with pytest.raises(OSError, match=f"it is {kind}, not a regular file"):
        files.peek(target)


# --- between processes ------------------------------------------------------------------------------------------------


def test_a_lock_that_another_process_keeps_ends_the_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_TIMEOUT", 0.0)
    with (
        files.locked(path.parent),
        pytest.raises(TimeoutError, match="another process keeps the folder locked"),
        files.locked(path.parent),
    ):
        pytest.fail("two hold the lock")
    write(path)


def test_a_lock_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda _seconds: fcntl.flock(other, fcntl.LOCK_UN))
    write(path)
    os.close(other)
    assert path.read_bytes() == NEW


def test_a_folder_that_cannot_be_locked_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", fail_with(errno.ENOLCK))
    with pytest.raises(OSError, match="the folder cannot be locked: No locks available"):
        write(path)
    assert list(path.parent.iterdir()) == []


# --- what can be known before -----------------------------------------------------------------------------------------


def test_nothing_speaks_against_a_file_that_can_be_written(tmp_path: Path) -> None:
    existing = tmp_path / "there.env"
    existing.write_bytes(OLD)
    for path in (existing, tmp_path / "new.env", tmp_path / "a" / "b" / "c.env"):
        assert files.obstacles(path) == []


def test_a_folder_in_use_by_another_process_is_no_obstacle(path: Path) -> None:
    with files.locked(path.parent):
        assert files.obstacles(path) == []


def test_everything_that_speaks_against_a_file_is_said_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=9, f_bavail=0))
    monkeypatch.setattr(fcntl, "flock", fail_with(errno.ENOLCK))
    assert files.obstacles(path) == [
        f"the folder {path.parent} is not writable",
        f"no space is left in {path.parent}",
        f"the folder {path.parent} cannot be locked",
    ]


def test_a_name_of_temporary_files_is_an_obstacle(tmp_path: Path) -> None:
    (found,) = files.obstacles(tmp_path / ".reconciler-x.tmp")
    assert "temporary" in found


def other_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)


def program(path: Path, _: pytest.MonkeyPatch) -> None:
    path.chmod(0o710)


@pytest.mark.parametrize(("make", "words"), [(other_user, "belongs to another user"), (program, "is a program")])
def test_a_file_to_be_replaced_is_our_own_and_no_program(
    path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, pytest.MonkeyPatch], None], words: str
) -> None:
    path.write_bytes(OLD)
    make(path, monkeypatch)
    assert files.peek(path) == OLD
    with pytest.raises(OSError, match=words):
        files.peek(path, own=True)


def test_a_file_is_not_read_beyond_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST", len(OLD) - 1)
    path.write_bytes(OLD)
    with pytest.raises(OSError, match="larger than"):
        files.peek(path)


def test_a_file_system_that_counts_no_blocks_is_not_called_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=0, f_bavail=0))
    assert files.obstacles(path) == []


def test_a_file_where_a_folder_is_needed_is_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert files.obstacles(tmp_path / "a" / "b" / "c.env") == [f"{tmp_path}/a is a file where a folder is needed"]


def test_a_missing_file_or_folder_is_read_as_nothing(tmp_path: Path) -> None:
    assert files.peek(tmp_path / "x.env") is None
    assert files.peek(tmp_path / "a" / "x.env") is None
