"""One Vault or OpenBao server during a run: how reconciler logs in, and the requests it sends."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, ProxyError, ReadTimeout, RequestException, SSLError
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from reconciler.destinations.shared import Memo, PerRun, Threads
from reconciler.errors import DestinationError
from reconciler.http.address import unencrypted
from reconciler.http.exchange import CODING, Body, too_many_parts
from reconciler.http.redact import quote
from reconciler.http.retry import Passing, with_retries
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from reconciler.http.retry import Timing


# One request to a Vault or OpenBao server and what came of it, as values.
#
# No exception of hvac, requests or urllib3 gets out, for they hold the request. For the same reason hvac's own
# methods are not used (they raise the answer's text, and know no PATCH), only the adapter that they stand on.

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0

LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an answer, decoded, that are read: Vault itself keeps a secret of 1 MiB at most."""

_PIECE: Final = 64 * 1024
_PASSING: Final = frozenset({412, 429, 500, 502, 503, 504})  # 412: a replica that has not caught up yet
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)
_log = logging.getLogger("reconciler.destinations")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; its status is 0 when none arrived.

    `said` is why it is none or no success, fit to be shown; `maybe_done` that the server may have done as it was asked
    although it does not say so; `passing` that another attempt may go better, `retry_after` seconds from now.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    said: str = ""
    maybe_done: bool = False
    passing: bool = False
    retry_after: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the server did as it was asked."""
        return self.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}

    @property
    def data(self) -> Mapping[str, Any]:
        """What the server has to tell."""
        return self.part("data")

    def part(self, name: str) -> Mapping[str, Any]:
        """Give a mapping of the body, empty when there is none."""
        value = self.body.get(name)
        return value if isinstance(value, dict) else {}


class Content:
    """A body on its way; `revealed` are the secrets in it, once it is written, for the answer to be searched for."""

    def __init__(self, body: object, *others: Secret) -> None:
        """Take the body, with the secrets in it as such, and other secrets that the request holds."""
        self._body = body
        self.revealed = list(others)

    def write(self) -> bytes | None:
        """Write the body as JSON."""
        return None if self._body is None else json.dumps(self._body, default=self._reveal).encode()

    def _reveal(self, value: object) -> str:
        if not isinstance(value, Secret):
            msg = f"{type(value).__name__} is nothing for JSON"
            raise TypeError(msg)
        self.revealed.append(value)
        return value.reveal()


def exchange(label: str, send: Callable[[bytes | None], requests.Response], content: Content) -> Answer:
    """Send a request and read its answer; never raises for what the network, the libraries or the server do."""
    started = time.monotonic()
    try:
        response = send(content.write())
        try:
            answer = _read(response, content.revealed)
        finally:
            response.close()
    except Exception as error:  # noqa: BLE001  # whatever it is, it may hold the request
        answer = _no_answer(error)
    took = round((time.monotonic() - started) * 1000)
    _log.debug("%s: %s in %d ms", label, answer.status or answer.said, took)
    return answer


def _read(response: requests.Response, secrets: list[Secret]) -> Answer:
    status = response.status_code
    # As it comes, and decoded here: the library would unpack an answer of a few kilobytes to gigabytes.
    came = Body(status, response.headers.get("Content-Encoding"), LARGEST_ANSWER)
    for piece in response.raw.stream(_PIECE, decode_content=False):
        if not came.take(piece):
            break
    content = came.content()
    if came.spoilt or too_many_parts(content):
        why = came.spoilt or "the answer has more values than any that Vault gives"
        return Answer(0, said=f"{status}, but {why}", maybe_done=True)
    text = content.decode(errors="replace")
    try:
        parsed = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        parsed = None
    body = parsed if isinstance(parsed, dict) else {}
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        place = urlsplit(response.headers.get("Location", ""))  # requests has read it before
        where = quote(place.netloc.rpartition("@")[2], secrets)
        return Answer(status, said=f"{status}, a redirect{where and ' to ' + where}, which is never followed")
    if status >= HTTPStatus.BAD_REQUEST:
        return Answer(
            status,
            body,
            said=f"{status} {quote(_complaint(body, text), secrets)}".strip(),
            maybe_done=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            passing=status in _PASSING,
            retry_after=_retry_after(response),
        )
    if parsed is None or status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        return Answer(0, said=f"{status}, but no answer that Vault gives", maybe_done=True)
    return Answer(status, body)


def _complaint(body: Mapping[str, Any], text: str) -> str:
    errors = body.get("errors")
    if isinstance(errors, list):
        return ", ".join(map(str, errors))
    return "" if body else text


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if _SECONDS.fullmatch(text) else 0.0


def _no_answer(error: Exception) -> Answer:
    if any(isinstance(cause, NewConnectionError) for cause in _causes(error)):
        return Answer(0, said="it cannot be reached", passing=True)
    for kind, answer in _NO_ANSWERS.items():
        if isinstance(error, kind):
            return answer
    return Answer(0, said=f"unexpected {type(error).__name__}", maybe_done=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and those that the libraries wrapped in it."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException):
            yield from _causes(inner)


_NO_ANSWERS: Final[dict[type[Exception], Answer]] = {  # the first that fits counts
    ConnectTimeout: Answer(0, said=f"no connection within {CONNECT_SECONDS:g} s", passing=True),
    ReadTimeout: Answer(0, said=f"no answer within {READ_SECONDS:g} s", passing=True, maybe_done=True),
    ReadTimeoutError: Answer(0, said=f"no answer within {READ_SECONDS:g} s", passing=True, maybe_done=True),
    SSLError: Answer(0, said="no trust in its certificate, or no TLS at all (VAULT_CACERT can name its authority)"),
    ProxyError: Answer(0, said="the proxy does not connect to it", passing=True),
    requests.ConnectionError: Answer(0, said="the connection broke", passing=True, maybe_done=True),
    RequestException: Answer(0, said="the answer cannot be read", passing=True, maybe_done=True),
    HTTPError: Answer(0, said="the answer cannot be read", passing=True, maybe_done=True),
    OSError: Answer(0, said="a file of VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT or VAULT_CLIENT_KEY is missing"),
}
"""Why there is no answer, in words of our own: those of the libraries hold addresses and headers."""


class _Session(requests.Session):
    """Leaves redirects alone: only to see where one leads, the library would read all of its body."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Know of none."""


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


def fetch_jwt(login: GitHubJwt) -> Answer:
    """Ask GitHub for the token; the answer's `value` holds it."""
    content = Content(None, login.bearer)

    def send(_: bytes | None) -> requests.Response:
        bearer = {"Authorization": f"Bearer {login.bearer.reveal()}"}
        with _Session() as session:
            return session.get(
                login.url,
                params={} if login.audience is None else {"audience": login.audience},
                headers={**bearer, "Accept": "application/json", "Accept-Encoding": CODING},
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )

    return exchange("GET of an OIDC token", send, content)


def _secret(name: str, environment: Mapping[str, str]) -> Secret | None:
    value = environment.get(name, "").strip()
    if not value:
        return None
    if not _HEADER.fullmatch(value):
        msg = f"{name} holds characters that have no place there"
        raise DestinationError(msg)
    return Secret(value)


# One Vault or OpenBao server as one run knows it: logged in to once, spoken to over a few connections.

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
                method, f"/v1/{path}", headers, raise_exception=False, data=written, timeout=_TIMEOUTS, stream=True
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
            found = quote(str(answer.data.get("path")), [await self._token()])
            return f"{mount}/ is no mount, but lies in {found}; `mount` is the one, `path` the rest"
        options = answer.data.get("options")
        version = str(options.get("version", "1")) if isinstance(options, dict) else "1"
        if answer.data.get("type") != "kv" or version != "2":
            return f"the mount {mount}/ is not KV version 2"
        return ""


SERVERS: Final[PerRun[Server]] = PerRun()


def _adapter(address: str, environment: Mapping[str, str]) -> RawAdapter:
    session = _Session()
    session.headers["Accept-Encoding"] = CODING
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
