"""The `github-actions` destination: secrets of a repository, of an environment of it, or of an organisation.

A secret is sealed with the public key of the place, so that nobody but GitHub can open it. GitHub tells which secrets
there are and since when, not whose they are.
"""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from nacl.public import PublicKey as NaclKey
from nacl.public import SealedBox

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, Held, text_setting
from reconciler.destinations.github_server import LONGEST_NAME, SERVERS, GitHub, PublicKey, is_name, read_place
from reconciler.destinations.shared import one_line, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.forge.github import scopes
from reconciler.http.reply import Reply
from reconciler.http.retry import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target
    from reconciler.secret import Secret

LARGEST_SECRET: Final = 48 * 1024
"""Bytes that GitHub takes in one secret."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a secret did not arrive, or may have."""

    why: str
    uncertain: bool = False


class GitHubActions:
    """One holder of secrets; see `Destination`.

    Settings: `repository` (owner/name), with `environment` for those of an environment; or `organization`, with
    `visibility` (all, private, selected) and, for selected, the ids in `selected_repositories`.
    """

    def __init__(self, target: Target, timing: Timing | None = None) -> None:
        """Take the target's settings; nothing is touched yet.

        Raises:
            DestinationError: they name no place, or one that cannot be.
        """
        self._place = read_place(target)
        self._timing = timing or Timing()
        self._github: GitHub | None = None

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the login, that the place exists, takes secrets of it and has room; see `Destination`."""
        limits = f"capitals, digits and _, no digit first, not GITHUB_…, at most {LONGEST_NAME} characters"
        problems = [f"{name!r} is no name for a secret ({limits})" for name in sorted(set(names)) if not is_name(name)]
        problems += repeated(names)
        try:
            problems += await self._obstacles(self._connected(), names)
        except DestinationError as error:
            problems.append(str(error))
        if problems:
            raise DestinationError(one_line(f"{self._place.label}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Store the secret, sealed, and return when GitHub has it; see `Destination`."""
        failure = await self._store(secret_delivery)
        if failure is not None:
            # Raised here, from nothing: the frames that saw the secret are no part of the traceback.
            verb = "may not be in" if failure.uncertain else "was not stored in"
            message = f"{secret_delivery.name} {verb} {self._place.label}: {failure.why}"
            raise DestinationError(one_line(message), uncertain=failure.uncertain)

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return which of the secrets there are, and since when; of which key, GitHub cannot tell. See `Describing`."""
        held = await self._connected().held(self._place)
        if isinstance(held, Reply):
            msg = one_line(f"{self._place.label}: what is there cannot be read: {self._words(held)}")
            raise DestinationError(msg)
        return {name: Held(None, held[name]) for name in names if name in held}

    async def aclose(self) -> None:
        """Give back what the login got and close the connections, for all who share them; see `Closing`."""
        github, self._github = self._github, None
        if github is not None:
            await github.aclose()

    def _connected(self) -> GitHub:
        github = SERVERS.get("github", lambda: GitHub(os.environ, self._timing))
        self._github = github
        return github

    async def _obstacles(self, github: GitHub, names: Sequence[str]) -> list[str]:
        place = self._place
        home = await github.home(place)
        if home.status == HTTPStatus.NOT_FOUND:
            return [f"there is no {place.home.partition('/')[2]}, or this login may not see it"]
        if not home.ok:
            return [self._words(home)]
        if home.body.get("archived") is True:
            return ["the repository is archived, so it takes no secrets"]
        granted = scopes(home)
        if granted is not None and place.scope not in granted:
            return [f"the token lacks the scope {place.scope}"]
        key = await github.public_key(place)
        if isinstance(key, Reply):
            return [await self._why_no_key(github, key)]
        held = await github.held(place)
        if isinstance(held, Reply):
            return [f"what is there cannot be read: {self._words(held)}"]
        count = len({*held, *names})
        return [f"{count} secrets are too many for it ({place.capacity})"] if count > place.capacity else []

    async def _why_no_key(self, github: GitHub, reply: Reply) -> str:
        """Return an environment that is not there from one that this login may not look into."""
        place = self._place
        if reply.status != HTTPStatus.NOT_FOUND or place.environment is None:
            return self._words(reply)
        found = await github.read(place, place.environment)
        if found.status == HTTPStatus.NOT_FOUND:
            where = f"{place.home.partition('/')[2]}: Settings, Environments, New environment"
            return f"there is no such environment; create it ({where})"
        return self._words(reply)

    async def _store(self, secret_delivery: SecretDelivery) -> _Failure | None:
        if not is_name(secret_delivery.name):
            return _Failure("it is no name for a secret")
        if not _fits(secret_delivery.secret):
            return _Failure(f"the secret is no UTF-8 text of at most {LARGEST_SECRET} bytes")
        try:
            github = self._connected()
        except DestinationError as error:
            return _Failure(str(error))
        key = await github.public_key(self._place)
        if isinstance(key, Reply):
            return _Failure(self._words(key))
        reply = await self._put(github, secret_delivery, key)
        if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            other = await github.another_key(self._place, key)
            if isinstance(other, PublicKey) and other != key:
                again = await self._put(github, secret_delivery, other)
                reply = replace(again, maybe_done=reply.maybe_done or again.maybe_done)
        return None if reply.ok else _Failure(self._words(reply), uncertain=reply.maybe_done)

    async def _put(self, github: GitHub, secret_delivery: SecretDelivery, key: PublicKey) -> Reply:
        sealed = _sealed(secret_delivery.secret, key)
        if sealed is None:
            return Reply(0, said="its public key is none that a secret can be sealed with")
        body = {"encrypted_value": sealed, "key_id": key.id, **dict(self._place.fields)}
        return await github.put(self._place, f"{self._place.secrets}/{secret_delivery.name}", body)

    def _words(self, reply: Reply) -> str:
        """Return what an answer that is no success means, and what to do about it."""
        place = self._place
        match reply.status:
            case HTTPStatus.UNAUTHORIZED:
                return f"the token is refused ({reply.said}): it is wrong, expired or revoked"
            case HTTPStatus.FORBIDDEN | HTTPStatus.NOT_FOUND:
                needed = f"the token needs {place.needs} there (a classic one the scope {place.scope})"
                return f"{reply.said}; {needed}; the GITHUB_TOKEN that GitHub gives every job cannot have it"
            case _:
                return reply.said


def _fits(secret: Secret) -> bool:
    plain = utf8(secret)
    return plain is not None and len(plain) <= LARGEST_SECRET


def _sealed(secret: Secret, key: PublicKey) -> str | None:
    try:
        return b64encode(SealedBox(NaclKey(key.content)).encrypt(secret.reveal().encode())).decode()
    except Exception:  # noqa: BLE001  # whatever it is, it was raised with the secret in hand
        return None


DESCRIPTION: Final = Description(
    create=GitHubActions,
    type="github-actions",
    extra="github",
    summary="Secrets of a repository, of an environment of it, or of an organization.",
    title="GitHub Actions secrets",
    description=(
        "Secrets of a repository, of an environment of it, or of an organization: sealed, so that nobody but GitHub "
        "can open them. Which of them exist and since when can be read, not which key they are of."
    ),
    settings={
        "repository": text_setting(
            "The repository whose secrets they are. It may not stand beside organization.",
            "a repository like acme/api, without the address of the server",
            "acme/api",
            pattern=r"^[A-Za-z0-9_{}-]+/[A-Za-z0-9_.{}-]+$",
        ),
        "environment": text_setting(
            "The environment of the repository that holds them, which has to exist. Without it, they are secrets of "
            "the repository.",
            "the name of an environment of the repository",
            "{environment}",
        ),
        "organization": text_setting(
            "The organization whose secrets they are. It may not stand beside repository.",
            "the name of an organization like acme",
            "acme",
            pattern=r"^[A-Za-z0-9_{}-]+$",
        ),
        "visibility": {
            "description": (
                "Which repositories of the organization can use them: all, the private and internal ones (private), or"
                " the selected_repositories (selected). An organization needs it."
            ),
            "enum": ["all", "private", "selected"],
            "enumDescriptions": [
                "All repositories.",
                "The private and internal repositories.",
                "The selected_repositories.",
            ],
            "examples": ["private"],
            "errorMessage": "must be all, private or selected",
        },
        "selected_repositories": {
            "description": (
                "The repositories that can use them, by id (`gh api repos/acme/api --jq .id`); for visibility "
                "selected, and needed there."
            ),
            "type": "array",
            "uniqueItems": True,
            "items": {
                "title": "Repository id",
                "description": "The id of a repository.",
                "type": "integer",
                "minimum": 1,
                "maximum": 9223372036854775807,
                "errorMessage": "must be a list of ids of repositories, which are numbers",
            },
            "examples": [[1296269, 1296280]],
            "errorMessage": "must be a list of ids of repositories",
        },
    },
    rules={
        "anyOf": [
            {"required": ["repository"], "errorMessage": "must have repository or organization"},
            {"required": ["organization"], "errorMessage": "must have repository or organization"},
        ],
        "allOf": [
            {
                "if": {"required": ["organization"]},
                "then": {
                    "required": ["visibility"],
                    "allOf": [
                        {"properties": {"repository": False}, "errorMessage": "must be left out beside organization"},
                        {
                            "properties": {"environment": False},
                            "errorMessage": "must be left out beside organization, whose secrets are of no environment",
                        },
                        {
                            "if": {"properties": {"visibility": {"const": "selected"}}, "required": ["visibility"]},
                            "then": {"required": ["selected_repositories"]},
                            "else": {
                                "properties": {"selected_repositories": False},
                                "errorMessage": "must be left out unless visibility is selected",
                            },
                        },
                    ],
                },
            },
            {
                "if": {"required": ["repository"]},
                "then": {
                    "allOf": [
                        {
                            "properties": {"visibility": False},
                            "errorMessage": "must be left out: only secrets of an organization have one",
                        },
                        {
                            "properties": {"selected_repositories": False},
                            "errorMessage": "must be left out: only secrets of an organization have them",
                        },
                    ]
                },
            },
        ],
    },
    kind=Kind(
        names=r"(?a)(?!GITHUB_)[A-Z_][A-Z0-9_]{0,254}",
        words="the name of a secret (capitals, digits and _, no digit first, not GITHUB_…)",
        manner=("selected_repositories", "visibility"),
        caseless=True,
    ),
)
