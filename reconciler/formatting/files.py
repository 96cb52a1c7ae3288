"""Replaces files as a whole or not at all: declarations, and the results that commands write."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.files import link_out, real_path

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_files(contents: Mapping[Path, bytes], before: Mapping[Path, bytes]) -> None:
    """Write files, of which those in `before` held this until now and the others did not exist.

    All are written beside their places and are on the disk before the first one is moved there. A file keeps its mode,
    and a symbolic link goes on to point at it.

    Raises:
        UsageError: a file is not as it was, or can't be written; those that are named are replaced, no other.
    """
    ready: dict[Path, Path] = {}
    done: list[str] = []
    path = Path()
    try:
        for path, content in contents.items():
            ready[path] = _prepare(Path(os.path.realpath(path)), content)
        for path, temporary in ready.items():
            _check(path, before.get(path))
            _place(temporary, Path(os.path.realpath(path)), is_new=path not in before)
            done.append(str(path))
    except OSError as error:
        written = f"; written before that: {', '.join(done)}" if done else ""
        msg = f"{path} can't be written: {error.strerror}{written}"
        raise UsageError(msg) from error
    finally:
        for temporary in ready.values():
            with suppress(FileNotFoundError):
                temporary.unlink()


def _prepare(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".reconciler-{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary


def _check(path: Path, before: bytes | None) -> None:
    if before is not None and path.read_bytes() != before:
        msg = f"{path} has been changed meanwhile; it is left as it is now, run the command again"
        raise UsageError(msg)


def _place(temporary: Path, path: Path, *, is_new: bool) -> None:
    if is_new:
        os.link(temporary, path)  # which, unlike a rename, replaces nothing
        temporary.unlink()
    else:
        temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# A file that a command writes for others to read: as a whole or not at all.


def check_output(file: Path, *, example: str, declaration: Path | None = None) -> None:
    """Refuse to write over a declaration, to what git acts on, or into a folder without a name; raises UsageError."""
    real = Path(real_path(file))
    is_declared = declaration is not None and real == Path(real_path(declaration))
    if is_declared or any(each.suffix.lower() in {".yaml", ".yml"} for each in (file, real)):
        leads = "looks like" if file.suffix == real.suffix else "leads to"
        msg = f"--out {file} {leads} a declaration, which is not overwritten; give it another name, like {example}"
        raise UsageError(msg)
    _refuse_link(file)
    if file.is_dir():
        msg = f"--out {file} is a folder; name a file in it, like {file / example}"
        raise UsageError(msg)


def _refuse_link(file: Path) -> None:
    """Refuse to write where a link that was checked in may lead; one to a device is another matter."""
    if (link := link_out(file)) and (not file.exists() or file.is_file()):
        msg = f"--out {file} is not written: {link} is a symbolic link out of its repository; name the file itself"
        raise UsageError(msg)


def write_whole(file: Path, text: str, *, mode: int | None = None) -> None:
    """Replace a file by this text, so that nobody ever sees a part of it; None gives a new file the usual mode.

    What is there and is no file, as a pipe or a device, is written to; a link stays, and what it leads to is replaced.
    Raises UsageError when it cannot be written.
    """
    _refuse_link(file)
    try:
        if file.exists() and not stat.S_ISREG(file.stat().st_mode):
            file.write_text(text, "utf-8")
        else:
            _replace(Path(os.path.realpath(file)), text, mode)
    except OSError as error:
        msg = f"--out {file} could not be written: {error.strerror}"
        raise UsageError(msg) from error


def _replace(file: Path, text: str, mode: int | None) -> None:
    temporary = file.with_name(f".reconciler-{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            if mode is not None:
                os.fchmod(descriptor, mode)
            elif file.exists():
                os.fchmod(descriptor, stat.S_IMODE(file.stat().st_mode))
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(file)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
