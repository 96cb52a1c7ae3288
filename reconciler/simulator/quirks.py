"""What the service may do where its documentation is silent, each as a fault that has a name.

A quirk is a word of a fault like any other: `lag=300ms`, `GET /v1/account/keys* lag=300ms probability=0.5`. A fault
that begins with one is about the requests that the quirk is usually seen at.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

from reconciler.simulator.fields import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reconciler.simulator.state import Key, KeyChanges

HELP: Final = """\
  pages[=20]         the list shows the newest 20 keys and says nothing of it;
                     pages=20,SAYS says so by has_more, next, cursor, total, a
                     data wrapper or a Link header (link), or several of them
                     with commas; oldest turns it around
  lag=300ms          the list shows the account as it was so long ago
  late=3s            a POST loses its answer, and its key comes so much later
  blind-models       GET /v1/models answers whoever asks
  blind-chat         POST /v1/chat/completions finds the body wrong before it
                     looks at the key
  trial=503          what a new key is tried on answers with this error
  odd-patch[=other]  a PATCH is done and answers 200 with another body, the key
                     as it was (old), no JSON (junk), or 204 without one
  odd-delete[=body]  a DELETE answers 200 with a body, 202 without one, or
                     does nothing and answers 200 with an error (error)
  text-amounts       credit_limit is text
  noise              credit_limit is what a float makes of it: 80.24999999999999
  zoneless           instants have no time zone
  micros[=one]       instants have microseconds where one key is answered, or
                     in the list (micros=list), and not in the other
  expired-disabled   a key that has expired is disabled
  expired-gone       a key that has expired is not there any more
  strict-lock[=ALL]  refuses limit (a limit of 0), expiry (one within an hour)
                     and tilde (~ in a name), one of them or, without any, all;
                     dash and cut alter a name instead: - for ~, 24 characters
  echo[=plain]       repeats the bearer in an answer's message, or in another
                     of its members: echo=base64,name. It spells it plain,
                     base64, base64-1, base64-2 (other bytes before it), url,
                     json, hex, HEX or reversed. The member can be a header
                     (retry-after, location), or body for the whole of it
"""

_KEYS: Final = "/v1/account/keys"
_ONE: Final = "/v1/account/keys/*"
_TRIALS: Final = "/v1/[!a]*"
_PAGE: Final = 20
_CUT_NAME: Final = 24
_SOON: Final = timedelta(hours=1)
_MICROS: Final = timedelta(microseconds=123_456)
_SAYS: Final = ("has_more", "next", "cursor", "total", "data", "link", "oldest")
_PATCHES: Final = ("other", "old", "junk", "204")
_DELETES: Final = ("body", "202", "error")
_REFUSALS: Final = ("limit", "expiry", "tilde")
_STRICT: Final = (*_REFUSALS, "dash", "cut")
_LONGEST: Final = 3600.0


def next_page(end: int) -> str:
    """Return the address of the page after so many keys."""
    return f"https://api.naga.ac{_KEYS}?offset={end}"


@dataclass(frozen=True, slots=True)
class Pages:
    """A list in pages of so many keys, and by which members it says so."""

    size: int = _PAGE
    says: frozenset[str] = frozenset()

    def link(self, end: int, total: int) -> dict[str, str]:
        """Return the header that says so, if it is one, after `end` of `total` keys."""
        return {"Link": f'<{next_page(end)}>; rel="next"'} if "link" in self.says and end < total else {}


@dataclass(frozen=True, slots=True)
class Echo:
    """The bearer, spelt in some way, in a member of the answer."""

    spelling: str = "plain"
    member: str = "message"

    def text(self, bearer: str) -> str:
        """Return what stands in the answer."""
        return SPELLINGS[self.spelling](bearer.encode())


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one request is answered other than the documentation has it; durations in seconds, None for no such quirk."""

    pages: Pages | None = None
    lag: float = 0.0
    late: float | None = None
    blind_models: bool = False
    blind_chat: bool = False
    odd_patch: str | None = None
    odd_delete: str | None = None
    text_amounts: bool = False
    noise: bool = False
    zoneless: bool = False
    micros: str | None = None
    expired_disabled: bool = False
    expired_gone: bool = False
    strict_lock: frozenset[str] = frozenset()
    echo: Echo | None = None

    def also(self, other: Quirks) -> Quirks:
        """Add the quirks of another fault that strikes the same request; what both have is as this one has it."""
        added = {f.name: getattr(other, f.name) for f in fields(other) if not getattr(self, f.name)}
        return replace(self, **added)

    def seen(self, key: Key, now: datetime, *, in_list: bool) -> Key | None:
        """Return a key as it is shown; None for one that is not."""
        if (self.expired_disabled or self.expired_gone) and key.expires_at is not None and key.expires_at <= now:
            if self.expired_gone:
                return None
            key = replace(key, is_enabled=False)
        if self.micros == ("list" if in_list else "one"):
            expires_at = None if key.expires_at is None else key.expires_at + _MICROS
            key = replace(key, created_at=key.created_at + _MICROS, expires_at=expires_at)
        return key

    def amount(self, text: str) -> str:
        """Spell an amount of money as JSON, from its plain decimal text."""
        if self.noise:
            text = repr(math.nextafter(float(text), 0.0))
        return f'"{text}"' if self.text_amounts else text

    def instant(self, text: str) -> str:
        """Spell an instant, from its RFC 3339 text in UTC."""
        return text.removesuffix("Z") if self.zoneless else text

    def take(self, changes: KeyChanges, now: datetime) -> KeyChanges:
        """Return what the service makes of the fields that it was sent; refuses those that it is strict about."""
        strict, name = self.strict_lock, changes.get("name")
        limit, expires_at = changes.get("credit_limit"), changes.get("expires_at")
        if "limit" in strict and limit == Decimal(0):
            bad_request("credit_limit must be greater than 0")
        if "expiry" in strict and expires_at is not None and expires_at < now + _SOON:
            bad_request("expires_at must be at least an hour in the future")
        if name is None:
            return changes
        if "tilde" in strict and "~" in name:
            bad_request("name may hold letters, digits, spaces and . _ / - only")
        name = name.replace("~", "-") if "dash" in strict else name
        return {**changes, "name": name[:_CUT_NAME] if "cut" in strict else name}


AS_DOCUMENTED: Final = Quirks()


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a fault: the requests it is usually seen at, and how its value is read into fields of the fault."""

    method: str
    path: str
    read: Callable[[str], dict[str, Any]] = field(repr=False)


def wrong(message: str) -> NoReturn:
    """Say what is wrong with a word."""
    raise ValueError(message)


def read_duration(name: str, text: str, example: str) -> float:
    """Read `50ms` or `2s` as seconds."""
    match = re.fullmatch(r"(\d{1,6})(ms|s)", text, re.ASCII) or wrong(f"{name}= must be like {example}")
    return int(match[1]) * (0.001 if match[2] == "ms" else 1.0)


def _quirk(name: str, value: object) -> dict[str, Any]:
    quirk: dict[str, Any] = {name.replace("-", "_"): value}
    return {"quirks": Quirks(**quirk)}


def _flag(name: str) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        return _quirk(name, value=True) if not text else wrong(f"{name} takes no value")

    return read


def _choice(name: str, choices: tuple[str, ...]) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        value = text or choices[0]
        if value not in choices:
            wrong(f"{name}= must be one of {', '.join(choices)}")
        return _quirk(name, value)

    return read


def _span(name: str) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        seconds = read_duration(name, text, "300ms or 3s")
        return _quirk(name, seconds) if 0 < seconds <= _LONGEST else wrong(f"{name}= is up to an hour")

    return read


def _pages(text: str) -> dict[str, Any]:
    size, *says = text.split(",") if text else [str(_PAGE)]
    if not re.fullmatch(r"[1-9]\d{0,5}", size, re.ASCII) or not set(says) <= set(_SAYS):
        wrong(f"pages= must be like 20, or 20,SAYS with some of {', '.join(_SAYS)}")
    return _quirk("pages", Pages(int(size), frozenset(says)))


def _trial(text: str) -> dict[str, Any]:
    if not re.fullmatch(r"[45]\d\d", text, re.ASCII):
        wrong("trial= must be from 400 to 599")
    return {"status": int(text)}


def _strict_lock(text: str) -> dict[str, Any]:
    strict = frozenset(text.split(",") if text else _REFUSALS)
    if not strict <= set(_STRICT):
        wrong(f"strict-lock= takes {', '.join(_STRICT)}")
    return _quirk("strict-lock", strict)


def _echo(text: str) -> dict[str, Any]:
    spelling, _, member = (text or "plain").partition(",")
    if spelling not in SPELLINGS:
        wrong(f"echo= must be one of {', '.join(SPELLINGS)}, and a member after a comma where it is not message")
    return _quirk("echo", Echo(spelling, member or "message"))


def _b64(before: bytes) -> Callable[[bytes], str]:
    return lambda bearer: base64.b64encode(before + bearer + b"!").decode()


SPELLINGS: Final[dict[str, Callable[[bytes], str]]] = {
    "plain": bytes.decode,
    "base64": lambda bearer: base64.b64encode(bearer).decode(),
    "base64-1": _b64(b":"),
    "base64-2": _b64(b"n:"),
    "url": lambda bearer: "".join(f"%{b:02X}" for b in bearer),
    "json": lambda bearer: "".join(f"\\u{b:04x}" for b in bearer),
    "hex": bytes.hex,
    "HEX": lambda bearer: bearer.hex().upper(),
    "reversed": lambda bearer: bearer.decode()[::-1],
}

WORDS: Final[dict[str, Word]] = {
    "pages": Word("GET", _KEYS, _pages),
    "lag": Word("GET", _KEYS, _span("lag")),
    "late": Word("POST", _KEYS, _span("late")),
    "blind-models": Word("GET", "/v1/models", _flag("blind-models")),
    "blind-chat": Word("POST", "/v1/chat/completions", _flag("blind-chat")),
    "trial": Word("*", _TRIALS, _trial),
    "odd-patch": Word("PATCH", _ONE, _choice("odd-patch", _PATCHES)),
    "odd-delete": Word("DELETE", _ONE, _choice("odd-delete", _DELETES)),
    "text-amounts": Word("*", f"{_KEYS}*", _flag("text-amounts")),
    "noise": Word("*", f"{_KEYS}*", _flag("noise")),
    "zoneless": Word("*", f"{_KEYS}*", _flag("zoneless")),
    "micros": Word("*", f"{_KEYS}*", _choice("micros", ("one", "list"))),
    "expired-disabled": Word("*", f"{_KEYS}*", _flag("expired-disabled")),
    "expired-gone": Word("*", f"{_KEYS}*", _flag("expired-gone")),
    "strict-lock": Word("*", f"{_KEYS}*", _strict_lock),
    "echo": Word("*", "*", _echo),
}
