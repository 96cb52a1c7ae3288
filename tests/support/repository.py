"""A git repository around the working folder, for what is read from its history."""

from __future__ import annotations

import os
import shutil
import subprocess

GIT = shutil.which("git") or "git"
_AUTHOR = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(*words: str) -> str:
    """Run git in the working folder, whatever whoever runs the tests has configured."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run([GIT, *words], env={**left, **_AUTHOR, **quiet}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(message: str = "a change") -> str:
    """Commit all that is there and give the revision; the first time, this makes the folder a repository."""
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")
