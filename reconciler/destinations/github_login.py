"""How reconciler proves to GitHub who it is: by what the environment holds, never by keys.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import DestinationError
from reconciler.github.address import is_token
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

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
