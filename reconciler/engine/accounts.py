"""Connects to accounts and reads them: which ones a request is about, how each is opened, and what it holds."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from reconciler.errors import AccountError, IncompleteList, ReconcilerError, UsageError
from reconciler.model import KEY_VARIABLE, LONGEST_DAYS, Snapshot, account_variables, part_of
from reconciler.planning.accounts import base_of, selected_variables
from reconciler.planning.actions import AS_THE_FILE_SAYS, Options
from reconciler.secret import Secret
from reconciler.units import format_duration

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.model import Declaration

T = TypeVar("T")
W = TypeVar("W")

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
    """Return the key that comments on a plan are sealed with, made of all provisioning keys that the plan needs.

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
    """Return where the simulated account of a variable is kept: one beside the other, where a file declares several."""
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
            label="" if self.label(variable) is None else f"{variable}: ",
        )

    def variables(self) -> tuple[str, ...]:
        """Name the variables of the accounts that are to be read, in order."""
        return selected_variables(self.declaration, self.base, self.options)

    def label(self, variable: str) -> str | None:
        """Return the account that has to be said of an action; None where the file and the run are about one only."""
        alone = len(account_variables(self.declaration)) == len(self.variables()) == 1
        return None if alone else variable

    def part(self, variable: str) -> Declaration:
        """Return what is declared for one account."""
        return part_of(self.declaration, variable)

    def base_part(self, variable: str) -> Declaration | None:
        """Return what of the base is held against that."""
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


# Accounts are read at the same time; what goes wrong with one is kept from the others.

AT_A_TIME: Final = 32
"""How many accounts are open at once: each has its own connections."""

CONNECTIONS: Final = 512
"""How many requests may be under way in all accounts together."""

LATE: Final = 5.0
"""After how many seconds one that is still being read makes room for another: many that are down must not queue."""

AMONG_SEVERAL: Final = Patience()
"""How long one of several accounts is asked: it is not to hold up the others."""


async def read_all(
    variables: Iterable[str],
    read: Callable[[str, Account], Awaitable[T]],
    simulator: Path | None = None,
    *,
    parallelism: int = 4,
    credentials: Mapping[str, str] | None = None,
) -> dict[str, T | ReconcilerError]:
    """Have `read` ask each of these accounts, at the same time; gives the answers by variable, in the order given.

    `read` gets the variable and the open account, which takes `parallelism` requests at a time. Where an account has
    no credential (UsageError) or does not answer (AccountError), that error is its answer, and the others go on. One of
    several is given up sooner than one that stands alone.
    `credentials` are what the variables hold, in place of the environment. Raises UsageError when two hold the same.
    """
    import asyncio

    slots = asyncio.Semaphore(AT_A_TIME)
    room = asyncio.Semaphore(max(AT_A_TIME, CONNECTIONS // parallelism))
    names = list(variables)
    several = len(names) > 1
    if several and simulator is None:
        refuse_same_credential(names, credentials)

    async def one(variable: str) -> T | ReconcilerError:
        try:
            async with (
                room,
                _turn(slots),
                open_account(
                    simulator,
                    parallelism=parallelism,
                    variable=variable,
                    credentials=credentials,
                    patience=AMONG_SEVERAL if several else None,
                    label=f"{variable}: " if several else "",
                ) as account,
            ):
                return await read(variable, account)
        except ReconcilerError as error:
            return error

    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


@asynccontextmanager
async def _turn(slots: asyncio.Semaphore) -> AsyncIterator[None]:
    """Take a slot, and give it back at the end or when it is late, whichever comes first."""
    import asyncio

    slot = Slot(slots)
    await slot.take()
    late = asyncio.get_running_loop().call_later(LATE, slot.give_back)
    try:
        yield
    finally:
        late.cancel()
        slot.give_back()


def none_read(unread: Mapping[str, ReconcilerError]) -> ReconcilerError:
    """Return what is raised where no account could be read, given why each could not."""
    if len(unread) == 1:
        return next(iter(unread.values()))
    return AccountError("\n".join(f"{variable}: {in_a_line(error)}" for variable, error in unread.items()))


def in_a_line(error: Exception) -> str:
    """Put an error of an account into one line; of a foreign one the type only, since its words may hold a secret."""
    return " ".join(str(error).split()) if isinstance(error, ReconcilerError) else f"unexpected {type(error).__name__}"


# The one reader of an account: its keys, its balance and windows of its activity, all at the same time.

TOLERATED_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read of an account, beside its keys.

    `days` are windows of activity that are read at once, `then` others that are asked for only where the longest of
    these could be read: each may take as long to fail. `periods` adds those that tell what budgets that renew have
    spent, by the live names and by what is declared for the account. Without `keys`, what can be read without the keys
    is read.
    """

    days: Collection[int] = (LONGEST_DAYS,)
    then: Collection[int] = ()
    declaration: Declaration | None = None
    periods: bool = False
    balance: bool = True
    keys: bool = True


@dataclass(frozen=True, slots=True)
class AccountReading(Generic[W]):
    """What was read of one account, the one of a variable, at the service's `now`.

    `balance` is in USD, `windows` are by their number of days. What was not read is None or left out, and `unread` says
    in a line each what could not be read and why. `partial` is the one of those lines that says that the list of keys
    is not the whole account, None where there is none: no command ends well then. `skew` is the service's time minus
    this machine's.
    """

    variable: str
    now: datetime
    snapshot: Snapshot | None
    balance: Decimal | None
    windows: Mapping[int, W]
    unread: tuple[str, ...] = ()
    partial: str | None = None
    skew: timedelta = timedelta(0)


async def read_account(
    variable: str, account: Account, wanted: Wanted, window: Callable[[int], Awaitable[W]]
) -> AccountReading[W]:
    """Read keys, balance and activity at the same time; what fails is kept as text.

    Args:
        variable: what holds the provisioning key of the account.
        account: the account, open.
        wanted: what to read.
        window: reads a window of so many days: `account.activity`, or `account.statistics` for all that is told.

    Raises:
        AccountError: the keys could not be read, and they are wanted.
    """
    import asyncio

    def windows(days: Iterable[int]) -> Awaitable[list[W | str]]:
        return asyncio.gather(*(tried(f"the activity of {each} days", partial(window, each)) for each in days))

    first = sorted({*wanted.days})
    rest = asyncio.gather(tried("the balance", account.balance) if wanted.balance else _nothing(), windows(first))
    snapshot: Snapshot | AccountError
    try:
        try:
            snapshot = await account.list_keys()
        except AccountError as error:
            if wanted.keys:
                raise
            snapshot = error
        balance, answers = await rest
        found = dict(zip(first, answers, strict=True))
        more = {*wanted.then} if not first or not isinstance(found[first[-1]], str) else set()
        if wanted.periods and isinstance(snapshot, Snapshot):
            more |= _period_windows(wanted.declaration, snapshot)
        later = sorted(more - {*first})
        found |= zip(later, await windows(later), strict=True)
    finally:
        # Without the keys, nobody waits for the rest, and no request may outlive the account that it is made to.
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
    keys = f"the keys could not be read: {snapshot}" if isinstance(snapshot, AccountError) else None
    told = (keys, balance, *(found[days] for days in sorted(found)))
    return AccountReading(
        variable=variable,
        now=snapshot.now if isinstance(snapshot, Snapshot) else account.now(),
        snapshot=snapshot if isinstance(snapshot, Snapshot) else None,
        balance=None if isinstance(balance, str) else balance,
        windows={days: answer for days, answer in sorted(found.items()) if not isinstance(answer, str)},
        unread=tuple(answer for answer in told if isinstance(answer, str)),
        partial=keys if isinstance(snapshot, IncompleteList) else None,
        skew=account.clock_skew,
    )


def _period_windows(declaration: Declaration | None, snapshot: Snapshot) -> set[int]:
    """Name the windows that tell what keys have spent in the periods of their budgets, and before those that begin."""
    from reconciler.planning.budgets import days_since, windows_of
    from reconciler.planning.matching import match
    from reconciler.planning.names import period_of

    periods = [period for key in snapshot.keys if (period := period_of(key.name))]
    found = {days_since(period.begin, snapshot.now) for period in periods}
    if declaration is not None and any(key.renew for key in declaration.keys):
        found |= windows_of(declaration, match(declaration, snapshot).live, snapshot.now)
    return found


async def tried(what: str, read: Callable[[], Awaitable[T]]) -> T | str:
    """Return what is read, or say in a line why it could not be."""
    # Called in here, so that a run that ends before this starts leaves nothing behind that was never awaited.
    try:
        return await read()
    except AccountError as error:
        return f"{what} could not be read: {error}"


async def _nothing() -> None:
    return None


def clock_warnings(skews: Iterable[timedelta]) -> tuple[str, ...]:
    """Warn, once, where this machine's clock is more than 5 minutes from the service's, given the differences seen."""
    skew = max(map(abs, skews), default=timedelta(0))
    if skew <= TOLERATED_SKEW:
        return ()
    unit = next(unit for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)) if skew >= 2 * unit)
    rounded = format_duration(round(skew / unit) * unit)
    return (f"this machine's clock and the service's differ by {rounded}; the service's counts",)
