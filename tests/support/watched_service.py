"""The simulator behind an eye that counts the requests of a run, and a hand that kills the run at one of them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.simulator.front import DROP
from support.sabotage import AFTER, BEFORE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Hook = Callable[[int, str], Awaitable[object] | None]


@dataclass(frozen=True, slots=True)
class Strike:
    """Kill the run at its `number`-th request: `before` the service handles it, or `after` it has and not answered."""

    number: int
    moment: str


def nothing(_: int, __: str) -> None:
    """Do nothing."""


class Service:
    """What the tests' server serves: the account of the world at hand.

    `requests` are those of the run, in the order of their arrival; the `hook` is called (and awaited, if it likes) with
    the number and the label of each, after it was handled and before its answer is sent.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._hook: Hook = nothing
        self._app: ASGIApp | None = None
        self._strike: Strike | None = None
        self._pid = 0
        self._known = threading.Event()

    def open(self, app: ASGIApp) -> None:
        """Serve an account from now on."""
        self._app = app
        self.expect()

    def expect(self, strike: Strike | None = None, hook: Hook = nothing) -> None:
        """Begin to count the requests of a run."""
        self.requests, self._hook, self._strike = [], hook, strike
        self._known.clear()

    def rest(self) -> None:
        """Do nothing more: the run is over, and what is asked from now on is asked by the test."""
        self._strike, self._hook = None, nothing

    def watch(self, pid: int) -> None:
        """Learn which process to kill."""
        self._pid = pid
        self._known.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None
        label = f"{scope['method']} {scope['path'].removeprefix('/v1/').removeprefix('account/')}"
        self.requests.append(label)
        number = len(self.requests)
        struck = self._strike.moment if self._strike and self._strike.number == number else ""
        if struck == BEFORE:
            await self._kill(scope, receive)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        if waiting := self._hook(number, label):
            await waiting
        if struck == AFTER:
            await self._kill(scope, receive)
            return
        for message in answer:
            await send(message)

    async def _kill(self, scope: Scope, receive: Receive) -> None:
        assert self._known.wait(60), "a request came before its process was known"
        os.kill(self._pid, signal.SIGKILL)
        scope["extensions"][DROP]()
        while (await receive())["type"] != "http.disconnect":
            pass
