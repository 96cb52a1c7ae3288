"""Reads accounts at the same time and plans each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.engine.accounts import Patience, Slot, open_account, refuse_same_credential
from reconciler.errors import AccountError, ReconcilerError, UsageError
from reconciler.model import Address
from reconciler.planning.actions import Create, Delete, PlanInputs, matcher, windows
from reconciler.planning.base_review import snapshot_of
from reconciler.planning.budgets import windows_of
from reconciler.planning.matching import match
from reconciler.planning.names import Naming
from reconciler.planning.phrases import listed, near
from reconciler.planning.planner import make_plan

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.engine.accounts import PlanRequest
    from reconciler.model import Activity, Declaration, Snapshot
    from reconciler.planning.actions import Plan


# Plans of accounts, made of what was read and nothing else.


def plan_account(request: PlanRequest, variable: str, snapshot: Snapshot, inputs: PlanInputs) -> Plan:
    """Plan one account; where there are several, its actions and findings say whose they are."""
    part = request.part(variable)
    inputs = replace(inputs, elsewhere=frozenset(request.declaration.environments.keys() - part.environments.keys()))
    plan = make_plan(part, snapshot, request.options, inputs)
    if not request.several:
        return plan
    from reconciler.planning.accounts import of_account

    return of_account(plan, variable)


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


def _refuse_empty(flag: str, globs: Sequence[str], names: Sequence[str]) -> None:
    for glob in globs:
        if not any(map(matcher([glob]), names)):
            known = {f"{name}*" if name.endswith("/") else name for name in names}
            msg = f"{flag} {glob} matches no key that is declared or live{near(glob, known)}"
            raise UsageError(msg)


def with_moves(request: PlanRequest, plan: Plan) -> Plan:
    """Add what a change leaves in accounts that its environments are no longer in."""
    if request.base is None:
        return plan
    from reconciler.planning.base_review import left_behind
    from reconciler.planning.planner import with_findings

    parts = plan.parts or dict.fromkeys(request.variables(), plan)
    return with_findings(plan, left_behind(request.declaration, request.base, parts, request.options))


def spare_other_accounts(request: PlanRequest, variable: str, shown: Plan, plan: Plan) -> None:
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

AT_A_TIME: Final = 32
"""How many accounts are open at once: each has its own connections."""

CONNECTIONS: Final = 512
"""How many requests may be under way in all accounts together."""

LATE: Final = 5.0
"""After how many seconds one that is still being read makes room for another: many that are down must not queue."""

AMONG_SEVERAL: Final = Patience()
"""How long one of several accounts is asked: it is not to hold up the others."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """The plan of one account, and what it was made from; `skew` is the service's time minus this machine's.

    `gone` are ids that activity names and that were asked for one by one: they belong to no key any more.
    """

    plan: Plan
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


async def read_all(
    variables: Iterable[str],
    read: Callable[[str, Account], Awaitable[T]],
    simulator: Path | None = None,
    *,
    parallelism: int = 4,
    credentials: Mapping[str, str] | None = None,
) -> dict[str, T | ReconcilerError]:
    """Have `read` ask each of these accounts, at the same time; gives the answers by variable, in the order given.

    `read` gets the variable and the open account, which takes `parallelism` requests at a time. Where an account has
    no credential (UsageError) or does not answer (AccountError), that error is its answer, and the others go on. One of
    several is given up sooner than one that stands alone.
    `credentials` are what the variables hold, in place of the environment. Raises UsageError when two hold the same.
    """
    import asyncio

    slots = asyncio.Semaphore(AT_A_TIME)
    room = asyncio.Semaphore(max(AT_A_TIME, CONNECTIONS // parallelism))
    names = list(variables)
    several = len(names) > 1
    if several and simulator is None:
        refuse_same_credential(names, credentials)

    async def one(variable: str) -> T | ReconcilerError:
        try:
            async with (
                room,
                _turn(slots),
                open_account(
                    simulator,
                    parallelism=parallelism,
                    variable=variable,
                    credentials=credentials,
                    patience=AMONG_SEVERAL if several else None,
                    label=f"{variable}: " if several else "",
                ) as account,
            ):
                return await read(variable, account)
        except ReconcilerError as error:
            return error

    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


@asynccontextmanager
async def _turn(slots: asyncio.Semaphore) -> AsyncIterator[None]:
    """Take a slot, and give it back at the end or when it is late, whichever comes first."""
    import asyncio

    slot = Slot(slots)
    await slot.take()
    late = asyncio.get_running_loop().call_later(LATE, slot.give_back)
    try:
        yield
    finally:
        late.cancel()
        slot.give_back()


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
        raise _none_read(unread)
    if not unread:  # what is not known may be what was meant
        refuse_empty_globs(request, [reading.snapshot for reading in accounts.values()])
    if not request.several:
        (reading,) = accounts.values()
        return Readings(with_moves(request, reading.plan), accounts, unread)
    return Readings(_merged(request, accounts, unread), accounts, unread)


async def read_account(
    declaration: Declaration, base: Declaration | None, account: Account
) -> tuple[Snapshot, PlanInputs]:
    """Read keys, balance and activity at the same time; without the keys there is no plan, the rest is reported."""
    import asyncio

    days = windows(declaration, base)
    rest = asyncio.gather(
        tried("the balance", account.balance),
        asyncio.gather(
            *(tried(f"the activity of {number} days", partial(account.activity, number)) for number in days)
        ),
    )
    try:
        snapshot = await account.list_keys()
        balance, activities = await rest
        periods = await _read_periods(declaration, snapshot, account, days)
    finally:
        # Without the keys, nobody waits for the rest, and no request may outlive the account that it is made to.
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
    unread = [answer for answer in (balance, *activities, *periods) if isinstance(answer, str)]
    return snapshot, PlanInputs(
        balance=None if isinstance(balance, str) else balance,
        activity=tuple(activity for activity in (*activities, *periods) if not isinstance(activity, str)),
        base=base,
        unread=tuple(unread),
    )


async def _read_periods(
    declaration: Declaration, snapshot: Snapshot, account: Account, known: Collection[int]
) -> list[Activity | str]:
    """Read the windows of activity that tell what budgets that renew have spent."""
    import asyncio

    if not any(key.renew for key in declaration.keys):
        return []
    wanted = windows_of(declaration, match(declaration, snapshot).live, snapshot.now) - {*known}
    reads = (tried(f"the activity of {days} days", partial(account.activity, days)) for days in sorted(wanted))
    return await asyncio.gather(*reads)


async def _read_one(request: PlanRequest, variable: str, account: Account, *, sweeps: bool) -> Reading:
    snapshot, inputs = await read_account(request.part(variable), request.base_part(variable), account)
    plan = plan_account(request, variable, snapshot, inputs)
    gone = await account.refuse_partial(snapshot, doubtful(plan, inputs))
    if sweeps and not plan.actions and not plan.errors:
        from reconciler.account.lock import sweep

        await sweep(account, snapshot)
    return Reading(plan, inputs, snapshot, account.clock_skew, gone)


def doubtful(plan: Plan, inputs: PlanInputs) -> frozenset[int]:
    """Give the ids of the keys that a list must not lack, or what is there would be created once more."""
    return used(inputs) if any(isinstance(action, Create) for action in plan.actions) else frozenset()


def used(inputs: PlanInputs) -> frozenset[int]:
    """Give the ids of all keys that activity names."""
    return frozenset(key_id for activity in inputs.activity for key_id in activity.by_key)


def _merged(request: PlanRequest, accounts: Mapping[str, Reading], unread: Mapping[str, ReconcilerError]) -> Plan:
    from reconciler.planning import accounts as of
    from reconciler.planning.accounts import merge

    parts = {variable: reading.plan for variable, reading in accounts.items()}
    findings = [of.unread(request.declaration, variable, in_a_line(error)) for variable, error in unread.items()]
    snapshots = {variable: reading.snapshot for variable, reading in accounts.items()}
    findings += of.same_account(request.declaration, snapshots)
    return with_moves(request, merge(parts, findings))


def _none_read(unread: Mapping[str, ReconcilerError]) -> ReconcilerError:
    if len(unread) == 1:
        return next(iter(unread.values()))
    return AccountError("\n".join(f"{variable}: {in_a_line(error)}" for variable, error in unread.items()))


def in_a_line(error: Exception) -> str:
    """Put an error of an account into one line; of a foreign one the type only, since its words may hold a secret."""
    return " ".join(str(error).split()) if isinstance(error, ReconcilerError) else f"unexpected {type(error).__name__}"


async def tried(what: str, read: Callable[[], Awaitable[T]]) -> T | str:
    """Give what is read, or say in a line why it could not be."""
    # Called in here, so that a run that ends before this starts leaves nothing behind that was never awaited.
    try:
        return await read()
    except AccountError as error:
        return f"{what} could not be read: {error}"


# Plans without asking anybody: the base file stands for the accounts.


def plan_offline(request: PlanRequest) -> Plan:
    """Plan against the base, which the request must have; raises UsageError for an option that matches nothing."""
    now = datetime.now(UTC)

    def plan(variable: str) -> Plan:
        base = request.base_part(variable)
        assert base is not None  # noqa: S101  # whoever asks for an offline plan has seen to it
        return plan_account(request, variable, snapshot_of(base, now, variable), PlanInputs(base=base, offline=True))

    refuse_empty_globs(request, ())

    parts = {variable: plan(variable) for variable in request.variables()}
    if not request.several:
        return with_moves(request, next(iter(parts.values())))
    from reconciler.planning.accounts import merge

    return with_moves(request, merge(parts))
