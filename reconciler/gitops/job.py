"""The job of a workflow that this process runs in, as GitHub's runner describes it in the environment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import UsageError
from reconciler.github.address import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_SERVER: Final = re.compile(r"https?://[A-Za-z0-9.:-]+", re.ASCII)
_RUN: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_LARGEST_EVENT: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PullRequest:
    """The pull request that an event is about, and the commit at the head of its branch."""

    number: int
    head: str


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of the job: for whom and on which commit it runs, and where it can be watched."""

    repository: str
    commit: str
    actor: str
    run: str | None
    pull_request: PullRequest | None


def read_job(environment: Mapping[str, str], flag: str) -> Job:
    """Read what the runner says; `flag` is the option that asks for it.

    Raises:
        UsageError: this is no job of a GitHub workflow, or it says what cannot be.
    """
    repository, commit = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_SHA", "")
    if not REPOSITORY.fullmatch(repository) or not _COMMIT.fullmatch(commit):
        msg = f"{flag} works in a job of a GitHub workflow, where GITHUB_REPOSITORY and GITHUB_SHA are set"
        raise UsageError(msg)
    return Job(
        repository,
        commit,
        environment.get("GITHUB_ACTOR", ""),
        _run(environment, repository),
        _pull_request(environment.get("GITHUB_EVENT_PATH", "")),
    )


def _run(environment: Mapping[str, str], repository: str) -> str | None:
    server, run = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_RUN_ID", "")
    if not _SERVER.fullmatch(server) or not _RUN.fullmatch(run):
        return None
    return f"{server}/{repository}/actions/runs/{run}"


def _pull_request(path: str) -> PullRequest | None:
    """Read which pull request the event is about; None when it is about none."""
    if not path:
        return None
    match _read_event(path):
        case {"pull_request": {"number": int(number), "head": {"sha": str(head)}}} if _COMMIT.fullmatch(head):
            # A boolean is an int to Python, and no number of a pull request.
            return PullRequest(number, head) if number > 0 and not isinstance(number, bool) else None
        case _:
            return None


def _read_event(path: str) -> Any:  # noqa: ANN401  # any JSON
    try:
        with Path(path).open("rb") as file:
            return json.loads(file.read(_LARGEST_EVENT))
    except (OSError, ValueError, RecursionError):
        msg = "GITHUB_EVENT_PATH names no event that can be read"
        raise UsageError(msg) from None
