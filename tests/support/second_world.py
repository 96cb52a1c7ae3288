"""The real command against the second server, in this process or in processes of its own.

In this process time passes only when everybody waits. What the command sends is answered without a socket, after a
virtual moment on its way there and another one on its way back, so that waiting costs nothing and everything happens
again in the same order.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs

import httpx
from dotenv import dotenv_values

from reconciler.account import client
from reconciler.account.client import connect
from reconciler.http.connection import open_connections
from reconciler.http.retry import Timing
from support.command import Ended, call
from support.runs import Job
from support.second_server import Clock, Request, SecondServer, Silence
from support.virtual import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime
    from pathlib import Path

    import pytest

    from support.runs import Done, Forks, Running
    from support.second_server import Key

ON_ITS_WAY: Final = 0.04
"""Seconds, each way."""
ENDLESS: Final = 400
"""No command of these tests has so many requests to make, unless it does not end."""
HEAD: Final = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
environments:
  ci:
    deletion_grace: 2d
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys:
"""
LENIENT: Final = Silence(
    newest_first=True,
    lag=1,
    zone=False,
    amounts="text",
    omits_no_expiry=True,
    more_fields=True,
    created=200,
    patched="nothing",
    deleted="message",
    models="anyone",
    errors="detail",
)
STRICT: Final = Silence(
    hint="total",
    unique_names=True,
    strict_fields=True,
    expired="disabled",
    fine_one=True,
    amounts="noise",
    patched="message",
    deleted="error",
    models=404,
    chat=422,
    date=False,
)
"""Two services that differ from each other in nearly everything, and both from what one would expect."""


class _Virtual(Clock):
    """The time of the virtual world, told by the service."""

    def __init__(self, clock: VirtualClock) -> None:
        self.tick, self._clock = 0.0, clock

    @property
    def now(self) -> datetime:  # type: ignore[override] # nobody sets it
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        self._clock.seconds += seconds


class SecondWorld:
    """A folder with keys.yaml and one dotenv file, the server, and what must never be: `broken` collects it."""

    def __init__(self, folder: Path, server: SecondServer) -> None:
        self.folder, self.server = folder, server
        self.server.watch = lambda _: self.check()
        self.declared: set[str] = set()
        self.broken: list[str] = []
        self._read: tuple[tuple[int, int], dict[str, str | None]] = ((0, 0), {})

    def run(self, *words: str) -> Ended | Done:
        """Run the command to its end."""
        raise NotImplementedError

    def declare(self, **keys: str) -> Self:
        """Write the file: for each key its fields as YAML has them between braces."""
        lines = [f"      {name}: {{{fields}}}" for name, fields in keys.items()]
        (self.folder / "keys.yaml").write_text(HEAD + "\n".join(lines or ["      {}"]) + "\n")
        self.declared = {f"ci/{name}" for name in keys}
        return self

    def apply(self, *words: str) -> Ended | Done:
        """Apply as CI does."""
        return self.run("apply", "--auto-approve", *words)

    def pass_time(self, days: float) -> None:
        """Let time pass while nobody does anything."""
        self.server.clock.advance(days * 86400)

    def held(self, name: str) -> str | None:
        """Return the secret that the destination has for a declared name."""
        file = self.folder / "secrets.env"
        if not file.exists():
            return None
        stamp = (file.stat().st_ino, file.stat().st_mtime_ns)
        if self._read[0] != stamp:
            self._read = (stamp, dotenv_values(file))
        return self._read[1].get("KEY_" + re.sub(r"[^A-Z0-9]", "_", name.partition("/")[2].upper()))

    def settled(self) -> dict[str, Key]:
        """Return the keys that stand under a declared name."""
        return {key.name: key for key in self.server.keys.values() if key.name in self.declared}

    def names(self) -> list[str]:
        """Return all names that a list can show, the engine's own without what is counted or random in them."""
        return sorted(key.name.partition(".")[0] for key in self.server.listed())

    def check(self) -> None:
        """Look at the account and the destination once: this moment could be the last one."""
        keys = self.server.keys.values()
        owner = {self.server.secrets[key.id]: key.name.partition("~")[0] for key in keys}
        for name in sorted(self.declared):
            named = [key for key in keys if key.name == name]
            held = self.held(name)
            if len(named) > 1:
                self.broken.append(f"{len(named)} keys are called {name}")
            if named and (held is None or owner.get(held) != name):
                self.broken.append(f"{name} stands there, and its destination holds {held and 'something else'}")

    def check_in_place(self, *names: str) -> None:
        """Exactly these of the declared keys are there, open, and are what their destination holds."""
        settled = self.settled()
        assert set(settled) == set(names), self.names()
        for name, key in settled.items():
            assert self.held(name) == self.server.secrets[key.id], name
            assert self.server.works(self.server.secrets[key.id]), name
        assert self.broken == []

    def check_quiet(self, *names: str) -> None:
        """After an apply that ended well: all is in place, and another one writes nothing."""
        self.check_in_place(*names)
        before = len(self.server.writes())
        again = self.apply()
        assert again.code == 0, again
        assert len(self.server.writes()) == before, self.server.writes()[before:]


class Here(SecondWorld):
    """Runs the command in this process, without a socket and in virtual time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, silence: Silence) -> None:
        self._clock, self._asked = VirtualClock(), 0
        super().__init__(folder, SecondServer(silence, clock=_Virtual(self._clock)))
        timing = Timing(asyncio.sleep, random.Random(0).random, self._clock.monotonic, self._clock.now)  # noqa: S311 # repeatable on purpose
        monkeypatch.setitem(connect.__kwdefaults__ or {}, "timing", timing)
        parts = (timing.sleep, timing.random, timing.monotonic, timing.machine)
        monkeypatch.setattr(Timing.__init__, "__defaults__", parts)
        monkeypatch.setattr(asyncio, "run", self._run)
        transport = httpx.MockTransport(self._answered)
        monkeypatch.setattr(client, "open_connections", lambda url, _: open_connections(url, transport))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("NAGA_PROVISIONING_KEY", self.server.provisioning_key)
        monkeypatch.setenv("NAGA_BASE_URL", "http://127.0.0.1:9/v1")

    def run(self, *words: str) -> Ended:
        self._asked = 0
        return call(*words)

    def at(self, seconds: float) -> None:
        """Set the time, in seconds since the world began."""
        self._clock.seconds = seconds

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        def mishap(message: str, error: BaseException | None) -> None:
            self.broken.append(f"{message}: {error!r}")

        return self._clock.run(work, mishap)

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        self._asked += 1
        if self._asked > ENDLESS:
            msg = "this does not end"
            raise RuntimeError(msg)
        body = json.loads(text, parse_float=Decimal) if (text := await request.aread()) else {}
        token = request.headers["Authorization"].removeprefix("Bearer ")
        query = parse_qs(request.url.query.decode())
        await asyncio.sleep(ON_ITS_WAY)
        answer = self.server.answer(Request(request.method, request.url.path, query, body, token))
        await asyncio.sleep(ON_ITS_WAY)
        if answer is None:
            msg = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(msg)
        return httpx.Response(answer.status, headers=self.server.headers(answer), content=answer.content)


class Elsewhere(SecondWorld):
    """Runs the command in processes of their own, which find the server on a socket."""

    def __init__(self, folder: Path, server: SecondServer, forks: Forks) -> None:
        super().__init__(folder, server)
        self._forks = forks

    def start(self, *words: str) -> Running:
        """Begin a run."""
        service = {"NAGA_BASE_URL": self.server.base_url, "NAGA_PROVISIONING_KEY": self.server.provisioning_key}
        return self._forks.start(Job(self.folder, words, {"PATH": os.defpath, **service}))

    def run(self, *words: str) -> Done:
        return self.start(*words).wait()
