"""What `balance`, `activity` and their like are made from, read from an account all at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from reconciler.cli.accounts import read_all
from reconciler.cli.wiring import check_clock
from reconciler.fleet.reading import tried
from reconciler.insight.attribution import identified

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sized
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    import click

    from reconciler.account.client import Account
    from reconciler.errors import ReconcilerError
    from reconciler.model import Declaration, Snapshot, Statistics

AT_A_TIME: Final = 8
"""How many requests to one account run at a time."""


@dataclass(frozen=True, slots=True)
class AccountReading:
    """What was read of one account, the one of a variable, at the service's `now`.

    `balance` in USD, `statistics` by their number of days; what was not read is None or left out, and `unread` says in
    a line each what could not be read and why.
    """

    variable: str
    now: datetime
    snapshot: Snapshot | None
    balance: Decimal | None
    statistics: Mapping[int, Statistics]
    unread: tuple[str, ...] = ()


async def read_insight(
    variable: str, account: Account, days: Collection[int], *, balance: bool = True
) -> AccountReading:
    """Read the keys, the balance and these windows of activity at the same time; what fails is kept as text.

    Where the longest window cannot be read, the others are not asked for: each may take as long to fail.
    """
    *windows, longest = sorted(days)
    snapshot, amount, most = await asyncio.gather(
        tried("the keys", account.list_keys),
        tried("the balance", account.balance) if balance else _nothing(),
        _statistics(account, longest),
    )
    known = [] if isinstance(most, str) else windows
    statistics = [*await asyncio.gather(*(_statistics(account, each) for each in known)), most]
    check_clock(account)
    told = [each for each in statistics if not isinstance(each, str)]
    unread = [each for each in (snapshot, amount, *statistics) if isinstance(each, str)]
    return AccountReading(
        variable=variable,
        now=account.now() if isinstance(snapshot, str) else snapshot.now,
        snapshot=None if isinstance(snapshot, str) else snapshot,
        balance=None if isinstance(amount, str) else amount,
        statistics={each.days: each if isinstance(snapshot, str) else identified(each, snapshot) for each in told},
        unread=tuple(unread),
    )


async def read_accounts(
    variables: Iterable[str], days: Collection[int], simulator: Path | None, *, balance: bool = True
) -> dict[str, AccountReading | ReconcilerError]:
    """Read these accounts at the same time; see `read_insight` and `read_all`."""

    async def read(variable: str, account: Account) -> AccountReading:
        return await read_insight(variable, account, days, balance=balance)

    return await read_all(variables, read, simulator, parallelism=AT_A_TIME)


def named(variable: str, text: str, variables: Sized) -> str:
    """Say whose complaint it is, where there are several accounts."""
    return f"account of {variable}: {text}" if len(variables) > 1 else text


def declaration_if_any(context: click.Context, file: Path) -> Declaration | None:
    """Load the declaration; None when there is none at the default path and no other path was asked for."""
    from click.core import ParameterSource

    from reconciler.declaration import load

    if context.get_parameter_source("file") is ParameterSource.DEFAULT and not file.exists():
        return None
    return load(file)


async def _statistics(account: Account, days: int) -> Statistics | str:
    return await tried(f"the activity of {days} days", partial(account.statistics, days))


async def _nothing() -> None:
    return None
