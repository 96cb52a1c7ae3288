"""Destinations that misbehave on request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.errors import DestinationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.destinations.base import Destination, SecretDelivery
    from reconciler.model import Target


class FakeDestination:
    """Takes secrets into a dict, or raises what it was told to."""

    def __init__(
        self,
        *,
        refuses: BaseException | None = None,
        preflight: str | None = None,
        hangs: bool = False,
        on_deliver: Callable[[], None] = lambda: None,
    ) -> None:
        self.held: dict[str, str] = {}
        self.asked: list[Sequence[str]] = []
        self.reached = asyncio.Event()
        self._refuses = refuses
        self._preflight = preflight
        self._hangs = hangs
        self._on_deliver = on_deliver

    def break_with(self, message: str, *, uncertain: bool = False) -> None:
        self._refuses = DestinationError(message, uncertain=uncertain)

    def mend(self) -> None:
        self._refuses = None

    async def preflight(self, names: Sequence[str]) -> None:
        self.asked.append(names)
        if self._preflight:
            raise DestinationError(self._preflight)

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        self.reached.set()
        self._on_deliver()
        if self._hangs:
            await asyncio.Event().wait()
        if self._refuses:
            raise self._refuses
        self.held[secret_delivery.name] = secret_delivery.secret.reveal()


class FakeRegistry:
    """Gives the destination of a name in the file."""

    def __init__(self, **destinations: FakeDestination) -> None:
        self._destinations = destinations

    def open(self, target: Target) -> Destination:
        return self._destinations[target.destination]
