"""The documentation as a site that needs no network: lays its pages out, and completes what Zensical builds of them.

    make site

The site is read from a disk as well as from a server. So links to the rest of the repository become names of files, and
what its search needs on a disk is part of it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1]
ROOT: Final = DOCS.parent
SHIM: Final = "https://unpkg.com/iframe-worker/shim"
"""What Zensical's pages load from the web, to have a search on a disk."""
OURS: Final = "assets/javascripts/iframe-worker.js"

_OUTSIDE: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?:\.\./)+[^)]*|examples/[^)]*)\)")


def lay_out(folder: Path) -> None:
    """Copy the pages and pictures into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in sorted([*DOCS.rglob("*.md"), *DOCS.glob("images/*")]):
        place = folder / file.relative_to(DOCS)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            text = file.read_text("utf-8")
            place.write_text(_OUTSIDE.sub(partial(_named, file), text), "utf-8")
        else:
            shutil.copy(file, place)


def _named(page: Path, found: re.Match[str]) -> str:
    target = (page.parent / found["target"].partition("#")[0]).resolve()
    if target.is_relative_to(DOCS) and target.suffix == ".md":
        return found[0]
    name = target.relative_to(ROOT).as_posix()
    text = found["text"].strip("`")
    return f"`{name}`" if name.endswith(text) else f"{found['text']} (`{name}`)"


def complete(site: Path) -> None:
    """Put what the pages would load from the web into the site."""
    shutil.copy(Path(__file__).with_name("iframe-worker.js"), site / OURS)
    for page in site.rglob("*.html"):
        way = "../" * (len(page.relative_to(site).parts) - 1)
        page.write_text(page.read_text("utf-8").replace(SHIM, f"{way}{OURS}"), "utf-8")


def main(folder: Path) -> None:
    """Build the site in FOLDER/site; a link that leads nowhere ends with an error."""
    lay_out(folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    zensical = Path(sys.executable).with_name("zensical")
    subprocess.run([zensical, "build", "--strict", "--clean"], cwd=folder, check=True)  # noqa: S603  # our own words
    complete(folder / "site")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
