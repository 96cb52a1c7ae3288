from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.packages import ROOT, build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_a_copy_made_elsewhere_builds_to_the_same_bytes(target: str, tmp_path: Path) -> None:
    listing = ["git", "ls-files", "-z", "reconciler", "schemas", "*.*", "LICENSE"]
    tracked = subprocess.run(listing, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    copies = [tmp_path / "here" / "first", tmp_path / "elsewhere"]
    for copy in copies:
        for name in tracked.rstrip("\0").split("\0"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    first, second = (build(target, tmp_path / str(number), source=copy) for number, copy in enumerate(copies))
    assert first.read_bytes() == second.read_bytes()
