"""Builds and installs the distribution, for tests of what people get."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

if TYPE_CHECKING:
    from email.message import Message

ROOT: Final = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def build(target: str, into: Path, *, source: Path = ROOT) -> Path:
    """Build the wheel or the sdist of a source tree."""
    build_backend = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    subprocess.run(build_backend, cwd=source, check=True)
    (built,) = into.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    """Give the files of a wheel."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    """Give the metadata of a wheel."""
    (text,) = (data for name, data in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(text.decode("utf-8"))
