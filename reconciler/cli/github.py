"""What plan and apply do in a job of GitHub or GitLab: comment, issue, outputs, summary, and checks of a review."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.cli.console import note
from reconciler.errors import (
    DeclarationError,
    ForgeError,
    Interrupted,
    NotPermitted,
    ReconcilerError,
    StalePlan,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from reconciler.cli.apply import ApplyRecord, Output
    from reconciler.cli.options import SharedOptions
    from reconciler.diagnostic import Diagnostic
    from reconciler.engine.accounts import PlanRequest
    from reconciler.forge.github import Repository
    from reconciler.forge.reviews import Job
    from reconciler.forge.threads import Forge
    from reconciler.planning.actions import Plan
    from reconciler.render.github import Origin


T = TypeVar("T")


def in_gitlab() -> bool:
    """Return whether this is a job of GitLab; every other one is taken for one of GitHub."""
    return os.environ.get("GITLAB_CI") == "true"


def read_this_job(flag: str) -> Job:
    """Read the job, and see that GitHub or GitLab could be asked."""
    from reconciler.forge import github, gitlab
    from reconciler.forge.reviews import read_job

    forge = gitlab if in_gitlab() else github
    job = (gitlab.read_job if in_gitlab() else read_job)(os.environ, flag)
    forge.find_token(os.environ)
    forge.base_url(os.environ)
    return job


def read_github_job(flag: str) -> Job:
    """Read the job for what there is on GitHub alone."""
    if in_gitlab():
        msg = f"{flag} keeps an issue on GitHub; in GitLab, a pipeline that fails tells of drift: --detailed-exitcode"
        raise UsageError(msg)
    return read_this_job(flag)


def on_github(job: Job, work: Callable[[Repository], Awaitable[T]]) -> T:
    """Do something with the repository of the job."""
    from reconciler.cli import console
    from reconciler.forge.github import open_repository

    async def connected() -> T:
        async with open_repository(os.environ, job.repository) as repository:
            return await work(repository)

    return console.run(connected())


async def on_forge(job: Job, work: Callable[[Forge], Awaitable[T]]) -> T:
    """Do something with the repository, or project, of the job."""
    from reconciler.forge.github import open_repository
    from reconciler.forge.gitlab import open_project

    if in_gitlab():
        async with open_project(os.environ, job.repository) as project:
            return await work(project)
    async with open_repository(os.environ, job.repository) as repository:
        return await work(repository)


def selection_of(shared_options: SharedOptions) -> str:
    """Name what was selected, the file by its path in the repository: two folders may each have one of its name."""
    from reconciler.forge.threads import selection

    folder = os.environ.get("CI_PROJECT_DIR" if in_gitlab() else "GITHUB_WORKSPACE") or "."
    file, workspace = shared_options.file.resolve(), Path(folder).resolve()
    named = file.relative_to(workspace) if file.is_relative_to(workspace) else file
    return selection(named.as_posix(), shared_options.environment, shared_options.only)


def origin_of(shared_options: SharedOptions) -> Origin | None:
    """Return where a page comes from; None outside of a job."""
    from reconciler.forge import gitlab
    from reconciler.forge.reviews import read_job
    from reconciler.render.github import Origin

    try:
        job = (gitlab.read_job if in_gitlab() else read_job)(os.environ, "--format github")
    except UsageError:
        return None
    commit = job.commit if job.pull_request is None else job.pull_request.head
    return Origin(
        str(shared_options.file), (*shared_options.environment, *shared_options.only), job.actor, commit, job.run
    )


def explained(error: BaseException) -> tuple[str, Sequence[Diagnostic | str]]:
    """Return why there is no plan or result; of an error that nobody foresaw, nothing that it holds."""
    match error:
        case DeclarationError(diagnostics=diagnostics):
            return "The file is not valid", diagnostics
        case ReconcilerError():
            return "Not done", str(error).split("\n")
        case KeyboardInterrupt():
            return "Interrupted", ["nothing was changed"]
        case _:
            return "Not done", [f"unexpected {type(error).__name__}; the log of the step may tell more"]


def code_of(error: BaseException) -> int:
    """Return the exit code that the process ends with after an error."""
    match error:
        case ReconcilerError():
            return error.exit_code
        case KeyboardInterrupt():
            return Interrupted.exit_code
        case _:
            return ReconcilerError.exit_code


# What a step of a GitHub workflow leaves behind for others: its outputs, and its part of the summary of the run.

LARGEST_SUMMARY: Final = 1024 * 1024
"""Bytes that GitHub takes of a step; of a larger summary it shows nothing."""

_BYTES_OF_A_CHARACTER: Final = 4


def write_outputs(outputs: Mapping[str, str]) -> None:
    """Write outputs for later steps, where GITHUB_OUTPUT says.

    The end of each value is a line that nobody can know beforehand, so no value can end early and be another output.
    """
    text = "".join(map(_output, outputs, outputs.values()))
    _append("GITHUB_OUTPUT", lambda _: text)


def append_summary(render: Callable[[int], str]) -> None:
    """Add a page to the summary, where GITHUB_STEP_SUMMARY says; `render` takes how many characters it may have."""
    _append("GITHUB_STEP_SUMMARY", lambda size: _summary_page(render, size))


def _output(name: str, value: str) -> str:
    import secrets

    end = f"end-{secrets.token_hex(16)}"
    return f"{name}<<{end}\n{value}\n{end}\n"


def _summary_page(render: Callable[[int], str], size: int) -> str:
    gap = "\n" if size else ""
    return gap + render(max(0, LARGEST_SUMMARY - size - len(gap)) // _BYTES_OF_A_CHARACTER)


def _append(variable: str, render: Callable[[int], str]) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        with Path(path).open("ab") as file:
            file.write(render(file.tell()).encode(errors="surrogateescape"))
    except OSError as error:
        note(f"warning: the file that {variable} names cannot be written: {error.strerror}")


# What plan does on GitHub beside what it shows: the comment, the issue, outputs and summary of the step.

_FAILED: Final = ReconcilerError.exit_code
_SUCCESSES: Final = {0, 2}


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a plan was asked to do beside being shown."""

    step: bool
    out: Path | None
    offline: bool
    comment: bool
    issue: bool


@contextmanager
def reported(shared_options: SharedOptions, report_options: ReportOptions) -> Iterator[PlanReport]:
    """Have a plan reported, or why there is none; what cannot be reported is found out before the account is asked.

    Raises:
        UsageError: the environment lacks what a comment or an issue needs.
    """
    report = PlanReport(shared_options, report_options)
    try:
        report.prepare()
        yield report
    except BaseException as error:
        report.fail(error)
        raise


class PlanReport:
    """Reports one plan."""

    def __init__(self, shared_options: SharedOptions, report_options: ReportOptions) -> None:
        """Take what was asked for."""
        self._shared_options = shared_options
        self._report_options = report_options
        self._job: Job | None = None

    def prepare(self) -> None:
        """See that a comment or an issue can be written as far as that is known without asking."""
        report_options = self._report_options
        if report_options.issue and report_options.offline:
            msg = "--issue tells how the account differs, so --offline does not go with it"
            raise UsageError(msg)
        if report_options.comment or report_options.issue:
            self._job = read_github_job("--issue") if report_options.issue else read_this_job("--comment")

    def end(self, plan: Plan, request: PlanRequest, code: int) -> int:
        """Report a plan; gives the exit code, which is no success any more when something could not be written."""
        report_options = self._report_options
        if not (report_options.step or report_options.comment or report_options.issue):
            return code
        from reconciler.engine.accounts import seal_key
        from reconciler.planning.planfile import digest
        from reconciler.render.github import plan_page

        found = digest(plan)
        origin = origin_of(self._shared_options)
        can_be_applied, sealed = not (plan.errors or report_options.offline), (found, seal_key(request))
        if report_options.step:
            append_summary(lambda limit: plan_page(plan, found, origin, limit=limit))
        written = [
            self._comment(plan_page(plan, found, origin), *(sealed if can_be_applied else (None, None))),
            self._update_issue(plan, found),
        ]
        ended = _FAILED if code in _SUCCESSES and not all(written) else code
        out = "" if report_options.out is None else str(report_options.out)
        self._outputs({"changes": str(len(plan.actions)), "digest": found, "exitcode": str(ended), "plan-file": out})
        return ended

    def fail(self, error: BaseException) -> None:
        """Report why there is no plan."""
        if not (self._report_options.step or self._report_options.comment):
            return
        code = code_of(error)
        self._outputs({"changes": "", "digest": "", "exitcode": str(code), "plan-file": ""})
        if code == Interrupted.exit_code:
            return  # A job that was cancelled has no time for more.
        from reconciler.render.github import failure_page

        what, problems = explained(error)
        origin = origin_of(self._shared_options)
        if self._report_options.step:
            append_summary(lambda limit: failure_page(what, problems, origin, limit=limit))
        self._comment(failure_page(what, problems, origin), None, None)

    def _outputs(self, outputs: dict[str, str]) -> None:
        if self._report_options.step:
            write_outputs(outputs)

    def _comment(self, page: str, digest: str | None, key: bytes | None) -> bool:
        """Keep the comment up to date; False when it should have been and is not. With a key, it is sealed."""
        job = self._job
        if job is None or not self._report_options.comment:
            return True
        if job.pull_request is None:
            note("This run is about no pull request or merge request, so there is none to comment on.")
            return True
        from reconciler.cli import console
        from reconciler.forge.threads import PlanMarker, keep_comment, plan_comment, plan_prefix

        number, selected = job.pull_request.number, selection_of(self._shared_options)
        marker = PlanMarker(selected, job.pull_request.head, digest)
        body = plan_comment(marker, page, (job.repository, number), key)
        what = f"the comment on {job.pull_request.called}"
        try:
            console.run(on_forge(job, lambda forge: keep_comment(forge, number, plan_prefix(selected), body)))
        except NotPermitted as error:
            note(f"note: {what} could not be written with this token ({error}): {_needed()}")
            return True
        except ForgeError as error:
            note(f"error: {what} could not be written: {error}")
            return False
        note(f"Wrote {what}.")
        return True

    def _update_issue(self, plan: Plan, digest: str) -> bool:
        """Open, update or close the issue; False when it should have been and is not."""
        job, origin = self._job, origin_of(self._shared_options)
        if job is None or origin is None or not self._report_options.issue:
            return True
        from reconciler.forge.threads import Drift, close_issues, keep_issue
        from reconciler.planning.accounts import UNREAD
        from reconciler.render.github import drift_page, drift_title, has_drift, resolved_page, shown_drift

        selected = selection_of(self._shared_options)

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
        except ForgeError as error:
            needed = "; the token needs 'issues: write'" if isinstance(error, NotPermitted) else ""
            note(f"error: the issue about the drift could not be written: {error}{needed}")
            return False
        return True


def _needed() -> str:
    """Return which token can write a comment."""
    if in_gitlab():
        return (
            "GITLAB_TOKEN has to be an access token of the project with the scope api and the role Reporter or more; "
            "the CI_JOB_TOKEN of a job cannot write notes, and a merge request from a fork gets no token"
        )
    return "it needs 'pull-requests: write', which a pull request from a fork does not get"


# What apply does on GitHub and GitLab: see what was reviewed and what is newest, and tell the step how it ended.


def reviewed_digest(shared_options: SharedOptions, request: PlanRequest) -> str | StalePlan:
    """Return the digest of the plan that was reviewed, or what is to be said where one has to be and was not.

    It stands on the pull request that this commit came from, or else the last commit that changed the file: a merge of
    something else in the meantime takes no review away.

    Raises:
        UsageError: this is no job of a workflow.
        ForgeError: GitHub cannot be asked.
    """
    from reconciler.cli import console
    from reconciler.cli.git import last_change
    from reconciler.engine.accounts import seal_key
    from reconciler.forge import reviews

    job, selected = read_this_job("--reviewed"), selection_of(shared_options)
    key = seal_key(request)
    commits = dict.fromkeys([job.commit, last_change(shared_options.file, job.commit) or job.commit])
    try:
        return console.run(on_forge(job, lambda forge: reviews.reviewed_digest(forge, commits, selected, key)))
    except StalePlan as refusal:
        return refusal


def only_at_the_tip() -> Callable[[], Awaitable[None]]:
    """Refuse a commit that is not the newest of the default branch any more; gives what refuses it again later.

    Raises:
        UsageError: this is no job of a workflow.
        StalePlan: the branch has moved on.
        ForgeError: GitHub cannot be asked.
    """
    from reconciler.cli import console
    from reconciler.forge.reviews import refuse_superseded

    job = read_this_job("--only-tip")

    async def guard() -> None:
        await on_forge(job, lambda forge: refuse_superseded(forge, job.commit))

    console.run(guard())
    return guard


def tell_issue(job: Job, shared_options: SharedOptions, output: Output, code: int) -> int:
    """Add what an apply did to the issue about drift; give the exit code, no success where that failed."""
    from reconciler.forge.threads import add_to_issue
    from reconciler.render.github import drift_title, result_page

    origin, result = origin_of(shared_options), output.result
    if origin is None or result is None or not result.outcomes:
        return code
    title, page, selected = drift_title(origin), result_page(result, origin), selection_of(shared_options)
    try:
        number = on_github(job, lambda repository: add_to_issue(repository, selected, title, page))
    except ForgeError as error:
        needed = "; the token needs 'issues: write'" if isinstance(error, NotPermitted) else ""
        note(f"error: what was done could not be told in the issue about drift: {error}{needed}")
        return code or _FAILED
    note(f"Told in issue #{number} what was done.")
    return code


def write_record(record: ApplyRecord, error: BaseException | None) -> None:
    """Write what an apply did, or why it did not, as summary and output of the step."""
    write_outputs({"exitcode": str(record.code if error is None else code_of(error))})
    append_summary(lambda limit: _page(record, error, limit))


def _page(record: ApplyRecord, error: BaseException | None, limit: int) -> str:
    """Show the result; else why there is none, and the plan that was refused."""
    from reconciler.planning.planfile import digest
    from reconciler.render.github import failure_page
    from reconciler.render.markdown import render_plan, render_result

    output = record.output
    if output is not None and output.result is not None and output.result.outcomes:
        lifted = output.plan.lifted if output.plan else ()
        return render_result(output.result, limit=limit, lifted=lifted)
    page = ""
    if error is not None:
        what, problems = explained(error)
        page = failure_page(what, problems, None, limit=limit)
    if output is not None and output.plan is not None:
        plan = output.plan
        page += render_plan(plan, digest=digest(plan), limit=max(0, limit - len(page)))
    return page
