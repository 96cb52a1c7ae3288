"""What accounts hold and what it was used for: the inventory of keys, one key in detail, the balance, the activity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from reconciler.engine.accounts import (
    Wanted,
    clock_warnings,
    none_read,
    read_account,
    read_all,
    refuse_same_credential,
)
from reconciler.errors import AccountError, ReconcilerError, UsageError
from reconciler.insight.activity import account_activity, activity_report, half
from reconciler.insight.balance import Balance, BalanceReport, limits, runways
from reconciler.insight.breakdown import OWNED, Grouping
from reconciler.insight.history import gaps, use_of
from reconciler.insight.inventory import (
    WINDOWS,
    Inventory,
    KeyDetail,
    detail_of,
    identified,
    key_activity,
    matching,
    take_inventory,
)
from reconciler.model import KEY_VARIABLE, LONGEST_DAYS, account_variables, part_of
from reconciler.planning.actions import PlanInputs, windows
from reconciler.planning.planner import make_plan
from reconciler.units import dollars, near

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import date
    from decimal import Decimal
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.engine.accounts import AccountReading
    from reconciler.insight.activity import ActivityReport, Question
    from reconciler.insight.balance import Runway
    from reconciler.insight.history import History, Span
    from reconciler.insight.inventory import InventoryKey
    from reconciler.model import Declaration, Snapshot, Statistics

T = TypeVar("T")

REQUESTS_AT_A_TIME = 8
"""How many requests to one account run at a time."""


# Which accounts are looked at, and what a look at one of them finds.


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts to look at: those of the environments that are named, else all that the declaration names.

    Without a declaration it is the one account of NAGA_PROVISIONING_KEY. With `simulator`, accounts are simulated and
    kept there. `credentials` are what the variables hold, in place of the environment. `folder` is that of the history
    that `record` keeps, `asked` the first and the last of its days that are meant, None as far as it reaches.
    """

    declaration: Declaration | None = None
    environments: tuple[str, ...] = ()
    simulator: Path | None = None
    credentials: Mapping[str, str] | None = None
    folder: Path | None = None
    asked: tuple[date | None, date | None] = (None, None)

    def variables(self, *, named: bool = True) -> tuple[str, ...]:
        """Return the variables of the accounts, in order.

        Raises UsageError for an environment that is not declared, and where some are `named` without a declaration.
        """
        if self.declaration is None:
            if named and self.environments:
                msg = "-e needs a keys.yaml, which declares the environments; give one with -f"
                raise UsageError(msg)
            return (KEY_VARIABLE,)
        known = self.declaration.environments
        for name in self.environments:
            if name not in known:
                msg = f"environment {name} is not declared{near(name, known)}"
                raise UsageError(msg)
        return account_variables(self.declaration, self.environments)

    def part(self, variable: str) -> Declaration | None:
        """Return what is declared for one account."""
        return None if self.declaration is None else part_of(self.declaration, variable)

    async def ask(
        self, variables: Iterable[str], read: Callable[[str, Account], Awaitable[T]]
    ) -> dict[str, T | ReconcilerError]:
        """Have `read` ask these accounts at the same time; see `read_all`."""
        return await read_all(
            variables, read, self.simulator, parallelism=REQUESTS_AT_A_TIME, credentials=self.credentials
        )


def named(variable: str, text: str, variables: Collection[object]) -> str:
    """Return whose complaint it is, where there are several accounts."""
    return f"account of {variable}: {text}" if len(variables) > 1 else text


async def read_statistics(variable: str, account: Account, wanted: Wanted) -> AccountReading[Statistics]:
    """Read an account with all that it tells of its activity; use without an id gets that of the key of its name."""
    reading = await read_account(variable, account, wanted, account.statistics)
    snapshot = reading.snapshot
    if snapshot is None:
        return reading
    return replace(reading, windows={days: identified(each, snapshot) for days, each in reading.windows.items()})


# The keys, with what they were used for and what is declared of them.


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """The keys of one account, and what a plan of it is made from; `declared` is what the file says of the account."""

    reading: AccountReading[Statistics]
    snapshot: Snapshot
    inputs: PlanInputs
    declared: Declaration | None
    keys: tuple[InventoryKey, ...]


def wanted_of_keys(declared: Declaration | None, days: int = LONGEST_DAYS) -> Wanted:
    """Return what the inventory of an account, and a plan, want to know of it."""
    then = {*WINDOWS, days, *(() if declared is None else windows(declared))}
    return Wanted(then=then, declaration=declared, periods=True, keys=False)


def keys_of(
    reading: AccountReading[Statistics], declared: Declaration | None, *, days: int = LONGEST_DAYS
) -> AccountKeys:
    """Take the inventory of an account that was read; raises AccountError when its keys could not be."""
    if reading.snapshot is None:
        raise AccountError(reading.unread[0])
    activities = [activity for each in reading.windows.values() if (activity := key_activity(each))]
    silent = sorted(reading.windows.keys() - {each.days for each in activities})
    untold = [f"the activity of {each} days does not tell what single keys were used for" for each in silent]
    inputs = PlanInputs(balance=reading.balance, activity=tuple(activities), unread=(*reading.unread, *untold))
    keys = take_inventory(reading.variable, reading.snapshot, activities, declared, days=days)
    return AccountKeys(reading, reading.snapshot, inputs, declared, keys)


async def list_keys(scope: Scope, *, days: int = LONGEST_DAYS) -> Inventory:
    """Read the keys of the accounts, with what they spent in the last days; see `reconciler.list_keys`.

    With a history, it is what is recorded of the days that are asked for.
    """
    from reconciler.engine.recording import read_period  # which itself reads accounts as this module does

    recorded = None if scope.folder is None else read_period(scope.folder, *scope.asked, models=False)

    async def read(variable: str, account: Account) -> AccountKeys:
        declared = scope.part(variable)
        return keys_of(await read_statistics(variable, account, wanted_of_keys(declared, days)), declared, days=days)

    answers = await scope.ask(scope.variables(named=False), read)
    accounts, errors = _told_apart(answers)
    keys = tuple(key for account in accounts for key in account.keys)
    warnings = _warnings(accounts, answers)
    period = None
    if recorded is not None:
        keys, period, told = _with_recorded(*recorded, keys)
        days, warnings = (period.until - period.since).days + 1, (*warnings, *told)
    mine = {*scope.environments}
    return Inventory(
        tuple(key for key in keys if not mine or (key.address is not None and key.address.environment in mine)),
        days,
        declared=scope.declaration is not None,
        errors=errors,
        warnings=warnings,
        period=period,
    )


def _with_recorded(
    history: History, period: Span, keys: tuple[InventoryKey, ...]
) -> tuple[tuple[InventoryKey, ...], Span, tuple[str, ...]]:
    """Put what is recorded in place of what the service tells of the use of keys, and say what is not in it."""
    found, others = use_of(history, period, keys)
    accounts = sorted({key.account for key in keys} & {*history.spans})
    warnings = [
        named(account, f"{first} to {last} is not recorded", accounts)
        for account in accounts
        for first, last in gaps(history, account, period)
    ]
    missing = sorted({key.account for key in keys} - {*history.spans})
    warnings += [f"the account of {account} is not recorded" for account in missing]
    if others:
        warnings.append(f"{dollars(others)} of these days belong to none of these keys; activity --from tells whose")
    used = zip(keys, found, strict=True)
    return tuple(replace(key, usage=usage) for key, usage in used), period, tuple(warnings)


def _told_apart(answers: Mapping[str, T | ReconcilerError]) -> tuple[list[T], tuple[str, ...]]:
    """Return what was read, and which accounts are left out and why; raises where none could be read."""
    read = [answer for answer in answers.values() if not isinstance(answer, ReconcilerError)]
    failed = {variable: answer for variable, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if failed and not read:
        raise none_read(failed)
    return read, tuple(f"the account of {variable} is left out: {error}" for variable, error in failed.items())


def _warnings(accounts: Iterable[AccountKeys], variables: Collection[object]) -> tuple[str, ...]:
    accounts = [*accounts]
    unread = [named(each.reading.variable, text, variables) for each in accounts for text in each.inputs.unread]
    return (*clock_warnings(each.reading.skew for each in accounts), *unread)


# One key with all that is known of it.


@dataclass(frozen=True, slots=True)
class _Find:
    """What an account has under a name: details of the keys that it means, and the names that there are."""

    details: tuple[KeyDetail, ...]
    names: tuple[str, ...]
    account: AccountKeys


async def show_key(scope: Scope, text: str) -> KeyDetail:
    """Look for a key in the account of its address, and where it is not live there, in all others at the same time.

    One that is the only match in its account is read once more by its id. See `reconciler.show`.
    """

    async def look(variable: str, account: Account) -> _Find:
        declared = scope.part(variable)
        reading = await read_statistics(variable, account, wanted_of_keys(declared))
        inventory = keys_of(reading, declared)
        found = matching(inventory.keys, text)
        if len(found) == 1 and found[0].live is not None:
            fresh = await account.get_key(found[0].live.id)
            kept = (fresh if each.id == found[0].live.id else each for each in inventory.snapshot.keys)
            snapshot = replace(inventory.snapshot, keys=tuple(each for each in kept if each is not None))
            inventory = keys_of(replace(reading, snapshot=snapshot), declared)
            found = matching(inventory.keys, text)
        return _Find(_details(found, inventory), _names(inventory.keys), inventory)

    everywhere = scope.variables(named=False)
    if scope.simulator is None:
        refuse_same_credential(everywhere, scope.credentials)
    home = [variable for variable in everywhere if variable == _account_of(text, scope.declaration)]
    answers = await scope.ask(home, look)
    if not any(map(_settles, answers.values())):
        answers |= await scope.ask([variable for variable in everywhere if variable not in answers], look)
    finds, errors = _told_apart({variable: answers[variable] for variable in everywhere if variable in answers})
    detail = _the_one(text, finds, errors)
    return replace(detail, errors=errors, warnings=_warnings((each.account for each in finds), answers))


def _account_of(text: str, declaration: Declaration | None) -> str | None:
    """Name the account that an address is of; None for what is no address of a declared environment."""
    environment, slash, _ = text.partition("/")
    found = declaration.environments.get(environment) if declaration is not None and slash else None
    return None if found is None else found.provisioning_key_env


def _settles(answer: _Find | ReconcilerError) -> bool:
    """Return whether the account of an address leaves nothing to ask the others for."""
    return not isinstance(answer, _Find) or any(each.key.live is not None for each in answer.details)


def _details(found: Iterable[InventoryKey], inventory: AccountKeys) -> tuple[KeyDetail, ...]:
    """Put together what there is to say of these keys, the plan of their account included."""
    plan = None
    if inventory.declared is not None:
        plan = make_plan(inventory.declared, inventory.snapshot, inputs=inventory.inputs)
    return tuple(detail_of(each, inventory.keys, plan) for each in found)


def _the_one(text: str, finds: Sequence[_Find], errors: Sequence[str]) -> KeyDetail:
    """Return the key that is meant; raises UsageError for none and for several, which are named by their ids.

    Where `errors` say that accounts are left out, there may be one in these, and AccountError says so.
    """
    details = [detail for each in finds for detail in each.details]
    if not details and errors:
        msg = f"there is no key {text} in the accounts that were read; it may be in one that is left out"
        raise AccountError("\n".join((msg, *errors)))
    if not details:
        names = {name for each in finds for name in each.names}
        msg = f"there is no key {text}, neither an address nor an id nor a live name{near(text, names)}"
        raise UsageError(msg)
    if len(details) > 1:
        apart = len({each.key.account for each in details}) > 1
        ids = ", ".join(_which(each.key, apart=apart) for each in details)
        way_out = "choose an account with -e ENV, or show one by its id" if apart else "show one by its id"
        msg = f"{text} means {len(details)} keys: {ids}; {way_out}"
        raise UsageError(msg)
    return details[0]


def _which(key: InventoryKey, *, apart: bool) -> str:
    which = "missing" if key.live is None else f"id {key.live.id}"
    return f"{which} in the account of {key.account}" if apart else which


def _names(keys: Iterable[InventoryKey]) -> tuple[str, ...]:
    """Return all that a key can be called by."""
    live = [key.live for key in keys if key.live is not None]
    return (*(key.name for key in keys), *(each.name for each in live), *(str(each.id) for each in live))


# The balance.


async def read_balance(scope: Scope, minimum: Decimal | None = None) -> BalanceReport:
    """Read what is left on each account, how long it lasts, and what it is promised to; see `reconciler.balance`."""

    async def read(variable: str, account: Account) -> AccountReading[Statistics]:
        return await read_statistics(variable, account, Wanted(keys=False))

    answers = await scope.ask(scope.variables(), read)
    failed = {variable: answer for variable, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if failed and len(answers) == 1:
        raise none_read(failed)
    errors = [named(variable, str(error), answers) for variable, error in failed.items()]
    readings = [answer for answer in answers.values() if not isinstance(answer, ReconcilerError)]
    warnings = [*clock_warnings(each.skew for each in readings)]
    for each in readings:
        for text in each.unread:
            is_error = each.balance is None or text == each.partial
            (errors if is_error else warnings).append(named(each.variable, text, answers))
    accounts = tuple(_balance_of(scope, variable, answer) for variable, answer in answers.items())
    now = next((each.now for each in readings), datetime.now(UTC))
    return BalanceReport(now, accounts, minimum, tuple(errors), tuple(warnings))


def _balance_of(scope: Scope, variable: str, answer: AccountReading[Statistics] | ReconcilerError) -> Balance:
    if isinstance(answer, ReconcilerError):
        declared = scope.part(variable)
        return Balance(variable, () if declared is None else tuple(declared.environments), None, unread=(str(answer),))
    return balance_of(answer, scope.part(variable))


def balance_of(reading: AccountReading[Statistics], declared: Declaration | None) -> Balance:
    """Return what the balance of an account means that was read."""
    statistics, snapshot = reading.windows.get(LONGEST_DAYS), reading.snapshot
    lasting: tuple[Runway, ...] = ()
    if reading.balance is not None and statistics is not None:
        lasting = runways(reading.balance, statistics, snapshot.keys if snapshot else (), reading.now)
    return Balance(
        variable=reading.variable,
        environments=() if declared is None else tuple(declared.environments),
        amount=reading.balance,
        runways=lasting,
        limits=None if snapshot is None else limits(snapshot, statistics),
        unread=reading.unread,
        partial=reading.partial is not None,
    )


# The activity.


async def read_activity(scope: Scope, question: Question) -> ActivityReport:
    """Read what the question needs, and answer it; see `reconciler.activity`."""
    _check_question(question, scope.declaration)
    needed = {*range(1, question.days + 1)} if question.daily else {question.days}
    wanted = Wanted([question.days], (needed | {half(question.days)}) - {0}, balance=False, keys=False)

    async def read(variable: str, account: Account) -> AccountReading[Statistics]:
        return await read_statistics(variable, account, wanted)

    variables = scope.variables()
    answers = await scope.ask(variables, read)
    usable: list[AccountReading[Statistics]] = []
    errors: list[str] = []
    for variable, answer in answers.items():
        if isinstance(answer, ReconcilerError):
            errors.append(named(variable, str(answer), answers))
        elif answer.partial or not needed <= {*answer.windows} or (question.by in OWNED and not answer.snapshot):
            errors += [named(variable, text, answers) for text in answer.unread]
        else:
            usable.append(answer)
    if not usable:
        raise AccountError("\n".join(errors))
    unread = [named(each.variable, text, answers) for each in usable for text in each.unread]
    report = activity_report(
        question,
        max(each.now for each in usable).date(),
        [
            account_activity(question, each.variable, each.windows, each.snapshot, each.now, scope.part(each.variable))
            for each in usable
        ],
        declared=scope.declaration is not None,
        unread=(*errors, *unread),
    )
    warnings = (*clock_warnings(each.skew for each in usable), *unread)
    return replace(report, errors=tuple(errors), warnings=warnings)


def _check_question(question: Question, declaration: Declaration | None) -> None:
    if question.by is Grouping.TEAM and declaration is None:
        msg = "--by team needs a keys.yaml, which names the teams; give one with -f, or use --by key"
        raise UsageError(msg)
    if question.environments and declaration is None:
        msg = "-e needs a keys.yaml, which declares the environments; give one with -f, or use --by environment"
        raise UsageError(msg)
    if question.environments and question.by not in OWNED:
        msg = f"-e does not go with --by {question.by}, which the service tells for the whole account; use --by key"
        raise UsageError(msg)
    if question.daily and question.by is Grouping.DAY:
        msg = "--daily does not go with --by day, which shows the days already"
        raise UsageError(msg)
