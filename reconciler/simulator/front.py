"""What stands between the network and the service: the clock in every answer, the count, and the faults."""

from __future__ import annotations

import asyncio
import json
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.simulator.faults import ErrorAnswer, LostAnswer, Spoilt, SpoiltAnswer, Verdict
from reconciler.simulator.refusal import error_body

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.simulator.faults import Faults
    from reconciler.simulator.state import State

SERVICE: Final = "/v1/"
DROP: Final = "reconciler.drop"
"""The name of the ASGI extension by which a server lets an application drop the connection."""

_HTML: Final = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
_SHAPE: Final = b'{"data": "not the shape you expected", "ok": true}'
_NO_CONTENT: Final = 204


class DateHeader:
    """Put the account's time into every answer."""

    def __init__(self, app: ASGIApp, account: State) -> None:
        """Wrap an application."""
        self._app = app
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_date(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", http_date(self._account).encode())]
            await send(message)

        await self._app(scope, receive, send_with_date)


class Counting:
    """Count the requests to the service by method and path, those that a fault hits included."""

    def __init__(self, app: ASGIApp, counter: Counter[tuple[str, str]]) -> None:
        """Wrap an application."""
        self._app = app
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _is_for_service(scope):
            self._counter[scope["method"], scope["path"]] += 1
        await self._app(scope, receive, send)


class FaultInjection:
    """Let faults strike the requests to the service."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        """Wrap an application."""
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or fail to."""
        verdict = self._faults.strike(scope["method"], scope["path"]) if _is_for_service(scope) else Verdict()
        if verdict == Verdict():
            await self._app(scope, receive, send)
            return
        await asyncio.sleep(verdict.latency)
        if verdict.instead:
            await _strike(verdict.instead, [], scope, receive, send)
            return
        scope.setdefault("state", {})["ignored_fields"] = verdict.ignored
        if not verdict.afterwards:
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        await _strike(verdict.afterwards, answer, scope, receive, send)


async def _strike(
    blow: ErrorAnswer | LostAnswer | SpoiltAnswer, answer: list[Message], scope: Scope, receive: Receive, send: Send
) -> None:
    match blow:
        case LostAnswer():
            await _lose(scope, receive)
        case ErrorAnswer(status, retry_after, body):
            headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
            content = json.dumps(error_body(status, "a simulated fault")).encode()
            await _send(status, headers, _spoil(body, content), send)
        case SpoiltAnswer(body):
            await _send_spoilt(body, answer, send)
        case _:
            assert_never(blow)


async def _lose(scope: Scope, receive: Receive) -> None:
    """Let the client see its connection end without an answer."""
    drop: Callable[[], None] | None = scope.get("extensions", {}).get(DROP)
    if drop is None:
        import httpx

        # In this process there is no connection: what httpx raises when one breaks goes straight to the client.
        msg = "the simulator dropped the connection"
        raise httpx.ReadError(msg)
    drop()
    while (await receive())["type"] != "http.disconnect":
        pass


def _spoil(body: Spoilt | None, content: bytes) -> tuple[bytes, bytes]:
    """Give the content type and the content of an answer once it is spoilt."""
    match body:
        case Spoilt.HTML:
            return b"text/html", _HTML
        case Spoilt.EMPTY:
            return b"application/json", b""
        case Spoilt.SHAPE:
            return b"application/json", _SHAPE
        case Spoilt.CUT:
            return b"application/json", content[: len(content) // 2]
        case None:
            return b"application/json", content
        case _:
            assert_never(body)


async def _send_spoilt(body: Spoilt, answer: list[Message], send: Send) -> None:
    start, *rest = answer
    if start["status"] == _NO_CONTENT:  # it has no body to spoil
        for message in answer:
            await send(message)
        return
    content = b"".join(message.get("body", b"") for message in rest)
    await _send(start["status"], [], _spoil(body, content), send)


async def _send(status: int, headers: list[tuple[bytes, bytes]], typed: tuple[bytes, bytes], send: Send) -> None:
    media_type, content = typed
    fixed = [(b"content-type", media_type), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": content})


def _is_for_service(scope: Scope) -> bool:
    return scope["type"] == "http" and str(scope["path"]).startswith(SERVICE)


def http_date(account: State) -> str:
    """Write the account's time as a Date header has it."""
    return format_datetime(account.now(), usegmt=True)
