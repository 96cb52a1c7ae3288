"""Plans and results in Markdown, for comments on pull requests: tables first, the rest folded, never too long.

What does not fit is left out whole, a row at a time, and counted; what a reviewer must not miss is kept first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from reconciler.diagnostic import Severity
from reconciler.planning.actions import Delete, Finding, Retire, Status, source_of
from reconciler.planning.power import cuts_off, deliveries_of
from reconciler.render import words
from reconciler.render.escape import markdown, markdown_code, markdown_name, terminal
from reconciler.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reconciler.diagnostic import Location
    from reconciler.planning.actions import Action, ApplyResult, Outcome, Plan

# GitHub takes comments of up to 65,536 characters; this leaves room for what a workflow puts around one.
LIMIT: Final = 60_000

_SHOW: Final = words.Show(markdown_name, markdown_code, "**{}**".format)
_SEVERITIES: Final = {Severity.ERROR: "❌ **error**", Severity.WARNING: "⚠️ warning", Severity.NOTE: "ℹ️ note"}  # noqa: RUF001  # the sign for information
# Failures come first, where the eye is on a page.
_STATUSES: Final = {
    Status.FAILED: "❌ **failed**",
    Status.NOT_ATTEMPTED: "⚠️ not attempted",
    Status.DONE: "✅ done",
}

Item = TypeVar("Item")


class _Rows(NamedTuple):
    """What one thing takes of a page: its row in a table, and one in the details if it has any."""

    row: str
    folded: str = ""


def render_plan(plan: Plan, *, digest: str, limit: int = LIMIT) -> str:
    """Show a plan in at most `limit` characters, errors and deletions kept first.

    A limit too small even for the counts of what is left out leaves the headline, or nothing.
    """
    items = (*sorted(plan.findings, key=lambda finding: [*Severity].index(finding.severity)), *plan.actions)
    page = _PlanPage(plan, digest, items, _overview(plan, limit // 2))
    kept = _fitting(items, _plan_rank, lambda item: _plan_rows(item, plan), limit - len(page.show({})) - _PLAN_TABLES)
    return _within(limit, page.show(kept))


def render_result(result: ApplyResult, *, limit: int = LIMIT, lifted: tuple[Finding, ...] = ()) -> str:
    """Show what an apply did in at most `limit` characters, failures kept first; see `render_plan`.

    `lifted` are the findings that `--allow` lifted.
    """
    order = [*_STATUSES]
    items = sorted(result.outcomes, key=lambda outcome: order.index(outcome.status))
    taken = len(_result_page(result, items, {}, lifted)) + _RESULT_TABLES
    kept = _fitting(items, lambda outcome: order.index(outcome.status), _outcome_rows, limit - taken)
    return _within(limit, _result_page(result, items, kept, lifted))


# --- a page of limited length -----------------------------------------------------------------------------------------


def _page(*blocks: str) -> str:
    return "\n\n".join(filter(None, blocks)) + "\n"


def _within(limit: int, page: str) -> str:
    """Return a page that is short enough, else as much of its headline."""
    if len(page) <= limit:
        return page
    headline = page.partition("\n")[0] + "\n"
    return headline if len(headline) <= limit else ""


def _fitting(
    items: Sequence[Item], rank: Callable[[Item], int], rows: Callable[[Item], _Rows], room: int
) -> dict[int, _Rows]:
    """Make the rows, by index, of what can be shown: by rank, until the room does not suffice for the next.

    What would take more than half of the room is left out itself rather than push out everything else.
    """
    kept: dict[int, _Rows] = {}
    if room <= 0:
        return kept
    left = room
    for index in sorted(range(len(items)), key=lambda index: rank(items[index])):
        made = rows(items[index])
        size = sum(len(row) + len("\n") for row in made)
        if size > room // 2:
            continue
        if size > left:
            break
        kept[index] = made
        left -= size
    return dict(sorted(kept.items()))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*titles: str) -> str:
    return f"{_row(*titles)}\n{_row(*('---' for _ in titles))}"


def _table(head: str, rows: Iterable[str]) -> str:
    lines = [*rows]
    return "\n".join((head, *lines)) if lines else ""


def _folded(summary: str, table: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{table}\n\n</details>" if table else ""


def _more(noun: str, counts: Iterable[str], total: int) -> str:
    return f"… and {plural(total, f'more {noun}')}: {', '.join(counts)}" if total else ""


def _cell(lines: Iterable[str]) -> str:
    return "<br>".join(lines)


def _change_cell(action: Action) -> str:
    word = words.word(action.kind)
    return f"{markdown_code(words.SYMBOLS[action.kind])} {f'**{word}**' if isinstance(action, Delete) else word}"


def _place(location: Location | None) -> str:
    return "" if location is None else markdown_code(words.place(location, terminal))


# --- a plan -----------------------------------------------------------------------------------------------------------

_FINDINGS: Final = _head("Finding", "Key", "Message", "Rule")
_CHANGES: Final = ("Change", "Key", "What changes")
_TOO_MUCH: Final = (
    "What this plan gives, and the places where its secrets go, are too many for this page. Review the whole plan "
    "(`reconciler plan`) before you approve it."
)
_RECENT_USE: Final = "Recent use"
_DETAILS: Final = _head("Key", "Details", "Declared at")
_PLAN_TABLES: Final = sum(
    len(each) + len("\n\n") for each in (_FINDINGS, _head(*_CHANGES, _RECENT_USE), _folded("Details", _DETAILS))
)


@dataclass(frozen=True, slots=True)
class _PlanPage:
    """A page about a plan, of which everything is known but what of the items it has room for."""

    plan: Plan
    digest: str
    items: Sequence[Finding | Action]
    overview: str

    def show(self, kept: Mapping[int, _Rows]) -> str:
        """Lay the page out with these rows, by the index of the item."""
        plan = self.plan
        findings = [rows for index, rows in kept.items() if index < len(plan.findings)]
        changes = [rows for index, rows in kept.items() if index >= len(plan.findings)]
        left_out = [item for index, item in enumerate(self.items) if index not in kept]
        return _page(
            f"### {words.headline(plan)}",
            self.overview,
            *_plan_summary(plan),
            _table(_FINDINGS, (rows.row for rows in findings)),
            _more_findings([item for item in left_out if isinstance(item, Finding)]),
            _deletions(plan),
            _table(_head(*_CHANGES, *([_RECENT_USE] if plan.tells_usage else [])), (rows.row for rows in changes)),
            _more_changes([item for item in left_out if not isinstance(item, Finding)]),
            _folded("Details", _table(_DETAILS, (rows.folded for rows in changes))),
            f"<sub>Digest: {markdown_code(self.digest)}</sub>",
        )


def _overview(plan: Plan, limit: int) -> str:
    """Return what the plan takes, gives and moves, and where secrets go; loudly where there is no room for all."""
    lines = []
    if plan.actions:
        lines = [
            ("Takes", words.takes(plan, _SHOW)),
            ("Gives", words.gives(plan, _SHOW)),
            ("Moves", words.moves(plan)),
            ("Secrets go to", words.places(plan, _SHOW)),
        ]
    text = "<br>\n".join(f"**{title}:** {words_}" for title, words_ in lines if words_)
    if len(text) > limit:
        text = f"❌ **{_TOO_MUCH}**"
    return "\n\n".join(filter(None, (text, _lifted(plan.lifted))))


def _lifted(findings: tuple[Finding, ...]) -> str:
    names = words.lifted(findings, markdown_name)
    return f"⚠️ **Lifted by --allow:** {names}" if names else ""


def _plan_summary(plan: Plan) -> Iterator[str]:
    if plan.errors:
        yield f"❌ **{words.refusal(plan)}**"
    rest = words.standing(plan)
    if plan.actions:
        yield f"{rest}{'. ' if rest else ''}Limits: {words.limits(plan.credit, markdown_code)}"
    elif plan.errors:
        yield rest
    else:
        yield words.matching(plan)


def _deletions(plan: Plan) -> str:
    count = sum(cuts_off(action, plan.created_at) for action in plan.actions)
    return f"⚠️ **{words.deletion(count)}.**" if count else ""


def _more_findings(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    return _more("finding", (plural(counts[each], each) for each in Severity if counts[each]), len(findings))


def _more_changes(actions: Sequence[Action]) -> str:
    return _more("change", [words.counted(actions)], len(actions))


def _plan_rank(item: Finding | Action) -> int:
    """Rank by what must not be missed: errors, deletions, warnings and new places, retirements, changes, notes."""
    if isinstance(item, Finding):
        return {Severity.ERROR: 0, Severity.WARNING: 2, Severity.NOTE: 5}[item.severity]
    if isinstance(item, Delete):
        return 1
    if any(delivery.new for delivery in deliveries_of(item)):
        return 2
    return 3 if isinstance(item, Retire) else 4


def _plan_rows(item: Finding | Action, plan: Plan) -> _Rows:
    if isinstance(item, Finding):
        about = markdown(item.account or "account") if item.address is None else markdown_name(str(item.address))
        rule = ", ".join(part for part in (markdown_name(item.rule), _place(item.source)) if part)
        return _Rows(_row(_SEVERITIES[item.severity], about, markdown(item.message), rule))
    name = markdown_name(words.full_name(item))
    used = [words.used(item, plan, _SHOW)] if plan.tells_usage else []
    return _Rows(
        _row(
            _change_cell(item), name, _cell([*words.essentials(item, _SHOW), *words.destinations(item, _SHOW)]), *used
        ),
        _row(name, _cell(words.particulars(item, _SHOW)), _place(source_of(item))),
    )


# --- a result ---------------------------------------------------------------------------------------------------------

_OUTCOMES: Final = _head("Result", "Change", "Key", "Message")
_RESULT_TABLES: Final = sum(len(each) + len("\n\n") for each in (_OUTCOMES, _folded("Done", _OUTCOMES)))


def _result_page(
    result: ApplyResult, items: Sequence[Outcome], kept: Mapping[int, _Rows], lifted: tuple[Finding, ...]
) -> str:
    pending = [rows.row for index, rows in kept.items() if items[index].status is not Status.DONE]
    done = [rows.row for index, rows in kept.items() if items[index].status is Status.DONE]
    left_out = Counter(item.status for index, item in enumerate(items) if index not in kept)
    counts = (f"{left_out[status]:,} {words.ended(status)}" for status in _STATUSES if left_out[status])
    return _page(
        f"### {words.applied(result)}",
        f"⚠️ **{words.INTERRUPTED}**" if result.interrupted else "",
        words.comparison(result, words.counted),
        _lifted(lifted),
        "" if result.note is None else f"Note: {markdown(result.note)}",
        _table(_OUTCOMES, pending),
        _more("change", counts, left_out.total()),
        _folded("Done", _table(_OUTCOMES, done)),
    )


def _outcome_rows(outcome: Outcome) -> _Rows:
    named = outcome.key_id is not None and outcome.status is Status.DONE
    made = [f"id {markdown_code(str(outcome.key_id))}"] if named else []
    message = [] if outcome.message is None else [markdown(outcome.message)]
    name = markdown_name(words.full_name(outcome.action))
    return _Rows(_row(_STATUSES[outcome.status], _change_cell(outcome.action), name, _cell([*made, *message])))
