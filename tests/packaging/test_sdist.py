from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from support.packages import build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.proof


def test_the_sdist_builds_the_same_wheel_as_the_checkout(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        for member in archive:
            data = archive.extractfile(member)
            assert data is not None, f"{member.name} is not a file"
            path = tmp_path / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.read())
    (source,) = tmp_path.iterdir()
    assert build("wheel", tmp_path / "wheel", source=source).read_bytes() == wheel.read_bytes()


def test_the_sdist_holds_what_a_reader_needs_and_no_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.split("/")[1] for name in archive.getnames()}
    assert held >= {
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "keys.yaml.example",
        "pyproject.toml",
        "reconciler",
        "schemas",
    }
    assert not held & {"tests", "benchmarks", "Makefile"}
