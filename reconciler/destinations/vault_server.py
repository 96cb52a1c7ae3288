"""One Vault or OpenBao server as one run knows it: logged in to once, spoken to over a few connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter

from reconciler.destinations.shared import Memo, PerRun, Threads
from reconciler.destinations.vault_exchange import CONNECT_SECONDS, READ_SECONDS, Answer, Content, exchange
from reconciler.destinations.vault_login import AppRole, GitHubJwt, Jwt, Token, fetch_jwt, find_login
from reconciler.errors import DestinationError
from reconciler.remote.address import unencrypted
from reconciler.remote.retry import Passing, with_retries
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from reconciler.remote.retry import Timing

WHOLE_SECONDS: Final = 120.0
CLOSING_SECONDS: Final = 5.0
CONNECTIONS: Final = 8

_LOGIN: Final = "login"
_TIMEOUTS: Final = (CONNECT_SECONDS, READ_SECONDS)
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
        self._adapter = _adapter(address, environment)
        self._threads = Threads(CONNECTIONS, "vault")
        self._timing = timing
        self._grants: Memo[_Grant | str] = Memo()
        self._closed = False
        self._findings: Memo[str] = Memo()

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Send one request; secrets stand in the body as such.

        Raises:
            DestinationError: the login failed, without which nothing is sent; or the run has ended.
        """
        if self._closed:
            msg = "the run has ended"
            raise DestinationError(msg)
        return await self._send(method, path, body, await self._token())

    async def read(self, method: str, path: str, body: object = None) -> Answer:
        """Ask for something that changes nothing, until there is an answer that does not look passing.

        Raises:
            DestinationError: there is none, or the login failed.
        """
        return await self._persist(lambda: self.ask(method, path, body))

    async def trouble(self) -> str:
        """Say what keeps the server from serving anybody, or this login; empty when nothing does."""
        return await self._findings.get("health", self._look) or await self._findings.get(_LOGIN, self._try_login)

    async def mount_trouble(self, mount: str) -> str:
        """Say what keeps a mount from taking secrets; empty when nothing does."""
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
        self._adapter.close()

    async def _send(self, method: str, path: str, body: object, token: Secret | None, *, root: bool = False) -> Answer:
        """Send one request in a thread; `root` asks outside of the namespace."""
        content = Content(body, *([token] if token else []))
        headers = {} if token is None else {"X-Vault-Token": token.reveal()}
        if self._namespace and not root:
            headers["X-Vault-Namespace"] = self._namespace
        headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"

        def send(written: bytes | None) -> requests.Response:
            response: requests.Response = self._adapter.request(
                method, f"/v1/{path}", headers, raise_exception=False, data=written, timeout=_TIMEOUTS
            )
            return response

        return await self._in_thread(lambda: exchange(f"{method} {path}", send, content))

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        with suppress(TimeoutError):
            return await self._threads.run(work, WHOLE_SECONDS)
        return Answer(0, said=f"no answer within {WHOLE_SECONDS:g} s", passing=True, maybe_done=True)

    async def _persist(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        async def attempt() -> Answer:
            answer = await ask()
            if answer.passing:
                raise Passing(DestinationError(answer.said), answer.retry_after)
            return answer

        return await with_retries(attempt, self._timing)

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
            answer = await self._persist(lambda: self._send("POST", f"auth/{mount}/login", body, None))
        except DestinationError as error:
            return f"cannot log in: {error}"
        auth = answer.part("auth")
        token, lease = auth.get("client_token"), auth.get("lease_duration")
        if not isinstance(token, str) or not token:
            return f"the login at auth/{mount} is refused: {answer.said or 'the answer holds no token'}"
        lasts = float("inf") if not isinstance(lease, int) or not lease else self._timing.monotonic() + lease * _USED_UP
        return _Grant(Secret(token), lasts, ours=True)

    async def _credentials(self, login: AppRole | Jwt | GitHubJwt) -> tuple[str, Mapping[str, object]]:
        if isinstance(login, AppRole):
            secret_id = {} if login.secret_id is None else {"secret_id": login.secret_id}
            return login.mount, {"role_id": login.role_id, **secret_id}
        if isinstance(login, Jwt):
            return login.mount, {"role": login.role, "jwt": login.jwt}
        answer = await self._persist(lambda: self._in_thread(lambda: fetch_jwt(login)))
        jwt = answer.body.get("value")
        if not isinstance(jwt, str) or not jwt:
            msg = f"GitHub gives no OIDC token: {answer.said or 'the answer holds none'}"
            raise DestinationError(msg)
        return login.mount, {"role": login.role, "jwt": Secret(jwt)}

    async def _look(self) -> str:
        path = "sys/health?standbyok=true&perfstandbyok=true"

        async def ask() -> Answer:
            answer = await self._send("GET", path, None, None, root=True)
            return Answer(answer.status, answer.body) if "sealed" in answer.body else answer  # a state, no failure

        try:
            answer = await self._persist(ask)
        except DestinationError as error:
            return str(error)
        if answer.body.get("initialized") is False:
            return "it is not initialised (vault operator init)"
        if answer.body.get("sealed") is True:
            return "it is sealed (vault operator unseal)"
        return "" if answer.ok else answer.said or f"its health is answered with {answer.status}"

    async def _look_at_mount(self, mount: str) -> str:
        try:
            answer = await self.read("GET", f"sys/internal/ui/mounts/{mount}")
        except DestinationError as error:
            return str(error)
        if answer.status == HTTPStatus.FORBIDDEN:
            return f"no secrets engine is mounted at {mount}/, or this login has no access to anything there"
        if not answer.ok:
            return f"the mount {mount}/ cannot be looked at: {answer.said}"
        if str(answer.data.get("path")).strip("/") != mount:
            return f"{mount}/ is no mount, but lies in {answer.data.get('path')}; `mount` is the one, `path` the rest"
        options = answer.data.get("options")
        version = str(options.get("version", "1")) if isinstance(options, dict) else "1"
        if answer.data.get("type") != "kv" or version != "2":
            return f"the mount {mount}/ is not KV version 2"
        return ""


SERVERS: Final[PerRun[Server]] = PerRun()


def _adapter(address: str, environment: Mapping[str, str]) -> RawAdapter:
    session = requests.Session()
    # The secret must not pass through a proxy in the clear.
    session.trust_env = address.startswith("https:")
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    session.verify = environment.get("VAULT_CACERT") or environment.get("VAULT_CAPATH") or True
    if certificate := environment.get("VAULT_CLIENT_CERT"):
        key = environment.get("VAULT_CLIENT_KEY")
        session.cert = (certificate, key) if key else certificate
    return RawAdapter(base_uri=address, session=session, allow_redirects=False)
