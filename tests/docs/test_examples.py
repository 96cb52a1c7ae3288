"""Whoever does what the documentation says gets what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

import reconciler
from reconciler.declaration import load
from reconciler.errors import ReconcilerError
from reconciler.formatting.canonical import formatted
from reconciler.simulator import State
from reconciler.simulator.app import create_app
from support import pages
from support.declarations import source
from support.packages import ROOT
from support.simulation import names, served

BIN = Path(sys.executable).parent
BASH = shutil.which("bash") or "bash"
WRONG_ON_PURPOSE: Final = {"broken.yaml"}
LONG: Final = {"commands.md", "insight.md", "tutorial-existing.md", "tutorial-new.md"}
"""Pages with so many commands that only the proof runs them."""
EXAMPLES = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in pages.PAGES
    for number, block in enumerate(pages.blocks(pages.by_hand(page), "yaml"))
    if not pages.file_name(block)
]
COMPLETE: Final = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in pages.PAGES
    for number, block in enumerate(pages.blocks(pages.by_hand(page), "yaml"))
    if re.search(r"(?m)^version:", block) and pages.file_name(block) not in WRONG_ON_PURPOSE
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "keys.yaml.example", tmp_path)
    shutil.copy(ROOT / "keys.yaml.example", tmp_path / "keys.yaml")
    return tmp_path


def surroundings(folder: Path, **variables: str) -> dict[str, str]:
    """Give an environment with our command in its PATH, an author for git, and nothing of whoever runs the tests."""
    left = {name: value for name, value in os.environ.items() if not name.startswith(("NAGA_", "GIT_"))}
    author = {
        f"GIT_{who}_{what}": "reader@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}"}
    return {**left, **author, **own, **variables}


def at_a_terminal(lines: str, answer: str, environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """Type lines at a terminal, answer the one question that they ask; give the exit code and what was shown."""
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "wb") as terminal:
        os.write(ours, answer.encode())
        shell = [BASH, "-c", lines]
        process = subprocess.Popen(shell, cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    shown = bytearray()
    with suppress(OSError):  # how Linux says that nobody holds the other end any more
        while chunk := os.read(ours, 65_536):
            shown += chunk
    os.close(ours)
    return process.wait(), shown.decode()


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_a_file_is_valid(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(text, "utf-8")
    assert load(tmp_path / "keys.yaml").naming


@pytest.mark.parametrize("text", COMPLETE)
def test_every_whole_file_is_in_the_form_that_fmt_gives_it(text: str) -> None:
    assert formatted(source(text)).decode() == text


@pytest.mark.proof
def test_the_quick_start_takes_an_account_over_and_writes_the_workflows(folder: Path) -> None:
    """Of the README: what is installed and exported there is given here, and the account has a key already."""
    (block,) = pages.blocks(pages.read("README.md"), "bash")
    lines = [line for line in block.splitlines() if not re.match(r"export |uv ", line)]
    assert [line.split()[1] for line in lines] == ["import", "plan", "init"]
    (folder / "keys.yaml").unlink()
    with State(folder / "account.db") as state, served(create_app(state)) as address:
        state.create_key("production/api", credit_limit=Decimal(1))
        script = "\n".join(["set -e", "git init --quiet", "git remote add origin git@github.com:acme/api.git", *lines])
        reader = surroundings(folder, NAGA_BASE_URL=address, NAGA_PROVISIONING_KEY="a-provisioning-key")
        done = subprocess.run(
            [BASH, "-c", script], cwd=folder, env=reader, check=False, stdout=-1, stderr=-2, text=True
        )
        assert done.returncode == 0, done.stdout
        assert "No changes." in done.stdout
        assert names(state) == ["production/api"]
    assert (folder / ".github/reconciler/requirements.txt").is_file()


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.proof] if page.name in LONG else [], id=page.name)
        for page in pages.PAGES
        if page.name != "README.md"
    ],
)
def test_every_command_of_a_page_shows_what_the_page_shows(page: Path, folder: Path) -> None:
    text = pages.by_hand(page)
    for block in pages.blocks(text, "yaml"):
        if name := pages.file_name(block):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(block, "utf-8")
    for block in pages.blocks(text, "console"):
        for command in pages.commands(block):
            done = subprocess.run(
                [BASH, "-c", command.line],
                cwd=folder,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=surroundings(folder),
            )
            assert done.stdout == command.output


def test_every_link_leads_somewhere() -> None:
    others = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    for page in (*pages.PAGES, *others):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_readme_stays_short() -> None:
    assert len(pages.read("README.md").splitlines()) <= 120


def test_every_rule_that_a_plan_names_is_explained() -> None:
    sources = (Path(reconciler.__file__).parent / "planning").glob("*.py")
    rules = {rule for file in sources for rule in re.findall(r'Finding\(\s*"([a-z-]+)"', file.read_text("utf-8"))}
    assert "guardrail-loosened" in rules
    page = pages.read("docs/troubleshooting.md")
    assert [rule for rule in sorted(rules) if f"`{rule}`" not in page] == []


def exit_codes(kind: type[ReconcilerError] = ReconcilerError) -> set[int]:
    return {kind.exit_code}.union(*(exit_codes(each) for each in kind.__subclasses__()))


@pytest.mark.parametrize("page", ["docs/troubleshooting.md", "docs/commands.md"])
def test_every_exit_code_is_explained(page: str) -> None:
    success, pending = 0, 2
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", pages.read(page), re.MULTILINE)}
    assert documented | {success} == exit_codes() | {success, pending}


def test_every_environment_variable_that_the_program_reads_is_explained() -> None:
    sources = [file.read_text("utf-8") for file in Path(reconciler.__file__).parent.rglob("*.py")]
    text = "\n".join(sources)
    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', text)) | set(re.findall(r'VARIABLE: Final = "(\w+)"', text))
    assert "NAGA_PROVISIONING_KEY" in read
    page = pages.read("docs/commands.md")
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []
