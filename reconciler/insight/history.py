"""What an account was used for day by day, kept beyond the 30 days that the service tells. Pure.

The service tells the days of the whole account, but of a key or a model only windows that end today. The use of a key
on one day is what the window that begins with it has and the window that begins a day later has not. So each day whose
keys are not known takes one more window: the longest one less the days that are recorded gives the window before it.
A night after another one reads the key list, the window of 30 days and that of 1 day.

Whole days are kept only. Their totals are the service's own (`daily_stats`); what its keys or models lack of one, or
have too much, is a line that belongs to nobody, so the lines of a day always add up to the total. A day is read again
when the service's total of it is no longer what was recorded.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import UsageError
from reconciler.insight.activity import AccountActivity, Insights, Question, activity_report
from reconciler.insight.breakdown import Group, Grouping, Kind, of_days
from reconciler.insight.inventory import Attribution, Standing
from reconciler.model import LONGEST_DAYS, KeyTally, Tally, Usage
from reconciler.planning.names import is_lock
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from reconciler.insight.activity import ActivityReport
    from reconciler.insight.inventory import InventoryKey
    from reconciler.model import Declaration, Snapshot, Statistics


Subject = int | str
"""What use is recorded under: a key by its id, else by the name that the service tells; or a model by its name."""

NOBODY: Final = ""
"""What the service's total of a day has and its parts lack."""


class KeyDay(NamedTuple):
    """The use of a key on one day (UTC); empty text for what is not known or does not apply.

    `account` is the variable with the provisioning key of its account, `name` the key's live name.
    """

    day: date
    account: str
    address: str
    environment: str
    team: str
    key_id: int | None
    name: str
    tally: Tally

    @property
    def subject(self) -> Subject:
        """Under what it is recorded."""
        return self.name if self.key_id is None else self.key_id


class ModelDay(NamedTuple):
    """The use of a model on one day (UTC); no `model` is what the service tells of none."""

    day: date
    account: str
    model: str
    tally: Tally

    @property
    def subject(self) -> Subject:
        """Under what it is recorded."""
        return self.model


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as it was last seen among the live ones; its name and team are kept after it is deleted."""

    account: str
    key_id: int
    created_at: str
    name: str
    address: str
    environment: str
    team: str


class Span(NamedTuple):
    """Days that were recorded, both included."""

    since: date
    until: date


@dataclass(frozen=True, slots=True)
class History:
    """What was recorded: the `spans` of days by account, every key ever seen, and the use of keys and models."""

    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    keys: tuple[KnownKey, ...] = ()
    usage: tuple[KeyDay, ...] = ()
    models: tuple[ModelDay, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a run makes of a history: `history` itself, how many days are new or corrected, and what is lost for good.

    `lost` are days that passed without a run and that the service does not tell any more.
    """

    history: History
    days: tuple[date, ...] = ()
    lost: tuple[Span, ...] = ()


def first_day(today: date) -> date:
    """Return the first whole day that the service tells."""
    return today - timedelta(days=LONGEST_DAYS - 1)


def unknown_days(history: History, account: str, longest: Statistics, today: date) -> set[int]:
    """Say, in days before today, which whole days have to be found out: new ones and those that the service corrected.

    So has one of the last two that has use of no key: the windows may have been as of different moments.
    """
    told = _told(longest, today)
    keys, models = _recorded(history.usage, account, today), _recorded(history.models, account, today)
    return {
        ago
        for ago in range(1, LONGEST_DAYS)
        if _sum(keys[ago]) != told[ago]
        or _sum(models[ago]) != told[ago]
        or (ago <= _FRESH and keys[ago].get(NOBODY, Tally()) != Tally())
    }


_FRESH: Final = 2


def missing_windows(
    history: History, account: str, windows: Mapping[int, Statistics], unknown: Collection[int], today: date
) -> set[int]:
    """Return which windows would settle the days that do not come out right from those that were read.

    `windows` has the longest and that of each unknown day. A day comes out wrong where the service moved use from key
    to key in days that are recorded.
    """
    told = _told(windows[LONGEST_DAYS], today)
    wrong: set[int] = set()
    for recorded, cumulated in _sides(history, account, windows, today):
        for ago, day in _differences(cumulated, recorded, unknown).items():
            if _sum(day) != told[ago] or any(_positive(tally) != tally for tally in day.values()):
                wrong.add(ago + 1)
    return wrong - {*windows}


def record(
    history: History,
    account: str,
    snapshot: Snapshot,
    windows: Mapping[int, Statistics],
    unknown: Collection[int],
    declaration: Declaration | None = None,
) -> Recorded:
    """Add to a history what the service tells of one account.

    Args:
        history: What is recorded; of the use, that of the last 30 days is enough.
        account: The variable with the provisioning key.
        snapshot: The live keys, at the service's time.
        windows: The use of the last n days by n: 30, that of each unknown day, and those that `missing_windows` names.
        unknown: The days that are found out, in days before today; see `unknown_days`.
        declaration: What the file says of this account; None reads names by the default naming and knows no team.

    Returns:
        The history with these days in place of what was recorded of them.
    """
    today = snapshot.now.date()
    told = _told(windows[LONGEST_DAYS], today)
    registrar = _Registrar(history, account, snapshot, declaration, windows[LONGEST_DAYS])
    days = {today - timedelta(days=ago) for ago in unknown}
    usage = [each for each in history.usage if each.account != account or each.day not in days]
    models = [each for each in history.models if each.account != account or each.day not in days]
    (old_keys, keys), (old_models, names) = _sides(history, account, windows, today)
    for ago, parts in _differences(keys, old_keys, unknown).items():
        day = today - timedelta(days=ago)
        usage += [registrar.line(day, subject, tally) for subject, tally in _settled(parts, told[ago])]
    for ago, parts in _differences(names, old_models, unknown).items():
        day = today - timedelta(days=ago)
        models += [ModelDay(day, account, str(subject), tally) for subject, tally in _settled(parts, told[ago])]
    before = history.spans.get(account, ())
    span = Span(first_day(today), today - timedelta(days=1))
    spans = {**history.spans, account: joined([*before, span])}
    lost = [Span(each.until + timedelta(days=1), span.since - timedelta(days=1)) for each in before[-1:]]
    return Recorded(
        History(spans, registrar.keys(), tuple(usage), tuple(models)),
        tuple(sorted(days)),
        tuple(each for each in lost if each.since <= each.until),
    )


def is_of_another(history: History, account: str, snapshot: Snapshot, longest: Statistics) -> bool:
    """True when a history can't be about this account: an id means another key there, or none of its keys is known."""
    known = {key.key_id: key.created_at for key in history.keys if key.account == account}
    live = {key.id: format_instant(key.created_at.replace(microsecond=0)) for key in snapshot.keys}
    if any(known[key_id] != created for key_id, created in live.items() if key_id in known):
        return True
    seen = live.keys() | {usage.id for usage in longest.by_key if usage.id is not None}
    return bool(known and seen) and not known.keys() & seen


class _Registrar:
    """Says whose use is, from what the file, the live keys and the history know; keeps every key that is live."""

    def __init__(
        self,
        history: History,
        account: str,
        snapshot: Snapshot,
        declaration: Declaration | None,
        longest: Statistics,
    ) -> None:
        self._account = account
        self._attribution = Attribution(snapshot, declaration)
        self._names = {usage.id: usage.name for usage in longest.by_key if usage.id is not None}
        self._before = {(line.day, line.subject): line for line in history.usage if line.account == account}
        self._others = [key for key in history.keys if key.account != account]
        self._known = {key.key_id: key for key in history.keys if key.account == account}
        for key_id, owner in self._attribution.live.items():
            if owner.live is not None and owner.standing is not Standing.LOCK:
                created = format_instant(owner.live.created_at.replace(microsecond=0))
                team = owner.team or ""
                if declaration is None and key_id in self._known:
                    team = self._known[key_id].team
                address, environment = _place(owner.address and str(owner.address))
                self._known[key_id] = KnownKey(account, key_id, created, owner.name, address, environment, team)

    def keys(self) -> tuple[KnownKey, ...]:
        return (*self._others, *self._known.values())

    def line(self, day: date, subject: Subject, tally: Tally) -> KeyDay:
        if before := self._before.get((day, subject)):
            return before._replace(tally=tally)  # whose it was then, whatever has happened to the key since
        if isinstance(subject, int) and subject in self._known:
            key = self._known[subject]
            return KeyDay(day, self._account, key.address, key.environment, key.team, key.key_id, key.name, tally)
        if subject == NOBODY:
            return KeyDay(day, self._account, "", "", "", None, "", tally)
        key_id, name = (None, subject) if isinstance(subject, str) else (subject, self._names.get(subject, ""))
        owner = self._attribution.of(KeyTally(key_id, name, tally))
        address, environment = _place(owner.address and str(owner.address))
        return KeyDay(day, self._account, address, environment, owner.team or "", key_id, name, tally)


def _place(address: str | None) -> tuple[str, str]:
    """Return an address and its environment, or nothing twice."""
    return (address, address.partition("/")[0]) if address else ("", "")


_Days = dict[int, dict[Subject, Tally]]


def _sides(
    history: History, account: str, windows: Mapping[int, Statistics], today: date
) -> tuple[tuple[_Days, _Days], tuple[_Days, _Days]]:
    """Return for keys and for models what is recorded by day and what was read by window."""
    keys = {days: _added((_subject(usage), usage.tally) for usage in each.by_key) for days, each in windows.items()}
    models = {days: _added(each.by_model) for days, each in windows.items()}
    return (
        (_recorded(history.usage, account, today), keys),
        (_recorded(history.models, account, today), models),
    )


def _subject(usage: KeyTally) -> Subject:
    return usage.name if usage.id is None else usage.id


def _recorded(lines: Iterable[KeyDay] | Iterable[ModelDay], account: str, today: date) -> _Days:
    found: _Days = defaultdict(dict)
    first = first_day(today)
    for line in lines:
        if line.account == account and line.day >= first:
            found[(today - line.day).days][line.subject] = line.tally
    return found


def _told(longest: Statistics, today: date) -> dict[int, Tally]:
    """Return the service's total of each day, by days before today."""
    found = {ago: Tally() for ago in range(LONGEST_DAYS)}
    for day, tally in longest.by_day:
        ago = (today - day).days
        if ago in found:
            found[ago] += tally
    return found


def _differences(windows: _Days, recorded: _Days, unknown: Collection[int]) -> _Days:
    """Return the use on each unknown day: what its window has and the window that is a day shorter has not."""
    found: _Days = {}
    longer = {**windows[LONGEST_DAYS]}
    for ago in range(LONGEST_DAYS - 1, 0, -1):
        longer = {**windows[ago + 1]} if ago + 1 in windows else longer
        if ago in unknown:
            found[ago] = _minus(longer, windows[ago])
            longer = {**windows[ago]}
            continue
        for subject, tally in recorded[ago].items():
            if subject != NOBODY:  # what was nobody's then is no part of the windows now
                longer[subject] = longer.get(subject, Tally()) - tally
    return found


def _settled(parts: Mapping[Subject, Tally], total: Tally) -> list[tuple[Subject, Tally]]:
    """Take what is below zero for nothing, and give what is left to nobody, so that the parts come to the total."""
    found = {subject: _positive(tally) for subject, tally in parts.items()}
    found[NOBODY] = found.get(NOBODY, Tally()) + total - _sum(found)
    return [(subject, tally) for subject, tally in found.items() if tally != Tally()]


def _minus(longer: Mapping[Subject, Tally], shorter: Mapping[Subject, Tally]) -> dict[Subject, Tally]:
    found = dict(longer)
    for subject, tally in shorter.items():
        found[subject] = found.get(subject, Tally()) - tally
    return {subject: tally for subject, tally in found.items() if tally != Tally()}


def _positive(tally: Tally) -> Tally:
    return Tally(
        max(tally.requests, 0), max(tally.cost, Tally().cost), max(tally.input_tokens, 0), max(tally.output_tokens, 0)
    )


def _sum(parts: Mapping[Subject, Tally]) -> Tally:
    return sum(parts.values(), Tally())


def _added(pairs: Iterable[tuple[str, Tally]] | Iterable[tuple[Subject, Tally]]) -> dict[Subject, Tally]:
    found: dict[Subject, Tally] = {}
    for subject, tally in pairs:
        found[subject] = found.get(subject, Tally()) + tally
    return found


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Put days together that follow on each other."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.since <= found[-1].until + timedelta(days=1):
            found[-1] = Span(found[-1].since, max(found[-1].until, span.until))
        else:
            found.append(span)
    return tuple(found)


# What is recorded, as `activity` shows it.


def period_of(history: History, since: date | None, until: date | None) -> Span:
    """Return the days that are meant: what is None reaches as far as the history does.

    Raises UsageError when none of them is recorded.
    """
    spans = [span for each in history.spans.values() for span in each]
    if not spans:
        msg = "nothing is recorded yet"
        raise UsageError(msg)
    first, last = min(spans).since, max(span.until for span in spans)
    period = Span(since or first, until or last)
    if not any(span.since <= period.until and period.since <= span.until for span in spans):
        msg = f"nothing is recorded of {period.since} to {period.until}: the history has {first} to {last}"
        raise UsageError(msg)
    return period


def gaps(history: History, account: str, period: Span) -> tuple[Span, ...]:
    """Return the days of a period that were not recorded for an account."""
    found = []
    day = period.since
    for span in history.spans.get(account, ()):
        if day < span.since <= period.until:
            found.append(Span(day, span.since - timedelta(days=1)))
        if span.since <= period.until:
            day = max(day, span.until + timedelta(days=1))
    if day <= period.until:
        found.append(Span(day, period.until))
    return tuple(found)


def recorded_activity(question: Question, history: History, period: Span) -> ActivityReport:
    """Return what is recorded of a period; the days of `question` are those of the period.

    Keys count to the address, the environment and the team that they had on the day. Raises UsageError for an
    environment that is not in the period.
    """
    usage = [line for line in history.usage if period.since <= line.day <= period.until]
    models = [line for line in history.models if period.since <= line.day <= period.until]
    if strange := {*question.environments} - {line.environment for line in usage}:
        msg = f"environment {min(strange)} has no use from {period.since} to {period.until}"
        raise UsageError(msg)
    accounts = []
    for account in sorted(history.spans):
        own = [line for line in usage if line.account == account]
        parts: list[tuple[Group, date, int | None, Tally]]
        match question.by:
            case Grouping.DAY:
                parts = [(Group(Kind.DAY, str(line.day)), line.day, None, line.tally) for line in own]
                parts += [(Group(Kind.DAY, str(day)), day, None, Tally()) for day in _days(history, account, period)]
            case Grouping.MODEL:
                parts = [(_model(line), line.day, None, line.tally) for line in models if line.account == account]
            case _:
                parts = [(_owner(question, line), line.day, line.key_id, line.tally) for line in own]
        breakdown = of_days(question.by, question.days, parts, daily=question.daily)
        accounts.append(AccountActivity(account, breakdown, Insights()))
    return activity_report(question, period.until, accounts, declared=True)


def _days(history: History, account: str, period: Span) -> list[date]:
    """Return the days of a period that were recorded."""
    lost = gaps(history, account, period)
    all_days = [period.since + timedelta(days=at) for at in range((period.until - period.since).days + 1)]
    return [day for day in all_days if not any(span.since <= day <= span.until for span in lost)]


def _model(line: ModelDay) -> Group:
    return Group(Kind.MODEL, line.model) if line.model else Group(Kind.DIFFERENCE)


def _owner(question: Question, line: KeyDay) -> Group:
    if line.subject == NOBODY:
        return Group(Kind.DIFFERENCE)
    if question.environments and line.environment not in question.environments:
        return Group(Kind.REST)
    if not line.address:
        kind = Kind.LOCK if is_lock(line.name) else Kind.UNMANAGED
        return Group(kind, line.name, line.key_id) if question.by is Grouping.KEY else Group(kind)
    if question.by is Grouping.KEY:
        return Group(Kind.KEY, line.address)
    if question.by is Grouping.ENVIRONMENT:
        return Group(Kind.ENVIRONMENT, line.environment)
    return Group(Kind.TEAM, line.team) if line.team else Group(Kind.NO_TEAM)


@dataclass(frozen=True, slots=True)
class Months:
    """What groups cost in USD month by month: `lines` have a group and its costs, as many as there are `months`.

    Months are called by their first days; of each, `days` are recorded and within what was asked for.
    """

    months: tuple[date, ...]
    days: tuple[int, ...]
    lines: tuple[tuple[Group, tuple[Decimal, ...]], ...]

    @property
    def totals(self) -> tuple[Decimal, ...]:
        """What all groups cost in each month."""
        return tuple(sum((costs[at] for _, costs in self.lines), Decimal(0)) for at in range(len(self.months)))


def by_month(history: History, account: str, period: Span, by: Grouping, environments: tuple[str, ...] = ()) -> Months:
    """Lay out the months of a period side by side, by environment or team, what cost most first."""
    days = _days(history, account, period)
    months = sorted({day.replace(day=1) for day in days})
    place = {month: at for at, month in enumerate(months)}
    found: dict[Group, list[Decimal]] = {}
    question = Question(1, by, environments)
    for line in history.usage:
        at = place.get(line.day.replace(day=1))
        if line.account == account and period.since <= line.day <= period.until and at is not None:
            costs = found.setdefault(_owner(question, line), [Decimal(0)] * len(months))
            costs[at] += line.tally.cost
    counts = tuple(sum(day.replace(day=1) == month for day in days) for month in months)
    lines = sorted(found.items(), key=lambda each: (each[0].kind in _LAST, -sum(each[1]), each[0].name))
    return Months(tuple(months), counts, tuple((group, tuple(costs)) for group, costs in lines))


_LAST: Final = (Kind.REST, Kind.DIFFERENCE)


def use_of(history: History, period: Span, keys: Iterable[InventoryKey]) -> tuple[list[Usage | None], Decimal]:
    """Return what keys were used for in a period, and what the use of others cost.

    What an address was used for under keys that are gone counts to the first of its keys. None is for a key of an
    account that is not recorded.
    """
    keys = [*keys]
    days = (period.until - period.since).days + 1
    by_id = {(key.account, key.live.id): at for at, key in enumerate(keys) if key.live is not None}
    by_address: dict[tuple[str, str], int] = {}
    for at, key in enumerate(keys):
        by_address.setdefault((key.account, str(key.address)), at)
    costs, requests, others = [Decimal(0)] * len(keys), [0] * len(keys), Decimal(0)
    for line in history.usage:
        if not period.since <= line.day <= period.until:
            continue
        number = -1 if line.key_id is None else line.key_id
        at_ = by_id.get((line.account, number), by_address.get((line.account, line.address)))
        if at_ is None:
            others += line.tally.cost
        else:
            costs[at_] += line.tally.cost
            requests[at_] += line.tally.requests
    found = [
        Usage(days, costs[at], requests[at]) if key.account in history.spans else None for at, key in enumerate(keys)
    ]
    return found, others
