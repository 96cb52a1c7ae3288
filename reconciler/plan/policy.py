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


def judge_keys(bench: Bench) -> Iterator[Finding]:
    """Judge what the declaration says of each key that the run is about, changed or not."""
    declaration, covers = bench.draft.declaration, bench.draft.options.selector()
    rails = {name: bench.guards.of_keys(frozenset({name})) for name in declaration.environments}
    demanding = {name for name, each in rails.items() if _demands(each)}
    if not demanding:
        return
    for key in declaration.keys:
        if key.address.environment in demanding and covers(key.address):
            yield from _judge_key(bench, key, rails[key.address.environment])


def _demands(rails: Guardrails) -> bool:
    return any((rails.max_credit_limit, rails.require_limit, rails.max_lifetime, rails.require_rotation))


def _judge_key(bench: Bench, key: DeclaredKey, rails: Guardrails) -> Iterator[Finding]:
    subject, limit = Subject(key.address, (str(key.address),)), key.credit_limit
    if (most := rails.max_credit_limit) and (limit is None or limit > most.value):
        has = "it has no limit" if limit is None else f"its limit of {dollars(limit)} is too high"
        message = f"{has}: the highest that max_credit_limit allows is {dollars(most.value)}"
        yield bench.violation("max-credit-limit", most, message, subject)
    if rails.require_limit and limit is None:
        message = "it has no limit, and require_limit wants one for every key"
        yield bench.violation("require-limit", rails.require_limit, message, subject)
    if (longest := rails.max_lifetime) and (key.expires_at is None or key.expires_at - bench.draft.now > longest.value):
        ends = "it never expires" if key.expires_at is None else f"it expires at {format_instant(key.expires_at)}"
        message = f"{ends}: by max_lifetime it must expire within {format_duration(longest.value)}"
        yield bench.violation("max-lifetime", longest, message, subject)
    if rails.require_rotation and key.rotate_every is None:
        message = "it has no rotate_every, and require_rotation wants every key to be rotated"
        yield bench.violation("require-rotation", rails.require_rotation, message, subject)


def judge_budgets(bench: Bench) -> Iterator[Finding]:
    """Add the declared limits up: of all keys, and of each environment that the run is about, as a whole."""
    declaration, covers = bench.draft.declaration, bench.draft.options.selector()
    if rule := bench.guards.account().credit_budget:
        yield from _judge_budget(bench, rule, declaration.keys, None)
    budgets = {name: bench.guards.environment(name).credit_budget for name in declaration.environments}
    members: dict[str, list[DeclaredKey]] = {name: [] for name, rule in budgets.items() if rule}
    if not members:
        return
    for key in declaration.keys:
        if key.address.environment in members:
            members[key.address.environment].append(key)
    for name, keys in members.items():
        if (rule := budgets[name]) and any(covers(key.address) for key in keys):
            yield from _judge_budget(bench, rule, keys, name)


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
    subject = EVERYTHING if culprit is None else Subject(culprit, (str(culprit),))
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
