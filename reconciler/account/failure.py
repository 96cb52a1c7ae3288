"""What came of a request, as an error in one harmless line.

Text from the other side is data: secrets are taken out of it, control characters and marks that turn the reading
direction are made visible, and it is trimmed. The answer to a success is never quoted: it may hold a secret.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.account.exchange import Answer, NoAnswer, Request
from reconciler.errors import AccountError, ConnectionFailed, RefusedByService, UnexpectedAnswer
from reconciler.model import KEY_VARIABLE
from reconciler.secret import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.secret import Secret

LONGEST_QUOTE: Final = 300

_LOOKED_AT: Final = 4_000
_ISSUED_SECRET: Final = re.compile(r"ng-[A-Za-z0-9]{20,}|naga_sk_[A-Za-z0-9_-]{16,}", re.ASCII)
_HINTS: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "{variable} must hold a provisioning key of the account, not an inference key",
    HTTPStatus.PAYMENT_REQUIRED: "the account is out of credits",
    HTTPStatus.FORBIDDEN: "this provisioning key may not do that, or a proxy in between filters the request",
    HTTPStatus.TOO_MANY_REQUESTS: "the service wants fewer requests: lower --parallelism, or try again later",
}


def failure(
    request: Request,
    outcome: Answer | NoAnswer,
    attempts: int,
    secrets: Iterable[Secret],
    variable: str = KEY_VARIABLE,
) -> AccountError:
    """Give the error for an outcome that is no success; the credential came from `variable`.

    ConnectionFailed without an answer, RefusedByService for 4xx and 5xx, UnexpectedAnswer for anything else.
    """
    tried = f" (tried {attempts} times)" if attempts > 1 else ""
    if isinstance(outcome, NoAnswer):
        return ConnectionFailed(f"{request}: {urlsplit(request.url).netloc}: {outcome.cause}{tried}")
    if outcome.status >= HTTPStatus.BAD_REQUEST:
        said = _complaint(outcome.body, secrets)
        hint = _HINTS.get(outcome.status, "").format(variable=variable)
        message = f"{request}: {outcome.status}{said and ' ' + said}{tried}{'; ' + hint if hint else ''}"
        return RefusedByService(message, status=outcome.status)
    if outcome.status >= HTTPStatus.MULTIPLE_CHOICES:
        target = _redirect_host(outcome.location, secrets)
        why = f"{outcome.status}, a redirect{target}, which is never followed; check NAGA_BASE_URL"
        return UnexpectedAnswer(f"{request}: {why}")
    return UnexpectedAnswer(f"{request}: {outcome.status}: {outcome.spoilt or 'no answer to this request'}")


def harmless(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Give foreign text as one short line without secrets and without characters that act on a terminal."""
    known = [secret.reveal() for secret in secrets]
    line = " ".join(_redact(text, known)[:_LOOKED_AT].split())
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    # Once more: what was made visible could spell out what was not there before.
    safe = _redact(visible, known)
    return safe if len(safe) <= LONGEST_QUOTE else safe[: LONGEST_QUOTE - 1] + "…"


def _redact(text: str, known: Iterable[str]) -> str:
    for value in known:
        text = text.replace(value, HIDDEN)
    return _ISSUED_SECRET.sub(HIDDEN, text)


def _complaint(body: bytes, secrets: Iterable[Secret]) -> str:
    """Give what an error's body says: `type: message` in the documented shape, else the body itself."""
    error = _documented(body)
    if error is None:
        return harmless(body.decode(errors="replace"), secrets)
    return harmless(": ".join(error), secrets)


def _documented(body: bytes) -> list[str] | None:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = raw.get("error") if isinstance(raw, dict) else None
    if not isinstance(error, dict):
        return None
    parts = [part for part in (error.get("type"), error.get("message")) if isinstance(part, str) and part]
    return parts or None


def _redirect_host(location: str | None, secrets: Iterable[Secret]) -> str:
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return f" to {harmless(host, secrets)}" if host else ""
