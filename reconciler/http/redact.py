"""What the other side says, made fit to be repeated: the one redaction of this program.

A secret that comes back is hidden however it is spelt: plain, reversed, in hex, in base64 at whatever byte of it the
secret begins, escaped as in URLs, JSON, Python and HTML, broken by white space; and so is any longer part of it.
"""

from __future__ import annotations

import base64
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.secret import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.http.exchange import Answer
    from reconciler.secret import Secret

LONGEST_QUOTE: Final = 300

_LOOKED_AT: Final = 4_000
_ISSUED_SECRET: Final = re.compile(r"ng-[A-Za-z0-9]{20,}|naga_sk_[A-Za-z0-9_-]{16,}", re.ASCII)
# A part of a secret is hidden from so many characters on, however it is spelt: 16 bytes of it, 12 in base64, 8 in hex.
# A secret that is not much longer is hidden as a whole only: it may be made of words that a message has too.
_PART: Final = 16
_LONG_SECRET: Final = 24
# What is shorter is found by chance.
_SHORTEST_CODE: Final = 8
# A name is looked at for secrets that are no words.
_NO_WORD: Final = 16
_ESCAPED: Final = re.compile(
    r"\\u(?P<pair>d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\u(?P<unicode>[0-9a-f]{4})|\\x(?P<byte>[0-9a-f]{2})"
    r"|%(?P<percent>[0-9a-f]{2})|&#x0*(?P<hex>[0-9a-f]{1,5});|&#0*(?P<number>[0-9]{1,6});"
    r"|&(?P<entity>amp|lt|gt|quot|apos);|\\(?P<escape>[\"\\/'bfnrt])",
    re.IGNORECASE,
)
# JSON in JSON in a URL is seen through.
_LEVELS: Final = 3
_MARKS: Final = ("\\", "%", "&#")
_BLANK: Final = b" \t\n\r\v\f\x00"
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def keys_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Return what in these texts looks like a key of the service, so that it can be hidden wherever it comes back."""
    return tuple(found for text in texts for found in _ISSUED_SECRET.findall(text))


def quote(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return foreign text as one short line without these secrets and without characters that act on a terminal.

    What looks like a key of the service is hidden as well. At most LONGEST_QUOTE characters are given.
    """
    known = tuple(secrets)
    line = " ".join(redact(text, known)[:_LOOKED_AT].split())
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    # Once more: what was made visible could spell out what was not there before.
    safe = redact(visible, known)
    return safe if len(safe) <= LONGEST_QUOTE else safe[: LONGEST_QUOTE - 1] + "…"


def redirect(answer: Answer, secrets: Iterable[Secret]) -> str:
    """Return of a redirect which host it wants to lead to, and no more: the rest of the address may hold anything."""
    try:
        host = urlsplit(answer.location or "").netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return f"{answer.status}, a redirect{host and ' to ' + quote(host, secrets)}, which is never followed"


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Hide these secrets in what somebody else has said, and what looks like a key of the service."""
    return _hidden(text, [*_spans(text, secrets), *(match.span() for match in _ISSUED_SECRET.finditer(text))])


def redact_names(names: Sequence[str], secrets: Iterable[Secret]) -> Sequence[str]:
    """Hide these secrets in names, which nearly never hold one: thousands are looked at as fast as one.

    A secret of less than 16 characters may be a word, so it is left alone; and so is a part of a secret, unless another
    name holds a whole one.
    """
    known = [secret for secret in secrets if len(secret.reveal()) >= _NO_WORD]
    together = "\n".join(names)
    codes = [code.decode(errors="replace") for secret in known for code in _codes(secret)]
    if not any(mark in together for mark in _MARKS) and not any(code in together for code in codes):
        return names
    return [_hidden(name, _spans(name, known)) for name in names]


def without(body: bytes, secret: Secret) -> bytes:
    """Return a body in which a secret is hidden, since what is read of it may be shown; escapes are not looked into."""
    if not any(code in body for code in _codes(secret)):
        return body
    return redact(body.decode(errors="replace"), [secret]).encode()


def _spans(text: str, secrets: Iterable[Secret]) -> list[tuple[int, int]]:
    """Find secrets in a text: give from where to where each of them is spelt."""
    said = [_Said.plainly(text)]
    for _ in range(_LEVELS):
        said.append(said[-1].unescaped())
        if len(said[-1].content) == len(said[-2].content):
            break
    return [span for secret in secrets for each in said for span in each.holding(secret)]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a text says, as bytes, and from where to where in the text each of them is spelt."""

    content: bytes
    spans: Sequence[tuple[int, int]]

    @classmethod
    def plainly(cls, text: str) -> _Said:
        if text.isascii():
            return cls(text.encode(), [(at, at + 1) for at in range(len(text))])
        encoded = [character.encode(errors="surrogatepass") for character in text]
        spans = [(at, at + 1) for at, each in enumerate(encoded) for _ in each]
        return cls(b"".join(encoded), spans)

    def unescaped(self) -> _Said:
        """Take one level of escapes away, and the white space."""
        text = self.content.decode("latin-1")  # byte by byte: escapes are ASCII
        content, spans, end = bytearray(), list[tuple[int, int]](), 0
        for match in _ESCAPED.finditer(text):
            content += self.content[end : match.start()]
            spans += self.spans[end : match.start()]
            meant = _meant(str(match.lastgroup), match[str(match.lastgroup)])
            end = match.end()
            content += meant
            spans += [(self.spans[match.start()][0], self.spans[end - 1][1])] * len(meant)
        content += self.content[end:]
        spans += self.spans[end:]
        kept = [(byte, span) for byte, span in zip(content, spans, strict=True) if byte not in _BLANK]
        return _Said(bytes(byte for byte, _ in kept), [span for _, span in kept])

    def holding(self, secret: Secret) -> Iterator[tuple[int, int]]:
        """Yield where a secret, or a longer part of it, is spelt."""
        parts: dict[int, set[bytes]] = {}
        is_long = len(secret.reveal()) >= _LONG_SECRET
        for code in _codes(secret):
            length = min(_PART, len(code)) if is_long else len(code)
            parts.setdefault(length, set()).update(code[at : at + length] for at in range(len(code) - length + 1))
        for length, codes in parts.items():
            for at in range(len(self.content) - length + 1):
                if self.content[at : at + length] in codes:
                    yield self.spans[at][0], self.spans[at + length - 1][1]


def _meant(kind: str, spelling: str) -> bytes:
    match kind:
        case "byte" | "percent":
            return bytes([int(spelling, 16)])
        case "pair":
            high, low = int(spelling[:4], 16), int(spelling[-4:], 16)
            return chr(0x10000 + (high - 0xD800 << 10) + (low - 0xDC00)).encode()
        case "entity":
            return _ENTITIES[spelling.lower()].encode()
        case "escape":
            return _ESCAPES.get(spelling, spelling).encode()
        case _:
            number = int(spelling, 10 if kind == "number" else 16)
            return chr(number).encode(errors="surrogatepass") if number <= sys.maxunicode else b""


def _codes(secret: Secret) -> set[bytes]:
    """Return the spellings of a secret that are not escapes."""
    plain = secret.reveal()
    content = plain.encode(errors="surrogatepass")
    codes = {content, content.translate(None, _BLANK)} - {b""}
    more = {plain[::-1].encode(errors="surrogatepass"), content.hex().encode(), content.hex().upper().encode()}
    for before in range(3):
        # Of the first and the last character, the bytes beside the secret decide too; that may leave four bits of it.
        end = 4 * (before + len(content)) // 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(bytes(before) + content).rstrip(b"=")[(4 * before + 2) // 3 :]
            more |= {encoded, encode(bytes(before) + content)[(4 * before + 2) // 3 : end]}
    return codes | {code for code in more if len(code) >= _SHORTEST_CODE}


def _hidden(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Put the placeholder where these spans are, once for those that touch."""
    parts: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start > end or not parts:
            parts += [text[end:start], HIDDEN]
        end = max(end, stop)
    return "".join([*parts, text[end:]])
