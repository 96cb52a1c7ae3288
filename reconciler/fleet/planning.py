"""Plans of accounts, made of what was read and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.plan.planner import make_plan

if TYPE_CHECKING:
    from reconciler.fleet.request import Request
    from reconciler.model import Snapshot
    from reconciler.plan.actions import Plan
    from reconciler.plan.facts import Facts


def plan_account(request: Request, variable: str, snapshot: Snapshot, facts: Facts) -> Plan:
    """Plan one account; where there are several, its actions and findings say whose they are."""
    part = request.part(variable)
    facts = replace(facts, elsewhere=frozenset(request.declaration.environments.keys() - part.environments.keys()))
    plan = make_plan(part, snapshot, request.options, facts)
    if not request.several:
        return plan
    from reconciler.plan.merge import of_account

    return of_account(plan, variable)


def with_moves(request: Request, plan: Plan) -> Plan:
    """Add what a change leaves in accounts that its environments are no longer in."""
    if request.base is None:
        return plan
    from reconciler.plan.base import left_behind
    from reconciler.plan.planner import with_findings

    parts = plan.parts or dict.fromkeys(request.variables(), plan)
    return with_findings(plan, left_behind(request.declaration, request.base, parts, request.options))
