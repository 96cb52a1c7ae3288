"""What GitLab shows in a merge request of its own accord, out of files that a job leaves: counts, and lines of code."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.planning.actions import Create, Delete, Retire
from reconciler.render.escape import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.diagnostic import Diagnostic
    from reconciler.planning.actions import Plan

_SEVERITIES: Final = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.NOTE: "info"}


def plan_report(plan: Plan) -> str:
    """Count what a plan creates, changes and takes away, as `artifacts: reports: terraform` takes it.

    What is retired counts as taken away, since nobody can use it from then on; what is renamed, renewed, rotated,
    finished or restored counts as changed. Source: https://docs.gitlab.com/user/infrastructure/iac/mr_integration.
    """
    created = sum(isinstance(each, Create) for each in plan.actions)
    deleted = sum(isinstance(each, Delete | Retire) for each in plan.actions)
    return to_json({"create": created, "update": len(plan.actions) - created - deleted, "delete": deleted})


def code_quality(diagnostics: Iterable[Diagnostic]) -> str:
    """Write diagnostics as `artifacts: reports: codequality` takes them; nothing wrong is an empty list.

    A finding is recognised by its file and its words, wherever in the file it has moved to. Source:
    https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format.
    """
    seen: Counter[str] = Counter()
    return to_json([_issue(each, seen) for each in diagnostics])


def _issue(diagnostic: Diagnostic, seen: Counter[str]) -> dict[str, object]:
    path = diagnostic.location.file.removeprefix("./")
    about = f"{path}\0{diagnostic.message}"
    seen[about] += 1
    return {
        "description": diagnostic.message,
        "check_name": "declaration",
        "fingerprint": hashlib.sha256(f"{about}\0{seen[about]}".encode(errors="surrogateescape")).hexdigest(),
        "severity": _SEVERITIES[diagnostic.severity],
        "location": {"path": path, "lines": {"begin": diagnostic.location.line}},
    }
