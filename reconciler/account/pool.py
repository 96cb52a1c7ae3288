"""HTTP clients, one per concurrent request: one client shared by many gets slower with every request under way."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import httpx

from reconciler import __version__
from reconciler.account.base_url import check_base_url
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.account.exchange import Timeouts

# Shorter than the 5 s after which common servers close an idle connection: a request, above all a POST, should not
# meet a connection that is just being closed.
_KEEP_ALIVE: Final = 4.0


class ClientPool:
    """Makes clients when they are needed and hands out the one used last, whose connection is the freshest."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        """Make the first client at once, so that wrong proxy settings show before the first request."""
        self._make = make
        first = make()
        self._all = [first]
        self._idle = [first]

    def take(self) -> httpx.AsyncClient:
        """Hand out a client that nobody else uses until it is given back."""
        if self._idle:
            return self._idle.pop()
        client = self._make()
        self._all.append(client)
        return client

    def give_back(self, client: httpx.AsyncClient) -> None:
        """Take a client back, whatever came of its request."""
        self._idle.append(client)

    async def aclose(self) -> None:
        """Close all connections."""
        for client in {id(client): client for client in self._all}.values():
            await client.aclose()


def client_pool(base_url: str, transport: httpx.AsyncBaseTransport | None, timeouts: Timeouts) -> ClientPool:
    """Build the pool for a base URL; with a transport, one client around it serves everybody.

    Raises UsageError when SSL_CERT_FILE, SSL_CERT_DIR or a proxy variable cannot be used.
    """
    if transport is not None:
        only = _client(timeouts, transport=transport)
        return ClientPool(lambda: only)
    encrypted = check_base_url(base_url).startswith("https://")
    # Plain http goes to this machine only, so there is nothing to verify, and the provisioning key must not pass
    # through a proxy in the clear. The context made for it trusts nobody and costs nothing.
    context = _tls_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ClientPool(lambda: _client(timeouts, context=context, environment=encrypted))
    except (ValueError, ImportError, httpx.InvalidURL):
        pass  # its message repeats the variable's value, which may hold a password
    msg = "a proxy variable (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY) cannot be used; it looks like http://proxy.example:3128"
    raise UsageError(msg)


def _client(
    timeouts: Timeouts,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    context: ssl.SSLContext | bool = True,
    environment: bool = False,
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"User-Agent": f"naga-reconciler/{__version__}", "Accept": "application/json"},
        # A cookie would carry one credential's session over to another's request.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=timeouts.for_httpx(),
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE),
        follow_redirects=False,
        trust_env=environment,
        transport=transport,
        verify=context,
    )


def _tls_context() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        msg = f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error.strerror or error}"
        raise UsageError(msg) from None
