"""Makes the pictures of the documentation, and the parts of its text that the program knows best.

    make pictures

Every output is the same bytes each time; tests/docs makes them anew and compares, so that none of them can rot.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import protocol
import schema
import screen
import tables
import timeline
import workflows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("docs/commands.md", "docs/keys-yaml.md", "docs/protocol.md")

GROUPS: Final = (
    *("file", "environment", "lease", "key", "raise", "delivery", "destination"),
    *("guardrails", "alerts", "spend-spike"),
)

_BLOCK: Final = re.compile(r"(<!-- made: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "commands": tables.commands,
    "destinations": tables.destinations,
    "flags": tables.flags,
    "faults": tables.faults,
    **{f"fields-{group}": partial(tables.fields, group) for group in GROUPS},
    "life": protocol.life,
    "stages": protocol.stages,
    **{f"crashes-{each.name}": partial(protocol.table, each) for each in protocol.ALL},
}


def outputs() -> Iterator[tuple[str, str]]:
    """Make everything: paths below the root of the project, and what belongs there."""
    for theme, picture in screen.plans():
        yield f"docs/images/plan-{theme}.svg", picture
    for each in protocol.DRAWN:
        yield f"docs/images/{each.name}.svg", timeline.draw(each)
    yield from workflows.outputs()
    yield from schema.outputs()
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        yield page, _BLOCK.sub(lambda match: f"{match[1]}{_BLOCKS[match['name']]()}\n{match[3]}", text)


def main() -> None:
    """Write the outputs, into the project unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT, metavar="FOLDER")
    folder: Path = parser.parse_args().into
    for name, text in outputs():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
