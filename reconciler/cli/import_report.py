"""What `import` says of what it wrote: what will be renamed, what was left alone, and what to type next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from reconciler.declaration import STANDARD_INPUT
from reconciler.plan.phrases import plural
from reconciler.render.escape import terminal, terminal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from reconciler.declaration import SourceFile
    from reconciler.model import LiveKey
    from reconciler.plan.adoption import Adoption


def report(
    file: Path,
    changed: Sequence[SourceFile],
    adoption: Adoption,
    simulator: Path | None,
    further: int,
    *,
    is_written: bool,
) -> Iterator[str]:
    """Say what was added, a line each; ends with the commands to go on with.

    `further` changes are proposed by a plan besides the renames.
    """
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
    reasons = {left.live.id: left.reason for left in adoption.left_out}
    yield from _listed("Not declared, and left alone from now on by ignore:", adoption.ignored, reasons)
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
        {},
    )
    if further:
        yield ""
        yield (
            f"A plan proposes {plural(further, 'change')} more, to keys that the file has or owns already or that "
            "reconciler named: look at it before you apply."
        )
    if is_written or file == STANDARD_INPUT:
        yield from _next_steps(file, simulator, adoption, further)


def _listed(title: str, keys: Iterable[LiveKey], reasons: Mapping[int, str]) -> Iterator[str]:
    lines = [
        f"  {terminal_name(key.name)} (id {key.id})" + (f": {terminal(reasons[key.id])}" if key.id in reasons else "")
        for key in keys
    ]
    if lines:
        yield ""
        yield title
        yield from lines


def _next_steps(file: Path, simulator: Path | None, adoption: Adoption, further: int) -> Iterator[str]:
    place = "keys.yaml" if file == STANDARD_INPUT else str(file)
    options = "" if place == "keys.yaml" else f" -f {shlex.quote(place)}"
    if simulator is not None:
        options += f" --simulator {shlex.quote(str(simulator))}"
    yield ""
    yield "Next:"
    proposed = [*(["these renames"] if adoption.renames else []), *([plural(further, "change")] if further else [])]
    proposal = " and ".join(proposed) or "no change"
    yield terminal(f"  reconciler plan{options}     # proposes {proposal}")
    if adoption.renames:
        yield terminal(f"  reconciler apply{options}    # {'makes all of these' if further else 'renames them'}")
