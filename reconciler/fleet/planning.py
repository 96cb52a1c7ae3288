"""Plans of accounts, made of what was read and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import AccountError
from reconciler.plan.actions import Delete
from reconciler.plan.names import Naming
from reconciler.plan.phrases import listed
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


def spare_other_accounts(request: Request, variable: str, shown: Plan, plan: Plan) -> None:
    """Refuse to delete as unmanaged what came after a plan was shown and looks like another account's key.

    Two variables may open one account that had no keys to tell that by: the run itself has issued them then. Raises
    AccountError.
    """
    elsewhere = request.declaration.environments.keys() - request.part(variable).environments.keys()
    naming = Naming(request.declaration.naming, elsewhere)
    known = {action.live for action in shown.actions if isinstance(action, Delete)}
    strays = [each.live for each in plan.actions if isinstance(each, Delete) and each.live not in known]
    if taken := [key.name for key in strays if naming.parse(key.name)]:
        msg = (
            f"keys of environments that name another variable have come to this account ({listed(taken)}), so it "
            "was left as it is; if both variables open the same account, let the environments name the same one"
        )
        raise AccountError(msg)
