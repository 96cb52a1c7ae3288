"""Builds what commands work with from options and the environment."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note
from reconciler.errors import UsageError
from reconciler.model import KEY_VARIABLE
from reconciler.secret import Secret
from reconciler.units import format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.account.client import Account
URL_VARIABLE: Final = "NAGA_BASE_URL"
TOLERATED_SKEW: Final = timedelta(minutes=5)


def open_account(simulator: Path | None, *, parallelism: int = 1, variable: str = KEY_VARIABLE) -> Account:
    """Connect to the account whose provisioning key a variable holds, or to its simulator at a path.

    With a simulator, accounts of other variables than the usual one are kept beside the path. Raises UsageError
    when the variable is not set or holds what cannot be a key.
    """
    from reconciler.account.client import DEFAULT_BASE_URL, connect

    if simulator is not None:
        from reconciler.simulator import open_transport

        # Never the real key: nothing but this process is asked.
        key = Secret("simulator-provisioning-key")
        return connect(key, parallelism=parallelism, transport=open_transport(simulated_at(simulator, variable)))
    value = os.environ.get(variable, "").strip()
    if not value:
        msg = f"{variable} is not set; it holds the account's provisioning key (or try --simulator sim.db)"
        raise UsageError(msg)
    base_url = os.environ.get(URL_VARIABLE) or DEFAULT_BASE_URL
    return connect(Secret(value), base_url=base_url, parallelism=parallelism)


def simulated_at(simulator: Path, variable: str) -> Path:
    """Say where the simulated account of a variable is kept: one beside the other, where a file declares several."""
    if variable == KEY_VARIABLE:
        return simulator
    return simulator.with_name(f"{simulator.stem}.{variable.lower()}{simulator.suffix}")


def check_clock(account: Account) -> None:
    """Warn when this machine's clock is far from the service's; what counts is the service's."""
    skew = abs(account.clock_skew)
    if skew > TOLERATED_SKEW:
        unit = next(unit for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)) if skew >= 2 * unit)
        rounded = format_duration(round(skew / unit) * unit)
        note(f"warning: this machine's clock and the service's differ by {rounded}; the service's counts")
