"""How values are put into words, the same in every format meant for people.

Names and values are handed to a `Show`, which sets them off for the format at hand; everything else in here is our own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from reconciler.model import link_words, target_words
from reconciler.planning.accounts import UNREAD
from reconciler.planning.actions import (
    ActionKind,
    Create,
    Delete,
    Field,
    Finish,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Status,
    Update,
    raise_of,
    used_lately,
)
from reconciler.planning.budgets import allowance
from reconciler.planning.names import period_of
from reconciler.planning.power import CLEANUP, deliveries_of, held, name_of, power_of
from reconciler.units import (
    dollars,
    format_duration,
    format_instant,
    listed,
    plural,
    same_value,
    show_expiry,
    show_limit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from reconciler.diagnostic import Location
    from reconciler.model import Delivery, KeyState, LiveKey, Target
    from reconciler.planning.actions import Action, ApplyResult, Credit, Finding, Plan
    from reconciler.planning.power import ExpiryChange, LimitChange, Power


# The signs people know from other tools: + comes, ~ changes, - goes, ± is replaced, → moves.
SYMBOLS: Final = {
    ActionKind.CREATE: "+",
    ActionKind.UPDATE: "~",
    ActionKind.RENEW: "↻",
    ActionKind.RENAME: "→",
    ActionKind.ROTATE: "±",
    ActionKind.FINISH: "±",
    ActionKind.RETIRE: "-",
    ActionKind.RESTORE: "+",
    ActionKind.DELETE: "-",
}

MOST_PLACES: Final = 10
"""How many places a plan that is summed up names for each environment."""

INTERRUPTED: Final = "The run was interrupted; the next apply goes on from here."


@dataclass(frozen=True, slots=True)
class Show:
    """How a format sets off what stands in a sentence of ours.

    `name` escapes and quotes a text from outside; `value` is for amounts, instants and the like, which are harmless;
    `loud` has words of ours stand out.
    """

    name: Callable[[str], str]
    value: Callable[[str], str] = str
    loud: Callable[[str], str] = str


full_name = name_of


def subject(action: Action) -> str:
    """Return the raw name that an action is listed under: the key within its environment, else the live name."""
    return action.live.name if action.address is None else action.address.key


def word(kind: ActionKind) -> str:
    """Name an action; the one that cannot be undone is loud."""
    return kind.value.upper() if kind is ActionKind.DELETE else kind.value


def details(action: Action, show: Show) -> tuple[str, ...]:
    """Return what an action does, a line each; the first line is the one that matters most."""
    return (*essentials(action, show), *destinations(action, show), *particulars(action, show))


def essentials(action: Action, show: Show) -> tuple[str, ...]:
    """Return what changes, a line each."""
    return (*_deeds(action, show), *_raise(action, show))


def _raise(action: Action, show: Show) -> tuple[str, ...]:
    """Return how long a raised limit counts, or that its time is over."""
    raised = raise_of(action)
    if raised is None:
        return ()
    until = show.value(show_expiry(raised.until))
    if raised.then is not None:
        return (f"the limit is raised until {until}, then {show.value(dollars(raised.then))}",)
    key = held(action)
    ends = key is not None and same_value(allowance(key), raised.to)
    return (f"the raise ended at {until}",) if ends else ()


def _deeds(action: Action, show: Show) -> tuple[str, ...]:
    match action:
        case Create(declared=key):
            return (", ".join(_traits(key.state, show)),)
        case Renew():
            period, limit = period_of(action.after.name), allowance(action.after)
            assert period is not None  # noqa: S101  # a renewal begins one
            assert limit is not None  # noqa: S101  # a budget that renews has a limit
            begin, spent = show.value(f"{period.begin}"), show.value(dollars(period.spent))
            first = f"a new period from {begin}: {show.value(dollars(limit))} beyond the {spent} spent before"
            others = tuple(field for field in action.fields if field not in {Field.NAME, Field.CREDIT_LIMIT})
            return (first, *_changes(others, action.live, action.after, show))
        case Update() | Rename():
            return _changes(action.fields, action.live, action.after, show)
        case Rotate(declared=key, live=live):
            return (
                action.reason.value,
                _overlap(action.overlap, show),
                *_changes(action.fields, live, key.state, show),
            )
        case Finish(old=old):
            first = "an interrupted rotation: the new key is delivered and takes over"
            fields = tuple(field for field in action.fields if field is not Field.NAME)
            changes = _changes(fields, action.live, action.after, show)
            return (first, *([_overlap(action.overlap, show)] if old else []), *changes)
        case Retire(grace=grace, reason=reason):
            end = show.value(format_duration(grace))
            return (reason.value, f"disabled now, can be restored for {end}, then deleted")
        case Restore(live=live):
            fields = tuple(field for field in action.fields if field is not Field.NAME)
            first = f"the retired key {show.value(str(live.id))} comes back with its secret"
            return (first, *_changes(fields, live, action.after, show))
        case Delete(reason=reason):
            return (reason.value,)
        case _:
            assert_never(action)


def destinations(action: Action, show: Show) -> tuple[str, ...]:
    """Return where the secret of an action goes, a line for each place."""
    if not isinstance(action, Create | Rotate):
        return ()
    return tuple(delivery_line(each, show) for each in action.declared.deliver) or ("secret → nowhere",)


def particulars(action: Action, show: Show) -> tuple[str, ...]:
    """Return what else there is to know, a line each: what a key was that goes."""
    match action:
        case Delete(live=live, address=address):
            name = [] if address is None or live.name == str(address) else [f"name {show.name(live.name)}"]
            whose = [f"in the account of {show.name(action.account)}"] if address is None and action.account else []
            if live.id < 0:  # made from a file: no live key has such an id, nor is known when it was created
                return (", ".join([*name, *_traits(live.state, show)]),)
            created = f"created {show.value(_day(live.created_at))}"
            return (", ".join([f"id {show.value(str(live.id))}", *name, *_traits(live.state, show), created, *whose]),)
        case Create() | Update() | Renew() | Rename() | Rotate() | Finish() | Retire() | Restore():
            return ()
        case _:
            assert_never(action)


def used(action: Action, plan: Plan, show: Show) -> str:
    """Return what the live key of an action was used for lately: `892 requests, $28.34 in 30 days`; else empty."""
    known = plan.usage_of(action)
    if known is None or isinstance(action, Create):
        return ""
    return used_lately(action.live, known, plan.created_at, show.value)


def place(location: Location, show: Callable[[str], str]) -> str:
    """Name a place in a file as `file:line`."""
    return f"{show(location.file)}:{location.line}"


def headline(plan: Plan) -> str:
    """Return in a few words what a plan comes to: `Plan: 2 to create, 1 to delete`."""
    if plan.actions:
        return f"Plan: {counted(plan.actions)}"
    if not plan.errors:
        return "Nothing is due" if plan.options.due else "No changes"
    if _lacks_only_accounts(plan):
        return "No changes in what could be read"
    return "Nothing is planned until the errors are resolved"


def matching(plan: Plan) -> str:
    """Return the sentence that there is nothing to do, and for how many keys."""
    others = ((len(plan.unmanaged), "unmanaged"), (len(plan.leased), "leased"))
    beside = "".join(f", {count:,} {word}" for count, word in others if count)
    if plan.options.due:
        return f"{plural(plan.unchanged, 'key')} as declared{beside}."
    return f"{_match(plan)} the declaration: {plural(plan.unchanged, 'key')}{beside}."


def deletion(count: int) -> str:
    """Return what deleting keys means for the people who use them."""
    whose = "its users lose" if count == 1 else "their users lose"
    return f"Deletes {plural(count, 'key')} for good, {whose} access at once"


def refusal(plan: Plan) -> str:
    """Return the sentence that errors forbid to apply, or what is applied beside accounts that could not be read."""
    if _lacks_only_accounts(plan):
        lack = f"This plan lacks {plural(len(plan.errors), 'account')}"
        return f"{lack}: apply does without, but a plan that was saved or reviewed is done as a whole or not at all."
    return f"This plan cannot be applied: {plural(len(plan.errors), 'error')}."


def pending(counts: Mapping[ActionKind, int]) -> list[tuple[ActionKind, str]]:
    """Return how many actions of each kind there are, `2 to create`, leaving out the kinds that do not occur."""
    return [(kind, f"{counts[kind]:,} to {kind.value}") for kind in ActionKind if counts.get(kind)]


def counted(actions: Iterable[Action]) -> str:
    """Count actions by kind in one line: `2 to create, 1 to delete`."""
    return ", ".join(text for _, text in pending(Counter(action.kind for action in actions)))


def standing(plan: Plan) -> str:
    """Return how many keys a plan leaves alone: `4 unchanged, 2 unmanaged`; empty when there are none."""
    counts = ((plan.unchanged, "unchanged"), (len(plan.unmanaged), "unmanaged"), (len(plan.leased), "leased"))
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


def limits(credit: Credit, value: Callable[[str], str] = str) -> str:
    """Return what the limits of the managed keys add up to, before and after, in USD."""
    before, after = credit.limits_before, credit.limits_after
    total = _moved(value(dollars(before)), value(dollars(after)))
    if before != after:
        total += f" ({value(('+' if after > before else '') + dollars(after - before))})"
    parts = [total]
    if credit.unlimited_before or credit.unlimited_after:
        unlimited = _moved(plural(credit.unlimited_before, "key"), plural(credit.unlimited_after, "key"))
        parts.append(f"without a limit: {unlimited}")
    if credit.balance is not None:
        parts.append(f"balance: {value(dollars(credit.balance))}")
    return "; ".join(parts)


def applied(result: ApplyResult) -> str:
    """Return how many of the changes were made: `Applied 3 of 6 changes: 1 failed, 2 not attempted`."""
    total, done = plural(len(result.outcomes), "change"), result.count(Status.DONE)
    if not result.outcomes:
        return "Nothing to apply"
    if done == len(result.outcomes):
        return f"Applied {total}"
    counts = ((result.count(status), status) for status in (Status.FAILED, Status.NOT_ATTEMPTED))
    text = ", ".join(f"{count:,} {ended(status)}" for count, status in counts if count)
    return f"Applied {done:,} of {total}: {text}"


def ended(status: Status) -> str:
    """Return how an action ended: `done`, `failed`, `not attempted`."""
    return status.value.replace("_", " ")


def comparison(result: ApplyResult, counted: Callable[[Iterable[Action]], str]) -> str:
    """Return how the account compares after an apply; `counted` puts what is left to do into words."""
    if result.remaining is None:
        return f"{_not_known(result)} the declaration."
    if result.remaining.options.due:
        return "Nothing else is due." if result.in_sync else f"Still due: {counted(result.remaining.actions)}."
    if result.in_sync:
        return f"{_match(result.remaining)} the declaration."
    whose = "accounts do" if len(result.remaining.accounts) > 1 else "account does"
    return f"The {whose} not match the declaration yet: {counted(result.remaining.actions)}."


def _not_known(result: ApplyResult) -> str:
    """Return why it is not known how the accounts compare."""
    left = listed(result.unreached)
    if len(result.unreached) > 1:
        return f"The accounts of {left} were not applied: run `reconciler plan` to see whether they match"
    if result.unreached:
        return f"The account of {left} was not applied: run `reconciler plan` to see whether it matches"
    if any(outcome.action.account for outcome in result.outcomes):
        return "Not every account was read again: run `reconciler plan` to see whether they match"
    return "The account was not read again: run `reconciler plan` to see whether it matches"


def _match(plan: Plan) -> str:
    return "The accounts match" if len(plan.accounts) > 1 else "The account matches"


def _lacks_only_accounts(plan: Plan) -> bool:
    return all(finding.rule == UNREAD for finding in plan.errors)


def _moved(before: str, after: str) -> str:
    return f"{after} (unchanged)" if before == after else f"{before} → {after}"


def _traits(state: KeyState, show: Show) -> list[str]:
    limited = state.credit_limit is not None
    traits = [f"credit_limit {show.value(show_limit(state.credit_limit))}" if limited else show_limit(None)]
    if state.expires_at is not None:
        traits.append(f"expires {show.value(show_expiry(state.expires_at))}")
    if not state.is_enabled:
        traits.append("disabled")
    return traits


def _changes(fields: Iterable[Field], live: LiveKey, after: KeyState, show: Show) -> tuple[str, ...]:
    return tuple(_change(field, live.state, after, show) for field in fields)


def _overlap(overlap: timedelta | None, show: Show) -> str:
    if overlap is None:
        return "the old key is disabled as soon as the new one is delivered"
    return f"the old key goes on for {show.value(format_duration(overlap))}"


def _change(field: Field, before: KeyState, after: KeyState, show: Show) -> str:
    match field:
        case Field.NAME:
            values = show.name(before.name), show.name(after.name)
        case Field.IS_ENABLED:
            values = show.value(str(before.is_enabled).lower()), show.value(str(after.is_enabled).lower())
        case Field.CREDIT_LIMIT:
            values = show.value(show_limit(before.credit_limit)), show.value(show_limit(after.credit_limit))
        case Field.EXPIRES_AT:
            values = show.value(show_expiry(before.expires_at)), show.value(show_expiry(after.expires_at))
        case _:
            assert_never(field)
    return f"{field.value} {values[0]} → {values[1]}"


def _day(instant: datetime) -> str:
    return format_instant(instant).partition("T")[0]


# What a reviewer reads first: what a plan takes, what it gives, where secrets go, and what `--allow` lifted.

_NAMED: Final = 5
_PLACES: Final = 20
_BOUNDLESS: Final = Decimal("Infinity")

Item = TypeVar("Item")


def takes(plan: Plan, show: Show) -> str:
    """Return what a plan takes away, in one line: `deletes 1 key: ci/a; lowers 1 limit: ci/b $5 → $4`."""
    power = power_of(plan)
    parts = [
        _named("deletes", "key", power.deletions, lambda action: _name(action, show)),
        _named("disables", "key", power.disabling, lambda action: _name(action, show)),
        _named("lowers", "limit", power.lower_limits, lambda change: _limit(change, show)),
        _named("brings forward", "expiry", power.earlier_expiries, lambda change: _expiry(change, show)),
    ]
    return "; ".join(filter(None, parts)) or "nothing"


def gives(plan: Plan, show: Show) -> str:
    """Return what a plan gives, in one line; new places first, then what spends without a limit."""
    power = power_of(plan)
    raised = sorted(power.raised_limits, key=_added)
    later = [*power.removed_expiries, *power.later_expiries]
    parts = [
        *_new_places(power, show),
        _named("removes", "limit", power.removed_limits, lambda change: _limit(change, show)),
        _new_keys(power.new_keys, show),
        _named("raises", "limit", raised, lambda change: _limit(change, show)),
        _named("enables", "key", power.enabling, lambda action: _name(action, show)),
        _named("puts off", "expiry", later, lambda change: _expiry(change, show)),
    ]
    return "; ".join(filter(None, parts)) or "nothing"


def moves(plan: Plan) -> str:
    """Count what changes nobody's access: `1 rename, 2 cleanups`; empty for nothing."""
    counts = power_of(plan).moves
    words = {**{kind: kind for kind in counts}, CLEANUP: "cleanup"}
    return ", ".join(plural(count, words[kind]) for kind, count in counts.items() if count)


def places(plan: Plan, show: Show) -> str:
    """Return in one line where the secrets of a plan go; empty for nowhere.

    Of many places that are known, some are named here; each stands beside its key as well.
    """
    found: dict[tuple[str, str], list[Delivery]] = {}
    for action in plan.actions:
        for delivery in deliveries_of(action):
            found.setdefault((_where(delivery.target, show), _new(delivery)), []).append(delivery)
    ordered = sorted(found, key=lambda place: (not place[1], place[0]))
    most = max(_PLACES, sum(bool(new) for _, new in ordered))
    texts = [f"{new}{where} ({plural(len(found[where, new]), 'secret')})" for where, new in ordered[:most]]
    if len(ordered) > most:
        texts.append(f"and {plural(len(ordered) - most, 'known place')} more, each named with its key")
    return "; ".join(texts)


def lifted(findings: Iterable[Finding], name: Callable[[str], str]) -> str:
    """Return what `--allow` lifted: `protected (ci/a), max-deletions (ci/a, ci/b)`; empty for nothing."""
    return ", ".join(
        f"{name(finding.rule)} ({', '.join(map(name, _of_account(finding)))})" for finding in findings if finding.lifts
    )


def delivery_line(delivery: Delivery, show: Show) -> str:
    """Return where a secret goes, beside its key: `secret → gh as NAGA_API: github-actions, repository acme/api`."""
    target = delivery.target
    where = target_words(target, show.name) + link_words(delivery, show.name)
    new = f", {show.loud('a new place')}" if delivery.new else ""
    return f"secret → {show.name(target.destination)} as {show.name(delivery.name)}: {where}{new}"


def summed_places(actions: Iterable[Action], show: Show) -> list[str]:
    """Return where the secrets of many keys go, a line for each place; those of the fewest keys come first."""
    counts: Counter[str] = Counter()
    for action in actions:
        if isinstance(action, Create | Rotate):
            for each in action.declared.deliver:
                target = f"{show.name(each.target.destination)}: {target_words(each.target, show.name)}"
                counts[f"secret → {target}{link_words(each, show.name)}{', a new place' * each.new}"] += 1
    lines = [f"{place} ({plural(count, 'key')})" for place, count in sorted(counts.items(), key=lambda it: (it[1], it))]
    more = len(lines) - MOST_PLACES
    return lines if more <= 0 else [*lines[:MOST_PLACES], f"and {plural(more, 'more place')}"]


def _of_account(finding: Finding) -> Sequence[str]:
    return finding.lifts if finding.account is None else [f"{each} of {finding.account}" for each in finding.lifts]


def _new_places(power: Power, show: Show) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for action, delivery in power.new_places:
        found.setdefault(_where(delivery.target, show), []).append(_name(action, show))
    if found:
        texts = [f"{where} ({listed(list(dict.fromkeys(names)))})" for where, names in found.items()]
        yield f"{show.loud(plural(len(found), 'new place'))}: {'; '.join(texts)}"


def _new_keys(created: Sequence[Create], show: Show) -> str:
    if not created:
        return ""
    ordered = sorted(created, key=_highest_first)
    total = sum((each.declared.credit_limit or Decimal(0) for each in created), Decimal(0))
    boundless = sum(each.declared.credit_limit is None for each in created)
    sums = [f"{show.value(dollars(total))} in all"] if boundless < len(created) else []
    sums += [show.loud(f"{boundless:,} without a limit")] if boundless else []
    named = [f"{_name(each, show)} {show.value(show_limit(each.declared.credit_limit))}" for each in ordered]
    return f"creates {plural(len(created), 'key')} ({', '.join(sums)}): {listed(named)}"


def _highest_first(action: Create) -> Decimal:
    limit = action.declared.credit_limit
    return -(_BOUNDLESS if limit is None else limit)


def _added(change: LimitChange) -> Decimal:
    return (change.before or Decimal(0)) - (change.after or Decimal(0))


def _where(target: Target, show: Show) -> str:
    return target_words(target, show.name)


def _new(delivery: Delivery) -> str:
    return "new: " if delivery.new else ""


def _named(verb: str, noun: str, items: Sequence[Item], describe: Callable[[Item], str]) -> str:
    """Count things and name the first of them; empty for none."""
    if not items:
        return ""
    names = [describe(each) for each in items[:_NAMED]]
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return f"{verb} {plural(len(items), noun)}: {', '.join(names)}{more}"


def _name(action: Action, show: Show) -> str:
    return show.name(name_of(action))


def _limit(change: LimitChange, show: Show) -> str:
    after = show.value(show_limit(change.after))
    after = show.loud(after) if change.after is None else after
    return f"{_name(change.action, show)} {show.value(show_limit(change.before))} → {after}"


def _expiry(change: ExpiryChange, show: Show) -> str:
    before, after = show_expiry(change.before), show_expiry(change.after)
    return f"{_name(change.action, show)} {show.value(before)} → {show.value(after)}"
