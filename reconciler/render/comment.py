"""What stands on GitHub about a plan: the page of a comment, of an issue and of a step's summary.

Every text from outside is data in it: no name mentions anybody, links anywhere, or begins a comment in HTML.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.plan.accounts import UNREAD
from reconciler.render import words
from reconciler.render.escape import markdown, markdown_code, markdown_name, terminal
from reconciler.render.markdown import LIMIT, render_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.diagnostic import Diagnostic
    from reconciler.plan.actions import Finding, Plan

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
    more = f"\n… and {words.plural(left_out, 'more problem')}; the log of the step has all.\n" if left_out else ""
    page = "".join((head, *kept, more, footer))
    return page if len(page) <= limit else ""


def drift_page(plan: Plan, digest: str, origin: Origin) -> str:
    """Show what has moved away from the file, for an issue, no longer than GitHub takes one."""
    intro = (
        "The account is not what the file asks for. This issue is kept up to date, and closed when that is over.\n"
        "If you close it, it stays closed until something else is to be seen.\n\n"
    )
    return f"{intro}{plan_page(plan, digest, origin, limit=LIMIT - len(intro))}"


def resolved_page(origin: Origin) -> str:
    """Say that there is no drift any more, for an issue that is closed with it."""
    return f"### No drift\n\nThe account matches the file again.\n{_footer(origin)}"


def drift_title(origin: Origin) -> str:
    """Name an issue: one line in which no name means anything to GitHub."""
    names = ", ".join(_plain(each) for each in origin.environments[:_MOST_NAMES])
    title = f"Drift in {names}" if names else "Drift"
    return f"{title if len(title) <= _LONGEST_TITLE else 'Drift'}: the account does not match {_plain(origin.file)}"[
        :256
    ]


def has_drift(plan: Plan) -> bool:
    """Tell whether somebody has to do something: changes, errors or warnings.

    Notes only inform, and an account that could not be read may be as it should be.
    """
    return bool(plan.actions) or any(map(_matters, plan.findings))


def shown_drift(plan: Plan, digest: str) -> str:
    """Give a fingerprint that changes with the changes and findings of a plan, and not with amounts spent meanwhile."""
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
    """Say who planned what on which commit, in a paragraph of small print."""
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
        yield words.plural(len(environments) - _MOST_NAMES, "more environment")


def _plain(name: str) -> str:
    """Keep of a name what GitHub makes nothing of in a title: no mention, no reference, no code."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_./") else "?" for each in name)
