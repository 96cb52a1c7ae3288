"""What a run has done to the keys of an account, to tell a list that shows it from one that is older or incomplete.

And whether what the service shows of a key is what it was asked for, or what it showed before.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from reconciler.units import format_instant, format_money, same_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from reconciler.model import KeyPatch, LiveKey

PAUSES: Final = (0.2, 0.3, 0.5, 1.0, *[2.0] * 14)
"""The seconds between one look at an answer that lags and the next: 30 in all."""

MOST_QUESTIONS: Final = 20
"""How many keys are asked for one by one to find out whether a list lacks them."""


_STATE: Final = attrgetter("name", "is_enabled", "credit_limit", "expires_at")


def altered_fields(asked: KeyPatch, answered: LiveKey) -> str:
    """Say which fields of a key are otherwise than they were asked to be; empty when the service did as told."""
    differences = []
    for field, value in asked.items():
        got = getattr(answered, field)
        if not same_value(got, value):
            differences.append(f"{field} {_show(got)} where {_show(value)} was asked")
    return ", ".join(differences)


def same_key(one: LiveKey, other: LiveKey) -> bool:
    """True for two answers about one key between which nothing has changed."""
    return one.id == other.id and same_value(one.created_at, other.created_at) and _same_state(one, other)


class Record:
    """The keys that a run created, changed or deleted, each as the service confirmed it.

    `lost` holds the names of keys whose POST got no answer that can be used: one that appears belongs to nobody.
    """

    def __init__(self) -> None:
        """Begin with nothing done."""
        self._keys: dict[int, LiveKey | None] = {}
        self.lost: set[str] = set()

    def wrote(self, key: LiveKey) -> None:
        """Take in a key as it is after it was created or changed."""
        self._keys[key.id] = key

    def deleted(self, key_id: int) -> None:
        """Take in that a key is gone."""
        self._keys[key_id] = None

    def differing(self, keys: Iterable[LiveKey]) -> list[int]:
        """Give the ids of the keys that a list shows otherwise than this run left them."""
        shown = {key.id: key for key in keys}
        return [key_id for key_id, left in self._keys.items() if not _shows(shown.get(key_id), left)]

    def expects(self, key_id: int) -> str:
        """Say what a list would have to show of a key that it shows otherwise."""
        left = self._keys[key_id]
        return f"key {key_id}, which this run deleted, is still in it" if left is None else f"it does not show {left}"

    def settle(self, key_id: int, shown: Mapping[int, LiveKey], now: LiveKey | None) -> bool:
        """Take in what the service says of a single key; True when the list is right, since somebody changed it."""
        listed = shown.get(key_id)
        agrees = (listed is None and now is None) or (listed is not None and now is not None and same_key(listed, now))
        if agrees:
            del self._keys[key_id]
        return agrees


def _shows(shown: LiveKey | None, left: LiveKey | None) -> bool:
    if shown is None or left is None:
        return shown is left
    return _same_state(shown, left)


def _same_state(one: LiveKey, other: LiveKey) -> bool:
    return all(map(same_value, _STATE(one), _STATE(other)))


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


def spread(ids: Collection[int], most: int = MOST_QUESTIONS) -> list[int]:
    """Choose at most so many ids, from the lowest to the highest: a list that comes in pages lacks one end of them."""
    ordered = sorted(ids)
    if len(ordered) <= most:
        return ordered
    return [ordered[position * (len(ordered) - 1) // (most - 1)] for position in range(most)]
