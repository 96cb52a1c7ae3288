"""A GitLab: projects and groups with their variables, and tokens that may do more or less; python-gitlab drives it too.

It answers as the REST documentation says and GitLab's own code does, as far as destinations and merge requests ask.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx
import requests
from requests.adapters import BaseAdapter

from reconciler.forge import gitlab
from reconciler.http.connection import open_client
from reconciler.model import Target
from support.servers import answering

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest

URL: Final = "https://gitlab.example.com"
TOKEN: Final = "glpat-the-token-of-a-maintainer"
REPORTER: Final = 20
MAINTAINER: Final = 40
_MASKABLE: Final = re.compile(r"[A-Za-z0-9_:@.~+/=-]{8,}")

Mishap = int | Exception
"""An answer in place of the real one; an exception comes after the request was carried out."""


@dataclass
class Grant:
    """What a token may do, and whose it is."""

    role: int = MAINTAINER
    scopes: tuple[str, ...] = ("api",)
    username: str = "project_1_bot"


@dataclass
class MergeRequest:
    """A merge request; its commits, notes and what became of it."""

    iid: int
    sha: str
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    target_project_id: int = 11
    target_branch: str = "main"
    notes: list[dict[str, Any]] = field(default_factory=list)

    def has(self, commit: str) -> bool:
        return commit in {self.sha, self.merge_commit_sha, self.squash_commit_sha}

    def shown(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "notes"}


@dataclass
class Home:
    """A project or a group; `variables` by name and scope."""

    id: int
    variables: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    archived: bool = False
    branch: str | None = "main"
    tips: dict[str, str] = field(default_factory=dict)
    merge_requests: dict[int, MergeRequest] = field(default_factory=dict)


class Refused(Exception):  # an answer
    def __init__(self, status: int, said: object) -> None:
        super().__init__(status, said)
        self.status, self.body = status, {"message": said}


class FakeGitLab:
    """Answers as GitLab does; `mishap` may answer in its place."""

    def __init__(self) -> None:
        self.homes = {"projects/acme/api": Home(11), "groups/acme": Home(21)}
        self.grants = {TOKEN: Grant()}
        self.changed: list[str] = []
        self.now, self.count = "2026-11-28T10:00:00.123Z", 0
        self.hides = self.scopes = True
        """What editions and versions differ in."""
        self.mishap: Callable[[str, str], Mishap | None] = lambda _, __: None

    def variables(self, home: str = "projects/acme/api") -> dict[tuple[str, str], dict[str, Any]]:
        return self.homes[home].variables

    def __call__(self, request: httpx.Request) -> httpx.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        status, body, headers = self.answer(request.method, str(request.url), token, request.content)
        return httpx.Response(status, headers=headers, content=body)

    def answer(self, method: str, url: str, token: str, content: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(url)
        path = parts.path.removeprefix("/api/v4/")
        mishap = self.mishap(method, path)
        if isinstance(mishap, int):
            return mishap, json.dumps({"message": f"no, and you sent {content.decode()}"}).encode(), {}
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            grant = self._grant(token, method)
            status, found = self._route(method, path.split("/"), query, json.loads(content or b"{}"), grant)
        except Refused as refused:
            status, found = refused.status, refused.body
        if isinstance(mishap, Exception):
            raise mishap
        headers = {}
        if isinstance(found, list):
            page, size = int(query.get("page", 1)), int(query.get("per_page", 20))
            headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Total": str(len(found))}
            if page * size < len(found):
                following = urlencode({**query, "page": page + 1, "per_page": size})
                headers["Link"] = f'<{url.partition("?")[0]}?{following}>; rel="next"'
            found = found[(page - 1) * size : page * size]
        return status, b"" if found is None else json.dumps(found).encode(), headers

    def _grant(self, token: str, method: str) -> Grant:
        if token not in self.grants:
            raise Refused(401, "401 Unauthorized")
        grant = self.grants[token]
        if not {"api", *(["read_api"] if method == "GET" else [])} & {*grant.scopes}:
            raise Refused(403, "403 Forbidden")
        return grant

    def _route(
        self, method: str, path: list[str], query: Mapping[str, str], body: dict[str, Any], grant: Grant
    ) -> tuple[int, object]:
        match method, path:
            case "GET", ["user"]:
                return 200, {"id": 1, "username": grant.username}
            case "GET", ["personal_access_tokens", "self"]:
                return 200, {"id": 1, "scopes": [*grant.scopes], "active": True}
            case _, [("projects" | "groups") as kind, home, *rest]:
                name = self._by_id(f"{kind}/{unquote(home)}")
                if name not in self.homes:
                    raise Refused(404, f"404 {kind.removesuffix('s').capitalize()} Not Found")
                return self._in_home(method, name, rest, query, body, grant)
            case _:
                raise Refused(404, "404 Not Found")

    def _by_id(self, name: str) -> str:
        """Give the name of a home that may be named by its id."""
        return next((each for each, home in self.homes.items() if f"{each.partition('/')[0]}/{home.id}" == name), name)

    def _in_home(  # what a request is made of
        self, method: str, home: str, rest: list[str], query: Mapping[str, str], body: dict[str, Any], grant: Grant
    ) -> tuple[int, object]:
        match method, rest:
            case "GET", []:
                itself = self.homes[home]
                return 200, {"id": itself.id, "archived": itself.archived, "default_branch": itself.branch}
            case "GET", ["repository", "branches", branch] if unquote(branch) in self.homes[home].tips:
                return 200, {"name": unquote(branch), "commit": {"id": self.homes[home].tips[unquote(branch)]}}
            case "GET", ["repository", "commits", commit, "merge_requests"]:
                return 200, [each.shown() for each in self.homes[home].merge_requests.values() if each.has(commit)]
            case _, ["merge_requests", number, "notes", *note]:
                if grant.role < REPORTER:
                    raise Refused(403, "403 Forbidden")
                if int(number) not in self.homes[home].merge_requests:
                    raise Refused(404, "404 Not found")
                notes = self.homes[home].merge_requests[int(number)].notes
                return self._note(method, notes, note, body, grant)
            case _, ["variables", *name]:
                if grant.role < MAINTAINER:
                    raise Refused(403, "403 Forbidden")
                return self._variable(method, home, name, query, body)
            case _:
                raise Refused(404, "404 Not Found")

    def _note(
        self, method: str, notes: list[dict[str, Any]], note: list[str], body: dict[str, Any], grant: Grant
    ) -> tuple[int, object]:
        if not note:
            return (200, notes) if method == "GET" else (201, self.say(notes, grant.username, body["body"]))
        found = next((each for each in notes if str(each["id"]) == note[0]), None)
        if found is None:
            raise Refused(404, "404 Not found")
        if found["author"]["username"] != grant.username and grant.role < MAINTAINER:
            raise Refused(403, "403 Forbidden")
        self.changed.append(f"{method} note {note[0]}")
        if method == "DELETE":
            notes.remove(found)
            return 204, None
        found |= {"body": body["body"].rstrip(), "updated_at": self.now}
        return 200, found

    def say(self, notes: list[dict[str, Any]], author: str, body: str, **fields: object) -> dict[str, Any]:
        """Write a note, as an API call does or a person."""
        self.count += 1
        self.changed.append(f"POST note {self.count}")
        times = {"created_at": self.now, "updated_at": self.now, "system": False}
        made = {"id": self.count, "body": body.rstrip(), "author": {"username": author}, **times, **fields}
        notes.append(made)
        return made

    def _variable(
        self, method: str, home: str, name: list[str], query: Mapping[str, str], body: dict[str, Any]
    ) -> tuple[int, object]:
        variables = self.variables(home)
        if not name:
            if method == "GET":
                return 200, [_shown(each) for each in variables.values()]
            return 201, self._created(home, body)
        key = (name[0], query.get("filter[environment_scope]", "*"))
        if key not in variables:
            raise Refused(404, "404 Variable Not Found")
        if method == "PUT":
            self.changed.append(f"PUT {key[0]} {key[1]}")
            _checked(body)
            variables[key] |= {
                each: value for each, value in body.items() if each in variables[key] and each != "hidden"
            }
        elif method == "DELETE":
            self.changed.append(f"DELETE {key[0]} {key[1]}")
            del variables[key]
            return 204, None
        return 200, _shown(variables[key])

    def _created(self, home: str, body: dict[str, Any]) -> dict[str, Any]:
        _checked(body)
        scope = body.get("environment_scope", "*") if self.scopes or home.startswith("projects") else "*"
        key = (body["key"], scope)
        if key in self.variables(home):
            raise Refused(400, {"key": [f"({body['key']}) has already been taken"]})
        self.changed.append(f"POST {key[0]} {key[1]}")
        hidden = self.hides and body.get("masked_and_hidden", False)
        made = {
            "variable_type": "env_var",
            "key": body["key"],
            "value": body["value"],
            "protected": body.get("protected", False),
            "masked": body.get("masked", False) or hidden,
            "raw": body.get("raw", False),
            "environment_scope": scope,
            "description": body.get("description"),
            **({"hidden": hidden} if self.hides else {}),
        }
        self.variables(home)[key] = made
        return _shown(made)


def _checked(body: Mapping[str, Any]) -> None:
    if body.get("masked") and not _MASKABLE.fullmatch(str(body["value"])):
        raise Refused(400, {"value": ["is invalid"]})
    if len(body.get("description") or "") > 255:
        raise Refused(400, {"description": ["is too long (maximum is 255 characters)"]})


def _shown(variable: Mapping[str, Any]) -> dict[str, Any]:
    """Show a variable; the value of a hidden one to nobody."""
    return {**variable, "value": None} if variable.get("hidden") else dict(variable)


class Driven(BaseAdapter):
    """Leads python-gitlab's own client to the fake."""

    def __init__(self, fake: FakeGitLab) -> None:
        super().__init__()
        self._fake = fake

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        content = request.body.encode() if isinstance(request.body, str) else bytes(request.body or b"")
        token = str(request.headers.get("PRIVATE-TOKEN"))
        status, body, headers = self._fake.answer(str(request.method), str(request.url), token, content)
        response = requests.Response()
        response.status_code, response.reason, response.request = status, HTTPStatus(status).phrase, request
        response.url = str(request.url)
        response.headers.update({"Content-Type": "application/json", **headers})
        response.raw = io.BytesIO(body)
        return response

    def close(self) -> None: ...


def served(fake: FakeGitLab) -> AbstractContextManager[str]:
    """Let other processes ask it; gives its address."""
    return answering(
        lambda method, path, headers, content: fake.answer(
            method, path, headers.get("Authorization", "").removeprefix("Bearer "), content
        )
    )


def lead_to(fake: FakeGitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment name this GitLab."""
    monkeypatch.setenv("GITLAB_URL", URL)
    monkeypatch.setenv("GITLAB_TOKEN", TOKEN)
    monkeypatch.setattr(gitlab, "open_client", lambda url: open_client(url, httpx.MockTransport(fake)))


class GitLabPlace:
    unusable_names = ("NAGA-KEY", "CI_JOB_TOKEN")

    def __init__(self, _folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gitlab = FakeGitLab()
        lead_to(self._gitlab, monkeypatch)
        self.target = Target("gitlab", "gitlab-ci", (("environment_scope", "production"), ("project", "acme/api")))

    def held(self) -> dict[str, str]:
        return {key: each["value"] for (key, _), each in self._gitlab.variables().items()}

    def traces(self) -> object:
        return list(self._gitlab.changed)

    def break_down(self) -> None:
        self._gitlab.mishap = lambda method, _: None if method == "GET" else 403
