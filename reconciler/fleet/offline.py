"""Plans without asking anybody: the base file stands for the accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.fleet.planning import plan_account, refuse_empty_globs, with_moves
from reconciler.plan.base import snapshot_of
from reconciler.plan.facts import Facts

if TYPE_CHECKING:
    from reconciler.fleet.request import Request
    from reconciler.plan.actions import Plan


def plan_offline(request: Request) -> Plan:
    """Plan against the base, which the request must have; raises UsageError for an option that matches nothing."""
    now = datetime.now(UTC)

    def plan(variable: str) -> Plan:
        base = request.base_part(variable)
        assert base is not None  # noqa: S101  # whoever asks for an offline plan has seen to it
        return plan_account(request, variable, snapshot_of(base, now, variable), Facts(base=base, offline=True))

    refuse_empty_globs(request, ())

    parts = {variable: plan(variable) for variable in request.variables()}
    if not request.several:
        return with_moves(request, next(iter(parts.values())))
    from reconciler.plan.merge import merge

    return with_moves(request, merge(parts))
