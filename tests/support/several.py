"""Several accounts at once: simulated beside each other, or behind one service that tells them apart by their keys."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from reconciler.simulator import State
from support.command import Front
from support.simulation import Service, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest
    from starlette.types import Receive, Scope, Send

A, B, C = "NAGA_A", "NAGA_B", "NAGA_C"
SEVERAL = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 1}
environments:
  a: {provisioning_key_env: NAGA_A, deliver: [{to: local, as: "A_{KEY}"}], keys: %s}
  b: {provisioning_key_env: NAGA_B, deliver: [{to: local, as: "B_{KEY}"}], keys: %s}
"""


class Accounts(Front):
    """The command in a folder of its own, on several simulated accounts."""

    def __init__(self, states: Mapping[str, State], *options: str) -> None:
        super().__init__(states[A], *options)
        self.states = states

    def declare_both(self, a: str, b: str) -> Accounts:
        """Write keys.yaml with the keys of environment `a` in NAGA_A and those of `b` in NAGA_B."""
        self.write(SEVERAL % (a, b))
        return self

    def names_of(self, variable: str) -> list[str]:
        return sorted(key.name for key in self.states[variable].keys())  # noqa: SIM118  # a method, not a mapping's


def bearer_of(variable: str) -> str:
    return f"provisioning-{variable.lower()}"


class Together:
    """Services of one account each behind one address: who asks with an account's key, or one of its keys, gets it."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", []))
        bearer = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        await self._of(bearer).app(scope, receive, send)

    def _of(self, bearer: str) -> Service:
        for variable, service in self._services.items():
            if bearer == bearer_of(variable) or service.state.is_issued(bearer):
                return service
        return next(iter(self._services.values()))


@contextmanager
def beside_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variables: tuple[str, ...] = (A, B)
) -> Iterator[Accounts]:
    """Use the simulator inside the command."""
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        states = {v: stack.enter_context(State(folder / f"sim.{v.lower()}.db")) for v in variables}
        yield Accounts(states, "--simulator", "sim.db")


@contextmanager
def at_a_service(folder: Path, monkeypatch: pytest.MonkeyPatch, **faults: str) -> Iterator[Accounts]:
    """Use a service on a real socket of this process, with a fault or none for an account."""
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        states, services = {}, {}
        for variable in (A, B):
            file = folder / f"{variable}.db"
            states[variable] = stack.enter_context(State(file))
            specs = [faults[variable]] if variable in faults else []
            keys = frozenset({bearer_of(variable)})
            services[variable] = Service(stack.enter_context(State(file)), *specs, provisioning_keys=keys)
            monkeypatch.setenv(variable, bearer_of(variable))
        monkeypatch.setenv("NAGA_BASE_URL", stack.enter_context(served(Together(services))))
        yield Accounts(states)
