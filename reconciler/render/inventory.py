"""The inventory of keys, and one key in detail: text, Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Final

from reconciler.insight.inventory import InventoryKey, KeyStatus, LastUse
from reconciler.planning.actions import used
from reconciler.planning.planfile import plan_document
from reconciler.render import words
from reconciler.render.columns import (
    Ansi,
    Column,
    Entry,
    Listing,
    Pen,
    Row,
    Styled,
    cents,
    left_out,
    markdown_table,
    pad,
    text_table,
    wrapped,
)
from reconciler.render.escape import defused, markdown_code, markdown_name, terminal, terminal_name
from reconciler.units import format_duration, format_instant, format_money, plural, show_expiry, show_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from reconciler.diagnostic import Location
    from reconciler.insight.history import Span
    from reconciler.insight.inventory import Inventory, KeyDetail, PeriodUse, Share
    from reconciler.model import DeclaredKey, LiveKey
    from reconciler.planning.actions import Plan


_NONE: Final = "–"  # noqa: RUF001  # a dash, as tables have it
_UNKNOWN: Final = "?"
_DAY: Final = timedelta(days=1)
_INKS: Final = {
    KeyStatus.MISSING: Ansi.RED,
    KeyStatus.UNCLEAR: Ansi.RED,
    KeyStatus.EXPIRED: Ansi.RED,
    KeyStatus.DISABLED: Ansi.YELLOW,
    KeyStatus.UNDECLARED: Ansi.YELLOW,
    KeyStatus.UNMANAGED: Ansi.YELLOW,
    KeyStatus.NEXT: Ansi.CYAN,
    KeyStatus.SENT: Ansi.CYAN,
    KeyStatus.NEW: Ansi.CYAN,
    KeyStatus.RUN: Ansi.CYAN,
    KeyStatus.OLD: Ansi.DIM,
    KeyStatus.GONE: Ansi.DIM,
    KeyStatus.LOCK: Ansi.DIM,
}
_ROOMY: Final = Context(prec=100)  # whatever amount the service writes, rounding it is no error
_SHARE: Final = "Of limit"
_BLANK: Final = InventoryKey("", KeyStatus.MISSING)


def inventory_text(
    keys: Sequence[InventoryKey], *, days: int, color: bool, width: int | None, period: Span | None = None
) -> str:
    """Show the keys in a table, and what they come to; `days` is the window of the spend, or `period` is."""
    pen, several = Pen(color=color), _several(keys)
    rows = [_row(key, terminal_name, str, several=several) for key in keys]
    heads = _columns(days, several=several)
    table = [*text_table(heads, rows, pen, width), ""] if rows else []
    missing = left_out(heads, rows, width) if rows else ()
    below = [_summary(keys, days, period), *_notes(keys, missing)]
    if missing:
        below.append(f"Left out, as this terminal is narrow: {', '.join(missing)}. --format csv has everything.")
    return "".join(f"{line}\n" for line in (*table, *(part for line in below for part in wrapped(line, width))))


def inventory_markdown(keys: Sequence[InventoryKey], *, days: int, period: Span | None = None) -> str:
    """Show the keys in a table of Markdown, and what they come to."""
    several = _several(keys)
    rows = [_row(key, markdown_name, markdown_code, several=several) for key in keys]
    table = markdown_table(_columns(days, several=several), rows) if rows else ""
    blocks = (table, _summary(keys, days, period, markdown_code), " ".join(_notes(keys)))
    return "\n\n".join(filter(None, blocks)) + "\n"


def inventory_csv(keys: Sequence[InventoryKey], period: Span | None = None) -> str:
    """Write a line for each key, with the fields of the JSON; texts are escaped as `defused` does."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(key_document(_BLANK))
    for key in keys:
        writer.writerow([_csv_cell(value) for value in key_document(key, period).values()])
    return out.getvalue()


def inventory_document(found: Inventory) -> dict[str, object]:
    """Lay out the inventory for programs."""
    keys = [key_document(key, found.period) for key in found.keys]
    return {
        "format_version": 1,
        "declared": found.declared,
        "spend_days": found.days,
        "spend_since": None if found.period is None else str(found.period.since),
        "spend_until": None if found.period is None else str(found.period.until),
        "keys": keys,
    }


def key_document(key: InventoryKey, recorded: Span | None = None) -> dict[str, object]:
    """Lay out a key: money in USD as decimal strings, instants in UTC, null for what is not known.

    `recorded` are the days of the spend where these come from a history.
    """
    live, usage, share, period = key.live, key.usage, key.share, key.period
    return {
        "account": key.account,
        "address": None if key.address is None else str(key.address),
        "state": key.status.value,
        "key_id": None if live is None else live.id,
        "name": None if live is None else live.name,
        "is_enabled": None if live is None else live.is_enabled,
        "credit_limit": None if live is None or live.credit_limit is None else format_money(live.credit_limit),
        "spend_days": None if usage is None else usage.days,
        "spend": None if usage is None else format_money(usage.cost),
        "requests": None if usage is None else usage.requests,
        "share_of_limit": None if share is None else format_money(_rounded(share.value, "0.0001")),
        "share_is_at_least": None if share is None else share.at_least,
        "created_at": None if live is None else format_instant(live.created_at),
        "expires_at": _instant(None if live is None else live.expires_at),
        "allowance": None if period is None else format_money(period.allowance),
        "period_spend": None if period is None or period.spent is None else format_money(period.spent),
        "period_begin": None if period is None else str(period.begin),
        "next_period": None if period is None or period.next is None else str(period.next),
        "raised_until": _instant(key.raised_until),
        "until": _instant(key.until),
        "rotation_due": _instant(key.rotation_due),
        "last_use": key.last_use.value,
        "team": key.team,
        "source": None if key.declared is None else source_document(key.declared.source),
        "spend_since": None if recorded is None else str(recorded.since),
        "spend_until": None if recorded is None else str(recorded.until),
    }


def source_document(source: Location) -> dict[str, object]:
    """Lay out a place in a file."""
    return {"file": source.file, "line": source.line}


def state(key: InventoryKey) -> str:
    """Return where a key stands: `settled`, `old until 2027-01-01`."""
    text = key.status.value
    if key.until is not None:
        text += f" until {day(key.until)}"
    broken = key.live is not None and not key.live.is_enabled and key.status not in {KeyStatus.DISABLED, KeyStatus.GONE}
    return f"{text}, disabled" if broken else text


def budget(key: InventoryKey) -> str:
    """Write what a key may spend: `$500`, `no limit`.

    Where its budget renews `$50 a month`, `$50 per 10d`; raised, `$80 until 2026-12-04`.
    """
    text, period = show_limit(key.limit), key.period
    if period is not None and period.renew is None:
        text += f" since {period.begin}"
    elif period is not None and period.renew is not None:
        text += f" {'per' if period.renew[0].isdigit() else 'a'} {period.renew}"
    return text if key.raised_until is None else f"{text} until {day(key.raised_until)}"


def share_of_limit(share: Share) -> str:
    """Write a share in percent, rounded down: `92 %`, or `≥ 92 %` where it is the least that it can be."""
    text = f"{_rounded(share.value * 100, '0.1'):f}".removesuffix(".0")
    return f"{'≥ ' if share.at_least else ''}{text} %"


def age(period: timedelta) -> str:
    """Write how old a key is, in whole days, below that in hours."""
    return f"{period // _DAY}d" if period >= _DAY else f"{period // timedelta(hours=1)}h"


def day(instant: datetime) -> str:
    """Write the day of an instant, in UTC."""
    return format_instant(instant).partition("T")[0]


def _columns(days: int, *, several: bool) -> tuple[Column, ...]:
    return (
        Column("Key"),
        Column("State"),
        Column("Id", right=True, optional=7),
        Column("Limit", right=True),
        Column(f"Spend {days}d", right=True),
        Column(_SHARE, right=True, optional=2),
        Column("Age", right=True, optional=6),
        Column("Expires", optional=3),
        Column("Rotate by", optional=5),
        Column("Last used", optional=1),
        Column("Team", optional=4),
        *([Column("Account")] if several else []),
    )


def _row(key: InventoryKey, name: Callable[[str], str], value: Callable[[str], str], *, several: bool) -> Row:
    live = key.live
    cells: list[str | Styled] = [name(key.name), Styled(state(key), _INKS.get(key.status, Ansi.GREEN))]
    if live is None:
        cells += [_NONE] * 8
    else:
        cells += [
            value(str(live.id)),
            value(budget(key)),
            _UNKNOWN if key.usage is None else value(cents(key.usage.cost)),
            _share(key, value),
            _NONE if key.age is None else value(age(key.age)),
            _NONE if live.expires_at is None else value(day(live.expires_at)),
            _NONE if key.rotation_due is None else value(day(key.rotation_due)),
            _UNKNOWN if key.last_use is LastUse.UNKNOWN else key.last_use.value,
        ]
    cells.append(_NONE if key.team is None else name(key.team))
    return Row((*cells, *([name(key.account)] if several else [])))


def _share(key: InventoryKey, value: Callable[[str], str]) -> str:
    if key.share is not None:
        return value(share_of_limit(key.share))
    return _UNKNOWN if key.limit else _NONE


def _summary(keys: Sequence[InventoryKey], days: int, period: Span | None, value: Callable[[str], str] = str) -> str:
    counts = Counter(key.status for key in keys)
    stated = ", ".join(f"{counts[status]:,} {status}" for status in KeyStatus if counts[status])
    used = [key.usage.cost for key in keys if key.usage is not None]
    total = value(cents(sum(used, Decimal(0))))
    when = f"in {plural(days, 'day')}" if period is None else f"from {period.since} to {period.until}"
    spend = f"; spend {when}: {total}" if used else ""
    return f"{plural(len(keys), 'key')}{f': {stated}' if stated else ''}{spend}."


def _notes(keys: Sequence[InventoryKey], missing: Sequence[str] = ()) -> list[str]:
    """Return what explains the table, but for the columns that are missing from it."""
    notes = []
    if _SHARE not in missing and any(key.share is not None and key.share.at_least for key in keys):
        notes.append("≥: a limit is on all that a key ever spends, of which the service tells the last 30 days.")
    if any(key.period is not None for key in keys):
        notes.append("Where a budget renews, the limit and the share of it are those of its period.")
    return notes


def _several(keys: Sequence[InventoryKey]) -> bool:
    return len({key.account for key in keys}) > 1


def _csv_cell(value: object) -> object:
    match value:
        case None:
            return ""
        case {"file": file, "line": line}:
            return _csv_cell(f"{file}:{line}")
        case bool():
            return str(value).lower()
        case str():
            return defused(value)
        case _:
            return value


def _rounded(value: Decimal, to: str) -> Decimal:
    return value.quantize(Decimal(to), ROUND_FLOOR, _ROOMY)


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


# One key with all that is known of it, for people and for programs.

_SHOW: Final = words.Show(terminal_name)
_NOT_KNOWN: Final = "not known"


def detail_text(detail: KeyDetail, *, color: bool, width: int | None) -> str:
    """Show a key: what it is, what is declared, its relatives, and what a plan would do with it."""
    pen, key = Pen(color=color), detail.key
    facts = [*_live_facts(key), *_declared_facts(key)]
    column = max(len(title) for title, _ in facts)
    blocks = [[pen(Ansi.BOLD, terminal_name(key.name)), *(f"  {pad(title, column)}  {text}" for title, text in facts)]]
    if detail.relatives:
        entries = [_relative(each) for each in detail.relatives]
        blocks.append([pen(Ansi.BOLD, "Other keys of this address"), *_lines(entries, pen, width)])
    if detail.plan is not None:
        blocks.append([pen(Ansi.BOLD, "What a plan would do"), *_plan_lines(detail.plan, pen, width)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def detail_document(detail: KeyDetail) -> dict[str, object]:
    """Lay out a key for programs; `changes` and `findings` are those of a plan, null where nothing is declared."""
    declared = detail.key.declared
    plan = None if detail.plan is None else plan_document(detail.plan, "")
    return {
        "format_version": 1,
        **key_document(detail.key),
        "declared": None if declared is None else _declared_document(declared),
        "relatives": [key_document(each) for each in detail.relatives],
        "changes": None if plan is None else plan["changes"],
        "findings": None if plan is None else plan["findings"],
    }


def _live_facts(key: InventoryKey) -> Iterator[tuple[str, str]]:
    yield "State", state(key)
    yield "Account", terminal(key.account)
    if key.live is None:
        return
    live = key.live
    yield "Id", str(live.id)
    yield "Live name", terminal_name(live.name)
    raised = "" if key.raised_until is None else f", raised until {format_instant(key.raised_until)}"
    yield "Limit", f"{show_limit(live.credit_limit)}{raised}"
    yield "Spend", _spend(key)
    if key.period is not None:
        yield "Period", _period(key.period, key.share)
    yield "Created", f"{format_instant(live.created_at)}{f', {age(key.age)} ago' if key.age is not None else ''}"
    yield "Expires", show_expiry(live.expires_at)
    yield "Last used", _NOT_KNOWN if key.last_use is LastUse.UNKNOWN else key.last_use.value


def _spend(key: InventoryKey) -> str:
    if key.usage is None:
        return _NOT_KNOWN
    text = used(key.usage)
    if key.share is None or key.period is not None:
        return text
    hedge = "; a limit is on all that it ever spends" if key.share.at_least else ""
    return f"{text}, {share_of_limit(key.share)} of its limit{hedge}"


def _period(period: PeriodUse, share: Share | None) -> str:
    spent = _NOT_KNOWN if period.spent is None else cents(period.spent)
    part = "" if share is None else f" ({share_of_limit(share)})"
    after = "" if period.next is None else f"; the next period begins on {period.next}"
    return f"{spent} of {show_limit(period.allowance)} since {period.begin}{part}{after}"


def _declared_facts(key: InventoryKey) -> Iterator[tuple[str, str]]:
    declared = key.declared
    if declared is None:
        return
    yield "Declared at", words.place(declared.source, terminal)
    if declared.description is not None:
        yield "Description", terminal(declared.description)
    if declared.team is not None:
        yield "Team", terminal_name(declared.team)
    if declared.rotate_every is not None:
        due = "" if key.rotation_due is None else f", due on {day(key.rotation_due)}"
        yield "Rotation", f"every {format_duration(declared.rotate_every)}{due}"
    for each in declared.deliver:
        where = f"{terminal_name(each.target.destination)} ({terminal(each.target.type)})"
        yield "Goes to", f"{where} as {terminal_name(each.name)}, {words.place(each.source, terminal)}"
    if not declared.deliver:
        yield "Goes to", "no destination"


def _relative(key: InventoryKey) -> Entry:
    live = key.live
    lines = () if live is None else (f"{terminal_name(live.name)}, {_traits(live)}",)
    return Entry("·", "missing" if live is None else f"id {live.id}", state(key), Ansi.DIM, lines)


def _traits(live: LiveKey) -> str:
    expires = "" if live.expires_at is None else f", expires {format_instant(live.expires_at)}"
    return f"created {day(live.created_at)}{expires}"


def _plan_lines(plan: Plan, pen: Pen, width: int | None) -> Iterable[str]:
    entries = [
        Entry(words.SYMBOLS[each.kind], words.word(each.kind), terminal_name(words.full_name(each)), Ansi.YELLOW, lines)
        for each in plan.actions
        for lines in [words.details(each, _SHOW)]
    ]
    entries += [
        Entry("!", each.severity.value, terminal(each.rule), Ansi.YELLOW, (terminal(each.message),))
        for each in plan.findings
    ]
    return _lines(entries, pen, width) if entries else ["  nothing"]


def _lines(entries: list[Entry], pen: Pen, width: int | None) -> list[str]:
    listing = Listing(entries, pen, width)
    return [line for entry in entries for line in listing.lines(entry)]


def _declared_document(declared: DeclaredKey) -> dict[str, object]:
    return {
        "name": declared.name,
        "is_enabled": declared.is_enabled,
        "credit_limit": None if declared.credit_limit is None else format_money(declared.credit_limit),
        "expires_at": None if declared.expires_at is None else format_instant(declared.expires_at),
        "description": declared.description,
        "rotate_every": None if declared.rotate_every is None else format_duration(declared.rotate_every),
        "deliver": [
            {"to": each.target.destination, "type": each.target.type, "as": each.name} for each in declared.deliver
        ],
    }
