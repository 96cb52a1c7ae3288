"""Replaces files as a whole or not at all: declarations, and the results that commands write."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.files import beside, discard, link_out, opened, put, real_path

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_files(contents: Mapping[Path, bytes], before: Mapping[Path, bytes]) -> None:
    """Write files, of which those in `before` held this until now and the others did not exist.

    All are written beside their places and are on the disk before the first one is moved there. A file keeps its mode,
    and a symbolic link goes on to point at it.

    Raises:
        UsageError: a file is not as it was, or can't be written; those that are named are replaced, no other.
    """
    for path in contents:
        refuse_link(path)
    done: list[str] = []
    path = Path()
    with ExitStack() as stack:
        folders: dict[Path, int] = {}
        ready: dict[Path, tuple[int, str, str]] = {}
        try:
            for path, content in contents.items():
                real = Path(real_path(path))
                if real.parent not in folders:
                    folders[real.parent] = stack.enter_context(opened(real.parent))
                folder = folders[real.parent]
                temporary = beside(folder, content, _mode_of(real))
                stack.callback(discard, folder, temporary)
                ready[path] = (folder, temporary, real.name)
            for path, (folder, temporary, name) in ready.items():
                _check(path, before.get(path))
                # A link, unlike a rename, replaces nothing.
                place = os.replace if path in before else os.link
                place(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
                done.append(str(path))
        except OSError as error:
            written = f"; written before that: {', '.join(done)}" if done else ""
            msg = f"{path} can't be written: {error.strerror}{written}"
            raise UsageError(msg) from error


def _mode_of(file: Path) -> int | None:
    """Give the mode of a file, None where there is none."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(file.stat().st_mode)
    return None


def _check(path: Path, before: bytes | None) -> None:
    if before is not None and path.read_bytes() != before:
        msg = f"{path} has been changed meanwhile; it is left as it is now, run the command again"
        raise UsageError(msg)


# A file that a command writes for others to read: as a whole or not at all.


def check_output(file: Path, *, example: str, declaration: Path | None = None, option: str = "--out") -> None:
    """Refuse to write over a declaration, to what git acts on, or into a folder without a name; raises UsageError."""
    real = Path(real_path(file))
    # `-` is standard output here, and standard input where it is the declaration.
    is_declared = declaration is not None and str(file) != "-" and real == Path(real_path(declaration))
    if is_declared or any(each.suffix.lower() in {".yaml", ".yml"} for each in (file, real)):
        leads = "looks like" if file.suffix == real.suffix else "leads to"
        msg = f"{option} {file} {leads} a declaration, which is not overwritten; give it another name, like {example}"
        raise UsageError(msg)
    refuse_link(file, option)
    if file.is_dir():
        msg = f"{option} {file} is a folder; name a file in it, like {file / example}"
        raise UsageError(msg)


def refuse_link(file: Path, option: str = "") -> None:
    """Refuse to write where a link that was checked in may lead, with UsageError; one to a device is another matter."""
    if (link := link_out(file)) and (not file.exists() or file.is_file() or file.is_dir()):
        what = f"{option} {file}".lstrip()
        msg = f"{what} is not written: {link} is a symbolic link out of its repository; name the file itself"
        raise UsageError(msg)


def write_whole(file: Path, text: str, *, mode: int | None = None) -> None:
    """Replace a file by this text, so that nobody ever sees a part of it; None gives a new file the usual mode.

    What is there and is no file, as a pipe or a device, is written to; a link stays, and what it leads to is replaced.
    Raises UsageError when it cannot be written.
    """
    refuse_link(file, "--out")
    try:
        if file.exists() and not stat.S_ISREG(file.stat().st_mode):
            file.write_text(text, "utf-8")
        else:
            real = Path(real_path(file))
            with opened(real.parent) as folder:
                put(folder, real.name, text.encode(), _mode_of(real) if mode is None else mode)
                os.fsync(folder)
    except OSError as error:
        msg = f"--out {file} could not be written: {error.strerror}"
        raise UsageError(msg) from error
