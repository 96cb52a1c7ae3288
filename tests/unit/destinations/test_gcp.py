"""What the contract of destinations does not say of Google's Secret Manager."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import google.auth
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from reconciler.destinations import gcp
from reconciler.destinations.base import Held, SecretDelivery
from reconciler.destinations.gcp import MOST_NOTES, GcpSecretManager
from reconciler.errors import DestinationError
from reconciler.http.connection import open_client
from reconciler.http.exchange import Answer
from reconciler.http.retry import Timing
from reconciler.model import Address, Target
from reconciler.secret import Secret
from reconciler.units import parse_instant
from support.places.gcp import CREATED, FakeGoogle, Kept, lead_to

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

SECRET = "ng-THISMUSTNEVERBESHOWN0000000000000"
TARGET = Target("google", "gcp-secret-manager", (("project", "acme"),))
SINCE = parse_instant(f"{CREATED[:19]}Z")


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeGoogle:
    service = FakeGoogle()
    lead_to(service, monkeypatch)
    return service


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def opened() -> GcpSecretManager:
    return GcpSecretManager(TARGET, Timing(sleep=at_once))


def delivered(key_id: int, secret: str = SECRET, name: str = "naga-api") -> None:
    async def deliver() -> None:
        destination = opened()
        await destination.deliver(SecretDelivery(Address("production", "api"), key_id, name, Secret(secret)))
        await destination.aclose()
        await destination.aclose()

    run(deliver())


def failure(name: str = "naga-api", secret: str = SECRET) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        delivered(7, secret, name)
    assert SECRET not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("project", ["", "a/b", "../b", 7, None])
def test_a_project_is_no_path(project: Any) -> None:
    with pytest.raises(DestinationError, match="project"):
        GcpSecretManager(Target("google", "gcp-secret-manager", (("project", project),)))


def test_each_version_says_whose_it_is(service: FakeGoogle) -> None:
    service.kept["naga-api"] = Kept({"team": "x", "naga-vX": "y", "naga-v1": "z"})
    delivered(7)
    delivered(8, "ng-8")
    notes = service.kept["naga-api"].annotations
    assert [*notes] == ["team", "naga-vX", "naga-v1", "naga-v2"]
    assert notes["naga-v2"].startswith("key_id=8 since=2026-11-28T11:00:00Z sha256=")
    assert SECRET not in str(notes)
    assert run(opened().describe(["naga-api", "naga-jobs", "no name"])) == {"naga-api": Held(8, SINCE)}


def test_a_version_of_somebody_else_is_of_no_known_key(service: FakeGoogle) -> None:
    delivered(7)
    service.kept["naga-api"].versions.append("theirs")
    service.kept["empty"] = Kept()
    assert run(opened().describe(["naga-api", "empty"])) == {"naga-api": Held(None, SINCE)}
    service.kept["naga-api"].annotations["naga-v2"] = f"key_id=9 since=then sha256={'0' * 64} address=a/b"
    assert run(opened().describe(["naga-api"])) == {"naga-api": Held(9, None)}
    service.kept["naga-api"].disabled.add(2)
    assert run(opened().describe(["naga-api"])) == {}


def test_annotations_keep_to_the_newest_versions(service: FakeGoogle) -> None:
    for key_id in range(MOST_NOTES + 2):
        delivered(key_id)
    notes = service.kept["naga-api"].annotations
    assert len(notes) == MOST_NOTES
    assert f"naga-v{MOST_NOTES + 2}" in notes


def test_the_version_of_a_key_that_ended_is_disabled_and_no_other(service: FakeGoogle) -> None:
    delivered(7)
    delivered(8)
    run(opened().ended("naga-api", 7))
    assert service.kept["naga-api"].disabled == {1}
    assert [*service.kept["naga-api"].annotations] == ["naga-v2"]
    before = list(service.asked)
    run(opened().ended("naga-api", 7))
    run(opened().ended("naga-none", 7))
    run(opened().preflight(["naga-api"]))
    assert service.asked == before


@pytest.mark.parametrize("lost", ["addVersion", "naga-api", "secrets"])
@pytest.mark.parametrize("mishap", [503, 429, httpx.ReadError("gone"), httpx.ConnectError("refused")])
def test_what_passes_is_tried_again(service: FakeGoogle, lost: str, mishap: int | Exception) -> None:
    once = [mishap]
    service.mishap = lambda request: (
        once.pop() if once and request.method != "GET" and request.url.path.endswith(lost) else None
    )
    delivered(7)
    assert set(service.kept["naga-api"].versions) == {SECRET}
    assert run(opened().describe(["naga-api"])) == {"naga-api": Held(7, SINCE)}


@pytest.mark.parametrize(
    ("method", "mishap", "uncertain"),
    [("POST", 503, True), ("POST", 403, False), ("POST", httpx.ReadError(""), True), ("PATCH", 403, True)],
)
def test_a_failure_says_whether_the_secret_may_be_there(
    service: FakeGoogle, method: str, mishap: int | Exception, *, uncertain: bool
) -> None:
    service.kept["naga-api"] = Kept()
    service.mishap = lambda request: mishap if request.method == method else None
    assert failure().uncertain is uncertain


def test_an_answer_that_cannot_be_read_is_asked_for_again(service: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [b"[]", b"<html>", b'{"error": "no"}']

    def odd(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("addVersion") and bodies:
            return httpx.Response(500, content=bodies.pop())
        return service(request)

    monkeypatch.setattr(gcp, "open_client", lambda url: open_client(url, httpx.MockTransport(odd)))
    delivered(7)
    assert service.kept["naga-api"].versions == [SECRET]


def test_a_login_can_look_at_the_headers_of_an_answer() -> None:
    assert gcp._Response(Answer(200, headers={"retry-after": "7"})).headers["retry-after"] == "7"


def test_a_secret_that_is_no_text_is_not_sent(service: FakeGoogle) -> None:
    assert not failure(secret="\ud800").uncertain
    assert service.asked == []


def test_preflight_asks_what_the_login_may_do(service: FakeGoogle) -> None:
    service.kept["naga-api"] = Kept()
    service.granted.remove("secretmanager.versions.add")
    with pytest.raises(DestinationError, match=r"lacks secretmanager\.versions\.add on naga-api"):
        run(opened().preflight(["naga-api", "naga-jobs"]))
    service.mishap = lambda _: 403
    with pytest.raises(DestinationError, match="403"):
        run(opened().preflight(["naga-api"]))


@pytest.mark.parametrize("endpoint", ["http://example.com", "ftp://x", "https://"])
def test_a_token_goes_to_no_endpoint_in_the_clear(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv(gcp.ENDPOINT, endpoint)
    with pytest.raises(DestinationError, match=gcp.ENDPOINT):
        run(opened().preflight(["naga-api"]))


def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
    with pytest.raises(DestinationError, match="PROXY"):
        run(opened().preflight(["naga-api"]))


def test_nothing_to_log_in_with_is_told(service: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(scopes: list[str]) -> None:
        error: Any = google.auth.exceptions.DefaultCredentialsError
        raise error(str(scopes))

    monkeypatch.setattr("google.auth.default", nobody)
    with pytest.raises(DestinationError, match="application-default"):
        run(opened().preflight(["naga-api"]))
    assert service.asked == []


@pytest.mark.parametrize("answer", [200, 401, httpx.ConnectError("refused")])
def test_a_service_account_logs_in_by_our_own_requests(
    service: FakeGoogle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: int | Exception
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "client_email": "reconciler@acme.iam.gserviceaccount.com",
        "private_key": pem,
        "token_uri": "https://oauth2.example/token",
        "project_id": "acme",
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account), "utf-8")

    def token(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://oauth2.example/token"
        if isinstance(answer, Exception):
            raise answer
        body = {"access_token": "ya29.token", "expires_in": 3600}
        return httpx.Response(answer, json=body if answer == 200 else {"error": "invalid_grant"})

    monkeypatch.undo()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    there = {gcp.HOST: service}
    monkeypatch.setattr(gcp, "open_client", lambda url: open_client(url, httpx.MockTransport(there.get(url, token))))
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
    if answer == 200:
        delivered(7)
        assert service.kept["naga-api"].versions == [SECRET]
    else:
        assert "log in" in str(failure())
