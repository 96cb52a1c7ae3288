"""The service over HTTP: uvicorn on one address, with connections that can really be dropped."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import UsageError
from reconciler.simulator.front import DROP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

_KEEP_ALIVE_SECONDS: Final = 75
_SHUTDOWN_SECONDS: Final = 2
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """One application on one address; `url` is where its API is, once it listens.

    Ctrl-C and SIGTERM end `run` as they would end a service: what is in flight gets two seconds, and it returns.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take the address (port 0 picks a free one); raises UsageError when it cannot be had."""
        super().__init__(
            uvicorn.Config(
                app,
                http=_DroppingProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )
        self._socket = _listen(host, port)
        self.url = _url(host, self._socket.getsockname()[1])

    def listen(self, ready: Callable[[], None]) -> None:
        """Serve until told to stop; `ready` is called as soon as the service answers."""
        self._ready = ready
        self.run(sockets=[self._socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take a signal as the wish to stop; uvicorn's own way lets it end the process with a signal's status."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _DroppingProtocol(H11Protocol):
    """HTTP/1.1 that offers the application to drop its connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever uvicorn hands over
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_drop(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {**scope.get("extensions", {}), DROP: self.transport.abort}
            await app({**scope, "extensions": extensions}, receive, send)

        self.app = with_drop


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        msg = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise UsageError(msg) from error
    # The connections inherit it; asyncio sets it only where the protocol number is known. Without it the second part of
    # an answer waits 40 ms until the client has acknowledged the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
