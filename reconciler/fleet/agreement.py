"""All or nothing: what was reviewed as a whole is begun in no account before all of them are locked and read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.errors import AccountError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from reconciler.plan.actions import Plan


class Agreement:
    """Lets accounts be locked one after the other, in the same order in every run, and begun all together.

    Two runs that locked the same accounts in different orders could wait for each other for ever. `failure` is what
    kept all from being begun.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        """Take the variables of the accounts, in the order they are locked."""
        self.failure: BaseException | None = None
        self._variables = list(variables)
        self._plans: dict[str, Plan] = {}
        self._changed = asyncio.Event()
        self._begun = False

    async def turn(self, variable: str) -> None:
        """Wait until every earlier account is locked and read."""
        await self._until(lambda: len(self._plans) >= self._variables.index(variable))

    async def reach(self, variable: str, plan: Plan, judge: Callable[[Mapping[str, Plan]], Awaitable[None]]) -> None:
        """Wait until all are locked and read; `judge` gets all their plans, once, and raises unless they may begin."""
        self._plans[variable] = plan
        self._tell()
        if len(self._plans) == len(self._variables):
            await judge(self._plans)
            self._begun = True
            self._tell()
        await self._until(lambda: self._begun)

    def fail(self, error: BaseException) -> None:
        """Have nothing begun, unless it has been already."""
        if not self._begun and self.failure is None:
            self.failure = error
            self._tell()

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            if self.failure is not None:
                msg = "nothing was changed, since another account of the same plan could not be begun"
                raise AccountError(msg)
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
