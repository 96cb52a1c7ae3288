"""A declaration as it was at a revision, read with the git program."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from reconciler.declaration import SourceFile
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_EMPTY = b"version: 1\nenvironments: {}\n"


def sources_at(revision: str, file: Path) -> list[SourceFile]:
    """Read a file, or the `*.yaml` of a folder, as they were at a revision; where nothing was, nothing was declared.

    Raises UsageError when there is no git, no repository or no such revision.
    """
    folder, wanted = (file, "") if file.is_dir() else (file.parent, file.name)
    _git(folder, revision, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    listed = _git(folder, revision, "ls-tree", "-z", "--end-of-options", revision, "./").decode(errors="replace")
    sources = []
    for entry in listed.split("\0")[:-1]:
        # "100644 blob <id>\t<name>"; only a regular file counts, a link might point anywhere.
        about, _, name = entry.partition("\t")
        mode, kind, identity = about.split(" ")
        if kind != "blob" or mode == "120000" or not _counts(name, wanted):
            continue
        content = _git(folder, revision, "cat-file", "blob", identity)
        sources.append(SourceFile(f"git:{revision}:{name}", folder, content))
    return sources or [SourceFile(f"git:{revision}:{wanted or folder}", folder, _EMPTY)]


def _counts(name: str, wanted: str) -> bool:
    return name == wanted if wanted else name.endswith(".yaml") and not name.startswith(".")


def _git(folder: Path, revision: str, *arguments: str) -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)  # noqa: S603  # an argv, no shell
    except FileNotFoundError:
        msg = f"--base git:{revision} needs the git program, which was not found; give a path instead"
        raise UsageError(msg) from None
    except subprocess.CalledProcessError as error:
        words = " ".join(error.stderr.decode(errors="replace").split()) or "there is no such revision"
        msg = f"--base git:{revision} cannot be read: {words} (in CI, check out with the full history)"
        raise UsageError(msg) from None
    return done.stdout
