"""The accounts of a declaration, and their plans and results put together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from reconciler.diagnostic import Severity
from reconciler.model import account_variables, only_of, variables_of
from reconciler.planning.actions import AS_THE_FILE_SAYS, ApplyResult, Finding, Options, Plan, in_order, order_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from reconciler.model import Declaration, Snapshot
    from reconciler.planning.actions import AccountPlan


UNREAD = "account-unread"
"""The rule of the finding that stands for an account that is not planned: what is planned is not all then."""


def selected_variables(
    declaration: Declaration, base: Declaration | None = None, options: Options = AS_THE_FILE_SAYS
) -> tuple[str, ...]:
    """Name the variables of the accounts that a run is about, in order: all, or what -e and --only select.

    An environment that only the base declares can be selected too; one whose account no environment uses any more is
    left out otherwise.
    """
    if not options.selective:
        return account_variables(declaration)
    environments = {**(base.environments if base else {}), **declaration.environments}
    if options.environments:
        environments = {name: each for name, each in environments.items() if name in options.environments}
    if options.only:
        wanted = {name for name in environments if any(_reaches(glob, name) for glob in options.only)}
        environments = {name: each for name, each in environments.items() if name in wanted} or environments
    return variables_of(environments.values())


def base_of(base: Declaration, declaration: Declaration, variable: str) -> Declaration:
    """Return the part of the base that is held against an account's part of a declaration.

    What the base says of an environment follows it into another account, and goes on to hold for the keys that stay
    behind in its own, so that no protection is lost by naming another variable.
    """
    now = declaration.environments
    environments = {
        name: before
        for name, before in base.environments.items()
        if variable in (before.provisioning_key_env, now.get(name, before).provisioning_key_env)
    }
    return base if len(environments) == len(base.environments) else only_of(base, environments)


def unread_account(declaration: Declaration, variable: str, reason: str) -> Finding:
    """Return a finding that an account could not be read, so that its environments are not planned."""
    mine = [each for each in declaration.environments.values() if each.provisioning_key_env == variable]
    whose = f" ({', '.join(sorted(each.name for each in mine))})" if mine else ""
    message = f"the account{whose} is not planned: {reason}"
    source = mine[0].source if mine else declaration.source
    return Finding(UNREAD, Severity.ERROR, message, source=source, account=variable)


def same_account(declaration: Declaration, snapshots: Mapping[str, Snapshot]) -> Iterator[Finding]:
    """Find accounts that are the same one under two variables: each would take the other's keys for unmanaged."""
    seen: dict[frozenset[object], str] = {}
    for variable, snapshot in sorted(snapshots.items()):
        keys = frozenset(snapshot.keys)
        first = seen.setdefault(keys, variable)
        if keys and first != variable:
            message = f"{first} and {variable} open the same account; let its environments name the same variable"
            yield Finding("same-account", Severity.ERROR, message, source=declaration.source, account=variable)


def _reaches(glob: str, environment: str) -> bool:
    """Return whether a glob of addresses may match one of an environment; in doubt it may."""
    name, slash, _ = glob.partition("/")
    if slash and "[" not in name:
        return fnmatchcase(environment, name)
    literal = glob[: min((glob.find(sign) for sign in "*?[" if sign in glob), default=len(glob))]
    return f"{environment}/".startswith(literal) or literal.startswith(f"{environment}/")


# The plans of accounts, and what became of them, put together.


def whole(accounts: Iterable[AccountPlan], findings: Iterable[Finding] = ()) -> Plan:
    """Put account plans together, of one or of many, in the order of every plan; `findings` are about the whole.

    What every one of many accounts has to say alike is said once.
    """
    plans = tuple(sorted(accounts, key=lambda each: each.account or ""))
    return Plan(plans, in_order([*_said_once(plans), *findings]))


def replaced(plan: Plan, current: Collection[AccountPlan]) -> Plan:
    """Put the plans that some accounts have by now in the place of their earlier ones; the others stay as they are."""
    if not current:
        return plan
    of_parts = {*whole(plan.accounts).findings}
    accounts = {each.account: each for each in (*plan.accounts, *current)}
    return whole(accounts.values(), (each for each in plan.findings if each not in of_parts))


def merge_results(results: Mapping[str, ApplyResult], unreached: Mapping[str, str]) -> ApplyResult:
    """Put together what became of accounts, by variable; `unreached` says of some why they were left as they are."""
    parts = [results[variable] for variable in sorted(results)]
    outcomes = sorted((outcome for part in parts for outcome in part.outcomes), key=lambda each: order_of(each.action))
    remaining = [part.remaining for part in parts if part.remaining is not None]
    notes = {variable: part.note for variable, part in results.items() if part.note} | dict(unreached)
    complete = len(remaining) == len(parts) and not unreached
    return ApplyResult(
        tuple(outcomes),
        interrupted=any(part.interrupted for part in parts),
        remaining=whole(each for plan in remaining for each in plan.accounts) if complete else None,
        note=next(iter(notes.values()), None) if len(results) == 1 and not unreached else _noted(notes),
        unreached=tuple(sorted(unreached)),
    )


def _noted(notes: Mapping[str, str]) -> str | None:
    return "; ".join(f"{variable}: {' '.join(notes[variable].split())}" for variable in sorted(notes)) or None


def _said_once(plans: Collection[AccountPlan]) -> Iterable[Finding]:
    """Yield all findings; those that are the same for every one of many accounts are not about one of them."""
    counts = Counter(replace(finding, account=None) for plan in plans for finding in {*plan.findings})
    for plan in plans:
        for finding in plan.findings:
            general = replace(finding, account=None)
            yield general if len(plans) == counts[general] > 1 else finding
