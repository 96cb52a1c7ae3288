from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest

import reconciler
from support.packages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.proof


def test_the_wheel_alone_gives_a_working_command(wheel: Path, tmp_path: Path) -> None:
    """Installed with what requirements/ pins and nothing more; pip checks that it is all that the wheel asks for."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "wheel.txt").write_text(f"{wheel} --hash=sha256:{digest}\n", "utf-8")
    venv.create(tmp_path / "venv", with_pip=False)
    command = tmp_path / "venv" / "bin" / "reconciler"

    def pip(*arguments: str) -> None:
        where = ["--python", str(tmp_path / "venv"), "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "pip", *where, *arguments], check=True)

    def reconciler_says(*arguments: str) -> str:
        done = subprocess.run(
            [command, *arguments], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True, env={}
        )
        return done.stdout

    pins = ["--requirement", str(ROOT / "requirements" / "runtime.txt"), "--requirement", str(tmp_path / "wheel.txt")]
    pip("install", "--no-deps", "--only-binary", ":all:", "--require-hashes", *pins)
    pip("check")

    assert reconciler_says("--version") == f"reconciler {reconciler.__version__}\n"
    assert "is valid" in reconciler_says("validate", "-f", str(ROOT / "keys.yaml.example"))
