"""A file that a command writes for others to read: as a whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from reconciler.errors import UsageError


def check_output(file: Path, *, example: str) -> None:
    """Refuse to write over a declaration or into a folder without a name; raises UsageError."""
    if file.suffix in {".yaml", ".yml"}:
        msg = f"--out {file} looks like a declaration, which is not overwritten; give it another name, like {example}"
        raise UsageError(msg)
    if file.is_dir():
        msg = f"--out {file} is a folder; name a file in it, like {file / example}"
        raise UsageError(msg)


def write_whole(file: Path, text: str, *, mode: int | None = None) -> None:
    """Replace a file by this text, so that nobody ever sees a part of it; None gives a new file the usual mode.

    What is there and is no file, as a pipe or a device, is written to; a link stays, and what it leads to is replaced.
    Raises UsageError when it cannot be written.
    """
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
