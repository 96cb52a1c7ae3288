"""`reconciler balance`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.cli.reading import AccountReading
    from reconciler.errors import ReconcilerError
    from reconciler.insight.balance import Balance, BalanceReport, Runway
    from reconciler.model import Declaration


def read_money(context: click.Context, parameter: click.Parameter, value: str | None) -> Decimal | None:
    """Read an amount of USD, 0 or more."""
    from reconciler.units import MONEY_LIMIT

    if value is None:
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount <= MONEY_LIMIT):
        msg = f"{value!r} is no amount of USD, like 20 or 12.50"
        raise click.BadParameter(msg, context, parameter)
    return amount


@click.command("balance")
@click.option(
    "--min", "minimum", metavar="USD", callback=read_money, help="Exit with 3 when an account has less than this."
)
@environments_option("Show the account of")
@file_option
@simulator_option
@format_option("text", "json", "markdown")
@click.pass_context
def command(
    context: click.Context,
    minimum: Decimal | None,
    environments: tuple[str, ...],
    file: Path,
    simulator: Path | None,
    output_format: str,
) -> int:
    """Show what is left on the account, how long it lasts, and what it is promised to.

    The pace is that of the last 7 and the last 30 days, without today, which is not over. With --min, this is the gate
    before a large job: it exits with 3 when an account has less, and shows the balance all the same. Needs no file;
    where one names several accounts, each is shown and has to reach --min. Exits with 1 when a balance could not be
    read, or the list of keys is not the whole account.

    \b
    Examples:
      reconciler balance
      reconciler balance --min 50 && ./nightly-batch
      reconciler balance --min 20 -e production --format json
    """
    from reconciler.cli import console
    from reconciler.cli.console import show
    from reconciler.cli.reading import declaration_if_any
    from reconciler.errors import GuardrailRefused, ReconcilerError

    declaration = declaration_if_any(context, file)
    report = console.run(_read(declaration, environments, simulator, minimum))
    show(_formatted(report, output_format))
    if report.suffices is False:
        return GuardrailRefused.exit_code
    unknown = report.whole is None or any(balance.partial for balance in report.accounts)
    return ReconcilerError.exit_code if unknown else 0


async def _read(
    declaration: Declaration | None, environments: tuple[str, ...], simulator: Path | None, minimum: Decimal | None
) -> BalanceReport:
    from datetime import UTC, datetime

    from reconciler.cli.reading import AccountReading, accounts_of, read_accounts
    from reconciler.insight.balance import BalanceReport
    from reconciler.model import LONGEST_DAYS

    readings = await read_accounts(accounts_of(declaration, environments), [LONGEST_DAYS], simulator)
    for variable, reading in readings.items():
        _complain(variable, reading, readings)
    accounts = tuple(_balance(variable, reading, declaration) for variable, reading in readings.items())
    now = next((each.now for each in readings.values() if isinstance(each, AccountReading)), datetime.now(UTC))
    return BalanceReport(now, accounts, minimum)


def _complain(
    variable: str, reading: AccountReading | ReconcilerError, readings: Mapping[str, AccountReading | ReconcilerError]
) -> None:
    """Say what could not be read; without the balance that is an error, and of an only account the end."""
    from reconciler.cli.console import note
    from reconciler.cli.reading import named
    from reconciler.errors import ReconcilerError

    if isinstance(reading, ReconcilerError):
        if len(readings) == 1:
            raise reading
        note(f"error: {named(variable, str(reading), readings)}")
        return
    for text in reading.unread:
        is_error = reading.balance is None or text == reading.partial
        note(f"{'error' if is_error else 'warning'}: {named(variable, text, readings)}")


def _balance(variable: str, reading: AccountReading | ReconcilerError, declaration: Declaration | None) -> Balance:
    from reconciler.errors import ReconcilerError
    from reconciler.insight.balance import Balance, limits, runways
    from reconciler.model import LONGEST_DAYS
    from reconciler.planning.accounts import part_of

    environments = () if declaration is None else tuple(part_of(declaration, variable).environments)
    if isinstance(reading, ReconcilerError):
        return Balance(variable, environments, None, unread=(str(reading),))
    statistics, keys = reading.statistics.get(LONGEST_DAYS), reading.snapshot
    lasting: tuple[Runway, ...] = ()
    if reading.balance is not None and statistics is not None:
        lasting = runways(reading.balance, statistics, keys.keys if keys else (), reading.now)
    promised = None if keys is None else limits(keys, statistics)
    partial = reading.partial is not None
    return Balance(variable, environments, reading.balance, lasting, promised, reading.unread, partial)


def _formatted(report: BalanceReport, output_format: str) -> str:
    from reconciler.render import balance

    match output_format:
        case "json":
            from reconciler.render.document import to_json

            return to_json(balance.balance_document(report))
        case "markdown":
            return balance.render_markdown(report)
        case _:
            from reconciler.cli.console import use_color, width

            return balance.render_text(report, color=use_color(), width=width())
