"""The way to the other side, as the environment has proxies and certificates.

A client of httpx goes to GitHub, Vault, Google and whatever comes. An account, to which an apply sends thousands of
requests, gets connections of its own, one a concurrent request: a pool that many wait for gets slower with every one of
them. What goes over the wire is httpcore's part, which httpx rests on; below it lies a network of plain asyncio, whose
TLS keeps no more in memory than is under way. The simulator, and tests, answer in place of the network by a transport
of httpx.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import httpcore

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    import httpx

T = TypeVar("T")

# The network, as httpcore wants it.

_SECOND_FAMILY_SECONDS: Final = 0.25
"""How long one address of a name may take before the next is tried beside it, as RFC 8305 recommends."""

_MOST_UNREAD: Final = 64 * 1024
_PIECE: Final = 64 * 1024


class _Socket(asyncio.Protocol):
    """What has come over a connection and is not read yet, and whether more may be sent."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.came = bytearray()
        self.over = False
        self.error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of a socket, it is one for both ways

    def data_received(self, data: bytes) -> None:
        self.came += data
        if len(self.came) > _MOST_UNREAD:
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self.over = True
        _wake(self._reader)
        return True  # it is closed by whoever uses it

    def connection_lost(self, exc: Exception | None) -> None:
        self.over, self.error = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._writer)

    async def readable(self) -> None:
        """Wait for something to read, or the end."""
        if not self.came and not self.over:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    async def writable(self) -> None:
        """Wait until what was sent has left, or most of it."""
        if self._full and not self.over:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    def take(self, most: int) -> bytes:
        taken = bytes(self.came[:most])
        del self.came[:most]
        if len(self.came) <= _MOST_UNREAD:
            self.transport.resume_reading()
        return taken


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class _Plain(httpcore.AsyncNetworkStream):
    """A connection as it is; head and body of a small request leave together, when their answer is waited for."""

    def __init__(self, socket: _Socket) -> None:
        self._socket = socket
        self._held = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's name
        self._send()
        try:
            async with asyncio.timeout(timeout):
                await self._socket.readable()
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        if not self._socket.came and self._socket.error is not None:
            raise httpcore.ReadError from self._socket.error
        return self._socket.take(max_bytes) if self._socket.came else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's name
        self._held += buffer
        if len(self._held) < _PIECE:
            return
        self._send()
        try:
            async with asyncio.timeout(timeout):
                await self._socket.writable()
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error

    def _send(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._socket.transport.write(held)

    async def aclose(self) -> None:
        self._socket.transport.abort()
        await asyncio.sleep(0)  # in which the socket is closed

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's name
    ) -> httpcore.AsyncNetworkStream:
        return await _Encrypted(self, ssl_context, server_hostname).shake_hands(timeout)

    def get_extra_info(self, info: str) -> object:
        if info != "is_readable":
            return None
        # Nothing is awaited while a connection rests: what comes is its end, or belongs to no request.
        socket = self._socket
        return bool(socket.came) or socket.over or _readable(socket.transport.get_extra_info("socket").fileno())


def _readable(descriptor: int) -> bool:
    """Look at a socket itself: the loop may not have come to it yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class _Encrypted(httpcore.AsyncNetworkStream):
    """TLS over another stream, which may be one of TLS itself."""

    def __init__(self, below: httpcore.AsyncNetworkStream, context: ssl.SSLContext, name: str | None) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    async def shake_hands(self, seconds: float | None) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(seconds):
                while not self._try_handshake():
                    await self._exchange(None)
                await self._flush(None)
        except BaseException as error:
            await self._below.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout from error
            if isinstance(error, OSError | httpcore.ReadError):
                raise httpcore.ConnectError from error
            raise
        return self

    def _try_handshake(self) -> bool:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            return True
        return False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's name
        while True:
            try:
                return self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                await self._exchange(timeout)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # many servers just hang up: HTTP knows where it ends
                return b""
            except ssl.SSLError as error:
                raise httpcore.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's name
        if buffer:
            self._tls.write(buffer)
        await self._flush(timeout)

    async def _exchange(self, seconds: float | None) -> None:
        """Send what TLS wants to say, and take in what the other side says."""
        await self._flush(seconds)
        if data := await self._below.read(_PIECE, seconds):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self, seconds: float | None) -> None:
        if self._outgoing.pending:
            await self._below.write(self._outgoing.read(), seconds)

    async def aclose(self) -> None:
        await self._below.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's name
    ) -> httpcore.AsyncNetworkStream:
        return await _Encrypted(self, ssl_context, server_hostname).shake_hands(timeout)

    def get_extra_info(self, info: str) -> object:
        if info == "ssl_object":
            return self._tls
        # The farewell of the other side may have come together with its last answer.
        return (info == "is_readable" and self._incoming.pending > 0) or self._below.get_extra_info(info)


class _Network(httpcore.AsyncNetworkBackend):
    """Connects by asyncio, without what a library for several kinds of loops does at every step."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's name
        local_address: str | None = None,  # noqa: ARG002  # never given
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002  # never given
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, socket = await loop.create_connection(
                    _Socket, host, port, happy_eyeballs_delay=_SECOND_FAMILY_SECONDS
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError from error
        return _Plain(socket)


# Connections, each used by one request at a time.

KEEP_ALIVE: Final = 4.0
"""Seconds that an unused connection is kept: less than the 5 after which common servers close it, so that a request,
above all a POST, does not meet a connection that is just being closed."""


class Carrier(Protocol):
    """Carries requests one after another."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; the body of the response is still to be read."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class _Direct:
    """One connection, made anew where the last one has ended."""

    def __init__(self, make: Callable[[], httpcore.AsyncHTTPConnection]) -> None:
        self._make = make
        self._connection = make()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if self._connection.is_closed() or self._connection.has_expired():
            await self._connection.aclose()
            self._connection = self._make()
        return await self._connection.handle_async_request(request)

    async def aclose(self) -> None:
        await self._connection.aclose()


class Connections:
    """Makes connections when they are needed and hands out the one used last, which is the freshest."""

    def __init__(self, make: Callable[[], Carrier]) -> None:
        """Take how one is made; the first is made at once, so that wrong settings show before the first request."""
        self._make = make
        first = make()
        self._all = [first]
        self._idle = [first]

    def take(self) -> Carrier:
        """Hand out a connection that nobody else uses until it is given back."""
        if self._idle:
            return self._idle.pop()
        carrier = self._make()
        self._all.append(carrier)
        return carrier

    def give_back(self, carrier: Carrier) -> None:
        """Take a connection back, whatever came of its request."""
        self._idle.append(carrier)

    async def aclose(self) -> None:
        """Close all connections."""
        for carrier in {id(carrier): carrier for carrier in self._all}.values():
            await carrier.aclose()


def open_connections(url: str, transport: httpx.AsyncBaseTransport | None = None) -> Connections:
    """Prepare connections to the server of a URL, for many requests at the same time; nothing is sent yet.

    Args:
        url: anything at that server. Where credentials may go, `address` decides before.
        transport: answers in place of the network, and is closed with the connections.

    Raises:
        UsageError: SSL_CERT_FILE, SSL_CERT_DIR or a proxy variable cannot be used.
    """
    if transport is not None:
        return open_client(url, transport)
    _keep_answers_out_of_logs()
    origin = httpcore.URL(url).origin
    network = _Network()
    if not _by_tls(url):
        return Connections(
            lambda: _Direct(lambda: httpcore.AsyncHTTPConnection(origin, None, KEEP_ALIVE, network_backend=network))
        )
    trusted = _trusted()

    def connections() -> Connections:
        if proxy := _proxy(origin):
            return Connections(lambda: proxy(trusted, network))
        return Connections(
            lambda: _Direct(lambda: httpcore.AsyncHTTPConnection(origin, trusted, KEEP_ALIVE, network_backend=network))
        )

    return _with_usable_proxy(connections)


def open_client(
    url: str, transport: httpx.AsyncBaseTransport | None = None, context: ssl.SSLContext | None = None
) -> Connections:
    """Prepare a client of httpx for the server of a URL; nothing is sent yet.

    Args:
        url: anything at that server.
        transport: answers in place of the network, and is closed with the client.
        context: whose certificates are trusted, where it is not the environment's word alone.

    Raises:
        UsageError: as `open_connections`.
    """
    import httpx

    _keep_answers_out_of_logs()
    tls = transport is None and _by_tls(url)
    trusted = (context or _trusted()) if tls else False
    limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE)
    only = _with_usable_proxy(
        lambda: _Client(httpx.AsyncClient(transport=transport, verify=trusted, trust_env=tls, limits=limits)),
        httpx.InvalidURL,
    )
    return Connections(lambda: only)


def _keep_answers_out_of_logs() -> None:
    for name in ("httpcore", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _by_tls(url: str) -> bool:
    """Plain http goes to this machine: there is nothing to verify, and no credential may pass a proxy in the clear."""
    return urlsplit(url).scheme == "https"


def _trusted() -> ssl.SSLContext:
    return tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def _with_usable_proxy(make: Callable[[], T], *raised: type[Exception]) -> T:
    with suppress(
        ValueError, RuntimeError, ImportError, *raised
    ):  # the message may repeat the variable, and a password in it
        return make()
    msg = "a proxy variable (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY) cannot be used; it looks like http://proxy.example:3128"
    raise UsageError(msg)


def tls_context(
    file: str | None, folder: str | None, variables: str = "SSL_CERT_FILE or SSL_CERT_DIR"
) -> ssl.SSLContext:
    """Trust the authorities in a file or a folder, which `variables` name; where neither is given, those of certifi.

    Raises:
        UsageError: they cannot be read.
    """
    if not file and not folder:
        import certifi

        file = certifi.where()
    try:
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
    except OSError as error:
        msg = f"the certificates that {variables} names cannot be read: {error.strerror or error}"
        raise UsageError(msg) from None


def _proxy(origin: httpcore.Origin) -> Callable[[ssl.SSLContext, _Network], Carrier] | None:
    """Return what connects through the proxy that the environment names for https; None for none.

    Raises ValueError or RuntimeError when it cannot be used.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get("https") or proxies.get("all")
    if not url or proxy_bypass(f"{origin.host.decode()}:{origin.port}"):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if not parts.hostname or parts.scheme not in {"http", "https", "socks5", "socks5h"}:
        raise ValueError(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    auth = (user.encode(), password.encode()) if user or password else None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port is None else f":{parts.port}"
    place = f"{'socks5' if parts.scheme.startswith('socks') else parts.scheme}://{host}{port}"

    def connected(context: ssl.SSLContext, network: _Network) -> Carrier:
        if parts.scheme.startswith("socks"):
            return httpcore.AsyncSOCKSProxy(place, auth, context, 1, 1, KEEP_ALIVE, network_backend=network)
        return httpcore.AsyncHTTPProxy(
            place,
            auth,
            ssl_context=context,
            proxy_ssl_context=context if parts.scheme == "https" else None,
            max_connections=1,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=network,
        )

    return connected


class _Client:
    """A client of httpx, which many requests share."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        import httpx

        content = b"".join([chunk async for chunk in request.stream])  # type: ignore[union-attr]  # ours are bytes
        url = bytes(request.url).decode()
        sent = httpx.Request(
            request.method.decode(), url, headers=request.headers, content=content, extensions=request.extensions
        )
        try:
            response = await self._client.send(sent, stream=True, follow_redirects=False)
        except httpx.TransportError as error:
            raise _as_on_the_wire(error) from (error.__cause__ or error)
        # What a transport has made up is decoded already.
        made_up = response.is_stream_consumed
        headers = [each for each in response.headers.raw if not made_up or each[0].lower() != b"content-encoding"]
        stream = response.content if made_up else _on_the_wire(response)
        return httpcore.Response(response.status_code, headers=headers, content=stream)

    async def aclose(self) -> None:
        await self._client.aclose()


async def _on_the_wire(response: httpx.Response) -> AsyncIterator[bytes]:
    import httpx

    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.TransportError as error:
        raise _as_on_the_wire(error) from error
    finally:
        await response.aclose()


def _as_on_the_wire(error: httpx.TransportError) -> Exception:
    """Return the error that httpcore has for the same."""
    kind: type[Exception] = getattr(httpcore, type(error).__name__, httpcore.NetworkError)
    return kind(str(error))
