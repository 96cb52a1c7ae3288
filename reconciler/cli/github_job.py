"""The job of a GitHub workflow that plan and apply may run in, and how they ask GitHub from there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from reconciler.errors import DeclarationError, Interrupted, ReconcilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from reconciler.cli.request import Asked
    from reconciler.diagnostic import Diagnostic
    from reconciler.gitops.job import Job
    from reconciler.gitops.repository import Repository
    from reconciler.render.comment import Origin

T = TypeVar("T")


def read_this_job(flag: str) -> Job:
    """Read the job, and see that GitHub could be asked."""
    from reconciler.github.address import base_url
    from reconciler.gitops.job import read_job
    from reconciler.gitops.repository import find_token

    job = read_job(os.environ, flag)
    find_token(os.environ)
    base_url(os.environ)
    return job


def on_github(job: Job, work: Callable[[Repository], Awaitable[T]]) -> T:
    """Do something with the repository of the job."""
    from reconciler.cli import interrupt
    from reconciler.gitops.repository import open_repository

    async def connected() -> T:
        async with open_repository(os.environ, job.repository) as repository:
            return await work(repository)

    return interrupt.run(connected())


def selection_of(asked: Asked) -> str:
    """Name what was selected, the file by its path in the repository: two folders may each have one of its name."""
    from reconciler.gitops.marker import selection

    file, workspace = asked.file.resolve(), Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    named = file.relative_to(workspace) if file.is_relative_to(workspace) else file
    return selection(named.as_posix(), asked.environment, asked.only)


def origin_of(asked: Asked) -> Origin | None:
    """Tell where a page comes from; None outside of a job."""
    from reconciler.gitops.job import read_job
    from reconciler.render.comment import Origin

    try:
        job = read_job(os.environ, "--format github")
    except UsageError:
        return None
    commit = job.commit if job.pull_request is None else job.pull_request.head
    return Origin(str(asked.file), (*asked.environment, *asked.only), job.actor, commit, job.run)


def explained(error: BaseException) -> tuple[str, Sequence[Diagnostic | str]]:
    """Say why there is no plan or result; of an error that nobody foresaw, nothing that it holds."""
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
    """Give the exit code that the process ends with after an error."""
    match error:
        case ReconcilerError():
            return error.exit_code
        case KeyboardInterrupt():
            return Interrupted.exit_code
        case _:
            return ReconcilerError.exit_code
