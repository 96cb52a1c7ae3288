"""What is asked of GitHub against Prism, which serves GitHub's published description and checks every request.

Not part of `make test`, which asks for no Node: `make prism` runs it, and so does CI.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from nacl.public import PrivateKey

from reconciler.destinations.github import GitHubActions
from reconciler.errors import DestinationError, ForgeError, StalePlan
from reconciler.forge import github as github_client
from reconciler.forge.github import open_repository
from reconciler.forge.reviews import refuse_superseded
from reconciler.forge.threads import Drift, keep_comment, keep_issue
from reconciler.http.connection import open_client
from reconciler.model import Setting, Target
from support.github.described import DESCRIPTION
from support.github.job import SELECTION
from support.github.world import secret_delivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from reconciler.forge.github import Repository

PRISM = Path(__file__).parent / "node_modules" / ".bin" / "prism"
PLACES: list[dict[str, Setting]] = [
    {"repository": "acme/api"},
    {"repository": "acme/api", "environment": "eu/west 1"},
    {"organization": "acme", "visibility": "all"},
    {"organization": "acme", "visibility": "selected", "selected_repositories": ("1", "2")},
]


@pytest.fixture(scope="module")
def prism() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [PRISM, "mock", DESCRIPTION, "-h", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "Prism has ended"
        try:
            httpx.get(f"{url}/orgs/acme", trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.05)
            continue
        return
    pytest.fail("Prism does not answer")


class Inspected(httpx.AsyncHTTPTransport):
    """Keeps what Prism thinks of requests, and puts a key that works in the place of the one of its example."""

    def __init__(self) -> None:
        super().__init__()
        self.key = PrivateKey.generate()
        self.real_key = True
        self.statuses: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/graphql":  # described in a language of its own
            return httpx.Response(200, json={"data": {"viewer": {"login": "octocat"}}})
        # GitHub describes its own media type as plain JSON, and Prism takes that at its word.
        assert request.headers["Accept"] == "application/vnd.github+json"
        request.headers["Accept"] = "application/json"
        response = await super().handle_async_request(request)
        await response.aread()
        self.statuses.append(response.status_code)
        violations = json.loads(response.headers.get("sl-violations", "[]"))
        # Prism's own examples are not all as its description says; requests must be.
        assert [each for each in violations if each["location"][0] == "request"] == []
        if not self.real_key or not request.url.path.endswith("/public-key"):
            return response
        key = base64.b64encode(bytes(self.key.public_key)).decode()
        return httpx.Response(200, json={**response.json(), "key": key})


@pytest.fixture
def inspected(prism: str, monkeypatch: pytest.MonkeyPatch) -> Inspected:
    transport = Inspected()
    monkeypatch.setattr(github_client, "open_client", lambda url: open_client(url, transport))
    monkeypatch.setenv("GITHUB_API_URL", prism)
    monkeypatch.setenv("GITHUB_TOKEN", "github_pat_x")
    monkeypatch.delenv("GITHUB_APP_ID", raising=False)
    return transport


async def use(settings: dict[str, Setting]) -> None:
    destination = GitHubActions(Target("github", "github-actions", tuple(settings.items())))
    try:
        await destination.preflight(["NAGA_API"])
        await destination.deliver(secret_delivery())
        assert await destination.describe(["GH_TOKEN", "NAGA_API"]) != {}
    finally:
        await destination.aclose()


@pytest.mark.parametrize("settings", PLACES)
def test_prism_takes_everything_that_is_asked(inspected: Inspected, settings: dict[str, Any]) -> None:
    asyncio.run(use(settings))
    assert inspected.statuses == [200, 200, 200, 201, 200]


@pytest.mark.parametrize("settings", PLACES[:3])
def test_prism_takes_the_login_of_an_app(
    inspected: Inspected, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    monkeypatch.setenv("GITHUB_APP_ID", "4711")
    monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY", pem)
    asyncio.run(use(settings))
    assert inspected.statuses == [200, 201, 200, 200, 200, 201, 200, 204]


def test_the_public_key_of_the_example_is_found_to_be_none(inspected: Inspected) -> None:
    inspected.real_key = False
    with pytest.raises(DestinationError, match="the answer holds no public key"):
        asyncio.run(use(PLACES[0]))


def test_prism_would_see_a_request_that_is_not_as_described(prism: str) -> None:
    response = httpx.put(f"{prism}/repos/acme/api/actions/secrets/X", json={"encrypted_value": "eA=="}, trust_env=False)
    assert response.status_code == 422


def ask(prism: str, work: Callable[[Repository], Awaitable[object]]) -> None:
    async def connected() -> None:
        async with open_repository({"GITHUB_API_URL": prism, "GITHUB_TOKEN": "ghs_x"}, "acme/api") as repository:
            await work(repository)

    asyncio.run(connected())


def test_prism_takes_a_comment_and_its_next_version(prism: str, inspected: Inspected) -> None:
    async def work(repository: Repository) -> None:
        await keep_comment(repository, 7, "Me too", "Me too, says the example, and now more")
        with pytest.raises(ForgeError, match="does not show what it says it has stored"):
            await keep_comment(repository, 7, "<!-- ours -->", "<!-- ours -->\nbut the example shows another")
        await repository.delete("/issues/comments/1")

    ask(prism, work)
    assert inspected.statuses == [200, 200, 200, 201, 200, 204]


def test_prism_takes_an_issue_and_its_end(prism: str, inspected: Inspected) -> None:
    async def work(repository: Repository) -> None:
        with pytest.raises(ForgeError, match="does not show what it says it has stored"):
            await keep_issue(repository, SELECTION, Drift("Drift", "page", "0" * 64))
        await repository.change("/issues/7", title="Drift", body="page", state="open")
        await repository.change("/issues/7", body="page", state="closed", state_reason="completed")
        await repository.change("/issues/7", state="closed", state_reason="not_planned")

    ask(prism, work)
    assert inspected.statuses == [200, 201, 200, 200, 200, 200]


def test_prism_takes_the_questions_before_an_apply(prism: str, inspected: Inspected) -> None:
    async def work(repository: Repository) -> None:
        assert await repository.every(f"/commits/{'a1' * 20}/pulls")
        with pytest.raises(StalePlan, match="aa218f56b14c9653891f9e74264a383fa43fefbd"):
            await refuse_superseded(repository, "a1" * 20)

    ask(prism, work)
    assert inspected.statuses == [200, 200, 200]
