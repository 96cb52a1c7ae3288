"""A world whose time passes only when everybody in it sleeps, and then at once; what runs in it runs the same again."""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_EPOCH: Final = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
# After some virtual years the seconds, as a float, are no finer than this.
_RESOLUTION: Final = 1e-6
_Result = TypeVar("_Result")


class VirtualClock:
    """Tells the seconds that have passed, and the instant that this makes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.seconds)

    def advance(self, by: timedelta) -> None:
        self.seconds += by.total_seconds()

    def run(self, work: Coroutine[Any, Any, _Result], mishap: Callable[[str, BaseException | None], None]) -> _Result:
        """Run to the end on a loop of its own; `mishap` hears of exceptions that nobody looked at."""

        def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            mishap(context["message"], context.get("exception"))

        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            runner.get_loop().set_exception_handler(handle)
            return runner.run(work)


class _Skipping(selectors.DefaultSelector):
    """Puts the clock forward instead of waiting: nothing in a virtual world comes from outside."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            msg = "everybody waits for somebody else"
            raise RuntimeError(msg)
        if not ready and timeout:
            self._clock.seconds += max(timeout, _RESOLUTION)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    """Lives by the virtual clock, and does at once what would have gone to a thread: threads are not repeatable."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_Skipping(clock))
        self._clock = clock
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        return self._clock.seconds

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # asyncio's own stub has the type variables of 3.11's and of 3.12's
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits for the future
            future.set_exception(error)
        return future
