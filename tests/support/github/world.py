"""A destination, the fake that it speaks to, and a clock that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from reconciler.destinations.base import SecretDelivery
from reconciler.destinations.github import GitHubActions
from reconciler.errors import DestinationError
from reconciler.http.retry import Timing
from reconciler.model import Address, Setting, Target
from reconciler.secret import Secret
from support.github.fake import TOKEN, FakeGitHub
from support.github.transport import lead_to, run_watched
from support.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_Result = TypeVar("_Result")

LEAK = "ng-THISMUSTNEVERBESHOWN0000000000000"
REPOSITORY = "repos/acme/api"
ENVIRONMENT = "repos/acme/api/environments/production"
ORGANIZATION = "orgs/acme"


def secret_delivery(name: str = "NAGA_API", secret: str = LEAK) -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), 7, name, Secret(secret))


class World:
    """Everything a test of the destination needs, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = FakeGitHub()
        self.way = lead_to(self.fake, monkeypatch)
        self.clock = VirtualClock()
        self.fake.now = lambda: self.clock.now().timestamp()
        for name in ("GITHUB_API_URL", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_PRIVATE_KEY_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)

    def repository(self, **settings: Setting) -> GitHubActions:
        return self.open(repository="acme/api", **settings)

    def open(self, **settings: Setting) -> GitHubActions:
        timing = Timing(sleep=asyncio.sleep, random=lambda: 0.5, monotonic=self.clock.monotonic)
        return GitHubActions(Target("github", "github-actions", tuple(settings.items())), timing)

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return run_watched(self.clock, self.way, work)

    def error(self, work: Callable[[], Awaitable[object]]) -> DestinationError:
        """Run what must fail, and give how."""

        async def attempt() -> DestinationError:
            try:
                await work()
            except DestinationError as error:
                return error
            pytest.fail("it did not fail")

        return self.run(attempt())

    def deliver(self, destination: GitHubActions, name: str = "NAGA_API", secret: str = LEAK) -> None:
        self.run(destination.deliver(secret_delivery(name, secret)))

    def failure(self, destination: GitHubActions) -> DestinationError:
        return self.error(lambda: destination.deliver(secret_delivery()))

    def refusal(self, destination: GitHubActions, *names: str) -> str:
        return str(self.error(lambda: destination.preflight(names or ("NAGA_API",))))
