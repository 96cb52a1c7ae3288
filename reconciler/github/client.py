"""Sends requests to GitHub's API: a few at a time, and none while GitHub wants to be left alone."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import GitHubError, UsageError
from reconciler.http.address import unencrypted
from reconciler.http.connection import open_connections
from reconciler.http.exchange import Answer
from reconciler.http.reply import Api, Manners, Reply
from reconciler.http.retry import RetryPolicy, Setback, judge
from reconciler.http.sender import Sender
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from reconciler.http.exchange import NoAnswer
    from reconciler.http.retry import Timing
    from reconciler.secret import Secret

LARGEST_ANSWER: Final = 4 * 1024 * 1024
LARGEST_LIST: Final = 32 * 1024 * 1024
"""Bytes of fifty comments as long as GitHub takes them, each character of which is escaped."""

SECONDARY_LIMIT_SECONDS: Final = 60.0
"""How long GitHub asks to be left alone where it gives no time itself."""

CONNECTIONS: Final = 8
"""GitHub answers more of them at a time with its secondary limits."""

PATIENCE: Final = 300.0
"""The seconds that a limit may take to be waited for."""

_POLICY: Final = RetryPolicy(longest_retry_after=PATIENCE, patience=PATIENCE)
_MOVED: Final = ": it was renamed or moved, or GITHUB_API_URL is wrong"
_DONE: Final = {
    "GET": frozenset({HTTPStatus.OK}),
    "PUT": frozenset({HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}),
    "POST": frozenset({HTTPStatus.OK, HTTPStatus.CREATED}),
    "PATCH": frozenset({HTTPStatus.OK}),
    "DELETE": frozenset({HTTPStatus.NO_CONTENT}),
}
_HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_NUMBER: Final = re.compile(r"\d{1,12}", re.ASCII)


class Client:
    """Sends requests to the API at a URL, whoever's tokens they carry."""

    def __init__(self, url: str, timing: Timing) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            GitHubError: a proxy or certificate variable of the environment cannot be used.
        """
        try:
            connections = open_connections(url)
        except UsageError as error:
            raise GitHubError(str(error)) from None
        sender = Sender(connections, timing, parallelism=CONNECTIONS, policy=_POLICY, judge=_judge)
        self._api = Api(url, sender, Manners("GitHub", _complaint, LARGEST_ANSWER, _MOVED, done=_DONE))
        self._timing = timing
        self._refusal = Reply(0)
        self._refused_until = 0.0

    async def send(
        self, method: str, path: str, bearer: Secret, body: Mapping[str, object] | None = None, *, lists: bool = False
    ) -> Reply:
        """Send a request when there is a slot for it; `lists` when a list is expected.

        A limit that takes longer than anybody waits here is the answer to all that comes before its end.
        """
        if self._timing.monotonic() < self._refused_until:
            return self._refusal
        largest = LARGEST_LIST if lists else LARGEST_ANSWER
        reply = await self._api.ask(method, path, body, bearer=bearer, headers=_HEADERS, lists=lists, largest=largest)
        now = self._api.sender.clock.now()
        wait = _limit(reply.status, reply.headers, reply.said, now)
        if wait is None:
            return reply
        if wait <= PATIENCE:
            return replace(reply, status=HTTPStatus.TOO_MANY_REQUESTS)
        until = format_instant(datetime.fromtimestamp(round(now.timestamp() + wait), UTC))
        self._refusal = Reply(HTTPStatus.TOO_MANY_REQUESTS, said=f"{reply.said}; not before {until}")
        self._refused_until = self._timing.monotonic() + wait
        return self._refusal

    async def send_at_once(self, method: str, path: str, bearer: Secret) -> Reply:
        """Send a request without waiting for anything: on the way out there is no time for it."""
        return await self._api.ask(method, path, bearer=bearer, headers=_HEADERS, at_once=True)

    async def persist(self, ask: Callable[[], Awaitable[Reply]], *, repeatable: bool = True) -> Reply:
        """Ask until nothing that may pass stands in the way; see `Api.persist`."""
        return await self._api.persist(ask, repeatable=repeatable)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def scopes(reply: Reply) -> frozenset[str] | None:
    """Read the scopes of a classic token; other tokens say nothing, in one way or the other."""
    found = frozenset(each.strip() for each in reply.headers.get("x-oauth-scopes", "").split(","))
    return None if found == {""} else found


def _complaint(body: Mapping[str, Any]) -> str:
    return str(body.get("message", ""))


def _judge(outcome: Answer | NoAnswer, now: datetime) -> Setback | None:
    """Judge as for anybody, except that a limit is not always a 429, and may take too long to wait for."""
    if isinstance(outcome, Answer):
        said = outcome.body.decode(errors="replace")
        wait = _limit(outcome.status, outcome.headers, said, now)
        if wait is not None:
            status = str(HTTPStatus.TOO_MANY_REQUESTS.value)
            return Setback(status, maybe_done=False, limited=True, wait=wait) if wait <= PATIENCE else None
    return judge(outcome, now)


def _limit(status: int, headers: Mapping[str, str], said: str, now: datetime) -> float | None:
    """Tell a limit from a refusal, GitHub answers 403 to both: gives how many seconds it lasts; None for no limit."""
    if status not in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        return None
    spent = headers.get("x-ratelimit-remaining") == "0"
    limited = status == HTTPStatus.TOO_MANY_REQUESTS or "retry-after" in headers or spent
    if not limited and "rate limit" not in said.lower():
        return None
    answer = Answer(status, headers=headers)
    asked = answer.retry_after(now)
    if asked is not None:
        return asked
    reset = headers.get("x-ratelimit-reset", "")
    if spent and _NUMBER.fullmatch(reset):
        return max(1.0, float(reset) - (answer.date or now).timestamp())
    return SECONDARY_LIMIT_SECONDS


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
