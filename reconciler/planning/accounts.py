"""The accounts of a declaration, and their plans and results merged into one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from reconciler.diagnostic import Severity
from reconciler.model import KEY_VARIABLE
from reconciler.planning.actions import AS_THE_FILE_SAYS, ApplyResult, Credit, Finding, Options, Plan
from reconciler.planning.planner import in_order, order_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from reconciler.model import Declaration, Environment, Snapshot


UNREAD = "account-unread"
"""The rule of the finding that stands for an account that is not planned: what is planned is not all then."""


def account_variables(declaration: Declaration, environments: Collection[str] = ()) -> tuple[str, ...]:
    """Name the variables with the provisioning keys of these environments' accounts, of all for none, in order.

    A declaration without an environment is about the account that stands for itself.
    """
    return _variables(
        environment
        for name, environment in declaration.environments.items()
        if not environments or name in environments
    )


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
    return _variables(environments.values())


def part_of(declaration: Declaration, variable: str) -> Declaration:
    """Give what is declared for one account: its environments and their keys, and the rules, which hold for each."""
    if account_variables(declaration) == (variable,):
        return declaration
    return _only(declaration, {n: e for n, e in declaration.environments.items() if e.provisioning_key_env == variable})


def base_of(base: Declaration, declaration: Declaration, variable: str) -> Declaration:
    """Give the part of the base that is held against an account's part of a declaration.

    What the base says of an environment follows it into another account, and goes on to hold for the keys that stay
    behind in its own, so that no protection is lost by naming another variable.
    """
    now = declaration.environments
    environments = {
        name: before
        for name, before in base.environments.items()
        if variable in (before.provisioning_key_env, now.get(name, before).provisioning_key_env)
    }
    return base if len(environments) == len(base.environments) else _only(base, environments)


def unread(declaration: Declaration, variable: str, reason: str) -> Finding:
    """Say that an account could not be read, so that its environments are not planned."""
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


def _variables(environments: Iterator[Environment] | Collection[Environment]) -> tuple[str, ...]:
    return tuple(sorted({environment.provisioning_key_env for environment in environments})) or (KEY_VARIABLE,)


def _only(declaration: Declaration, environments: dict[str, Environment]) -> Declaration:
    keys = tuple(key for key in declaration.keys if key.address.environment in environments)
    leases = tuple(lease for lease in declaration.leases if lease.address.environment in environments)
    return replace(declaration, environments=environments, keys=keys, leases=leases)


def _reaches(glob: str, environment: str) -> bool:
    """Tell whether a glob of addresses may match one of an environment; in doubt it may."""
    name, slash, _ = glob.partition("/")
    if slash and "[" not in name:
        return fnmatchcase(environment, name)
    literal = glob[: min((glob.find(sign) for sign in "*?[" if sign in glob), default=len(glob))]
    return f"{environment}/".startswith(literal) or literal.startswith(f"{environment}/")


# The plans of several accounts, and what became of them, shown as one.


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
        leased=tuple(key for plan in plans for key in plan.leased),
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
