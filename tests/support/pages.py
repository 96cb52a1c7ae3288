"""The pages of the documentation, and what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_MADE: Final = re.compile(r"<!-- made: (?P<name>[a-z-]+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """A line that a page tells its readers to type, and what it shows them then."""

    line: str
    output: str


def read(page: Path | str) -> str:
    return (ROOT / page).read_text("utf-8")


def made(page: Path | str) -> dict[str, str]:
    """Give the parts of a page that docs/generator made, by name."""
    return {match["name"]: match["text"] for match in _MADE.finditer(read(page))}


def by_hand(page: Path | str) -> str:
    """Give a page without the parts that docs/generator made."""
    return _MADE.sub("", read(page))


def blocks(text: str, language: str) -> list[str]:
    return [match["text"] for match in _BLOCK.finditer(text) if match["language"] == language]


def commands(block: str) -> Iterator[Command]:
    """Read a console block: each line after `$ `, and the lines that follow it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


def file_name(block: str) -> str:
    """Give the file that a block is, as its first line says (`# keys.yml`); empty when it does not."""
    first = block.partition("\n")[0]
    match = re.fullmatch(r"# ([\w./-]+\.ya?ml)", first)
    return match[1] if match else ""
