"""Goal: have a secret written to a file that does something by itself, over somebody's work, or where others get it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.command import call

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Ended, Front

FILE = """\
version: 1
destinations:
  local: {{type: dotenv, path: {path}}}
environments:
  ci:
    deliver: [{{to: local, as: {name}}}]
    keys: {{a: {{credit_limit: 1}}}}
"""

CONFIG = "[core]\n\tfsmonitor = false\n"
HOOK = "#!/bin/sh\nexit 0\n"
ASSIGNING_HOOK = "#!/bin/sh\nSTAGE=1\n"
MAKEFILE = "CC = gcc\nall:\n\techo built\n"
NPMRC = "registry=https://registry.example\n//registry.example/:_authToken=x\n"
PIP = "[global]\nindex-url = https://index.example\n"


@pytest.fixture
def tree(front: Front, tmp_path: Path) -> Path:
    """Give a repository that ignores whatever an attacker might want to have written."""
    subprocess.run(["git", "init", "--quiet", tmp_path / "tree"], check=True)  # noqa: S607  # the git of the machine
    (tmp_path / "tree" / ".git" / "info" / "exclude").write_text("*\n")
    os.chdir(tmp_path / "tree")  # `front` brings us back
    front.options = ("--simulator", str(tmp_path / "sim.db"))
    return tmp_path / "tree"


def attack(front: Front, path: str, name: str = "NAGA_A") -> Ended:
    return front.write(FILE.format(path=path, name=name))("apply", "--auto-approve")


@pytest.mark.parametrize(
    ("path", "content", "mode"),
    [
        (".git/config", CONFIG, 0o644),
        (".git/hooks/pre-commit", HOOK, 0o755),
        (".git/new", None, 0),
        (".github/workflows/x.yml", None, 0),
        ("deep/.GITHUB/x.env", None, 0),
        ("to-git/config", CONFIG, 0o644),
        ("to-config", CONFIG, 0o644),
        ("deploy.sh", ASSIGNING_HOOK, 0o755),
        ("Makefile", MAKEFILE, 0o644),
        (".npmrc", NPMRC, 0o644),
        ("pip.conf", PIP, 0o644),
        ("words", "alpha\nbeta\n", 0o644),
        ("keys.yaml", None, 0),
    ],
)
def test_a_file_that_acts_keeps_its_content(
    front: Front, tree: Path, path: str, content: str | None, mode: int
) -> None:
    (tree / "to-git").symlink_to(".git")
    (tree / "to-config").symlink_to(".git/config")
    if content is not None:
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(content)
        (tree / path).chmod(mode)
    ended = attack(front, path)
    assert (ended.code, front.names()) == (1, [])
    assert "NAGA_A" not in ((tree / path).read_text() if content is not None else "")
    assert content is not None or path == "keys.yaml" or not (tree / path).exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "BASH_ENV", "path", "GIT_SSH_COMMAND", "NAGA_BASE_URL"])
def test_no_program_is_led_astray_by_a_variable(front: Front, tree: Path, name: str) -> None:
    front.write(FILE.format(path="x.env", name=name))
    for ended in (call("validate"), front("plan"), front("apply", "--auto-approve")):
        assert ended.code == 1
        assert "keys.yaml:6:" in ended.err
    assert not (tree / "x.env").exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "BASH_ENV", "path", "GIT_SSH_COMMAND", "CI_JOB_TOKEN"])
def test_no_job_of_gitlab_is_led_astray_by_a_variable(front: Front, name: str) -> None:
    text = FILE.format(path="x.env", name=name).replace("type: dotenv, path: x.env", "type: gitlab-ci, project: a/b")
    assert "gitlab-ci" in text
    front.write(text)
    for ended in (call("validate"), front("plan"), front("apply", "--auto-approve")):
        assert ended.code == 1
        assert "keys.yaml:6:" in ended.err


@pytest.mark.parametrize("way", ["../elsewhere.env", "link.env", "folder/elsewhere.env"])
def test_what_looks_like_the_repository_is_in_it(front: Front, tree: Path, tmp_path: Path, way: str) -> None:
    (tree / "link.env").symlink_to(tmp_path / "elsewhere.env")
    (tree / "folder").symlink_to(tmp_path)
    assert attack(front, way).code == 1
    assert not (tmp_path / "elsewhere.env").exists()
    assert attack(front, f"{way}, outside: true").code == 0
    assert "NAGA_A" in (tmp_path / "elsewhere.env").read_text()


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "stdout", "pipe"])
def test_a_secret_is_not_shown_by_way_of_a_device(front: Front, tree: Path, path: str) -> None:
    (tree / "stdout").symlink_to("/dev/stdout")
    os.mkfifo(tree / "pipe")
    ended = attack(front, f"{path}, outside: true")
    assert (ended.code, front.names()) == (1, [])


def test_a_file_made_beforehand_gets_nothing(front: Front, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user makes the file, world-readable or with a descriptor of theirs open, and waits for the secret."""
    (tree / "x.env").write_text("MINE=1\n")
    monkeypatch.setattr(os, "geteuid", lambda: (tree / "x.env").stat().st_uid + 1)
    ended = attack(front, "x.env")
    assert (ended.code, front.names()) == (1, [])
    assert (tree / "x.env").read_text() == "MINE=1\n"


@pytest.mark.parametrize("ignored", ["", "/x.env\n!/x.env\n", "/other/\n"])
def test_a_secret_is_not_left_for_the_next_commit(front: Front, tree: Path, ignored: str) -> None:
    (tree / ".git" / "info" / "exclude").write_text("")
    (tree / ".gitignore").write_text(ignored)
    ended = attack(front, "x.env")
    assert (ended.code, front.names()) == (1, [])
    assert "/x.env" in ended.err
    assert not (tree / "x.env").exists()
    assert attack(front, "x.env, tracked: true").code == 0


def test_a_file_that_git_tracks_already_counts_as_taken(front: Front, tree: Path) -> None:
    (tree / "x.env").touch()
    subprocess.run(["git", "add", "--force", "x.env"], check=True)  # noqa: S607  # the git of the machine
    ended = attack(front, "x.env")
    assert (ended.code, front.names()) == (1, [])
    assert "git rm --cached x.env" in ended.err


def test_a_declaration_that_becomes_a_folder_takes_no_secrets_along(front: Front, tree: Path) -> None:
    (tree / ".git" / "info" / "exclude").write_text("/.secrets/\n/keys.yaml\n")
    text = FILE.format(path=".secrets/ci.env", name="NAGA_A")
    assert front.write(text)("apply", "--auto-approve").code == 0
    (tree / "keys").mkdir()
    (tree / "keys.yaml").rename(tree / "keys" / "settings.yaml")
    ended = front("apply", "--auto-approve", "-f", "keys", "--rotate", "ci/a")
    assert ended.code == 1
    assert "/keys/.secrets/" in ended.err
    assert not (tree / "keys" / ".secrets").exists()


def test_a_huge_quoted_value_does_not_stop_the_run(front: Front, tree: Path) -> None:
    (tree / "x.env").write_text(f"X='{'#' * 1_000_000}'\nNAGA_A=old {'#' * 1_000_000}\n")
    assert attack(front, "x.env").code == 0
