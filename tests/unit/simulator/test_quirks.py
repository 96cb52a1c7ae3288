"""What the simulator does where the documentation is silent."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.simulator import State
from reconciler.simulator.quirks import SPELLINGS
from support.builders import NOW
from support.simulation import PROVISIONING, Service, names

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = "/v1/account/keys"
ONE = f"{KEYS}/1"
SOON = "2026-11-22T12:02:00Z"


class Clock:
    def __init__(self) -> None:
        self.now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> Iterator[State]:
    with State(":memory:", clock=clock) as opened:
        yield opened


def listed(service: Service) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = service.ask("GET", KEYS).json()["keys"]
    return keys


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("pages=2", {"keys": [3, 2]}),
        ("pages=2,oldest", {"keys": [1, 2]}),
        ("pages=2,has_more,total", {"keys": [3, 2], "has_more": True, "total": 3}),
        ("pages=2,next", {"keys": [3, 2], "next": f"https://api.naga.ac{KEYS}?offset=2"}),
        ("pages=2,cursor,data", {"data": [3, 2], "next_cursor": "2"}),
        ("pages=3,has_more,next,cursor", {"keys": [3, 2, 1], "has_more": False, "next": None, "next_cursor": None}),
    ],
)
def test_a_list_in_pages_is_cut_and_says_so_or_not(state: State, spec: str, expected: dict[str, Any]) -> None:
    for name in "abc":
        state.create_key(name)
    answer = Service(state, spec).ask("GET", KEYS).json()
    assert {name: [k["id"] for k in v] if isinstance(v, list) else v for name, v in answer.items()} == expected


@pytest.mark.parametrize(("size", "link"), [(2, f'<https://api.naga.ac{KEYS}?offset=2>; rel="next"'), (3, None)])
def test_a_header_can_say_that_there_is_another_page(state: State, size: int, link: str | None) -> None:
    for name in "abc":
        state.create_key(name)
    assert Service(state, f"pages={size},link").ask("GET", KEYS).headers.get("Link") == link


def test_the_next_page_can_be_had(state: State) -> None:
    for name in "abc":
        state.create_key(name)
    service = Service(state, "pages=2")
    assert [key["id"] for key in service.ask("GET", f"{KEYS}?offset=2").json()["keys"]] == [1]
    assert [key["id"] for key in service.ask("GET", f"{KEYS}?offset=x").json()["keys"]] == [3, 2]


def test_a_list_that_lags_shows_what_was(state: State, clock: Clock) -> None:
    service = Service(state, "lag=2s")
    clock.passes(10)
    state.create_key("a", Decimal(1))
    state.create_key("b")
    clock.passes(1)
    assert listed(service) == []
    assert len(state.keys()) == 2
    clock.passes(1)
    state.update_key(1, name="c", credit_limit=None)
    state.update_key(1, name="d")
    state.delete_key(2)
    assert [(key["name"], key["credit_limit"]) for key in listed(service)] == [("a", 1), ("b", None)]
    assert service.ask("GET", ONE).json()["name"] == "d"
    clock.passes(2)
    assert [key["name"] for key in listed(service)] == ["d"]


def test_one_key_lags_where_it_is_told_to(state: State, clock: Clock) -> None:
    service = Service(state, f"GET {KEYS}/* lag=2s")
    state.create_key("a")
    assert service.ask("GET", ONE).status_code == 404
    clock.passes(2)
    assert service.ask("GET", ONE).json()["name"] == "a"


def test_a_clock_that_is_turned_back_takes_no_change_back(state: State, clock: Clock) -> None:
    state.create_key("a")
    state.travel(timedelta(days=-1))
    clock.passes(2)
    assert [key["name"] for key in listed(Service(state, "lag=2s"))] == ["a"]


def test_what_was_is_forgotten_at_some_time(state: State, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.simulator.state._MOST_REMEMBERED", 1)
    clock.passes(1)
    state.create_key("a")
    state.create_key("b")
    assert [key["name"] for key in listed(Service(state, "lag=1s"))] == ["a"]


def test_a_late_key_comes_when_nobody_waits_for_it_any_more(state: State, clock: Clock) -> None:
    service = Service(state, "late=3s times=1")
    with pytest.raises(httpx.ReadError):
        service.ask("POST", KEYS, {"name": "late", "credit_limit": 5})
    assert service.ask("POST", KEYS, {"name": "a"}).json()["id"] == 1
    assert names(state) == ["a"]
    clock.passes(3)
    assert state.key(2) is not None
    keys = state.keys()
    assert [(key.name, key.created_at) for key in keys] == [("a", NOW), ("late", NOW + timedelta(seconds=3))]


def test_a_late_key_lags_as_others_do(state: State, clock: Clock) -> None:
    state.create_key_late(timedelta(seconds=3), "late")
    clock.passes(4)
    assert listed(Service(state, "lag=2s")) == []
    assert len(listed(Service(state, "lag=1s"))) == 1


def test_a_late_key_that_is_refused_never_comes(state: State, clock: Clock) -> None:
    with pytest.raises(httpx.ReadError):
        Service(state, "late=3s").ask("POST", KEYS, {"name": ""})
    clock.passes(5)
    assert state.keys() == ()


@pytest.mark.parametrize(
    ("specs", "models", "chat"),
    [
        ((), 401, 401),
        (("blind-models",), 200, 401),
        (("blind-chat",), 401, 400),
        (("trial=404",), 404, 404),
    ],
)
def test_what_a_wrong_key_is_told_when_it_is_tried(
    state: State, specs: tuple[str, ...], models: int, chat: int
) -> None:
    service = Service(state, *specs)
    assert service.ask("GET", "/v1/models", bearer="ng-wrong").status_code == models
    assert service.ask("POST", "/v1/chat/completions", {}, bearer="ng-wrong").status_code == chat
    assert service.ask("GET", KEYS).status_code == 200


def test_a_key_that_works_is_told_what_its_request_lacks(state: State) -> None:
    secret = state.create_key("a")[1].reveal()
    for body in ({}, {"model": "gpt-4o"}):
        answer = Service(state).ask("POST", "/v1/chat/completions", body, bearer=secret)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [
        ("other", 200, '{"success": true, "message": "API key updated"}'),
        ("junk", 200, "OK"),
        ("204", 204, ""),
    ],
)
def test_a_change_that_is_done_can_be_answered_oddly(state: State, kind: str, status: int, content: str) -> None:
    state.create_key("a")
    answer = Service(state, f"odd-patch={kind}").ask("PATCH", ONE, {"name": "b"})
    assert (answer.status_code, answer.text) == (status, content)
    assert names(state) == ["b"]


def test_a_change_can_be_answered_with_the_key_as_it_was(state: State) -> None:
    state.create_key("a")
    assert Service(state, "odd-patch=old").ask("PATCH", ONE, {"name": "b"}).json()["name"] == "a"
    assert names(state) == ["b"]


def test_an_odd_answer_is_given_for_keys_that_are_there(state: State) -> None:
    for method in ("PATCH", "DELETE"):
        assert Service(state, "odd-patch=old", "odd-delete=error").ask(method, ONE, {}).status_code == 404


@pytest.mark.parametrize(
    ("kind", "status", "member", "left"),
    [("body", 200, "message", []), ("202", 202, None, []), ("error", 200, "error", ["a"])],
)
def test_a_deletion_can_be_answered_oddly(
    state: State, kind: str, status: int, member: str | None, left: list[str]
) -> None:
    state.create_key("a")
    answer = Service(state, f"odd-delete={kind}").ask("DELETE", ONE)
    assert answer.status_code == status
    assert list(answer.json() if answer.content else ()) == ([member] if member else [])
    assert names(state) == left


@pytest.mark.parametrize(
    ("specs", "field", "single", "in_list"),
    [
        ((), "credit_limit", 80.25, 80.25),
        (("text-amounts",), "credit_limit", "80.25", "80.25"),
        (("noise",), "credit_limit", 80.24999999999999, 80.24999999999999),
        (("noise", "text-amounts"), "credit_limit", "80.24999999999999", "80.24999999999999"),
        (("zoneless",), "expires_at", "2026-11-22T13:00:00", "2026-11-22T13:00:00"),
        (("zoneless",), "created_at", "2026-11-22T12:00:00", "2026-11-22T12:00:00"),
        (("micros",), "created_at", "2026-11-22T12:00:00.123456Z", "2026-11-22T12:00:00Z"),
        (("micros",), "expires_at", "2026-11-22T13:00:00.123456Z", "2026-11-22T13:00:00Z"),
        (("micros=list",), "created_at", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00.123456Z"),
    ],
)
def test_values_can_be_spelt_in_other_ways(
    state: State, specs: tuple[str, ...], field: str, single: object, in_list: object
) -> None:
    state.create_key("a", Decimal("80.25"), NOW + timedelta(hours=1))
    service = Service(state, *specs)
    assert service.ask("GET", ONE).json()[field] == single
    assert service.ask("PATCH", ONE, {}).json()[field] == single
    assert listed(service)[0][field] == in_list


def test_what_is_not_there_stays_null(state: State) -> None:
    key = Service(state, "text-amounts", "noise", "zoneless", "micros").ask("POST", KEYS, {"name": "a"}).json()
    assert (key["credit_limit"], key["expires_at"]) == (None, None)


def test_an_expired_key_can_become_disabled_or_vanish(state: State, clock: Clock) -> None:
    state.create_key("expired", expires_at=NOW + timedelta(hours=1))
    state.create_key("lasting")
    disabling, hiding = Service(state, "expired-disabled"), Service(state, "expired-gone")
    assert [key["is_enabled"] for key in listed(disabling)] == [True, True]
    clock.passes(3_600)
    assert [key["is_enabled"] for key in listed(disabling)] == [False, True]
    assert [key["name"] for key in listed(hiding)] == ["lasting"]
    assert hiding.ask("GET", ONE).status_code == 404


@pytest.mark.parametrize(
    ("spec", "fields", "status"),
    [
        ("strict-lock", {"credit_limit": 0}, 400),
        ("strict-lock", {"expires_at": SOON}, 400),
        ("strict-lock", {"name": "a~b"}, 400),
        ("strict-lock=limit", {"credit_limit": 0}, 400),
        ("strict-lock=limit", {"name": "a~b", "expires_at": SOON}, 201),
        ("strict-lock", {"credit_limit": 1, "expires_at": "2026-11-22T13:00:00Z"}, 201),
        ("strict-lock name=reconciler~*", {"name": "a~b"}, 201),
    ],
)
def test_a_strict_service_refuses_what_locks_need(
    state: State, spec: str, fields: dict[str, object], status: int
) -> None:
    service = Service(state, spec)
    assert service.ask("POST", KEYS, {"name": "a", **fields}).status_code == status
    state.create_key("there")
    expected = 200 if status == 201 else 400
    assert service.ask("PATCH", f"{KEYS}/{state.keys()[-1].id}", fields).status_code == expected


@pytest.mark.parametrize(
    ("kind", "name"), [("dash", "production/api-new.0123456789abcdef"), ("cut", "production/api~new.01234")]
)
def test_a_name_can_be_altered(state: State, kind: str, name: str) -> None:
    service = Service(state, f"strict-lock={kind}")
    assert service.ask("POST", KEYS, {"name": "production/api~new.0123456789abcdef"}).json()["name"] == name
    assert service.ask("PATCH", ONE, {"name": "production/api~new.0123456789abcdef"}).json()["name"] == name
    assert names(state) == [name]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_bearer_is_repeated_in_an_error_as_it_is_told_to(state: State, spelling: str) -> None:
    text = Service(state, f"* * status=503 echo={spelling}").ask("GET", KEYS).json()["error"]["message"]
    assert text == f"a simulated fault {SPELLINGS[spelling](PROVISIONING.encode())}"


def test_the_spellings_that_are_base64_have_the_bearer_at_every_offset() -> None:
    for spelling in ("base64", "base64-1", "base64-2"):
        assert PROVISIONING.encode() in base64.b64decode(SPELLINGS[spelling](PROVISIONING.encode()))


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ("echo=plain,name", "body"),
        ("echo=plain,body", "body"),
        ("echo=plain,retry-after", "header"),
        ("echo=plain,credit_limit", "body"),
        ("echo=plain,nothing", "nowhere"),
    ],
)
def test_the_bearer_can_be_repeated_in_any_member_of_an_answer(state: State, spec: str, where: str) -> None:
    state.create_key("a")
    answer = Service(state, spec).ask("GET", KEYS)
    found = "body" if PROVISIONING in answer.text else "header" if PROVISIONING in str(answer.headers) else "nowhere"
    assert found == where
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_an_answer_that_holds_nothing_or_no_json_holds_no_echo(state: State) -> None:
    state.create_key("a")
    service = Service(state, "echo", "odd-patch=junk")
    assert service.ask("PATCH", ONE, {}).text == "OK"
    assert service.ask("DELETE", ONE).content == b""


def test_a_fault_can_be_about_some_names(state: State) -> None:
    service = Service(state, f"POST {KEYS} status=503 name=reconciler~lock.*")
    assert service.ask("POST", KEYS, {"name": "reconciler~lock.1"}).status_code == 503
    assert service.ask("POST", KEYS, {"name": "a"}).status_code == 201
    for content in (b"", b"[]", b'{"name": 1}', b"no JSON"):
        assert service.ask("POST", KEYS, content=content).status_code == 400


def test_quirks_can_be_mixed(state: State) -> None:
    service = Service(state, "zoneless", "text-amounts noise", "odd-delete=body", "lag=1s")
    service.ask("POST", KEYS, {"name": "a", "credit_limit": 1})
    assert listed(service) == []
    key = service.ask("GET", ONE).json()
    assert (key["created_at"], key["credit_limit"]) == ("2026-11-22T12:00:00", "0.9999999999999999")
    assert service.ask("DELETE", ONE).status_code == 200
