from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.simulator import State
from support.builders import NOW
from support.simulation import Service, names

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = "/v1/account/keys"


@pytest.fixture
def state() -> Iterator[State]:
    with State(":memory:", clock=lambda: NOW) as opened:
        yield opened


def test_a_status_comes_instead_of_the_effect(state: State) -> None:
    service = Service(state, f"POST {KEYS} status=503 retry-after=2 times=1")
    answer = service.ask("POST", KEYS, {"name": "a"})
    assert answer.status_code == 503
    assert answer.json() == {"error": {"type": "server_error", "message": "a simulated fault"}}
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Date"] == "Sun, 22 Nov 2026 12:00:00 GMT"
    assert state.keys() == ()
    assert service.ask("POST", KEYS, {"name": "a"}).status_code == 201


def test_a_status_afterwards_hides_an_effect_that_is_kept(state: State) -> None:
    answer = Service(state, f"POST {KEYS} status=500 when=after").ask("POST", KEYS, {"name": "a"})
    assert answer.status_code == 500
    assert "Retry-After" not in answer.headers
    assert names(state) == ["a"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (402, "insufficient_quota"),
        (418, "invalid_request_error"),
        (429, "rate_limit_exceeded"),
        (500, "server_error"),
    ],
)
def test_a_status_has_its_documented_type(state: State, status: int, kind: str) -> None:
    answer = Service(state, f"* * status={status}").ask("GET", KEYS)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


@pytest.mark.parametrize(("moment", "kept"), [("before", []), ("after", ["a"])])
def test_a_lost_answer_is_a_broken_connection_to_the_client(state: State, moment: str, kept: list[str]) -> None:
    with pytest.raises(httpx.ReadError, match="the simulator dropped the connection"):
        Service(state, f"POST {KEYS} lose={moment}").ask("POST", KEYS, {"name": "a"})
    assert names(state) == kept


def test_a_lost_answer_breaks_through_plain_httpx_too(state: State) -> None:
    app = Service(state, "* * lose=before").app

    async def call() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            await client.get("https://api.naga.ac/v1/models")

    with pytest.raises(httpx.ReadError):
        asyncio.run(call())


@pytest.mark.parametrize(
    ("body", "media_type", "content"),
    [
        ("html", "text/html", b"<!doctype html>"),
        ("empty", "application/json", b""),
        ("shape", "application/json", b'{"data": '),
        ("cut", "application/json", b'{"id": 1, "name"'),
    ],
)
def test_a_spoilt_answer_keeps_its_status_and_its_effect(
    state: State, body: str, media_type: str, content: bytes
) -> None:
    answer = Service(state, f"POST {KEYS} body={body}").ask("POST", KEYS, {"name": "a"})
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == media_type
    assert answer.content.startswith(content)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert bool(answer.content) == bool(content)
    assert len(state.keys()) == 1


def test_a_cut_answer_is_no_json(state: State) -> None:
    with pytest.raises(ValueError, match=r"."):
        Service(state, "* * body=cut").ask("GET", "/v1/account/balance").json()


def test_a_body_can_go_with_a_status(state: State) -> None:
    answer = Service(state, "* * status=502 body=html").ask("GET", KEYS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert b"<html>" in answer.content


def test_an_answer_without_a_body_cannot_be_spoilt(state: State) -> None:
    state.create_key("a")
    answer = Service(state, "DELETE * body=html").ask("DELETE", f"{KEYS}/1")
    assert (answer.status_code, answer.content) == (204, b"")


def test_an_ignored_field_was_never_sent(state: State) -> None:
    service = Service(state, f"* {KEYS}* ignore=credit_limit")
    assert service.ask("POST", KEYS, {"name": "a", "credit_limit": 5}).json()["credit_limit"] is None
    assert service.ask("PATCH", f"{KEYS}/1", {"name": "b", "credit_limit": 5}).json()["name"] == "b"
    assert state.keys()[0].credit_limit is None


def test_a_rate_answers_429(state: State) -> None:
    service = Service(state, "* * rate=1/h")
    assert service.ask("GET", KEYS).status_code == 200
    answer = service.ask("GET", KEYS)
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_exceeded")
    assert 3_590 <= int(answer.headers["Retry-After"]) <= 3_600


def test_latency_is_waited_for(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("reconciler.simulator.front.asyncio.sleep", sleep)
    assert Service(state, "* * latency=30s").ask("GET", KEYS).status_code == 200
    assert waits == [30.0]


def test_faults_strike_nothing_but_the_service(state: State) -> None:
    service = Service(state, "* * status=500", with_control=True)
    assert service.ask("GET", "/_simulator/requests").status_code == 200


def test_a_server_that_can_is_asked_to_drop_the_connection(state: State) -> None:
    app = Service(state, "* * lose=before").app
    dropped: list[bool] = []
    received = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return received.pop(0)

    async def send(_message: Any) -> None:
        pytest.fail("a lost answer sends nothing")

    async def call() -> None:
        extensions = {"reconciler.drop": lambda: dropped.append(True)}
        await app(
            {
                "type": "http",
                "method": "GET",
                "path": "/v1/models",
                "query_string": b"",
                "headers": [],
                "extensions": extensions,
            },
            receive,
            send,
        )

    asyncio.run(call())
    assert dropped == [True]
    assert received == []
