"""Words of the other side, made fit to be repeated."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from reconciler.secret import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.secret import Secret

LONGEST_QUOTE: Final = 300

_LOOKED_AT: Final = 4_000
_ISSUED_SECRET: Final = re.compile(r"ng-[A-Za-z0-9]{20,}|naga_sk_[A-Za-z0-9_-]{16,}", re.ASCII)


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Give foreign text as one short line without these secrets and without characters that act on a terminal."""
    known = tuple(secrets)
    line = " ".join(_redact(text, known)[:_LOOKED_AT].split())
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    # Once more: what was made visible could spell out what was not there before.
    safe = _redact(visible, known)
    return safe if len(safe) <= LONGEST_QUOTE else safe[: LONGEST_QUOTE - 1] + "…"


def redacted(text: str, secret: Secret) -> str:
    """Hide a secret in what somebody else has said, also where it was turned into base64 or escaped on the way."""
    for spelling in sorted(_spellings(secret), key=len, reverse=True):
        text = text.replace(spelling, HIDDEN)
    return text


def _redact(text: str, known: Iterable[Secret]) -> str:
    for secret in known:
        text = redacted(text, secret)
    return _ISSUED_SECRET.sub(HIDDEN, text)


def _spellings(secret: Secret) -> set[str]:
    import json
    from urllib.parse import quote

    plain = secret.reveal()
    content = plain.encode(errors="replace")
    encoded = {base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode()}
    escaped = {json.dumps(plain)[1:-1], quote(content, safe="")}
    return {plain} | escaped | {each.rstrip("=") for each in encoded}
