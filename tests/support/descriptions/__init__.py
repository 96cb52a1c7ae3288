"""Holds what is asked of a fake, and what it answers, against what the real system publishes of its API."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    import httpx
    import httpx2


@functools.cache
def _description(name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text("utf-8"))
    return described


def check(name: str, request: httpx.Request | httpx2.Request, response: httpx.Response | httpx2.Response) -> None:
    """Hold a request, and its answer where it is a success, against the description of this name."""
    described = _description(name)
    (operation,) = (each for each in described["operations"] if _is_of(each, request.method, request.url.path))
    unknown = {*request.url.params} - {*operation["query"]}
    kind = request.headers.get("Content-Type") if request.content else None
    if unknown or (kind and kind not in operation["types"]):
        pytest.fail(f"{request.method} {request.url} takes no {unknown or kind}")
    if request.content:
        _conform(json.loads(request.content), operation["request"], described)
    if response.is_success:
        _conform(response.json(), operation["response"], described)


def _is_of(operation: dict[str, Any], method: str, path: str) -> bool:
    template = re.sub(r"\\\{\w+\\\}", r"[^/:]+", re.escape(operation["path"]))
    return bool(operation["method"] == method and re.fullmatch(template, path))


def _conform(value: object, schema: str, described: dict[str, Any]) -> None:
    validator = Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": described["$defs"]})
    for error in validator.iter_errors(value):
        pytest.fail(f"{schema}: {error.json_path}: {error.message}")  # no Exception, which a destination would catch
