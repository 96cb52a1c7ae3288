"""What plans are made from, read from each account all at once, and from all accounts at the same time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.errors import AccountError, ReconcilerError
from reconciler.fleet.connect import Patience, open_account, refuse_same_credential
from reconciler.fleet.planning import plan_account, refuse_empty_globs, with_moves
from reconciler.fleet.slots import Slot
from reconciler.plan.facts import Facts, windows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from datetime import timedelta
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.fleet.request import Request
    from reconciler.model import Declaration, Snapshot
    from reconciler.plan.actions import Plan

AT_A_TIME: Final = 32
"""How many accounts are open at once: each has its own connections."""

CONNECTIONS: Final = 512
"""How many requests may be under way in all accounts together."""

LATE: Final = 5.0
"""After how many seconds one that is still being read makes room for another: many that are down must not queue."""

AMONG_SEVERAL: Final = Patience()
"""How long one of several accounts is asked: it is not to hold up the others."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """The plan of one account, and what it was made from; `skew` is the service's time minus this machine's."""

    plan: Plan
    facts: Facts
    snapshot: Snapshot
    skew: timedelta


@dataclass(frozen=True, slots=True)
class Readings:
    """The plan of all accounts that a run is about, those that were read, and why the others were not."""

    plan: Plan
    accounts: Mapping[str, Reading]
    unread: Mapping[str, ReconcilerError]


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
    slot = Slot(slots)
    await slot.take()
    late = asyncio.get_running_loop().call_later(LATE, slot.give_back)
    try:
        yield
    finally:
        late.cancel()
        slot.give_back()


async def read_plan(request: Request, *, sweeps: bool = False) -> Readings:
    """Connect, read each account once and plan; an account that cannot be read is a finding beside the others.

    With `sweeps`, what dead runs have left of their locks goes where there is nothing else to do. Raises what keeps
    the only account, or all of them, from being read, and UsageError for an option that matches nothing.
    """

    async def read(variable: str, account: Account) -> Reading:
        return await _read_one(request, variable, account, sweeps=sweeps)

    answers = await read_all(request.variables(), read, request.simulator, credentials=request.credentials)
    accounts = {variable: answer for variable, answer in answers.items() if isinstance(answer, Reading)}
    unread = {variable: answer for variable, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if not accounts:
        raise _none_read(unread)
    if not unread:  # what is not known may be what was meant
        refuse_empty_globs(request, [reading.snapshot for reading in accounts.values()])
    if not request.several:
        (reading,) = accounts.values()
        return Readings(with_moves(request, reading.plan), accounts, unread)
    return Readings(_merged(request, accounts, unread), accounts, unread)


async def read_account(declaration: Declaration, base: Declaration | None, account: Account) -> tuple[Snapshot, Facts]:
    """Read keys, balance and activity at the same time; without the keys there is no plan, the rest is reported."""
    days = windows(declaration, base)
    rest = asyncio.gather(
        tried("the balance", account.balance),
        asyncio.gather(
            *(tried(f"the activity of {number} days", partial(account.activity, number)) for number in days)
        ),
    )
    try:
        snapshot = await account.list_keys()
        balance, activities = await rest
    finally:
        # Without the keys, nobody waits for the rest, and no request may outlive the account that it is made to.
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
    unread = [answer for answer in (balance, *activities) if isinstance(answer, str)]
    return snapshot, Facts(
        balance=None if isinstance(balance, str) else balance,
        activity=tuple(activity for activity in activities if not isinstance(activity, str)),
        base=base,
        unread=tuple(unread),
    )


async def _read_one(request: Request, variable: str, account: Account, *, sweeps: bool) -> Reading:
    snapshot, facts = await read_account(request.part(variable), request.base_part(variable), account)
    plan = plan_account(request, variable, snapshot, facts)
    if sweeps and not plan.actions and not plan.errors:
        from reconciler.account.lock import sweep

        await sweep(account, snapshot)
    return Reading(plan, facts, snapshot, account.clock_skew)


def _merged(request: Request, accounts: Mapping[str, Reading], unread: Mapping[str, ReconcilerError]) -> Plan:
    from reconciler.plan import accounts as of
    from reconciler.plan.merge import merge

    parts = {variable: reading.plan for variable, reading in accounts.items()}
    findings = [of.unread(request.declaration, variable, in_a_line(error)) for variable, error in unread.items()]
    snapshots = {variable: reading.snapshot for variable, reading in accounts.items()}
    findings += of.same_account(request.declaration, snapshots)
    return with_moves(request, merge(parts, findings))


def _none_read(unread: Mapping[str, ReconcilerError]) -> ReconcilerError:
    if len(unread) == 1:
        return next(iter(unread.values()))
    return AccountError("\n".join(f"{variable}: {in_a_line(error)}" for variable, error in unread.items()))


def in_a_line(error: Exception) -> str:
    """Put an error of an account into one line; of a foreign one the type only, since its words may hold a secret."""
    return " ".join(str(error).split()) if isinstance(error, ReconcilerError) else f"unexpected {type(error).__name__}"


async def tried(what: str, read: Callable[[], Awaitable[T]]) -> T | str:
    """Give what is read, or say in a line why it could not be."""
    # Called in here, so that a run that ends before this starts leaves nothing behind that was never awaited.
    try:
        return await read()
    except AccountError as error:
        return f"{what} could not be read: {error}"
