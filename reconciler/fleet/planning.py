"""Plans of accounts, made of what was read and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import AccountError, UsageError
from reconciler.model import Address
from reconciler.plan.actions import Delete
from reconciler.plan.names import Naming
from reconciler.plan.options import matcher
from reconciler.plan.phrases import listed, near
from reconciler.plan.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def refuse_empty_globs(request: Request, snapshots: Iterable[Snapshot]) -> None:
    """Refuse an `--only` or `--allow` that matches nothing: a typo would select nothing, or lift nothing.

    `snapshots` are the live keys of all accounts that the run is about. What counts is declared, in the file or in the
    base, or live: as a key of a declared environment, for `--allow` whoever owns it. A glob that reaches all keys of a
    declared environment is right even where there is none. Raises UsageError, with what may have been meant.
    """
    options = request.options
    if request.reviewed or not (options.only or options.allow):
        return
    files = [file for file in (request.declaration, request.base) if file is not None]
    live = [key.name for snapshot in snapshots for key in snapshot.keys]
    namings = [Naming(file.naming, file.environments) for file in files]
    parsed = [found.address for naming in namings for name in live if (found := naming.parse(name))]
    addresses = {*(key.address for file in files for key in file.keys), *parsed}
    environments = {name for file in files for name in file.environments}
    covers = replace(options, only=()).selector()
    selectable = [address for address in addresses if covers(address)]
    selectable += [Address(name, "") for name in environments if covers(Address(name, ""))]
    every = [*addresses, *(Address(name, "") for name in environments)]
    _refuse_empty("--only", options.only, [str(address) for address in selectable])
    _refuse_empty("--allow", options.allow, [*map(str, every), *live])


def _refuse_empty(flag: str, globs: Sequence[str], names: Sequence[str]) -> None:
    for glob in globs:
        if not any(map(matcher([glob]), names)):
            known = {f"{name}*" if name.endswith("/") else name for name in names}
            msg = f"{flag} {glob} matches no key that is declared or live{near(glob, known)}"
            raise UsageError(msg)


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
