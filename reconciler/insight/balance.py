"""What the balance of an account means: how long it lasts, and how it compares with the limits that are handed out."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.insight.attribution import tells_of_keys
from reconciler.insight.runway import paces, runway
from reconciler.plan.names import is_lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.insight.runway import Runway
    from reconciler.model import LiveKey, Snapshot, Statistics


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the live keys that can spend now: enabled, not expired, and no lock.

    `total` (USD) adds up the limits of `keys` keys; `unlimited` more have none. `spent` is what those with a limit have
    spent in the last days, and `left` what they may spend yet, each key for itself. A limit is on all that a key ever
    spends: only with `exact` are all of them young enough for that to be known, else `spent` is the least and `left`
    the most. Both are None where it is not known what single keys spent.
    """

    total: Decimal
    keys: int
    unlimited: int
    spent: Decimal | None = None
    left: Decimal | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """What is known of the balance of an account, the one of a variable, and of its `environments` in the file.

    `amount` (USD) None means that it could not be read. `unread` says in a line each what could not be read and why.
    """

    variable: str
    environments: tuple[str, ...]
    amount: Decimal | None
    runways: tuple[Runway, ...] = ()
    limits: Limits | None = None
    unread: tuple[str, ...] = ()

    def suffices(self, minimum: Decimal | None) -> bool | None:
        """Tell whether the balance reaches a minimum in USD; None where either is not known."""
        return None if minimum is None or self.amount is None else self.amount >= minimum


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """What is known of the balance of each account at an instant, and the `minimum` in USD that each has to reach."""

    now: datetime
    accounts: tuple[Balance, ...]
    minimum: Decimal | None = None

    @property
    def whole(self) -> Decimal | None:
        """The balance of all accounts together; None where one is not known."""
        amounts = [balance.amount for balance in self.accounts if balance.amount is not None]
        return sum(amounts, Decimal(0)) if len(amounts) == len(self.accounts) else None

    @property
    def suffices(self) -> bool | None:
        """Tell whether every account reaches the minimum; None where that is not known, or none was given."""
        each = [balance.suffices(self.minimum) for balance in self.accounts]
        if False in each:
            return False
        return None if None in each else True


def runways(amount: Decimal, statistics: Statistics, keys: Iterable[LiveKey], now: datetime) -> tuple[Runway, ...]:
    """Say how long a balance lasts at the pace of the last 7 and of the last 30 days, from the statistics of 30."""
    return tuple(runway(amount, measured) for measured in paces(statistics, keys, now))


def limits(snapshot: Snapshot, statistics: Statistics | None) -> Limits:
    """Add up the limits of the keys that can spend now."""
    live = [key for key in snapshot.keys if _can_spend(key, snapshot.now)]
    limited = [(key, key.credit_limit) for key in live if key.credit_limit is not None]
    total = sum((limit for _, limit in limited), Decimal(0))
    counts = len(limited), len(live) - len(limited)
    if statistics is None or not tells_of_keys(statistics):
        return Limits(total, *counts)
    spent: dict[int | None, Decimal] = {}
    for usage in statistics.by_key:
        spent[usage.id] = spent.get(usage.id, Decimal(0)) + usage.tally.cost
    used = [(limit, spent.get(key.id, Decimal(0))) for key, limit in limited]
    return Limits(
        total,
        *counts,
        spent=sum((cost for _, cost in used), Decimal(0)),
        left=sum((max(limit - cost, Decimal(0)) for limit, cost in used), Decimal(0)),
        exact=all((snapshot.now.date() - key.created_at.date()).days < statistics.days for key, _ in limited),
    )


def _can_spend(key: LiveKey, now: datetime) -> bool:
    return key.is_enabled and not is_lock(key.name) and (key.expires_at is None or key.expires_at > now)
