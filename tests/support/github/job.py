"""A job of a workflow on the fake, in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.forge.github import Repository
from reconciler.forge.threads import PlanMarker, selection
from reconciler.http.retry import Timing
from reconciler.secret import Secret
from support.github.fake import JOB_TOKEN, JOB_TOKENS, FakeGitHub
from support.github.transport import lead_to, run_watched
from support.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    import pytest

_Result = TypeVar("_Result")

HEAD = "a1" * 20
MERGED = "b2" * 20
OTHER = "c3" * 20
DIGEST = "sha256:" + "5e" * 32
NUMBER = 7
SELECTION = selection("keys.yaml", [])
MARKER = PlanMarker(SELECTION, HEAD, DIGEST)


class GitHubJob:
    """Everything a test of what is done on GitHub needs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = FakeGitHub()
        self.fake.tokens |= JOB_TOKENS
        self.discussions = self.fake.discussions
        self.way = lead_to(self.fake, monkeypatch)
        self.clock = VirtualClock()
        self.fake.now = lambda: self.clock.now().timestamp()

    def run(self, work: Callable[[Repository], Awaitable[_Result]], token: str = JOB_TOKEN) -> _Result:
        """Do something with the repository, as one process does."""
        timing = Timing(random=lambda: 0.5, monotonic=self.clock.monotonic)

        async def connected() -> _Result:
            repository = Repository("acme/api", Secret(token), "https://api.github.com", timing)
            try:
                return await work(repository)
            finally:
                await repository.aclose()

        return self.alone(connected())

    def alone(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return run_watched(self.clock, self.way, work)

    def bodies(self, number: int = NUMBER) -> list[str]:
        return [each.body for each in self.discussions.on(number)]


def event_of(folder: Path, **payload: Any) -> str:
    """Write the event of a job; gives the path."""
    file = folder / "event.json"
    file.write_text(json.dumps(payload))
    return str(file)


def pull_request_event(folder: Path, head: str = HEAD) -> str:
    return event_of(folder, number=NUMBER, pull_request={"number": NUMBER, "head": {"sha": head}})


def job_environment(event: str = "", **variables: str) -> dict[str, str]:
    """Give what a runner sets, as far as it is read."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_TOKEN": JOB_TOKEN,
        "GITHUB_API_URL": "https://api.github.com",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/api",
        "GITHUB_SHA": MERGED,
        "GITHUB_ACTOR": "octocat",
        "GITHUB_RUN_ID": "42",
        "GITHUB_EVENT_PATH": event,
        **variables,
    }
