"""What git knows about the repository that a folder is in."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError

NAME: Final = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+?", re.ASCII)
"""owner/name, as GitHub has them."""

_REMOTE: Final = re.compile(rf"(?:(?:https?|ssh|git)://[^/]+/|[^/:]+:)(?P<name>{NAME.pattern})(?:\.git)?/?", re.ASCII)
_NOT_GITHUB: Final = re.compile(
    r"(?:[a-z+]+://)?(?:[^@/]+@)?(?P<host>(?:[^/:]*\.)?(?:gitlab|bitbucket)\.[^/:]+)", re.ASCII
)
_USUAL: Final = ("origin/main", "origin/master", "main", "master")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: its top folder, its default branch and, where a remote tells, its owner/name on the server.

    `elsewhere` is the host of a remote that is known to be no GitHub.
    """

    root: Path
    branch: str
    name: str | None
    elsewhere: str | None = None


def find_repository(folder: Path) -> Repository:
    """Look at the repository that a folder is in.

    Raises:
        UsageError: there is no such folder, it is in no repository, or there is no git program.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder"
        raise UsageError(msg)
    root = _git(folder, "rev-parse", "--show-toplevel")
    if not root:
        msg = f"{folder} is in no git repository, where the workflows would belong; run `git init` in it first"
        raise UsageError(msg)
    url = _git(folder, "remote", "get-url", "origin")
    found, other = _REMOTE.fullmatch(url), _NOT_GITHUB.match(url)
    if other:
        return Repository(Path(root).resolve(), _default_branch(folder), None, other["host"])
    return Repository(Path(root).resolve(), _default_branch(folder), found["name"] if found else None)


def _default_branch(folder: Path) -> str:
    """Give the branch that the server calls the default one, else a usual or the only one, else what is checked out."""
    if told := _git(folder, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"):
        return told.removeprefix("origin/")
    known = _git(folder, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes/origin").split("\n")
    for usual in _USUAL:
        if usual in known:
            return usual.removeprefix("origin/")
    for only in ([each for each in known if each.startswith("origin/")], known):
        if len(only) == 1 and only != [""]:
            return only[0].removeprefix("origin/")
    return _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD") or "main"


def _git(folder: Path, *arguments: str) -> str:
    """Give what git answers; nothing when it cannot."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)  # noqa: S603  # an argv, no shell
    except FileNotFoundError:
        msg = "the git program was not found, which knows where the repository is; install it"
        raise UsageError(msg) from None
    return done.stdout.decode(errors="replace").rstrip("\n") if done.returncode == 0 else ""
