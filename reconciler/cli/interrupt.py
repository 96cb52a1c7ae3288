"""What Ctrl-C and SIGTERM do while an event loop runs."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, or until a signal: then `work` is cancelled, cleans up, and KeyboardInterrupt is raised.

    A second signal cancels the cleaning up as well.
    """
    # Not the task's own result: when the loop ends, the signal module asks for the task's repr, all keys included.
    results: list[T] = []

    async def supervised() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this is a coroutine of a running loop
        with signals_call(task.cancel):
            results.append(await work)
            await asyncio.sleep(0)  # a signal that came after the last wait of all takes effect here

    try:
        asyncio.run(supervised())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return results[0]


@contextmanager
def signals_call(react: Callable[[], object]) -> Iterator[None]:
    """Have signals call `react` on the running event loop, where it cannot tear anything apart.

    The loop's own `add_signal_handler` is no help: when it ends, SIGTERM kills the process where it stands.
    """
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(react)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
