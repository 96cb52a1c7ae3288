"""The NagaAI account API, embedded: what the documentation states, strictly, with faults on request."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from reconciler.errors import UsageError
from reconciler.simulator.faults import Faults, parse_fault, parse_faults
from reconciler.simulator.state import State

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

FAULTS_VARIABLE: Final = "RECONCILER_SIMULATOR_FAULTS"

__all__ = ["FAULTS_VARIABLE", "Faults", "State", "open_transport", "parse_fault", "require_extra", "transport"]


def transport(
    state: State, faults: Faults | None = None, provisioning_keys: frozenset[str] = frozenset()
) -> httpx.AsyncBaseTransport:
    """Put the service of an account behind an httpx transport, in this process; whoever opened the account closes it.

    Raises:
        UsageError: the extra that the service needs is not installed.
    """
    require_extra()
    from reconciler.simulator.app import SimulatorTransport, create_app

    return SimulatorTransport(create_app(state, faults=faults, provisioning_keys=provisioning_keys))


def open_transport(path: Path) -> httpx.AsyncBaseTransport:
    """Open the account kept at `path`, or start one there, behind a transport that closes it when it is closed itself.

    The faults that RECONCILER_SIMULATOR_FAULTS names are in force.

    Raises:
        UsageError: the path cannot hold an account, the variable holds something else than faults, or the extra that
            the service needs is not installed.
    """
    require_extra()
    from reconciler.simulator.app import SimulatorTransport, create_app

    faults = Faults(parse_faults(os.environ.get(FAULTS_VARIABLE, "")))
    state = State(path)
    return SimulatorTransport(create_app(state, faults=faults), state.close)


def require_extra() -> None:
    """Raise UsageError unless what the `simulator` extra brings is there."""
    from importlib.util import find_spec

    # Looked for and not imported: the one that only `simulate` uses would cost every other command its start-up.
    if not (find_spec("starlette") and find_spec("uvicorn")):
        from reconciler.installation import installing

        msg = f"the simulator needs more than the basic installation: {installing('simulator')}"
        raise UsageError(msg)
