"""How values are put into words, the same in every format meant for people.

Names are handed to `show`, which escapes and quotes them for the format at hand; everything else in here is our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from reconciler.plan.actions import ActionKind, Create, Delete, Field, Finish, Rename, Restore, Retire, Rotate, Update
from reconciler.units import format_duration, format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import Delivery, KeyState, LiveKey
    from reconciler.plan.actions import Action, Credit, Plan


def dollars(amount: Decimal) -> str:
    """Write USD as people read it: `$1,500`, `$12.50`, `$0.000125`, `-$3`."""
    whole, point, fraction = format_money(abs(amount)).partition(".")
    sign = "-" if amount < 0 else ""
    return f"{sign}${int(whole):,}{point}{fraction.ljust(2, '0') if point else ''}"


def limit(amount: Decimal | None) -> str:
    """Write a credit limit in USD; None is no limit."""
    return "no limit" if amount is None else dollars(amount)


def expiry(instant: datetime | None) -> str:
    """Write when a key expires, in UTC; None is never."""
    return "never" if instant is None else format_instant(instant)


def plural(count: int, noun: str) -> str:
    """Count a noun that takes an s: `1 key`, `2,000 keys`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def subject(action: Action) -> str:
    """Give the raw name that an action is listed under: the key within its environment, else the live name."""
    return action.live.name if action.address is None else action.address.key


def source(action: Action) -> Location | None:
    """Give the place in the file that an action comes from."""
    return action.source if isinstance(action, Delete | Retire) else action.declared.source


def details(action: Action, show: Callable[[str], str]) -> tuple[str, ...]:
    """Say what an action does, a line each; the first line is the one that matters most."""
    match action:
        case Create(declared=key):
            return (", ".join(_traits(key.state)), *_deliveries(key.deliver, show))
        case Update() | Rename():
            return _changes(action.fields, action.live, action.after, show)
        case Rotate(declared=key, live=live):
            changes = _changes(action.fields, live, key.state, show)
            return (action.reason.value, _overlap(action.overlap), *changes, *_deliveries(key.deliver, show))
        case Finish(old=old):
            first = "an interrupted rotation: the new key is delivered and takes over"
            return (first, *([_overlap(action.overlap)] if old else []))
        case Retire(grace=grace):
            return ("no longer declared", f"disabled now, can be restored for {format_duration(grace)}, then deleted")
        case Restore(live=live):
            fields = tuple(field for field in action.fields if field is not Field.NAME)
            return (
                f"the retired key {live.id} comes back with its secret",
                *_changes(fields, live, action.after, show),
            )
        case Delete(live=live, reason=reason, address=address):
            name = [] if address is None or live.name == str(address) else [f"name {show(live.name)}"]
            facts = [f"id {live.id}", *name, *_traits(live.state), f"created {_day(live.created_at)}"]
            return (reason.value, ", ".join(facts))
        case _:
            assert_never(action)


def place(location: Location, show: Callable[[str], str]) -> str:
    """Name a place in a file as `file:line`."""
    return f"{show(location.file)}:{location.line}"


def pending(counts: Mapping[ActionKind, int]) -> list[tuple[ActionKind, str]]:
    """Say how many actions of each kind there are, `2 to create`, leaving out the kinds that do not occur."""
    return [(kind, f"{counts[kind]:,} to {kind.value}") for kind in ActionKind if counts.get(kind)]


def standing(plan: Plan) -> str:
    """Say how many keys a plan leaves alone: `4 unchanged, 2 unmanaged`; empty when there are none."""
    counts = ((plan.unchanged, "unchanged"), (len(plan.unmanaged), "unmanaged"))
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


def limits(credit: Credit) -> str:
    """Say what the limits of the managed keys add up to, before and after, in USD."""
    before, after = credit.limits_before, credit.limits_after
    total = _moved(dollars(before), dollars(after))
    if before != after:
        total += f" ({'+' if after > before else ''}{dollars(after - before)})"
    parts = [total]
    if credit.unlimited_before or credit.unlimited_after:
        unlimited = _moved(plural(credit.unlimited_before, "key"), plural(credit.unlimited_after, "key"))
        parts.append(f"without a limit: {unlimited}")
    if credit.balance is not None:
        parts.append(f"balance: {dollars(credit.balance)}")
    return "; ".join(parts)


def _moved(before: str, after: str) -> str:
    return f"{after} (unchanged)" if before == after else f"{before} → {after}"


def _traits(state: KeyState) -> list[str]:
    traits = ["no limit" if state.credit_limit is None else f"credit_limit {dollars(state.credit_limit)}"]
    if state.expires_at is not None:
        traits.append(f"expires {expiry(state.expires_at)}")
    if not state.is_enabled:
        traits.append("disabled")
    return traits


def _deliveries(deliveries: tuple[Delivery, ...], show: Callable[[str], str]) -> tuple[str, ...]:
    if not deliveries:
        return ("secret → nowhere",)
    return tuple(f"secret → {show(each.target.destination)} as {show(each.name)}" for each in deliveries)


def _changes(fields: Iterable[Field], live: LiveKey, after: KeyState, show: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(_change(field, live.state, after, show) for field in fields)


def _overlap(overlap: timedelta | None) -> str:
    if overlap is None:
        return "the old key is disabled as soon as the new one is delivered"
    return f"the old key goes on for {format_duration(overlap)}"


def _change(field: Field, before: KeyState, after: KeyState, show: Callable[[str], str]) -> str:
    match field:
        case Field.NAME:
            values = show(before.name), show(after.name)
        case Field.IS_ENABLED:
            values = str(before.is_enabled).lower(), str(after.is_enabled).lower()
        case Field.CREDIT_LIMIT:
            values = limit(before.credit_limit), limit(after.credit_limit)
        case Field.EXPIRES_AT:
            values = expiry(before.expires_at), expiry(after.expires_at)
        case _:
            assert_never(field)
    return f"{field.value} {values[0]} → {values[1]}"


def _day(instant: datetime) -> str:
    return format_instant(instant).partition("T")[0]
