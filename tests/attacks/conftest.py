"""What every attack has: a folder with a declaration, a simulated account, and the command as people run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.command import on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.command import Front


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front
