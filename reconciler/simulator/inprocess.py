"""The service in this process, behind an httpx transport."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing() -> None:
    """Do nothing: the account belongs to whoever opened it."""


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Carry requests to an ASGI application in this process, and fail as a network does.

    A client's read time-out counts, and the service goes on with a request whose client gave up, as a real one would:
    what it commits late is there.
    """

    def __init__(self, app: Any, on_close: Callable[[], None] = _nothing) -> None:  # noqa: ANN401  # as httpx has it
        """Carry requests to `app`; `on_close` is called when the transport is closed, once."""
        self._inner = httpx.ASGITransport(app)
        self._on_close = on_close
        self._late: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises httpx.ReadTimeout, or httpx.ReadError for an answer that a fault has lost."""
        task = asyncio.create_task(self._inner.handle_async_request(request))
        self._late.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=request.extensions.get("timeout", {}).get("read"))
        if not done:
            msg = "the simulator did not answer in time"
            raise httpx.ReadTimeout(msg)
        return task.result()

    async def aclose(self) -> None:
        """Stop what is still going on, and let go of the account."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        on_close, self._on_close = self._on_close, _nothing
        on_close()

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain about one that nobody waits for any more
