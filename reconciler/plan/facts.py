"""What a plan is judged by besides what is declared and what is live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.model import LONGEST_DAYS

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from reconciler.model import Activity, Declaration, Usage


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read beside the keys; what was not read is left out, which is not the same as zero.

    `balance` is in USD; `activity` holds one for each window that `windows` asks for; `base` is the declaration as it
    was before the change. `unread` says in a line each what could not be read and why. With `offline` the base stands
    for the account: what only the account knows cannot be judged. `elsewhere` names the environments that are declared
    for other accounts.
    """

    balance: Decimal | None = None
    activity: tuple[Activity, ...] = ()
    base: Declaration | None = None
    unread: tuple[str, ...] = ()
    offline: bool = False
    elsewhere: frozenset[str] = frozenset()

    def usage(self, key_id: int, days: int = LONGEST_DAYS) -> Usage | None:
        """Say how much a key was used in the last days; None when that was not read."""
        return next((activity.of(key_id) for activity in self.activity if activity.days == days), None)


NOTHING_READ: Final = Facts()


def window(period: timedelta) -> int:
    """Give how many days of activity show all use within a period: the service counts whole days.

    A period of 24 hours reaches into two days of the calendar, so one day more than it has; 30 at most.
    """
    return min(-(-period // timedelta(days=1)) + 1, LONGEST_DAYS)


def is_whole_life(created_at: datetime, now: datetime, days: int = LONGEST_DAYS) -> bool:
    """Tell whether the last days of activity hold the whole life of a key: today is one of them."""
    return (now.date() - created_at.date()).days < days


def windows(declaration: Declaration, base: Declaration | None = None) -> tuple[int, ...]:
    """Give the numbers of days whose activity a plan wants to know: 30, and what `protect_active` asks for."""
    files = [declaration] if base is None else [declaration, base]
    guardrails = [file.guardrails for file in files]
    guardrails += [environment.guardrails for file in files for environment in file.environments.values()]
    rules = [each.protect_active for each in guardrails if each.protect_active is not None]
    return tuple(sorted({LONGEST_DAYS, *(window(rule.value) for rule in rules)}))
