"""Judges a plan by the guardrails: returns all violations at once, each with the place of its guardrail.

A violation is of severity error, and a note where `--allow` lifts what guards the address. A guardrail holds in the
strictest form that the account, the environment, or the base file of a change has for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.model import LONGEST_DAYS
from reconciler.planning import budgets
from reconciler.planning.actions import (
    Delete,
    Finding,
    Finish,
    Rename,
    Restore,
    Retire,
    Rotate,
    source_of,
    used,
    window,
)
from reconciler.planning.base_review import compare
from reconciler.planning.guard_context import EVERYTHING, Bench, subject_of
from reconciler.planning.names import period_of
from reconciler.planning.power import (
    endings_of,
    ends_raise,
    held,
    injuries_of,
    is_lower,
    name_of,
    new_limit,
    outcome,
    removes,
)
from reconciler.units import dollars, format_duration, format_instant, listed, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from reconciler.model import Address, DeclaredKey, Guardrails, Lease, LiveKey, Rule
    from reconciler.planning.actions import Action, Change
    from reconciler.planning.guard_context import Draft, Subject


# What declared keys must be, each by itself and all together.

_BOUNDLESS: Final = Decimal("Infinity")


def judge_declaration(bench: Bench) -> Iterator[Finding]:
    """Judge what the declaration says of each key that the run is about, changed or not, and what it adds up to."""
    declaration, covers = bench.draft.declaration, bench.draft.options.selector()
    members: dict[str, tuple[list[DeclaredKey], list[Lease]]] = {}
    movers = _movers(bench)
    for key in declaration.keys:
        members.setdefault(key.address.environment, ([], []))[0].append(key)
    for lease in declaration.leases:
        members.setdefault(lease.address.environment, ([], []))[1].append(lease)
    if budget := bench.guards.account().credit_budget:
        yield from _judge_budget(bench, budget, declaration.keys, declaration.leases, None)
    for name, (keys, leases) in members.items():
        rails = bench.guards.of_keys(frozenset({name}))
        chosen = [key for key in keys if covers(key.address)] if bench.draft.options.selective else keys
        chosen_leases = [lease for lease in leases if covers(lease.address)]
        staying = [key for key in chosen if key.address not in movers] if movers else chosen
        yield from _judge_limits(bench, [*staying, *chosen_leases], rails)
        yield from _judge_keys(bench, staying, rails)
        for key in [key for key in chosen if key.address in movers] if movers else ():
            of_both = bench.guards.of_keys(movers[key.address])
            yield from _judge_limits(bench, [key], of_both)
            yield from _judge_keys(bench, [key], of_both)
        yield from _judge_leases(bench, chosen_leases, rails)
        if (chosen or chosen_leases) and (budget := bench.guards.environment(name).credit_budget):
            yield from _judge_budget(bench, budget, keys, leases, name)


def _movers(bench: Bench) -> dict[Address, frozenset[str]]:
    """Return the keys that come from another environment, each with both: what guards the one goes along."""
    moving: dict[Address, frozenset[str]] = {}
    for action in bench.draft.actions:
        if isinstance(action, Rename | Rotate | Finish):
            environments = frozenset(address.environment for address in bench.addresses(action))
            if len(environments) > 1:
                moving[action.address] = environments
    return moving


def _judge_limits(bench: Bench, keys: Sequence[DeclaredKey | Lease], rails: Guardrails) -> Iterator[Finding]:
    """Judge the limit that each key may have."""
    if most := rails.max_credit_limit:
        for key in [key for key in keys if key.credit_limit is None or key.credit_limit > most.value]:
            limit = key.credit_limit
            has = "it has no limit" if limit is None else f"its limit of {dollars(limit)} is too high"
            message = f"{has}: the highest that max_credit_limit allows is {dollars(most.value)}"
            yield bench.violation("max-credit-limit", most, message, subject_of(key.address))
    if rule := rails.require_limit:
        for key in [key for key in keys if key.credit_limit is None]:
            message = "it has no limit, and require_limit wants one for every key"
            yield bench.violation("require-limit", rule, message, subject_of(key.address))


def _judge_keys(bench: Bench, keys: Sequence[DeclaredKey], rails: Guardrails) -> Iterator[Finding]:
    """Judge how long keys live that the same guardrails hold for."""
    if longest := rails.max_lifetime:
        last = bench.draft.now + longest.value
        for key in [key for key in keys if key.expires_at is None or key.expires_at > last]:
            ends = "it never expires" if key.expires_at is None else f"it expires at {format_instant(key.expires_at)}"
            message = f"{ends}: by max_lifetime it must expire within {format_duration(longest.value)}"
            yield bench.violation("max-lifetime", longest, message, subject_of(key.address))
    if rule := rails.require_rotation:
        for key in [key for key in keys if key.rotate_every is None]:
            message = "it has no rotate_every, and require_rotation wants every key to be rotated"
            yield bench.violation("require-rotation", rule, message, subject_of(key.address))


def _judge_leases(bench: Bench, leases: Sequence[Lease], rails: Guardrails) -> Iterator[Finding]:
    """Judge how long a lease may outlive its command."""
    if longest := rails.max_lifetime:
        for lease in [lease for lease in leases if lease.ttl > longest.value]:
            message = f"its ttl is {format_duration(lease.ttl)}: max_lifetime allows {format_duration(longest.value)}"
            yield bench.violation("max-lifetime", longest, message, subject_of(lease.address))


def _judge_budget(
    bench: Bench,
    rule: Rule[Decimal],
    keys: Sequence[DeclaredKey],
    leases: Sequence[Lease],
    environment: str | None,
) -> Iterator[Finding]:
    """Judge what limits add up to; a lease counts as often as it may be open."""
    limits = [(key.address, key.credit_limit, 1) for key in keys]
    limits += [(lease.address, lease.credit_limit, lease.max_open) for lease in leases]
    unlimited = [str(address) for address, limit, _ in limits if limit is None]
    total = sum((limit * count for _, limit, count in limits if limit is not None), Decimal(0))
    if not unlimited and total <= rule.value:
        return
    budget = "the budget" if environment is None else f"the budget of environment {environment}"
    message = f"{dollars(total)} of limits is over {budget}, {dollars(rule.value)}, by {dollars(total - rule.value)}"
    if unlimited:
        message = (
            f"{plural(len(unlimited), 'key')} without a limit would break {budget}, {dollars(rule.value)}: "
            f"{listed(unlimited)}; the other limits add up to {dollars(total)}"
        )
    culprit = _most_raised(bench, environment)
    subject = EVERYTHING if culprit is None else subject_of(culprit)
    yield bench.violation("credit-budget", rule, message, subject)


def _most_raised(bench: Bench, environment: str | None) -> Address | None:
    """Give the address of the change that raises the sum most, the first of equals."""
    culprit, most = None, Decimal(0)
    for action in bench.draft.actions:
        if isinstance(action, Delete | Retire) or environment not in {None, action.address.environment}:
            continue
        if (raised := _raise(bench, action, environment)) > most:
            culprit, most = action.address, raised
    return culprit


def _raise(bench: Bench, action: Change, environment: str | None) -> Decimal:
    """Say by how much a change raises the sum of the limits; no limit raises it beyond all bounds."""
    before, limit = held(action), action.declared.credit_limit
    wanted = _BOUNDLESS if limit is None else limit
    if before is None or isinstance(action, Restore):
        return wanted
    if not any(environment in {None, address.environment} for address in bench.owners(before)):
        return wanted  # it comes from elsewhere
    limit = budgets.allowance(before)
    return Decimal(0) if limit is None else wanted - limit


# What no plan may do: all violations at once, each with the place of the guardrail that it violates.


def judge(bench: Bench) -> Iterator[Finding]:
    """Give every violation, and a warning beside each change that violates nothing but may hurt somebody."""
    for action in bench.draft.actions:
        yield from _judge_action(bench, action)
    yield from _judge_deletions(bench)
    yield from judge_declaration(bench)


@dataclass(frozen=True, slots=True)
class _Case:
    """An action, what guards its key, and what findings about it say."""

    bench: Bench
    action: Action
    rails: Guardrails
    subject: Subject

    def violation(self, name: str, rule: Rule[Any], message: str) -> Finding:
        return self.bench.violation(name, rule, message, self.subject, once=True)

    def unchecked(self, name: str, rule: Rule[Any], message: str) -> Finding:
        return self.bench.unchecked(name, rule, message, self.subject)

    def warning(self, name: str, message: str) -> Finding:
        message = self.subject.label + message
        return Finding(name, Severity.WARNING, message, self.subject.address, source_of(self.action))


def _judge_action(bench: Bench, action: Action) -> Iterator[Finding]:
    now = bench.draft.now
    injuries, left = injuries_of(action, now), bench.left_protection(action)
    limited = None if ends_raise(action, now) else new_limit(action)
    if left:
        injuries.append(f"move it away from {listed([str(address) for address in left])}, to where nothing protects it")
    if not injuries and limited is None:
        return
    case = _Case(bench, action, bench.rails(action), bench.subject(action))
    if injuries and case.rails.protected:
        message = f"the key is protected, and this plan would {' and '.join(injuries)}"
        yield case.violation("protected", case.rails.protected, message)
    key, endings = held(action), endings_of(action, now)
    if key is not None and endings and (key.is_enabled or removes(action, now)):
        yield from _judge_use(case, key, endings[0])
    if limited is not None:
        yield from _judge_spend(case, *_of_period(action, *limited, now))


def _judge_use(case: _Case, key: LiveKey, deed: str) -> Iterator[Finding]:
    """Judge the taking away of a key from those who may use it."""
    inputs = case.bench.draft.inputs
    usage = inputs.usage(key.id)
    if rule := case.rails.protect_active:
        recent, period = inputs.usage(key.id, window(rule.value)), format_duration(rule.value)
        if recent:
            message = f"this plan would {deed}, and protect_active keeps what was used within {period}: {used(recent)}"
            yield case.violation("protect-active", rule, message)
        elif recent is None and (usage is None or usage):
            message = f"this plan would {deed}, and whether it was used within {period} (protect_active) is not known"
            yield case.unchecked("protect-active", rule, message)
    if usage:
        yield case.warning("in-use", f"still in use: {used(usage)}")


def _of_period(action: Action, key: LiveKey, limit: Decimal, now: datetime) -> tuple[LiveKey, Decimal, int]:
    """Add the days of activity that a new limit is about; of a budget that renews, give the allowance in its place."""
    after = outcome(action)
    period = None if after is None or isinstance(action, Restore) else period_of(after.name)
    if period is None:
        return key, limit, LONGEST_DAYS
    return key, limit - period.spent, max(1, min((now.date() - period.begin).days + 1, LONGEST_DAYS))


def _judge_spend(case: _Case, key: LiveKey, limit: Decimal, days: int) -> Iterator[Finding]:
    """Judge the new limit of a key that may have spent it already in the last days."""
    rule, usage = case.rails.limit_below_spend, case.bench.draft.inputs.usage(key.id, days)
    if usage is None:
        if rule and is_lower(limit, budgets.allowance(key)):
            message = f"whether the new limit of {dollars(limit)} is spent already (limit_below_spend) is not known"
            yield case.unchecked("limit-below-spend", rule, message)
    elif rule and limit < usage.cost:
        message = f"the new limit of {dollars(limit)} is below what it has spent, which stops it at once: {used(usage)}"
        yield case.violation("limit-below-spend", rule, message)
    elif usage.cost and limit <= usage.cost:
        message = f"the new limit of {dollars(limit)} is spent already, which stops it at once: {used(usage)}"
        yield case.warning("already-spent", message)


def _judge_deletions(bench: Bench) -> Iterator[Finding]:
    """Count what goes, in the account and in each environment; what is allowed does not count."""
    doomed = [action for action in bench.draft.actions if removes(action, bench.draft.now)]
    if not doomed:
        return
    yield from _count(bench, bench.guards.account().max_deletions, doomed, "")
    members: dict[str, list[Action]] = {}
    uncounted: list[Action] = []
    for action in doomed:
        environments = {address.environment for address in bench.addresses(action)}
        for environment in environments:
            members.setdefault(environment, []).append(action)
        if not any(map(bench.guards.counts_itself, environments)):
            uncounted.append(action)
    yield from _count(bench, bench.guards.default_deletions(), uncounted, "", ", where the file says nothing")
    for environment, actions in members.items():
        yield from _count(bench, bench.guards.environment(environment).max_deletions, actions, f" of {environment}")


def _count(
    bench: Bench, rule: Rule[int | None] | None, doomed: Sequence[Action], whose: str, why: str = ""
) -> Iterator[Finding]:
    if rule is None or rule.value is None or len(doomed) <= rule.value:
        return
    spared: list[Action] = []
    counted: list[Action] = []
    for action in doomed:
        (spared if bench.allows(bench.subject(action)) else counted).append(action)
    too_many = len(counted) > rule.value
    names = [name_of(action) for action in (counted if too_many else spared)]
    message = f"this plan would delete {plural(len(counted if too_many else doomed), 'key')}{whose}"
    message += f", and max_deletions allows {rule.value}{why}"
    if too_many:
        yield bench.violation("max-deletions", rule, f"{message}: {listed(names)}; what --allow names does not count")
    else:
        yield bench.lifted("max-deletions", rule, f"{message}; not counted: {listed(names)}", tuple(names))


# Everything that is to be said about a draft by what was read beside the keys.


def review(draft: Draft) -> Iterator[Finding]:
    """Give the violations of guardrails, and what a reviewer should know besides."""
    bench = Bench(draft)
    yield from judge(bench)
    if draft.inputs.base is not None:
        yield from compare(bench, draft.inputs.base)
    for message in draft.inputs.unread:
        yield Finding("not-read", Severity.WARNING, message)
    if draft.inputs.offline:
        message = "made without the account, as if the base file were live: drift, recent use and money are not known"
        yield Finding("offline", Severity.NOTE, message)
    balance, total = draft.inputs.balance, draft.credit.limits_after
    if draft.actions and balance is not None and total > balance:
        message = f"the limits add up to {dollars(total)}, which is {dollars(total - balance)} more than the balance"
        yield Finding("over-balance", Severity.NOTE, f"{message} of {dollars(balance)}")
