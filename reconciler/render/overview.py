"""What a reviewer reads first: what a plan takes, what it gives, where secrets go, and what `--allow` lifted.

What could be missed among many is never left out without a count, and new places never at all.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.planning import phrases
from reconciler.planning.guardrails import name_of
from reconciler.planning.places import deliveries_of
from reconciler.planning.power import CLEANUP, power_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from reconciler.model import Delivery, Target
    from reconciler.planning.actions import Action, Create, Finding, Plan
    from reconciler.planning.power import ExpiryChange, LimitChange, Power
    from reconciler.render.words import Show

_NAMED: Final = 5
_PLACES: Final = 20
_BOUNDLESS: Final = Decimal("Infinity")

Item = TypeVar("Item")


def takes(plan: Plan, show: Show) -> str:
    """Say what a plan takes away, in one line: `deletes 1 key: ci/a; lowers 1 limit: ci/b $5 → $4`."""
    power = power_of(plan)
    parts = [
        _named("deletes", "key", power.deletions, lambda action: _name(action, show)),
        _named("disables", "key", power.disabling, lambda action: _name(action, show)),
        _named("lowers", "limit", power.lower_limits, lambda change: _limit(change, show)),
        _named("brings forward", "expiry", power.earlier_expiries, lambda change: _expiry(change, show)),
    ]
    return "; ".join(filter(None, parts)) or "nothing"


def gives(plan: Plan, show: Show) -> str:
    """Say what a plan gives, in one line; new places first, then what spends without a limit."""
    power = power_of(plan)
    raised = sorted(power.raised_limits, key=_raise)
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
    return ", ".join(phrases.plural(count, words[kind]) for kind, count in counts.items() if count)


def places(plan: Plan, show: Show) -> str:
    """Say in one line where the secrets of a plan go; empty for nowhere.

    Of many places that are known, some are named here; each stands beside its key as well.
    """
    found: dict[tuple[str, str], list[Delivery]] = {}
    for action in plan.actions:
        for delivery in deliveries_of(action):
            found.setdefault((_where(delivery.target, show), _new(delivery)), []).append(delivery)
    ordered = sorted(found, key=lambda place: (not place[1], place[0]))
    most = max(_PLACES, sum(bool(new) for _, new in ordered))
    texts = [f"{new}{where} ({phrases.plural(len(found[where, new]), 'secret')})" for where, new in ordered[:most]]
    if len(ordered) > most:
        texts.append(f"and {phrases.plural(len(ordered) - most, 'known place')} more, each named with its key")
    return "; ".join(texts)


def lifted(findings: Iterable[Finding], name: Callable[[str], str]) -> str:
    """Say what `--allow` lifted: `protected (ci/a), max-deletions (ci/a, ci/b)`; empty for nothing."""
    return ", ".join(
        f"{name(finding.rule)} ({', '.join(map(name, _of_account(finding)))})" for finding in findings if finding.lifts
    )


def delivery_line(delivery: Delivery, show: Show) -> str:
    """Say where a secret goes, beside its key: `secret → gh as NAGA_API: github-actions, repository acme/api`."""
    target = delivery.target
    where = phrases.target_words(target, show.name) + phrases.link_words(delivery, show.name)
    new = f", {show.loud('a new place')}" if delivery.new else ""
    return f"secret → {show.name(target.destination)} as {show.name(delivery.name)}: {where}{new}"


def _of_account(finding: Finding) -> Sequence[str]:
    return finding.lifts if finding.account is None else [f"{each} of {finding.account}" for each in finding.lifts]


def _new_places(power: Power, show: Show) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for action, delivery in power.new_places:
        found.setdefault(_where(delivery.target, show), []).append(_name(action, show))
    if found:
        texts = [f"{where} ({phrases.listed(list(dict.fromkeys(names)))})" for where, names in found.items()]
        yield f"{show.loud(phrases.plural(len(found), 'new place'))}: {'; '.join(texts)}"


def _new_keys(created: Sequence[Create], show: Show) -> str:
    if not created:
        return ""
    ordered = sorted(created, key=_highest_first)
    total = sum((each.declared.credit_limit or Decimal(0) for each in created), Decimal(0))
    boundless = sum(each.declared.credit_limit is None for each in created)
    sums = [f"{show.value(phrases.dollars(total))} in all"] if boundless < len(created) else []
    sums += [show.loud(f"{boundless:,} without a limit")] if boundless else []
    named = [f"{_name(each, show)} {show.value(phrases.show_limit(each.declared.credit_limit))}" for each in ordered]
    return f"creates {phrases.plural(len(created), 'key')} ({', '.join(sums)}): {phrases.listed(named)}"


def _highest_first(action: Create) -> Decimal:
    limit = action.declared.credit_limit
    return -(_BOUNDLESS if limit is None else limit)


def _raise(change: LimitChange) -> Decimal:
    return (change.before or Decimal(0)) - (change.after or Decimal(0))


def _where(target: Target, show: Show) -> str:
    return phrases.target_words(target, show.name)


def _new(delivery: Delivery) -> str:
    return "new: " if delivery.new else ""


def _named(verb: str, noun: str, items: Sequence[Item], describe: Callable[[Item], str]) -> str:
    """Count things and name the first of them; empty for none."""
    if not items:
        return ""
    names = [describe(each) for each in items[:_NAMED]]
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return f"{verb} {phrases.plural(len(items), noun)}: {', '.join(names)}{more}"


def _name(action: Action, show: Show) -> str:
    return show.name(name_of(action))


def _limit(change: LimitChange, show: Show) -> str:
    after = show.value(phrases.show_limit(change.after))
    after = show.loud(after) if change.after is None else after
    return f"{_name(change.action, show)} {show.value(phrases.show_limit(change.before))} → {after}"


def _expiry(change: ExpiryChange, show: Show) -> str:
    before, after = phrases.show_expiry(change.before), phrases.show_expiry(change.after)
    return f"{_name(change.action, show)} {show.value(before)} → {show.value(after)}"
