"""What stands before the simulated service: the clock in every answer, the faults, and doors for tests."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from email.utils import format_datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, assert_never

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.errors import UsageError
from reconciler.simulator import fields
from reconciler.simulator.faults import ErrorAnswer, LostAnswer, Spoilt, SpoiltAnswer, Verdict, parse_fault
from reconciler.simulator.fields import bad_request, error_body

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.simulator.faults import Fault, Faults
    from reconciler.simulator.quirks import Echo
    from reconciler.simulator.state import State


SERVICE: Final = "/v1/"
DROP: Final = "reconciler.drop"
"""The name of the ASGI extension by which a server lets an application drop the connection."""

_HTML: Final = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
_SHAPE: Final = b'{"data": "not the shape you expected", "ok": true}'
_NO_CONTENT: Final = 204
_ECHOED_HEADERS: Final = ("retry-after", "location")


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
        if not _is_for_service(scope):
            await self._app(scope, receive, send)
            return
        name = ""
        if self._faults.by_name:
            body = await _body(receive)
            name, receive = _name(body), _again(body, receive)
        verdict = self._faults.strike(scope["method"], scope["path"], name)
        if verdict == Verdict():
            await self._app(scope, receive, send)
            return
        await asyncio.sleep(verdict.latency)
        if verdict.quirks.echo:
            send = _echoing(verdict.quirks.echo, scope, send)
        if verdict.instead:
            await _strike(verdict.instead, [], scope, receive, send)
            return
        scope.setdefault("state", {}).update(ignored_fields=verdict.ignored, quirks=verdict.quirks)
        if not verdict.afterwards:
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        await _strike(verdict.afterwards, answer, scope, receive, send)


async def _body(receive: Receive) -> bytes:
    """Read what a client sends; a client that hangs up meanwhile has sent what it has sent."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return the application a body that has been read already."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _name(body: bytes) -> str:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    name = sent.get("name") if isinstance(sent, dict) else None
    return name if isinstance(name, str) else ""


def _echoing(echo: Echo, scope: Scope, send: Send) -> Send:
    """Put the bearer of a request, spelt in some way, into what is answered to it."""
    bearer = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")[2]
    started: list[Message] = []

    async def send_with_echo(message: Message) -> None:
        # Every answer of this service is one message of its body; a 204 has an empty one.
        if message["type"] == "http.response.start":
            started.append(message)
            return
        body, headers = message.get("body", b""), list(started[0]["headers"])
        if echo.member in _ECHOED_HEADERS:
            headers.append((echo.member.encode(), echo.text(bearer).encode()))
        elif started[0]["status"] != _NO_CONTENT:
            body = echo.text(bearer).encode() if echo.member == "body" else _with_echo(body, echo, bearer)
        length = (b"content-length", str(len(body)).encode())
        headers = [header for header in headers if header[0] != length[0]] + [length]
        await send({**started[0], "headers": headers})
        await send({**message, "body": body})

    return send_with_echo


def _with_echo(body: bytes, echo: Echo, bearer: str) -> bytes:
    def walk(value: object) -> object:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            name: f"{item or ''} {echo.text(bearer)}".strip() if name == echo.member else walk(item)
            for name, item in value.items()
        }

    try:
        return json.dumps(walk(json.loads(body))).encode()
    except ValueError:  # an answer that another fault has made unreadable
        return body


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
    """Return the content type and the content of an answer once it is spoilt."""
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


# The OpenAPI description of the service, as the simulator promises to behave.


def description() -> dict[str, Any]:
    """Read `openapi.json`, which lies beside this module and is the only source of it."""
    document: dict[str, Any] = json.loads(resources.files(__package__).joinpath("openapi.json").read_text("utf-8"))
    return document


# The doors behind the scenes of a served simulator, which the real service does not have.
#
# | Method and path | Body | Does |
# |---|---|---|
# | `POST /_simulator/travel` | `{"seconds": 86400}` | moves the account's clock |
# | `POST /_simulator/faults` | `{"faults": ["* * latency=50ms"]}` | puts more faults in force |
# | `DELETE /_simulator/faults` | | puts none in force |
# | `POST /_simulator/usage` | `{"seed": 0, "days": 30}`, both optional | lets the keys spend |
# | `GET /_simulator/requests` | | counts the requests by method and path |
# | `GET /openapi.json` | | describes the API |
#
# They ask for no credential, so only an application that listens on loopback should have them. Bodies must be sent as
# `application/json`: a web page open in a browser on the same machine then cannot send one.


async def _travel(request: Request) -> Response:
    account: State = request.app.state.account
    seconds = (await _control_body(request)).get("seconds")
    if not isinstance(seconds, Decimal):
        bad_request("seconds must be a number")
    try:
        account.travel(timedelta(seconds=float(seconds)))
    except (ValueError, OverflowError):
        bad_request("the account's clock cannot leave the years 1 to 9000")
    return JSONResponse({"now": http_date(account)})


async def _add_faults(request: Request) -> Response:
    active: Faults = request.app.state.faults
    specs = (await _control_body(request)).get("faults")
    if not isinstance(specs, list):
        bad_request("faults must be a list of strings")
    active.add([_fault(spec) for spec in specs])
    return Response(status_code=_NO_CONTENT)


def _fault(spec: object) -> Fault:
    try:
        return parse_fault(str(spec))
    except UsageError as error:
        bad_request(str(error))


async def _clear_faults(request: Request) -> Response:
    active: Faults = request.app.state.faults
    active.clear()
    return Response(status_code=_NO_CONTENT)


async def _spend(request: Request) -> Response:
    body = await _control_body(request)
    seed = _whole(body, "seed", range(2**31), 0)
    days = _whole(body, "days", range(1, fields.LONGEST_DAYS + 1), fields.LONGEST_DAYS)
    fields.generate(request.app.state.account, seed=seed, days=days)
    return Response(status_code=_NO_CONTENT)


async def _count(request: Request) -> Response:
    counter: Counter[tuple[str, str]] = request.app.state.requests
    rows = [{"method": method, "path": path, "count": number} for (method, path), number in sorted(counter.items())]
    return JSONResponse({"requests": rows})


async def _describe(_request: Request) -> Response:
    return JSONResponse(description())


ROUTES: Final = (
    Route("/_simulator/travel", _travel, methods=["POST"]),
    Route("/_simulator/faults", _add_faults, methods=["POST"]),
    Route("/_simulator/faults", _clear_faults, methods=["DELETE"]),
    Route("/_simulator/usage", _spend, methods=["POST"]),
    Route("/_simulator/requests", _count, methods=["GET"]),
    Route("/openapi.json", _describe, methods=["GET"]),
)


async def _control_body(request: Request) -> dict[str, object]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        bad_request("send the body as application/json")
    return fields.read_object(await request.body())


def _whole(body: dict[str, object], name: str, allowed: range, default: int) -> int:
    value = body.get(name, Decimal(default))
    if not isinstance(value, Decimal) or not allowed.start <= value < allowed.stop or value != int(value):
        bad_request(f"{name} must be a whole number from {allowed.start} to {allowed.stop - 1}")
    return int(value)
