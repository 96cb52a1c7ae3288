"""The container file: judged by Hadolint, and its steps done on this machine, since there is no builder here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import reconciler
from support.act import FOREIGN
from support.offline import copy_of_the_project, without_index
from support.packages import ROOT

FILE: Final = ROOT / "Containerfile"
BASH: Final = shutil.which("bash") or "bash"


def instructions() -> list[tuple[str, str]]:
    """Give the instructions with what follows them; a line that ends with a backslash goes on."""
    text = "\n".join(line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#"))
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, FILE], check=False, stdout=-1, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_runs_as_nobody_and_starts_the_program_alone() -> None:
    last = dict(instructions())
    assert last["USER"] == "65532:65532"
    assert last["ENTRYPOINT"] == '["reconciler"]'
    assert not {"ADD", "VOLUME", "EXPOSE"} & last.keys()


def test_only_what_is_built_is_sent_to_the_builder() -> None:
    kept = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[0] == "!"
    }
    assert [each for each in kept if not list(ROOT.glob(each))] == []
    assert not [each for each in kept if each.startswith((".git", ".secrets", "keys"))]


@pytest.mark.proof
def test_the_steps_of_the_build_leave_a_program_that_works(tmp_path: Path) -> None:
    """The first stage, with its folders in another place; the base image and Debian's packages are left out."""
    copy_of_the_project(tmp_path / "src")
    mine = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    environment = {**mine, **without_index(tmp_path), "PATH": f"{tmp_path / 'bin'}:{mine['PATH']}"}
    stage = instructions()[: [word for word, _ in instructions()].index("FROM", 2)]
    for script in (rest for word, rest in stage if word == "RUN"):
        moved = re.sub(r"/opt/", f"{tmp_path}/opt/", script)
        subprocess.run([BASH, "-e", "-c", moved], cwd=tmp_path / "src", env=environment, check=True)
    program = tmp_path / "opt/reconciler/bin/reconciler"
    shown = subprocess.check_output([program, "--version"], env=environment, text=True)
    assert reconciler.__version__ in shown
