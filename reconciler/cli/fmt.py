"""`reconciler fmt`: writes files in canonical form, or shows the difference as a unified diff."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from difflib import unified_diff
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.render.escape import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.declaration import SourceFile


@click.command("fmt")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "-f",
    "--file",
    "more",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The same as FILE: a file, a folder of *.yaml files, or - from standard input to standard output.",
)
@click.option("--check", is_flag=True, help="Write nothing; show what would change, and exit with 1 if anything would.")
def command(files: tuple[Path, ...], more: tuple[Path, ...], *, check: bool) -> int:
    """Write files in their canonical form, comments kept.

    Without a FILE it is keys.yaml, else keys/; a folder stands for its *.yaml files. What a file means never changes.
    If one of them cannot be read, or holds unknown fields or values of a wrong kind, the errors are shown and none is
    changed.

    \b
    Examples:
      reconciler fmt
      reconciler fmt --check keys/
      reconciler fmt -f - < keys.yaml
    """
    import os
    from dataclasses import replace

    from reconciler.cli.console import note, show
    from reconciler.cli.options import default_file
    from reconciler.declaration import read_sources
    from reconciler.declaration.loader import STDIN
    from reconciler.files import write_files
    from reconciler.formatting.canonical import check_shape, formatted

    paths = dict.fromkeys([*files, *more]) or {default_file(): None}
    found = [source for path in paths for source in read_sources(path)]
    sources = list({os.path.realpath(source.name): source for source in found}.values())
    check_shape(sources)
    results = [replace(source, content=formatted(source)) for source in sources]
    changed = [(before, after) for before, after in zip(sources, results, strict=True) if before != after]
    if check:
        show(difference([before for before, _ in changed], [after for _, after in changed]))
        for file, _ in changed:
            note(f"{file.name} is not in its canonical form; reconciler fmt writes it so")
        return int(bool(changed))
    write_files(
        {Path(file.name): file.content for _, file in changed if file.name != STDIN},
        {Path(file.name): file.content for file, _ in changed},
    )
    for file in results:
        if file.name == STDIN:
            show(file.content.decode())
    for file, _ in changed:
        if file.name != STDIN:
            note(f"{file.name} is written anew")
    return 0


# What would change in files, as a unified diff that is quick to make of long files too.

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
    """Yield the hunks of a diff, a line each."""
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
    """Yield where to cut both into pieces, beginning and end included."""
    last = 0
    yield 0, 0
    for cut in _shared(old, new):
        if max(cut) >= last + _PIECE:
            yield cut
            last = max(cut)
    yield len(old), len(new)


def _shared(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return where both have a line, but for its spaces, that each has once: the most that are in the same order."""
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
