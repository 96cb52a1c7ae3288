"""Judges accounts by the alerts of a file, and gathers what reports and metrics show of them."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.engine.accounts import clock_warnings, none_read
from reconciler.engine.inspect import balance_of, keys_of, named, read_statistics, wanted_of_keys
from reconciler.engine.recording import read_period, recent_history, refuse_another
from reconciler.errors import AccountError, ReconcilerError
from reconciler.execution.executor import ask_destinations
from reconciler.insight.alerts import Evidence, Standing, Unread, Verdict, judge, standard_alerts, unjudged
from reconciler.insight.balance import runways
from reconciler.insight.breakdown import Grouping, Sorter, by_day, by_model, by_owner, with_days
from reconciler.insight.history import by_month
from reconciler.insight.inventory import Attribution, tells_of_keys
from reconciler.insight.report import AccountReport, Review, UnreadAccount
from reconciler.insight.trends import ceilings_of, forecasts, recorded_costs, told, told_costs
from reconciler.model import LONGEST_DAYS, Alerts, Rule, part_of
from reconciler.planning.accounts import whole
from reconciler.planning.actions import Options
from reconciler.planning.deliveries import due_deliveries, undelivered
from reconciler.planning.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.destinations.registry import Registry
    from reconciler.engine.accounts import AccountReading
    from reconciler.engine.inspect import AccountKeys, Scope
    from reconciler.insight.balance import Runway
    from reconciler.insight.history import History, Span
    from reconciler.insight.report import Account as Reviewed
    from reconciler.insight.trends import DailyCosts
    from reconciler.model import Declaration, SpendSpike, Statistics
    from reconciler.planning.actions import AccountPlan, Finding


MOST_MONTHS: Final = 12
"""How many months of a history a report shows where nothing else is asked for."""


# Gathers what the alerts of a file are judged by, from all of its accounts, and judges it.


def wanted_alerts(declaration: Declaration, *, check_destinations: bool) -> tuple[Alerts, bool]:
    """Return the alerts to judge by, and whether they are the usual ones because the file declares none."""
    standard = declaration.alerts == Alerts()
    alerts = standard_alerts(declaration.source) if standard else declaration.alerts
    if check_destinations and alerts.undelivered is None:
        alerts = replace(alerts, undelivered=Rule(value=True, source=declaration.source))
    return alerts, standard


async def check(scope: Scope, *, check_destinations: bool = False) -> Verdict:
    """Read the accounts at the same time, and judge each; see `reconciler.check`.

    One that cannot be read is not judged. The scope needs a declaration. The days of `spend_spike`, and how spending
    goes on, come from its history; without one, `spend_spike` has a window read for each of its days. Raises UsageError
    where no account has a usable credential, and for a folder that is no history or is one of another account.
    """
    declaration = scope.declaration
    assert declaration is not None  # noqa: S101  # alerts are of a declaration
    alerts, standard = wanted_alerts(declaration, check_destinations=check_destinations)
    recorded = None if scope.folder is None else (scope.folder, recent_history(scope.folder))
    async with AsyncExitStack() as stack:
        registry: Registry | None = None
        if alerts.undelivered is not None:
            from reconciler.destinations.registry import Registry

            # Of an exec destination, the program is looked for and not run: only a delivery would do that.
            registry = await stack.enter_async_context(aclosing(Registry(allow_exec=True)))

        async def read(variable: str, account: Account) -> tuple[AccountReading[Statistics], Verdict]:
            declared = part_of(declaration, variable)
            wanted = wanted_of_keys(declared)
            if recorded is None and alerts.spend_spike is not None:
                wanted = replace(wanted, then={*wanted.then, *_windows(alerts.spend_spike.value)})
            reading = await read_statistics(variable, account, wanted)
            if recorded is not None:
                refuse_another(recorded[1], recorded[0], reading)
            return reading, await _judged(reading, declared, alerts, registry, recorded)

        answers = await scope.ask(scope.variables(), read)
    failed = {variable: answer for variable, answer in answers.items() if isinstance(answer, ReconcilerError)}
    if len(failed) == len(answers):
        raise none_read(failed)
    verdict, skews = Verdict(), []
    for variable, answer in answers.items():
        if isinstance(answer, ReconcilerError):
            verdict += unjudged(alerts, variable, str(answer))
        else:
            reading, judged = answer
            skews.append(reading.skew)
            verdict += judged
    return replace(verdict, standard=standard, warnings=clock_warnings(skews))


async def _judged(
    reading: AccountReading[Statistics],
    part: Declaration,
    alerts: Alerts,
    registry: Registry | None,
    recorded: tuple[Path, History] | None,
) -> Verdict:
    try:
        keys = keys_of(reading, part)
    except AccountError as error:
        return judge(alerts, evidence_of(reading, Unread(str(error))))
    plan = make_plan(part, keys.snapshot, Options(by_age=False), keys.inputs)
    findings: tuple[Finding, ...] | None = None
    if registry is not None:
        due = due_deliveries(part, keys.snapshot, plan)
        findings = tuple(undelivered(due, await ask_destinations(due, registry)))
    costs = costs_of(keys, alerts, recorded)
    verdict = judge(alerts, evidence_of(reading, (keys, plan), findings, costs))
    return verdict if costs is None else with_forecasts(verdict, keys, costs)


def _windows(rule: SpendSpike) -> range:
    """Name the windows that tell the days of an alert apart: today, the day that is judged, and those before it."""
    return range(1, rule.over.days + 3)


def costs_of(keys: AccountKeys, alerts: Alerts, recorded: tuple[Path, History] | None) -> DailyCosts | Unread | None:
    """Return what is known of whole days, from what is recorded, else from the windows; None where nobody asked."""
    reading, today = keys.reading, keys.snapshot.now.date()
    if recorded is not None:
        folder, history = recorded
        known = reading.variable in history.spans
        reason = f"the account of {reading.variable} is not recorded in {folder}"
        return recorded_costs(history, reading.variable, today) if known else Unread(reason)
    if alerts.spend_spike is None:
        return None
    wanted = [*_windows(alerts.spend_spike.value)]
    if missing := {*wanted} - {*reading.windows}:
        return _unread(reading.unread, f"the activity of {min(missing)} days")
    windows = {days: reading.windows[days] for days in wanted}
    if not all(map(tells_of_keys, windows.values())):
        return Unread("the service does not tell what single keys were used for")
    return told_costs(reading.variable, windows, Attribution(keys.snapshot, keys.declared), today)


def with_forecasts(verdict: Verdict, keys: AccountKeys, costs: DailyCosts | Unread) -> Verdict:
    """Add how spending goes on, and what of that is worth a word."""
    if isinstance(costs, Unread) or keys.declared is None:
        return verdict
    today = keys.snapshot.now.date()
    ceilings = ceilings_of(keys.keys, keys.declared.environments, keys.reading.balance, today)
    found = forecasts(costs, today, ceilings)
    return replace(verdict, forecasts=found, remarks=(*verdict.remarks, *told(found)))


# What the alerts of a file are judged by, from what was read of an account.

_ACTIVITY: Final = f"the activity of {LONGEST_DAYS} days"


def evidence_of(
    reading: AccountReading[Statistics],
    known: tuple[AccountKeys, AccountPlan] | Unread,
    findings: tuple[Finding, ...] | None = None,
    costs: DailyCosts | Unread | None = None,
) -> Evidence:
    """Put together what was read; `known` are the keys and a plan that rotates none for its age, or why not.

    `findings` are what the destinations were found to lack, None where they were not asked. `costs` are those of whole
    days, None where nobody asked.
    """
    balance = _unread(reading.unread, "the balance") if reading.balance is None else reading.balance
    money = reading.variable, balance, _runway(reading)
    if isinstance(known, Unread):
        return Evidence(*money, known)
    keys, plan = known
    told = any(each.days == LONGEST_DAYS for each in keys.inputs.activity)
    spend = None if told else _unread(keys.inputs.unread, _ACTIVITY)
    evidence = Evidence(*money, Standing(keys.keys, plan), spend, findings)
    return evidence if costs is None else replace(evidence, costs=costs)


def _runway(reading: AccountReading[Statistics]) -> Runway | Unread:
    """Return how long the balance lasts at the pace of late, which is that of the last 7 days."""
    statistics = reading.windows.get(LONGEST_DAYS)
    if reading.balance is None:
        return _unread(reading.unread, "the balance")
    if reading.snapshot is None:
        return _unread(reading.unread, "the keys")
    if statistics is None:
        return _unread(reading.unread, _ACTIVITY)
    measured = runways(reading.balance, statistics, reading.snapshot.keys, reading.now)
    return measured[0] if measured else Unread("the service does not tell what was spent on which day")


def _unread(reasons: tuple[str, ...], what: str) -> Unread:
    return Unread(next((reason for reason in reasons if reason.startswith(what)), f"{what} could not be read"))


# Everything that is known of the accounts of a file, for those who show all of it: `report` and `metrics`.


async def review(scope: Scope, *, days: int = LONGEST_DAYS, daily: bool = False) -> Review:
    """Read the accounts at the same time, and see what the file makes of them; see `reconciler.report`.

    `days` is the window of all spend; with `daily`, one window more is read for each of them, which tells what each
    environment spent on which day. With a history, its months and how spending goes on are added.
    """
    recorded = None if scope.folder is None else (scope.folder, recent_history(scope.folder))
    past = None
    if scope.folder is not None:
        past = read_period(scope.folder, *scope.asked, models=False, most_months=MOST_MONTHS)

    async def read(variable: str, account: Account) -> tuple[AccountReading[Statistics], AccountReport]:
        declared = scope.part(variable)
        wanted = wanted_of_keys(declared, days)
        wanted = replace(wanted, then={*wanted.then, *(range(1, days + 1) if daily else ())})
        reading = await read_statistics(variable, account, wanted)
        if recorded is not None:
            refuse_another(recorded[1], recorded[0], reading)
        report = make_report(reading, declared, scope.environments, days, recorded)
        return reading, report if past is None else _with_months(report, scope.environments, *past)

    answers = await scope.ask(scope.variables(named=False), read)
    found: list[Reviewed] = []
    errors: list[str] = []
    warnings: list[str] = []
    skews = []
    for variable, answer in answers.items():
        if isinstance(answer, ReconcilerError):
            declared = scope.part(variable)
            found.append(UnreadAccount(variable, () if declared is None else tuple(declared.environments), str(answer)))
            errors.append(named(variable, str(answer), answers))
        else:
            reading, report = answer
            found.append(report)
            skews.append(reading.skew)
            warnings += [named(variable, text, answers) for text in report.unread]
    now = max((each.now for each in found if isinstance(each, AccountReport)), default=datetime.now(UTC))
    return Review(days, tuple(found), now, tuple(errors), (*clock_warnings(skews), *warnings))


def _with_months(report: AccountReport, environments: tuple[str, ...], history: History, period: Span) -> AccountReport:
    """Add what is recorded of the account, month by month."""
    months = [
        by_month(history, report.variable, period, by, environments) for by in (Grouping.ENVIRONMENT, Grouping.TEAM)
    ]
    return replace(report, months=months[0], team_months=months[1])


def make_report(
    reading: AccountReading[Statistics],
    declared: Declaration | None,
    environments: Collection[str],
    days: int,
    recorded: tuple[Path, History] | None = None,
) -> AccountReport:
    """Make a report of a reading; raises AccountError when the keys could not be read."""
    everything = keys_of(reading, declared, days=days)
    keys = replace(
        everything,
        keys=tuple(
            key
            for key in everything.keys
            if not environments or (key.address is not None and key.address.environment in environments)
        ),
    )
    report = AccountReport(
        now=keys.snapshot.now,
        days=days,
        balance=balance_of(reading, declared),
        keys=keys.keys,
        unread=keys.inputs.unread,
    )
    if days in reading.windows:
        report = _with_spend(report, reading, keys, environments)
    if declared is None:
        return report
    options = Options(environments=frozenset(environments))
    plan = make_plan(declared, keys.snapshot, options, keys.inputs)
    judged = make_plan(declared, keys.snapshot, replace(options, by_age=False), keys.inputs)
    alerts, _ = wanted_alerts(declared, check_destinations=False)
    costs = None
    if recorded or (alerts.spend_spike and {*_windows(alerts.spend_spike.value)} <= {*reading.windows}):
        costs = costs_of(everything, alerts, recorded)
    verdict = judge(alerts, evidence_of(reading, (keys, judged), costs=costs))
    if recorded and costs is not None:
        verdict = with_forecasts(verdict, everything, costs)
    return replace(report, plan=whole([plan]), verdict=verdict)


def _with_spend(
    report: AccountReport, reading: AccountReading[Statistics], keys: AccountKeys, environments: Collection[str]
) -> AccountReport:
    windows, statistics = reading.windows, reading.windows[report.days]
    attribution, today = Attribution(keys.snapshot, keys.declared), report.now.date()
    sorter = Sorter(Grouping.ENVIRONMENT, attribution, environments)
    spend, corrected = by_owner(Grouping.ENVIRONMENT, statistics, sorter), 0
    if {*range(1, report.days + 1)} <= {*windows}:
        dated = with_days(spend, windows, sorter.tallies, today)
        spend, corrected = dated.breakdown, dated.corrected
    return replace(
        report,
        spend=spend,
        teams=by_owner(Grouping.TEAM, statistics, Sorter(Grouping.TEAM, attribution, environments)),
        by_day=by_day(statistics, today),
        models=by_model(statistics),
        corrected=corrected,
    )
