"""Plans and results for people at a terminal: whole lines, the last one with its newline."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.diagnostic import Severity
from reconciler.planning.actions import (
    ActionKind,
    Create,
    Delete,
    Finish,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Status,
    Update,
    source_of,
)
from reconciler.planning.power import cuts_off, power_of
from reconciler.render import words
from reconciler.render.columns import Ansi, Entry, Listing, Pen, wrapped
from reconciler.render.escape import terminal, terminal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.diagnostic import Location
    from reconciler.model import LiveKey
    from reconciler.planning.actions import Action, ApplyResult, Finding, Outcome, Plan

_DELETIONS_NAMED: Final = 5
_LONG: Final = 40
_TAKING_LISTED: Final = 20
_SHOW: Final = words.Show(terminal_name)
_SEVERITIES: Final = {
    Severity.ERROR: ("✗", Ansi.ALARM),
    Severity.WARNING: ("!", Ansi.YELLOW),
    Severity.NOTE: ("·", Ansi.CYAN),
}
# Failures come last, where the eye is when the run ends.
_STATUSES: Final = {
    Status.DONE: ("Done", Ansi.BOLD),
    Status.NOT_ATTEMPTED: ("Not attempted", Ansi.YELLOW),
    Status.FAILED: ("Failed", Ansi.ALARM),
}


def render_plan(plan: Plan, *, color: bool, verbose: bool = False, width: int | None = None, full: bool = True) -> str:
    """Show a plan: the changes by environment, the findings, and what it all comes to.

    `verbose` lists the unmanaged keys too; `width` is the columns to wrap at, None for a log that never wraps. On a
    terminal, more than 40 changes are counted by environment and only what takes a key from its users is listed, unless
    all is asked for by `full` or `verbose`.
    """
    pen = Pen(color=color)
    blocks = [[*_overview(plan, pen, width)]] if plan.actions or plan.lifted else []
    if full or verbose or width is None or len(plan.actions) <= _LONG:
        blocks += _sections(_changes(plan, plan.actions, pen), pen, width)
    else:
        blocks.append([*_summed_up(plan, pen, width)])
    if plan.findings:
        blocks += _sections({pen(Ansi.BOLD, "Findings"): _findings(plan.findings)}, pen, width)
    if verbose and plan.unmanaged:
        blocks += _sections({pen(Ansi.BOLD, title): _unmanaged(keys) for title, keys in _strangers(plan)}, pen, width)
    blocks.append([*_plan_summary(plan, pen, width)])
    return _joined(blocks)


def render_result(result: ApplyResult, *, color: bool, verbose: bool = True, lifted: tuple[Finding, ...] = ()) -> str:
    """Show what an apply did, what was not attempted, what failed and why, and how the account compares now.

    Without `verbose`, what was done and has nothing to say for itself is counted only: the plan has listed it. `lifted`
    are the findings that `--allow` lifted.
    """
    pen = Pen(color=color)
    groups: dict[str, list[Entry]] = {pen(ansi, title): [] for title, ansi in _STATUSES.values()}
    for outcome in result.outcomes:
        if not verbose and outcome.status is Status.DONE and outcome.message is None:
            continue
        title, ansi = _STATUSES[outcome.status]
        groups[pen(ansi, title)].append(_outcome_entry(outcome))
    return _joined([*_sections(groups, pen, None), [*_result_summary(result, pen, lifted)]])


def _joined(blocks: Iterable[Iterable[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _sections(groups: Mapping[str, list[Entry]], pen: Pen, width: int | None) -> Iterator[list[str]]:
    """Lay out entries under their titles, in columns that go through all sections; an empty one is left out."""
    listing = Listing((entry for entries in groups.values() for entry in entries), pen, width)
    for title, entries in groups.items():
        if entries:
            yield [title, *(line for entry in entries for line in listing.lines(entry))]


# --- a plan -----------------------------------------------------------------------------------------------------------


def _overview(plan: Plan, pen: Pen, width: int | None) -> Iterator[str]:
    """Yield what the plan takes, gives and only moves, and what was lifted for it."""
    lines = [("Takes", words.takes(plan, _SHOW)), ("Gives", words.gives(plan, _SHOW))] if plan.actions else []
    lines += [("Moves", words.moves(plan)), ("Lifted by --allow", words.lifted(plan.lifted, terminal_name))]
    for title, text in lines:
        if text:
            first, *rest = wrapped(f"{title}: {text}", width)
            yield f"{pen(Ansi.BOLD, f'{title}:')}{first.removeprefix(f'{title}:')}"
            yield from (f"  {line}" for line in rest)


def _changes(plan: Plan, actions: Iterable[Action], pen: Pen) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for action in actions:
        groups.setdefault(pen(Ansi.BOLD, _group(action)), []).append(_change_entry(action, plan))
    return groups


def _summed_up(plan: Plan, pen: Pen, width: int | None) -> Iterator[str]:
    """Count the changes of each environment, and list what takes a key from its users unless that is long too."""
    power = power_of(plan)
    taking = [*power.deletions, *power.disabling]
    entries = _changes(plan, taking, pen) if len(taking) <= _TAKING_LISTED else {}
    listing = Listing((entry for group in entries.values() for entry in group), pen, width)
    groups: dict[str, list[Action]] = {}
    for action in plan.actions:
        groups.setdefault(_group(action), []).append(action)
    for name, actions in groups.items():
        title = pen(Ansi.BOLD, name)
        yield f"{title}: {_pending(actions, pen)}"
        for place in words.summed_places(actions, _SHOW):
            first, *rest = wrapped(f"  {place}", width)
            yield from (first, *(f"    {line.strip()}" for line in rest))
        yield from (line for entry in entries.get(title, ()) for line in listing.lines(entry))
    yield ""
    yield pen(Ansi.DIM, f"{len(plan.actions):,} changes are summed up by environment; --full lists each of them.")


def _group(action: Action) -> str:
    group = "not managed" if action.address is None else terminal_name(action.address.environment)
    return group + (f" ({terminal(action.account)})" if action.account else "")


def _change_entry(action: Action, plan: Plan) -> Entry:
    mark, word, ansi = _look(action)
    name = terminal_name(words.subject(action))
    lines = (*words.details(action, _SHOW), words.used(action, plan, _SHOW))
    return Entry(mark, word, name, ansi, lines, _place(source_of(action)), loud=isinstance(action, Delete))


def _look(action: Action) -> tuple[str, str, Ansi]:
    return words.SYMBOLS[action.kind], words.word(action.kind), _ink(action)


def _ink(action: Action) -> Ansi:
    match action:
        case Create() | Restore():
            return Ansi.GREEN
        case Update():
            return Ansi.YELLOW
        case Renew() | Rename() | Rotate() | Finish():
            return Ansi.CYAN
        case Retire() | Delete():
            return Ansi.ALARM
        case _:
            assert_never(action)


def _findings(findings: tuple[Finding, ...]) -> list[Entry]:
    """List the findings, the worst first, else in the order of the plan."""
    ranks = list(Severity)
    return [_finding_entry(finding) for finding in sorted(findings, key=lambda each: ranks.index(each.severity))]


def _finding_entry(finding: Finding) -> Entry:
    mark, ansi = _SEVERITIES[finding.severity]
    about = terminal(finding.account or "account") if finding.address is None else terminal_name(str(finding.address))
    place = ", ".join(part for part in (terminal(finding.rule), _place(finding.source)) if part)
    return Entry(mark, finding.severity.value, about, ansi, (terminal(finding.message),), place)


def _strangers(plan: Plan) -> Iterator[tuple[str, tuple[LiveKey, ...]]]:
    """Yield the unmanaged keys of each account under their title."""
    for each in plan.accounts:
        yield f"Unmanaged keys{'' if each.account is None else f' ({terminal(each.account)})'}", each.unmanaged


def _unmanaged(keys: tuple[LiveKey, ...]) -> list[Entry]:
    # An id below 0 belongs to no live key: a file stands for the account.
    return [
        Entry("·", "id", "unknown" if key.id < 0 else str(key.id), Ansi.DIM, (terminal_name(key.name),)) for key in keys
    ]


def _plan_summary(plan: Plan, pen: Pen, width: int | None) -> Iterator[str]:
    rest = words.standing(plan)
    if plan.actions:
        yield f"{pen(Ansi.BOLD, 'Plan:')} {_pending(plan.actions, pen)}{'; ' if rest else ''}{rest}."
        yield f"{pen(Ansi.BOLD, 'Limits:')} {words.limits(plan.credit)}"
    elif plan.errors:
        yield f"{pen(Ansi.BOLD, words.headline(plan))}{'; ' if rest else ''}{rest}."
    else:
        yield f"{pen(Ansi.GREEN, f'{words.headline(plan)}.')} {words.matching(plan)}"
    yield from _deletions(plan, pen, width)
    if plan.errors:
        yield pen(Ansi.ALARM, words.refusal(plan))


def _pending(actions: Iterable[Action], pen: Pen) -> str:
    counts = Counter(action.kind for action in actions)
    return ", ".join(
        pen(Ansi.ALARM if kind is ActionKind.DELETE else Ansi.PLAIN, text) for kind, text in words.pending(counts)
    )


def _deletions(plan: Plan, pen: Pen, width: int | None) -> Iterator[str]:
    doomed = [action for action in plan.actions if cuts_off(action, plan.created_at)]
    if not doomed:
        return
    names = [terminal_name(words.full_name(action)) for action in doomed[:_DELETIONS_NAMED]]
    if len(doomed) > _DELETIONS_NAMED:
        names.append(f"and {len(doomed) - _DELETIONS_NAMED:,} more")
    text = f"{words.deletion(len(doomed))}: {', '.join(names)}."
    for line in wrapped(text, width):
        yield pen(Ansi.ALARM, line)


def _place(location: Location | None) -> str:
    return "" if location is None else words.place(location, terminal)


# --- a result ---------------------------------------------------------------------------------------------------------


def _outcome_entry(outcome: Outcome) -> Entry:
    mark, word, ansi = _look(outcome.action)
    message = () if outcome.message is None else (terminal(outcome.message),)
    made = () if outcome.key_id is None or outcome.status is not Status.DONE else (f"id {outcome.key_id}",)
    return Entry(mark, word, terminal_name(words.full_name(outcome.action)), ansi, (*made, *message))


def _result_summary(result: ApplyResult, pen: Pen, lifted: tuple[Finding, ...]) -> Iterator[str]:
    yield pen(_result_ink(result), f"{words.applied(result)}.")
    if names := words.lifted(lifted, terminal_name):
        yield f"Lifted by --allow: {names}."
    if result.interrupted:
        yield pen(Ansi.YELLOW, words.INTERRUPTED)
    comparison = words.comparison(result, lambda actions: _pending(actions, pen))
    yield pen(Ansi.GREEN if result.in_sync else Ansi.PLAIN, comparison)
    if result.note is not None:
        yield f"Note: {terminal(result.note)}"


def _result_ink(result: ApplyResult) -> Ansi:
    if result.count(Status.FAILED):
        return Ansi.ALARM
    if result.count(Status.NOT_ATTEMPTED):
        return Ansi.YELLOW
    return Ansi.GREEN if result.outcomes else Ansi.PLAIN
