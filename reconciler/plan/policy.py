"""What declared keys must be, each by itself and all together."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.plan import effects
from reconciler.plan.actions import Delete, Restore, Retire
from reconciler.plan.draft import EVERYTHING, Subject
from reconciler.plan.phrases import dollars, listed, plural
from reconciler.units import format_duration, format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.model import Address, DeclaredKey, Guardrails, Rule
    from reconciler.plan.actions import Change, Finding
    from reconciler.plan.draft import Bench

_BOUNDLESS: Final = Decimal("Infinity")


def judge(bench: Bench) -> Iterator[Finding]:
    """Judge what the declaration says of each key that the run is about, changed or not, and what it adds up to."""
    members: dict[str, list[DeclaredKey]] = {}
    for key in bench.draft.declaration.keys:
        members.setdefault(key.address.environment, []).append(key)
    if budget := bench.guards.account().credit_budget:
        yield from _judge_budget(bench, budget, bench.draft.declaration.keys, None)
    covers = bench.draft.options.selector()
    for name, keys in members.items():
        chosen = [key for key in keys if covers(key.address)] if bench.draft.options.selective else keys
        yield from _judge_keys(bench, chosen, bench.guards.of_keys(frozenset({name})))
        if chosen and (budget := bench.guards.environment(name).credit_budget):
            yield from _judge_budget(bench, budget, keys, name)


def _judge_keys(bench: Bench, keys: Sequence[DeclaredKey], rails: Guardrails) -> Iterator[Finding]:
    """Judge keys that the same guardrails hold for."""
    if most := rails.max_credit_limit:
        for key in [key for key in keys if key.credit_limit is None or key.credit_limit > most.value]:
            limit = key.credit_limit
            has = "it has no limit" if limit is None else f"its limit of {dollars(limit)} is too high"
            message = f"{has}: the highest that max_credit_limit allows is {dollars(most.value)}"
            yield bench.violation("max-credit-limit", most, message, _subject(key.address))
    if rule := rails.require_limit:
        for key in [key for key in keys if key.credit_limit is None]:
            message = "it has no limit, and require_limit wants one for every key"
            yield bench.violation("require-limit", rule, message, _subject(key.address))
    if longest := rails.max_lifetime:
        last = bench.draft.now + longest.value
        for key in [key for key in keys if key.expires_at is None or key.expires_at > last]:
            ends = "it never expires" if key.expires_at is None else f"it expires at {format_instant(key.expires_at)}"
            message = f"{ends}: by max_lifetime it must expire within {format_duration(longest.value)}"
            yield bench.violation("max-lifetime", longest, message, _subject(key.address))
    if rule := rails.require_rotation:
        for key in [key for key in keys if key.rotate_every is None]:
            message = "it has no rotate_every, and require_rotation wants every key to be rotated"
            yield bench.violation("require-rotation", rule, message, _subject(key.address))


def _subject(address: Address) -> Subject:
    return Subject(address, (str(address),))


def _judge_budget(
    bench: Bench, rule: Rule[Decimal], keys: Sequence[DeclaredKey], environment: str | None
) -> Iterator[Finding]:
    unlimited = [str(key.address) for key in keys if key.credit_limit is None]
    total = sum((key.credit_limit for key in keys if key.credit_limit is not None), Decimal(0))
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
    subject = EVERYTHING if culprit is None else _subject(culprit)
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
    before, limit = effects.held(action), action.declared.credit_limit
    wanted = _BOUNDLESS if limit is None else limit
    if before is None or isinstance(action, Restore):
        return wanted
    if not any(environment in {None, address.environment} for address in bench.owners(before)):
        return wanted  # it comes from elsewhere
    return Decimal(0) if before.credit_limit is None else wanted - before.credit_limit
