"""The simulator against its own OpenAPI description, with requests that schemathesis makes up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from jsonschema import Draft202012Validator
from schemathesis.core.failures import FailureGroup

from reconciler.simulator import State
from reconciler.simulator import fields as usages
from reconciler.simulator.app import create_app
from reconciler.simulator.front import description
from support.builders import NOW
from support.search import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis.specs.openapi.schemas import OpenApiSchema
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROVISIONING: Final = "a-provisioning-key"
BEARER: Final = {"Authorization": f"Bearer {PROVISIONING}"}
BOUNDED: Final = settings(
    max_examples=examples(30), report_multiple_bugs=False, suppress_health_check=list(HealthCheck)
)

# JSON Schema cannot say that an instant is in the future, so the instants that are made up are.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2027, 1, 1), datetime(2999, 1, 1)).map(  # noqa: DTZ001  # the zone is written below
        lambda instant: instant.isoformat(timespec="seconds") + "Z"
    ),
)


def described(app: ASGIApp) -> OpenApiSchema:
    # Unknown parameters are ignored, as unknown fields are: the documentation does not forbid them.
    config = schemathesis.Config.from_dict({"generation": {"allow-extra-parameters": False}})
    schema = schemathesis.openapi.from_dict(description(), config=config)
    schema.app = app
    return schema


@pytest.fixture
def state() -> Iterator[State]:
    with State(":memory:", clock=lambda: NOW) as opened:
        for number in range(20):
            opened.create_key(f"key {number}", expires_at=NOW + timedelta(days=number))
        usages.generate(opened)
        yield opened


@pytest.fixture
def service(state: State) -> ASGIApp:
    return create_app(state, provisioning_keys=frozenset({PROVISIONING}))


async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand in for the service until a test has one of its own."""
    raise AssertionError


every_operation = described(nobody)


@every_operation.parametrize()
@BOUNDED
def test_every_operation_behaves_as_it_is_described(service: ASGIApp, case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(app=service, headers=BEARER)


def test_a_story_of_many_requests_behaves_as_it_is_described(service: ASGIApp) -> None:
    tell_stories(service, examples(12))


def test_a_deletion_that_does_not_delete_is_found(
    state: State, service: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "delete_key", lambda key_id: state.key(key_id) is not None)
    with pytest.raises(FailureGroup) as caught:
        tell_stories(service, 12)
    assert [type(failure).__name__ for failure in caught.value.exceptions] == ["UseAfterFree"]


def tell_stories(service: ASGIApp, stories: int) -> None:
    """Follow the links of the description from one answer to the next request."""
    machine: Any = described(service).as_state_machine()

    class Story(machine):  # type: ignore[misc]  # a class made at run time
        def get_call_kwargs(self, case: schemathesis.Case[Any]) -> dict[str, Any]:
            del case
            return {"headers": BEARER}

    run_state_machine_as_test(Story, settings=settings(BOUNDED, max_examples=stories, stateful_step_count=6))


# --- the same checks find what is wrong ---


def violations(app: ASGIApp, method: str, path: str) -> set[str]:
    """Name what the checks find wrong with one operation."""
    operation = described(app)[path][method]
    cases = operation.as_strategy()
    if operation.body or operation.query:
        cases |= operation.as_strategy(schemathesis.GenerationMode.NEGATIVE)

    @BOUNDED
    @given(cases)
    def examine(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=BEARER)

    try:
        examine()
    except FailureGroup as group:
        return {type(failure).__name__ for failure in group.exceptions}
    return set()


def rewriting(app: ASGIApp, old: bytes, new: bytes, status: int | None = None) -> ASGIApp:
    """Let the service answer something else."""

    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_wrong(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name != b"content-length"]
                message = {**message, "headers": kept, "status": status or message["status"]}
            elif "body" in message:
                message = {**message, "body": message["body"].replace(old, new)}
            await send(message)

        await app(scope, receive, send_wrong)

    return wrong


KEYS: Final = "/v1/account/keys"


def test_nothing_is_found_wrong_with_the_service_itself(service: ASGIApp) -> None:
    for method, path in (("get", KEYS), ("post", KEYS), ("get", "/v1/account/activity")):
        assert violations(service, method, path) == set()


@pytest.mark.parametrize(
    ("method", "path", "old", "new", "found"),
    [
        ("get", KEYS, b'"is_enabled": true', b'"is_enabled": 1', "JsonSchemaError"),
        ("post", KEYS, b'"expires_at"', b'"expiresAt"', "JsonSchemaError"),
        ("get", "/v1/account/activity", b'"total_cost": "', b'"total_cost": "$', "JsonSchemaError"),
        ("get", "/v1/account/balance", b"}", b"", "MalformedJson"),
    ],
)
def test_an_answer_of_another_shape_is_found(
    service: ASGIApp, method: str, path: str, old: bytes, new: bytes, found: str
) -> None:
    assert violations(rewriting(service, old, new), method, path) == {found}


@pytest.mark.parametrize(("status", "found"), [(202, "UndefinedStatusCode"), (500, "ServerError")])
def test_another_status_is_found(service: ASGIApp, status: int, found: str) -> None:
    assert found in violations(rewriting(service, b"", b"", status), "post", KEYS)


def test_a_service_that_anybody_may_ask_is_found(state: State) -> None:
    assert violations(create_app(state), "get", KEYS) == {"IgnoredAuth"}


def test_a_service_that_takes_any_name_is_found(service: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.simulator.fields._name", str)
    assert "AcceptedNegativeData" in violations(service, "post", KEYS)


# --- the description itself ---


def test_every_schema_of_the_description_is_one() -> None:
    document = description()
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema({**schema, "components": document["components"]})


def test_every_error_that_is_described_is_one_of_the_service() -> None:
    error = description()["components"]["schemas"]["Error"]["properties"]["error"]
    assert set(error["properties"]["type"]["enum"]) == {
        "invalid_request_error",
        "authentication_error",
        "not_found_error",
    }
