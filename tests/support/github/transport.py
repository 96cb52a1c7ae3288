"""The way to the fake: every exchange on it is held against GitHub's description, and it can go wrong on request."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest

from reconciler.forge import github as github_client
from reconciler.http.connection import open_client
from support.github import described

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from support.github.fake import FakeGitHub
    from support.virtual import VirtualClock

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Mishap:
    """What one request meets: an answer, or an exception in its place; `after` GitHub has done as it was asked."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: str = "{}"
    error: Exception | None = None
    after: bool = False

    def happen(self) -> httpx.Response:
        if self.error is not None:
            raise self.error
        return httpx.Response(self.status, headers=self.headers, text=self.content)


class Way(httpx.AsyncBaseTransport):
    """Carries requests to a fake in this process; `mishaps` are taken one a request whose line holds the word."""

    def __init__(self, fake: FakeGitHub) -> None:
        self._inner = httpx.ASGITransport(fake.app)
        self.base = ""
        """The folder that the API lies in, as on a server of one's own."""
        self.mishaps: deque[tuple[str, Mishap]] = deque()
        self.broken: Mishap | None = None
        """What every request meets from now on."""
        self.hang = False
        """Whether every request waits for ever from now on."""
        self.violations: list[str] = []
        """What was not as GitHub describes it: the destination may take the exception for a broken connection."""
        self.asked: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.hang:
            await asyncio.Event().wait()
        mishap = self._next(f"{request.method} {request.url}")
        if mishap is not None and not mishap.after:
            return mishap.happen()
        response = await self._inner.handle_async_request(request)
        await response.aread()
        try:
            described.check(request, response, self.base)
        except Exception as error:
            self.violations.append(f"{request.method} {request.url}: {error!r} {error.__cause__!r}")
            raise
        return response if mishap is None else mishap.happen()

    async def aclose(self) -> None:
        self.closed += 1

    def _next(self, line: str) -> Mishap | None:
        if self.broken is not None:
            return self.broken
        if self.mishaps and self.mishaps[0][0] in line:
            return self.mishaps.popleft()[1]
        return None

    def expect(self, word: str, *mishaps: Mishap) -> None:
        self.mishaps.extend((word, each) for each in mishaps)


def lead_to(fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Make every client that is built from now on speak to the fake; gives the way there."""
    way = Way(fake)
    monkeypatch.setattr(github_client, "open_client", lambda url: open_client(url, way))
    return way


def run_watched(clock: VirtualClock, way: Way, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run to the end; fails for an exception that nobody looked at, and for what is not as GitHub describes it."""

    def mishap(message: str, error: BaseException | None) -> None:
        pytest.fail(f"{message}: {error!r}")

    try:
        return clock.run(work, mishap)
    finally:
        assert way.violations == [], way.violations
