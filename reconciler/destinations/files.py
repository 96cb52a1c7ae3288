"""Replaces a file as a whole or not at all, one process at a time, readable by nobody but its owner.

The lock is an advisory `flock` on the folder of the file. The folder is there before and after, so no lock file is left
lying around, and it stays the same while the file itself is replaced by another inode at every write (a lock on the
file would guard the one that has just gone). The kernel drops it when its holder dies. A file system on which folders
cannot be locked (some network mounts) is refused: two runs there could each drop what the other has written.

Everything under the lock happens relative to the locked folder, so a folder moved away meanwhile cannot mix two up.
Whatever goes wrong is an OSError whose `strerror` says it in words.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.files import PREFIX, SUFFIX, opened, put, real_path

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_TIMEOUT: Final = 5.0
"""Seconds to wait for another process: a write takes milliseconds, and an interrupted run has 7 seconds to end."""

LARGEST: Final = 16 * 1024 * 1024
"""The bytes that a file which is read or replaced here may have."""

_POLL: Final = 0.02
_OWNERS: Final = 0o600

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFLNK: "a symbolic link that leads back to itself",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def resolve(path: str) -> Path:
    """Follow symbolic links, so that the file a link points to is replaced and the link stays."""
    return Path(real_path(path))


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock on a folder, made (0700, with its parents) if it is missing; give its descriptor.

    Temporary files that a killed process has left are removed: under the lock, nobody is writing them.

    Raises:
        OSError: the folder cannot be made, opened or locked, or another process holds the lock for LOCK_TIMEOUT.
    """
    _make(folder)
    with opened(folder) as descriptor:  # whose end also unlocks
        _lock(descriptor)
        _sweep(descriptor)
        yield descriptor


def read(folder: int, name: str, *, own: bool = False) -> bytes | None:
    """Return the content of a regular file in the folder, None when there is no file.

    One that is to be replaced has to be our `own`: another user's, made beforehand to get at what is written into it,
    is refused, and so is a program.

    Raises:
        OSError: it cannot be read, is no regular file or larger than LARGEST, or is not what it has to be.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file")
    if status.st_size > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST // 1024**2} MiB")
    if own and status.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "it belongs to another user")
    if own and status.st_mode & 0o111:
        raise OSError(errno.EPERM, "it is executable, so it is a program")
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(descriptor, "rb") as stream:  # noqa: PTH123  # a descriptor, not a path
        return stream.read(LARGEST)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a secret was not written to a file; `uncertain` when it may be there all the same."""

    words: str
    uncertain: bool = False


class Unsettled(OSError):
    """The new content is in place and may not last: it could be neither made durable nor taken back."""


def replace(folder: int, name: str, content: bytes, before: bytes | None) -> None:
    """Make `content` the file, 0600 and durable; `before` is what read() gave under the same lock.

    Raises:
        OSError: the file is as it was, and nothing else is left behind.
        Unsettled: should even that fail.
    """
    put(folder, name, content, _OWNERS)
    try:
        os.fsync(folder)
    except OSError as error:
        # The new file is visible, but a power cut might still bring the old one back, so it cannot be vouched for.
        if _put_back(folder, name, before):
            raise
        reason = f"{error.strerror}; the old file could not be put back, the new one is there but may not last"
        raise Unsettled(error.errno, reason) from error


def obstacles(path: Path) -> list[str]:
    """Return what would keep the file from being replaced, as far as that can be told without writing anything.

    Raises:
        OSError: not even that much can be found out.
    """
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        return [f"{folder} is a file where a folder is needed"]
    found = []
    if not os.access(folder, os.W_OK | os.X_OK):
        found.append(f"the folder {folder} is not writable")
    space = os.statvfs(folder)
    if space.f_blocks and not space.f_bavail:  # some virtual file systems count no blocks at all
        found.append(f"no space is left in {folder}")
    if not _lockable(folder):
        found.append(f"the folder {folder} cannot be locked")
    if path.name.startswith(PREFIX) and path.name.endswith(SUFFIX):
        found.append(f"{path.name} is a name of temporary files, which are removed")
    return found


def peek(path: Path, *, own: bool = False) -> bytes | None:
    """Read a file as read() does, without the lock; None also when its folder is missing.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        return read(folder, path.name, own=own)
    finally:
        os.close(folder)


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    _make(folder.parent)
    with suppress(FileExistsError):  # made by another process just now; a file in its place fails when it is opened
        folder.mkdir(0o700)
    with opened(folder.parent) as descriptor:
        os.fsync(descriptor)


def _lock(folder: int) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process keeps the folder locked") from None
            time.sleep(_POLL)
        except OSError as error:
            raise OSError(error.errno, f"the folder cannot be locked: {error.strerror}") from error
        else:
            return


def _lockable(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True  # another process has just locked it
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _sweep(folder: int) -> None:
    with os.scandir(folder) as entries:
        left = [entry.name for entry in entries if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX)]
    for name in left:
        with suppress(OSError):  # in nobody's way; the next write tries again
            os.unlink(name, dir_fd=folder)


def _put_back(folder: int, name: str, before: bytes | None) -> bool:
    try:
        if before is None:
            os.unlink(name, dir_fd=folder)
        else:
            put(folder, name, before, _OWNERS)
    except OSError:
        return False
    return True
