from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.simulator import State
from support.builders import NOW
from support.simulation import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

KEYS = "/v1/account/keys"


@pytest.fixture
def service() -> Iterator[Service]:
    with State(":memory:", clock=lambda: NOW) as state:
        yield Service(state, with_control=True)


def control(service: Service, method: str, door: str, json: Any = None) -> httpx.Response:
    return service.ask(method, f"/_simulator/{door}", json, bearer=None)


def test_the_clock_can_be_moved(service: Service) -> None:
    answer = control(service, "POST", "travel", {"seconds": 86_400})
    assert answer.json() == {"now": "Mon, 23 Nov 2026 12:00:00 GMT"}
    assert control(service, "POST", "travel", {"seconds": -86_400.5}).json() == {"now": "Sun, 22 Nov 2026 11:59:59 GMT"}


def test_faults_can_be_added_and_ended(service: Service) -> None:
    assert control(service, "POST", "faults", {"faults": ["* * status=503", "* * latency=0ms"]}).status_code == 204
    assert service.ask("GET", KEYS).status_code == 503
    assert control(service, "DELETE", "faults").status_code == 204
    assert service.ask("GET", KEYS).status_code == 200


def test_the_keys_can_be_made_to_spend(service: Service) -> None:
    service.state.create_key("a")
    assert control(service, "POST", "usage", {"days": 3, "seed": 5}).status_code == 204
    assert len(service.ask("GET", "/v1/account/activity").json()["daily_stats"]) == 3
    assert control(service, "POST", "usage", {}).status_code == 204
    assert len(service.ask("GET", "/v1/account/activity?days=29").json()["daily_stats"]) == 29


def test_requests_to_the_service_are_counted(service: Service) -> None:
    for method, path in (("POST", KEYS), ("GET", KEYS), ("GET", KEYS), ("GET", "/elsewhere")):
        service.ask(method, path)
    assert control(service, "GET", "requests").json() == {
        "requests": [{"method": "GET", "path": KEYS, "count": 2}, {"method": "POST", "path": KEYS, "count": 1}]
    }


def test_the_description_is_served(service: Service) -> None:
    assert service.ask("GET", "/openapi.json", bearer=None).json()["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("door", "json", "message"),
    [
        ("travel", {}, "seconds must be a number"),
        ("travel", {"seconds": "1"}, "seconds must be a number"),
        ("travel", {"seconds": 1e12}, "the account's clock cannot leave the years 1 to 9000"),
        ("travel", {"seconds": 1e300}, "the account's clock cannot leave the years 1 to 9000"),
        ("faults", {}, "faults must be a list of strings"),
        ("faults", {"faults": "* * status=500"}, "faults must be a list of strings"),
        (
            "faults",
            {"faults": ["* * status=500", "* * status=5"]},
            'fault "* * status=5": status= must be from 400 to 599',
        ),
        ("usage", {"days": 31}, "days must be a whole number from 1 to 30"),
        ("usage", {"days": 1.5}, "days must be a whole number from 1 to 30"),
        ("usage", {"seed": "x"}, "seed must be a whole number from 0 to 2147483647"),
        ("usage", [], "the body must be a JSON object"),
    ],
)
def test_a_wrong_order_is_refused_and_does_nothing(service: Service, door: str, json: Any, message: str) -> None:
    answer = control(service, "POST", door, json)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
    assert service.state.now() == NOW
    assert service.ask("GET", KEYS).status_code == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_web_page_cannot_give_orders(service: Service, media_type: str) -> None:
    answer = service.ask(
        "POST", "/_simulator/travel", bearer=None, content='{"seconds": 1}', headers={"Content-Type": media_type}
    )
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "send the body as application/json")
    assert service.state.now() == NOW
