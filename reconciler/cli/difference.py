"""What would change in files, as a unified diff that is quick to make of long files too."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from difflib import unified_diff
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from reconciler.render.escape import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.declaration import SourceFile

_PIECE: Final = 400
"""How many lines to compare at a time: the time that it takes grows with their square."""

_HUNK: Final = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


def difference(before: Iterable[SourceFile], after: Iterable[SourceFile]) -> str:
    """Show what would change in files, as a unified diff; nothing where nothing would."""
    contents = {source.name: source.content for source in before}
    parts: list[str] = []
    for file in after:
        old = contents.get(file.name)
        lines = _compared(
            [] if old is None else old.decode().splitlines(keepends=True),
            file.content.decode().splitlines(keepends=True),
        )
        if heading := next(lines, None):
            parts += [
                f"--- {'/dev/null' if old is None else terminal(file.name)}\n+++ {terminal(file.name)}\n",
                heading,
            ]
            parts += lines
    return "".join(parts)


def _compared(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Give the hunks of a diff, a line each."""
    for (old_first, new_first), (old_last, new_last) in pairwise(_cuts(old, new)):
        for line in list(unified_diff(old[old_first:old_last], new[new_first:new_last]))[2:]:
            hunk = _HUNK.match(line)
            if hunk:
                yield f"@@ -{int(hunk[1]) + old_first}{hunk[2] or ''} +{int(hunk[3]) + new_first}{hunk[4] or ''} @@\n"
            else:
                yield terminal(line.removesuffix("\n")) + "\n"
                if not line.endswith(("\n", "\r")):
                    yield "\\ No newline at end of file\n"


def _cuts(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Give where to cut both into pieces, beginning and end included."""
    last = 0
    yield 0, 0
    for cut in _shared(old, new):
        if max(cut) >= last + _PIECE:
            yield cut
            last = max(cut)
    yield len(old), len(new)


def _shared(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Give where both have a line, but for its spaces, that each has once: the most that are in the same order."""
    before, after = _unique(old), _unique(new)
    pairs = [(place, after[line]) for line, place in before.items() if line in after]
    ends: list[int] = []  # of the best chain of each length, where it ends in the new lines
    tops: list[int] = []  # and which pair that is
    previous: list[int] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        previous.append(tops[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        tops[length : length + 1] = [number]
    chain: list[tuple[int, int]] = []
    at = tops[-1] if tops else -1
    while at >= 0:
        chain.append(pairs[at])
        at = previous[at]
    return chain[::-1]


def _unique(lines: Sequence[str]) -> dict[str, int]:
    bare = ["".join(line.split()) for line in lines]
    counts = Counter(bare)
    return {line: number for number, line in enumerate(bare) if counts[line] == 1}
