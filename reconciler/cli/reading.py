"""Reads accounts for commands, and says on stderr what could not be read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.cli.console import note
from reconciler.engine.planning import read_all, tried
from reconciler.engine.planning import read_plan as read_quietly
from reconciler.errors import AccountError, IncompleteList, ReconcilerError, UsageError
from reconciler.insight.alerts import Evidence, Standing, Unread
from reconciler.insight.balance import runways
from reconciler.insight.inventory import WINDOWS, identified, key_activity, take_inventory
from reconciler.model import KEY_VARIABLE, LONGEST_DAYS
from reconciler.planning.accounts import account_variables, part_of
from reconciler.planning.actions import PlanInputs, windows
from reconciler.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sized
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    import click

    from reconciler.account.client import Account
    from reconciler.engine.accounts import PlanRequest
    from reconciler.engine.planning import Readings
    from reconciler.insight.balance import Runway
    from reconciler.insight.inventory import InventoryKey
    from reconciler.model import Declaration, Snapshot, Statistics
    from reconciler.planning.actions import Finding, Plan


async def read_plan(request: PlanRequest, *, sweeps: bool = False) -> Readings:
    """Do what `reconciler.engine.planning.read_plan` does, and warn of a clock that is far off."""
    readings = await read_quietly(request, sweeps=sweeps)
    warn_of_skew(reading.skew for reading in readings.accounts.values())
    return readings


# Builds what commands work with from options and the environment.

TOLERATED_SKEW: Final = timedelta(minutes=5)


def check_clock(account: Account) -> None:
    """Warn when this machine's clock is far from the service's; what counts is the service's."""
    warn_of_skew([account.clock_skew])


def warn_of_skew(skews: Iterable[timedelta]) -> None:
    """Warn, once, when this machine's clock is far from the service's, given the differences that were seen."""
    skew = max(map(abs, skews), default=timedelta(0))
    if skew > TOLERATED_SKEW:
        unit = next(unit for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)) if skew >= 2 * unit)
        rounded = format_duration(round(skew / unit) * unit)
        note(f"warning: this machine's clock and the service's differ by {rounded}; the service's counts")


# The accounts that a command is about, read at the same time; what goes wrong with one is kept from the others.


def accounts_of(declaration: Declaration | None, environments: Collection[str] = ()) -> tuple[str, ...]:
    """Name the variables with the provisioning keys of these environments' accounts, of all for none, in order.

    Without a declaration it is the one account of NAGA_PROVISIONING_KEY. Raises UsageError for an environment that is
    not declared, and for any without a declaration.
    """
    if declaration is None and environments:
        msg = "-e needs a keys.yaml, which declares the environments; give one with -f"
        raise UsageError(msg)
    known = {} if declaration is None else declaration.environments
    for name in environments:
        if name not in known:
            from reconciler.cli.options import refuse_unknown

            refuse_unknown(f"environment {name} is not declared", name, known)
    return (KEY_VARIABLE,) if declaration is None else account_variables(declaration, environments)


def tell_of_unread(readings: Readings) -> None:
    """Say on stderr which accounts could not be read, each with its reason."""
    for variable, error in readings.unread.items():
        note(f"error: {variable}: {' '.join(str(error).split())}")


# What `balance`, `activity` and their like are made from, read from an account all at once.

AT_A_TIME: Final = 8
"""How many requests to one account run at a time."""


@dataclass(frozen=True, slots=True)
class AccountReading:
    """What was read of one account, the one of a variable, at the service's `now`.

    `balance` in USD, `statistics` by their number of days; what was not read is None or left out, and `unread` says in
    a line each what could not be read and why. `partial` is the one of those lines that says that the list of keys is
    not the whole account, None where there is none: no command ends well then.
    """

    variable: str
    now: datetime
    snapshot: Snapshot | None
    balance: Decimal | None
    statistics: Mapping[int, Statistics]
    unread: tuple[str, ...] = ()
    partial: str | None = None


async def read_insight(
    variable: str, account: Account, days: Collection[int], *, balance: bool = True
) -> AccountReading:
    """Read the keys, the balance and these windows of activity at the same time; what fails is kept as text.

    Where the longest window cannot be read, the others are not asked for: each may take as long to fail.
    """
    *windows, longest = sorted(days)
    is_partial = False

    async def keys() -> Snapshot:
        nonlocal is_partial
        try:
            return await account.list_keys()
        except IncompleteList:
            is_partial = True
            raise

    snapshot, amount, most = await asyncio.gather(
        tried("the keys", keys),
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
        partial=unread[0] if is_partial else None,
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


# The keys of the accounts that a file is about, read with what they were used for, account by account.

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeysReading:
    """An account with its inventory; `declared` is what the file says of this account, None without a file."""

    variable: str
    snapshot: Snapshot
    inputs: PlanInputs
    declared: Declaration | None
    keys: tuple[InventoryKey, ...]


async def read_keys(
    declaration: Declaration | None,
    simulator: Path | None,
    environments: Collection[str] = (),
    *,
    days: int = LONGEST_DAYS,
) -> dict[str, KeysReading | ReconcilerError]:
    """Read the accounts of these environments, of all for none, at the same time; gives an answer for each variable.

    `days` is the window that the inventory shows the spend of. What is not known of it is said on stderr.
    """

    async def read(variable: str, account: Account) -> KeysReading:
        declared = None if declaration is None else part_of(declaration, variable)
        return keys_reading(await read_insight(variable, account, wanted_windows(declared, days)), declared, days=days)

    answers = await read_all(accounts_of(declaration, environments), read, simulator, parallelism=AT_A_TIME)
    for answer in answers.values():
        if isinstance(answer, KeysReading):
            warn_of_unread(answer.inputs)
    return answers


def warn_of_unread(inputs: PlanInputs) -> None:
    """Say on stderr what could not be read."""
    for line in inputs.unread:
        note(f"warning: {line}")


def wanted_windows(declared: Declaration | None, days: int = LONGEST_DAYS) -> set[int]:
    """Name the windows of activity that the inventory and a plan want to know."""
    return {*WINDOWS, days, *(() if declared is None else windows(declared))}


def keys_reading(reading: AccountReading, declared: Declaration | None, *, days: int = LONGEST_DAYS) -> KeysReading:
    """Take the inventory of an account that was read; raises AccountError when its keys could not be."""
    if reading.snapshot is None:
        raise AccountError(reading.unread[0])
    activities = [activity for each in reading.statistics.values() if (activity := key_activity(each))]
    silent = sorted(reading.statistics.keys() - {each.days for each in activities})
    untold = [f"the activity of {each} days does not tell what single keys were used for" for each in silent]
    inputs = PlanInputs(balance=reading.balance, activity=tuple(activities), unread=(*reading.unread, *untold))
    keys = take_inventory(reading.variable, reading.snapshot, activities, declared, days=days)
    return KeysReading(reading.variable, reading.snapshot, inputs, declared, keys)


def readings_or_raise(answers: Mapping[str, T | ReconcilerError]) -> tuple[list[T], bool]:
    """Give what was read, and whether something was not: that is said on stderr.

    Raises the error of the only account, or of the first one where none could be read.
    """
    readings = [answer for answer in answers.values() if not isinstance(answer, ReconcilerError)]
    failures = {name: answer for name, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if failures and not readings:
        *others, first = reversed(failures.items())
        for name, error in reversed(others):
            note(f"error: the account of {name}: {error}")
        raise first[1]
    for name, error in failures.items():
        note(f"error: the account of {name} is left out: {error}")
    return readings, bool(failures)


# What the alerts of a file are judged by, from what was read of an account: the same for all that judge it.

_ACTIVITY: Final = f"the activity of {LONGEST_DAYS} days"


def evidence_of(
    reading: AccountReading, known: tuple[KeysReading, Plan] | Unread, findings: tuple[Finding, ...] | None = None
) -> Evidence:
    """Put together what was read; `known` are the keys and a plan that rotates none for its age, or why not.

    `findings` are what the destinations were found to lack, None where they were not asked.
    """
    money = reading.variable, _balance(reading), _runway(reading)
    if isinstance(known, Unread):
        return Evidence(*money, known)
    keys, plan = known
    return Evidence(*money, Standing(keys.keys, plan), _spend(keys), findings)


def _balance(reading: AccountReading) -> Decimal | Unread:
    return _unread(reading.unread, "the balance") if reading.balance is None else reading.balance


def _runway(reading: AccountReading) -> Runway | Unread:
    """Say how long the balance lasts at the pace of late, which is that of the last 7 days."""
    statistics = reading.statistics.get(LONGEST_DAYS)
    if reading.balance is None:
        return _unread(reading.unread, "the balance")
    if reading.snapshot is None:
        return _unread(reading.unread, "the keys")
    if statistics is None:
        return _unread(reading.unread, _ACTIVITY)
    measured = runways(reading.balance, statistics, reading.snapshot.keys, reading.now)
    return measured[0] if measured else Unread("the service does not tell what was spent on which day")


def _spend(keys: KeysReading) -> Unread | None:
    known = any(each.days == LONGEST_DAYS for each in keys.inputs.activity)
    return None if known else _unread(keys.inputs.unread, _ACTIVITY)


def _unread(reasons: tuple[str, ...], what: str) -> Unread:
    return Unread(next(reason for reason in reasons if reason.startswith(what)))
