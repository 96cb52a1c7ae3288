"""Installing as people do it, but without a network: what reconciler needs is found where the tests have it."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

from support.packages import ROOT, build

_OURS = ("reconciler", "naga_reconciler", "_naga_reconciler", "__editable__", "pip", "setuptools")


@functools.cache
def wheel() -> Path:
    """Give the wheel that `make` installed for these tests, or one built from the checkout."""
    if installed := os.environ.get("RECONCILER_WHEEL"):
        return Path(installed).resolve(strict=True)
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    atexit.register(shutil.rmtree, folder)
    return build("wheel", folder)


def without_index(folder: Path) -> dict[str, str]:
    """Give what lets pip find every package installed here except reconciler itself, and none anywhere else."""
    farm = folder / "packages"
    farm.mkdir(exist_ok=True)
    for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for package in Path(site).iterdir():
            if not package.name.startswith(_OURS) and package.suffix != ".pth":
                (farm / package.name).symlink_to(package)
    return {"PYTHONPATH": str(farm), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}


def copy_of_the_project(into: Path) -> None:
    """Copy what others use of this project: the action, the hooks, the workflows, and what is installed."""
    left_out = {".git", ".venv", "build", "dist", "docs", "tests", "benchmarks"}
    nothing_made = shutil.ignore_patterns("__pycache__", ".*_cache")
    for each in ROOT.iterdir():
        if each.name in left_out or each.name.startswith((".venv", ".coverage", ".hypothesis")) or each.suffix == ".db":
            continue
        if each.is_dir():
            shutil.copytree(each, into / each.name, ignore=nothing_made)
        else:
            into.mkdir(exist_ok=True)
            shutil.copy(each, into)
