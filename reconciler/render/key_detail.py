"""One key with all that is known of it, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.insight.inventory import LastUse
from reconciler.plan import phrases
from reconciler.render import words
from reconciler.render.document import plan_document, to_json
from reconciler.render.escape import terminal, terminal_name
from reconciler.render.ink import Ink, Pen, pad
from reconciler.render.inventory import age, day, key_document, share_of_limit, state
from reconciler.render.listing import Entry, Listing
from reconciler.units import format_duration, format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.insight.detail import KeyDetail
    from reconciler.insight.inventory import InventoryKey
    from reconciler.model import DeclaredKey, LiveKey
    from reconciler.plan.actions import Plan

_SHOW: Final = words.Show(terminal_name)
_UNKNOWN: Final = "not known"


def detail_text(detail: KeyDetail, *, color: bool, width: int | None) -> str:
    """Show a key: what it is, what is declared, its relatives, and what a plan would do with it."""
    pen, key = Pen(color=color), detail.key
    facts = [*_live_facts(key), *_declared_facts(key)]
    column = max(len(title) for title, _ in facts)
    blocks = [[pen(Ink.BOLD, terminal_name(key.name)), *(f"  {pad(title, column)}  {text}" for title, text in facts)]]
    if detail.relatives:
        entries = [_relative(each) for each in detail.relatives]
        blocks.append([pen(Ink.BOLD, "Other keys of this address"), *_lines(entries, pen, width)])
    if detail.plan is not None:
        blocks.append([pen(Ink.BOLD, "What a plan would do"), *_plan_lines(detail.plan, pen, width)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def detail_json(detail: KeyDetail) -> str:
    """Lay out a key for programs; `changes` and `findings` are those of a plan, null where nothing is declared."""
    declared = detail.key.declared
    plan = None if detail.plan is None else plan_document(detail.plan, "")
    return to_json(
        {
            "format_version": 1,
            **key_document(detail.key),
            "declared": None if declared is None else _declared_document(declared),
            "relatives": [key_document(each) for each in detail.relatives],
            "changes": None if plan is None else plan["changes"],
            "findings": None if plan is None else plan["findings"],
        }
    )


def _live_facts(key: InventoryKey) -> Iterator[tuple[str, str]]:
    yield "State", state(key)
    yield "Account", terminal(key.account)
    if key.live is None:
        return
    live = key.live
    yield "Id", str(live.id)
    yield "Live name", terminal_name(live.name)
    yield "Limit", words.limit(live.credit_limit)
    yield "Spend", _spend(key)
    yield "Created", f"{format_instant(live.created_at)}{f', {age(key.age)} ago' if key.age is not None else ''}"
    yield "Expires", words.expiry(live.expires_at)
    yield "Last used", _UNKNOWN if key.last_use is LastUse.UNKNOWN else key.last_use.value


def _spend(key: InventoryKey) -> str:
    if key.usage is None:
        return _UNKNOWN
    text = phrases.used(key.usage)
    if key.share is None:
        return text
    hedge = "; a limit is on all that it ever spends" if key.share.at_least else ""
    return f"{text}, {share_of_limit(key.share)} of its limit{hedge}"


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
    return Entry("·", "missing" if live is None else f"id {live.id}", state(key), Ink.DIM, lines)


def _traits(live: LiveKey) -> str:
    expires = "" if live.expires_at is None else f", expires {format_instant(live.expires_at)}"
    return f"created {day(live.created_at)}{expires}"


def _plan_lines(plan: Plan, pen: Pen, width: int | None) -> Iterable[str]:
    entries = [
        Entry(words.SYMBOLS[each.kind], words.word(each.kind), terminal_name(words.full_name(each)), Ink.YELLOW, lines)
        for each in plan.actions
        for lines in [words.details(each, _SHOW)]
    ]
    entries += [
        Entry("!", each.severity.value, terminal(each.rule), Ink.YELLOW, (terminal(each.message),))
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
