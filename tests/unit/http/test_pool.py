"""The HTTP clients: made when needed, used again, and sharing one TLS context."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.errors import UsageError
from reconciler.http.exchange import Timeouts
from reconciler.http.limits import ClientPool, client_pool

if TYPE_CHECKING:
    from pathlib import Path

PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def test_clients_are_made_when_needed_and_the_one_used_last_comes_first() -> None:
    pool = ClientPool(lambda: httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))))
    first, second = pool.take(), pool.take()
    assert first is not second
    pool.give_back(second)
    pool.give_back(first)
    assert pool.take() is first
    assert pool.take() is second
    asyncio.run(pool.aclose())
    assert first.is_closed
    assert second.is_closed


def test_all_clients_share_one_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[ssl.SSLContext] = []
    create = httpx.create_ssl_context

    def counted() -> ssl.SSLContext:
        built.append(create())
        return built[-1]

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    pool = client_pool("https://api.naga.ac/v1", None, Timeouts())
    pool.take(), pool.take(), pool.take()
    assert len(built) == 1
    assert built[0].verify_mode == ssl.CERT_REQUIRED
    assert built[0].check_hostname
    asyncio.run(pool.aclose())


@pytest.mark.parametrize("base_url", ["http://localhost:1/v1", "http://[::1]:1/v1"])
def test_plain_http_reads_neither_certificates_nor_proxies(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> ssl.SSLContext:
        pytest.fail("certificates were read")

    monkeypatch.setattr(httpx, "create_ssl_context", forbidden)
    monkeypatch.setenv("HTTP_PROXY", "nonsense://x")
    pool = client_pool(base_url, None, Timeouts())
    assert pool.take().trust_env is False
    asyncio.run(pool.aclose())


def test_redirects_are_not_followed_and_nobody_waits_for_ever() -> None:
    pool = client_pool("http://localhost:1", None, Timeouts())
    client = pool.take()
    assert client.follow_redirects is False
    assert client.timeout == httpx.Timeout(connect=5.0, read=30.0, write=30.0, pool=5.0)
    assert client.headers["User-Agent"].startswith("naga-reconciler/")
    asyncio.run(pool.aclose())


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_certificates_that_cannot_be_read_are_told_by_the_variable(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UsageError, match="SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"):
        client_pool("https://api.naga.ac/v1", None, Timeouts())


@pytest.mark.parametrize("value", ["nonsense://user:hunter2@x", "socks5://user:hunter2@x:1", "http://x:port"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(UsageError) as caught:
        client_pool("https://api.naga.ac/v1", None, Timeouts())
    assert "HTTPS_PROXY" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
