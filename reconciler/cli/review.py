"""Judges accounts by the alerts of a file, and gathers what reports and metrics show."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.cli.console import note
from reconciler.cli.reading import AT_A_TIME, accounts_of, evidence_of, keys_reading, read_insight, wanted_windows
from reconciler.destinations.registry import Registry
from reconciler.engine.planning import read_all
from reconciler.errors import AccountError, ReconcilerError
from reconciler.execution.preflight import ask_destinations
from reconciler.insight.alerts import Unread, Verdict, judge, standard_alerts, unjudged
from reconciler.insight.balance import Balance, limits, runways
from reconciler.insight.breakdown import Grouping, Sorter, by_day, by_model, by_owner, with_days
from reconciler.insight.inventory import Attribution
from reconciler.insight.report import AccountReport, UnreadAccount
from reconciler.model import LONGEST_DAYS, Alerts, Rule
from reconciler.planning.accounts import part_of
from reconciler.planning.actions import Options
from reconciler.planning.deliveries import due_deliveries, undelivered
from reconciler.planning.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.cli.reading import AccountReading, KeysReading
    from reconciler.insight.balance import Runway
    from reconciler.insight.report import Account as Reviewed
    from reconciler.model import Declaration
    from reconciler.planning.actions import Finding


# Gathers what the alerts of a file are judged by, from all of its accounts, and judges it.


def wanted_alerts(declaration: Declaration, *, check_destinations: bool) -> tuple[Alerts, bool]:
    """Give the alerts to judge by, and whether they are the usual ones because the file declares none."""
    standard = declaration.alerts == Alerts()
    alerts = standard_alerts(declaration.source) if standard else declaration.alerts
    if check_destinations and alerts.undelivered is None:
        alerts = replace(alerts, undelivered=Rule(value=True, source=declaration.source))
    return alerts, standard


async def judge_accounts(declaration: Declaration, alerts: Alerts, simulator: Path | None) -> Verdict:
    """Read all accounts of the declaration at the same time, and judge each.

    One that cannot be read is not judged. Raises UsageError where no account has a usable credential.
    """
    # Of an exec destination, the program is looked for and not run: only a delivery would do that.
    async with aclosing(Registry(allow_exec=True)) as registry:

        async def read(variable: str, account: Account) -> Verdict:
            part = part_of(declaration, variable)
            reading = await read_insight(variable, account, wanted_windows(part))
            return await _judged(reading, part, alerts, registry)

        answers = await read_all(accounts_of(declaration), read, simulator, parallelism=AT_A_TIME)
    failures = [answer for answer in answers.values() if isinstance(answer, ReconcilerError)]
    if len(failures) == len(answers):
        raise failures[0]
    verdict = Verdict()
    for variable, answer in answers.items():
        verdict += unjudged(alerts, variable, str(answer)) if isinstance(answer, ReconcilerError) else answer
    return verdict


async def _judged(reading: AccountReading, part: Declaration, alerts: Alerts, registry: Registry) -> Verdict:
    try:
        keys = keys_reading(reading, part)
    except AccountError as error:
        return judge(alerts, evidence_of(reading, Unread(str(error))))
    plan = make_plan(part, keys.snapshot, Options(due=False), keys.inputs)
    findings: tuple[Finding, ...] | None = None
    if alerts.undelivered is not None:
        due = due_deliveries(part, keys.snapshot, plan)
        findings = tuple(undelivered(due, await ask_destinations(due, registry)))
    return judge(alerts, evidence_of(reading, (keys, plan), findings))


# Everything that is known of the accounts of a file, for those who show all of it: `report` and `metrics`.


async def review_accounts(
    declaration: Declaration | None,
    simulator: Path | None,
    environments: Collection[str] = (),
    *,
    days: int = LONGEST_DAYS,
    daily: bool = False,
) -> tuple[Reviewed, ...]:
    """Read the accounts of these environments, of all for none, at the same time, and see what the file makes of them.

    `days` is the window of all spend; with `daily`, one window more is read for each of them, which tells what each
    environment spent on which day. What could not be read is said on stderr.
    """
    among = () if declaration is None else environments

    async def read(variable: str, account: Account) -> AccountReport:
        declared = None if declaration is None else part_of(declaration, variable)
        windows = {*wanted_windows(declared, days), *(range(1, days + 1) if daily else ())}
        return make_report(await read_insight(variable, account, windows), declared, environments, days)

    found: list[Reviewed] = []
    answers = await read_all(accounts_of(declaration, among), read, simulator, parallelism=AT_A_TIME)
    for variable, answer in answers.items():
        if not isinstance(answer, AccountReport):
            covered = () if declaration is None else tuple(part_of(declaration, variable).environments)
            found.append(UnreadAccount(variable, covered, str(answer)))
        else:
            found.append(answer)
        level, texts = ("warning", answer.unread) if isinstance(answer, AccountReport) else ("error", (str(answer),))
        for text in texts:
            note(f"{level}: {variable}: {text}" if len(answers) > 1 else f"{level}: {text}")
    return tuple(found)


def make_report(
    reading: AccountReading, declared: Declaration | None, environments: Collection[str], days: int
) -> AccountReport:
    """Make a report of a reading; raises AccountError when the keys could not be read."""
    everything = keys_reading(reading, declared, days=days)
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
        balance=_balance(reading, keys),
        keys=keys.keys,
        unread=keys.inputs.unread,
    )
    if days in reading.statistics:
        report = _with_spend(report, reading, keys, environments)
    if declared is None:
        return report
    options = Options(environments=frozenset(environments))
    plan = make_plan(declared, keys.snapshot, options, keys.inputs)
    judged = make_plan(declared, keys.snapshot, replace(options, due=False), keys.inputs)
    alerts, _ = wanted_alerts(declared, check_destinations=False)
    return replace(report, plan=plan, verdict=judge(alerts, evidence_of(reading, (keys, judged))))


def _balance(reading: AccountReading, keys: KeysReading) -> Balance:
    statistics, amount = reading.statistics.get(LONGEST_DAYS), reading.balance
    measured: tuple[Runway, ...] = ()
    if amount is not None and statistics is not None:
        measured = runways(amount, statistics, keys.snapshot.keys, keys.snapshot.now)
    return Balance(
        variable=reading.variable,
        environments=() if keys.declared is None else tuple(keys.declared.environments),
        amount=amount,
        runways=measured,
        limits=limits(keys.snapshot, statistics),
        unread=reading.unread,
    )


def _with_spend(
    report: AccountReport, reading: AccountReading, keys: KeysReading, environments: Collection[str]
) -> AccountReport:
    windows, statistics = reading.statistics, reading.statistics[report.days]
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
