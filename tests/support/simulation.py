"""A simulated account to ask, in this process or over a socket."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from reconciler.simulator import Faults, State, parse_fault
from reconciler.simulator.app import SimulatorTransport, create_app
from reconciler.simulator.serve import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

PROVISIONING = "a-provisioning-key"


def faults(*specs: str, **fields: Any) -> Faults:
    return Faults(map(parse_fault, specs), **fields)


def names(state: State) -> list[str]:
    live = state.keys()
    return [key.name for key in live]


class Service:
    """The service of one account: every call is one request, and its answer."""

    def __init__(self, state: State, *specs: str, **options: Any) -> None:
        self.state = state
        self.app = create_app(state, faults=faults(*specs), **options)

    def ask(
        self, method: str, path: str, json: Any = None, *, bearer: str | None = PROVISIONING, **more: Any
    ) -> httpx.Response:
        headers = {**({} if bearer is None else {"Authorization": f"Bearer {bearer}"}), **more.pop("headers", {})}
        if json is not None:
            more["json"] = json

        async def call() -> httpx.Response:
            transport = SimulatorTransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://simulated") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(call())


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port and give the address of its API."""
    server = Server(app)
    ready = threading.Event()
    thread = threading.Thread(target=server.listen, args=[ready.set])
    thread.start()
    try:
        assert ready.wait(60)
        yield server.url
    finally:
        server.should_exit = True
        thread.join()
