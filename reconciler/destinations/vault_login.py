"""How reconciler proves to a Vault or OpenBao server who it is: by what the environment holds, never by keys.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import requests

from reconciler.destinations.vault_exchange import CONNECT_SECONDS, READ_SECONDS, Answer, Content, exchange
from reconciler.errors import DestinationError
from reconciler.remote.address import unencrypted
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        return requests.get(
            login.url,
            params={} if login.audience is None else {"audience": login.audience},
            headers={"Authorization": f"Bearer {login.bearer.reveal()}", "Accept": "application/json"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
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
