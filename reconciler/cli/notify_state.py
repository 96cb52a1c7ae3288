"""Remembers in a file which alerts somebody was told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note
from reconciler.destinations import files
from reconciler.errors import NotificationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from reconciler.insight.news import Identity

_VERSION: Final = 1
_PARTS: Final = 4


def check_state(path: Path) -> None:
    """Find out before anything is sent whether the state can be kept; raises UsageError."""
    try:
        place = files.resolve(str(path))
        obstacles = files.obstacles(place)
        if place.exists() and not place.is_file():
            obstacles.append("it is no regular file")
    except OSError as error:
        obstacles = [error.strerror or type(error).__name__]
    if obstacles:
        msg = f"--state {path} cannot be kept: {', '.join(obstacles)}"
        raise UsageError(msg)


def read_state(path: Path) -> frozenset[Identity] | None:
    """Give what was told before, nothing where there is no file yet.

    None, with a warning on stderr, is a file that holds something else: all is told again then.
    """
    try:
        content = files.peek(files.resolve(str(path)))
        return frozenset() if content is None else _decoded(content)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        problem = "it is no state of alerts"
    note(f"warning: --state {path} cannot be used ({problem}), so what fires is told again")
    return None


def write_state(path: Path, told: AbstractSet[Identity]) -> None:
    """Replace the file as a whole; raises NotificationError."""
    place = files.resolve(str(path))
    document = {"format_version": _VERSION, "told": sorted(told)}
    try:
        with files.locked(place.parent) as folder:
            files.replace(
                folder, place.name, f"{json.dumps(document, indent=1)}\n".encode(), files.read(folder, place.name)
            )
    except OSError as error:
        msg = f"--state {path} could not be written, so the same may be told again: {error.strerror or 'unknown error'}"
        raise NotificationError(msg) from error


def _decoded(content: bytes) -> frozenset[Identity]:
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("format_version") != _VERSION:
        raise ValueError
    told = document.get("told")
    if not isinstance(told, list):
        raise ValueError  # noqa: TRY004  # of a file, not of an argument
    return frozenset(map(_identity, told))


def _identity(raw: object) -> Identity:
    if not isinstance(raw, list) or len(raw) != _PARTS or not all(isinstance(part, str) for part in raw):
        raise ValueError
    account, rule, about, severity = raw
    return (account, rule, about, severity)
