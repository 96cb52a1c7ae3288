"""Sends one HTTP request and returns what came of it: exceptions of httpx stay inside, for they hold the headers."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from reconciler.secret import Secret


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
        """Tell the service's time, in UTC."""
        if self._heard is None:
            return self.machine()
        date, at = self._heard
        return date + timedelta(seconds=self._monotonic() - at)

    @property
    def skew(self) -> timedelta:
        """The service's time minus this machine's; zero before the first answer."""
        return timedelta(0) if self._heard is None else self.now() - self.machine()


# One request and what came of it, as values: no exception of the HTTP library gets out, for they hold the headers.

_NEXT_PAGE: Final = re.compile(r"""rel\s*=\s*["']?[^"',;]*\bnext\b""", re.IGNORECASE)
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

    def for_httpx(self) -> httpx.Timeout:
        """Give them in the HTTP library's own type."""
        return httpx.Timeout(self.read, connect=self.connect, pool=self.connect)


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: `label` is the path as people see it; `body` is JSON."""

    method: str
    url: str
    label: str
    bearer: Secret
    body: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Show as `GET /v1/account/keys`."""
        return f"{self.method} {self.label}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status; `spoilt` says why the body is not there although the status is.

    `goes_on` says by what, beside its body, a list says that it is not all there is.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    date: datetime | None = None
    retry_after: str | None = field(default=None, repr=False)
    location: str | None = field(default=None, repr=False)
    spoilt: str | None = None
    goes_on: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the service says that it did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004  # the 2xx


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer: why, whether the service may have got the request, and whether another attempt is hopeless."""

    cause: str
    sent: bool
    lasting: bool = False


async def exchange(client: httpx.AsyncClient, request: Request, timeouts: Timeouts) -> Answer | NoAnswer:
    """Send a request once and read its answer; never raises for what the network or the service does."""
    try:
        async with asyncio.timeout(timeouts.whole), _sent(client, request) as response:
            return await _read(response)
    except (httpx.HTTPError, OSError) as error:
        return _no_answer(error, timeouts)


@asynccontextmanager
async def _sent(client: httpx.AsyncClient, request: Request) -> AsyncIterator[httpx.Response]:
    headers = {"Authorization": f"Bearer {request.bearer.reveal()}"}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    async with client.stream(request.method, request.url, content=request.body, headers=headers) as response:
        try:
            yield response
        finally:
            await response.aclose()
            # Its stream refers to it, so the two would keep the request, with the bearer, until they are collected.
            response.stream = httpx.ByteStream(b"")


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
        """Give what was wanted of the body; nothing when it is spoilt."""
        if self._unpack is not None and not self._unpack.eof and not self._may_be_cut:
            self.spoilt = self.spoilt or "the answer cannot be decompressed"
        return b"" if self.spoilt else b"".join(self._chunks)


def too_many_parts(body: bytes) -> bool:
    """True for JSON of so many parts that reading it would take too much memory; what stands in text counts too."""
    return sum(body.count(mark) for mark in (b",", b"{", b"[")) > MOST_PARTS


async def read_body(response: httpx.Response, most: int) -> tuple[bytes, str | None]:
    """Read a body of so many bytes; gives it, or why it is not there."""
    if response.is_stream_consumed:  # it has come from a transport in this process, and is decoded
        body = Body(response.status_code, None, most)
        body.take(response.content)
    else:
        body = Body(response.status_code, response.headers.get("Content-Encoding"), most)
        async for chunk in response.aiter_raw():
            if not body.take(chunk):
                break
    return body.content(), body.spoilt


async def _read(response: httpx.Response) -> Answer:
    content, spoilt = await read_body(response, LARGEST_ANSWER)
    get = response.headers.get
    return Answer(
        status=response.status_code,
        body=content,
        date=parse_http_date(get("Date")),
        retry_after=get("Retry-After"),
        location=get("Location"),
        spoilt=spoilt,
        goes_on=_goes_on(response),
    )


def _goes_on(response: httpx.Response) -> str | None:
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        return "the answer says 206, partial content"
    linked = _NEXT_PAGE.search(response.headers.get("Link", ""))
    return "its Link header names a next page" if linked else None


def _no_answer(error: Exception, timeouts: Timeouts) -> NoAnswer:
    sent = True
    match error:
        case httpx.ConnectError():
            return _no_connection(error)
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            cause, sent = f"no connection within {timeouts.connect:g} s", False
        case httpx.ProxyError():
            status = re.match(r"\d{3}\b", str(error), re.ASCII)
            cause, sent = f"the proxy answered {status[0]}" if status else "the proxy refused", False
        case httpx.ReadTimeout():
            cause = f"no answer within {timeouts.read:g} s"
        case httpx.WriteTimeout():
            cause = f"the request could not be sent within {timeouts.read:g} s"
        case TimeoutError():
            cause = f"no complete answer within {timeouts.whole:g} s"
        case httpx.ProtocolError():
            cause = "the connection was closed early, or the answer is not HTTP"  # its text may quote the answer
        case _:
            cause = "the connection broke off"
    return NoAnswer(cause, sent=sent)


def _no_connection(error: httpx.ConnectError) -> NoAnswer:
    for reason in _reasons(error):
        match reason:
            case ssl.SSLCertVerificationError():
                hint = "if a company's own authority signed it, name that authority's certificate file in SSL_CERT_FILE"
                why = f"its certificate is not trusted ({reason.verify_message}); {hint}"
                return NoAnswer(why, sent=False, lasting=True)
            case ssl.SSLError():
                return NoAnswer(f"no TLS connection ({getattr(reason, 'reason', None) or 'it was closed'})", sent=False)
            case socket.gaierror():
                return NoAnswer("the host name cannot be resolved", sent=False)
            case ConnectionRefusedError():
                return NoAnswer("connection refused", sent=False)
            case OSError(strerror=str(text)) if text:
                return NoAnswer(text.lower(), sent=False)
            case _:
                continue
    return NoAnswer("no connection", sent=False)


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
