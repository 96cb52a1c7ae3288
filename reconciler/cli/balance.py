"""`reconciler balance`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.insight.balance import BalanceReport


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
    from reconciler.cli.options import declaration_if_any
    from reconciler.engine.inspect import Scope, read_balance
    from reconciler.errors import GuardrailRefused, ReconcilerError

    scope = Scope(declaration_if_any(context, file), environments, simulator)
    report = console.run(read_balance(scope, minimum))
    console.tell(report)
    show(_formatted(report, output_format))
    if report.suffices is False:
        return GuardrailRefused.exit_code
    return ReconcilerError.exit_code if report.errors else 0


def _formatted(report: BalanceReport, output_format: str) -> str:
    from reconciler.render import balance

    match output_format:
        case "json":
            from reconciler.render.escape import to_json

            return to_json(balance.balance_document(report))
        case "markdown":
            return balance.render_markdown(report)
        case _:
            from reconciler.cli.console import use_color, width

            return balance.render_text(report, color=use_color(), width=width())
