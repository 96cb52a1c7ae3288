"""What is written of live keys that get declared: their fields, as far as they do not inherit them, and a comment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from reconciler.declaration.additions import KeyText, root_of
from reconciler.declaration.nodes import Fields
from reconciler.declaration.tree import Collection, Scalar
from reconciler.declaration.wording import shown
from reconciler.plan import phrases
from reconciler.units import format_instant, format_money, parse_duration, parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.declaration.source import SourceFile
    from reconciler.declaration.tree import Value
    from reconciler.model import Usage
    from reconciler.plan.adoption import Adopted

Inherited = Callable[[str], Mapping[str, Any]]
"""Gives what a key of an environment has without saying so, as the file says it."""

Used = Callable[[int], "Usage | None"]
"""Says of a key's id what it was used for lately; None where that is not known."""

_EMPTY_LIST: Final = Collection(is_mapping=False)


def inheritance(sources: Sequence[SourceFile]) -> Inherited:
    """Read from valid files what their keys inherit; from no files, nothing."""
    root = root_of(sources)
    if root is None:
        return lambda _: {}

    def of(name: str) -> Mapping[str, Any]:
        environment = _group(_group(root, "environments"), name)
        return {**_group(root, "defaults"), **_group(environment, "defaults"), **environment}

    return of


def key_texts(adopted: Sequence[Adopted], inherited: Inherited, used: Used, now: datetime) -> dict[str, list[KeyText]]:
    """Write keys so that each is declared as it is, by environment."""
    texts: dict[str, list[KeyText]] = {}
    for key in adopted:
        environment, name = key.address
        text = KeyText(name, _fields(key, inherited(environment), now), _comment(key, used, now))
        texts.setdefault(environment, []).append(text)
    return texts


def _fields(key: Adopted, inherited: Mapping[str, Any], now: datetime) -> dict[str, Value]:
    live = key.live
    fields: dict[str, Value] = {
        "credit_limit": Scalar("null" if live.credit_limit is None else format_money(live.credit_limit))
    }
    if live.is_enabled != inherited.get("is_enabled", True):
        fields["is_enabled"] = Scalar(str(live.is_enabled).lower())
    expiry = inherited.get("expires_at")
    if live.expires_at != (None if expiry is None else parse_instant(expiry)):
        fields["expires_at"] = Scalar("null" if live.expires_at is None else format_instant(live.expires_at))
    if inherited.get("deliver"):
        fields["deliver"] = _EMPTY_LIST  # nobody can read the secret again, so it is in no destination
    period = inherited.get("rotate_every")
    if period is not None and live.created_at + parse_duration(period) <= now:
        fields["rotate_every"] = Scalar("null")  # the next apply would rotate it at once
    if key.renamed:
        fields["id"] = Scalar(str(live.id))
    return fields


def _comment(key: Adopted, used: Used, now: datetime) -> str:
    """Say what the service knows of a key besides what is declared."""
    live = key.live
    parts = [f'was "{shown(live.name)}"' if key.renamed else f"id {live.id}"]
    parts.append(f"created {format_instant(live.created_at).partition('T')[0]}")
    usage = used(live.id)
    if usage is not None:
        parts.append(phrases.used_lately(live, usage, now))
    return ", ".join(parts)


def _group(node: Fields, name: str) -> Fields:
    return cast("Fields", node.get(name, Fields(node.mark)))
