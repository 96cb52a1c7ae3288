"""Faults on request: how they are written, and which of them strike a request."""

from __future__ import annotations

import math
import random
import re
import time
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.errors import UsageError
from reconciler.simulator import quirks
from reconciler.simulator.quirks import AS_DOCUMENTED, Quirks, read_duration
from reconciler.simulator.quirks import wrong as _wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_TOO_MANY_REQUESTS: Final = 429


class Moment(StrEnum):
    """When a fault strikes: before the request is handled, or after its effect is kept."""

    BEFORE = "before"
    AFTER = "after"


class Spoilt(StrEnum):
    """What becomes of an answer's body: a proxy's page, nothing, JSON of another shape, or its first half."""

    HTML = "html"
    EMPTY = "empty"
    SHAPE = "shape"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in a window of so many seconds."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the requests it is about, what it does to them, and how often.

    `latency` and `retry_after` are in seconds; `times` None means every time; `name` is a glob for the name in the body
    that is sent, None for any body or none.
    """

    method: str
    path: str
    latency: float = 0.0
    status: int | None = None
    when: Moment = Moment.BEFORE
    rate: Rate | None = None
    retry_after: int | Literal["no"] | None = None
    lose: Moment | None = None
    body: Spoilt | None = None
    ignore: frozenset[str] = frozenset()
    quirks: Quirks = AS_DOCUMENTED
    name: str | None = None
    times: int | None = None
    skip: int = 0
    probability: float = 1.0

    def concerns(self, method: str, path: str, name: str = "") -> bool:
        """Return whether a request is one that this fault is about; `name` is the one in its body, "" without any."""
        named = self.name is None or (bool(name) and fnmatchcase(name, self.name))
        return named and self.method in ("*", method) and fnmatchcase(path, self.path)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The service answers with an error; `retry_after` is in seconds, None for no such header."""

    status: int
    retry_after: int | None
    body: Spoilt | None


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The connection drops and nothing is answered."""


@dataclass(frozen=True, slots=True)
class SpoiltAnswer:
    """The answer comes with its own status and a body that nobody can read."""

    body: Spoilt


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one request: a wait in seconds, then `instead` of handling it or `afterwards`."""

    latency: float = 0.0
    ignored: frozenset[str] = frozenset()
    instead: ErrorAnswer | LostAnswer | None = None
    afterwards: ErrorAnswer | LostAnswer | SpoiltAnswer | None = None
    quirks: Quirks = AS_DOCUMENTED


class Faults:
    """The faults in force, in the order given; all that strike a request add up until one answers in its place."""

    def __init__(
        self, faults: Iterable[Fault] = (), *, seed: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Put faults in force; `seed` decides those with a probability, `clock` (seconds) paces those with a rate."""
        self._active = [_Active(fault) for fault in faults]
        self._chance = random.Random(seed)  # noqa: S311  # a test wants it predictable
        self._clock = clock

    def add(self, faults: Iterable[Fault]) -> None:
        """Put more faults in force."""
        self._active.extend(_Active(fault) for fault in faults)

    def clear(self) -> None:
        """Put none in force."""
        self._active.clear()

    @property
    def by_name(self) -> bool:
        """Whether a fault in force has to know the name that a request sends."""
        return any(active.fault.name is not None for active in self._active)

    def strike(self, method: str, path: str, name: str = "") -> Verdict:
        """Decide what happens to a request, and count it; `name` is the one in its body, "" without any."""
        verdict = Verdict()
        for active in self._active:
            if not active.fault.concerns(method, path, name):
                continue
            blow = active.strike(self._chance, self._clock())
            if blow is None:
                continue
            verdict = Verdict(
                verdict.latency + blow.latency,
                verdict.ignored | blow.ignored,
                blow.instead,
                verdict.afterwards or blow.afterwards,
                verdict.quirks.also(blow.quirks),
            )
            if verdict.instead:
                return replace(verdict, afterwards=None)
        return verdict


class _Active:
    """A fault in force, with what it has seen."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.struck = 0
        self.served: deque[float] = deque()

    def strike(self, chance: random.Random, now: float) -> Verdict | None:
        fault = self.fault
        if self.struck == fault.times:
            return None
        wait = self._too_fast(fault.rate, now) if fault.rate else 0.0
        if wait is None:
            return None
        self.seen += 1
        if self.seen <= fault.skip or chance.random() >= fault.probability:
            return None
        self.struck += 1
        return _blow(fault, wait)

    def _too_fast(self, rate: Rate, now: float) -> float | None:
        """Let a request into the window, or tell for how many seconds the window stays full."""
        while self.served and self.served[0] <= now - rate.seconds:
            self.served.popleft()
        if len(self.served) < rate.requests:
            self.served.append(now)
            return None
        return self.served[0] + rate.seconds - now


def _blow(fault: Fault, wait: float) -> Verdict:
    verdict = Verdict(fault.latency, fault.ignore, quirks=fault.quirks)
    if fault.rate:
        retry_after = max(1, math.ceil(wait)) if fault.retry_after is None else _seconds(fault.retry_after)
        return replace(verdict, instead=ErrorAnswer(_TOO_MANY_REQUESTS, retry_after, fault.body))
    if fault.lose or fault.quirks.late is not None:
        lost = LostAnswer()
        return replace(verdict, instead=lost) if fault.lose is Moment.BEFORE else replace(verdict, afterwards=lost)
    if fault.status:
        answer = ErrorAnswer(fault.status, _seconds(fault.retry_after), fault.body)
        return replace(verdict, instead=answer) if fault.when is Moment.BEFORE else replace(verdict, afterwards=answer)
    return replace(verdict, afterwards=SpoiltAnswer(fault.body)) if fault.body else verdict


def _seconds(retry_after: int | Literal["no"] | None) -> int | None:
    return None if retry_after == "no" else retry_after


# How a fault is written: `POST /v1/account/keys status=503 times=2`.

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
