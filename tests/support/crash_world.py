"""A world to be killed in: a simulated account behind a real socket, two dotenv files, and runs of the real command."""

from __future__ import annotations

import http.client
import os
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values

from reconciler.declaration import load
from reconciler.model import LiveKey, Snapshot
from reconciler.planning.names import period_of, without_period
from reconciler.planning.planner import make_plan
from reconciler.simulator import Faults, parse_fault
from reconciler.simulator.app import create_app
from support.runs import Job
from support.steps import WatchedState
from support.watched_service import nothing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Mapping
    from pathlib import Path

    from reconciler.planning.actions import AccountPlan
    from reconciler.simulator.state import Key
    from support.runs import Done, Runner, Running
    from support.sabotage import Blow
    from support.watched_service import Hook, Service, Strike

LEASES: Final = {
    "new": timedelta(hours=24),
    "sent": timedelta(hours=24),
    "run": timedelta(minutes=15),
    "lock": timedelta(minutes=2),
}
NO_LEASE: Final = "without a lease"
"""Stands among the kinds where a service has taken the lease of a new key away: the engine still keeps to it."""
LOCK_LEASE: Final = LEASES["lock"] + timedelta(seconds=1)
ALL_TIMES: Final = timedelta(days=15)
"""Longer than any lease, overlap or grace period that a scenario declares, and shorter than a key's rotation."""

STAMP: Final = "%Y%m%dT%H%M%SZ"
PLACES: Final = ("one", "two")
HEAD: Final = """\
version: 1
destinations:
  one: {type: dotenv, path: one/.env}
  two: {type: dotenv, path: two/.env}
environments:
"""
COMMENT: Final = "# somebody's own line"
STRANGERS: Final = ("dashboard's own", "ci/api~mine")
"""What people have called their keys; the second one looks like ours and is not."""
LOOK_FOR_LOCKS: Final = 2
"""Which list of keys shows a run whether somebody has locked the account; the first one tells if there is any work."""
OK: Final = 200


@dataclass
class CrashWorld:
    """One account with two dotenv files, which are not there yet when it is `bare`.

    `wanted` tells the live name of each declared key, without its period, and the variable that its secret goes to, in
    both files; `spent` what those have spent whose budget renews, which is 5 USD.
    """

    service: Service
    url: str
    folder: Path
    bare: bool = False
    state: WatchedState = field(default_factory=lambda: WatchedState(":memory:"))
    wanted: dict[str, str] = field(default_factory=dict)
    spent: dict[str, Decimal] = field(default_factory=dict)
    strangers: list[Key] = field(default_factory=list)

    def __post_init__(self) -> None:
        for place in () if self.bare else PLACES:
            (self.folder / place).mkdir()
            self._env(place).write_text(f"{COMMENT}\nOTHER=kept\n")
        for name in STRANGERS:
            self.strangers.append(self.state.create_key(name, Decimal(7))[0])
        self.break_with()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.state.close()

    # --- how it comes to be ---

    def break_with(self, *faults: str) -> None:
        """Put these faults in force, and no others."""
        self.service.open(create_app(self.state, faults=Faults(map(parse_fault, faults))))

    def declare(self, environments: str, *, file: str = "keys.yaml") -> None:
        """Write the file, below a head that knows the destinations `one` and `two`."""
        (self.folder / file).write_text(HEAD + environments)

    def live(self, name: str, variable: str | None = None, **fields: Any) -> Key:
        """Have a key in the account, its secret under a variable in both files."""
        key, secret = self.state.create_key(name, fields.pop("credit_limit", Decimal(5)), **fields)
        for place in PLACES if variable else ():
            text = self._env(place).read_text()
            lines = [line for line in text.splitlines() if not line.startswith(f"{variable}=")]
            self._env(place).write_text("\n".join([*lines, f"{variable}='{secret.reveal()}'"]) + "\n")
        return key

    def until(self, by: timedelta) -> str:
        """Write an instant as the names of the engine do."""
        return f"{self.state.now() + by:{STAMP}}"

    def period(self, spent: int) -> str:
        """Write the period that begins today as the names of the engine do."""
        return f"~per.{self.state.now():%Y%m%d}.{spent}"

    # --- what happens in it ---

    def launch(self, runner: Runner, *arguments: str, blow: Blow | None = None, renews_often: bool = False) -> Running:
        """Begin a run."""
        environment = {"PATH": os.defpath, "NAGA_BASE_URL": self.url, "NAGA_PROVISIONING_KEY": "provisioning"}
        return runner.start(Job(self.folder, arguments, environment, blow, renews_often))

    def run(
        self, runner: Runner, *arguments: str, strike: Strike | None = None, hook: Hook = nothing, **sabotage: Any
    ) -> Done:
        """Run the command to its end; it is killed, or told of failures, as asked for."""
        self.service.expect(strike, self._unwatched(hook))
        self.state.watching = True
        run = self.launch(runner, *arguments, **sabotage)
        self.service.watch(run.pid)
        done = run.wait()
        self.service.rest()
        self.state.watching = False
        return done

    def _unwatched(self, hook: Hook) -> Hook:
        """What a hook does to the account is not the work of the run."""

        def call(number: int, label: str) -> Awaitable[object] | None:
            self.state.watching = False
            try:
                return hook(number, label)
            finally:
                self.state.watching = True

        return call

    def apply(self, runner: Runner, *arguments: str, **happening: Any) -> Done:
        """Apply as CI does: nobody is asked, nobody looks."""
        return self.run(runner, "apply", "--auto-approve", *arguments, **happening)

    def recover(self, runner: Runner) -> Done:
        """Apply once more, right after a run has died; while it waits for the dead run's lock, the lease runs out."""

        def wait(_: int, label: str) -> None:
            looked = label == "GET keys" and self.service.requests.count(label) == LOOK_FOR_LOCKS
            if looked and self.locked():
                self.state.travel(LOCK_LEASE)

        return self.apply(runner, hook=wait)

    # --- what became of it ---

    def keys(self) -> dict[int, Key]:
        live = self.state.keys()
        return {key.id: key for key in live}

    def locked(self) -> bool:
        """Tell whether a lock is there that has not run out."""
        now = self.state.now()
        return any("~lock." in key.name and key.expires_at and key.expires_at > now for key in self.keys().values())

    def plan(self) -> AccountPlan:
        """Work out what is left to do, as `reconciler plan` does."""
        keys = (LiveKey(*astuple(key)) for key in self.keys().values())
        return make_plan(load(self.folder / "keys.yaml"), Snapshot(tuple(keys), self.state.now()))

    def secrets(self, place: str) -> dict[str, str | None]:
        return dotenv_values(self._env(place))

    def check(self, *, engine: Iterable[str] = (), as_before: Mapping[int, Key] | None = None) -> None:
        """See that the promises are kept; of the engine's own keys only those of these kinds may be there.

        `as_before` are the keys before a run that did not complete its work: then a declared key may be missing still
        (but one that is there has its secret where it belongs), and others may be as they were.
        """
        problems = [*self._lost(complete=as_before is None), *self._left(frozenset(engine), as_before or {})]
        problems += [f"no step of the protocol: {step}" for step in self.state.strange]
        assert not problems, "\n".join([*problems, *map(str, self.keys().values())])

    def _lost(self, *, complete: bool) -> Iterator[str]:
        """Say what a declared key lacks: itself, or its secret anywhere."""
        for name, variable in self.wanted.items():
            namesakes = [key for key in self.keys().values() if without_period(key.name) == name]
            if len(namesakes) > 1 or (complete and not namesakes):
                yield f"{len(namesakes)} keys are called {name}"
            for key in namesakes:
                yield from self._undelivered(key, variable, complete=complete)
                period, spent = period_of(key.name), self.spent.get(name)
                if spent is not None and (period is None or key.credit_limit != spent + 5 or period.spent != spent):
                    yield f"{key} may spend another sum than 5 USD beyond the {spent} that it has spent"
        for place in () if self.bare else PLACES:
            if COMMENT not in self._env(place).read_text() or self.secrets(place).get("OTHER") != "kept":
                yield f"{place} has lost what was there before"

    def _undelivered(self, key: Key, variable: str, *, complete: bool) -> Iterator[str]:
        """Say where the secret of a key is missing; on the way to its successor's, that one's will do as well."""
        for place in PLACES:
            secret = self.secrets(place).get(variable)
            if secret is None or (complete and self.state._holder(secret) != key.id):
                yield f"{place} does not hold the secret of {key.name} (key {key.id})"
            elif key.is_enabled and not (self.state.opens(secret) and self._serves(secret)):
                yield f"the secret of {key.name} in {place} opens nothing"

    def _left(self, engine: frozenset[str], as_before: Mapping[int, Key]) -> Iterator[str]:
        """Say what is there that should not be: files, keys, and whatever was done to a stranger's key."""
        for place in PLACES:
            folder = self.folder / place
            found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            if found not in ([], [".env"]):
                yield f"files are left in {place}: {found}"
        strangers = {key.id: key for key in self.strangers}
        keys = self.keys()
        for key in self.strangers:
            if keys.get(key.id) != key:
                yield f"the unmanaged {key} became {keys.get(key.id)}"
        for key in keys.values():
            if without_period(key.name) not in self.wanted and key.id not in strangers and key != as_before.get(key.id):
                yield from self._unlawful(key, engine)

    def _unlawful(self, key: Key, engine: frozenset[str]) -> Iterator[str]:
        kind, _, stamp = key.name.partition("~")[2].partition(".")
        if kind not in engine:
            yield f"{key} should not be there"
            return
        now = self.state.now()
        lease = LEASES.get(kind)
        end = key.created_at + LEASES["new"] if NO_LEASE in engine else key.expires_at
        if lease and (end is None or not now < end <= now + lease):
            yield f"{key} is not under a lease of {lease}"
        if kind == "old" and key.is_enabled and (key.expires_at is None or key.expires_at > _instant(stamp)):
            yield f"{key} outlives its overlap"
        if kind in {"old", "gone"} and _instant(stamp) <= now:
            yield f"{key} should have gone by now"
        if kind == "gone" and key.is_enabled:
            yield f"{key} is retired and works"

    def _serves(self, secret: str) -> bool:
        """Use a secret, as the program that reads the file does."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {secret}"})
            return connection.getresponse().status == OK
        finally:
            connection.close()

    def _env(self, place: str) -> Path:
        return self.folder / place / ".env"


def _instant(stamp: str) -> datetime:
    return datetime.strptime(f"{stamp}+0000", f"{STAMP}%z")
