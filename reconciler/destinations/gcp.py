"""The `gcp-secret-manager` destination: a secret a key in Google Cloud's Secret Manager, whose versions Google keeps.

A delivery adds a version, which is then the latest. Annotations of the secret say of each version of ours which key it
is of, since when, and the SHA-256 of its content: if another version is the latest, somebody else has added it. The
version that a rotation has replaced is disabled when the old key's overlap is over. Values are never read.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as quote_url

import google.auth
import google.auth.exceptions
import google.auth.transport

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, Held, fingerprint, text_setting
from reconciler.destinations.shared import Note, PerRun, Threads, instant, note, one_line, read_note, repeated, utf8
from reconciler.errors import DestinationError, UsageError
from reconciler.http.address import unencrypted
from reconciler.http.connection import open_client
from reconciler.http.exchange import LARGEST_ANSWER, NoAnswer, Request, Timeouts, exchange
from reconciler.http.reply import Api, Manners, Reply
from reconciler.http.retry import Passing, Timing, judge, with_retries
from reconciler.http.sender import Sender
from reconciler.secret import Secret
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.http.exchange import Answer
    from reconciler.model import Target

HOST: Final = "https://secretmanager.googleapis.com"
ENDPOINT: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
"""The variable by which gcloud, too, is told of a private or regional endpoint."""

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
LOGIN_SECONDS: Final = 60.0
AT_A_TIME: Final = 8
MOST_NOTES: Final = 32
"""Versions that annotations tell of, the newest ones; all annotations of a secret have room for 16 KiB."""

NEEDED: Final = ("secretmanager.secrets.update", "secretmanager.versions.add", "secretmanager.versions.disable")

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{1,63}", re.ASCII)
_NOTE_NAME: Final = re.compile(r"naga-v(\d{1,18})", re.ASCII)
_PASSING: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
"""409 is a change that somebody else has made at the same time: the next attempt reads it first."""

LOGINS: Final = (
    "it takes `gcloud auth application-default login`, GOOGLE_APPLICATION_CREDENTIALS, or the "
    "service account of the machine"
)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a secret as its annotation tells it; `number` is Google's."""

    number: int
    note: Note


@dataclass(slots=True)
class _Shipment:
    """A secret on its way: `added` is the number of its version and since when, once Google has told them."""

    what: SecretDelivery
    added: tuple[str, str] | None = None
    maybe_there: bool = False


class GcpSecretManager:
    """Secrets of one project; see `Destination`."""

    def __init__(self, target: Target, timing: Timing | None = None) -> None:
        """Take the target's settings; nothing is touched yet.

        Raises:
            DestinationError: they name no project.
        """
        project = dict(target.settings).get("project")
        if not isinstance(project, str) or not _PROJECT.fullmatch(project):
            msg = f"the setting project of {target.destination!r} must be the id of a project, not {project!r}"
            raise DestinationError(one_line(msg))
        self._project = project
        self._timing = timing or Timing()
        self._server: Server | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the login, and what it may do with the secrets that are there; see `Destination`."""
        problems = [f"{name!r} is no name for a secret (letters, digits, _ and -)" for name in _unusable(names)]
        problems += repeated(names)
        usable = sorted({name for name in names if _NAME.fullmatch(name)})
        try:
            problems += filter(None, await asyncio.gather(*map(self._obstacle, usable)))
        except DestinationError as error:
            problems.append(str(error))
        if problems:
            raise DestinationError(one_line(f"project {self._project}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Add a version and note whose it is; return when Google has both; see `Destination`."""
        name = secret_delivery.name
        if not _NAME.fullmatch(name):
            raise self._failed(name, "it is no name for a secret")
        if utf8(secret_delivery.secret) is None:
            raise self._failed(name, "the secret is no text")
        shipment = _Shipment(secret_delivery)
        try:
            async with self._locks.setdefault(name, asyncio.Lock()):
                await with_retries(lambda: self._attempt(shipment), self._timing)
        except DestinationError as error:
            failure = str(error)
        else:
            return
        there = "it is there, but not whose it is: " if shipment.added else ""
        raise self._failed(name, f"{there}{failure}", uncertain=shipment.maybe_there)

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return whose the latest versions are, by the annotations; see `Describing`."""
        found = await asyncio.gather(*map(self._latest, names))
        return {name: note.held for name, note in zip(names, found, strict=True) if note}

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Compare the fingerprints that are noted of the latest versions, without reading one; see `Searching`."""
        wanted = fingerprint(secret)
        found = await asyncio.gather(*map(self._latest, names))
        return [name for name, note in zip(names, found, strict=True) if note and note.sha256 == wanted]

    async def ended(self, name: str, key_id: int) -> None:
        """Disable the versions of a key that has ended, and no longer note them; see `Ending`."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            secret = await self._read(self._path(name))
            if secret is None:
                return
            annotations = secret.get("annotations", {})
            ended = [version for version in _versions(secret) if version.note.held.key_id == key_id]
            for version in ended:
                await self._change("POST", f"{self._path(name)}/versions/{version.number}:disable", {})
                annotations.pop(f"naga-v{version.number}")
            if ended:
                body = {"annotations": annotations, "etag": secret.get("etag")}
                await self._change("PATCH", f"{self._path(name)}?updateMask=annotations", body)

    async def aclose(self) -> None:
        """Close the connections, for all who share them; see `Closing`."""
        server, self._server = self._server, None
        if server is not None:
            await server.aclose()

    def _path(self, name: str) -> str:
        return f"projects/{quote_url(self._project)}/secrets/{name}"

    def _connected(self) -> Server:
        server = SERVERS.get("google", lambda: Server(os.environ, self._timing))
        self._server = server
        return server

    def _failed(self, name: str, why: str, *, uncertain: bool = False) -> DestinationError:
        word = "may not be in" if uncertain else "was not written to"
        return DestinationError(one_line(f"{name} {word} project {self._project}: {why}"), uncertain=uncertain)

    async def _obstacle(self, name: str) -> str:
        """Return what keeps a version from being added; a secret that is not there yet is created by the delivery."""
        if await self._read(self._path(name)) is None:
            return ""
        body = {"permissions": list(NEEDED)}
        granted = (await self._change("POST", f"{self._path(name)}:testIamPermissions", body)).get("permissions", [])
        lacking = [each for each in NEEDED if each not in granted]
        return f"the login lacks {' and '.join(lacking)} on {name}" if lacking else ""

    async def _latest(self, name: str) -> Note | None:
        """Return what is noted of the latest version; None where there is none that could be read."""
        secret = await self._read(self._path(name)) if _NAME.fullmatch(name) else None
        latest = None if secret is None else await self._read(f"{self._path(name)}/versions/latest")
        if secret is None or latest is None or latest.get("state") != "ENABLED":
            return None
        number = str(latest.get("name")).rpartition("/")[2]
        noted = (version.note for version in _versions(secret) if str(version.number) == number)
        return next(noted, Note(Held(None, instant(latest.get("createTime"))), ""))

    async def _attempt(self, shipment: _Shipment) -> None:
        """Go on from where the last attempt has come to; raises Passing or DestinationError."""
        what, path = shipment.what, self._path(shipment.what.name)
        server = self._connected()
        reply = await server.ask("GET", path)
        if reply.status == HTTPStatus.NOT_FOUND:
            create = f"projects/{quote_url(self._project)}/secrets?secretId={what.name}"
            reply = await server.ask("POST", create, {"replication": {"automatic": {}}})
        secret = _done(reply)
        if shipment.added is None:
            data = base64.b64encode(what.secret.reveal().encode()).decode()
            reply = await server.ask("POST", f"{path}:addVersion", {"payload": {"data": data}}, [what.secret])
            shipment.maybe_there = shipment.maybe_there or reply.maybe_done
            added = _done(reply)
            since = instant(added.get("createTime")) or self._timing.machine().replace(microsecond=0)
            shipment.maybe_there = True
            shipment.added = str(added.get("name")).rpartition("/")[2], format_instant(since)
        number, at = shipment.added
        old = {f"naga-v{each.number}" for each in _versions(secret)[MOST_NOTES - 1 :]}
        notes = {name: text for name, text in secret.get("annotations", {}).items() if name not in old}
        notes[f"naga-v{number}"] = note(what, at)
        # With the etag that was read, so that nobody's annotation is lost.
        body = {"annotations": notes, "etag": secret.get("etag")}
        _done(await server.ask("PATCH", f"{path}?updateMask=annotations", body))

    async def _change(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send what may be sent twice, until the reply does not look passing; raises DestinationError."""

        async def attempt() -> dict[str, Any]:
            return _done(await self._connected().ask(method, path, body))

        return await with_retries(attempt, self._timing)

    async def _read(self, path: str) -> dict[str, Any] | None:
        """Read something; None where there is no such thing. Raises DestinationError."""

        async def attempt() -> dict[str, Any] | None:
            reply = await self._connected().ask("GET", path)
            return None if reply.status == HTTPStatus.NOT_FOUND else _done(reply)

        return await with_retries(attempt, self._timing)


class Server:
    """Asks Google's API for all destinations of a run, as whoever Application Default Credentials say."""

    def __init__(self, environment: Mapping[str, str], timing: Timing) -> None:
        """Take the endpoint from the environment; nothing is sent yet.

        Raises:
            DestinationError: it cannot be used, nor can the proxy or the certificates of the environment.
        """
        base = environment.get(ENDPOINT, "").strip().rstrip("/") or HOST
        if unencrypted(base):
            msg = f"{ENDPOINT} must hold https:// and a host"
            raise DestinationError(msg)
        try:
            connections = open_client(base)
        except UsageError as error:
            raise DestinationError(str(error)) from None
        sender = Sender(connections, timing, parallelism=AT_A_TIME, judge=partial(judge, passing=_PASSING))
        self._api = Api(f"{base}/v1", sender, Manners("Google", _complaint, LARGEST_ANSWER))
        self._threads = Threads(1, "google login")
        self._login = asyncio.Lock()
        self._credentials: google.auth.credentials.Credentials | None = None

    async def ask(self, method: str, path: str, body: object = None, hidden: Sequence[Secret] = ()) -> Reply:
        """Send one request; raises DestinationError when the login fails, without which nothing is sent."""
        with Secret(await self._token()) as bearer:
            return await self._api.ask(method, path, body, bearer=bearer, hidden=hidden)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def _token(self) -> str:
        """Return a token that is valid for a while; one waiter gets it for all."""
        async with self._login:
            try:
                self._credentials = await self._threads.run(lambda: _logged_in(self._credentials), LOGIN_SECONDS)
            except (google.auth.exceptions.GoogleAuthError, TimeoutError, OSError, ValueError) as error:
                failure = type(error).__name__  # its text may hold what was sent
            else:
                return str(self._credentials.token)
        msg = f"cannot log in to Google Cloud ({failure}): {LOGINS}"
        raise DestinationError(msg)


SERVERS: Final[PerRun[Server]] = PerRun()


def _logged_in(known: google.auth.credentials.Credentials | None) -> google.auth.credentials.Credentials:
    """Return credentials with a valid token; blocks."""
    credentials = known or google.auth.default(scopes=[SCOPE])[0]
    if not credentials.valid:
        credentials.refresh(_Transport())  # type: ignore[no-untyped-call]  # Google has typed only a part of it
    return credentials


class _Transport(google.auth.transport.Request):
    """Sends the requests of a login as all others are sent, each in a loop of its own: Google's library blocks."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Response:
        """Send one; raises TransportError where there is no answer."""
        request = Request(method, url, "login", None, body, dict(headers or {}))
        waits = Timeouts(read=timeout or LOGIN_SECONDS, whole=LOGIN_SECONDS)
        answer = asyncio.run(_asked(request, waits))
        if isinstance(answer, NoAnswer):
            raise google.auth.exceptions.TransportError(answer.cause)  # type: ignore[no-untyped-call]  # not typed there
        return _Response(answer)


async def _asked(request: Request, waits: Timeouts) -> Answer | NoAnswer:
    connections = open_client(request.url)
    try:
        return await exchange(connections, request, waits)
    finally:
        await connections.aclose()


class _Response(google.auth.transport.Response):
    """An answer as the login wants it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        """The status of HTTP."""
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._answer.headers

    @property
    def data(self) -> bytes:
        """The body."""
        return self._answer.body


def _done(reply: Reply) -> dict[str, Any]:
    """Return what a request has done; raises Passing or DestinationError where it has not."""
    if reply.ok:
        return dict(reply.body)
    failure = DestinationError(reply.said)
    if reply.setback is not None:
        raise Passing(failure, reply.wait)
    raise failure


def _complaint(body: Mapping[str, Any]) -> str:
    error = body.get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""


def _versions(secret: Mapping[str, Any]) -> list[_Version]:
    """Return the versions that the annotations of a secret tell of, the newest first."""
    found = []
    for name, text in secret.get("annotations", {}).items():
        number, noted = _NOTE_NAME.fullmatch(name), read_note(text)
        if number and noted:
            found.append(_Version(int(number[1]), noted))
    return sorted(found, key=lambda version: -version.number)


def _unusable(names: Sequence[str]) -> list[str]:
    return [name for name in sorted(set(names)) if not _NAME.fullmatch(name)]


DESCRIPTION: Final = Description(
    create=GcpSecretManager,
    type="gcp-secret-manager",
    extra="gcp",
    summary="A secret a key in Google Cloud's Secret Manager.",
    title="Secrets in Google Cloud Secret Manager",
    description=(
        "A secret a key in one project; each delivery adds a version. The login is Google's own: Application Default "
        "Credentials of gcloud, of GOOGLE_APPLICATION_CREDENTIALS, or of the machine."
    ),
    settings={
        "project": text_setting(
            "The id of the project.",
            "the id of a project, like acme-prod",
            "acme-{environment}",
            "acme-prod",
            pattern=r"^[a-z0-9.:{}A-Z_-]+$",
        ),
    },
    required=("project",),
    kind=Kind(
        names=r"(?a)[A-Za-z0-9_-]{1,255}",
        words="the name of a secret (letters, digits, _ and -)",
    ),
)
