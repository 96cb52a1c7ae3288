"""Limits what is sent at a time: after a 429 all requests pause; each concurrent request has a client of its own."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import httpx

from reconciler import __version__
from reconciler.errors import UsageError
from reconciler.http.address import check_base_url
from reconciler.http.exchange import CODING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from reconciler.http.exchange import Timeouts
    from reconciler.http.retry import RetryPolicy, Timing


# A pause, in seconds, from which on somebody who watches would wonder.
WORTH_TELLING: Final = 5.0
_log = logging.getLogger("reconciler.account")


class Gate:
    """Lets at most `width` requests through at a time, and none while the service wants to be left alone.

    A 429 closes the gate, for longer each time that the first requests after a pause meet another, and halves how
    many may run at a time; as many good answers in a row let one more run again (additive increase, multiplicative
    decrease). Requests that were under way when the gate closed are no second 429.
    """

    def __init__(self, width: int, policy: RetryPolicy, timing: Timing, label: str = "") -> None:
        """Take how many requests may run at a time, 1 or more; what is logged begins with `label`."""
        self._label = label
        self._policy = policy
        self._timing = timing
        self._width = width
        self._allowed = width
        self._active = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._good = 0
        self._strikes = 0
        self._round = 0
        self._opens_at = 0.0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[int]:
        """Wait for a slot and for the end of the pause; gives the round, which tells 429s of one burst apart."""
        await self._enter()
        try:
            while (wait := self._opens_at - self._timing.monotonic()) > 0:
                await self._timing.sleep(wait)
            yield self._round
        finally:
            self._leave()

    def slow_down(self, seen: int, asked: float) -> None:
        """Close after a 429 to a request of round `seen`; `asked` is its Retry-After in seconds."""
        pause = min(asked, self._policy.longest_retry_after)
        if seen == self._round:
            self._round += 1
            self._strikes += 1
            self._allowed = max(1, self._allowed // 2)
            self._good = 0
            # Half of it fixed: everybody waits for the one pause, so no jitter is needed to keep requests apart,
            # only to keep two runs apart.
            pause = max(pause, self._policy.backoff(self._strikes) * (0.5 + 0.5 * self._timing.random()))
            if pause >= WORTH_TELLING:
                what = "%sThe service asks to be left alone (429): all requests wait for %d s."
                _log.warning(what, self._label, round(pause))
        self._opens_at = max(self._opens_at, self._timing.monotonic() + pause)

    def went_well(self, seen: int) -> None:
        """Take in a good answer to a request of round `seen`."""
        if seen != self._round:
            return
        self._strikes = 0
        if self._allowed == self._width:
            return
        self._good += 1
        if self._good >= self._allowed:
            self._good = 0
            self._allowed += 1
            self._admit()

    async def _enter(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in and cancelled at the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self._active -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._active < self._allowed:
            turn = self._queue.popleft()
            if not turn.cancelled():
                self._active += 1
                turn.set_result(None)


# HTTP clients, one per concurrent request: one client shared by many gets slower with every request under way.

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
        headers={
            "User-Agent": f"naga-reconciler/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": CODING,
        },
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
