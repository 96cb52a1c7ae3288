"""Reads accounts at the same time and plans each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.engine.accounts import Wanted, clock_warnings, in_a_line, none_read, read_account, read_all
from reconciler.errors import AccountError, ReconcilerError, UsageError
from reconciler.model import Address
from reconciler.planning.accounts import same_account, unread_account, whole
from reconciler.planning.actions import Create, Delete, PlanInputs, matcher, windows
from reconciler.planning.base_review import snapshot_of
from reconciler.planning.names import Naming
from reconciler.planning.planner import make_plan
from reconciler.units import listed, near

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from reconciler.account.client import Account
    from reconciler.engine.accounts import PlanRequest
    from reconciler.model import Declaration, Snapshot
    from reconciler.planning.actions import AccountPlan, Finding, Plan


# Plans of accounts, made of what was read and nothing else.


def plan_account(request: PlanRequest, variable: str, snapshot: Snapshot, inputs: PlanInputs) -> AccountPlan:
    """Plan one account, from what was read of it."""
    part = request.part(variable)
    elsewhere = frozenset(request.declaration.environments.keys() - part.environments.keys())
    inputs = replace(inputs, elsewhere=elsewhere, account=request.label(variable))
    return make_plan(part, snapshot, request.options, inputs)


def refuse_empty_globs(request: PlanRequest, snapshots: Iterable[Snapshot]) -> None:
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


_ANY_KEY: Final = "\0"
"""What `*` and `?` match, and nothing that somebody types does."""


def _refuse_empty(flag: str, globs: Sequence[str], names: Sequence[str]) -> None:
    for glob in globs:
        # What ends with a slash stands for whatever key an environment may have.
        if not any(map(matcher([glob]), (f"{name}{_ANY_KEY}" if name.endswith("/") else name for name in names))):
            known = {f"{name}*" if name.endswith("/") else name for name in names}
            msg = f"{flag} {glob} matches no key that is declared or live{near(glob, known)}"
            raise UsageError(msg)


def whole_plan(request: PlanRequest, accounts: Mapping[str, AccountPlan], findings: Iterable[Finding] = ()) -> Plan:
    """Put the plans of accounts together, and add what a change leaves in those that its environments moved out of."""
    moved: Iterable[Finding] = ()
    if request.base is not None:
        from reconciler.planning.base_review import left_behind

        moved = left_behind(request.declaration, request.base, accounts, request.options)
    return whole(accounts.values(), (*findings, *moved))


def spare_other_accounts(request: PlanRequest, variable: str, shown: AccountPlan, plan: AccountPlan) -> None:
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


# What plans are made from, read from each account all at once, and from all accounts at the same time.


@dataclass(frozen=True, slots=True)
class Reading:
    """The plan of one account, and what it was made from; `skew` is the service's time minus this machine's.

    `gone` are ids that activity names and that were asked for one by one: they belong to no key any more.
    """

    plan: AccountPlan
    inputs: PlanInputs
    snapshot: Snapshot
    skew: timedelta
    gone: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Readings:
    """The plan of all accounts that a run is about, those that were read, and why the others were not."""

    plan: Plan
    accounts: Mapping[str, Reading]
    unread: Mapping[str, ReconcilerError]

    @property
    def errors(self) -> tuple[str, ...]:
        """Which accounts could not be read, and why."""
        return tuple(f"{variable}: {in_a_line(error)}" for variable, error in self.unread.items())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know about the reading itself."""
        return clock_warnings(reading.skew for reading in self.accounts.values())


async def read_plan(request: PlanRequest, *, sweeps: bool = False) -> Readings:
    """Connect, read each account once and plan; an account that cannot be read is a finding beside the others.

    With `sweeps`, what dead runs have left of their locks goes where there is nothing else to do. Raises what keeps
    the only account, or all of them, from being read, and UsageError for an option that matches nothing.
    """

    async def read(variable: str, account: Account) -> Reading:
        return await _read_one(request, variable, account, sweeps=sweeps)

    answers = await read_all(request.variables(), read, request.simulator, credentials=request.credentials)
    accounts = {variable: answer for variable, answer in answers.items() if isinstance(answer, Reading)}
    unread = {variable: answer for variable, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if not accounts:
        raise none_read(unread)
    if not unread:  # what is not known may be what was meant
        refuse_empty_globs(request, [reading.snapshot for reading in accounts.values()])
    findings = [unread_account(request.declaration, variable, in_a_line(error)) for variable, error in unread.items()]
    findings += same_account(request.declaration, {variable: each.snapshot for variable, each in accounts.items()})
    plan = whole_plan(request, {variable: reading.plan for variable, reading in accounts.items()}, findings)
    return Readings(plan, accounts, unread)


async def read_inputs(
    variable: str, account: Account, declaration: Declaration, base: Declaration | None = None
) -> tuple[Snapshot, PlanInputs]:
    """Read what a plan of an account is made from; without the keys there is no plan, the rest is reported."""
    wanted = Wanted(windows(declaration, base), declaration=declaration, periods=True)
    reading = await read_account(variable, account, wanted, account.activity)
    assert reading.snapshot is not None  # noqa: S101  # the keys are wanted
    activity = tuple(reading.windows.values())
    inputs = PlanInputs(balance=reading.balance, activity=activity, base=base, unread=reading.unread)
    return reading.snapshot, inputs


async def _read_one(request: PlanRequest, variable: str, account: Account, *, sweeps: bool) -> Reading:
    snapshot, inputs = await read_inputs(variable, account, request.part(variable), request.base_part(variable))
    plan = plan_account(request, variable, snapshot, inputs)
    gone = await account.refuse_partial(snapshot, doubtful(plan, inputs))
    if sweeps and not plan.actions and not plan.errors:
        from reconciler.account.lock import sweep

        await sweep(account, snapshot)
    return Reading(plan, inputs, snapshot, account.clock_skew, gone)


async def read_plan_and_ask(
    request: PlanRequest, *, preflight: bool = False, destinations: bool = False, sweeps: bool = False
) -> Readings:
    """Plan against the accounts as `read_plan` does, and ask the destinations.

    With `preflight`, whether they would take the secrets of the plan; with `destinations`, whether they hold those of
    the live keys. What they say against it are findings.
    """
    readings = await read_plan(request, sweeps=sweeps)
    if not (preflight or destinations):
        return readings
    from contextlib import aclosing

    from reconciler.destinations.registry import Registry
    from reconciler.execution.executor import allowances, ask_destinations, obstacles
    from reconciler.planning.deliveries import due_deliveries, undelivered
    from reconciler.planning.planner import with_findings

    accounts = readings.accounts.items() if destinations else ()
    due = [each for name, one in accounts for each in due_deliveries(request.part(name), one.snapshot, one.plan)]
    # Of an exec destination, the program is looked for and not run: only a delivery would do that.
    async with aclosing(Registry(allow_exec=True)) as registry:
        issues = readings.plan.actions if preflight else ()
        findings = await obstacles(issues, registry) + allowances(issues)
        findings += undelivered(due, await ask_destinations(due, registry))
    return replace(readings, plan=with_findings(readings.plan, findings))


def doubtful(plan: AccountPlan, inputs: PlanInputs) -> frozenset[int]:
    """Return the ids of the keys that a list must not lack, or what is there would be created once more."""
    return used(inputs) if any(isinstance(action, Create) for action in plan.actions) else frozenset()


def used(inputs: PlanInputs) -> frozenset[int]:
    """Return the ids of all keys that activity names."""
    return frozenset(key_id for activity in inputs.activity for key_id in activity.by_key)


# Plans without asking anybody: the base file stands for the accounts.


def plan_offline(request: PlanRequest) -> Plan:
    """Plan against the base, which the request must have; raises UsageError for an option that matches nothing."""
    now = datetime.now(UTC)

    def plan(variable: str) -> AccountPlan:
        base = request.base_part(variable)
        assert base is not None  # noqa: S101  # whoever asks for an offline plan has seen to it
        return plan_account(request, variable, snapshot_of(base, now, variable), PlanInputs(base=base, offline=True))

    refuse_empty_globs(request, ())
    return whole_plan(request, {variable: plan(variable) for variable in request.variables()})
