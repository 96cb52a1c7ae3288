"""How a fault is written: `POST /v1/account/keys status=503 times=2`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.errors import UsageError
from reconciler.simulator import quirks
from reconciler.simulator.faults import Fault, Moment, Rate, Spoilt
from reconciler.simulator.quirks import Quirks, read_duration
from reconciler.simulator.quirks import wrong as _wrong

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

GRAMMAR: Final = f"""\
A fault is METHOD PATH WORD..., where * stands for any method, any path or any
part of a path. The words:

  latency=50ms       wait before the request is handled (ms or s)
  status=503         answer with this error instead of handling the request,
                     or, with when=after, in spite of having handled it
  rate=20/s          answer 429 to what comes faster (s, m or h)
  retry-after=2      the Retry-After (seconds) of a status or a rate; a rate
                     has one of its own unless retry-after=no
  lose=before        drop the connection and handle nothing
  lose=after         handle the request, then drop the connection
  body=html          make the answer unreadable (html, empty, shape or cut)
  ignore=FIELD       do as if a field had not been sent (or FIELD,FIELD)
  name=GLOB          only where the body that is sent has such a name
  times=2            only so often
  skip=3             not to the first so many
  probability=0.1    only sometimes; --seed decides when

What the documentation leaves open, the service may do in several ways. These
words have it do so; a fault that begins with one of them needs no METHOD PATH:

{quirks.HELP}
Examples:

  "POST /v1/account/keys status=503 times=2"
  "PATCH /v1/account/keys/* lose=after skip=1 times=1"
  "* * latency=50ms"
  "GET * rate=20/s retry-after=no"
  "POST /v1/account/keys lose=after name=reconciler~lock.*"
  "lag=2s"
  "pages=100,has_more"
  "odd-patch=204 zoneless probability=0.5"
"""

_METHODS: Final = ("*", "GET", "POST", "PATCH", "DELETE")
_FIELDS: Final = ("name", "credit_limit", "expires_at", "is_enabled")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_STATUSES: Final = range(400, 600)
_EFFECTS: Final = ("latency", "status", "rate", "lose", "body", "ignore")


def parse_fault(spec: str) -> Fault:
    """Read a fault as `simulate --fault` takes it; raises UsageError that says what is wrong with it."""
    try:
        return _parse(spec.split())
    except ValueError as error:
        msg = f'fault "{" ".join(spec.split())}": {error}'
        raise UsageError(msg) from error


def parse_faults(specs: str) -> tuple[Fault, ...]:
    """Read the faults of an environment variable, one a line or with semicolons between them; raises UsageError."""
    return tuple(parse_fault(spec) for spec in re.split(r"[;\n]", specs) if spec.strip())


def _parse(words: list[str]) -> Fault:
    first = words[0] if words else ""
    usual = quirks.WORDS.get(first.partition("=")[0])
    if usual is not None:
        return _read(usual.method, usual.path, words)
    if first.upper() not in _METHODS:
        _wrong(f"it must start with one of {', '.join(_METHODS)}, or with one of {', '.join(quirks.WORDS)}")
    path = words[1] if words[1:] else ""
    if path != "*" and not path.startswith("/v1/"):
        _wrong("after the method comes a path that starts with /v1/, or *")
    return _read(first.upper(), path, words[2:])


def _read(method: str, path: str, words: list[str]) -> Fault:
    given: dict[str, Any] = {}
    odd, seen = Quirks(), set[str]()
    for word in words:
        name, _, value = word.partition("=")
        if name in seen:
            _wrong(f"{name} is given twice")
        seen.add(name)
        if name in quirks.WORDS:
            read = quirks.WORDS[name].read(value)
            odd = odd.also(read.pop("quirks", Quirks()))
        elif name in _READERS:
            read = {name: _READERS[name](value)}
        else:
            known = (*(f"{reader}=" for reader in _READERS), *quirks.WORDS)
            _wrong(f"{word} is not one of {', '.join(known)}")
        if not given.keys().isdisjoint(read):
            _wrong(f"{word} and status= exclude each other")
        given |= read
    _check_together(set(given) | (seen & {"late"}), odd)
    return Fault(method, path, quirks=odd, **{name.replace("-", "_"): value for name, value in given.items()})


def _check_together(given: set[str], odd: Quirks) -> None:
    """Refuse words that do nothing, or that contradict each other."""
    if given.isdisjoint(_EFFECTS) and odd == Quirks():
        _wrong(f"it does nothing yet, add one of {', '.join(f'{name}=' for name in _EFFECTS)}")
    answers = sorted(given & {"status", "rate", "lose", "late"})
    if len(answers) > 1:
        _wrong(f"{answers[0]}= and {answers[1]}= exclude each other")
    if "body" in given and not given.isdisjoint({"lose", "late"}):
        _wrong("body= excludes lose= and late=")
    if "when" in given and "status" not in given:
        _wrong("when= needs status=")
    if "retry-after" in given and given.isdisjoint({"status", "rate"}):
        _wrong("retry-after= needs status= or rate=")


def _latency(text: str) -> float:
    return read_duration("latency", text, "50ms or 2s")


def _status(text: str) -> int:
    if not re.fullmatch(r"\d{3}", text, re.ASCII) or int(text) not in _STATUSES:
        _wrong(f"status= must be from {_STATUSES.start} to {_STATUSES.stop - 1}")
    return int(text)


def _rate(text: str) -> Rate:
    match = re.fullmatch(r"([1-9]\d{0,5})/([smh])", text, re.ASCII) or _wrong("rate= must be like 20/s or 100/m")
    return Rate(int(match[1]), _SECONDS[match[2]])


def _retry_after(text: str) -> int | Literal["no"]:
    if text == "no":
        return "no"
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        _wrong("retry-after= must be whole seconds, or no")
    return int(text)


def _ignore(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if not names <= set(_FIELDS):
        _wrong(f"ignore= takes {', '.join(_FIELDS)}")
    return names


def _probability(text: str) -> float:
    if not re.fullmatch(r"0?\.\d{1,9}|1(\.0)?|0", text, re.ASCII):
        _wrong("probability= must be from 0 to 1")
    return float(text)


def _count(name: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
            _wrong(f"{name}= must be a whole number")
        return int(text)

    return read


def _one_of(name: str, kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def read(text: str) -> StrEnum:
        if text not in list(kind):
            _wrong(f"{name}= must be one of {', '.join(kind)}")
        return kind(text)

    return read


def _name(text: str) -> str:
    return text or _wrong("name= must be a name, in which * stands for any part")


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "latency": _latency,
    "status": _status,
    "when": _one_of("when", Moment),
    "rate": _rate,
    "retry-after": _retry_after,
    "lose": _one_of("lose", Moment),
    "body": _one_of("body", Spoilt),
    "ignore": _ignore,
    "name": _name,
    "times": _count("times"),
    "skip": _count("skip"),
    "probability": _probability,
}
