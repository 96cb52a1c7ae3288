"""One Vault or OpenBao server during a run: how reconciler logs in, and the requests it sends."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from reconciler.destinations.shared import Memo, PerRun
from reconciler.errors import DestinationError, UsageError
from reconciler.http.address import unencrypted
from reconciler.http.connection import open_client, tls_context
from reconciler.http.redact import quote
from reconciler.http.reply import Api, Manners, Reply
from reconciler.http.retry import PASSING, judge
from reconciler.http.sender import Sender
from reconciler.secret import Secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from reconciler.http.connection import Connections
    from reconciler.http.retry import Timing


LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an answer, decoded, that are read: Vault itself keeps a secret of 1 MiB at most."""

_PASSING: Final = PASSING | {HTTPStatus.PRECONDITION_FAILED}
"""412: a replica that has not caught up yet."""


def _complaint(body: Mapping[str, Any]) -> str:
    errors = body.get("errors")
    return ", ".join(map(str, errors)) if isinstance(errors, list) else ""


_MANNERS: Final = Manners("Vault", _complaint, LARGEST_ANSWER, trust="VAULT_CACERT")


# How reconciler proves to a Vault or OpenBao server who it is: by what the environment holds, never by keys.yaml.

_HEADER: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that somebody else got."""

    token: Secret


@dataclass(frozen=True, slots=True)
class AppRole:
    """A login as a machine; some roles need no secret id."""

    mount: str
    role_id: Secret
    secret_id: Secret | None


@dataclass(frozen=True, slots=True)
class Jwt:
    """A login by a token that another system has signed."""

    mount: str
    role: str
    jwt: Secret


@dataclass(frozen=True, slots=True)
class GitHubJwt:
    """A login by a token that GitHub Actions signs when it is asked to, for an audience."""

    mount: str
    role: str
    audience: str | None
    url: str
    bearer: Secret


Login = Token | AppRole | Jwt | GitHubJwt


def find_login(role: str | None, audience: str | None, mount: str | None, environment: Mapping[str, str]) -> Login:
    """Choose the login that the environment has the credentials for: a token before AppRole before JWT.

    `role`, `audience` and `mount` are the settings of keys.yaml for it; None leaves them to their defaults.

    Raises:
        DestinationError: there are none, or some that cannot be used.
    """
    if token := _secret("VAULT_TOKEN", environment):
        return Token(token)
    if role_id := _secret("VAULT_ROLE_ID", environment):
        return AppRole(mount or "approle", role_id, _secret("VAULT_SECRET_ID", environment))
    if role is not None and (jwt := _secret("VAULT_JWT", environment)):
        return Jwt(mount or "jwt", role, jwt)
    url, bearer = (
        environment.get("ACTIONS_ID_TOKEN_REQUEST_URL"),
        _secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN", environment),
    )
    if role is not None and url and bearer:
        if unencrypted(url):
            msg = "ACTIONS_ID_TOKEN_REQUEST_URL is no https address"
            raise DestinationError(msg)
        return GitHubJwt(mount or "jwt", role, audience, url, bearer)
    msg = (
        "there is nothing to log in with: set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID; for a JWT, the "
        "setting `role` and VAULT_JWT, or in GitHub Actions `permissions: id-token: write`"
    )
    raise DestinationError(msg)


async def fetch_jwt(login: GitHubJwt, timing: Timing) -> Reply:
    """Ask GitHub for the token until it gives one; the reply's `value` holds it.

    Raises:
        DestinationError: a proxy or certificate variable of the environment cannot be used.
    """
    sender = Sender(_connections(login.url), timing, parallelism=1)
    api = Api(login.url.partition("?")[0], sender, Manners("GitHub", _complaint, LARGEST_ANSWER))
    sign = "&" if "?" in login.url else "?"
    audience = "" if login.audience is None else f"{sign}{urlencode({'audience': login.audience})}"
    try:
        return await api.persist(lambda: api.ask("GET", f"{login.url}{audience}", bearer=login.bearer))
    finally:
        await api.aclose()


def _secret(name: str, environment: Mapping[str, str]) -> Secret | None:
    value = environment.get(name, "").strip()
    if not value:
        return None
    if not _HEADER.fullmatch(value):
        msg = f"{name} holds characters that have no place there"
        raise DestinationError(msg)
    return Secret(value)


# One Vault or OpenBao server as one run knows it: logged in to once, spoken to over a few connections.

CLOSING_SECONDS: Final = 5.0
CONNECTIONS: Final = 8

_LOGIN: Final = "login"
_USED_UP: Final = 0.9  # of the time that a login lasts, so that no request is under way when it ends


@dataclass(frozen=True, slots=True)
class Access:
    """What of a target's settings decides which server and which login it is; None leaves it to the environment."""

    namespace: str | None
    role: str | None
    audience: str | None
    auth_mount: str | None


@dataclass(frozen=True, slots=True)
class _Grant:
    """A token to work with, until a monotonic time; `ours` when this run got it and shall give it back."""

    token: Secret
    until: float
    ours: bool


class Server:
    """Asks a server; everything about it that many destinations want to know is found out once."""

    def __init__(self, access: Access, environment: Mapping[str, str], timing: Timing) -> None:
        """Take VAULT_ADDR and the credentials from the environment; nothing is sent yet.

        Raises:
            DestinationError: they are missing or cannot be used.
        """
        address = environment.get("VAULT_ADDR", "").strip()
        if unencrypted(address):
            msg = "VAULT_ADDR must hold the server's address, https (or http to this machine): https://vault.example.com:8200"
            raise DestinationError(msg)
        self.name = urlsplit(address).netloc.rpartition("@")[2]
        self._login = find_login(access.role, access.audience, access.auth_mount, environment)
        self._namespace = access.namespace or environment.get("VAULT_NAMESPACE", "").strip("/ ")
        sender = Sender(
            _connections(address, _trusted(address, environment)),
            timing,
            parallelism=CONNECTIONS,
            judge=partial(judge, passing=_PASSING),
        )
        self._api = Api(f"{address.rstrip('/')}/v1", sender, _MANNERS)
        self._timing = timing
        self._grants: Memo[_Grant | str] = Memo()
        self._closed = False
        self._findings: Memo[str] = Memo()

    async def ask(self, method: str, path: str, body: object = None) -> Reply:
        """Send one request; secrets stand in the body as such.

        Raises:
            DestinationError: the login failed, without which nothing is sent; or the run has ended.
        """
        if self._closed:
            msg = "the run has ended"
            raise DestinationError(msg)
        return await self._send(method, path, body, await self._token())

    async def read(self, method: str, path: str, body: object = None) -> Reply:
        """Ask for something that changes nothing, until nothing that may pass stands in the way.

        Raises:
            DestinationError: the login failed, or the run has ended.
        """
        return await self._api.persist(lambda: self.ask(method, path, body))

    async def trouble(self) -> str:
        """Return what keeps the server from serving anybody, or this login; empty when nothing does."""
        return await self._findings.get("health", self._look) or await self._findings.get(_LOGIN, self._try_login)

    async def mount_trouble(self, mount: str) -> str:
        """Return what keeps a mount from taking secrets; empty when nothing does."""
        return await self._findings.get(f"mount {mount}", lambda: self._look_at_mount(mount))

    async def aclose(self) -> None:
        """Give back the token that the login got, and close the connections; the server must not be used any more."""
        if self._closed:
            return
        self._closed = True
        grant = self._grants.known(_LOGIN)
        if isinstance(grant, _Grant) and grant.ours:
            with suppress(TimeoutError):  # the token ends by itself soon enough
                async with asyncio.timeout(CLOSING_SECONDS):
                    await self._send("POST", "auth/token/revoke-self", None, grant.token)
        await self._api.aclose()

    async def _send(self, method: str, path: str, body: object, token: Secret | None, *, root: bool = False) -> Reply:
        """Send one request; `root` asks outside of the namespace."""
        headers: dict[str, str | Secret] = {"X-Vault-Request": "true"}  # which an agent in between may insist on
        if token is not None:
            headers["X-Vault-Token"] = token
        if self._namespace and not root:
            headers["X-Vault-Namespace"] = self._namespace
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        return await self._api.ask(method, path, body, headers=headers)

    async def _token(self) -> Secret:
        grant = await self._grants.get(_LOGIN, self._log_in)
        if isinstance(grant, _Grant) and grant.until <= self._timing.monotonic():
            self._grants.forget(_LOGIN)
            grant = await self._grants.get(_LOGIN, self._log_in)
        if isinstance(grant, str):
            raise DestinationError(grant)
        return grant.token

    async def _try_login(self) -> str:
        try:
            await self._token()
        except DestinationError as error:
            return str(error)
        return ""

    async def _log_in(self) -> _Grant | str:
        """Log in, with retries; says what went wrong instead of raising it."""
        login = self._login
        if isinstance(login, Token):
            return _Grant(login.token, float("inf"), ours=False)
        try:
            mount, body = await self._credentials(login)
            reply = await self._api.persist(lambda: self._send("POST", f"auth/{mount}/login", body, None))
        except DestinationError as error:
            return f"cannot log in: {error}"
        auth = reply.part("auth")
        token, lease = auth.get("client_token"), auth.get("lease_duration")
        if not isinstance(token, str) or not token:
            return f"the login at auth/{mount} is refused: {reply.said or 'the answer holds no token'}"
        lasts = float("inf") if not isinstance(lease, int) or not lease else self._timing.monotonic() + lease * _USED_UP
        return _Grant(Secret(token), lasts, ours=True)

    async def _credentials(self, login: AppRole | Jwt | GitHubJwt) -> tuple[str, Mapping[str, object]]:
        if isinstance(login, AppRole):
            secret_id = {} if login.secret_id is None else {"secret_id": login.secret_id}
            return login.mount, {"role_id": login.role_id, **secret_id}
        if isinstance(login, Jwt):
            return login.mount, {"role": login.role, "jwt": login.jwt}
        reply = await fetch_jwt(login, self._timing)
        jwt = reply.body.get("value")
        if not isinstance(jwt, str) or not jwt:
            msg = f"GitHub gives no OIDC token: {reply.said or 'the answer holds none'}"
            raise DestinationError(msg)
        return login.mount, {"role": login.role, "jwt": Secret(jwt)}

    async def _look(self) -> str:
        path = "sys/health?standbyok=true&perfstandbyok=true"

        async def ask() -> Reply:
            reply = await self._send("GET", path, None, None, root=True)
            return Reply(reply.status, reply.body) if "sealed" in reply.body else reply  # a state, no failure

        try:
            reply = await self._api.persist(ask)
        except DestinationError as error:
            return str(error)
        if reply.body.get("initialized") is False:
            return "it is not initialised (vault operator init)"
        if reply.body.get("sealed") is True:
            return "it is sealed (vault operator unseal)"
        return "" if reply.ok else reply.said or f"its health is answered with {reply.status}"

    async def _look_at_mount(self, mount: str) -> str:
        try:
            reply = await self.read("GET", f"sys/internal/ui/mounts/{mount}")
        except DestinationError as error:
            return str(error)
        if reply.status == HTTPStatus.FORBIDDEN:
            return f"no secrets engine is mounted at {mount}/, or this login has no access to anything there"
        if not reply.ok:
            return f"the mount {mount}/ cannot be looked at: {reply.said}"
        if str(reply.part("data").get("path")).strip("/") != mount:
            found = quote(str(reply.part("data").get("path")), [await self._token()])
            return f"{mount}/ is no mount, but lies in {found}; `mount` is the one, `path` the rest"
        options = reply.part("data").get("options")
        version = str(options.get("version", "1")) if isinstance(options, dict) else "1"
        if reply.part("data").get("type") != "kv" or version != "2":
            return f"the mount {mount}/ is not KV version 2"
        return ""


SERVERS: Final[PerRun[Server]] = PerRun()


def _connections(address: str, context: ssl.SSLContext | None = None) -> Connections:
    try:
        return open_client(address, context=context)
    except UsageError as error:
        raise DestinationError(str(error)) from None


def _trusted(address: str, environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """Trust and identify as Vault's own variables say; None where they say nothing.

    Raises:
        DestinationError: a file that they name cannot be used.
    """
    file, folder = environment.get("VAULT_CACERT"), environment.get("VAULT_CAPATH")
    certificate, key = environment.get("VAULT_CLIENT_CERT"), environment.get("VAULT_CLIENT_KEY")
    if not address.startswith("https:") or not (file or folder or certificate):
        return None
    try:
        context = tls_context(file, folder, "VAULT_CACERT or VAULT_CAPATH")
        if certificate:
            context.load_cert_chain(certificate, key or None, password="")  # so that nobody is asked for one
    except UsageError as error:
        raise DestinationError(str(error)) from None
    except (OSError, ValueError):
        pass  # its text may quote the key's
    else:
        return context
    msg = "the certificate and the key that VAULT_CLIENT_CERT and VAULT_CLIENT_KEY name cannot be used"
    raise DestinationError(msg)
