"""The connections: made when needed, used again, and as the environment says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import UsageError
from reconciler.http import connection
from reconciler.http.connection import Connections, open_client, open_connections
from support.account import Script

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


class Closing:
    """A connection that only counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def handle_async_request(self, request: object) -> object:
        raise AssertionError(request)

    async def aclose(self) -> None:
        self.closed += 1


def test_connections_are_made_when_needed_and_the_one_used_last_comes_first() -> None:
    pool = Connections(Closing)  # type: ignore[arg-type]  # it carries nothing
    first, second = pool.take(), pool.take()
    assert first is not second
    pool.give_back(second)
    pool.give_back(first)
    assert pool.take() is first
    assert pool.take() is second
    asyncio.run(pool.aclose())
    assert [first.closed, second.closed] == [1, 1]  # type: ignore[attr-defined]  # as above


def test_a_transport_serves_everybody_and_is_closed_once() -> None:
    transport = Script([])
    pool = open_connections("https://api.naga.ac/v1", transport)
    assert pool.take() is pool.take()
    asyncio.run(pool.aclose())
    assert transport.closed == 1


WAYS = pytest.mark.parametrize("open_way", [open_connections, open_client])


@WAYS
def test_all_connections_share_one_tls_context(
    open_way: Callable[[str], Connections], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[ssl.SSLContext] = []
    create = connection.tls_context

    def counted(file: str | None, folder: str | None) -> ssl.SSLContext:
        built.append(create(file, folder))
        return built[-1]

    monkeypatch.setattr(connection, "tls_context", counted)
    pool = open_way("https://api.naga.ac/v1")
    pool.take(), pool.take(), pool.take()
    assert len(built) == 1
    assert built[0].verify_mode.name == "CERT_REQUIRED"
    assert built[0].check_hostname
    asyncio.run(pool.aclose())


@WAYS
@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://[::1]:1/v1"])
def test_plain_http_reads_neither_certificates_nor_proxies(
    url: str, open_way: Callable[[str], Connections], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("HTTP_PROXY", "nonsense://x")
    asyncio.run(open_way(url).aclose())


@WAYS
@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_certificates_that_cannot_be_read_are_told_by_the_variable(
    content: str | None, open_way: Callable[[str], Connections], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UsageError, match="SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"):
        open_way("https://api.naga.ac/v1")


@WAYS
@pytest.mark.parametrize("value", ["nonsense://user:hunter2@x", "socks5://user:hunter2@x:1", "http://x:port"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    value: str, open_way: Callable[[str], Connections], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(UsageError) as caught:
        open_way("https://api.naga.ac/v1")
    assert "HTTPS_PROXY" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
