"""What is asked of GitHub, and what the fake answers, is as GitHub describes its API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError

from reconciler.destinations.base import Held
from reconciler.units import parse_instant
from support.github import cut, described
from support.github.transport import Mishap
from support.github.world import World, secret_delivery

if TYPE_CHECKING:
    from reconciler.model import Setting

PUT = "https://api.github.com/repos/acme/api/actions/secrets/NAGA_API"
GOOD = {"encrypted_value": "c2VjcmV0", "key_id": "1"}
PLACES: list[dict[str, Setting]] = [
    {"repository": "acme/api"},
    {"repository": "acme/api", "environment": "production"},
    {"organization": "acme", "visibility": "selected", "selected_repositories": ("1", "2")},
]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_the_description_is_one() -> None:
    OpenAPI.from_dict(described.document()).check_spec()


def test_the_description_is_what_the_script_cuts_from_it() -> None:
    document = described.document()
    source = document["info"]["description"].removeprefix("Cut from ").partition(";")[0]
    assert cut.cut(document, source) == document
    assert {path: tuple(each) for path, each in document["paths"].items()} == cut.OPERATIONS


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("PUT", PUT, {"encrypted_value": "c2VjcmV0"}),
        ("PUT", PUT, {**GOOD, "encrypted_value": "no base64!"}),
        ("PUT", PUT, {**GOOD, "key_id": 1}),
        ("PUT", "https://api.github.com/orgs/acme/actions/secrets/NAGA_API", GOOD),
        ("PUT", "https://api.github.com/repos/acme/api/secrets/NAGA_API", GOOD),
        ("POST", PUT, GOOD),
    ],
)
def test_a_request_that_is_not_as_described_is_seen(method: str, url: str, body: dict[str, Any]) -> None:
    described.check(httpx.Request("PUT", PUT, json=GOOD), httpx.Response(204))
    with pytest.raises(OpenAPIError):
        described.check(httpx.Request(method, url, json=body), httpx.Response(204))


@pytest.mark.parametrize("content", [{"key": "x"}, {"key": 1, "key_id": "1"}, []])
def test_an_answer_that_is_not_as_described_is_seen(content: object) -> None:
    request = httpx.Request("GET", "https://api.github.com/repos/acme/api/actions/secrets/public-key")
    described.check(request, httpx.Response(200, json={"key": "x", "key_id": "1"}))
    with pytest.raises(OpenAPIError):
        described.check(request, httpx.Response(200, json=content))


def test_a_success_that_nobody_described_is_seen() -> None:
    with pytest.raises(AssertionError):
        described.check(httpx.Request("PUT", PUT, json=GOOD), httpx.Response(202))


@pytest.mark.parametrize("settings", PLACES)
def test_everything_that_is_asked_and_answered_is_as_described(world: World, settings: dict[str, Any]) -> None:
    destination = world.open(**settings)

    async def run() -> None:
        await destination.preflight(["NAGA_API"])
        await destination.deliver(secret_delivery())
        await destination.deliver(secret_delivery())
        await destination.describe(["NAGA_API"])
        await destination.aclose()

    world.run(run())
    assert len(world.way.asked) == 6


def test_the_examples_of_github_itself_are_understood(world: World) -> None:
    example = described.example("actions-secret-paginated")
    world.way.expect("secrets?", Mishap(200, content=json.dumps(example)))
    held = world.run(world.repository().describe(["GH_TOKEN", "GIST_ID", "NONE"]))
    times = {each["name"]: each["updated_at"] for each in example["secrets"]}
    assert held == {name: Held(None, parse_instant(times[name])) for name in ("GH_TOKEN", "GIST_ID")}


def test_a_server_of_ones_own_has_its_api_below_a_folder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "https://github.example.com/api/v3")
    world.way.base = "/api/v3"
    destination = world.repository(environment="production")
    world.run(destination.preflight(["NAGA_API"]))
    world.deliver(destination)
    hosts = {(request.url.host, request.url.path[:8]) for request in world.way.asked}
    assert hosts == {("github.example.com", "/api/v3/")}
    assert len(world.fake.secrets) == 1
