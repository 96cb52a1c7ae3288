"""A folder of age files on a disk that can be full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model import Target
from support.age_tools import open_with_pyrage, x25519_pair
from support.places.base import file_times
from support.places.dotenv import fill_disk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class AgePlace:
    unusable_names = ("NAGA/KEY", "..")

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pair = x25519_pair()
        self._folder = folder
        self._monkeypatch = monkeypatch
        path = str(folder / "secrets" / "{name}.age")
        self.target = Target("files", "age", (("path", path), ("recipients", (self._pair.public,))))

    def held(self) -> dict[str, str]:
        return {file.stem: open_with_pyrage(file, self._pair).decode() for file in self._folder.glob("secrets/*.age")}

    def traces(self) -> object:
        return file_times(self._folder)

    def break_down(self) -> None:
        fill_disk(self._monkeypatch)
