"""What plan does on GitHub beside what it shows: the comment, the issue, outputs and summary of the step."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note
from reconciler.cli.github_job import code_of, explained, on_github, origin_of, read_this_job, selection_of
from reconciler.cli.step import append_summary, write_outputs
from reconciler.errors import GitHubError, Interrupted, NotPermitted, ReconcilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.cli.request import Asked
    from reconciler.gitops.job import Job
    from reconciler.gitops.repository import Repository
    from reconciler.plan.actions import Plan

_FAILED: Final = ReconcilerError.exit_code
_SUCCESSES: Final = {0, 2}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a plan was asked to do beside being shown."""

    step: bool
    out: Path | None
    offline: bool
    comment: bool
    issue: bool


@contextmanager
def reported(asked: Asked, wishes: Wishes) -> Iterator[PlanReport]:
    """Have a plan reported, or why there is none; what cannot be reported is found out before the account is asked.

    Raises:
        UsageError: the environment lacks what a comment or an issue needs.
    """
    report = PlanReport(asked, wishes)
    try:
        report.prepare()
        yield report
    except BaseException as error:
        report.fail(error)
        raise


class PlanReport:
    """Reports one plan."""

    def __init__(self, asked: Asked, wishes: Wishes) -> None:
        """Take what was asked for."""
        self._asked = asked
        self._wishes = wishes
        self._job: Job | None = None

    def prepare(self) -> None:
        """See that a comment or an issue can be written as far as that is known without asking."""
        wishes = self._wishes
        if wishes.issue and wishes.offline:
            msg = "--issue tells how the account differs, so --offline does not go with it"
            raise UsageError(msg)
        if wishes.comment or wishes.issue:
            self._job = read_this_job("--comment" if wishes.comment else "--issue")

    def end(self, plan: Plan, code: int) -> int:
        """Report a plan; gives the exit code, which is no success any more when something could not be written."""
        wishes = self._wishes
        if not (wishes.step or wishes.comment or wishes.issue):
            return code
        from reconciler.plan.digest import digest
        from reconciler.render.comment import plan_page

        found = digest(plan)
        origin = origin_of(self._asked)
        if wishes.step:
            append_summary(lambda limit: plan_page(plan, found, origin, limit=limit))
        written = [
            self._comment(plan_page(plan, found, origin), None if plan.errors or wishes.offline else found),
            self._update_issue(plan, found),
        ]
        ended = _FAILED if code in _SUCCESSES and not all(written) else code
        out = "" if wishes.out is None else str(wishes.out)
        self._outputs({"changes": str(len(plan.actions)), "digest": found, "exitcode": str(ended), "plan-file": out})
        return ended

    def fail(self, error: BaseException) -> None:
        """Report why there is no plan."""
        if not (self._wishes.step or self._wishes.comment):
            return
        code = code_of(error)
        self._outputs({"changes": "", "digest": "", "exitcode": str(code), "plan-file": ""})
        if code == Interrupted.exit_code:
            return  # A job that was cancelled has no time for more.
        from reconciler.render.comment import failure_page

        what, problems = explained(error)
        origin = origin_of(self._asked)
        if self._wishes.step:
            append_summary(lambda limit: failure_page(what, problems, origin, limit=limit))
        self._comment(failure_page(what, problems, origin), None)

    def _outputs(self, outputs: dict[str, str]) -> None:
        if self._wishes.step:
            write_outputs(outputs)

    def _comment(self, page: str, digest: str | None) -> bool:
        """Keep the comment up to date; False when it should have been and is not."""
        job = self._job
        if job is None or not self._wishes.comment:
            return True
        if job.pull_request is None:
            note("This run is about no pull request, so there is none to comment on.")
            return True
        from reconciler.gitops.comments import keep_comment
        from reconciler.gitops.marker import PlanMarker, plan_prefix

        number, selected = job.pull_request.number, selection_of(self._asked)
        body = f"{PlanMarker(selected, job.pull_request.head, digest)}\n{page}"
        what = f"the comment on pull request #{number}"
        try:
            on_github(job, lambda repository: keep_comment(repository, number, plan_prefix(selected), body))
        except NotPermitted as error:
            missing = "it needs 'pull-requests: write', which a pull request from a fork does not get"
            note(f"note: {what} could not be written with this token ({error}): {missing}")
            return True
        except GitHubError as error:
            note(f"error: {what} could not be written: {error}")
            return False
        note(f"Wrote {what}.")
        return True

    def _update_issue(self, plan: Plan, digest: str) -> bool:
        """Open, update or close the issue; False when it should have been and is not."""
        job, origin = self._job, origin_of(self._asked)
        if job is None or origin is None or not self._wishes.issue:
            return True
        from reconciler.gitops.issues import Drift, close_issues, keep_issue
        from reconciler.plan.accounts import UNREAD
        from reconciler.render.comment import drift_page, drift_title, has_drift, resolved_page, shown_drift

        selected = selection_of(self._asked)

        async def work(repository: Repository) -> None:
            if has_drift(plan):
                drift = Drift(drift_title(origin), drift_page(plan, digest, origin), shown_drift(plan, digest))
                reports = [await keep_issue(repository, selected, drift)]
            elif any(each.rule == UNREAD for each in plan.findings):
                return  # What could not be read may have drifted as before.
            else:
                word = "There is no drift any more: the account matches the file again."
                reports = await close_issues(repository, selected, resolved_page(origin), word)
            for each in reports:
                note(f"Issue #{each.number} about the drift: {each.done}.")

        try:
            on_github(job, work)
        except GitHubError as error:
            needed = "; the token needs 'issues: write'" if isinstance(error, NotPermitted) else ""
            note(f"error: the issue about the drift could not be written: {error}{needed}")
            return False
        return True
