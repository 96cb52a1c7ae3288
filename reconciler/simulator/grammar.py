"""How a fault is written: `POST /v1/account/keys status=503 times=2`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from reconciler.errors import UsageError
from reconciler.simulator.faults import Fault, Moment, Rate, Spoilt

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

GRAMMAR: Final = """\
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
  times=2            only so often
  skip=3             not to the first so many
  probability=0.1    only sometimes; --seed decides when

Examples:

  "POST /v1/account/keys status=503 times=2"
  "PATCH /v1/account/keys/* lose=after skip=1 times=1"
  "* * latency=50ms"
  "GET * rate=20/s retry-after=no"
"""

_METHODS: Final = ("*", "GET", "POST", "PATCH", "DELETE")
_FIELDS: Final = ("name", "credit_limit", "expires_at", "is_enabled")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_STATUSES: Final = range(400, 600)
_EFFECTS: Final = ("latency", "status", "rate", "lose", "body", "ignore")


def parse_fault(spec: str) -> Fault:
    """Read a fault as `simulate --fault` takes it; raises UsageError that says what is wrong with it."""
    try:
        return _parse(spec.split())
    except ValueError as error:
        msg = f'fault "{" ".join(spec.split())}": {error}'
        raise UsageError(msg) from error


def _parse(words: list[str]) -> Fault:
    method = words[0].upper() if words else ""
    if method not in _METHODS:
        _wrong(f"it must start with one of {', '.join(_METHODS)}")
    path = words[1] if words[1:] else ""
    if path != "*" and not path.startswith("/v1/"):
        _wrong("after the method comes a path that starts with /v1/, or *")
    given: dict[str, Any] = {}
    for word in words[2:]:
        name, _, value = word.partition("=")
        if name not in _READERS:
            _wrong(f"{word} is not one of {', '.join(f'{known}=' for known in _READERS)}")
        if name in given:
            _wrong(f"{name}= is given twice")
        given[name] = _READERS[name](value)
    _check_together(set(given))
    return Fault(method, path, **{name.replace("-", "_"): value for name, value in given.items()})


def _check_together(given: set[str]) -> None:
    """Refuse words that do nothing, or that contradict each other."""
    if given.isdisjoint(_EFFECTS):
        _wrong(f"it does nothing yet, add one of {', '.join(f'{name}=' for name in _EFFECTS)}")
    answers = sorted(given & {"status", "rate", "lose"})
    if len(answers) > 1:
        _wrong(f"{answers[0]}= and {answers[1]}= exclude each other")
    if {"body", "lose"} <= given:
        _wrong("body= and lose= exclude each other")
    if "when" in given and "status" not in given:
        _wrong("when= needs status=")
    if "retry-after" in given and given.isdisjoint({"status", "rate"}):
        _wrong("retry-after= needs status= or rate=")


def _latency(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6})(ms|s)", text, re.ASCII) or _wrong("latency= must be like 50ms or 2s")
    return int(match[1]) * _SECONDS[match[2]]


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


def _wrong(message: str) -> NoReturn:
    raise ValueError(message)


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "latency": _latency,
    "status": _status,
    "when": _one_of("when", Moment),
    "rate": _rate,
    "retry-after": _retry_after,
    "lose": _one_of("lose", Moment),
    "body": _one_of("body", Spoilt),
    "ignore": _ignore,
    "times": _count("times"),
    "skip": _count("skip"),
    "probability": _probability,
}
