"""What apply does on GitHub: see what was reviewed and what is newest, and tell the step how it ended."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli.github_job import code_of, explained, on_github, read_this_job, selection_of
from reconciler.cli.step import append_summary, write_outputs
from reconciler.errors import StalePlan, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from reconciler.cli.apply_output import Output
    from reconciler.cli.request import Asked


class ApplyRecord:
    """What is known of an apply for the summary of its step."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.output: Output | None = None
        self.code: int | None = None

    def end(self, code: int) -> int:
        """Take the exit code of an apply that ran to its end, and give it."""
        self.code = code
        return code


@contextmanager
def recorded() -> Iterator[ApplyRecord]:
    """In a job of a workflow, write what an apply did, or why it did not, as summary and output of the step."""
    record = ApplyRecord()
    try:
        yield record
    except BaseException as error:
        _write_record(record, error)
        raise
    _write_record(record, None)


def reviewed_digest(asked: Asked, plan_file: Path | None) -> str | StalePlan:
    """Give the digest of the plan that was reviewed, or what is to be said where one has to be and was not.

    It stands on the pull request that this commit came from, or else the last commit that changed the file: a merge of
    something else in the meantime takes no review away.

    Raises:
        UsageError: a saved plan was given as well, or this is no job of a workflow.
        GitHubError: GitHub cannot be asked.
    """
    from reconciler.cli.revision import last_change
    from reconciler.gitops import reviews

    if plan_file is not None:
        msg = "--reviewed finds out what was reviewed itself, so a saved plan does not go with it"
        raise UsageError(msg)
    job, selected = read_this_job("--reviewed"), selection_of(asked)
    commits = dict.fromkeys([job.commit, last_change(asked.file, job.commit) or job.commit])
    try:
        return on_github(job, lambda repository: reviews.reviewed_digest(repository, commits, selected))
    except StalePlan as refusal:
        return refusal


def only_at_the_tip() -> Callable[[], Awaitable[None]]:
    """Refuse a commit that is not the newest of the default branch any more; gives what refuses it again later.

    Raises:
        UsageError: this is no job of a workflow.
        StalePlan: the branch has moved on.
        GitHubError: GitHub cannot be asked.
    """
    from reconciler.gitops.repository import open_repository
    from reconciler.gitops.reviews import refuse_superseded

    job = read_this_job("--only-tip")

    async def guard() -> None:
        async with open_repository(os.environ, job.repository) as repository:
            await refuse_superseded(repository, job.commit)

    on_github(job, lambda repository: refuse_superseded(repository, job.commit))
    return guard


def _write_record(record: ApplyRecord, error: BaseException | None) -> None:
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    write_outputs({"exitcode": str(record.code if error is None else code_of(error))})
    append_summary(lambda limit: _page(record, error, limit))


def _page(record: ApplyRecord, error: BaseException | None, limit: int) -> str:
    """Show the result; else why there is none, and the plan that was refused."""
    from reconciler.plan.digest import digest
    from reconciler.render.comment import failure_page
    from reconciler.render.markdown import render_plan, render_result

    output = record.output
    if output is not None and output.result is not None and output.result.outcomes:
        return render_result(output.result, limit=limit)
    page = ""
    if error is not None:
        what, problems = explained(error)
        page = failure_page(what, problems, None, limit=limit)
    if output is not None and output.plan is not None:
        plan = output.plan
        page += render_plan(plan, digest=digest(plan), limit=max(0, limit - len(page)))
    return page
