"""Sends requests to GitHub's API: a few at a time, and none while GitHub wants to be left alone."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx

from reconciler import __version__
from reconciler.errors import GitHubError
from reconciler.http.address import unencrypted
from reconciler.http.exchange import CODING, read_body, too_many_parts
from reconciler.http.redact import quote, without
from reconciler.http.retry import PATIENCE, Passing, with_retries
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from reconciler.http.retry import Timing
    from reconciler.secret import Secret


# One request to GitHub's API and what came of it, as values: no exception of httpx gets out, they hold the request.

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
WHOLE_SECONDS: Final = 120.0
LARGEST_ANSWER: Final = 4 * 1024 * 1024
LARGEST_LIST: Final = 32 * 1024 * 1024
"""Bytes of fifty comments as long as GitHub takes them, each character of which is escaped."""

SECONDARY_LIMIT_SECONDS: Final = 60.0
"""How long GitHub asks to be left alone where it gives no time itself."""

_PASSING: Final = frozenset(
    {
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_DONE: Final = {
    "GET": {HTTPStatus.OK},
    "PUT": {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT},
    "POST": {HTTPStatus.OK, HTTPStatus.CREATED},
    "PATCH": {HTTPStatus.OK},
    "DELETE": {HTTPStatus.NO_CONTENT},
}
_NUMBER: Final = re.compile(r"\d{1,12}", re.ASCII)
_log = logging.getLogger("reconciler.github")


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: a path below the base URL, and a body that goes as JSON; `lists` when the answer is a list."""

    method: str
    path: str
    bearer: Secret
    body: Mapping[str, object] | None = field(default=None, repr=False)
    lists: bool = False

    def __str__(self) -> str:
        """Show as `GET repos/acme/api`."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; its status is 0 when none arrived. It holds an object in `body`, or the objects of a list in `items`.

    `said` is why it is none or no success, fit to be shown; `maybe_done` that GitHub may have done as it was asked
    although it does not say so; `passing` that another attempt may go better, `wait` seconds from now; `limited` that
    everybody should wait so long. `scopes` are those of a classic token, None for any other.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    items: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    said: str = ""
    maybe_done: bool = False
    passing: bool = False
    limited: bool = False
    wait: float = 0.0
    scopes: frozenset[str] | None = None

    @property
    def ok(self) -> bool:
        """Whether GitHub did as it was asked."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


async def exchange(client: httpx.AsyncClient, request: Request) -> Answer:
    """Send a request and read its answer; never raises for what the network, the library or GitHub do."""
    started = time.monotonic()
    content = None if request.body is None else json.dumps(request.body)
    headers = {"Authorization": f"Bearer {request.bearer.reveal()}"}
    if content is not None:
        headers["Content-Type"] = "application/json"
    try:
        async with (
            asyncio.timeout(WHOLE_SECONDS),
            client.stream(request.method, request.path, content=content, headers=headers) as response,
        ):
            body, _ = await read_body(response, LARGEST_LIST if request.lists else LARGEST_ANSWER)
            answer = _judge(request, response, without(body, request.bearer))
    except Exception as error:  # noqa: BLE001  # whatever it is, it may hold the request
        answer = _no_answer(error)
    took = round((time.monotonic() - started) * 1000)
    _log.debug("%s: %s in %d ms", request, answer.status or answer.said, took)
    return answer


def _judge(request: Request, response: httpx.Response, content: bytes) -> Answer:
    status, headers = response.status_code, response.headers
    parsed = _parse(content)
    body = parsed if isinstance(parsed, dict) else None
    if status < HTTPStatus.MULTIPLE_CHOICES:
        awaited = list if request.lists else dict
        if status not in _DONE[request.method] or (request.method == "GET" and not isinstance(parsed, awaited)):
            return Answer(0, said=f"{status}, but no answer that GitHub gives", maybe_done=True)
        items = tuple(each for each in parsed if isinstance(each, dict)) if isinstance(parsed, list) else ()
        return Answer(status, body or {}, items, scopes=_scopes(headers))
    if status < HTTPStatus.BAD_REQUEST:
        host = quote(_host(headers.get("Location", "")), [request.bearer])
        moved = "it was renamed or moved, or GITHUB_API_URL is wrong"
        return Answer(status, said=f"{status}, a redirect{host and ' to ' + host}, which is never followed: {moved}")
    complaint = content.decode(errors="replace") if body is None else str(body.get("message", ""))
    said = f"{status} {quote(complaint, [request.bearer])}".strip()
    if _is_limit(status, headers, said):
        return _limited(headers, said)
    return Answer(
        status,
        said=said,
        maybe_done=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        passing=status in _PASSING,
        wait=_retry_after(headers) or 0.0,
    )


def _limited(headers: httpx.Headers, said: str) -> Answer:
    """Read how long to wait; what takes longer than anybody waits here is final."""
    wait = _retry_after(headers)
    if wait is None:
        wait = _until_reset(headers)
    if wait <= PATIENCE:
        return Answer(HTTPStatus.TOO_MANY_REQUESTS, said=said, passing=True, limited=True, wait=wait)
    until = format_instant(datetime.fromtimestamp(round(_now(headers).timestamp() + wait), UTC))
    return Answer(HTTPStatus.TOO_MANY_REQUESTS, said=f"{said}; not before {until}", limited=True, wait=wait)


def _is_limit(status: int, headers: httpx.Headers, said: str) -> bool:
    """Tell a limit from a refusal: GitHub answers 403 to both."""
    if status != HTTPStatus.FORBIDDEN:
        return status == HTTPStatus.TOO_MANY_REQUESTS
    return "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0" or "rate limit" in said.lower()


def _retry_after(headers: httpx.Headers) -> float | None:
    """Read for how many seconds GitHub, or what is in between, wants to be left alone."""
    text = headers.get("Retry-After", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    until = _date(text)
    return None if until is None else max(0.0, (until - _now(headers)).total_seconds())


def _until_reset(headers: httpx.Headers) -> float:
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and _NUMBER.fullmatch(reset):
        return max(1.0, float(reset) - _now(headers).timestamp())
    return SECONDARY_LIMIT_SECONDS


def _now(headers: httpx.Headers) -> datetime:
    """Tell the time that GitHub goes by."""
    return _date(headers.get("Date", "")) or datetime.now(UTC)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _scopes(headers: httpx.Headers) -> frozenset[str] | None:
    """Read the scopes of a classic token; other tokens say nothing, in one way or the other."""
    scopes = frozenset(each.strip() for each in headers.get("X-OAuth-Scopes", "").split(","))
    return None if scopes == {""} else scopes


def _parse(content: bytes) -> object:
    try:
        return None if too_many_parts(content) else json.loads(content)
    except (ValueError, RecursionError):
        return None


def _host(location: str) -> str:
    try:
        return urlsplit(location).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _no_answer(error: Exception) -> Answer:
    """Say why there is no answer, in words of our own: those of the library may hold addresses and headers."""
    match error:
        case httpx.ConnectError() if _distrust(error):
            trust = "SSL_CERT_FILE can name the file of the authority that signed it"
            return Answer(0, said=f"its certificate is not trusted; {trust}")
        case httpx.ConnectError():
            return Answer(0, said="it cannot be reached", passing=True)
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return Answer(0, said=f"no connection within {CONNECT_SECONDS:g} s", passing=True)
        case httpx.ProxyError():
            return Answer(0, said="the proxy does not connect to it", passing=True)
        case httpx.ReadTimeout():
            return Answer(0, said=f"no answer within {READ_SECONDS:g} s", passing=True, maybe_done=True)
        case TimeoutError():
            return Answer(0, said=f"no whole answer within {WHOLE_SECONDS:g} s", passing=True, maybe_done=True)
        case httpx.HTTPError() | OSError():
            return Answer(0, said="the connection broke, or the answer is not HTTP", passing=True, maybe_done=True)
        case _:
            return Answer(0, said=f"unexpected {type(error).__name__}", maybe_done=True)


def _distrust(error: BaseException) -> bool:
    """Look for a refused certificate in what led to an error."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ssl.SSLCertVerificationError):
        reason = reason.__cause__ or reason.__context__
    return reason is not None


# The way to GitHub's API: a few requests at a time over one client, and none while GitHub wants to be left alone.

CONNECTIONS: Final = 8
"""GitHub answers more of them at a time with its secondary limits."""

_API_VERSION: Final = "2022-11-28"


class Client:
    """Sends requests to the API at a URL, whoever's tokens they carry."""

    def __init__(self, url: str, timing: Timing) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            GitHubError: a proxy or certificate variable of the environment cannot be used.
        """
        self._http = new_client(url)
        self._timing = timing
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._opens_at = 0.0
        self._refusal = Answer(0)
        self._refused_until = 0.0

    async def send(self, request: Request) -> Answer:
        """Send a request when there is a slot for it."""
        async with self._slots:
            return await self._send_in_turn(request)

    async def send_at_once(self, request: Request) -> Answer:
        """Send a request without waiting for anything: on the way out there is no time for it."""
        return await exchange(self._http, request)

    async def persist(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until the answer does not look passing; gives the last, and whether any may have done something."""
        answers: list[Answer] = []

        async def attempt() -> None:
            answers.append(answer := await ask())
            if answer.passing:
                raise Passing(GitHubError(answer.said), answer.wait)

        with suppress(GitHubError):
            await with_retries(attempt, self._timing)
        last = answers[-1]
        tried = f" (tried {len(answers)} times)" if last.passing else ""
        return replace(last, said=f"{last.said}{tried}", maybe_done=any(each.maybe_done for each in answers))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send_in_turn(self, request: Request) -> Answer:
        """Send a request, but not while GitHub wants to be left alone."""
        if self._timing.monotonic() < self._refused_until:
            return self._refusal
        while (wait := self._opens_at - self._timing.monotonic()) > 0:
            await self._timing.sleep(wait)
        answer = await exchange(self._http, request)
        until = self._timing.monotonic() + answer.wait
        if answer.limited and answer.passing:
            self._opens_at = max(self._opens_at, until)
        elif answer.limited:
            self._refusal, self._refused_until = answer, until
        return answer


def new_client(url: str) -> httpx.AsyncClient:
    """Make a client for the API at a URL.

    Raises:
        GitHubError: a proxy or certificate variable of the environment cannot be used.
    """
    # Plain http goes to this machine only: there is nothing to verify, and no proxy may see the token in the clear.
    encrypted = url.startswith("https:")
    with suppress(OSError, ValueError, ImportError, httpx.InvalidURL):  # their messages may hold a password
        return httpx.AsyncClient(
            base_url=f"{url}/",
            headers={
                "Accept": "application/vnd.github+json",
                "Accept-Encoding": CODING,
                "X-GitHub-Api-Version": _API_VERSION,
                "User-Agent": f"naga-reconciler/{__version__}",
            },
            # A cookie would carry one token's session over to another's request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            follow_redirects=False,
            trust_env=encrypted,
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
    msg = "a proxy variable (HTTPS_PROXY, ALL_PROXY, NO_PROXY) or SSL_CERT_FILE, SSL_CERT_DIR cannot be used"
    raise GitHubError(msg)


# Where GitHub's API is: as the environment says, never a file.

DEFAULT_URL: Final = "https://api.github.com"
REPOSITORY: Final = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,100}", re.ASCII)
"""A repository like acme/api, which is nothing else in a path."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)


def base_url(environment: Mapping[str, str]) -> str:
    """Give the address of the API: GITHUB_API_URL where there is one, as on a GitHub Enterprise server.

    Raises:
        GitHubError: a token must not be sent there.
    """
    url = environment.get("GITHUB_API_URL", "").strip() or DEFAULT_URL
    if not _URL.fullmatch(url) or unencrypted(url):
        msg = "GITHUB_API_URL must be an https address, as in https://github.example.com/api/v3"
        raise GitHubError(msg)
    return url.rstrip("/")


def is_token(text: str) -> bool:
    """Tell whether a text can stand in a header as a token does."""
    return _TOKEN.fullmatch(text) is not None
