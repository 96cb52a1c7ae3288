"""Plans, diagnostics and alerts as GitHub workflow commands: annotations at their place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import Alert, Unjudged
from reconciler.plan.actions import Delete, Finding, Retire
from reconciler.render import words
from reconciler.render.escape import terminal, terminal_name, workflow_data, workflow_property

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.diagnostic import Diagnostic, Location
    from reconciler.insight.alerts import Verdict
    from reconciler.plan.actions import Action, Plan

# GitHub shows this many annotations of a kind for a step, and drops the rest without a word.
_MOST: Final = 10
_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_SHOW: Final = words.Show(terminal_name)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Annotation:
    """What one annotation says, safe for a terminal but not encoded yet."""

    title: str
    lines: tuple[str, ...]
    location: Location | None = None


def render_plan(plan: Plan) -> str:
    """Annotate what a plan finds and changes, the most severe first, and sum it up in a plain last line.

    Deletions and retirements are warnings, other changes notices. Of each kind there are at most as many as GitHub
    shows, the last of them counting the rest, which follows as plain lines of the log.
    """
    ranked = sorted((*plan.findings, *plan.actions), key=_rank)
    lines = _annotated(
        [(_severity(item), item) for item in ranked],
        lambda item: _of_finding(item) if isinstance(item, Finding) else _of_change(item, plan),
    )
    return "".join(f"{line}\n" for line in (*lines, _summary(plan)))


def render_diagnostics(diagnostics: Iterable[Diagnostic]) -> str:
    """Annotate what is wrong with a declaration, with the limits of `render_plan`; nothing is wrong in no lines."""
    lines = _annotated([(each.severity, each) for each in diagnostics], _of_diagnostic)
    return "".join(f"{line}\n" for line in lines)


def render_alerts(verdict: Verdict, headline: str) -> str:
    """Annotate what `check` found, with the limits of `render_plan`; what was not judged is a warning."""
    items: list[Alert | Unjudged] = [*verdict.alerts, *verdict.unjudged]
    ranked = [(each.severity if isinstance(each, Alert) else Severity.WARNING, each) for each in items]
    return "".join(f"{line}\n" for line in (*_annotated(ranked, _of_alert), f"{headline}."))


def _annotated(items: Iterable[tuple[Severity, Item]], annotation: Callable[[Item], _Annotation]) -> Iterator[str]:
    by_severity: dict[Severity, list[Item]] = {severity: [] for severity in Severity}
    for severity, item in items:
        by_severity[severity].append(item)
    for severity, group in by_severity.items():
        shown = group if len(group) <= _MOST else group[: _MOST - 1]
        for item in shown:
            yield _command(severity, annotation(item))
        if len(group) > len(shown):
            yield _command(severity, _rest(severity, len(group) - len(shown)))
            for item in group[len(shown) :]:
                yield _plain(severity, annotation(item))


def _rest(severity: Severity, count: int) -> _Annotation:
    title = f"… and {words.plural(count, f'more {_COMMANDS[severity]}')}"
    return _Annotation(
        title, (f"GitHub shows at most {_MOST} of a kind for a step; the log of the step has the rest.",)
    )


def _plain(severity: Severity, annotation: _Annotation) -> str:
    """Write what GitHub would not show as a line of the log."""
    place = "" if annotation.location is None else f" ({words.place(annotation.location, terminal)})"
    return f"{severity}: {annotation.title}: {', '.join(annotation.lines)}{place}"


def _command(severity: Severity, annotation: _Annotation) -> str:
    properties = {"title": annotation.title}
    # A place in an earlier revision is none in the pull request.
    if annotation.location is not None and not annotation.location.file.startswith("git:"):
        place = {"file": terminal(annotation.location.file), "line": str(annotation.location.line)}
        properties = {**place, **properties}
    stated = ",".join(f"{name}={workflow_property(text)}" for name, text in properties.items())
    message = workflow_data("\n".join(annotation.lines))
    return f"::{_COMMANDS[severity]} {stated}::{message}"


# --- what is annotated ------------------------------------------------------------------------------------------------


def _severity(item: Finding | Action) -> Severity:
    if isinstance(item, Finding):
        return item.severity
    return Severity.WARNING if isinstance(item, Delete | Retire) else Severity.NOTE


def _rank(item: Finding | Action) -> int:
    """Order what is of one severity: what cannot be undone, what speaks against it, what can be undone, the rest."""
    if isinstance(item, Finding):
        return 3 if item.severity is Severity.NOTE else 1
    return 0 if isinstance(item, Delete) else 2


def _of_finding(finding: Finding) -> _Annotation:
    about = terminal(finding.account or "account") if finding.address is None else terminal_name(str(finding.address))
    return _Annotation(f"{terminal(finding.rule)}: {about}", (terminal(finding.message),), finding.source)


def _of_change(action: Action, plan: Plan) -> _Annotation:
    title = f"{words.word(action.kind)} {terminal_name(words.full_name(action))}"
    used = words.used(action, plan, _SHOW)
    return _Annotation(title, (*words.details(action, _SHOW), *([used] if used else [])), words.source(action))


def _of_alert(item: Alert | Unjudged) -> _Annotation:
    if isinstance(item, Alert):
        title = f"{item.rule}: {terminal_name(item.subject)}"
        return _Annotation(title, (terminal(item.message), terminal(f"{item.remedy}: {item.command}")), item.source)
    return _Annotation(f"{item.rule}: not judged", (terminal(item.reason),))


def _of_diagnostic(diagnostic: Diagnostic) -> _Annotation:
    return _Annotation("declaration", (terminal(diagnostic.message),), diagnostic.location)


def _summary(plan: Plan) -> str:
    if not plan.actions and not plan.errors:
        return f"{words.headline(plan)}. {words.matching(plan)}"
    rest = words.standing(plan)
    return f"{words.headline(plan)}{'; ' if rest else ''}{rest}."
