"""What no plan may do: all violations at once, each with the place of the guardrail that it violates.

A violation is of severity error, and a note where `--allow` lifts what guards the address. A guardrail holds in the
strictest form that the account, the environment, or the base file of a change has for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.diagnostic import Severity
from reconciler.plan import effects, policy
from reconciler.plan.actions import Finding
from reconciler.plan.facts import window
from reconciler.plan.phrases import dollars, listed, plural, used
from reconciler.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal
    from typing import Any

    from reconciler.model import Guardrails, LiveKey, Rule
    from reconciler.plan.actions import Action
    from reconciler.plan.draft import Bench, Subject


def judge(bench: Bench) -> Iterator[Finding]:
    """Give every violation, and a warning beside each change that violates nothing but may hurt somebody."""
    for action in bench.draft.actions:
        yield from _judge_action(bench, action)
    yield from _judge_deletions(bench)
    yield from policy.judge(bench)


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
        return Finding(name, Severity.WARNING, message, self.subject.address, effects.place(self.action))


def _judge_action(bench: Bench, action: Action) -> Iterator[Finding]:
    now = bench.draft.now
    injuries, limited, left = effects.injuries(action, now), effects.new_limit(action), bench.left_protection(action)
    if left:
        injuries.append(f"move it away from {listed([str(address) for address in left])}, to where nothing protects it")
    if not injuries and limited is None:
        return
    case = _Case(bench, action, bench.rails(action), bench.subject(action))
    if injuries and case.rails.protected:
        message = f"the key is protected, and this plan would {' and '.join(injuries)}"
        yield case.violation("protected", case.rails.protected, message)
    key, endings = effects.held(action), effects.endings(action, now)
    if key is not None and endings and (key.is_enabled or effects.removes(action, now)):
        yield from _judge_use(case, key, endings[0])
    if limited is not None:
        yield from _judge_spend(case, *limited)


def _judge_use(case: _Case, key: LiveKey, deed: str) -> Iterator[Finding]:
    """Judge the taking away of a key from those who may use it."""
    facts = case.bench.draft.facts
    usage = facts.usage(key.id)
    if rule := case.rails.protect_active:
        recent, period = facts.usage(key.id, window(rule.value)), format_duration(rule.value)
        if recent:
            message = f"this plan would {deed}, and protect_active keeps what was used within {period}: {used(recent)}"
            yield case.violation("protect-active", rule, message)
        elif recent is None and (usage is None or usage):
            message = f"this plan would {deed}, and whether it was used within {period} (protect_active) is not known"
            yield case.unchecked("protect-active", rule, message)
    if usage:
        yield case.warning("in-use", f"still in use: {used(usage)}")


def _judge_spend(case: _Case, key: LiveKey, limit: Decimal) -> Iterator[Finding]:
    """Judge the new limit of a key that may have spent it already."""
    rule, usage = case.rails.limit_below_spend, case.bench.draft.facts.usage(key.id)
    if usage is None:
        if rule and effects.is_lower(limit, key.credit_limit):
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
    doomed = [action for action in bench.draft.actions if effects.removes(action, bench.draft.now)]
    doomed = [action for action in doomed if not bench.allows(bench.subject(action))]
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
    names = [action.live.name if action.address is None else str(action.address) for action in doomed]
    message = f"this plan would delete {plural(len(doomed), 'key')}{whose}, and max_deletions allows {rule.value}{why}"
    yield bench.violation("max-deletions", rule, f"{message}: {listed(names)}; what --allow names does not count")
