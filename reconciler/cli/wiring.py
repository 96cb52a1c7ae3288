"""Builds what commands work with from options and the environment."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note
from reconciler.fleet.connect import URL_VARIABLE, open_account, simulated_at
from reconciler.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.account.client import Account

__all__ = ["URL_VARIABLE", "check_clock", "open_account", "simulated_at", "warn_of_skew"]

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
