"""The comments and blank lines of a file, which the YAML parser passes over."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""Where a scalar stands in the text: its first character, and the one behind it."""

_COMMENT: Final = re.compile(r"(?:^|(?<=[ \t]))#.*")
_INK: Final = re.compile(r"[^\n]")


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment or, where `text` is empty, a blank line; `alone` when nothing stands before it on its line."""

    text: str
    index: int
    line: int
    column: int
    alone: bool


class Remarks:
    """Gives the remarks of a text in their order, each once."""

    def __init__(self, text: str, scalars: Iterable[Span]) -> None:
        """Find all remarks outside of the scalars, which stand in the order of the text."""
        self._left = deque(_find(text, scalars))

    def before(self, index: int) -> tuple[str, ...]:
        """Take all that stand before a place."""
        taken = []
        while self._left and self._left[0].index < index:
            taken.append(self._left.popleft().text)
        return tuple(taken)

    def beside(self, line: int, index: int) -> Remark | None:
        """Take the comment on a line behind something, if it stands before a place."""
        if self._left and (first := self._left[0]).line == line and not first.alone and first.index < index:
            return self._left.popleft()
        return None

    def indented(self, column: int, index: int) -> tuple[str, ...]:
        """Take the comments before a place that are indented at least so far, with the blank lines between them."""
        count = 0
        for number, remark in enumerate(self._left, start=1):
            if remark.index >= index or (remark.text and not (remark.alone and remark.column >= column)):
                break
            if remark.text:
                count = number
        return tuple(self._left.popleft().text for _ in range(count))

    def rest(self) -> tuple[str, ...]:
        """Take all that are left."""
        return self.before(self._left[-1].index + 1) if self._left else ()


def _find(text: str, scalars: Iterable[Span]) -> Iterator[Remark]:
    """Look for comments where the scalars have been blotted out."""
    blotted: list[str] = []
    covered: set[int] = set()
    end = line = 0
    for first, last in scalars:
        blotted += (text[end:first], _INK.sub("x", text[first:last]))
        line += blotted[-2].count("\n")
        breaks = blotted[-1].count("\n")
        covered.update(range(line + 1, line + breaks + 1))
        line += breaks
        end = last
    index = 0
    for number, content in enumerate("".join((*blotted, text[end:])).split("\n")):
        match = _COMMENT.search(content)
        if match:
            start = index + match.start()
            alone = not content[: match.start()].strip()
            yield Remark(text[start : index + match.end()].rstrip(), start, number, match.start(), alone)
        elif not content.strip() and number not in covered:
            yield Remark("", index, number, 0, alone=True)
        index += len(content) + 1
