"""Words that several destinations need, and what they ask of a secret."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.secret import Secret

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def one_line(message: str) -> str:
    """Escape what would break the line: a path, a name or an answer may hold any character."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in message)


def unforeseen(error: BaseException) -> str:
    """Say that a destination raised what none may raise; only its type, for its text might hold the secret."""
    return f"unexpected {type(error).__name__}, a bug of the destination"


def repeated(names: Sequence[str]) -> Iterator[str]:
    """Say which names more than one key would be delivered as."""
    for name, count in sorted(Counter(names).items()):
        if count > 1:
            yield f"{count} keys would be delivered as {name}"


def utf8(secret: Secret) -> bytes | None:
    """Give a secret as bytes, None where it has none: the error that Python raises for that carries the secret."""
    text = secret.reveal()
    return None if _LONE_SURROGATE.search(text) else text.encode()
