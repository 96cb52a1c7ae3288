"""Faults on request: what one is, and which of them strike a request."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal

from reconciler.simulator.quirks import AS_DOCUMENTED, Quirks

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
        """Tell whether a request is one that this fault is about; `name` is the one in its body, "" without any."""
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
