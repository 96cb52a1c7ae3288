"""Builds what commands work with from options and the environment."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note
from reconciler.errors import UsageError
from reconciler.secret import Secret
from reconciler.units import format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.account.client import Account
KEY_VARIABLE: Final = "NAGA_PROVISIONING_KEY"
URL_VARIABLE: Final = "NAGA_BASE_URL"
TOLERATED_SKEW: Final = timedelta(minutes=5)


def open_account(simulator: Path | None, *, parallelism: int = 1) -> Account:
    """Connect to the service, or to the simulator at a path; raises UsageError when the environment lacks the key."""
    from reconciler.account.client import DEFAULT_BASE_URL, connect

    if simulator is not None:
        from reconciler.simulator import open_transport

        # Never the real key: nothing but this process is asked.
        key = Secret("simulator-provisioning-key")
        return connect(key, parallelism=parallelism, transport=open_transport(simulator))
    value = os.environ.get(KEY_VARIABLE, "").strip()
    if not value:
        msg = f"{KEY_VARIABLE} is not set; it holds the account's provisioning key (or try --simulator sim.db)"
        raise UsageError(msg)
    base_url = os.environ.get(URL_VARIABLE) or DEFAULT_BASE_URL
    return connect(Secret(value), base_url=base_url, parallelism=parallelism)


def check_clock(account: Account) -> None:
    """Warn when this machine's clock is far from the service's; what counts is the service's."""
    skew = abs(account.clock_skew)
    if skew > TOLERATED_SKEW:
        unit = next(unit for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)) if skew >= 2 * unit)
        rounded = format_duration(round(skew / unit) * unit)
        note(f"warning: this machine's clock and the service's differ by {rounded}; the service's counts")
