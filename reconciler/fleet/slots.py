"""Which accounts are at work: many at the same time, but not all of hundreds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


@dataclass(slots=True)
class Slot:
    """The place of an account among those that are at work."""

    slots: asyncio.Semaphore
    held: bool = False

    async def take(self) -> None:
        """Wait for a place, unless there is one already."""
        if not self.held:
            await self.slots.acquire()
            self.held = True

    def give_back(self) -> None:
        """Make room for another account."""
        if self.held:
            self.held = False
            self.slots.release()
