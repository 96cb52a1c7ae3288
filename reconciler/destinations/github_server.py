"""One GitHub server during a run: where a secret goes, how reconciler logs in, and the requests it sends."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reconciler.destinations.shared import Memo, PerRun
from reconciler.errors import DestinationError, ForgeError
from reconciler.forge.github import REPOSITORY, Client, base_url, is_token
from reconciler.http.reply import Reply
from reconciler.secret import Secret
from reconciler.units import parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from reconciler.http.retry import Timing
    from reconciler.model import Setting, Target


# How reconciler proves to GitHub who it is: by what the environment holds, never by keys.yaml.

_APP_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_FRESH_SECONDS: Final = 60
"""A JWT is dated back, so that a clock that is a little ahead does not make it one of the future."""
_LASTING_SECONDS: Final = 540
"""GitHub takes ten minutes at most."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that somebody else got: fine-grained, classic, or of an App."""

    token: Secret


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App, which gets tokens for the places where it is installed."""

    id: str
    private_key: Secret


Login = Token | App


def find_login(environment: Mapping[str, str]) -> Login:
    """Choose the login that the environment has the credentials for: a GitHub App before a token.

    Raises:
        DestinationError: there are none, or some that cannot be used.
    """
    if app_id := environment.get("GITHUB_APP_ID", "").strip():
        if not _APP_ID.fullmatch(app_id):
            msg = "GITHUB_APP_ID is no id of a GitHub App"
            raise DestinationError(msg)
        return App(app_id, _private_key(environment))
    if token := environment.get("GITHUB_TOKEN", "").strip():
        if not is_token(token):
            msg = "GITHUB_TOKEN holds characters that no token has"
            raise DestinationError(msg)
        return Token(Secret(token))
    msg = (
        "there is nothing to log in with: set GITHUB_TOKEN, or for a GitHub App GITHUB_APP_ID and "
        "GITHUB_APP_PRIVATE_KEY (or GITHUB_APP_PRIVATE_KEY_FILE)"
    )
    raise DestinationError(msg)


def signed(app: App, now: float) -> Secret:
    """Make the JWT that an App logs in with; `now` is the time in seconds since 1970.

    Raises:
        DestinationError: the private key is none.
    """
    import jwt

    claims = {"iss": app.id, "iat": int(now) - _FRESH_SECONDS, "exp": int(now) + _LASTING_SECONDS}
    try:
        return Secret(jwt.encode(claims, app.private_key.reveal(), algorithm="RS256"))
    except Exception:  # noqa: BLE001, S110  # whatever it is, it may hold the key
        pass
    msg = "the private key of the GitHub App is no RSA key in PEM (-----BEGIN RSA PRIVATE KEY-----)"
    raise DestinationError(msg)


def _private_key(environment: Mapping[str, str]) -> Secret:
    if text := environment.get("GITHUB_APP_PRIVATE_KEY", "").strip():
        # Many tools keep a variable on one line, and write its line breaks so.
        return Secret(text.replace("\\n", "\n"))
    if not (file := environment.get("GITHUB_APP_PRIVATE_KEY_FILE", "").strip()):
        msg = "GITHUB_APP_ID is set, but neither GITHUB_APP_PRIVATE_KEY nor GITHUB_APP_PRIVATE_KEY_FILE"
        raise DestinationError(msg)
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        reason = isinstance(error, OSError) and error.strerror
        msg = f"GITHUB_APP_PRIVATE_KEY_FILE cannot be read: {reason or 'it is no path'}"
        raise DestinationError(msg) from None
    return Secret(content.decode(errors="replace") or " ")


# GitHub as one run knows it: logged in to once a place, asked by a few requests at a time, over one client.

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
        except ForgeError as error:
            raise DestinationError(str(error)) from None
        self._timing = timing
        self._grants: Memo[_Grant | Reply] = Memo()
        self._public_keys: Memo[PublicKey | Reply] = Memo()
        self._given: list[Secret] = []
        self._homes: Memo[Reply] = Memo()
        self._closing: asyncio.Task[None] | None = None

    async def read(self, place: Place, path: str) -> Reply:
        """Ask for something that changes nothing, until the answer does not look passing."""
        return await self._client.persist(lambda: self._ask(place, "GET", path))

    async def put(self, place: Place, path: str, body: Mapping[str, object]) -> Reply:
        """Store something; again after failures that may pass, because twice is the same as once."""
        return await self._client.persist(lambda: self._ask(place, "PUT", path, body))

    async def home(self, place: Place) -> Reply:
        """Return what GitHub says about the repository or organisation of a place."""
        return await self._homes.get(place.home, lambda: self.read(place, place.home))

    async def public_key(self, place: Place) -> PublicKey | Reply:
        """Return what secrets of a place are sealed with, or what GitHub answers instead."""
        return await self._public_keys.get(place.secrets, lambda: self._fetch_key(place))

    async def another_key(self, place: Place, stale: PublicKey) -> PublicKey | Reply:
        """Return the public key that came after one that is refused; whoever comes first has it fetched for all."""
        known = await self.public_key(place)
        if known != stale:
            return known
        self._public_keys.forget(place.secrets)
        return await self.public_key(place)

    async def held(self, place: Place) -> Mapping[str, datetime | None] | Reply:
        """Return the names of all secrets of a place, and since when they are what they are."""
        found: dict[str, datetime | None] = {}
        for page in range(1, _MOST_PAGES + 1):
            reply = await self.read(place, f"{place.secrets}?per_page={_PAGE}&page={page}")
            if not reply.ok:
                return reply
            secrets = reply.body.get("secrets")
            if not isinstance(secrets, list):
                return Reply(0, said="the answer holds no list of secrets")
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
                goodbyes = (self._client.send_at_once("DELETE", "installation/token", token) for token in self._given)
                await asyncio.gather(*goodbyes)
        await self._client.aclose()

    async def _ask(self, place: Place, method: str, path: str, body: Mapping[str, object] | None = None) -> Reply:
        question = f"{place.home} {place.permission}"
        grant = await self._grants.get(question, lambda: self._log_in(place))
        if isinstance(grant, _Grant) and grant.until <= self._timing.monotonic():
            self._grants.forget(question)
            grant = await self._grants.get(question, lambda: self._log_in(place))
        if isinstance(grant, Reply):
            return grant
        return await self._client.send(method, path, grant.token, body)

    async def _fetch_key(self, place: Place) -> PublicKey | Reply:
        reply = await self.read(place, f"{place.secrets}/public-key")
        if not reply.ok:
            return reply
        key_id, key = reply.body.get("key_id"), reply.body.get("key")
        with suppress(binascii.Error, ValueError):
            content = base64.b64decode(str(key), validate=True)
            if isinstance(key_id, str) and len(content) == _PUBLIC_KEY_BYTES:
                return PublicKey(key_id, content)
        return Reply(0, said="the answer holds no public key that a secret can be sealed with")

    async def _log_in(self, place: Place) -> _Grant | Reply:
        """Get a token for no more than a place needs; gives what went wrong instead of raising it."""
        login = self._login
        if isinstance(login, Token):
            return _Grant(login.token, float("inf"), ours=False)
        try:
            bearer = signed(login, time.time())
        except DestinationError as error:
            return Reply(0, said=str(error))
        found = await self._client.persist(lambda: self._client.send("GET", f"{place.home}/installation", bearer))
        if not found.ok:
            return _no_installation(login, place, found)
        body: dict[str, object] = {"permissions": {place.permission: "write"}}
        if place.repository is not None:
            body["repositories"] = [place.repository]
        path = f"app/installations/{found.body.get('id')}/access_tokens"
        reply = await self._client.persist(lambda: self._client.send("POST", path, bearer, body))
        token = reply.body.get("token")
        if not isinstance(token, str) or not token:
            hint = f"; it needs {place.needs}, and every change of it to be accepted where the App is installed"
            why = f"{reply.said or 'the answer holds no token'}{hint if reply.status == _UNPROCESSABLE else ''}"
            return Reply(0, said=f"the GitHub App {login.id} gets no token for {place.label}: {why}")
        self._given.append(Secret(token))
        return _Grant(Secret(token), self._timing.monotonic() + _TOKEN_SECONDS, ours=True)


_UNPROCESSABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY

SERVERS: Final[PerRun[GitHub]] = PerRun()


def _no_installation(app: App, place: Place, reply: Reply) -> Reply:
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            hint = "GITHUB_APP_ID and the private key must belong together, and this machine's clock must be right"
            return Reply(0, said=f"the GitHub App {app.id} is refused ({reply.said}): {hint}")
        case HTTPStatus.NOT_FOUND:
            return Reply(0, said=f"the GitHub App {app.id} is not installed on {place.home.partition('/')[2]}")
        case _:
            return Reply(0, said=f"the GitHub App {app.id} cannot be looked up: {reply.said}")


def _instant(text: object) -> datetime | None:
    try:
        return parse_instant(str(text))
    except ValueError:
        return None


# What of GitHub takes the secrets of a target: a repository, an environment of one, or an organisation.

LONGEST_NAME: Final = 255
VISIBILITIES: Final = ("all", "private", "selected")

_OWNER: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_ENVIRONMENT: Final = re.compile(r"(?!\.{1,2}\Z)[^\x00-\x1f\x7f]{1,255}")
_ID: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_NAME: Final = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """One holder of secrets, with what GitHub wants to know and be allowed for it.

    `home` is the path of the repository or organisation, `secrets` that of its secrets. `permission` is what a GitHub
    App calls the right to write them, `needs` what people call it, `scope` what a classic token calls it. `capacity` is
    how many secrets it holds, `fields` what a secret is stored with besides its value.
    """

    label: str
    home: str
    secrets: str
    permission: str
    needs: str
    scope: str
    capacity: int
    fields: tuple[tuple[str, str | tuple[int, ...]], ...] = ()
    environment: str | None = None
    repository: str | None = None


def read_place(target: Target) -> Place:
    """Read the settings of a target.

    Raises:
        DestinationError: they name no place, or one that cannot be.
    """
    settings = dict(target.settings)
    where = f"the github-actions destination {target.destination!r}"
    if ("repository" in settings) == ("organization" in settings):
        msg = f"{where} needs either a repository or an organization"
        raise DestinationError(msg)
    try:
        return _repository(settings) if "repository" in settings else _organization(settings)
    except ValueError as error:
        msg = f"{where} needs {error}"
        raise DestinationError(msg) from None


def is_name(name: str) -> bool:
    """Return whether GitHub takes a secret of this name; it would turn small letters into capitals."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def _repository(settings: Mapping[str, Setting]) -> Place:
    repository = _text(settings["repository"], REPOSITORY, "a repository like acme/api")
    home = f"repos/{repository}"
    if "environment" not in settings:
        needs = "the repository permission 'Secrets: write'"
        name = repository.partition("/")[2]
        return Place(
            repository, home, f"{home}/actions/secrets", "secrets", needs, scope="repo", capacity=100, repository=name
        )
    environment = _text(settings["environment"], _ENVIRONMENT, "the name of an environment")
    path = f"{home}/environments/{quote(environment, safe='')}"
    return Place(
        label=f"the environment {environment} of {repository}",
        home=home,
        secrets=f"{path}/secrets",
        permission="environments",
        needs="the repository permission 'Environments: write'",
        scope="repo",
        capacity=100,
        environment=path,
        repository=repository.partition("/")[2],
    )


def _organization(settings: Mapping[str, Setting]) -> Place:
    organization = _text(settings["organization"], _OWNER, "the name of an organization")
    visibility = settings.get("visibility")
    if visibility not in VISIBILITIES:
        msg = f"visibility to be one of {', '.join(VISIBILITIES)}"
        raise ValueError(msg)
    fields: tuple[tuple[str, str | tuple[int, ...]], ...] = (("visibility", str(visibility)),)
    if visibility == "selected":
        fields = (*fields, ("selected_repository_ids", _ids(settings.get("selected_repositories"))))
    return Place(
        label=f"the organization {organization}",
        home=f"orgs/{organization}",
        secrets=f"orgs/{organization}/actions/secrets",
        permission="organization_secrets",
        needs="the organization permission 'Secrets: write'",
        scope="admin:org",
        capacity=1000,
        fields=fields,
    )


def _text(value: Setting, pattern: re.Pattern[str], words: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(words)
    return value


def _ids(value: Setting | None) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(_ID.fullmatch(each) for each in value):
        msg = "selected_repositories to be ids of repositories"
        raise ValueError(msg)
    return tuple(int(each) for each in value)
