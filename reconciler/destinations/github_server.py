"""GitHub as one run knows it: logged in to once a place, asked by a few requests at a time, over one client."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.destinations.github_login import Token, find_login, signed
from reconciler.destinations.shared import Memo, PerRun
from reconciler.errors import DestinationError, GitHubError
from reconciler.github.address import base_url
from reconciler.github.client import Client
from reconciler.github.exchange import Answer, Request
from reconciler.secret import Secret
from reconciler.units import parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.destinations.github_login import App
    from reconciler.destinations.github_place import Place
    from reconciler.remote.retry import Timing

GOODBYE_SECONDS: Final = 5.0

_PUBLIC_KEY_BYTES: Final = 32
_PAGE: Final = 100
_MOST_PAGES: Final = 20
_TOKEN_SECONDS: Final = 50 * 60
"""Tokens of an App last an hour; no request shall be under way when one ends."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a secret is sealed with."""

    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Grant:
    """A token to work with, until a monotonic time; `ours` when this run got it and shall give it back."""

    token: Secret
    until: float
    ours: bool


class GitHub:
    """Asks GitHub's API; everything about it that many destinations want to know is found out once."""

    def __init__(self, environment: Mapping[str, str], timing: Timing) -> None:
        """Take GITHUB_API_URL and the credentials from the environment; nothing is sent yet.

        Raises:
            DestinationError: they are missing or cannot be used.
        """
        self._login = find_login(environment)
        try:
            self._client = Client(base_url(environment), timing)
        except GitHubError as error:
            raise DestinationError(str(error)) from None
        self._timing = timing
        self._grants: Memo[_Grant | Answer] = Memo()
        self._public_keys: Memo[PublicKey | Answer] = Memo()
        self._given: list[Secret] = []
        self._homes: Memo[Answer] = Memo()
        self._closing: asyncio.Task[None] | None = None

    async def read(self, place: Place, path: str) -> Answer:
        """Ask for something that changes nothing, until the answer does not look passing."""
        return await self._client.persist(lambda: self._ask(place, "GET", path))

    async def put(self, place: Place, path: str, body: Mapping[str, object]) -> Answer:
        """Store something; again after failures that may pass, because twice is the same as once."""
        return await self._client.persist(lambda: self._ask(place, "PUT", path, body))

    async def home(self, place: Place) -> Answer:
        """Give what GitHub says about the repository or organisation of a place."""
        return await self._homes.get(place.home, lambda: self.read(place, place.home))

    async def public_key(self, place: Place) -> PublicKey | Answer:
        """Give what secrets of a place are sealed with, or what GitHub answers instead."""
        return await self._public_keys.get(place.secrets, lambda: self._fetch_key(place))

    async def another_key(self, place: Place, stale: PublicKey) -> PublicKey | Answer:
        """Give the public key that came after one that is refused; whoever comes first has it fetched for all."""
        known = await self.public_key(place)
        if known != stale:
            return known
        self._public_keys.forget(place.secrets)
        return await self.public_key(place)

    async def held(self, place: Place) -> Mapping[str, datetime | None] | Answer:
        """Give the names of all secrets of a place, and since when they are what they are."""
        found: dict[str, datetime | None] = {}
        for page in range(1, _MOST_PAGES + 1):
            answer = await self.read(place, f"{place.secrets}?per_page={_PAGE}&page={page}")
            if not answer.ok:
                return answer
            secrets = answer.body.get("secrets")
            if not isinstance(secrets, list):
                return Answer(0, said="the answer holds no list of secrets")
            found |= {
                str(each.get("name")): _instant(each.get("updated_at")) for each in secrets if isinstance(each, dict)
            }
            if len(secrets) < _PAGE:
                break
        return found

    async def aclose(self) -> None:
        """Give back the tokens that the login got, and close the connections, once for all who share them."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # Whatever comes of it: the tokens end by themselves within the hour.
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                goodbyes = (Request("DELETE", "installation/token", token) for token in self._given)
                await asyncio.gather(*(self._client.send_at_once(each) for each in goodbyes))
        await self._client.aclose()

    async def _ask(self, place: Place, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        question = f"{place.home} {place.permission}"
        grant = await self._grants.get(question, lambda: self._log_in(place))
        if isinstance(grant, _Grant) and grant.until <= self._timing.monotonic():
            self._grants.forget(question)
            grant = await self._grants.get(question, lambda: self._log_in(place))
        if isinstance(grant, Answer):
            return grant
        return await self._client.send(Request(method, path, grant.token, body))

    async def _fetch_key(self, place: Place) -> PublicKey | Answer:
        answer = await self.read(place, f"{place.secrets}/public-key")
        if not answer.ok:
            return answer
        key_id, key = answer.body.get("key_id"), answer.body.get("key")
        with suppress(binascii.Error, ValueError):
            content = base64.b64decode(str(key), validate=True)
            if isinstance(key_id, str) and len(content) == _PUBLIC_KEY_BYTES:
                return PublicKey(key_id, content)
        return Answer(0, said="the answer holds no public key that a secret can be sealed with")

    async def _log_in(self, place: Place) -> _Grant | Answer:
        """Get a token for no more than a place needs; gives what went wrong instead of raising it."""
        login = self._login
        if isinstance(login, Token):
            return _Grant(login.token, float("inf"), ours=False)
        try:
            bearer = signed(login, time.time())
        except DestinationError as error:
            return Answer(0, said=str(error))
        found = await self._client.persist(
            lambda: self._client.send(Request("GET", f"{place.home}/installation", bearer))
        )
        if not found.ok:
            return _no_installation(login, place, found)
        body: dict[str, object] = {"permissions": {place.permission: "write"}}
        if place.repository is not None:
            body["repositories"] = [place.repository]
        path = f"app/installations/{found.body.get('id')}/access_tokens"
        answer = await self._client.persist(lambda: self._client.send(Request("POST", path, bearer, body)))
        token = answer.body.get("token")
        if not isinstance(token, str) or not token:
            hint = f"; it needs {place.needs}, and every change of it to be accepted where the App is installed"
            why = f"{answer.said or 'the answer holds no token'}{hint if answer.status == _UNPROCESSABLE else ''}"
            return Answer(0, said=f"the GitHub App {login.id} gets no token for {place.label}: {why}")
        self._given.append(Secret(token))
        return _Grant(Secret(token), self._timing.monotonic() + _TOKEN_SECONDS, ours=True)


_UNPROCESSABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY

SERVERS: Final[PerRun[GitHub]] = PerRun()


def _no_installation(app: App, place: Place, answer: Answer) -> Answer:
    match answer.status:
        case HTTPStatus.UNAUTHORIZED:
            hint = "GITHUB_APP_ID and the private key must belong together, and this machine's clock must be right"
            return Answer(0, said=f"the GitHub App {app.id} is refused ({answer.said}): {hint}")
        case HTTPStatus.NOT_FOUND:
            return Answer(0, said=f"the GitHub App {app.id} is not installed on {place.home.partition('/')[2]}")
        case _:
            return Answer(0, said=f"the GitHub App {app.id} cannot be looked up: {answer.said}")


def _instant(text: object) -> datetime | None:
    try:
        return parse_instant(str(text))
    except ValueError:
        return None
