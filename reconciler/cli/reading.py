"""What a plan is made from, read from the account all at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from reconciler.cli.wiring import check_clock, open_account
from reconciler.errors import AccountError
from reconciler.plan.facts import Facts, windows
from reconciler.plan.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from reconciler.account.client import Account
    from reconciler.cli.request import Request
    from reconciler.model import Snapshot
    from reconciler.plan.actions import Plan

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """A plan, and what it was made from."""

    plan: Plan
    facts: Facts
    snapshot: Snapshot


async def read_account(request: Request, account: Account) -> tuple[Snapshot, Facts]:
    """Read keys, balance and activity at the same time; without the keys there is no plan, the rest is reported."""
    days = windows(request.declaration, request.base)
    snapshot, balance, activities = await asyncio.gather(
        account.list_keys(),
        _tried("the balance", account.balance()),
        asyncio.gather(*(_tried(f"the activity of {number} days", account.activity(number)) for number in days)),
    )
    check_clock(account)
    unread = [answer for answer in (balance, *activities) if isinstance(answer, str)]
    return snapshot, Facts(
        balance=None if isinstance(balance, str) else balance,
        activity=tuple(activity for activity in activities if not isinstance(activity, str)),
        base=request.base,
        unread=tuple(unread),
    )


async def read_plan(request: Request, *, sweeps: bool = False) -> Reading:
    """Connect, read the account once and plan.

    With `sweeps`, what dead runs have left of their locks goes when there is nothing else to do.
    """
    async with open_account(request.simulator, parallelism=4) as account:
        snapshot, facts = await read_account(request, account)
        plan = make_plan(request.declaration, snapshot, request.options, facts)
        if sweeps and not plan.actions and not plan.errors:
            from reconciler.account.lock import sweep

            await sweep(account, snapshot)
    return Reading(plan, facts, snapshot)


async def _tried(what: str, reading: Awaitable[T]) -> T | str:
    try:
        return await reading
    except AccountError as error:
        return f"{what} could not be read: {error}"
