"""Connects to accounts: which ones a plan request is about, and how each is opened."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import UsageError
from reconciler.model import KEY_VARIABLE
from reconciler.planning.accounts import account_variables, base_of, part_of, selected_variables
from reconciler.planning.actions import AS_THE_FILE_SAYS, Options
from reconciler.secret import Secret

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.model import Declaration


URL_VARIABLE: Final = "NAGA_BASE_URL"
_SIMULATOR_KEY: Final = "simulator-provisioning-key"
_SEAL_PURPOSE: Final = b"reconciler: comments on plans, 1"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an account that others wait for is asked, in seconds.

    `failing` bounds when one that fails is tried again: that leaves time for all attempts at one that is refused or
    answers 503, and for one attempt at one that never answers. `limited` is the same for one that answers 429: time to
    follow a Retry-After of a minute once. `answer` is for the whole of an answer, a little more than for its beginning.
    """

    failing: float = 20.0
    limited: float = 90.0
    answer: float = 35.0


def open_account(
    simulator: Path | None,
    *,
    parallelism: int = 1,
    variable: str = KEY_VARIABLE,
    credentials: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    label: str = "",
) -> Account:
    """Connect to the account whose provisioning key a variable holds, or to its simulator at a path.

    With `credentials`, they are what the variables hold, in place of the environment. With a simulator, accounts of
    other variables than the usual one are kept beside the path. With `patience`, it is asked for no longer than that;
    what is logged begins with `label`. Raises UsageError when the variable is not set, or holds what cannot be
    a key.
    """
    from reconciler.account.client import connect
    from reconciler.http.address import DEFAULT_BASE_URL
    from reconciler.http.exchange import Timeouts
    from reconciler.http.retry import RetryPolicy

    retry, timeouts = RetryPolicy(), Timeouts()
    if patience is not None:
        retry = RetryPolicy(downtime=patience.failing, patience=patience.limited)
        timeouts = Timeouts(whole=patience.answer)
    if simulator is not None:
        from reconciler.simulator import open_transport

        # Never the real key: nothing but this process is asked.
        key = Secret(_SIMULATOR_KEY)
        transport = open_transport(simulated_at(simulator, variable))
        return connect(key, parallelism=parallelism, transport=transport, retry=retry, timeouts=timeouts, label=label)
    value = _held(variable, credentials)
    if not value:
        where = f"create a provisioning key on the dashboard and export it (export {variable}=…)"
        msg = f"{variable} is not set; {where}, or try --simulator sim.db"
        raise UsageError(msg)
    base_url = os.environ.get(URL_VARIABLE) or DEFAULT_BASE_URL
    return connect(
        Secret(value),
        base_url=base_url,
        parallelism=parallelism,
        retry=retry,
        timeouts=timeouts,
        variable=variable,
        label=label,
    )


def refuse_same_credential(variables: Iterable[str], credentials: Mapping[str, str] | None = None) -> None:
    """Raise UsageError when two variables hold the same key: each would take the keys of the other for unmanaged."""
    seen: dict[str, str] = {}
    for variable in variables:
        value = _held(variable, credentials)
        first = seen.setdefault(value, variable)
        if value and first != variable:
            msg = f"{first} and {variable} hold the same provisioning key; let its environments name the same variable"
            raise UsageError(msg)


def seal_key(request: PlanRequest) -> bytes | None:
    """Give the key that comments on a plan are sealed with, made of all provisioning keys that the plan needs.

    So somebody with the key of one account forges no plan of several. None where a key is missing. What is made with it
    may be public: a provisioning key is too long to be guessed from it.
    """
    variables = selected_variables(request.declaration, None, request.options)
    simulated = None if request.simulator is None else _SIMULATOR_KEY
    keys = [(variable, simulated or _held(variable, request.credentials)) for variable in variables]
    if not all(value for _, value in keys):
        return None
    return hmac.new(_SEAL_PURPOSE, json.dumps(keys).encode(), hashlib.sha256).digest()


def simulated_at(simulator: Path, variable: str) -> Path:
    """Say where the simulated account of a variable is kept: one beside the other, where a file declares several."""
    if variable == KEY_VARIABLE:
        return simulator
    return simulator.with_name(f"{simulator.stem}.{variable.lower()}{simulator.suffix}")


def _held(variable: str, credentials: Mapping[str, str] | None) -> str:
    return (os.environ if credentials is None else credentials).get(variable, "").strip()


# What to plan.


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to plan: the declaration, the one before the change if it is known, and wishes beyond the file.

    With `simulator`, accounts are simulated and kept there. `credentials` are what the variables with provisioning keys
    hold, in place of the environment. `reviewed` options are those of a plan that was reviewed: what they matched then
    may be gone by now, which makes the plan stale and not the options wrong.
    """

    declaration: Declaration
    base: Declaration | None = None
    options: Options = AS_THE_FILE_SAYS
    simulator: Path | None = None
    credentials: Mapping[str, str] | None = field(default=None, repr=False)
    reviewed: bool = False

    def open(self, variable: str, parallelism: int) -> Account:
        """Connect to one account; raises UsageError when there is no credential for it."""
        return open_account(
            self.simulator,
            parallelism=parallelism,
            variable=variable,
            credentials=self.credentials,
            label=f"{variable}: " if self.several else "",
        )

    def variables(self) -> tuple[str, ...]:
        """Name the variables of the accounts that are to be read, in order."""
        return selected_variables(self.declaration, self.base, self.options)

    @property
    def several(self) -> bool:
        """Whether it has to be said of an action whose account it is about."""
        return len(account_variables(self.declaration)) > 1 or len(self.variables()) > 1

    def part(self, variable: str) -> Declaration:
        """Give what is declared for one account."""
        return part_of(self.declaration, variable)

    def base_part(self, variable: str) -> Declaration | None:
        """Give what of the base is held against that."""
        return None if self.base is None else base_of(self.base, self.declaration, variable)


# Which accounts are at work: many at the same time, but not all of hundreds.


@dataclass(slots=True)
class Slot:
    """The place of an account among those that are at work."""

    slots: asyncio.Semaphore
    held: bool = False

    async def take(self) -> None:
        """Wait for a place, unless there is one already."""
        if not self.held:
            await self.slots.acquire()
            self.held = True

    def give_back(self) -> None:
        """Make room for another account."""
        if self.held:
            self.held = False
            self.slots.release()
