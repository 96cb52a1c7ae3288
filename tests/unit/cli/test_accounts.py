from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.engine.accounts import read_all
from reconciler.engine.inspect import Scope
from reconciler.errors import UsageError
from support.declarations import loaded

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.account.client import Account

TWO = loaded("version: 1\nenvironments: {ci: {keys: {}}, production: {provisioning_key_env: NAGA_B, keys: {}}}\n")


@pytest.mark.parametrize(
    ("environments", "variables"),
    [((), ("NAGA_B", "NAGA_PROVISIONING_KEY")), (("ci",), ("NAGA_PROVISIONING_KEY",)), (("production",), ("NAGA_B",))],
)
def test_environments_select_accounts(environments: tuple[str, ...], variables: tuple[str, ...]) -> None:
    assert Scope(TWO, environments).variables() == variables


def test_without_a_file_it_is_the_usual_account() -> None:
    assert Scope().variables() == ("NAGA_PROVISIONING_KEY",)


def test_an_environment_that_is_not_declared_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^environment productoin is not declared; did you mean production\?$"):
        Scope(TWO, ("productoin",)).variables()
    with pytest.raises(UsageError, match=r"^-e needs a keys\.yaml, which declares the environments; give one with -f$"):
        Scope(None, ("ci",)).variables()


def test_accounts_are_read_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(variable: str, account: Account) -> tuple[str, int]:
        if variable == "NAGA_B":
            msg = "it is down"
            raise UsageError(msg)
        return variable, len((await account.list_keys()).keys)

    found = asyncio.run(read_all(("NAGA_C", "NAGA_B"), read, tmp_path / "sim.db"))
    assert list(found) == ["NAGA_C", "NAGA_B"]
    assert found["NAGA_C"] == ("NAGA_C", 0)
    assert isinstance(found["NAGA_B"], UsageError)
    monkeypatch.delenv("NAGA_C", raising=False)
    assert isinstance(asyncio.run(read_all(["NAGA_C"], read))["NAGA_C"], UsageError)
