"""The way to GitHub's API: a few requests at a time over one client, and none while GitHub wants to be left alone."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import httpx

from reconciler import __version__
from reconciler.errors import GitHubError
from reconciler.github.exchange import CONNECT_SECONDS, READ_SECONDS, Answer, exchange
from reconciler.remote.retry import Passing, with_retries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.github.exchange import Request
    from reconciler.remote.retry import Timing

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
