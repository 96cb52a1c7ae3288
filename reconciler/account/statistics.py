"""All that `GET /account/activity` tells: what is left out is named, what is wrong is refused; pure.

The planner's own reading of the same answer is `wire.decode_activity`, which wants little and wants it complete.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.account.fields import MISSING, read_cost, read_object, writable, wrong
from reconciler.model import KeyTally, Statistics, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

_Entry = TypeVar("_Entry")

# A day may be written as the instant at which it begins.
_DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)([Tt ][\d:.]{5,20}([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)
# Beyond that a count is no count, and to write it out would take more digits than Python allows.
_COUNT_END: Final = 10**18


def decode_statistics(body: bytes, days: int) -> Statistics:
    """Read what the account was used for in the last `days` days; costs in USD, exactly.

    A part, a count or a name that is missing or null is taken for nothing and named in `absent`; total_stats that lacks
    its cost is no total. Raises UnexpectedAnswer for what is of another type, below zero, or about another period, and
    for an entry without its cost or its date.
    """
    raw = read_object(body)
    period = raw.get("period_days", days)
    if type(period) is not int or period != days:
        wrong("the answer", "period_days", f"{days}, as asked", period)
    reader = _Reader(raw)
    return Statistics(
        days,
        total=reader.total(),
        by_day=reader.entries("daily_stats", reader.day),
        by_model=reader.entries("top_models", reader.model),
        by_key=reader.entries("api_key_usage", reader.key),
        absent=tuple(reader.absent),
    )


class _Reader:
    """Reads the parts of one answer and keeps, in order and once, the names of what it lacks."""

    def __init__(self, answer: dict[str, object]) -> None:
        self._answer = answer
        self.absent: dict[str, None] = {}

    def total(self) -> Tally | None:
        part = "total_stats"
        raw = self._known(self._answer, part, part)
        if raw is None:
            return None
        if not isinstance(raw, dict):
            wrong("the answer", part, "an object", raw)
        if self._known(raw, "total_cost", f"{part}.total_cost") is None:
            return None
        return self._tally(part, raw, "total_requests")

    def entries(self, part: str, read: Callable[[str, dict[str, object]], _Entry]) -> tuple[_Entry, ...]:
        raw = self._known(self._answer, part, part)
        if raw is None:
            return ()
        if not isinstance(raw, list):
            wrong("the answer", part, "a list", raw)
        return tuple([read(part, self._entry(part, entry)) for entry in raw])

    def day(self, part: str, raw: dict[str, object]) -> tuple[date, Tally]:
        text = raw.get("date", MISSING)
        day = _read_day(text) if isinstance(text, str) else None
        if day is None:
            wrong(f"an entry of {part}", "date", "a date like 2026-01-20", text)
        return day, self._tally(part, raw, "total_requests")

    def model(self, part: str, raw: dict[str, object]) -> tuple[str, Tally]:
        return self._text(part, raw, "model_name"), self._tally(part, raw, "request_count")

    def key(self, part: str, raw: dict[str, object]) -> KeyTally:
        key_id = raw.get("api_key_id", MISSING)
        if key_id is MISSING:
            self._lacks(f"{part}.api_key_id")
            key_id = None
        if key_id is not None and type(key_id) is not int:
            wrong(f"an entry of {part}", "api_key_id", "an integer", key_id)
        return KeyTally(key_id, self._text(part, raw, "api_key_name"), self._tally(part, raw, "request_count"))

    def _tally(self, part: str, raw: dict[str, object], requests: str) -> Tally:
        where = part if part == "total_stats" else f"an entry of {part}"
        cost = read_cost(where, "total_cost", raw.get("total_cost", MISSING))
        if cost < 0:
            wrong(where, "total_cost", "an amount of USD from 0", raw["total_cost"])
        fields = (requests, "total_input_tokens", "total_output_tokens")
        count, input_tokens, output_tokens = (self._count(part, where, raw, field) for field in fields)
        return Tally(count, cost, input_tokens, output_tokens)

    def _count(self, part: str, where: str, raw: dict[str, object], field: str) -> int:
        count = self._known(raw, field, f"{part}.{field}")
        if count is None:
            return 0
        if type(count) is not int or not 0 <= count < _COUNT_END:
            wrong(where, field, "a whole number from 0", count)
        return count

    def _text(self, part: str, raw: dict[str, object], field: str) -> str:
        text = self._known(raw, field, f"{part}.{field}")
        if text is None:
            return ""
        if not isinstance(text, str):
            wrong(f"an entry of {part}", field, "text", text)
        return writable(text)

    def _entry(self, part: str, raw: object) -> dict[str, object]:
        if not isinstance(raw, dict):
            wrong("the answer", f"an entry of {part}", "an object", raw)
        return raw

    def _known(self, raw: dict[str, object], field: str, name: str) -> object:
        """Give a field; None, and its name is noted, where the answer does not have it."""
        value = raw.get(field)
        if value is None:
            self._lacks(name)
        return value

    def _lacks(self, name: str) -> None:
        self.absent.setdefault(name)


def _read_day(text: str) -> date | None:
    match = _DAY.fullmatch(text)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None
