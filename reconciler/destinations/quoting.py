"""Words of the other side, made fit to be repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.destinations.wording import redacted
from reconciler.secret import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.secret import Secret

LONGEST_QUOTE: Final = 300

_LOOKED_AT: Final = 4_000
_ISSUED_SECRET: Final = re.compile(r"ng-[A-Za-z0-9]{20,}|naga_sk_[A-Za-z0-9_-]{16,}", re.ASCII)


def harmless(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Give foreign text as one short line without these secrets and without characters that act on a terminal."""
    known = tuple(secrets)
    line = " ".join(_redact(text, known)[:_LOOKED_AT].split())
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    # Once more: what was made visible could spell out what was not there before.
    safe = _redact(visible, known)
    return safe if len(safe) <= LONGEST_QUOTE else safe[: LONGEST_QUOTE - 1] + "…"


def _redact(text: str, known: Iterable[Secret]) -> str:
    for secret in known:
        text = redacted(text, secret)
    return _ISSUED_SECRET.sub(HIDDEN, text)
