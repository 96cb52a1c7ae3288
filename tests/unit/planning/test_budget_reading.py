"""What is read for budgets that renew, and what an import writes of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from reconciler.engine.planning import read_inputs
from reconciler.formatting.edit import key_texts
from reconciler.planning.importing import adopt
from support.builders import activity, declaration, declared, live, snapshot

if TYPE_CHECKING:
    from reconciler.model import Activity, Snapshot

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class Account:
    """An account of one key that has a budget."""

    clock_skew = timedelta(0)

    async def list_keys(self) -> Snapshot:
        return snapshot(live(1, "dev/anna~per.20261020.7", "57"), now=NOW)

    async def balance(self) -> Decimal:
        return Decimal(1)

    async def activity(self, days: int) -> Activity:
        return activity({1: ("3", 1)}, days)


def test_the_days_since_each_period_began_are_read_too() -> None:
    account: Any = Account()
    for renew, days in (("month", {30, 14, 2}), (None, {30, 14})):
        wanted = declaration([declared("dev/anna", "50", renew=renew)])
        _, inputs = asyncio.run(read_inputs("NAGA_PROVISIONING_KEY", account, wanted))
        assert {each.days for each in inputs.activity} == days


def test_an_import_writes_the_allowance_and_a_rhythm() -> None:
    found = adopt(declaration([], ["dev"]), snapshot(live(1, "dev/anna~per.20261101.7", "57"), now=NOW), "dev")
    (text,) = key_texts(found.keys, lambda _: {"raise": {}}, lambda _: None, NOW)["dev"]
    assert [key.live.id for key in found.keys] == [1]
    assert "renew" in repr(text)
    assert "'50'" in repr(text)
    assert "'57'" not in repr(text)
