"""What every destination promises; each has a Place in tests/support/places/, in a module that is called as its own."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import pytest

from reconciler.declaration.destinations import kinds
from reconciler.destinations.base import Closing, Searching, SecretDelivery
from reconciler.destinations.registry import Registry
from reconciler.errors import DestinationError
from reconciler.model import Address, Target
from reconciler.secret import Secret
from support.leaks import everything_shown
from support.places.python import PythonPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from reconciler.declaration.destinations import Kind
    from reconciler.destinations.base import Destination
    from support.places.base import Place

_Result = TypeVar("_Result")
LEAK = "ng-THISMUSTNEVERBESHOWN0000000000000"


def place_of(kind: Kind) -> Callable[[Path, pytest.MonkeyPatch], Place]:
    """Give the world of a type: the one class of that kind in the module that is called as its own."""
    module = import_module(f"support.places.{kind.module.rpartition('.')[2]}")
    (place,) = (each for name, each in vars(module).items() if re.fullmatch(r"[A-Z]\w+Place", name))
    world: Callable[[Path, pytest.MonkeyPatch], Place] = place
    return world


PLACES = {name: place_of(kind) for name, kind in kinds().items()}
NOT_SEARCHING = {"age", "exec", "github-actions", "python"}


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return PLACES[request.param](tmp_path, monkeypatch)


@pytest.fixture
def destination(place: Place) -> Destination:
    return registry_of(place).open(place.target)


def registry_of(place: Place) -> Registry:
    return Registry(allow_exec=True, receivers=place.receivers if isinstance(place, PythonPlace) else None)


def secret_delivery(name: str, secret: str = LEAK) -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), 7, name, Secret(secret))


def run(destination: Destination, work: Coroutine[object, object, _Result]) -> _Result:
    """Do something as one run does: at its end what is open is closed."""

    async def to_the_end() -> _Result:
        try:
            return await work
        finally:
            if isinstance(destination, Closing):
                await destination.aclose()

    return asyncio.run(to_the_end())


async def failure(destination: Destination, name: str) -> DestinationError:
    try:
        await destination.deliver(secret_delivery(name))
    except DestinationError as error:
        return error
    pytest.fail(f"{name} was delivered")


def test_equal_targets_share_one_instance_and_others_do_not(place: Place) -> None:
    registry = registry_of(place)
    same = Target(place.target.destination, place.target.type, tuple(place.target.settings))
    other = Target("other", place.target.type, place.target.settings)
    assert registry.open(place.target) is registry.open(same)
    assert registry.open(place.target) is not registry.open(other)


def test_opening_a_destination_touches_nothing(place: Place) -> None:
    before = place.traces()
    registry_of(place).open(place.target)
    assert place.traces() == before


def test_a_delivered_secret_is_there_under_its_name(place: Place, destination: Destination) -> None:
    run(destination, destination.deliver(secret_delivery("NAGA_API", "ng-secret-1")))
    assert place.held() == {"NAGA_API": "ng-secret-1"}


def test_who_can_search_finds_a_secret_under_its_name_and_only_while_it_is_there(
    request: pytest.FixtureRequest, destination: Destination
) -> None:
    run(destination, destination.deliver(secret_delivery("NAGA_API")))
    searching = isinstance(destination, Searching)
    assert searching == (request.node.callspec.params["place"] not in NOT_SEARCHING)
    if isinstance(destination, Searching):
        names = ["NAGA_API", "NAGA_JOBS"]
        assert [*run(destination, destination.holds(Secret(LEAK), names))] == ["NAGA_API"]
        assert [*run(destination, destination.holds(Secret(LEAK[::-1]), names))] == []
        run(destination, destination.deliver(secret_delivery("NAGA_API", "ng-secret-2")))
        assert [*run(destination, destination.holds(Secret(LEAK), names))] == []


def test_a_second_delivery_replaces_the_secret_of_its_name_and_no_other(place: Place, destination: Destination) -> None:
    async def deliver() -> None:
        for name, secret in (("NAGA_API", "ng-secret-1"), ("NAGA_JOBS", "ng-secret-2"), ("NAGA_API", "ng-secret-3")):
            await destination.deliver(secret_delivery(name, secret))

    run(destination, deliver())
    assert place.held() == {"NAGA_API": "ng-secret-3", "NAGA_JOBS": "ng-secret-2"}


def test_what_an_earlier_run_delivered_stays(place: Place) -> None:
    for name in ("NAGA_ONE", "NAGA_TWO"):
        earlier = registry_of(place).open(place.target)
        run(earlier, earlier.deliver(secret_delivery(name, f"ng-secret-{name}")))
    assert place.held() == {"NAGA_ONE": "ng-secret-NAGA_ONE", "NAGA_TWO": "ng-secret-NAGA_TWO"}


def test_many_deliveries_at_once_all_arrive(place: Place, destination: Destination) -> None:
    wanted = {f"NAGA_{number}": f"ng-secret-{number}" for number in range(64)}

    async def deliver() -> None:
        await asyncio.gather(*(destination.deliver(secret_delivery(*each)) for each in wanted.items()))

    run(destination, deliver())
    assert place.held() == wanted


def test_a_delivery_is_there_the_moment_it_returns(place: Place, destination: Destination) -> None:
    async def deliver(number: int) -> bool:
        await destination.deliver(secret_delivery(f"NAGA_{number}", f"ng-secret-{number}"))
        return place.held().get(f"NAGA_{number}") == f"ng-secret-{number}"

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*map(deliver, range(16)))

    assert all(run(destination, all_of_them()))


def test_preflight_accepts_what_can_be_delivered_and_writes_nothing(place: Place, destination: Destination) -> None:
    before = place.traces()
    run(destination, destination.preflight(["NAGA_API", "NAGA_JOBS"]))
    assert place.traces() == before


def test_preflight_names_every_unusable_name_on_one_line(place: Place, destination: Destination) -> None:
    with pytest.raises(DestinationError) as caught:
        run(destination, destination.preflight(["NAGA_API", *place.unusable_names]))
    message = str(caught.value)
    assert [name for name in place.unusable_names if name not in message] == []
    assert "NAGA_API" not in message
    assert "\n" not in message


def test_preflight_finds_two_keys_under_one_name(destination: Destination) -> None:
    with pytest.raises(DestinationError, match="2 keys would be delivered as NAGA_API"):
        run(destination, destination.preflight(["NAGA_API", "NAGA_API"]))


def test_a_refused_name_leaves_no_trace_and_shows_no_secret(place: Place, destination: Destination) -> None:
    before = place.traces()
    for name in place.unusable_names:
        error = run(destination, failure(destination, name))
        assert name in str(error)
        assert LEAK not in everything_shown(error)
    assert place.traces() == before


def test_a_failed_delivery_leaves_what_was_there_and_shows_no_secret(place: Place, destination: Destination) -> None:
    run(destination, destination.deliver(secret_delivery("NAGA_API", "ng-secret-old")))
    place.break_down()
    error = run(destination, failure(destination, "NAGA_API"))
    assert "NAGA_API" in str(error)
    assert "\n" not in str(error)
    assert place.held() == {"NAGA_API": "ng-secret-old"}
    assert LEAK not in everything_shown(error)
    assert LEAK not in f"{destination!r} {destination} {secret_delivery('NAGA_API')!r}"


def test_a_failure_is_told_to_everyone_whose_secret_did_not_arrive(place: Place, destination: Destination) -> None:
    place.break_down()

    async def deliver() -> list[DestinationError]:
        return await asyncio.gather(*(failure(destination, f"NAGA_{number}") for number in range(16)))

    errors = run(destination, deliver())
    assert len({str(error) for error in errors}) == 16, "each names its own secret"
    assert place.held() == {}


@pytest.mark.parametrize("turns", range(5))
def test_a_cancelled_delivery_is_whole_or_absent_and_blocks_nothing(
    place: Place, destination: Destination, turns: int
) -> None:
    """Whether it was done before it was cancelled is up to its threads; if it was, the secret has arrived."""

    async def deliver_and_wipe(what: SecretDelivery) -> None:
        with what.secret:
            await destination.deliver(what)

    async def deliver() -> bool:
        cancelled = asyncio.create_task(deliver_and_wipe(secret_delivery("NAGA_CANCELLED", "ng-secret-1")))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait_for(destination.deliver(secret_delivery("NAGA_NEXT", "ng-secret-2")), timeout=60)
        with suppress(asyncio.CancelledError):
            await cancelled
        return cancelled.cancelled()

    was_cancelled = run(destination, deliver())
    held = place.held()
    assert held.pop("NAGA_CANCELLED", "ng-secret-1" if was_cancelled else None) == "ng-secret-1"
    assert held == {"NAGA_NEXT": "ng-secret-2"}
