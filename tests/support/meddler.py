"""Stands between a client and a real server, over HTTP, and does to the requests what networks and servers do."""

from __future__ import annotations

import functools
import http.client
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass(frozen=True)
class Seen:
    """A request as it came in; the names of its headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Say:
    """Answer this, without asking the server."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Tear the connection down, before or after the server has done its work."""

    after: bool


Verdict = Say | Cut | None
"""None lets the request through."""


class Meddler:
    """Listens on a free port; `rule` decides about each request, `seen` are all of them since the last `reset`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = ""
        self.rule: Callable[[Seen], Verdict] = lambda _: None
        self.seen: list[Seen] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        meddler = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the client has gone, or does not trust us
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # named so by the base class
                pass

            def __getattr__(self, name: str) -> Callable[[], None]:
                if not name.startswith("do_"):
                    raise AttributeError(name)
                return functools.partial(meddler.handle, self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def reset(self, upstream: str = "", rule: Callable[[Seen], Verdict] = lambda _: None) -> None:
        """Begin anew before a server."""
        self.upstream, self.rule, self.seen, self.most_at_once = upstream, rule, [], 0

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        seen = Seen(handler.command, handler.path, headers, body)
        with self._lock:
            self.seen.append(seen)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            self._decide(handler, seen)
        finally:
            with self._lock:
                self._now -= 1

    def _decide(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        verdict = self.rule(seen)
        if isinstance(verdict, Say):
            _answer(handler, verdict.status, {"Content-Type": "application/json", **verdict.headers}, verdict.body)
            return
        if verdict is None or verdict.after:
            status, headers, body = self._forward(seen)
            if verdict is None:
                _answer(handler, status, headers, body)
                return
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True

    def _forward(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            headers = {name: value for name, value in seen.headers.items() if name not in _HOP_BY_HOP - {"host"}}
            connection.request(seen.method, seen.path, seen.body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in _HOP_BY_HOP:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@functools.cache
def shared_meddler() -> Meddler:
    """Give one that lives as long as the process, for those who have no end of their own."""
    return Meddler()
