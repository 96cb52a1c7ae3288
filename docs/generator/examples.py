"""Takes the examples of keys.yaml out of the documentation, for other programs to check.

    python docs/generator/examples.py FOLDER

Those that are wrong on purpose stay behind: their first line calls them broken.yaml.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]

_BLOCK: Final = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_VERSION: Final = re.compile(r"^version: 1\b", re.MULTILINE)
_BROKEN: Final = "# broken.yaml\n"


def examples() -> Iterator[tuple[str, str]]:
    """Give each example with a name for it."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for number, block in enumerate(_BLOCK.findall(page.read_text("utf-8"))):
            if _VERSION.search(block) and not block.startswith(_BROKEN):
                yield f"{page.stem}-{number}.yaml", block


def main() -> None:
    """Write the examples into a folder, and take away what was there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in examples():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
