"""What `import` says of what it wrote: what will be renamed, what was left alone, and what to type next."""

from __future__ import annotations

import shlex
from difflib import unified_diff
from typing import TYPE_CHECKING

from reconciler.declaration import STANDARD_INPUT
from reconciler.plan.phrases import plural
from reconciler.render.escape import terminal, terminal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from reconciler.declaration import SourceFile
    from reconciler.model import LiveKey
    from reconciler.plan.adoption import Adoption


def difference(before: Iterable[SourceFile], after: Iterable[SourceFile]) -> str:
    """Show what would change in files, as a unified diff; nothing where nothing would."""
    contents = {source.name: source.content for source in before}
    parts: list[str] = []
    for file in after:
        old = contents.get(file.name)
        lines = unified_diff(
            [] if old is None else old.decode().splitlines(keepends=True),
            file.content.decode().splitlines(keepends=True),
            "/dev/null" if old is None else file.name,
            file.name,
        )
        parts += [terminal(line.rstrip("\r\n")) + "\n" for line in lines]
    return "".join(parts)


def report(
    file: Path, changed: Sequence[SourceFile], adoption: Adoption, simulator: Path | None, *, is_written: bool
) -> Iterator[str]:
    """Say what was added, a line each; ends with the commands to go on with."""
    names = " ".join(terminal(source.name) for source in changed)
    if changed:
        environments = {key.address.environment for key in adoption.keys}
        what = f"{plural(len(adoption.keys), 'key')} in {plural(len(environments), 'environment')}"
        where = "standard output" if file == STANDARD_INPUT else names
        yield f"Added {what}: {where}" if is_written or file == STANDARD_INPUT else f"Would add {what}: {where}"
    else:
        yield f"Nothing to add: {terminal(str(file))} declares, owns or ignores every key that it can."
    if adoption.renames:
        yield ""
        yield f"The next apply renames {plural(len(adoption.renames), 'key')}; no secret changes:"
        for key in adoption.renames:
            yield f"  {terminal_name(key.live.name)} (id {key.live.id}) → {key.address}"
    yield from _listed("Not declared, and left alone from now on by ignore:", adoption.ignored)
    ignored = {key.id for key in adoption.ignored}
    left_out = [left for left in adoption.left_out if left.live.id not in ignored]
    if left_out:
        yield ""
        yield "Not declared, and left alone:"
    for left in left_out:
        yield f"  {terminal_name(left.live.name)} (id {left.live.id}): {terminal(left.reason)}"
    yield from _listed(
        "Not declared: reconciler itself gave them their names, and goes on with those of declared environments:",
        adoption.engine,
    )
    if is_written or file == STANDARD_INPUT:
        yield from _next_steps(file, simulator, adoption)


def _listed(title: str, keys: Iterable[LiveKey]) -> Iterator[str]:
    lines = [f"  {terminal_name(key.name)} (id {key.id})" for key in keys]
    if lines:
        yield ""
        yield title
        yield from lines


def _next_steps(file: Path, simulator: Path | None, adoption: Adoption) -> Iterator[str]:
    place = "keys.yaml" if file == STANDARD_INPUT else str(file)
    options = "" if place == "keys.yaml" else f" -f {shlex.quote(place)}"
    if simulator is not None:
        options += f" --simulator {shlex.quote(str(simulator))}"
    yield ""
    yield "Next:"
    yield terminal(f"  reconciler plan{options}     # proposes {'these renames' if adoption.renames else 'no change'}")
    if adoption.renames:
        yield terminal(f"  reconciler apply{options}    # renames them")
