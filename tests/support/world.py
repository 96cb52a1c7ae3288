"""A small world to apply in: a simulated account, real dotenv files, and every fault that the simulator knows."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Self

from dotenv import dotenv_values

from reconciler.account.client import connect
from reconciler.destinations.registry import Registry
from reconciler.execution.executor import apply_plan
from reconciler.execution.issue import ApplyContext
from reconciler.http.retry import Timing
from reconciler.model import Delivery, Target
from reconciler.planning.actions import AS_THE_FILE_SAYS, Options
from reconciler.planning.planner import make_plan
from reconciler.secret import Secret
from reconciler.simulator import Faults, State, parse_fault, transport
from support.builders import SOMEWHERE, declared, dotenv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.model import Declaration, DeclaredKey
    from reconciler.planning.actions import AccountPlan, ApplyResult, Outcome
    from reconciler.simulator.state import Key


class _Skipping:
    """A clock that a sleep puts forward instead of waiting; `on_sleep` is what happens meanwhile."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self.on_sleep: Callable[[], object] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self._skipped += seconds
        self.on_sleep()
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped


class World:
    """One account, one folder for secrets; `apply` plans and applies as the command does, without its front."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State(":memory:")
        self.faults: list[str] = []
        self.masked: list[Secret] = []
        self.reported: list[Outcome] = []
        self.registry = Registry()
        self.clock = _Skipping()
        self.timing = Timing(sleep=self.clock.sleep, monotonic=self.clock.monotonic)
        self._nonces = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.state.close()

    def key(self, text: str, credit_limit: str | None = "5", **fields: object) -> DeclaredKey:
        """Declare a key whose secret goes to this world's secrets.env under the key's own name."""
        if "deliver" not in fields:
            name = text.upper().replace("/", "_").replace("-", "_")
            fields["deliver"] = (dotenv(str(self.folder / "secrets.env"), name),)
        return declared(text, credit_limit, **fields)

    def nonce(self) -> str:
        return f"{next(self._nonces):016x}"

    def mask(self, secret: Secret) -> None:
        """Keep what is masked, as the log of a build would: it is wiped when the key is done with."""
        self.masked.append(secret.copy())

    def account(self) -> Account:
        faults = Faults(parse_fault(spec) for spec in self.faults)
        return connect(Secret("provisioning"), transport=transport(self.state, faults), timing=self.timing)

    def plan(self, wanted: Declaration) -> AccountPlan:
        async def read() -> AccountPlan:
            async with self.account() as account:
                return make_plan(wanted, await account.list_keys())

        return asyncio.run(read())

    def apply(
        self,
        wanted: Declaration,
        *,
        options: Options = AS_THE_FILE_SAYS,
        parallelism: int = 4,
        stop: Callable[[Outcome], bool] = lambda _: False,
        after_plan: Callable[[], None] = lambda: None,
    ) -> ApplyResult:
        """Plan and carry out; `stop` is asked after each outcome, `after_plan` runs before the first write."""

        async def work() -> ApplyResult:
            stopping = asyncio.Event()

            def report(outcome: Outcome) -> None:
                self.reported.append(outcome)
                if stop(outcome):
                    stopping.set()

            async with self.account() as account:
                plan = make_plan(wanted, await account.list_keys(), options)
                after_plan()
                run = ApplyContext(account, self.registry, self.nonce, self.mask, self.clock.sleep)
                return await apply_plan(plan, wanted, run, parallelism=parallelism, stop=stopping, report=report)

        return asyncio.run(work())

    def secrets(self) -> dict[str, str | None]:
        file = self.folder / "secrets.env"
        return dict(dotenv_values(file)) if file.exists() else {}

    def names(self) -> list[str]:
        return sorted(key.name for key in self.live())

    def live(self) -> tuple[Key, ...]:
        return self.state.keys()


def statuses(result: ApplyResult) -> list[str]:
    return [f"{outcome.action.kind} {outcome.action.address} {outcome.status}" for outcome in result.outcomes]


def messages(result: ApplyResult) -> str:
    return "\n".join(outcome.message or "" for outcome in result.outcomes)


def to(*places: str) -> tuple[Delivery, ...]:
    """Deliver to fake destinations of these names."""
    return tuple(Delivery(Target(place, "fake", ()), "NAME", SOMEWHERE) for place in places)
