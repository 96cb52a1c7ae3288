"""Files as they really are: what lies behind links, and whose repository they are in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_GIT: Final = ".git"


def real_path(path: str | Path) -> str:
    """Give the absolute path behind all symbolic links, also of what does not exist (yet).

    `Path.resolve` raises on a circle of links; here the circle stays in the path, and opening it fails.
    """
    return os.path.realpath(path)


def repository_of(path: str | Path) -> str | None:
    """Give the real path of the top folder of the git work tree that a path is in, None where it is in none.

    The nearest folder that holds an entry `.git` counts, as it does for git. Git itself isn't asked: its answer would
    depend on variables and on who owns the folder.
    """
    folder = real_path(path)
    while not os.path.lexists(os.path.join(folder, _GIT)):  # noqa: PTH118  # text is faster, and there may be many
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            return None
        folder = above
    return folder
