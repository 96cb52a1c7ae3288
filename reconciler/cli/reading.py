"""Reads the accounts for a command, and says beside the result what their answers tell of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.fleet.reading import read_plan as read_quietly

if TYPE_CHECKING:
    from reconciler.fleet.reading import Readings
    from reconciler.fleet.request import Request


async def read_plan(request: Request, *, sweeps: bool = False) -> Readings:
    """Do what `reconciler.fleet.reading.read_plan` does, and warn of a clock that is far off."""
    from reconciler.cli.wiring import warn_of_skew

    readings = await read_quietly(request, sweeps=sweeps)
    warn_of_skew(reading.skew for reading in readings.accounts.values())
    return readings
