"""What every change needs while a plan is carried out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.errors import AccountError
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.account.client import Account
    from reconciler.destinations.registry import Registry
    from reconciler.model import KeyPatch, LiveKey
    from reconciler.secret import Secret


@dataclass(frozen=True, slots=True)
class Run:
    """The account, the destinations and the outside world of one apply.

    `nonce` gives a fresh one at each call; `mask` gets every secret before anything else happens with it.
    """

    account: Account
    registry: Registry
    nonce: Callable[[], str]
    mask: Callable[[Secret], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def change_key(self, key_id: int, asked: KeyPatch) -> LiveKey:
        """Change a key and see that the service did as it was told; raises AccountError when it did not."""
        answered = await self.account.update_key(key_id, asked)
        if altered := altered_fields(asked, answered):
            msg = f"the service left key {key_id} with {altered}"
            raise AccountError(msg)
        return answered


def altered_fields(asked: KeyPatch, answered: LiveKey) -> str:
    """Say which fields the service answered otherwise than it was asked; empty when it did as told."""
    differences = []
    for field, value in asked.items():
        got = getattr(answered, field)
        if got != value:
            differences.append(f"{field} {_show(got)} where {_show(value)} was asked")
    return ", ".join(differences)


def _show(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return format_money(value)
        case datetime():
            return format_instant(value)
        case _:
            return str(value)
