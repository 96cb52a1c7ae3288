"""Holds requests and answers against GitHub's own description of its API."""

from __future__ import annotations

import functools
import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.templating.responses.exceptions import ResponseNotFound

if TYPE_CHECKING:
    import httpx

DESCRIPTION: Final = Path(__file__).parent / "openapi.json"
HOST: Final = "https://api.github.com"


@functools.cache
def document() -> dict[str, Any]:
    """Give the description as data."""
    parsed: dict[str, Any] = json.loads(DESCRIPTION.read_text("utf-8"))
    return parsed


def example(name: str) -> dict[str, Any]:
    """Give one of the answers that the description shows, as a copy."""
    value: dict[str, Any] = document()["components"]["examples"][name]["value"]
    return dict(value)


def examples(name: str) -> list[dict[str, Any]]:
    """Give a list that the description shows, as a copy."""
    value: list[dict[str, Any]] = document()["components"]["examples"][name]["value"]
    return [dict(each) for each in value]


class _Request:
    """A request as the validator wants it."""

    def __init__(self, request: httpx.Request, base: str) -> None:
        self.host_url = HOST
        self.path = request.url.raw_path.decode().partition("?")[0].removeprefix(base)
        self.method = request.method.lower()
        self.content_type = request.headers.get("Content-Type", "")
        self.body = request.content or None
        query: Any = dict(request.url.params)
        headers: Any = dict(request.headers)
        self.parameters = RequestParameters(query=query, header=headers)


class _Answer:
    """An answer as the validator wants it."""

    def __init__(self, response: httpx.Response) -> None:
        self.status_code = response.status_code
        self.content_type = response.headers.get("Content-Type", "")
        self.headers: Any = dict(response.headers)
        self.data = response.content


@functools.cache
def _openapi() -> OpenAPI:
    return OpenAPI.from_dict(document())


def check(request: httpx.Request, response: httpx.Response, base: str = "") -> None:
    """Fail unless the request is as described, and the answer to it; few refusals are described at all."""
    if request.url.path.endswith("/graphql"):  # described in a language of its own
        assert set(json.loads(request.content)) == {"query", "variables"}
        return
    asked, answered = _Request(request, base), _Answer(response)
    if response.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
        _openapi().validate_request(asked)
    try:
        _openapi().validate_response(asked, answered)
    except ResponseNotFound:
        assert response.is_error, f"{request.method} {request.url} is not answered with {response.status_code}"
