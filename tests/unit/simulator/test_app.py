from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.simulator import State, transport
from reconciler.simulator.fields import generate
from reconciler.simulator.state import Usage
from support.builders import NOW
from support.search import examples
from support.simulation import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = "/v1/account/keys"
MODELS = "/v1/models"
FUTURE = "2027-01-01T00:00:00Z"
ACCOUNT = [
    ("GET", "/v1/account/balance"),
    ("GET", "/v1/account/activity"),
    ("GET", KEYS),
    ("POST", KEYS),
    ("GET", f"{KEYS}/1"),
    ("PATCH", f"{KEYS}/1"),
    ("DELETE", f"{KEYS}/1"),
]


@pytest.fixture
def service() -> Iterator[Service]:
    with State(":memory:", clock=lambda: NOW) as state:
        yield Service(state)


def error(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"type", "message"}
    return answer.status_code, body["error"]["type"], body["error"]["message"]


# --- who may ask ---


@pytest.mark.parametrize(("method", "path"), ACCOUNT)
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "a-provisioning-key"])
def test_the_account_is_closed_without_a_bearer(service: Service, method: str, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = service.ask(method, path, bearer=None, headers=headers)
    assert error(answer) == (401, "authentication_error", "send Authorization: Bearer and a key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ACCOUNT)
def test_an_inference_key_cannot_manage_the_account_even_after_its_deletion(
    service: Service, method: str, path: str
) -> None:
    _, secret = service.state.create_key("a")
    refusal = (401, "authentication_error", "this is an inference key; the account API needs a provisioning key")
    assert error(service.ask(method, path, bearer=secret.reveal())) == refusal
    service.state.delete_key(1)
    assert error(service.ask(method, path, bearer=secret.reveal())) == refusal


def test_only_the_given_provisioning_keys_manage_the_account_when_there_are_any() -> None:
    with State(":memory:") as state:
        service = Service(state, provisioning_keys=frozenset({"one", "two"}))
        assert service.ask("GET", KEYS, bearer="two").status_code == 200
        assert error(service.ask("GET", KEYS, bearer="three")) == (
            401,
            "authentication_error",
            "this provisioning key does not exist",
        )


def test_the_scheme_of_the_authorization_may_be_written_in_any_case(service: Service) -> None:
    assert service.ask("GET", KEYS, bearer=None, headers={"Authorization": "bearer x"}).status_code == 200


# --- models ---


def test_models_are_listed_anonymously_and_with_a_key_that_works(service: Service) -> None:
    _, secret = service.state.create_key("a", expires_at=NOW + timedelta(hours=1))
    anonymous = service.ask("GET", MODELS, bearer=None)
    assert anonymous.status_code == 200
    assert anonymous.json() == service.ask("GET", MODELS, bearer=secret.reveal()).json()
    assert anonymous.json()["data"][0] == {"id": "gpt-4o", "object": "model"}


@pytest.mark.parametrize("how", ["disabled", "expired", "deleted", "never issued", "no bearer at all"])
def test_models_are_refused_to_a_key_that_does_not_work(service: Service, how: str) -> None:
    _, secret = service.state.create_key("a")
    bearer = secret.reveal()
    match how:
        case "disabled":
            service.state.update_key(1, is_enabled=False)
        case "expired":
            service.state.update_key(1, expires_at=NOW)
        case "deleted":
            service.state.delete_key(1)
        case "never issued":
            bearer = "a-provisioning-key"
        case _:
            bearer = ""
    assert error(service.ask("GET", MODELS, bearer=bearer))[:2] == (401, "authentication_error")


# --- POST ---


def test_a_key_is_issued_with_its_secret(service: Service) -> None:
    answer = service.ask("POST", KEYS, {"name": "a", "credit_limit": 12.5, "expires_at": FUTURE})
    assert answer.status_code == 201
    body = answer.json()
    assert service.state.opens(body.pop("key"))
    assert body == {
        "id": 1,
        "name": "a",
        "created_at": "2026-11-22T12:00:00Z",
        "expires_at": FUTURE,
        "is_enabled": True,
        "credit_limit": 12.5,
        "message": "API key created. This is the only time that it is shown, so store it now.",
    }


@pytest.mark.parametrize("more", [{}, {"credit_limit": None, "expires_at": None}])
def test_a_key_has_no_limit_and_no_expiry_unless_asked_for(service: Service, more: dict[str, Any]) -> None:
    body = service.ask("POST", KEYS, {"name": "a", **more}).json()
    assert (body["credit_limit"], body["expires_at"]) == (None, None)


def test_a_key_cannot_be_created_disabled_and_unknown_fields_say_nothing(service: Service) -> None:
    assert service.ask("POST", KEYS, {"name": "a", "is_enabled": False, "team": "x"}).json()["is_enabled"] is True


@pytest.mark.parametrize("name", ["a", "x" * 255, "é" * 255, " ", "a\u0000b", "</script>"])
def test_names_of_1_to_255_characters_are_taken(service: Service, name: str) -> None:
    assert service.ask("POST", KEYS, {"name": name}).json()["name"] == name
    assert service.ask("GET", f"{KEYS}/1").json()["name"] == name


WRONG_NAME = "name must be a string of 1 to 255 characters"
WRONG_LIMIT = "credit_limit must be a number from 0 to 1000000000000, or null"
WRONG_EXPIRY = "expires_at must be a date-time with a time zone, like 2027-01-01T00:00:00Z, or null"
WRONG_IN_BOTH = [
    ('"name": ""', WRONG_NAME),
    ('"name": "' + "x" * 256 + '"', WRONG_NAME),
    ('"name": 5', WRONG_NAME),
    ('"name": ["a"]', WRONG_NAME),
    ('"name": "\\ud800"', WRONG_NAME),
    ('"credit_limit": -0.01', WRONG_LIMIT),
    ('"credit_limit": "5"', WRONG_LIMIT),
    ('"credit_limit": true', WRONG_LIMIT),
    ('"credit_limit": 1000000000000.1', WRONG_LIMIT),
    ('"credit_limit": 1e400', WRONG_LIMIT),
    ('"credit_limit": 1e-401', "credit_limit has too many decimals"),
    ('"expires_at": "2026-11-22T12:00:00Z"', "expires_at must be in the future"),
    ('"expires_at": "2026-11-22T13:00:00+02:00"', "expires_at must be in the future"),
    ('"expires_at": "2027-01-01"', WRONG_EXPIRY),
    ('"expires_at": "2027-01-01T00:00:00"', WRONG_EXPIRY),
    ('"expires_at": "tomorrow"', WRONG_EXPIRY),
    ('"expires_at": ""', WRONG_EXPIRY),
    ('"expires_at": 1830000000', WRONG_EXPIRY),
    ('"expires_at": false', WRONG_EXPIRY),
]


@pytest.mark.parametrize(("field", "message"), WRONG_IN_BOTH)
def test_a_wrong_field_is_refused_by_post_and_patch_and_changes_nothing(
    service: Service, field: str, message: str
) -> None:
    before, _ = service.state.create_key("a", Decimal(5))
    name = "" if field.startswith('"name"') else '"name": "b", '
    for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/1")):
        answer = service.ask(method, path, content="{" + name + field + "}")
        assert error(answer) == (400, "invalid_request_error", message)
    assert service.state.keys() == (before,)


def test_a_new_key_needs_a_name(service: Service) -> None:
    for body in ({}, {"name": None}):
        assert error(service.ask("POST", KEYS, body)) == (400, "invalid_request_error", WRONG_NAME)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the body is not valid JSON"),
        (b"{", "the body is not valid JSON"),
        (b'{"name": "a", "credit_limit": NaN}', "the body is not valid JSON"),
        (b'{"name": "a", "credit_limit": -Infinity}', "the body is not valid JSON"),
        (b'{"name": "a", "credit_limit": 1e99999999999999999999}', "the body is not valid JSON"),
        (b'{"name": "\xff"}', "the body is not valid JSON"),
        (b"[" * 100_000, "the body is not valid JSON"),
        (b"null", "the body must be a JSON object"),
        (b'[{"name": "a"}]', "the body must be a JSON object"),
        (b'"name"', "the body must be a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(service: Service, content: bytes, message: str) -> None:
    service.state.create_key("a")
    for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/1")):
        assert error(service.ask(method, path, content=content)) == (400, "invalid_request_error", message)


@pytest.mark.parametrize(
    "sent", ["0", "-0", "5", "5.0", "0.1", "0.000001", "1e3", "1E-7", "999999999999.999999", "1e12"]
)
def test_a_limit_is_answered_as_exactly_the_number_that_was_sent(service: Service, sent: str) -> None:
    created = service.ask("POST", KEYS, content='{"name": "a", "credit_limit": ' + sent + "}")
    for text in (created.text, service.ask("GET", f"{KEYS}/1").text):
        assert json.loads(text, parse_float=Decimal)["credit_limit"] == Decimal(sent)


@settings(max_examples=examples(60))
@given(st.decimals(0, 10**12, allow_nan=False, places=6))
def test_no_limit_is_ever_rounded(limit: Decimal) -> None:
    with State(":memory:") as state:
        answer = Service(state).ask("POST", KEYS, content=f'{{"name": "a", "credit_limit": {limit:f}}}')
        assert json.loads(answer.text, parse_float=Decimal)["credit_limit"] == limit


def test_an_expiry_is_answered_in_utc_as_the_same_instant(service: Service) -> None:
    body = {"name": "a", "expires_at": "2027-01-01T01:00:00.25+01:00"}
    assert service.ask("POST", KEYS, body).json()["expires_at"] == "2027-01-01T00:00:00.250000Z"


# --- PATCH ---


@pytest.mark.parametrize(
    ("sent", "changed"),
    [
        ({}, {}),
        ({"name": None, "is_enabled": None}, {}),
        ({"name": "b"}, {"name": "b"}),
        ({"is_enabled": False}, {"is_enabled": False}),
        ({"credit_limit": 7}, {"credit_limit": 7}),
        ({"credit_limit": 0}, {"credit_limit": 0}),
        ({"credit_limit": None}, {"credit_limit": None}),
        ({"expires_at": None}, {"expires_at": None}),
        ({"expires_at": "2028-01-01T00:00:00Z"}, {"expires_at": "2028-01-01T00:00:00Z"}),
        ({"id": 9, "created_at": FUTURE, "unknown": 1}, {}),
    ],
)
def test_a_patch_changes_what_it_says_and_nothing_else(
    service: Service, sent: dict[str, Any], changed: dict[str, Any]
) -> None:
    service.ask("POST", KEYS, {"name": "a", "credit_limit": 5, "expires_at": FUTURE})
    before = service.ask("GET", f"{KEYS}/1").json()
    answer = service.ask("PATCH", f"{KEYS}/1", sent)
    assert answer.status_code == 200
    assert answer.json() == {**before, **changed}
    assert service.ask("GET", KEYS).json() == {"keys": [answer.json()]}


@pytest.mark.parametrize("value", ["true", 1, 0, "", []])
def test_a_patch_takes_only_a_boolean_for_is_enabled(service: Service, value: object) -> None:
    service.state.create_key("a")
    assert error(service.ask("PATCH", f"{KEYS}/1", {"is_enabled": value})) == (
        400,
        "invalid_request_error",
        "is_enabled must be true, false or null",
    )


def test_a_patch_cannot_send_the_expiry_that_has_passed_again(service: Service) -> None:
    service.state.create_key("a", expires_at=NOW - timedelta(days=1))
    assert service.ask("PATCH", f"{KEYS}/1", {"expires_at": "2026-11-21T12:00:00Z"}).status_code == 400
    assert service.ask("PATCH", f"{KEYS}/1", {"is_enabled": False}).status_code == 200


# --- GET, DELETE, and what is not there ---


def test_keys_are_shown_without_their_secrets(service: Service) -> None:
    for name in ("b", "a"):
        service.ask("POST", KEYS, {"name": name})
    listed = service.ask("GET", KEYS).json()
    assert [key["name"] for key in listed["keys"]] == ["b", "a"]
    fields = {"id", "name", "created_at", "expires_at", "is_enabled", "credit_limit"}
    assert all(set(key) == fields for key in listed["keys"])
    assert service.ask("GET", f"{KEYS}/2").json() == listed["keys"][1]


def test_a_deleted_key_is_gone_at_once(service: Service) -> None:
    _, secret = service.state.create_key("a")
    answer = service.ask("DELETE", f"{KEYS}/1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert service.ask("GET", KEYS).json() == {"keys": []}
    assert service.ask("GET", MODELS, bearer=secret.reveal()).status_code == 401
    assert service.ask("DELETE", f"{KEYS}/1").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("key_id", ["1", "0", "-1", "abc", "1.0", "01", "9" * 18, "9" * 40, "%D9%A1"])
def test_an_unknown_id_is_not_found(service: Service, method: str, key_id: str) -> None:
    answer = service.ask(method, f"{KEYS}/{key_id}", {} if method == "PATCH" else None)
    assert error(answer) == (404, "not_found_error", "there is no such API key")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/account", f"{KEYS}/", f"{KEYS}/1/secret", "/_simulator/requests"])
def test_an_unknown_path_is_not_found(service: Service, path: str) -> None:
    assert error(service.ask("GET", path)) == (404, "not_found_error", "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", KEYS, {"GET", "HEAD", "POST"}),
        ("DELETE", KEYS, {"GET", "HEAD", "POST"}),
        ("POST", f"{KEYS}/1", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/v1/account/balance", {"GET", "HEAD"}),
    ],
)
def test_another_method_is_not_allowed(service: Service, method: str, path: str, allowed: set[str]) -> None:
    answer = service.ask(method, path)
    assert error(answer) == (405, "method_not_allowed", "Method Not Allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


# --- balance and activity ---


def test_the_balance_is_a_decimal_string(service: Service) -> None:
    for balance, shown in (("125.5", "125.50"), ("0", "0.00"), ("-3", "-3.00"), ("0.1234", "0.1234")):
        service.state.set_balance(Decimal(balance))
        assert service.ask("GET", "/v1/account/balance").json() == {"balance": shown}


def test_activity_without_use_is_empty(service: Service) -> None:
    assert service.ask("GET", "/v1/account/activity").json() == {
        "period_days": 30,
        "total_stats": {"total_requests": 0, "total_cost": "0.00", "total_input_tokens": 0, "total_output_tokens": 0},
        "daily_stats": [],
        "top_models": [],
        "api_key_usage": [],
    }


def test_activity_tells_what_was_spent_in_the_days_asked_for(service: Service) -> None:
    service.state.create_key("api")
    for ago, micros in ((0, 250_000), (1, 1_000_001), (2, 99)):
        service.state.record([Usage(NOW.date() - timedelta(days=ago), 1, "gpt-4o", 3, 20, 10, micros)])
    spent = {"total_cost": "1.250001", "total_input_tokens": 40, "total_output_tokens": 20}
    assert service.ask("GET", "/v1/account/activity?days=2").json() == {
        "period_days": 2,
        "total_stats": {"total_requests": 6, **spent},
        "daily_stats": [
            {
                "date": "2026-11-21",
                "total_requests": 3,
                "total_cost": "1.000001",
                "total_input_tokens": 20,
                "total_output_tokens": 10,
            },
            {
                "date": "2026-11-22",
                "total_requests": 3,
                "total_cost": "0.25",
                "total_input_tokens": 20,
                "total_output_tokens": 10,
            },
        ],
        "top_models": [{"model_name": "gpt-4o", "request_count": 6, **spent}],
        "api_key_usage": [{"api_key_id": 1, "api_key_name": "api", "request_count": 6, **spent}],
    }


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_sums_of_activity_agree_with_each_other(service: Service, days: int) -> None:
    for limit in (5, 50, None):
        service.state.create_key("a", None if limit is None else Decimal(limit))
    generate(service.state)
    body = service.ask("GET", f"/v1/account/activity?days={days}").json()
    total = body["total_stats"]
    assert Decimal(total["total_cost"]) > 0
    assert len(body["daily_stats"]) == days
    for part, requests in (
        ("daily_stats", "total_requests"),
        ("top_models", "request_count"),
        ("api_key_usage", "request_count"),
    ):
        rows = body[part]
        assert sum(Decimal(row["total_cost"]) for row in rows) == Decimal(total["total_cost"])
        assert sum(row[requests] for row in rows) == total["total_requests"]
        for tokens in ("total_input_tokens", "total_output_tokens"):
            assert sum(row[tokens] for row in rows) == total[tokens]


@pytest.mark.parametrize("days", ["0", "31", "-1", "1.5", "abc", "", "007", "%D9%A3"])
def test_activity_refuses_other_days(service: Service, days: str) -> None:
    answer = service.ask("GET", f"/v1/account/activity?days={days}")
    assert error(answer) == (400, "invalid_request_error", "days must be a whole number from 1 to 30")


def test_activity_is_cached_for_five_minutes(service: Service) -> None:
    def requests() -> int:
        body = service.ask("GET", "/v1/account/activity").json()
        return int(body["total_stats"]["total_requests"])

    service.state.create_key("a")
    assert requests() == 0
    service.state.record([Usage(NOW.date(), 1, "gpt-4o", 3, 20, 10, 1)])
    service.state.travel(timedelta(minutes=4, seconds=59))
    assert requests() == 0
    service.state.travel(timedelta(seconds=1))
    assert requests() == 3


# --- the clock, and trouble ---


@pytest.mark.parametrize("path", [MODELS, KEYS, f"{KEYS}/9", "/nothing", "/v1/account/activity?days=0"])
def test_every_answer_carries_the_accounts_time(service: Service, path: str) -> None:
    service.state.travel(timedelta(days=40))
    assert service.ask("GET", path).headers["Date"] == "Fri, 01 Jan 2027 12:00:00 GMT"


def test_a_failure_of_the_simulator_itself_has_the_documented_shape_too(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError

    monkeypatch.setattr(service.state, "balance", fail)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/account/balance",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer x")],
    }
    with pytest.raises(RuntimeError):
        asyncio.run(service.app(scope, receive, send))
    assert sent[0]["status"] == 500
    assert (b"date", b"Sun, 22 Nov 2026 12:00:00 GMT") in sent[0]["headers"]
    assert json.loads(sent[1]["body"]) == {"error": {"type": "server_error", "message": "the simulator failed"}}


def test_ten_thousand_keys_are_listed_whole() -> None:
    with State(":memory:") as state:
        with state._writing() as connection:
            connection.executemany(
                "INSERT INTO keys VALUES (?, ?, '2026-01-01T00:00:00Z', NULL, 1, '5', ?, NULL)",
                ((number, f"key {number}", str(number)) for number in range(1, 10_001)),
            )
        assert [key["id"] for key in Service(state).ask("GET", KEYS).json()["keys"]] == list(range(1, 10_001))


def test_the_transport_of_the_package_carries_requests(service: Service) -> None:
    async def call() -> int:
        async with httpx.AsyncClient(transport=transport(service.state)) as client:
            return (await client.get("https://api.naga.ac/v1/models")).status_code

    assert asyncio.run(call()) == 200
    assert service.state.keys() == ()
