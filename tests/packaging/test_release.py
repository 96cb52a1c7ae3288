from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.packages import ROOT, build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_a_copy_made_on_another_day_builds_to_the_same_bytes(target: str, tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    copies = [tmp_path / "here" / "first", tmp_path / "elsewhere"]
    for copy in copies:
        copy.mkdir(parents=True)
        subprocess.run(
            ["tar", "--create", "--null", "--files-from=-", "--file", str(copy / "a.tar")],
            cwd=ROOT,
            check=True,
            input=tracked.stdout,
        )  # noqa: E501, S607
        subprocess.run(["tar", "--extract", "--touch", "--file", "a.tar"], cwd=copy, check=True)  # noqa: S607
        (copy / "a.tar").unlink()
    first, second = (build(target, tmp_path / str(number), source=copy) for number, copy in enumerate(copies))
    assert first.read_bytes() == second.read_bytes()
