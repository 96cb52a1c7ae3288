"""keys.yaml, read, checked and merged into a `Declaration`.

    bytes → loader (parser) → schema → resolve (merging, destinations, fields, checks) → Declaration

Each step reports what it finds and takes it out of the data, so that the next one sees sound values only and all errors
come at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.declaration.destinations import Ground
from reconciler.declaration.loader import (
    LARGEST_FILE,
    STANDARD_INPUT,
    SourceFile,
    collector_paused,
    quoted,
    read,
    standard_input,
)
from reconciler.declaration.parser import Report
from reconciler.declaration.resolve import merged, resolve
from reconciler.declaration.schema import check
from reconciler.errors import DeclarationError, UsageError
from reconciler.files import link_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconciler.model import Declaration

__all__ = ["STANDARD_INPUT", "SourceFile", "load", "load_sources", "read_folder", "read_sources"]


def load(path: Path) -> Declaration:
    """Load a declaration from a file, all `*.yaml` of a folder (not of folders in it), or for `-` standard input.

    Raises:
        DeclarationError: with everything that is wrong, in reading order.
        UsageError: when there is nothing to read.
    """
    return load_sources(read_sources(path))


def read_sources(path: Path) -> list[SourceFile]:
    """Read a file, all `*.yaml` of a folder (not of folders in it), or for `-` standard input.

    Raises:
        UsageError: when there is nothing to read.
    """
    if path == STANDARD_INPUT:
        return [_read_standard_input()]
    if not path.is_dir():
        return [_read(path)]
    sources = read_folder(path)
    if not sources:
        msg = f"the folder {path} holds no *.yaml file; put one there, or name another place with -f"
        raise UsageError(msg)
    return sources


def read_folder(path: Path) -> list[SourceFile]:
    """Read all `*.yaml` of a folder (not of folders in it); none where it holds none.

    Raises:
        UsageError: one of them can't be read.
    """
    return [_read(file) for file in _files(path)]


def load_sources(sources: Sequence[SourceFile], *, is_base: bool = False) -> Declaration:
    """Load a declaration from files that have been read; their order doesn't matter, their names must differ.

    One that `is_base` is there to be compared with, so that nobody asks where its secrets would go.

    Raises:
        DeclarationError: with everything that is wrong, in reading order.
    """
    report = Report()
    with collector_paused():
        declaration = _load(sorted(sources, key=lambda source: source.name), report, is_base=is_base)
    if declaration is None or report:
        raise DeclarationError(quoted(report.in_reading_order(), sources))
    return declaration


def _load(sources: Sequence[SourceFile], report: Report, *, is_base: bool) -> Declaration | None:
    documents = [read(source, report) for source in sources]
    readable = [document for document in documents if document is not None]
    for document in readable:
        check(document, report)
    if len(readable) < len(documents) or report.is_full:
        return None  # what is missing in the rest may stand in the file that can't be read
    grounds = {source.name: Ground(source.folder, source.earlier) for source in sources}
    return resolve(merged(readable, report), grounds, report, is_base=is_base)


def _files(path: Path) -> list[Path]:
    seen = [file for file in path.glob("*") if not file.name.startswith(".")]
    files = [file for file in seen if file.suffix == ".yaml" and not file.is_dir()]
    for file in seen:
        if file.suffix != ".yaml" and file.suffix.lower() in {".yaml", ".yml"}:
            msg = (
                f"{file} would not be read, only every *.yaml of a folder is; name it {file.with_suffix('.yaml').name}"
            )
            raise UsageError(msg)
    for file in files:
        if not file.is_file():
            msg = f"{file} is no regular file, and every *.yaml of a folder is read; remove it"
            raise UsageError(msg)
    return sorted(files)


def _read_standard_input() -> SourceFile:
    try:
        return standard_input()
    except OSError as error:
        msg = f"standard input can't be read: {error.strerror}"
        raise UsageError(msg) from error


def _read(path: Path) -> SourceFile:
    try:
        if link := link_out(path):
            # It may lead to a token, which a message about the file would repeat, or to what nobody reviews.
            msg = f"{link} is a symbolic link out of its repository, and is not followed; name the file itself with -f"
            raise UsageError(msg)
        with path.open("rb") as file:
            return SourceFile(str(path), path.parent, file.read(LARGEST_FILE + 1))
    except FileNotFoundError as error:
        ways = "write one with `reconciler init`, or with `reconciler import` from the keys of the account"
        msg = f"there is no file {path}; {ways}, or name another place with -f"
        raise UsageError(msg) from error
    except (OSError, ValueError) as error:  # the latter: a name with a NUL
        msg = f"{path} can't be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(msg) from error
