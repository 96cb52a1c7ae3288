"""The keys of the accounts that a file is about, read with what they were used for, account by account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from reconciler.cli.accounts import accounts_of, read_all
from reconciler.cli.console import note
from reconciler.cli.insight_reading import AT_A_TIME, read_insight
from reconciler.errors import AccountError, ReconcilerError
from reconciler.insight.inventory import WINDOWS, key_activity, take_inventory
from reconciler.model import LONGEST_DAYS
from reconciler.plan.accounts import part_of
from reconciler.plan.facts import Facts, windows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.cli.insight_reading import AccountReading
    from reconciler.insight.inventory import InventoryKey
    from reconciler.model import Declaration, Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeysReading:
    """An account with its inventory; `declared` is what the file says of this account, None without a file."""

    variable: str
    snapshot: Snapshot
    facts: Facts
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
            warn_of_unread(answer.facts)
    return answers


def warn_of_unread(facts: Facts) -> None:
    """Say on stderr what could not be read."""
    for line in facts.unread:
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
    facts = Facts(balance=reading.balance, activity=tuple(activities), unread=(*reading.unread, *untold))
    keys = take_inventory(reading.variable, reading.snapshot, activities, declared, days=days)
    return KeysReading(reading.variable, reading.snapshot, facts, declared, keys)


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
