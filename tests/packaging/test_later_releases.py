"""What is installed when everything has had a newer release since it was pinned: what is pinned, and nothing else.

A made-up index holds each pinned release, with what it really asks for, and a later one that nobody pinned. What
installs from requirements/ is run against it as it stands, by the pip that this Python brings and by the newest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

import pytest
import yaml

import reconciler
from reconciler.cli.init import fill
from support.command import call
from support.offline import copy_of_the_project
from support.packages import ROOT, pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.proof

LATER: Final = "9999"
WORKING: Final = {*pins("build"), "pip"}
"""What has to work during an installation; of the rest, only the metadata is needed."""
ACTION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_bytes())
(INSTALL,) = (step["run"] for step in ACTION["runs"]["steps"] if "Install" in step["name"])
TEST_VENV: Final = ".venv-test-{}.{}".format(*sys.version_info)


def files(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield what an installed package brought, apart from its metadata."""
    for path in distribution(name).files or ():
        if not path.parts[0].endswith(("..", ".dist-info")) and path.suffix != ".pyc":
            yield path.as_posix(), path.read_binary()


def made(name: str, version: str, folder: Path) -> str:
    """Make a wheel that asks for what the installed package asks for; give its file name with its hash."""
    stem = f"{name.replace('-', '_')}-{version}"
    asks = "".join(f"Requires-Dist: {each}\n" for each in distribution(name).requires or ())
    about = f"{stem}.dist-info"
    path = folder / f"{stem}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        if name in WORKING and version != LATER:
            for file, data in files(name):
                archive.writestr(file, data)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{asks}")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return f"{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


class Machine:
    """A checkout of the project beside an index in which everything has had a later release."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        copy_of_the_project(self.checkout)
        simple = folder / "simple"
        pinned = {name: f"{name}=={version}" for name, version in pins("dev").items()}
        for name in pinned:
            (simple / name).mkdir(parents=True)
            wheels = [made(name, version, simple / name) for version in (str(pins("dev")[name]), LATER)]
            (simple / name / "index.html").write_text("".join(f'<a href="{it}">{it}</a>\n' for it in wheels), "utf-8")
            pinned[name] += f" --hash=sha256:{wheels[0].rpartition('=')[2]}\n"
        for file in ("build", "runtime", "dev"):
            lines = [line for name, line in pinned.items() if name in pins(file)]
            self.list(file).write_text("".join(lines), "utf-8")
        self.newest_pip = next((simple / "pip").glob(f"pip-{pins('dev')['pip']}-*.whl"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "COV", "PYTHON"))}
        self.environment = {
            **kept,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_COMPILE": "1",
            "PIP_INDEX_URL": simple.as_uri(),
            "PATH": f"{folder / 'python' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "RUNNER_TEMP": str(folder),
            "GITHUB_ACTION_PATH": str(self.checkout),
        }
        self.folder = folder

    def list(self, name: str) -> Path:
        return self.checkout / "requirements" / f"{name}.txt"

    def python(self, where: Path, *, newest: bool) -> None:
        """Make a Python with the pip that it brings, or with the newest."""
        self.run(sys.executable, "-I", "-m", "venv", str(where))
        if newest:
            self.run(sys.executable, "-I", "-m", "pip", "--python", str(where), "install", str(self.newest_pip))

    def run(self, *words: str, fails: bool = False) -> None:
        done = subprocess.run(
            words,
            cwd=self.checkout,
            env=self.environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode != 0) is fails, done.stdout

    def installed(self, where: Path) -> dict[str, str]:
        list_of = [sys.executable, "-I", "-m", "pip", "--python", str(where), "list", "--format", "json"]
        listed = json.loads(subprocess.check_output(list_of, env=self.environment, stderr=subprocess.DEVNULL))
        return {each["name"]: each["version"] for each in listed}


def attack(machine: Machine) -> None:
    """Offer two wheels of somebody else under the name of reconciler: of a later version and of the very same."""
    offers = machine.folder / "simple" / "naga-reconciler"
    offers.mkdir()
    for version in (reconciler.__version__, LATER):
        wheel = f"naga_reconciler-{version}-py3-none-any.whl"
        with ZipFile(offers / wheel, "w") as archive:
            about = f"naga_reconciler-{version}.dist-info"
            archive.writestr("reconciler/__init__.py", "import stolen\n")
            archive.writestr("stolen.py", "")
            archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: naga-reconciler\nVersion: {version}\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
    (offers / "index.html").write_text("".join(f'<a href="{file.name}">{file.name}</a>\n' for file in offers.iterdir()))


def init(machine: Machine, *words: str) -> None:
    """Write what a job installs, with the hashes of what the made-up index has of it."""
    assert call("init", "--pins", str(machine.folder / "pins"), *words).code == 0
    list_of = machine.folder / "pins" / "requirements.txt"
    text = list_of.read_text("utf-8")
    for name, version in pins("runtime").items():
        wheel = machine.folder / "simple" / name / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        hashed = hashlib.sha256(wheel.read_bytes()).hexdigest()
        text = re.sub(rf"(?m)^({name}==[^\n]*\n)(?: +--hash.*\n)+", rf"\g<1>    --hash=sha256:{hashed}\n", text)
    list_of.write_text(text, "utf-8")


def job(machine: Machine, *, fails: bool = False) -> None:
    """Run the step of init's workflows that installs."""
    (script,) = (
        step["run"] for step in yaml.safe_load(fill("install.yml", {"pins": "", "checkout": ""})) if "run" in step
    )
    bash = [shutil.which("bash") or "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c"]
    machine.run(*bash, f'cd "$RUNNER_TEMP/pins" && {script}', fails=fails)


def test_a_job_of_init_installs_reconciler_as_it_runs_here_whatever_an_index_offers(machine: Machine) -> None:
    attack(machine)
    init(machine)
    job(machine)
    there = machine.installed(machine.folder / "reconciler")
    assert there["naga-reconciler"] == reconciler.__version__
    assert there.keys() - {"naga-reconciler"} <= pins("runtime").keys()
    assert [*(machine.folder / "reconciler").rglob("stolen*")] == []
    assert [*(machine.folder / "reconciler").rglob("reconciler/cli/main.py")] != []


def test_a_release_that_an_index_has_replaced_is_not_installed(machine: Machine) -> None:
    attack(machine)
    init(machine, "--package", f"naga-reconciler=={reconciler.__version__} --hash=sha256:{'0' * 64}")
    job(machine, fails=True)
    assert "naga-reconciler" not in machine.installed(machine.folder / "reconciler")
    assert [*(machine.folder / "reconciler").rglob("stolen*")] == []


def expected(*lists: str) -> dict[str, str]:
    return {name: str(version) for file in lists for name, version in pins(file).items()}


@pytest.fixture(params=[False, True], ids=["the pip that Python brings", "the newest pip"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.python(tmp_path / "python", newest=request.param)
    machine.python(machine.checkout / ".venv", newest=request.param)
    return machine


def test_make_and_the_action_install_what_is_pinned_and_nothing_else(machine: Machine) -> None:
    own = {"naga-reconciler": reconciler.__version__}
    brought = {name: version for name, version in machine.installed(machine.folder / "python").items() if name != "pip"}

    machine.run("make", f"{TEST_VENV}/.installed")
    assert machine.installed(machine.checkout / TEST_VENV) == brought | expected("dev")
    machine.run("make", ".venv/.installed")
    demo = machine.installed(machine.checkout / ".venv")
    assert demo.items() >= (own | expected("build", "runtime")).items()
    assert demo.keys() == {*brought, *own, "pip", *expected("build", "runtime")}
    machine.run("make", "dev")
    assert machine.installed(machine.checkout / ".venv") == brought | own | expected("dev")
    machine.run(shutil.which("bash") or "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", INSTALL)
    assert machine.installed(machine.folder / "reconciler") == own | expected("build", "runtime")


def test_what_a_list_lacks_is_noticed(machine: Machine) -> None:
    for file in ("dev", "runtime"):
        (httpx,) = (line for line in machine.list(file).read_text("utf-8").splitlines() if line.startswith("httpx=="))
        machine.list(file).write_text(f"{httpx}\n", "utf-8")
    machine.run("make", f"{TEST_VENV}/.installed", fails=True)
    assert not (machine.checkout / TEST_VENV / ".installed").exists()
    machine.run("make", "dev", fails=True)
    assert not (machine.checkout / ".venv" / ".installed").exists()
    machine.run(
        shutil.which("bash") or "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", INSTALL, fails=True
    )
