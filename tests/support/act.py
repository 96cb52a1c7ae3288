"""GitHub's workflows, run by act on this machine: no Docker, no network."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from support.gh import GitHubProgram
from support.offline import without_index

if TYPE_CHECKING:
    from collections.abc import Iterator

ACT: Final = Path(sys.executable).with_name("act")
CHECKOUT: Final = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8"
SETUP_PYTHON: Final = "actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c"
PATIENCE: Final = 120.0
_EXIT: Final = re.compile(r"exit status (\d+)")
_CHECKOUT_STUB: Final = """\
name: Check out
description: A branch of the repository; act itself checks out the commit of the event
inputs: {ref: {required: true}, fetch-depth: {}, persist-credentials: {}}
runs:
  using: composite
  steps:
    - shell: bash
      run: git clone --quiet --branch "$REF" "$TEST_REPOSITORY" .
      env:
        REF: ${{ inputs.ref }}
"""
_STUB: Final = """\
name: Set up Python
description: The Python that runs the tests
inputs: {python-version: {description: is not looked at}}
runs:
  using: composite
  steps:
    - shell: bash
      run: echo "$TEST_PYTHON" >> "$GITHUB_PATH"
"""


@dataclass
class Run:
    """How a workflow ended and what it said."""

    code: int = -1
    jobs: dict[str, str] = field(default_factory=dict)
    """What became of each job that ran, by its name; those of a matrix are named for their part of it."""
    log: str = ""
    said: str = ""
    """What the steps themselves wrote."""
    summaries: list[str] = field(default_factory=list)
    annotations: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    """The exit codes of the steps that failed."""
    failed: set[str] = field(default_factory=set)
    """The jobs with a step that failed: once one of a matrix fails, act says so of those that end after it as well."""

    def read(self, line: str) -> None:
        """Take in a line of act's log."""
        self.log += line
        entry = json.loads(line)
        name = " ".join([entry.get("jobID", ""), *(entry.get("matrix") or {}).values()])
        match entry:
            case {"jobResult": "failure", "matrix": _} if name not in self.failed:
                self.jobs[name] = "success"
            case {"jobResult": str(result)}:
                self.jobs[name] = result
            case {"stepResult": "failure"}:
                self.failed.add(name)
            case {"command": "summary", "content": str(content)}:
                self.summaries.append(content)
            case {"command": ("error" | "warning" | "notice") as command, "arg": str(text)}:
                self.annotations.append((command, entry.get("kvPairs") or {}, text))
            case {"command": "set-output", "name": str(output), "arg": str(value)}:
                self.outputs[output] = value
            case {"level": "error", "msg": str(message)} if found := _EXIT.fullmatch(message):
                self.exits.append(int(found[1]))
            case {"raw_output": True, "msg": str(message)}:
                self.said += message
            case _:
                pass


class Actions:
    """A machine that runs workflows of the repository in the working folder."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        folder.mkdir()
        checkout, stub, python, home = (folder / name for name in ("checkout", "setup-python", "python", "home"))
        for each in (checkout, stub, python, home):
            each.mkdir()
        (checkout / "action.yml").write_text(_CHECKOUT_STUB, "utf-8")
        (stub / "action.yml").write_text(_STUB, "utf-8")
        self._python = python
        self._shortcut = ""
        self._venv = _venv_with(folder / "packages")
        self._give_python("")
        mine = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.gh = GitHubProgram(folder / "gh")
        there = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TEST_PYTHON": str(python)}
        there["TEST_REPOSITORY"] = str(Path.cwd())
        there["PATH"] = f"{self.gh.folder}:{os.environ['PATH']}"
        self._environment = {**mine, **there, **without_index(folder), **variables}
        self._stubs = (f"{CHECKOUT}={checkout}", f"{SETUP_PYTHON}={stub}")

    @contextmanager
    def installing(self) -> Iterator[None]:
        """Have each job install what it runs, for as long as this lasts."""
        self._give_python("")
        yield
        self._give_python(self._shortcut)

    def install_once(self, workflow: Path, pins: Path) -> None:
        """Do what the step that installs does, and have each job find that done: it takes longest of all."""
        jobs = yaml.safe_load(workflow.read_bytes())["jobs"].values()
        (script,) = {step["run"] for job in jobs for step in job["steps"] if step.get("name", "").startswith("Install")}
        kept = _installed(script, tuple(sorted((file.name, file.read_bytes()) for file in pins.iterdir())))
        make = f'"-I -m venv --without-pip "*) exec ln -sfn "{kept}" "$5" ;;'
        self._shortcut = f'case "$*" in {make} "-I -m pip --python "*) exit ;; esac\n'
        self._give_python(self._shortcut)

    def _give_python(self, shortcut: str) -> None:
        for name in ("python", "python3"):
            _write_python(self._python / name, f"{shortcut}{self._venv}")

    def run(self, workflow: str, event_name: str, event: dict[str, Any], **options: Any) -> Run:
        """Run a workflow to its end."""
        with self.started(workflow, event_name, event, **options) as process:
            return self.end(process)

    @contextmanager
    def started(
        self, workflow: str, event_name: str, event: dict[str, Any], *, only: str = "", job: str = "", **secrets: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a workflow, or one `job` of it; of a matrix, `only` names the one environment to run."""
        file = self.folder / "event.json"
        file.write_text(json.dumps(event), "utf-8")
        words = [str(ACT), event_name, "-W", workflow, "-e", str(file), "-P", "ubuntu-latest=-self-hosted", "--json"]
        words += [word for stub in self._stubs for word in ("--local-repository", stub)]
        words += [word for name, value in secrets.items() for word in ("-s", f"{name}={value}")]
        words += ["--matrix", f"environment:{only}"] if only else []
        words += ["--job", job] if job else []
        for name in ("GITHUB_API_URL", "NAGA_BASE_URL"):
            words += ["--env", f"{name}={self._environment[name]}"] if name in self._environment else []
        process = subprocess.Popen(
            words,
            env=self._environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def end(self, process: subprocess.Popen[str]) -> Run:
        """Wait for a workflow and give how it ended."""
        out, _ = process.communicate(timeout=PATIENCE)
        run = Run(process.returncode)
        for line in out.splitlines(keepends=True):
            if line.startswith("{"):
                run.read(line)
            else:
                run.log += line
        return run


def _write_python(script: Path, shortcut: str) -> None:
    script.write_text(f'#!/bin/sh\n{shortcut}exec "{sys.executable}" "$@"\n', "utf-8")
    script.chmod(0o755)


@functools.cache
def _installed(script: str, pins: tuple[tuple[str, bytes], ...]) -> Path:
    """Run the script of a step that installs what a folder pins; gives where it has put that."""
    folder = Path(tempfile.mkdtemp(prefix="installed-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "pins").mkdir()
    for name, data in pins:
        (folder / "pins" / name).write_bytes(data)
    _write_python(folder / "python", _venv_with(folder / "packages"))
    there = {"PATH": f"{folder}:{os.environ['PATH']}", "RUNNER_TEMP": str(folder)}
    mine = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    subprocess.run(
        [shutil.which("bash") or "bash", "-e", "-c", script],
        cwd=folder / "pins",
        env={**mine, **without_index(folder), **there},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder / "reconciler"


def _venv_with(packages: Path) -> str:
    """Have a venv find these packages: isolated, as the jobs run it, pip looks at no PYTHONPATH."""
    # The folder of the venv is the last word of the command.
    put = f'for site in "$last"/lib/python*/site-packages; do echo "{packages}" > "$site/found.pth"; done'
    return f'for last; do :; done; case "$*" in *"-m venv "*) "{sys.executable}" "$@" && {put}; exit ;; esac\n'


FOREIGN: Final = (
    *("NAGA_", "GITHUB_", "RUNNER_", "ACTIONS_", "ACT_", "GIT_"),
    *("PIP_", "PYTHON", "VIRTUAL_ENV", "COV_", "COVERAGE_", "MAKE", "MFLAGS"),
)
"""What the surroundings of the tests, another runner or make among them, have and a fresh machine has not."""


def find_step(process: subprocess.Popen[str], word: str) -> int:
    """Give the process of a step, among what a workflow has started, once its command line has this word in it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for pid in _descendants(process.pid):
            if word in _command_line(pid):
                return pid
        time.sleep(0.02)
    raise AssertionError(word)


def cancel(pid: int) -> None:
    """End a step as a cancelled workflow does: SIGINT, and SIGTERM to what is still there 7.5 seconds later."""
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 7.5
    while time.monotonic() < deadline:
        if not _command_line(pid):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGTERM)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8").split("\0")
    except OSError:
        return []
