"""Breaks use down by day, model, key, environment or team, in lines that add up to the total. Pure.

What the service counts in its total and not in its parts, because these lag or are cut short, has a line of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from reconciler.insight.inventory import Standing
from reconciler.model import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import date

    from reconciler.insight.inventory import Attribution, Owner
    from reconciler.model import Statistics


# Parts of a whole in percent that add up.

_TENTHS: Final = 1000


def percentages(amounts: Sequence[Decimal]) -> tuple[Decimal, ...] | None:
    """Return the share of each amount (0 or more) in percent with one decimal, so that they add up to exactly 100.

    Those with the largest remainders are rounded up, of equal ones the first. None where there is nothing to share.
    """
    exact = [Fraction(amount) for amount in amounts]
    whole = sum(exact)
    if not whole:
        return None
    scaled = [amount * _TENTHS / whole for amount in exact]
    tenths = [int(amount) for amount in scaled]
    left = _TENTHS - sum(tenths)
    for at in sorted(range(len(scaled)), key=lambda at: tenths[at] - scaled[at])[:left]:
        tenths[at] += 1
    return tuple(Decimal(count) / 10 for count in tenths)


# What the account's use comes to by day, model, key, environment or team, in lines that add up to the total.

_Key = TypeVar("_Key")
ZERO: Final = Decimal(0)


class Grouping(StrEnum):
    """By what use is added up."""

    DAY = "day"
    MODEL = "model"
    KEY = "key"
    ENVIRONMENT = "environment"
    TEAM = "team"


OWNED: Final = frozenset({Grouping.KEY, Grouping.ENVIRONMENT, Grouping.TEAM})
"""The groupings that depend on whose a key is."""


class Kind(StrEnum):
    """What a line is about.

    The first five are what was asked for. Of what does not belong there, `no team` is use of declared keys that name
    none, `undeclared` that of keys of declared environments that the file does not name, `rest` what was not selected.
    `difference` is what the service's total has and its parts lack, and may be below zero.
    """

    DAY = "day"
    MODEL = "model"
    KEY = "key"
    ENVIRONMENT = "environment"
    TEAM = "team"
    NO_TEAM = "no team"
    UNDECLARED = "undeclared"
    UNMANAGED = "unmanaged"
    DELETED = "deleted"
    LOCK = "lock"
    REST = "rest"
    DIFFERENCE = "difference"


class Group(NamedTuple):
    """What use is added up under; `key_id` tells keys apart that have a name only. `name` is raw, empty for none."""

    kind: Kind
    name: str = ""
    key_id: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The use of a group; `share` of the cost in percent, None where there is nothing to share.

    `key_ids` are the keys it was used under; `daily` the same by day, where that was asked for.
    """

    group: Group
    tally: Tally
    share: Decimal | None = None
    key_ids: tuple[int, ...] = ()
    daily: tuple[tuple[date, Tally], ...] = ()


@dataclass(frozen=True, slots=True)
class Breakdown:
    """All use of some days in lines; their tallies add up to `total`, their shares to 100.

    `absent` names what the service's answer lacks; without its total_stats, `total` is what the lines come to.
    """

    by: Grouping
    days: int
    total: Tally
    lines: tuple[Line, ...]
    absent: tuple[str, ...] = ()


class Sorter:
    """Says under which group of a grouping the use of a key belongs."""

    def __init__(self, by: Grouping, attribution: Attribution, environments: Collection[str] = ()) -> None:
        """Group by key, environment or team; with `environments`, use of others is the rest."""
        self._by = by
        self._attribution = attribution
        self._environments = environments
        self._living = {owner.address for owner in attribution.live.values()}

    def tallies(self, statistics: Statistics) -> dict[Group, Tally]:
        """Add up the use of all keys."""
        found: dict[Group, Tally] = {}
        for usage in statistics.by_key:
            group = self.group(self._attribution.of(usage))
            found[group] = found.get(group, Tally()) + usage.tally
        return found

    def key_ids(self, statistics: Statistics) -> dict[Group, tuple[int, ...]]:
        """Return the ids of the keys that were used, by group, in order."""
        found: dict[Group, set[int]] = {}
        for usage in statistics.by_key:
            if (key_id := self._attribution.of(usage).key_id) is not None:
                found.setdefault(self.group(self._attribution.of(usage)), set()).add(key_id)
        return {group: tuple(sorted(ids)) for group, ids in found.items()}

    def group(self, owner: Owner) -> Group:
        """Return where the use of an owner belongs."""
        address = owner.address
        if self._environments and (address is None or address.environment not in self._environments):
            return Group(Kind.REST)
        if address is None:
            kind = _STRAYS[owner.standing]
            return Group(kind, owner.name, owner.key_id) if self._by is Grouping.KEY else Group(kind)
        if self._by is Grouping.KEY:
            return Group(Kind.KEY if address in self._living else Kind.DELETED, str(address))
        if self._by is Grouping.ENVIRONMENT:
            return Group(Kind.ENVIRONMENT, address.environment)
        if owner.declared is None:
            return Group(Kind.UNDECLARED)
        return Group(Kind.NO_TEAM) if owner.team is None else Group(Kind.TEAM, owner.team)


# Of what has no address; the other standings have one.
_STRAYS: Final = {
    Standing.UNMANAGED: Kind.UNMANAGED,
    Standing.LOCK: Kind.LOCK,
    Standing.DELETED: Kind.DELETED,
}
# What comes after the lines that were asked for; by key, every line but the last two is a key.
_AFTER: Final = [Kind.NO_TEAM, Kind.UNDECLARED, Kind.UNMANAGED, Kind.DELETED, Kind.LOCK, Kind.REST, Kind.DIFFERENCE]
_LAST: Final = [Kind.REST, Kind.DIFFERENCE]

MORE: Final = Group(Kind.REST, "more")
"""The group of lines that a table leaves out; the rest that was not selected has no name."""


def by_day(statistics: Statistics, today: date) -> Breakdown:
    """Break down by day, from the first day with use to today; the service leaves out days without any."""
    tallies = _added((Group(Kind.DAY, day.isoformat()), tally) for day, tally in statistics.by_day)
    if tallies:
        first = min(day for day, _ in statistics.by_day)
        # Not further back than was asked for: an entry out of place must not fill the page with empty days.
        first = max(first, today - timedelta(days=statistics.days - 1))
        for ago in range((today - first).days + 1):
            tallies.setdefault(Group(Kind.DAY, (today - timedelta(days=ago)).isoformat()), Tally())
    lines = [Line(group, tally) for group, tally in sorted(tallies.items())]
    return _balanced(Grouping.DAY, statistics, lines)


def by_model(statistics: Statistics) -> Breakdown:
    """Break down by model, the one that costs most first."""
    lines = [Line(group, tally) for group, tally in model_tallies(statistics).items()]
    return _balanced(Grouping.MODEL, statistics, lines)


def model_tallies(statistics: Statistics) -> dict[Group, Tally]:
    """Add up the use of each model."""
    return _added((Group(Kind.MODEL, name), tally) for name, tally in statistics.by_model)


def by_owner(by: Grouping, statistics: Statistics, sorter: Sorter) -> Breakdown:
    """Break down by key, environment or team, what costs most first, and what belongs nowhere last."""
    ids = sorter.key_ids(statistics)
    lines = [Line(group, tally, key_ids=ids.get(group, ())) for group, tally in sorter.tallies(statistics).items()]
    return _balanced(by, statistics, lines)


def of_days(
    by: Grouping, days: int, parts: Iterable[tuple[Group, date, int | None, Tally]], *, daily: bool
) -> Breakdown:
    """Break down what is recorded of `days` days: parts with their group, day and key; nothing else is counted."""
    tallies: dict[Group, dict[date, Tally]] = {}
    ids: dict[Group, set[int]] = {}
    for group, day, key_id, tally in parts:
        dated = tallies.setdefault(group, {})
        dated[day] = dated.get(day, Tally()) + tally
        if key_id is not None:
            ids.setdefault(group, set()).add(key_id)
    lines = tuple(
        Line(
            group,
            sum(dated.values(), Tally()),
            key_ids=tuple(sorted(ids.get(group, ()))),
            daily=tuple(sorted(dated.items())) if daily else (),
        )
        for group, dated in tallies.items()
    )
    return _shared(Breakdown(by, days, sum((line.tally for line in lines), Tally()), lines))


def together(parts: Iterable[Breakdown]) -> Breakdown:
    """Take the breakdowns of several accounts, made alike, as one.

    Lines of one name become one; those of keys that have an id and no address stay apart.
    """
    parts = tuple(parts)
    lines: dict[Group, Line] = {}
    apart: list[Line] = []
    for line in (line for part in parts for line in part.lines):
        if line.group.key_id is not None or (line.group.kind is Kind.DELETED and line.group.name):
            apart.append(line)
            continue
        other = lines.get(line.group)
        lines[line.group] = line if other is None else _one(other, line)
    total = sum((part.total for part in parts), Tally())
    absent = tuple(dict.fromkeys(name for part in parts for name in part.absent))
    return _shared(Breakdown(parts[0].by, parts[0].days, total, (*lines.values(), *apart), absent))


def abridged(breakdown: Breakdown, top: int) -> tuple[tuple[Line, ...], int]:
    """Return the first `top` lines and, added up under the group `MORE`, the others, with their number.

    What was not selected and the difference are always given. The shares add up to 100 again.
    """
    last = [line for line in breakdown.lines if line.group.kind in _LAST]
    first = [line for line in breakdown.lines if line.group.kind not in _LAST]
    hidden = first[top:]
    if not hidden:
        return breakdown.lines, 0
    more = Line(MORE, sum((line.tally for line in hidden), Tally()))
    return _with_shares([*first[:top], more, *last]), len(hidden)


def _one(line: Line, other: Line) -> Line:
    daily = _added((*line.daily, *other.daily))
    return replace(line, tally=line.tally + other.tally, daily=tuple(sorted(daily.items())), key_ids=())


def _added(pairs: Iterable[tuple[_Key, Tally]]) -> dict[_Key, Tally]:
    found: dict[_Key, Tally] = {}
    for key, tally in pairs:
        found[key] = found.get(key, Tally()) + tally
    return found


def _balanced(by: Grouping, statistics: Statistics, lines: list[Line]) -> Breakdown:
    attributed = sum((line.tally for line in lines), Tally())
    total = attributed if statistics.total is None else statistics.total
    difference = total - attributed
    if difference != Tally():
        lines.append(Line(Group(Kind.DIFFERENCE), difference))
    return _shared(Breakdown(by, statistics.days, total, tuple(lines), statistics.absent))


def _shared(breakdown: Breakdown) -> Breakdown:
    """Put the lines in order, with their shares; a line below zero has none."""
    after = _LAST if breakdown.by is Grouping.KEY else _AFTER
    lines = sorted(breakdown.lines, key=lambda line: _order(line, breakdown.by, after))
    return replace(breakdown, lines=_with_shares(lines))


def _with_shares(lines: Sequence[Line]) -> tuple[Line, ...]:
    shares = percentages([max(line.tally.cost, ZERO) for line in lines])
    if shares is None:
        return tuple(lines)
    return tuple(
        replace(line, share=None if line.tally.cost < 0 else share) for line, share in zip(lines, shares, strict=True)
    )


def _order(line: Line, by: Grouping, after: list[Kind]) -> tuple[object, ...]:
    kind, name, key_id = line.group
    place = after.index(kind) + 1 if kind in after else 0
    if by is Grouping.DAY:
        return (place, name)
    return (place, -line.tally.cost, -line.tally.requests, name, key_id or 0)


# Use by day where the service tells none: what the last n days have and the last n-1 have not, is that of one day.
#
# The service may answer each window as of another moment, up to five minutes apart. A shorter window then knows of
# use that a longer one does not, and their difference is below zero. It counts as nothing, and is taken off the days
# after it: the days add up to the longest window, and none of them is below zero.


@dataclass(frozen=True, slots=True)
class Days:
    """A breakdown whose lines have their days; `corrected` counts the days of lines that had come out below zero."""

    breakdown: Breakdown
    corrected: int


def with_days(
    breakdown: Breakdown,
    windows: Mapping[int, Statistics],
    tallies: Callable[[Statistics], Mapping[Group, Tally]],
    today: date,
) -> Days:
    """Add the days to the lines of a breakdown; `windows` has those of 1 to `breakdown.days` days.

    `tallies` adds up one window as the breakdown was made. Lines that stand for no use under a key or a model get none,
    nor does a day without use.
    """
    found = [tallies(windows[days]) for days in range(breakdown.days, 0, -1)]
    corrected = 0
    lines = []
    for line in breakdown.lines:
        each = [window.get(line.group, Tally()) for window in found]
        differences, wrong = spread(each)
        corrected += wrong
        dated = ((today - timedelta(days=len(each) - 1 - at), tally) for at, tally in enumerate(differences))
        lines.append(replace(line, daily=tuple((day, tally) for day, tally in dated if tally != Tally())))
    return Days(replace(breakdown, lines=tuple(lines)), corrected)


def spread(windows: Sequence[Tally]) -> tuple[list[Tally], int]:
    """Return the use of each day, the oldest first, from windows that get shorter by a day, the longest first.

    Also counts the days whose difference was below zero. The days add up to the first window.
    """
    days: list[Tally] = []
    so_far = Tally()
    wrong = 0
    for at, window in enumerate(windows):
        shorter = windows[at + 1] if at + 1 < len(windows) else Tally()
        wrong += _lowest(window, shorter) != shorter
        # All that is older than the shorter window; never less than was counted before.
        older = _highest(so_far, windows[0] - shorter)
        days.append(older - so_far)
        so_far = older
    return days, wrong


def _highest(one: Tally, other: Tally) -> Tally:
    return Tally(
        max(one.requests, other.requests),
        max(one.cost, other.cost),
        max(one.input_tokens, other.input_tokens),
        max(one.output_tokens, other.output_tokens),
    )


def _lowest(one: Tally, other: Tally) -> Tally:
    return one - _highest(one - other, Tally())
