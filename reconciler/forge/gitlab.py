"""GitLab's API, asked with the token of the environment: its address and the token are never in a file.

What is told here stands in the REST documentation: https://docs.gitlab.com/api/rest/.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import ForgeError, UsageError
from reconciler.http.address import unencrypted
from reconciler.http.connection import open_client
from reconciler.http.reply import Api, Manners, Reply
from reconciler.http.sender import Sender
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.http.retry import Timing

DEFAULT_URL: Final = "https://gitlab.com"
URLS: Final = ("GITLAB_URL", "CI_SERVER_URL")
"""The variables that may say where GitLab is; a job of GitLab has the second one."""

TOKEN: Final = "GITLAB_TOKEN"  # noqa: S105  # the name of a variable
CONNECTIONS: Final = 8
PAGE: Final = 100
MOST_PAGES: Final = 100
LARGEST_ANSWER: Final = 32 * 1024 * 1024

_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)
_DONE: Final = {
    "GET": frozenset({HTTPStatus.OK}),
    "PUT": frozenset({HTTPStatus.OK}),
    "POST": frozenset({HTTPStatus.CREATED}),
    "DELETE": frozenset({HTTPStatus.NO_CONTENT}),
}


def base_url(environment: Mapping[str, str]) -> str:
    """Return the address of GitLab, without a slash at its end; raises ForgeError where no token may be sent there."""
    name, url = next(((each, said) for each in URLS if (said := environment.get(each, "").strip())), ("", DEFAULT_URL))
    if not _URL.fullmatch(url) or unencrypted(url):
        msg = f"{name} must be an https address, as in https://gitlab.example.com"
        raise ForgeError(msg)
    return url.rstrip("/")


def find_token(environment: Mapping[str, str]) -> Secret:
    """Return the token of the environment; raises UsageError where there is none, and says which one is needed."""
    token = environment.get(TOKEN, "").strip()
    if not token:
        msg = (
            f"{TOKEN} is not set: it takes an access token of the project or group with the scope api, "
            "as a masked variable; the CI_JOB_TOKEN that GitLab gives every job may not do this"
        )
        raise UsageError(msg)
    if not _TOKEN.fullmatch(token):
        msg = f"{TOKEN} holds characters that no token has"
        raise UsageError(msg)
    return Secret(token)


class Client:
    """Asks the API until nothing that may pass stands in the way; never raises for what the other side does."""

    def __init__(self, environment: Mapping[str, str], timing: Timing) -> None:
        """Take the address and the token of the environment; nothing is sent yet.

        Raises:
            UsageError: the token is missing or none.
            ForgeError: the address, or a variable about the way there, cannot be used.
        """
        url = base_url(environment)
        self.host = url.partition("://")[2]
        self._token = find_token(environment)
        try:
            connections = open_client(url)
        except UsageError as error:
            raise ForgeError(str(error)) from None
        sender = Sender(connections, timing, parallelism=CONNECTIONS)
        moved = f": it was renamed or moved, or {URLS[0]} is wrong"
        self._api = Api(f"{url}/api/v4", sender, Manners("GitLab", _complaint, LARGEST_ANSWER, moved, done=_DONE))

    async def ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, repeatable: bool = True
    ) -> Reply:
        """Ask for something below /api/v4, or change it; secrets stand in the body as such."""
        return await self._api.persist(
            lambda: self._api.ask(method, path, body, bearer=self._token), repeatable=repeatable
        )

    async def every(self, path: str) -> Reply:
        """Ask for all pages of a list; gives the first reply that is no success, else all items in one."""
        found: list[Mapping[str, Any]] = []
        sign = "&" if "?" in path else "?"
        for page in range(1, MOST_PAGES + 1):
            asked = f"{path}{sign}per_page={PAGE}&page={page}"
            reply = await self._api.persist(lambda asked=asked: self._page(asked))  # type: ignore[misc]  # bound at once
            if not reply.ok:
                return reply
            found += reply.items
            if len(reply.items) < PAGE:
                return Reply(reply.status, items=tuple(found))
        return Reply(0, said=f"there are more than {MOST_PAGES * PAGE}: too many to look through")

    async def _page(self, path: str) -> Reply:
        return await self._api.ask("GET", path, bearer=self._token, lists=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def _complaint(body: Mapping[str, Any]) -> str:
    """Read why something was refused: a text, or by field what is wrong with each."""
    said = body.get("message", body.get("error_description", body.get("error", "")))
    if isinstance(said, dict):
        return "; ".join(f"{field} {_words(why)}" for field, why in said.items())
    return _words(said)


def _words(said: object) -> str:
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said)
