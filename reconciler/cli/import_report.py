"""What `import` says of what it wrote: what will be renamed, what was left alone, and what to type next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from reconciler.declaration import STANDARD_INPUT
from reconciler.plan.actions import Delete, DeleteReason, Retire
from reconciler.plan.phrases import plural
from reconciler.render.escape import terminal, terminal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from reconciler.declaration import SourceFile
    from reconciler.model import LiveKey
    from reconciler.plan.actions import Finding, Plan
    from reconciler.plan.adoption import Adoption


def report(
    file: Path,
    changed: Sequence[SourceFile],
    adoption: Adoption,
    simulator: Path | None,
    plan: Plan,
    *,
    is_written: bool,
    account: str | None = None,
) -> Iterator[str]:
    """Say what was added, a line each; ends with the commands to go on with. `plan` is that of the result.

    What went to standard output counts as written too. `account` names the one that was read where there are several.
    """
    renames = {key.address for key in adoption.renames}
    others = [action for action in plan.actions if action.address not in renames]
    further, removals = len(others), sum(isinstance(action, Delete | Retire) for action in others)
    if changed:
        yield from _added(file, changed, adoption, is_written=is_written)
    else:
        yield f"Nothing to add: {terminal(str(file))} declares, owns or ignores every key that it can."
    if account is not None:
        yield ""
        yield f"Only the account of {account} was read; --into with an environment of another account reads that one."
    yield from _not_declared(adoption, plan)
    if further:
        removed = f", and removes {plural(removals, 'key')}" if removals else ""
        yield ""
        yield (
            f"A plan proposes {plural(further, 'change')} more, to keys that the file has or owns already or that "
            f"reconciler named{removed}: look at it before you apply."
        )
    if plan.errors:
        yield ""
        yield "Nothing can be applied yet:"
        yield from map(_reason, plan.errors)
    if is_written:
        is_refused = bool(plan.errors)
        yield from _next_steps(file, simulator, account, renames=len(renames), further=further, is_refused=is_refused)


def _added(file: Path, changed: Sequence[SourceFile], adoption: Adoption, *, is_written: bool) -> Iterator[str]:
    keys, environments = adoption.keys, {key.address.environment for key in adoption.keys}
    added = [f"{plural(len(keys), 'key')} in {plural(len(environments), 'environment')}"] if keys else []
    if adoption.ignored:
        added.append(f"{plural(len(adoption.ignored), 'key')} to ignore")
    what = " and ".join(added) or "no key"
    where = "standard output" if file == STANDARD_INPUT else " ".join(terminal(source.name) for source in changed)
    yield f"{'Added' if is_written else 'Would add'} {what}: {where}"
    if owned := sum(key.owned for key in keys):
        yield f"A plan would have removed {owned} of them: the file had their environments, and did not declare them."
    if adoption.renames:
        yield ""
        yield f"The next apply renames {plural(len(adoption.renames), 'key')}; no secret changes:"
        for key in adoption.renames:
            yield f"  {terminal_name(key.live.name)} (id {key.live.id}) → {key.address}"


def _not_declared(adoption: Adoption, plan: Plan) -> Iterator[str]:
    notes = {left.live.id: [left.reason] for left in adoption.left_out}
    for action in plan.actions:
        if isinstance(action, Delete) and action.reason is DeleteReason.UNMANAGED:
            notes.setdefault(action.live.id, []).append("unmanaged is delete, so a plan deletes it")
    reasons = {key_id: "; ".join(parts) for key_id, parts in notes.items()}
    ignored = {key.id for key in adoption.ignored}
    left_out = [left.live for left in adoption.left_out if left.live.id not in ignored]
    yield from _listed("Not declared, and left alone from now on by ignore:", adoption.ignored, reasons)
    yield from _listed("Not declared:", left_out, reasons)
    yield from _listed(
        "Not declared: reconciler itself gave them their names, and goes on with those of declared environments:",
        adoption.engine,
        reasons,
    )


def _reason(finding: Finding) -> str:
    about = "" if finding.address is None else f"{terminal_name(str(finding.address))}: "
    return f"  {about}{terminal(finding.message)} ({finding.rule})"


def _listed(title: str, keys: Iterable[LiveKey], reasons: Mapping[int, str]) -> Iterator[str]:
    lines = [
        f"  {terminal_name(key.name)} (id {key.id})" + (f": {terminal(reasons[key.id])}" if key.id in reasons else "")
        for key in keys
    ]
    if lines:
        yield ""
        yield title
        yield from lines


def _next_steps(
    file: Path, simulator: Path | None, account: str | None, *, renames: int, further: int, is_refused: bool
) -> Iterator[str]:
    place = "keys.yaml" if file == STANDARD_INPUT else str(file)
    options = "" if place == "keys.yaml" else f" -f {shlex.quote(place)}"
    if simulator is not None:
        options += f" --simulator {shlex.quote(str(simulator))}"
    yield ""
    yield "Next:"
    others = "" if account is None else "; what the other accounts need comes on top"
    proposed = [*(["these renames"] if renames else []), *([plural(further, "change")] if further else [])]
    proposal = "says what to resolve first" if is_refused else f"proposes {' and '.join(proposed) or 'no change'}"
    yield terminal(f"  reconciler plan{options}     # {proposal}{others}")
    if renames and not is_refused:
        done = "makes all of these" if further else "renames them"
        yield terminal(f"  reconciler apply{options}    # {done}{others}")
