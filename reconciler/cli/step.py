"""What a step of a GitHub workflow leaves behind for others: its outputs, and its part of the summary of the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_SUMMARY: Final = 1024 * 1024
"""Bytes that GitHub takes of a step; of a larger summary it shows nothing."""

_BYTES_OF_A_CHARACTER: Final = 4


def write_outputs(outputs: Mapping[str, str]) -> None:
    """Write outputs for later steps, where GITHUB_OUTPUT says.

    The end of each value is a line that nobody can know beforehand, so no value can end early and be another output.
    """
    text = "".join(map(_output, outputs, outputs.values()))
    _append("GITHUB_OUTPUT", lambda _: text)


def append_summary(render: Callable[[int], str]) -> None:
    """Add a page to the summary, where GITHUB_STEP_SUMMARY says; `render` takes how many characters it may have."""
    _append("GITHUB_STEP_SUMMARY", lambda size: _page(render, size))


def _output(name: str, value: str) -> str:
    import secrets

    end = f"end-{secrets.token_hex(16)}"
    return f"{name}<<{end}\n{value}\n{end}\n"


def _page(render: Callable[[int], str], size: int) -> str:
    gap = "\n" if size else ""
    return gap + render(max(0, LARGEST_SUMMARY - size - len(gap)) // _BYTES_OF_A_CHARACTER)


def _append(variable: str, render: Callable[[int], str]) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        with Path(path).open("ab") as file:
            file.write(render(file.tell()).encode(errors="surrogateescape"))
    except OSError as error:
        note(f"warning: the file that {variable} names cannot be written: {error.strerror}")
