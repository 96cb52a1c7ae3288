"""Records what accounts were used for, before the service forgets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from reconciler.engine.accounts import Wanted, read_account, read_all
from reconciler.engine.inspect import Scope
from reconciler.errors import AccountError, ReconcilerError, UsageError
from reconciler.formatting.history import exists, months_of, read_history, write_history
from reconciler.insight.history import (
    History,
    Span,
    first_day,
    is_of_another,
    missing_windows,
    period_of,
    record,
    unknown_days,
)
from reconciler.insight.inventory import identified
from reconciler.model import LONGEST_DAYS, part_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.engine.accounts import AccountReading
    from reconciler.model import Declaration, Snapshot, Statistics

AT_A_TIME: Final = 8
SETTLED: Final = timedelta(minutes=6)
"""The service answers as of up to five minutes ago: so soon after midnight (UTC), that may be the day before."""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """What was recorded of one account: the `days` that are new or corrected, and the `lost` ones nobody can tell."""

    variable: str
    days: tuple[date, ...]
    lost: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a run recorded; `unread` are the accounts that could not be read, `written` the files that changed."""

    accounts: tuple[AccountRecord, ...]
    unread: Mapping[str, ReconcilerError]
    written: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """The keys of an account and its windows of activity, all of one day."""

    snapshot: Snapshot
    windows: Mapping[int, Statistics]
    unknown: Collection[int]


async def record_use(
    folder: Path,
    declaration: Declaration | None = None,
    *,
    environments: Collection[str] = (),
    simulator: Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Recording:
    """Add to the history in a folder what the service tells of the whole days that it does not have.

    `environments` of the declaration select accounts; without any, all are recorded.

    Raises:
        UsageError: an environment is not declared, or the folder is no history, is one of another account, or can't be
            read or written.
        AccountError: the only account, or none of several, could be read.
    """
    history, before = read_history(folder, partial(_open_months, folder)) if exists(folder) else (History(), {})
    variables = Scope(declaration, tuple(environments)).variables(named=False)
    read = partial(_read, history, folder)
    answers = await read_all(variables, read, simulator, parallelism=AT_A_TIME, credentials=credentials)
    unread = {variable: answer for variable, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if len(unread) == len(answers):
        raise next(iter(unread.values()))
    accounts = []
    for variable, reading in answers.items():
        if isinstance(reading, _Reading):
            declared = None if declaration is None else part_of(declaration, variable)
            found = record(history, variable, reading.snapshot, reading.windows, reading.unknown, declared)
            history = found.history
            accounts.append(AccountRecord(variable, found.days, found.lost))
    return Recording(tuple(accounts), unread, write_history(folder, history, before))


def read_period(
    folder: Path,
    since: date | None = None,
    until: date | None = None,
    *,
    models: bool = True,
    most_months: int | None = None,
) -> tuple[History, Span]:
    """Read what is recorded of these days (UTC), both included; None reaches as far as the history does.

    Returns:
        The history with the use of at least these days, and the days that are meant. `models` leaves their use out.
        With `most_months`, they begin with the first of so many months where `since` does not say it.

    Raises:
        UsageError: the folder is no history, a line of it is not as it was written, or nothing is recorded of the days.
    """

    def period(recorded: History) -> Span:
        first, last = period_of(recorded, since, until)
        if since is None and most_months is not None:
            number = last.year * 12 + last.month - most_months
            first = max(first, date(number // 12, number % 12 + 1, 1))
        return Span(first, last)

    def months(recorded: History) -> list[str]:
        first, last = period(recorded)
        return [month for month in months_of(folder) if str(first)[:7] <= month <= str(last)[:7]]

    history, _ = read_history(folder, months, keys=False, models=models)
    return history, period(history)


def recent_history(folder: Path) -> History:
    """Read what is recorded of the last 30 days and the months that they are in, but for models.

    Raises UsageError as `read_period` does.
    """
    return read_history(folder, partial(_open_months, folder), models=False)[0]


def refuse_another(history: History, folder: Path, reading: AccountReading[Statistics]) -> None:
    """Raise UsageError where a history can't be of the account that was read."""
    longest = reading.windows.get(LONGEST_DAYS)
    if longest is not None and reading.snapshot is not None:
        _refuse_another(history, folder, reading.variable, reading.snapshot, longest)


def _refuse_another(history: History, folder: Path, variable: str, snapshot: Snapshot, longest: Statistics) -> None:
    if is_of_another(history, variable, snapshot, longest):
        msg = f"{folder} is the history of another account: the ids of its keys are others; give each account a folder"
        raise UsageError(msg)


def _open_months(folder: Path, history: History) -> list[str]:
    """Return the months of which the service may still tell a day, or correct one: no later run goes further back."""
    days = [span.until for spans in history.spans.values() for span in spans]
    first = first_day(max(days, default=date.min + timedelta(days=LONGEST_DAYS)))
    return [month for month in months_of(folder) if month >= str(first)[:7]]


async def _read(history: History, folder: Path, variable: str, account: Account) -> _Reading:
    reading = await read_account(variable, account, Wanted(balance=False), account.statistics)
    snapshot, today = reading.snapshot, reading.now.date()
    assert snapshot is not None  # noqa: S101  # the keys are wanted
    _refuse_midnight(snapshot.now, today)
    if late := [span.until for spans in history.spans.values() for span in spans if span.until >= today]:
        msg = f"{folder} has {max(late)}, and by the service's clock it is {today}: nothing recorded"
        raise AccountError(msg)
    if reading.unread:
        raise AccountError(reading.unread[0])
    longest = identified(reading.windows[LONGEST_DAYS], snapshot)
    if longest.total is None or "daily_stats" in longest.absent:
        msg = (
            "the service's answer lacks daily_stats or total_stats, without which no day can be told: nothing recorded"
        )
        raise AccountError(msg)
    _refuse_another(history, folder, variable, snapshot, longest)
    unknown = unknown_days(history, variable, longest, today)
    windows = {LONGEST_DAYS: longest}
    wanted = unknown - {*windows}
    while wanted:
        for days in sorted(wanted):
            windows[days] = identified(await account.statistics(days), snapshot)
        wanted = missing_windows(history, variable, windows, unknown, today)
    _refuse_midnight(account.now(), today)
    return _Reading(snapshot, windows, unknown)


def _refuse_midnight(now: datetime, today: date) -> None:
    """Raise AccountError where answers may be of the day before, or of two days."""
    if now.date() != today or now - now.replace(hour=0, minute=0, second=0, microsecond=0) < SETTLED:
        msg = "until 00:06 UTC the service may answer as of the day before; nothing recorded, run this again then"
        raise AccountError(msg)
