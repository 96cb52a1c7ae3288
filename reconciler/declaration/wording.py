"""How things of the file are spoken of in messages: always one line, always readable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST: Final = 60
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._-]+", re.ASCII)


def shown(text: str) -> str:
    """Make a text safe to print: control and other invisible characters escaped, a long one trimmed."""
    trimmed = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if trimmed.isprintable():
        return trimmed
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in trimmed)


def described(value: object) -> str:
    """Say what stands in the file: `the text '5O0'`, `the number 3`, `a list`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return f"the number {value:f}" if isinstance(value, Decimal) else f"the number {value}"
    if isinstance(value, str):
        return f"the text '{shown(value)}'" if value else "an empty text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that a misspelt one most likely means."""
    import difflib

    return next(iter(difflib.get_close_matches(word[:_LONGEST].lower(), sorted(known), n=1)), None)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Give `; did you mean 'credit_limit'?` when one of the known words is close, and nothing otherwise."""
    meant = closest(word, known)
    return "" if meant is None else f"; did you mean '{shown(meant)}'?"


def spelling(name: str) -> str:
    """Give `; 'nightly-batch' would do` for a name that can be spelt as names must be, and nothing otherwise."""
    proposal = _NOT_IN_NAMES.sub("-", name.lower()).strip("-._")[:63]
    return f"; '{proposal}' would do" if proposal else ""


def label(path: Sequence[str | int]) -> str:
    """Name what stands at a path of the file: an entry of a group by kind and name, anything else by its field."""
    match path:
        case ():
            return "the file"
        case ("environments", str(name)):
            return f"environment '{shown(name)}'"
        case ("environments", str(environment), "keys", str(name)):
            return f"key '{shown(environment)}/{shown(name)}'"
        case ("destinations", str(name)):
            return f"destination '{shown(name)}'"
        case _:
            return shown([step for step in path if isinstance(step, str)][-1])
