"""Plans, diagnostics and alerts for GitHub: annotations at lines of the file, and pages for comments and issues."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import Alert, Unjudged
from reconciler.planning.accounts import UNREAD
from reconciler.planning.actions import Delete, Finding, Retire, source_of
from reconciler.planning.power import deliveries_of, power_of
from reconciler.render import words
from reconciler.render.escape import (
    markdown,
    markdown_code,
    markdown_name,
    terminal,
    terminal_name,
    workflow_data,
    workflow_property,
)
from reconciler.render.markdown import LIMIT, render_plan, render_result
from reconciler.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from reconciler.diagnostic import Diagnostic, Location
    from reconciler.insight.alerts import Verdict
    from reconciler.planning.actions import Action, ApplyResult, Plan


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
    severity: Severity = Severity.NOTE


def annotate_plan(plan: Plan) -> str:
    """Annotate what a plan finds and changes, the most severe first, and sum it up in a plain last line.

    What the plan takes and gives, and where secrets go, come before that. Deletions and retirements are warnings, other
    changes notices. Of each kind there are at most as many as GitHub
    shows, the last of them counting the rest, which follows as plain lines of the log.
    """
    ranked = sorted((*plan.findings, *plan.actions), key=_rank)
    lines = _annotated(
        [(_severity(item), item) for item in ranked],
        lambda item: _of_finding(item) if isinstance(item, Finding) else _of_change(item, plan),
        _overview(plan),
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


def _annotated(
    items: Iterable[tuple[Severity, Item]],
    annotation: Callable[[Item], _Annotation],
    overview: Sequence[_Annotation] = (),
) -> Iterator[str]:
    """Write the overview, then the items of each severity for as long as GitHub shows more of them."""
    by_severity: dict[Severity, list[Item]] = {severity: [] for severity in Severity}
    for severity, item in items:
        by_severity[severity].append(item)
    yield from (_command(each.severity, each) for each in overview)
    for severity, group in by_severity.items():
        most = _MOST - sum(each.severity is severity for each in overview)
        shown = group if len(group) <= most else group[: most - 1]
        for item in shown:
            yield _command(severity, annotation(item))
        if len(group) > len(shown):
            yield _command(severity, _rest(severity, len(group) - len(shown)))
            for item in group[len(shown) :]:
                yield _plain(severity, annotation(item))


def _rest(severity: Severity, count: int) -> _Annotation:
    title = f"… and {plural(count, f'more {_COMMANDS[severity]}')}"
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


def _overview(plan: Plan) -> list[_Annotation]:
    """Return what comes before everything else; what is taken, lifted or new comes as a warning."""
    power = power_of(plan)
    lifted = words.lifted(plan.lifted, terminal_name)
    found = [_Annotation("Lifted by --allow", (lifted,), severity=Severity.WARNING)] if lifted else []
    if plan.actions:
        gives, takes = words.gives(plan, _SHOW), words.takes(plan, _SHOW)
        loud = bool(power.new_places or power.removed_limits)
        found.append(_Annotation("Takes", (takes,), severity=Severity.WARNING if power.takes else Severity.NOTE))
        found.append(_Annotation("Gives", (gives,), severity=Severity.WARNING if loud else Severity.NOTE))
    if places := words.places(plan, _SHOW):
        found.append(_Annotation("Secrets go to", (places,)))
    return found


def _severity(item: Finding | Action) -> Severity:
    if isinstance(item, Finding):
        return item.severity
    return Severity.WARNING if isinstance(item, Delete | Retire) else Severity.NOTE


def _rank(item: Finding | Action) -> int:
    """Order what is of one severity: what cannot be undone, what speaks against it, what can be undone, the rest."""
    if isinstance(item, Finding):
        return 3 if item.severity is Severity.NOTE else 1
    if any(delivery.new for delivery in deliveries_of(item)):
        return 1
    return 0 if isinstance(item, Delete) else 2


def _of_finding(finding: Finding) -> _Annotation:
    about = terminal(finding.account or "account") if finding.address is None else terminal_name(str(finding.address))
    return _Annotation(f"{terminal(finding.rule)}: {about}", (terminal(finding.message),), finding.source)


def _of_change(action: Action, plan: Plan) -> _Annotation:
    title = f"{words.word(action.kind)} {terminal_name(words.full_name(action))}"
    used = words.used(action, plan, _SHOW)
    return _Annotation(title, (*words.details(action, _SHOW), *([used] if used else [])), source_of(action))


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


# What stands on GitHub about a plan: the page of a comment, of an issue and of a step's summary.
#
# Every text from outside is data in it: no name mentions anybody, links anywhere, or begins a comment in HTML.

_COMMIT_DIGITS: Final = 12
_LONGEST_TITLE: Final = 200
_LONGEST_ORIGIN: Final = 4_000
_LONGEST_COUNT: Final = 100
_MOST_NAMES: Final = 20
_SIGNS: Final = {Severity.ERROR: "❌ **error**", Severity.WARNING: "⚠️ warning", Severity.NOTE: "ℹ️ note"}  # noqa: RUF001  # the sign for information


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from: what was selected, by whom and on which commit, and where that run can be watched.

    `file` and `environments` (all of them when empty) are as they were named, `run` is an address or None.
    """

    file: str
    environments: tuple[str, ...]
    actor: str
    commit: str
    run: str | None


def plan_page(plan: Plan, digest: str, origin: Origin | None, *, limit: int = LIMIT) -> str:
    """Show a plan and where it comes from, in at most `limit` characters; see `render_plan`."""
    footer = _footer(origin)
    page = render_plan(plan, digest=digest, limit=max(0, limit - len(footer)))
    return f"{page}{footer}" if page else ""


def failure_page(what: str, problems: Sequence[Diagnostic | str], origin: Origin | None, *, limit: int = LIMIT) -> str:
    """Show why there is no plan, `what` being a headline of ours, in at most `limit` characters.

    What does not fit is left out a line at a time, from the end, and counted.
    """
    head, footer = f"### ❌ {what}\n\n", _footer(origin)
    rest = len(head) + len(footer) + _LONGEST_COUNT
    kept: list[str] = []
    for line in map(_problem, problems):
        rest += len(line)
        if rest > limit:
            break
        kept.append(line)
    left_out = len(problems) - len(kept)
    more = f"\n… and {plural(left_out, 'more problem')}; the log of the step has all.\n" if left_out else ""
    page = "".join((head, *kept, more, footer))
    return page if len(page) <= limit else ""


def drift_page(plan: Plan, digest: str, origin: Origin) -> str:
    """Show what has moved away from the file, for an issue, no longer than GitHub takes one."""
    intro = (
        "The account is not what the file asks for. This issue is kept up to date, and closed when that is over.\n"
        "If you close it, it stays closed until something else is to be seen.\n\n"
    )
    return f"{intro}{plan_page(plan, digest, origin, limit=LIMIT - len(intro))}"


def result_page(result: ApplyResult, origin: Origin) -> str:
    """Show what an apply did and where it ran, no longer than GitHub takes a comment."""
    footer = _footer(origin)
    return f"{render_result(result, limit=LIMIT - len(footer))}{footer}"


def resolved_page(origin: Origin) -> str:
    """Return the text that there is no drift any more, for an issue that is closed with it."""
    return f"### No drift\n\nThe account matches the file again.\n{_footer(origin)}"


def drift_title(origin: Origin) -> str:
    """Name an issue: one line in which no name means anything to GitHub."""
    names = ", ".join(_plain_name(each) for each in origin.environments[:_MOST_NAMES])
    title = f"Drift in {names}" if names else "Drift"
    return (
        f"{title if len(title) <= _LONGEST_TITLE else 'Drift'}: the account does not match {_plain_name(origin.file)}"[
            :256
        ]
    )


def has_drift(plan: Plan) -> bool:
    """Return whether somebody has to do something: changes, errors or warnings.

    Notes only inform, and an account that could not be read may be as it should be.
    """
    return bool(plan.actions) or any(map(_matters, plan.findings))


def shown_drift(plan: Plan, digest: str) -> str:
    """Return a fingerprint that changes with a plan's changes and findings, and not with amounts spent meanwhile."""
    findings = sorted([each.severity, each.rule, str(each.address)] for each in plan.findings if _matters(each))
    return hashlib.sha256(json.dumps([digest, findings]).encode()).hexdigest()


def _matters(finding: Finding) -> bool:
    return finding.severity is not Severity.NOTE and finding.rule != UNREAD


def _problem(problem: Diagnostic | str) -> str:
    if isinstance(problem, str):
        return f"- {markdown(problem)}\n"
    place = markdown_code(words.place(problem.location, terminal))
    return f"- {_SIGNS[problem.severity]} {place}: {markdown(problem.message)}\n"


def _footer(origin: Origin | None) -> str:
    """Return who planned what on which commit, in a paragraph of small print."""
    if origin is None:
        return ""
    what = ", ".join([markdown_name(origin.file), *_named(origin.environments)])
    run = f", [run]({origin.run})" if origin.run else ""
    by = f" by {markdown_name(origin.actor)}" if origin.actor else ""
    commit = markdown_code(origin.commit[:_COMMIT_DIGITS])
    line = f"\n<sub>{what}: planned{by} on commit {commit}{run}</sub>\n"
    return line if len(line) <= _LONGEST_ORIGIN else f"\n<sub>Planned on commit {commit}</sub>\n"


def _named(environments: Sequence[str]) -> Iterable[str]:
    yield from (markdown_name(each) for each in environments[:_MOST_NAMES])
    if len(environments) > _MOST_NAMES:
        yield plural(len(environments) - _MOST_NAMES, "more environment")


def _plain_name(name: str) -> str:
    """Keep of a name what GitHub makes nothing of in a title: no mention, no reference, no code."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_./") else "?" for each in name)
