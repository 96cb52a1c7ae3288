"""One key, what else there is of its address, and what a plan would do with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.plan.actions import Create

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.insight.inventory import InventoryKey
    from reconciler.plan.actions import Action, Plan


@dataclass(frozen=True, slots=True)
class KeyDetail:
    """A key, the others of its address, and of a plan what concerns them; `plan` None where nothing is declared."""

    key: InventoryKey
    relatives: tuple[InventoryKey, ...] = ()
    plan: Plan | None = None


def matching(keys: Sequence[InventoryKey], text: str) -> list[InventoryKey]:
    """Give the keys that an address, an id or a live name means; of an address, those that stand first in its life."""
    if text.isascii() and text.isdecimal():
        return [key for key in keys if key.live is not None and str(key.live.id) == text.lstrip("0")]
    own = [key for key in keys if str(key.address) == text]
    if own:
        return [key for key in own if key.status is own[0].status]
    return [key for key in keys if key.live is not None and key.live.name == text]


def detail_of(key: InventoryKey, keys: Sequence[InventoryKey], plan: Plan | None) -> KeyDetail:
    """Put together what there is to say of a key, from the inventory and the plan of its account."""
    family = [each for each in keys if key.address is not None and each.address == key.address]
    relatives = tuple(each for each in family if each != key)
    return KeyDetail(key, relatives, None if plan is None else _part(plan, [key, *relatives]))


def _part(plan: Plan, family: Sequence[InventoryKey]) -> Plan:
    """Leave of a plan what concerns these keys."""
    ids = {each.live.id for each in family if each.live is not None}
    address = family[0].address

    def concerns(action: Action) -> bool:
        if address is not None and action.address == address:
            return True
        return not isinstance(action, Create) and action.live.id in ids

    actions = tuple(action for action in plan.actions if concerns(action))
    findings = tuple(each for each in plan.findings if address is not None and each.address == address)
    return replace(plan, actions=actions, findings=findings)
