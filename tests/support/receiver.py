"""Somebody who is told of alerts: a real HTTP server of this process that keeps what it gets."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN: Final = "t0ken-of-the-receiver"


class Receiver:
    """Takes messages, or refuses them with a status of its own, and perhaps names another `location` to send them to.

    `urls` is what makes Apprise send to it.
    """

    def __init__(self, port: int) -> None:
        self.urls = f"json://user:{TOKEN}@127.0.0.1:{port}/{TOKEN}"
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.location: str | None = None

    @property
    def last(self) -> dict[str, Any]:
        return self.messages[-1]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base gives it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
