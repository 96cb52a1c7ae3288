"""What the contract of destinations does not say of the type python."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.destinations import python
from reconciler.destinations.base import SecretDelivery
from reconciler.destinations.python import Python
from reconciler.errors import DestinationError
from reconciler.model import Address, Target
from reconciler.secret import Secret
from support.leaks import everything_shown

if TYPE_CHECKING:
    from reconciler.destinations.base import Receiver

TARGET = Target("app", "python", (("receiver", "app"),))
SECRET = "ng-THISMUSTNEVERBESHOWN0000000000000"


def failure(receivers: dict[str, Receiver] | None) -> DestinationError:
    what = SecretDelivery(Address("production", "api"), 7, "API", Secret(SECRET))
    with pytest.raises(DestinationError) as caught:
        asyncio.run(Python(TARGET, receivers).deliver(what))
    assert SECRET not in everything_shown(caught.value)
    return caught.value


@pytest.mark.parametrize("receivers", [None, {}, {"ap": print}])
def test_without_its_receiver_nothing_is_taken(receivers: dict[str, Receiver] | None) -> None:
    with pytest.raises(DestinationError, match="receivers="):
        asyncio.run(Python(TARGET, receivers).preflight(["API"]))
    assert not failure(receivers).uncertain


def test_what_a_receiver_raises_leaves_open_whether_it_kept_the_secret() -> None:
    def receive(delivery: SecretDelivery) -> None:
        raise OSError(delivery.secret.reveal())

    assert failure({"app": receive}).uncertain


@pytest.mark.parametrize("uncertain", [False, True])
def test_a_receiver_can_say_whether_it_kept_the_secret(*, uncertain: bool) -> None:
    def receive(_: SecretDelivery) -> None:
        msg = f"{SECRET} is too long"
        raise DestinationError(msg, uncertain=uncertain)

    assert failure({"app": receive}).uncertain is uncertain


def test_a_coroutine_is_awaited() -> None:
    kept: list[str] = []

    async def receive(delivery: SecretDelivery) -> None:
        await asyncio.sleep(0)
        kept.append(delivery.secret.reveal())

    what = SecretDelivery(Address("production", "api"), 7, "API", Secret(SECRET))
    asyncio.run(Python(TARGET, {"app": receive}).deliver(what))
    assert kept == [SECRET]


def test_a_receiver_that_does_not_return_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "SECONDS", 0)
    ended = threading.Event()
    error = failure({"app": lambda _: ended.wait(60)})
    ended.set()
    assert error.uncertain
