"""The plans of several accounts, and what became of them, shown as one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.plan.actions import Credit, Plan
from reconciler.plan.options import AS_THE_FILE_SAYS
from reconciler.plan.outcome import ApplyResult
from reconciler.plan.planner import in_order, order_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.plan.actions import Finding


def of_account(plan: Plan, variable: str) -> Plan:
    """Have the actions and findings of a plan say whose they are."""
    return replace(
        plan,
        actions=tuple(replace(action, account=variable) for action in plan.actions),
        findings=tuple(replace(finding, account=variable) for finding in plan.findings),
        usage={(variable, key_id): usage for key_id, usage in plan.usage.items() if isinstance(key_id, int)},
    )


def merge(parts: Mapping[str, Plan], findings: Iterable[Finding] = ()) -> Plan:
    """Put the plans of one account or more, made by `of_account`, together in the order of every plan.

    It is as old as the oldest of them. What every one of several accounts has to say alike is said once. The balance is
    the sum of all, unless one is not known.
    """
    plans = [parts[variable] for variable in sorted(parts)]
    return Plan(
        created_at=min(plan.created_at for plan in plans),
        actions=tuple(sorted((action for plan in plans for action in plan.actions), key=order_of)),
        findings=in_order([*_said_once(plans), *findings]),
        credit=_sum([plan.credit for plan in plans]),
        unchanged=sum(plan.unchanged for plan in plans),
        unmanaged=tuple(key for plan in plans for key in plan.unmanaged),
        usage={key: usage for plan in plans for key, usage in plan.usage.items()},
        options=plans[0].options if plans else AS_THE_FILE_SAYS,
        parts={variable: parts[variable] for variable in sorted(parts)},
    )


def replaced(plan: Plan, current: Mapping[str, Plan]) -> Plan:
    """Put the plans that some accounts have by now in the place of their earlier ones; the others stay as they are."""
    if not current:
        return plan
    if not plan.parts:
        return next(iter(current.values()))
    of_parts = {*merge(plan.parts).findings}
    return merge({**plan.parts, **current}, (each for each in plan.findings if each not in of_parts))


def merge_results(results: Mapping[str, ApplyResult], unreached: Mapping[str, str]) -> ApplyResult:
    """Put together what became of several accounts; `unreached` says of some why they were left as they are."""
    parts = [results[variable] for variable in sorted(results)]
    outcomes = sorted((outcome for part in parts for outcome in part.outcomes), key=lambda each: order_of(each.action))
    remaining = {variable: part.remaining for variable, part in results.items() if part.remaining is not None}
    notes = {variable: part.note for variable, part in results.items() if part.note} | dict(unreached)
    complete = len(remaining) == len(parts) and not unreached
    return ApplyResult(
        tuple(outcomes),
        interrupted=any(part.interrupted for part in parts),
        remaining=merge(remaining) if complete else None,
        note="; ".join(f"{variable}: {' '.join(notes[variable].split())}" for variable in sorted(notes)) or None,
        unreached=tuple(sorted(unreached)),
    )


def _said_once(plans: list[Plan]) -> Iterable[Finding]:
    """Give all findings; those that are the same for every one of several accounts are not about one of them."""
    counts = Counter(replace(finding, account=None) for plan in plans for finding in {*plan.findings})
    for plan in plans:
        for finding in plan.findings:
            general = replace(finding, account=None)
            yield general if len(plans) == counts[general] > 1 else finding


def _sum(credits_: list[Credit]) -> Credit:
    balances = [credit.balance for credit in credits_ if credit.balance is not None]
    return Credit(
        limits_before=sum((credit.limits_before for credit in credits_), Decimal(0)),
        limits_after=sum((credit.limits_after for credit in credits_), Decimal(0)),
        unlimited_before=sum(credit.unlimited_before for credit in credits_),
        unlimited_after=sum(credit.unlimited_after for credit in credits_),
        balance=sum(balances, Decimal(0)) if len(balances) == len(credits_) else None,
    )
