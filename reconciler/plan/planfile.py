"""A saved plan, read back: what was reviewed, so that this and nothing else is applied."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.diagnostic import Severity
from reconciler.errors import UsageError
from reconciler.model import Address
from reconciler.plan.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """The digest of a saved plan, what was asked for when it was made, and its changes as the document has them.

    `errors` counts the findings that forbade to apply it.
    """

    digest: str
    options: Options
    changes: tuple[Mapping[str, Any], ...]
    errors: int = 0


def options_document(options: Options) -> dict[str, object]:
    """Lay out what a run asked for, so that a saved plan is applied under the same wishes."""
    return {
        "rotate": sorted(str(address) for address in options.rotate),
        "overlap": options.overlap,
        "allow": list(options.allow),
        "environments": sorted(options.environments),
        "only": list(options.only),
    }


def read_saved_plan(content: bytes, name: str) -> SavedPlan:
    """Read what `plan --out` wrote; raises UsageError for anything else, with the name of the file."""
    try:
        document = json.loads(content)
        if document["format_version"] != FORMAT_VERSION:
            msg = f"{name} is a plan of another version of reconciler; make it anew with `reconciler plan --out {name}`"
            raise UsageError(msg)
        asked = document["options"]
        options = Options(
            rotate=frozenset(_address(text) for text in _texts(asked["rotate"])),
            overlap=bool(asked["overlap"]),
            allow=_texts(asked["allow"]),
            environments=frozenset(_texts(asked["environments"])),
            only=_texts(asked["only"]),
        )
        changes = tuple({**change} for change in document["changes"])
        errors = sum(finding["severity"] == Severity.ERROR for finding in document["findings"])
        return SavedPlan(str(document["digest"]), options, changes, errors)
    except (ValueError, LookupError, TypeError, RecursionError):
        msg = f"{name} is not a plan; make one with `reconciler plan --out {name}`"
        raise UsageError(msg) from None


def moved(saved: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say in a line each what was planned and is not any more, and what is planned now and was not."""
    before, now = [_words(change) for change in saved], [_words(change) for change in current]
    gone = [f"was planned, and is not any more: {words}" for words in before if words not in set(now)]
    new = [f"is planned now, and was not: {words}" for words in now if words not in set(before)]
    return (*gone, *new)


def _words(change: Mapping[str, Any]) -> str:
    """Put a change into words that differ when what it does differs, from whatever state."""
    what = change.get("address") or (change.get("before") or {}).get("name")
    before, after = change.get("before") or {}, change.get("after") or {}
    fields = [f"{field} {_value(before.get(field))} → {_value(after.get(field))}" for field in change.get("fields", ())]
    whose = f" of {change['account']}" if change.get("account") else ""
    key = whose if change.get("key_id") is None else f" (key {change['key_id']}{whose})"
    return f"{change.get('action')} {what}{key}{': ' if fields else ''}{', '.join(fields)}"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError
    return tuple(value)


def _address(text: str) -> Address:
    environment, slash, key = text.partition("/")
    if not slash:
        raise ValueError
    return Address(environment, key)
