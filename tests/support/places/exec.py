"""A program that keeps secrets in files, until it fails and shows them to everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model import Target
from support.places.base import file_times

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROGRAM = """\
#!/bin/sh
if test -e broken; then cat; exit 3; fi
cat > "held/$RECONCILER_NAME.new" && mv "held/$RECONCILER_NAME.new" "held/$1"
"""


class ExecPlace:
    unusable_names = ("-NAGA", "--KEY")

    def __init__(self, folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        (folder / "held").mkdir()
        (folder / "store").write_text(PROGRAM)
        (folder / "store").chmod(0o755)
        self.target = Target("script", "exec", (("command", ("./store", "{name}")), ("folder", str(folder))))

    def held(self) -> dict[str, str]:
        files = (self._folder / "held").iterdir()
        return {file.name: file.read_text() for file in files if file.suffix != ".new"}

    def traces(self) -> object:
        return file_times(self._folder)

    def break_down(self) -> None:
        (self._folder / "broken").touch()
