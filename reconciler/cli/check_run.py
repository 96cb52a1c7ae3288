"""Gathers what the alerts of a file are judged by, from all of its accounts, and judges it."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.apply.inquiry import ask_destinations
from reconciler.cli.accounts import accounts_of, read_all
from reconciler.cli.insight_reading import AT_A_TIME, read_insight
from reconciler.cli.keys_reading import keys_reading, wanted_windows
from reconciler.destinations.registry import Registry
from reconciler.errors import AccountError, ReconcilerError
from reconciler.insight.alerts import Evidence, Standing, Unread, Verdict, standard_alerts, unjudged
from reconciler.insight.balance import runways
from reconciler.insight.judge import judge
from reconciler.model import LONGEST_DAYS, Alerts, Rule
from reconciler.plan.accounts import part_of
from reconciler.plan.deliveries import due_deliveries, undelivered
from reconciler.plan.options import Options
from reconciler.plan.planner import make_plan

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.cli.insight_reading import AccountReading
    from reconciler.cli.keys_reading import KeysReading
    from reconciler.insight.runway import Runway
    from reconciler.model import Declaration
    from reconciler.plan.actions import Finding

_ACTIVITY: Final = f"the activity of {LONGEST_DAYS} days"


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
        inventory = keys_reading(reading, part)
    except AccountError as error:
        standing: Standing | Unread = Unread(str(error))
        return judge(alerts, Evidence(reading.variable, _balance(reading), _runway(reading), standing))
    plan = make_plan(part, inventory.snapshot, Options(due=False), inventory.facts)
    findings: tuple[Finding, ...] | None = None
    if alerts.undelivered is not None:
        due = due_deliveries(part, inventory.snapshot, plan)
        findings = tuple(undelivered(due, await ask_destinations(due, registry)))
    standing = Standing(inventory.keys, plan)
    spend = _spend(inventory)
    return judge(alerts, Evidence(reading.variable, _balance(reading), _runway(reading), standing, spend, findings))


def _balance(reading: AccountReading) -> Decimal | Unread:
    return _unread(reading.unread, "the balance") if reading.balance is None else reading.balance


def _runway(reading: AccountReading) -> Runway | Unread:
    """Say how long the balance lasts at the pace of late, which is that of the last 7 days."""
    statistics = reading.statistics.get(LONGEST_DAYS)
    if reading.balance is None:
        return _unread(reading.unread, "the balance")
    if reading.snapshot is None:
        return _unread(reading.unread, "the keys")
    if statistics is None:
        return _unread(reading.unread, _ACTIVITY)
    measured = runways(reading.balance, statistics, reading.snapshot.keys, reading.now)
    return measured[0] if measured else Unread("the service does not tell what was spent on which day")


def _spend(inventory: KeysReading) -> Unread | None:
    known = any(each.days == LONGEST_DAYS for each in inventory.facts.activity)
    return None if known else _unread(inventory.facts.unread, _ACTIVITY)


def _unread(reasons: tuple[str, ...], what: str) -> Unread:
    return Unread(next(reason for reason in reasons if reason.startswith(what)))
