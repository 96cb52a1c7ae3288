"""Sends one HTTP request and returns what came of it: exceptions of httpcore stay inside, for they hold the headers."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import zlib
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import httpcore

from reconciler import __version__
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Mapping

    from reconciler.http.connection import Connections


# The service's time, which decides about leases, grace periods and expiries.

# Far enough from the ends of the calendar that any lease or grace period can be added.
_OUR_AGE: Final = range(1970, 9000)
# A Date header is cut to the second and as old as its way here: up to this much behind is no news.
_ROUNDING: Final = timedelta(seconds=2)


def parse_http_date(text: str | None) -> datetime | None:
    """Read a Date or Retry-After header as UTC; None for anything that is no date of our age."""
    try:
        date = parsedate_to_datetime(text or "")
        # A date of HTTP is in UTC, also in the old form that doesn't say so.
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return date if date.year in _OUR_AGE else None


class ServiceClock:
    """Tells the service's time: the newest Date header and the monotonic time since.

    Before the first answer it tells this machine's.
    """

    def __init__(self, machine: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        """Take this machine's clock (UTC) and its monotonic one (seconds)."""
        self.machine = machine
        self._monotonic = monotonic
        self._heard: tuple[datetime, float] | None = None

    def hear(self, date: datetime | None) -> None:
        """Take in the Date of an answer that has just arrived."""
        if date is None:
            return
        behind = self.now() - date
        if self._heard is None or not timedelta(0) <= behind <= _ROUNDING:
            self._heard = (date, self._monotonic())

    def now(self) -> datetime:
        """Return the service's time, in UTC."""
        if self._heard is None:
            return self.machine()
        date, at = self._heard
        return date + timedelta(seconds=self._monotonic() - at)

    @property
    def skew(self) -> timedelta:
        """The service's time minus this machine's; zero before the first answer."""
        return timedelta(0) if self._heard is None else self.now() - self.machine()


# One request and what came of it, as values.

_NEXT_PAGE: Final = re.compile(r"""rel\s*=\s*["']?[^"',;]*\bnext\b""", re.IGNORECASE)
_SECONDS: Final = re.compile(r"\d{1,18}", re.ASCII)
LARGEST_ANSWER: Final = 32 * 1024 * 1024
LARGEST_COMPLAINT: Final = 64 * 1024
"""Bytes of an error's body, decoded, that are looked at; there may be more."""

MOST_PARTS: Final = 1_000_000
"""Objects, lists and members of an answer that are read: what takes a byte each would take a hundred as values."""

CODING: Final = "gzip"
"""The only content coding that is asked for, as Accept-Encoding has it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for a connection, for the next bytes either way, and for the whole of an answer."""

    connect: float = 5.0
    read: float = 30.0
    whole: float = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: `label` is the path as people see it; `body` is JSON, unless a header says otherwise.

    A header that is a secret stays one until it is on its way; `bearer` goes as Authorization.
    """

    method: str
    url: str
    label: str
    bearer: Secret | None
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not come back in words: the secrets among its headers."""
        return tuple(each for each in (self.bearer, *self.headers.values()) if isinstance(each, Secret))

    def __str__(self) -> str:
        """Show as `GET /v1/account/keys`."""
        return f"{self.method} {self.label}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status; `spoilt` says why the body is not there although the status is.

    The names of `headers` are in small letters; one that came several times is joined by commas.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    spoilt: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the service says that it did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004  # the 2xx

    @property
    def date(self) -> datetime | None:
        """When the service sent it, in UTC."""
        return parse_http_date(self.headers.get("date"))

    @property
    def location(self) -> str | None:
        """Where a redirect leads."""
        return self.headers.get("location")

    @property
    def goes_on(self) -> str | None:
        """By what, beside its body, a list says that it is not all there is."""
        if self.status == HTTPStatus.PARTIAL_CONTENT:
            return "the answer says 206, partial content"
        return "its Link header names a next page" if _NEXT_PAGE.search(self.headers.get("link", "")) else None

    def retry_after(self, now: datetime) -> float | None:
        """Read Retry-After as seconds from the answer's own Date (else from `now`); None when absent or unreadable."""
        text = self.headers.get("retry-after", "").strip()
        if _SECONDS.fullmatch(text):
            return float(text)
        until = parse_http_date(text)
        return None if until is None else max(0.0, (until - (self.date or now)).total_seconds())


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer: why, whether the service may have got the request, and whether another attempt is hopeless.

    It is where the certificate of the other side is not trusted.
    """

    cause: str
    sent: bool
    lasting: bool = False

    def words(self, variable: str = "SSL_CERT_FILE") -> str:
        """Return why, and what to do about it: `variable` names the file of an authority that is trusted."""
        if not self.lasting:
            return self.cause
        hint = f"if a company's own authority signed it, name that authority's certificate file in {variable}"
        return f"{self.cause}; {hint}"


async def exchange(
    connections: Connections, request: Request, timeouts: Timeouts, most: int = LARGEST_ANSWER
) -> Answer | NoAnswer:
    """Send a request once and read its answer, `most` bytes of it; redirects are not followed.

    Never raises for what the network or the service does.
    """
    connection = connections.take()
    try:
        async with asyncio.timeout(timeouts.whole):
            response = await connection.handle_async_request(_on_the_wire(request, timeouts))
            try:
                return await _read(response, most)
            finally:
                await response.aclose()
    except (*_TROUBLES, OSError) as error:
        return _no_answer(error, timeouts)
    finally:
        connections.give_back(connection)


def _on_the_wire(request: Request, timeouts: Timeouts) -> httpcore.Request:
    url = httpcore.URL(request.url)
    port = b"" if url.port is None else b":%d" % url.port
    host = b"[%b]" % url.host if b":" in url.host else url.host
    headers = {"User-Agent": _USER_AGENT, "Accept": "application/json", "Accept-Encoding": CODING}
    if request.bearer is not None:
        headers["Authorization"] = f"Bearer {request.bearer.reveal()}"
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    for name, value in request.headers.items():
        headers[name] = value.reveal() if isinstance(value, Secret) else value
    if request.body is not None or request.method in _WITH_BODY:
        headers["Content-Length"] = str(len(request.body or b""))
    waits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read, "pool": timeouts.connect}
    return httpcore.Request(
        request.method,
        url,
        headers=[(b"Host", host + port), *((name.encode(), value.encode()) for name, value in headers.items())],
        content=request.body,
        extensions={"timeout": waits},
    )


_USER_AGENT: Final = f"naga-reconciler/{__version__}"
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_TROUBLES: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


class Body:
    """Takes in the body of an answer as it comes, decoded, and never holds much more of it than is wanted."""

    def __init__(self, status: int, coding: str | None, most: int) -> None:
        """Take the answer's Content-Encoding, and how many bytes are wanted: of a complaint, LARGEST_COMPLAINT."""
        self._most = most if status < HTTPStatus.BAD_REQUEST else min(most, LARGEST_COMPLAINT)
        self._may_be_cut = status >= HTTPStatus.BAD_REQUEST
        self._chunks: list[bytes] = []
        self._coded = self._decoded = 0
        self._unpack = None
        self.spoilt: str | None = None
        match (coding or "identity").strip().lower():
            case "identity":
                pass
            case "gzip" | "x-gzip":
                self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
            case _:  # several of them, one inside the other, as well
                self.spoilt = f"the answer comes in another coding than {CODING}, which was asked for"

    def take(self, chunk: bytes) -> bool:
        """Take in the next bytes; False when no more are wanted."""
        if self.spoilt:
            return False
        self._coded += len(chunk)
        room = self._most - self._decoded
        if self._unpack is not None:
            try:
                chunk = self._unpack.decompress(chunk, room + 1)
            except zlib.error:
                self.spoilt = "the answer cannot be decompressed"
                return False
        self._decoded += len(chunk)
        self._chunks.append(chunk[:room])
        if max(self._coded, self._decoded) <= self._most:
            return True
        if not self._may_be_cut:
            self.spoilt = f"the answer is larger than {self._most // 1024 // 1024} MiB"
        return False

    def content(self) -> bytes:
        """Return what was wanted of the body; nothing when it is spoilt."""
        if self._unpack is not None and not self._unpack.eof and not self._may_be_cut:
            self.spoilt = self.spoilt or "the answer cannot be decompressed"
        return b"" if self.spoilt else b"".join(self._chunks)


def too_many_parts(body: bytes) -> bool:
    """True for JSON of so many parts that reading it would take too much memory; what stands in text counts too."""
    return sum(body.count(mark) for mark in (b",", b"{", b"[")) > MOST_PARTS


async def _read(response: httpcore.Response, most: int) -> Answer:
    headers: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    body = Body(response.status, headers.get("content-encoding"), most)
    stream = cast("AsyncIterable[bytes]", response.stream)
    async with aclosing(cast("AsyncGenerator[bytes]", aiter(stream))) as chunks:
        async for chunk in chunks:
            if not body.take(chunk):
                break
    return Answer(response.status, body.content(), headers, body.spoilt)


def _no_answer(error: Exception, timeouts: Timeouts) -> NoAnswer:
    sent = True
    match error:
        case httpcore.ConnectError():
            return _no_connection(error)
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            cause, sent = f"no connection within {timeouts.connect:g} s", False
        case httpcore.ProxyError():
            status = re.match(r"\d{3}\b", str(error), re.ASCII)
            cause, sent = f"the proxy answered {status[0]}" if status else "the proxy refused", False
        case httpcore.ReadTimeout():
            cause = f"no answer within {timeouts.read:g} s"
        case httpcore.WriteTimeout():
            cause = f"the request could not be sent within {timeouts.read:g} s"
        case TimeoutError():
            cause = f"no complete answer within {timeouts.whole:g} s"
        case httpcore.ProtocolError():
            cause = "the connection was closed early, or the answer is not HTTP"  # its text may quote the answer
        case _:
            cause = "the connection broke off"
    return NoAnswer(cause, sent=sent)


def _no_connection(error: httpcore.ConnectError) -> NoAnswer:
    for reason in _reasons(error):
        match reason:
            case ssl.SSLCertVerificationError():
                return NoAnswer(f"its certificate is not trusted ({reason.verify_message})", sent=False, lasting=True)
            case ssl.SSLError():
                return NoAnswer(f"no TLS connection ({getattr(reason, 'reason', None) or 'it was closed'})", sent=False)
            case socket.gaierror():
                return NoAnswer("the host name cannot be resolved", sent=False)
            case ConnectionRefusedError():
                return NoAnswer("connection refused", sent=False)
            case OSError(errno=int(number)):
                return NoAnswer(os.strerror(number).lower(), sent=False)
            case OSError() if several := _SEVERAL.match(str(reason)):
                return NoAnswer(os.strerror(int(several[1])).lower(), sent=False)
            case _:
                continue
    return NoAnswer("no connection", sent=False)


_SEVERAL: Final = re.compile(r"Multiple exceptions: \[Errno (\d{1,4})\]", re.ASCII)
"""What asyncio raises where a name has several addresses and none answers; the first reason stands for all."""


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """Go through everything that led to an error, the error first."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        reason = waiting.pop(0)
        if reason is None or id(reason) in seen:
            continue
        seen.add(id(reason))
        yield reason
        if isinstance(reason, BaseExceptionGroup):
            waiting.extend(reason.exceptions)
        waiting.extend((reason.__cause__, reason.__context__))
