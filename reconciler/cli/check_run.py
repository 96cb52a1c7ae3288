"""Gathers what the alerts of a file are judged by, from all of its accounts, and judges it."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.inquiry import ask_destinations
from reconciler.cli.accounts import accounts_of, read_all
from reconciler.cli.evidence import evidence_of
from reconciler.cli.insight_reading import AT_A_TIME, read_insight
from reconciler.cli.keys_reading import keys_reading, wanted_windows
from reconciler.destinations.registry import Registry
from reconciler.errors import AccountError, ReconcilerError
from reconciler.insight.alerts import Unread, Verdict, standard_alerts, unjudged
from reconciler.insight.judge import judge
from reconciler.model import Alerts, Rule
from reconciler.plan.accounts import part_of
from reconciler.plan.deliveries import due_deliveries, undelivered
from reconciler.plan.options import Options
from reconciler.plan.planner import make_plan

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.cli.insight_reading import AccountReading
    from reconciler.model import Declaration
    from reconciler.plan.actions import Finding


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
    plan = make_plan(part, keys.snapshot, Options(due=False), keys.facts)
    findings: tuple[Finding, ...] | None = None
    if alerts.undelivered is not None:
        due = due_deliveries(part, keys.snapshot, plan)
        findings = tuple(undelivered(due, await ask_destinations(due, registry)))
    return judge(alerts, evidence_of(reading, (keys, plan), findings))
