"""A GitHub that keeps secrets and discussions, and refuses as GitHub does.

It holds real key pairs, and opens what was sealed for them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import jwt
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.github import described
from support.github.discussions import BOT, Discussions, NotFound, TooLong, asked_of_graphql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

TOKEN: Final = "github_pat_FINE"
JOB_TOKEN: Final = "ghs_JOB"
READ_ONLY_TOKEN: Final = "ghs_FORK"
WRITE: Final = {"secrets": "write", "environments": "write", "organization_secrets": "write"}


@dataclass(frozen=True)
class Grant:
    """What a token may do, and as whom; `on` are the repositories and organisations it reaches, None for all."""

    permissions: Mapping[str, str] = field(default_factory=lambda: dict(WRITE))
    scopes: str | None = None
    on: frozenset[str] | None = None
    login: str = "octocat"


JOB_TOKENS: Final = {
    JOB_TOKEN: Grant({"issues": "write", "contents": "read"}, login=BOT),
    READ_ONLY_TOKEN: Grant({"issues": "read", "contents": "read"}, login=BOT),
}
"""Those of jobs: of one of the repository's own, and of one for a fork."""


@dataclass
class Stored:
    """A secret that arrived, opened."""

    value: str
    updated: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class App:
    """A GitHub App: its public key, where it is installed, and with which permissions."""

    public_key: bytes
    installed: Mapping[str, int]
    permissions: Mapping[str, str] = field(default_factory=lambda: dict(WRITE))


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.response = JSONResponse(
            {"message": message, "documentation_url": "https://docs.github.com/rest"},
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
        )


class FakeGitHub:
    """What it holds lies open, to be set up and looked at."""

    def __init__(self) -> None:
        self.repositories: dict[str, bool] = {"acme/api": False}
        """Whether each is archived."""
        self.environments = {"acme/api": {"production"}}
        self.organizations = {"acme"}
        self.tokens = {TOKEN: Grant()}
        self.discussions = Discussions()
        self.apps: dict[str, App] = {}
        self.secrets: dict[str, dict[str, Stored]] = {}
        self.keys: dict[str, tuple[str, PrivateKey]] = {}
        self.asked: list[str] = []
        self.scoped: list[dict[str, Any]] = []
        """What tokens of an App were asked to be good for."""
        self.now: Callable[[], float] = time.time
        self.most_at_once = 0
        self._at_once = 0
        self.app = Starlette(
            routes=[Route("/{path:path}", self._serve, methods=["GET", "PUT", "POST", "PATCH", "DELETE"])]
        )

    def held(self, place: str) -> dict[str, str]:
        """Give the secrets of a place, by its path."""
        return {name: stored.value for name, stored in self.secrets.get(place, {}).items()}

    def renew_key(self, place: str) -> None:
        """Replace the key pair of a place, so that whoever still has the public key is refused."""
        number = int(self.keys[place][0]) + 1 if place in self.keys else 568250167242549743
        self.keys[place] = (str(number), PrivateKey.generate())

    async def _serve(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode().partition("?")[0].strip("/").removeprefix("api/").removeprefix("v3/")
        self.asked.append(f"{request.method} {path}")
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)  # so that whoever asks at the same time does
            content = await request.body()
            answer = self._route(request, path.split("/"), json.loads(content) if content else {})
        except Refused as refused:
            answer = refused.response
        except NotFound:
            answer = Refused(404, "Not Found").response
        except TooLong:
            answer = Refused(422, "Validation Failed").response
        finally:
            self._at_once -= 1
        return answer

    def _route(self, request: Request, path: list[str], body: dict[str, Any]) -> Response:
        assert request.headers["accept"] == "application/vnd.github+json"
        assert request.headers["x-github-api-version"] == "2022-11-28"
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        assert scheme == "Bearer"
        if path[-1] == "installation" and path[0] != "installation":
            return self._installation("/".join(path[1:-1]), bearer)
        if path[0] == "app":
            return self._access_token(int(path[2]), bearer, body)
        if bearer not in self.tokens:
            raise Refused(401, "Bad credentials")
        if path == ["installation", "token"]:
            del self.tokens[bearer]
            return Response(status_code=204)
        grant = self.tokens[bearer]
        if path == ["graphql"]:
            return JSONResponse({"data": dict(asked_of_graphql(self.discussions, body, grant.login))})
        home, rest = self._home(path, grant)
        if not rest:
            return self._describe_home(home, grant)
        if rest[0] in {"issues", "commits", "git"}:
            if request.method != "GET" and grant.permissions.get("issues") != "write":
                raise Refused(403, "Resource not accessible by integration")
            return self.discussions.answer(request.method, rest, request.query_params, body, grant.login)
        return self._secrets(request, home, rest, grant, body)

    def _home(self, path: list[str], grant: Grant) -> tuple[str, list[str]]:
        length = 2 if path[0] == "orgs" else 3
        home = "/".join(path[1:length])
        known = self.organizations if path[0] == "orgs" else self.repositories
        if home not in known or (grant.on is not None and home not in grant.on):
            raise Refused(404, "Not Found")
        return "/".join(path[:length]), path[length:]

    def _describe_home(self, home: str, grant: Grant) -> Response:
        kind, _, name = home.partition("/")
        headers = {} if grant.scopes is None else {"X-OAuth-Scopes": grant.scopes}
        if kind == "orgs":
            organization = {**described.example("organization-full"), "login": name, "archived_at": None}
            return JSONResponse(organization, headers=headers)
        about = described.example("full-repository-default-response")
        # What GitHub's example lacks of what its schema asks for.
        about = {**about, "language": None, "source": {**about["source"], "language": None}}
        about |= {"full_name": name, "archived": self.repositories[name], "default_branch": "main"}
        return JSONResponse(about, headers=headers)

    def _secrets(self, request: Request, home: str, rest: list[str], grant: Grant, body: dict[str, Any]) -> Response:
        permission, place = _place(home, rest)
        level = grant.permissions.get(permission)
        if grant.scopes is None and (level is None or (request.method == "PUT" and level != "write")):
            raise Refused(403, "Resource not accessible by personal access token")
        if rest[0] == "environments":
            if unquote(rest[1]) not in self.environments.get(home.partition("/")[2], set()):
                raise Refused(404, "Not Found")
            rest = rest[2:]
            if not rest:
                return JSONResponse({**_ENVIRONMENT, "name": place.rpartition("/")[2]})
        else:
            rest = rest[1:]
        if place not in self.keys:
            self.renew_key(place)
        if rest == ["secrets"]:
            return self._list(place, request)
        if rest == ["secrets", "public-key"]:
            key_id, key = self.keys[place]
            return JSONResponse({"key_id": key_id, "key": base64.b64encode(bytes(key.public_key)).decode()})
        if self.repositories.get(home.partition("/")[2]):
            raise Refused(403, "Repository was archived so is read-only.")
        return self._store(place, rest[1], body)

    def _list(self, place: str, request: Request) -> Response:
        page, size = int(request.query_params.get("page", 1)), int(request.query_params.get("per_page", 30))
        everything = sorted(self.secrets.get(place, {}).items())
        secrets = [
            {"name": name, "created_at": stored.updated, "updated_at": stored.updated, **_shown(stored)}
            for name, stored in everything[(page - 1) * size : page * size]
        ]
        return JSONResponse({"total_count": len(everything), "secrets": secrets})

    def _store(self, place: str, name: str, body: dict[str, Any]) -> Response:
        key_id, key = self.keys[place]
        if body["key_id"] != key_id:
            raise Refused(422, "Bad Request - the key_id is not that of the current public key")
        try:
            opened = SealedBox(key).decrypt(base64.b64decode(body["encrypted_value"])).decode()
        except CryptoError:
            raise Refused(422, "Bad Request - the value is not sealed with the public key") from None
        assert name == name.upper()
        assert not name.startswith("GITHUB_")
        held = self.secrets.setdefault(place, {})
        created = name not in held
        updated = datetime.fromtimestamp(int(self.now()), UTC).isoformat().replace("+00:00", "Z")
        fields = {name: value for name, value in body.items() if name not in {"key_id", "encrypted_value"}}
        held[name] = Stored(opened, updated, fields)
        return JSONResponse({}, 201) if created else Response(status_code=204)

    def _known_app(self, bearer: str) -> App:
        try:
            claimed = jwt.decode(bearer, options={"verify_signature": False})
            known = self.apps[claimed["iss"]]
            claims = jwt.decode(bearer, known.public_key, algorithms=["RS256"], options={"require": ["exp", "iat"]})
        except (jwt.PyJWTError, KeyError):
            raise Refused(401, "A JSON web token could not be decoded") from None
        assert claims["exp"] - claims["iat"] <= 600
        return known

    def _installation(self, home: str, bearer: str) -> Response:
        known = self._known_app(bearer)
        if home not in known.installed:
            raise Refused(404, "Not Found")
        return JSONResponse({**described.example("installation"), "id": known.installed[home]})

    def _access_token(self, installation: int, bearer: str, body: dict[str, Any]) -> Response:
        known = self._known_app(bearer)
        homes = {home for home, each in known.installed.items() if each == installation}
        wanted = body["permissions"]
        if any(known.permissions.get(name) != level for name, level in wanted.items()):
            raise Refused(422, "The permissions requested are not granted to this installation.")
        if "repositories" in body:
            homes = {home for home in homes if home.partition("/")[2] in body["repositories"]}
        self.scoped.append(body)
        token = f"ghs_{len(self.scoped):030}"
        self.tokens[token] = Grant(wanted, on=frozenset(homes))
        expires = datetime.fromtimestamp(int(self.now()) + 3600, UTC).isoformat().replace("+00:00", "Z")
        return JSONResponse({"token": token, "expires_at": expires, "permissions": {**wanted, "metadata": "read"}}, 201)


def _place(home: str, rest: list[str]) -> tuple[str, str]:
    """Give the permission that the secrets of a place need, and its path."""
    if rest[0] == "environments":
        return "environments", f"{home}/environments/{unquote(rest[1])}"
    return ("organization_secrets" if home.startswith("orgs/") else "secrets"), home


def _shown(stored: Stored) -> dict[str, Any]:
    return {name: value for name, value in stored.fields.items() if name == "visibility"}


_ENVIRONMENT: Final = {
    "id": 161088068,
    "node_id": "MDExOkVudmlyb25tZW50MTYxMDg4MDY4",
    "url": "https://api.github.com/repos/acme/api/environments/production",
    "html_url": "https://github.com/acme/api/deployments/activity_log?environments_filter=production",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}
