"""The github-actions destination over real connections."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from reconciler.destinations.github import GitHubActions
from reconciler.errors import DestinationError
from reconciler.http.exchange import Timeouts
from reconciler.http.retry import Timing
from reconciler.http.sender import Sender
from reconciler.model import Target
from support.github.fake import TOKEN, FakeGitHub
from support.github.world import ENVIRONMENT, LEAK, secret_delivery
from support.leaks import everything_shown
from support.raw_server import hang, http, raw_server, reset, say, say_and_close
from support.simulation import served

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.raw_server import Turn

TARGET = Target("github", "github-actions", (("repository", "acme/api"), ("environment", "production")))
AT_ONCE = Timing(random=lambda: 0.0)
PUBLIC_KEY = http(200, b'{"key_id": "1", "key": "2Sg8iYjAxxmI2LvUXpJjkYrMxURPc8r+dB7TJyvvcCU="}')


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.delenv("GITHUB_APP_ID", raising=False)
    # Nothing listens there: plain http to this machine passes no proxy.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")


def deliver_through(monkeypatch: pytest.MonkeyPatch, *turns: Turn, tls: ssl.SSLContext | None = None) -> list[bytes]:
    """Deliver one secret to a server that takes these turns; gives what it was sent."""

    async def run() -> list[bytes]:
        async with raw_server(*turns, tls=tls) as server:
            monkeypatch.setenv("GITHUB_API_URL", f"{'https' if tls else 'http'}://localhost:{server.port}")
            destination = GitHubActions(TARGET, AT_ONCE)
            try:
                await destination.deliver(secret_delivery())
            finally:
                await destination.aclose()
            return server.requests

    return asyncio.run(run())


def test_secrets_arrive_at_a_server_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeGitHub()
    names = [f"NAGA_{number}" for number in range(30)]

    async def run() -> None:
        destination = GitHubActions(TARGET, AT_ONCE)
        await destination.preflight(names)
        await asyncio.gather(*(destination.deliver(secret_delivery(name)) for name in names))
        assert len(await destination.describe(names)) == 30
        await destination.aclose()

    with served(fake.app) as url, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv("GITHUB_API_URL", f"{url.removesuffix('/v1')}/api/v3")
        asyncio.run(run())
    assert fake.held(ENVIRONMENT) == dict.fromkeys(names, LEAK)
    assert "PUT repos/acme/api/environments/production/secrets/NAGA_7: 201 in" in caplog.text
    assert TOKEN not in caplog.text
    assert LEAK not in caplog.text


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    away = say(http(307, b"", "Location: http://localhost:1/elsewhere"))
    with pytest.raises(DestinationError, match=r"\b307\b.* localhost:1\b") as caught:
        deliver_through(monkeypatch, away)
    assert not caught.value.uncertain


def test_a_location_that_is_none_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DestinationError, match=r"\b301\b"):
        deliver_through(monkeypatch, say(http(301, b"", "Location: http://[")))


@pytest.mark.parametrize(
    "broken", [reset(), say_and_close(b"HTTP/1.1 201 Created\r\nContent-Le"), say_and_close(b"nonsense\r\n\r\n")]
)
def test_a_broken_connection_is_tried_again(monkeypatch: pytest.MonkeyPatch, broken: Turn) -> None:
    requests = deliver_through(monkeypatch, say(PUBLIC_KEY), broken, say(http(204)))
    assert [request.split(b" ", 1)[0] for request in requests] == [b"GET", b"PUT", b"PUT"]


def test_a_request_says_what_github_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    get, put = deliver_through(monkeypatch, say(PUBLIC_KEY), say(http(201)))
    for line in (
        b"authorization: bearer github_pat_fine\r\n",
        b"accept: application/vnd.github+json\r\n",
        b"x-github-api-version: 2022-11-28\r\n",
        b"user-agent: naga-reconciler/",
    ):
        assert line in get.lower()
        assert line in put.lower()
    assert put.startswith(b"PUT /repos/acme/api/environments/production/secrets/NAGA_API HTTP/1.1\r\n")
    assert b"content-type: application/json\r\n" in put.lower()
    assert LEAK.encode() not in put


def test_no_answer_in_time_leaves_the_delivery_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Sender.__init__.__kwdefaults__ or {}, "timeouts", Timeouts(read=0.2))
    with pytest.raises(DestinationError, match=r"may not be in .*no answer within") as caught:
        deliver_through(monkeypatch, say(PUBLIC_KEY), *[hang() for _ in range(6)])
    assert caught.value.uncertain
    assert LEAK not in everything_shown(caught.value)
    assert TOKEN not in everything_shown(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    monkeypatch.delenv("ALL_PROXY")
    with pytest.raises(DestinationError, match=r"its certificate is not trusted .*SSL_CERT_FILE") as caught:
        deliver_through(monkeypatch, tls=context)
    assert not caught.value.uncertain
    with authority.cert_pem.tempfile() as file:
        monkeypatch.setenv("SSL_CERT_FILE", file)
        assert len(deliver_through(monkeypatch, say(PUBLIC_KEY), say(http(201)), tls=context)) == 2


def test_a_port_where_nobody_listens_is_said_to_be_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")

    async def run() -> None:
        destination = GitHubActions(TARGET, AT_ONCE)
        try:
            await destination.preflight(["NAGA_API"])
        finally:
            await destination.aclose()

    with pytest.raises(DestinationError, match="connection refused"):
        asyncio.run(run())


@pytest.mark.parametrize(("variable", "value"), [("ALL_PROXY", "nonsense://u:pass@x"), ("SSL_CERT_FILE", "/nowhere")])
def test_an_environment_that_cannot_be_used_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "https://localhost:9")
    monkeypatch.setenv(variable, value)

    def run(work: Callable[[], object]) -> None:
        with pytest.raises(DestinationError, match=variable.split("_", maxsplit=1)[0]) as caught:
            work()
        assert "pass" not in everything_shown(caught.value).split("Error: ")[-1]

    run(lambda: asyncio.run(GitHubActions(TARGET, AT_ONCE).preflight(["NAGA_API"])))
