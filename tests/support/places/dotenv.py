"""A dotenv file on a disk that can be full."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from reconciler.model import Target
from support.places.base import file_times

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class DotenvPlace:
    unusable_names = ("1ST", "NAGA-KEY")

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = folder / "secrets" / "production.env"
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.target = Target("local", "dotenv", (("path", str(self._file)),))

    def held(self) -> dict[str, str]:
        return {name: value or "" for name, value in dotenv_values(self._file).items()}

    def traces(self) -> object:
        return file_times(self._folder)

    def break_down(self) -> None:
        fill_disk(self._monkeypatch)


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _content: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
