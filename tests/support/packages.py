"""Builds and installs the distribution, for tests of what people get."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

from packaging.markers import Marker
from packaging.version import Version

if TYPE_CHECKING:
    from email.message import Message

ROOT: Final = Path(__file__).parents[2]
PIN: Final = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]*))? \\\n(?P<hashes>(?:    --hash=.*\n)+)",
    re.MULTILINE,
)
"""A release in a list of requirements, with where it is needed and what its files hash to."""


def requirements(file: str) -> str:
    """Read a list of requirements."""
    return (ROOT / "requirements" / f"{file}.txt").read_text("utf-8")


@functools.cache
def pins(file: str) -> dict[str, Version]:
    """Return the releases that a list pins for this Python on this machine, by name."""
    return {
        match["name"]: Version(match["version"])
        for match in PIN.finditer(requirements(file))
        if match["marker"] is None or Marker(match["marker"]).evaluate()
    }


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
