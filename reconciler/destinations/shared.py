"""What the destinations of one run have in common: a thousand of them log in once and ask the same question once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

_Value = TypeVar("_Value")


class PerRun(Generic[_Value]):
    """Keeps one value for each key and event loop, for as long as somebody uses it: a run is one loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self._values: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, Hashable], _Value] = WeakValueDictionary()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """Give the value of the running loop for a key; whoever gets it keeps a reference."""
        place = (asyncio.get_running_loop(), key)
        value = self._values.get(place)
        if value is None:
            value = self._values[place] = make()
        return value


class Memo(Generic[_Value]):
    """Asks each question once, however many wait for the answer and whoever of them is cancelled.

    A question answers with what went wrong instead of raising it: an exception is no value to hand out twice.
    """

    def __init__(self) -> None:
        """Begin with no answers."""
        self._tasks: dict[str, asyncio.Task[_Value]] = {}

    async def get(self, question: str, ask: Callable[[], Coroutine[Any, Any, _Value]]) -> _Value:
        """Give the answer, asking for it when nobody has before."""
        task = self._tasks.get(question)
        if task is None:
            task = self._tasks[question] = asyncio.create_task(ask())
        return await asyncio.shield(task)

    def known(self, question: str) -> _Value | None:
        """Give the answer when it is already there."""
        task = self._tasks.get(question)
        return task.result() if task is not None and task.done() and not task.cancelled() else None

    def forget(self, question: str) -> None:
        """Ask anew next time."""
        self._tasks.pop(question, None)
