"""A project of Google's Secret Manager: what it keeps, and how it answers when it does not want to."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from google.oauth2.credentials import Credentials

from reconciler.destinations import gcp
from reconciler.http.connection import open_client
from reconciler.model import Target
from support.descriptions import check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

SECRET = re.compile(r"/v1/projects/acme/secrets/([\w-]+)(?:/versions/(\w+))?(?::(\w+))?")
CREATED = "2026-11-28T11:00:00.123456Z"

Mishap = int | Exception
"""An answer in place of the real one; an exception comes after the request was carried out."""


@dataclass
class Kept:
    annotations: dict[str, str] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    disabled: set[int] = field(default_factory=set)
    etag: int = 1


class FakeGoogle:
    """Answers as the service does, as far as destinations ask; `mishap` may answer in its place."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.granted = list(gcp.NEEDED)
        self.asked: list[str] = []
        self.mishap: Callable[[httpx.Request], Mishap | None] = lambda _: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer ya29.token"
        if request.method != "GET" and "testIam" not in str(request.url):
            self.asked.append(f"{request.method} {request.url.path}")
        mishap = self.mishap(request)
        if isinstance(mishap, int):
            return _error(mishap, f"no, and you sent {request.content.decode()}")
        status, body = self._answer(request, json.loads(request.content or b"{}"))
        response = httpx.Response(status, json=body) if status == 200 else _error(status, "no")
        check("google", request, response)
        if isinstance(mishap, Exception):
            raise mishap
        return response

    def _answer(self, request: httpx.Request, body: dict[str, Any]) -> tuple[int, object]:
        if request.url.path == "/v1/projects/acme/secrets":
            assert body == {"replication": {"automatic": {}}}
            name = request.url.params["secretId"]
            if name in self.kept:
                return 409, None
            self.kept[name] = Kept()
            return 200, self._shown(name)
        match = SECRET.fullmatch(request.url.path)
        assert match, request.url
        name, version, verb = match.groups()
        if name not in self.kept:
            return 404, None
        return self._act(request.method, name, version, verb, body)

    def _act(
        self, method: str, name: str, version: str | None, verb: str | None, body: dict[str, Any]
    ) -> tuple[int, object]:
        kept = self.kept[name]
        match method, version, verb:
            case "GET", None, None:
                return 200, self._shown(name)
            case "GET", "latest", None:
                number = len(kept.versions)
                state = "DISABLED" if number in kept.disabled else "ENABLED"
                found = {"name": f"projects/1/secrets/{name}/versions/{number}", "state": state, "createTime": CREATED}
                return (200, found) if number else (404, None)
            case "POST", None, "addVersion":
                kept.versions.append(base64.b64decode(body["payload"]["data"]).decode())
                number = len(kept.versions)
                return 200, {"name": f"projects/1/secrets/{name}/versions/{number}", "createTime": CREATED}
            case "POST", None, "testIamPermissions":
                return 200, {"permissions": [each for each in body["permissions"] if each in self.granted]}
            case "POST", number, "disable":
                kept.disabled.add(int(str(number)))
                return 200, {}
            case _:
                assert method == "PATCH"
                if body["etag"] != f'"{kept.etag}"':
                    return 409, None
                kept.etag += 1
                kept.annotations = body["annotations"]
                return 200, self._shown(name)

    def _shown(self, name: str) -> dict[str, object]:
        kept = self.kept[name]
        shown: dict[str, object] = {"name": f"projects/1/secrets/{name}", "etag": f'"{kept.etag}"'}
        return {**shown, "annotations": kept.annotations} if kept.annotations else shown


def _error(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": status, "message": message}})


def lead_to(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have destinations log in, and ask this in place of the service."""
    credentials: Any = Credentials
    monkeypatch.setattr("google.auth.default", lambda scopes: (credentials(token="ya29.token", scopes=scopes), None))
    monkeypatch.setattr(gcp, "open_client", lambda url: open_client(url, httpx.MockTransport(google)))
    monkeypatch.delenv(gcp.ENDPOINT, raising=False)


class GcpPlace:
    unusable_names = ("naga.key", "naga key")

    def __init__(self, _folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._google = FakeGoogle()
        lead_to(self._google, monkeypatch)
        self.target = Target("google", "gcp-secret-manager", (("project", "acme"),))

    def held(self) -> dict[str, str]:
        return {name: kept.versions[-1] for name, kept in self._google.kept.items() if kept.versions}

    def traces(self) -> object:
        return list(self._google.asked)

    def break_down(self) -> None:
        self._google.mishap = lambda _: 403
