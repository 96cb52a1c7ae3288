"""What the alerts of a file are judged by, from what was read of an account: the same for all that judge it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.insight.alerts import Evidence, Standing, Unread
from reconciler.insight.balance import runways
from reconciler.model import LONGEST_DAYS

if TYPE_CHECKING:
    from decimal import Decimal

    from reconciler.cli.insight_reading import AccountReading
    from reconciler.cli.keys_reading import KeysReading
    from reconciler.insight.runway import Runway
    from reconciler.plan.actions import Finding, Plan

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
    known = any(each.days == LONGEST_DAYS for each in keys.facts.activity)
    return None if known else _unread(keys.facts.unread, _ACTIVITY)


def _unread(reasons: tuple[str, ...], what: str) -> Unread:
    return Unread(next(reason for reason in reasons if reason.startswith(what)))
