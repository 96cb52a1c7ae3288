"""When a key that a rotation replaced is deleted, destinations put away what they keep of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import DestinationError
from reconciler.execution.executor import execute_action
from reconciler.execution.issue import ApplyContext
from reconciler.model import Address, Delivery, Target
from reconciler.planning.actions import Delete, DeleteReason
from support.builders import SOMEWHERE, live

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESS = Address("ci", "a")
KEEPING = Delivery(Target("keeping", "x", ()), "NAME", SOMEWHERE)
OTHER = Delivery(Target("other", "x", ()), "NAME", SOMEWHERE)


class Keeping:
    def __init__(self, trouble: Exception | None = None) -> None:
        self.heard: list[tuple[str, int]] = []
        self._trouble = trouble

    async def ended(self, name: str, key_id: int) -> None:
        self.heard.append((name, key_id))
        if self._trouble:
            raise self._trouble


class Account:
    async def get_key(self, _: int) -> None:
        """Say that the key is gone already."""


class Registry:
    def __init__(self, keeping: Keeping) -> None:
        self._opened: Mapping[str, object] = {"keeping": keeping, "other": object()}

    def open(self, target: Target) -> object:
        return self._opened[target.destination]


def delete(keeping: Keeping, address: Address | None, reason: DeleteReason) -> tuple[int, str | None]:
    account: Any = Account()
    registry: Any = Registry(keeping)
    context = ApplyContext(account, registry, str, print, deliveries={ADDRESS: (OTHER, KEEPING)})
    return asyncio.run(execute_action(Delete(address, live(7, "ci/a", "5"), reason, SOMEWHERE), context))


def test_who_keeps_earlier_secrets_hears_of_the_end_of_a_key() -> None:
    keeping = Keeping()
    assert delete(keeping, ADDRESS, DeleteReason.OVERLAP_OVER) == (7, None)
    assert keeping.heard == [("NAME", 7)]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (ADDRESS, DeleteReason.UNDECLARED),
        (None, DeleteReason.UNMANAGED),
        (Address("ci", "b"), DeleteReason.OVERLAP_OVER),
    ],
)
def test_of_other_deletions_it_does_not_hear(address: Address | None, reason: DeleteReason) -> None:
    keeping = Keeping()
    assert delete(keeping, address, reason) == (7, None)
    assert keeping.heard == []


@pytest.mark.parametrize("trouble", [DestinationError("403"), OSError("ng-secret")])
def test_what_is_not_put_away_is_told_and_the_key_is_deleted_all_the_same(trouble: Exception) -> None:
    key_id, note = delete(Keeping(trouble), ADDRESS, DeleteReason.OVERLAP_OVER)
    assert key_id == 7
    assert note is not None
    assert "keeping" in note
    assert "ng-secret" not in note
