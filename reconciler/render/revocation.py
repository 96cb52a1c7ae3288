"""What a revocation came to, for people and for programs; names are escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.render.escape import terminal, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from reconciler.planning.revocation import Death, Replacement, RevokeResult


_ALIVE: Final = "disable it on the dashboard, or revoke it again"


def result_text(result: RevokeResult) -> str:
    """Return a line for each key and address, and what to do about what failed."""
    return "".join(f"{terminal(line)}\n" for line in _lines(result))


def _lines(result: RevokeResult) -> Iterator[str]:
    for death in result.deaths:
        which = f"{death.key.name} (id {death.key.id})"
        if death.failure is not None:
            yield f"NOT DEAD  {which}: {death.failure}; {_ALIVE}"
        elif death.name == death.key.name:
            yield f"dead      {which}"
        else:
            yield f"dead      {which}, now {death.name}"
    for each in result.replacements:
        if each.failure is not None:
            yield f"NOT REPLACED  {each.address}: {each.failure}; the next apply creates what is missing"
        elif each.key_id is None:
            yield f"not replaced  {each.address}: {each.note}"
        else:
            places = f": {', '.join(each.places)}" if each.places else ""
            note = f"; {each.note}" if each.note else ""
            yield f"replaced  {each.address} by key {each.key_id}{places}{note}"


def result_json(result: RevokeResult) -> str:
    """Return the document as text."""
    return to_json(result_document(result))


def result_document(result: RevokeResult) -> dict[str, Any]:
    """Return what became of the `keys`, the `replacements`, and whether it was `interrupted`."""
    return {
        "keys": [_death(each) for each in result.deaths],
        "replacements": [_replacement(each) for each in result.replacements],
        "interrupted": result.interrupted,
    }


def _death(death: Death) -> dict[str, Any]:
    return {
        "key_id": death.key.id,
        "address": None if death.address is None else str(death.address),
        "name": death.key.name,
        "renamed_to": death.name,
        "dead": death.failure is None,
        "message": death.failure,
    }


def _replacement(each: Replacement) -> dict[str, Any]:
    replaced = each.failure is None and each.key_id is not None
    return {
        "address": each.address,
        "status": "replaced" if replaced else "failed" if each.failure is not None else "not_needed",
        "key_id": each.key_id,
        "places": list(each.places),
        "message": each.failure or each.note,
    }
