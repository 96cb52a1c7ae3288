"""`reconciler list`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.cli import options
from reconciler.cli.options import (
    days_option,
    environments_option,
    file_option,
    format_option,
    recorded_options,
    simulator_option,
)
from reconciler.insight.inventory import SORTS, UNUSED_FOR, Filter, KeyStatus, sorted_by

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from reconciler.insight.history import Span
    from reconciler.insight.inventory import Inventory


@click.command("list")
@file_option
@simulator_option
@environments_option("List")
@click.option(
    "--only",
    multiple=True,
    metavar="GLOB",
    shell_complete=options.addresses,
    help="List only what matches, like 'ci/*'; can be given several times.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([status.value for status in KeyStatus]),
    help="List keys in this state only; can be given several times.",
)
@click.option(
    "--team",
    "teams",
    multiple=True,
    metavar="TEAM",
    shell_complete=options.teams,
    help="List this team's keys only; can be given several times.",
)
@click.option(
    "--unused-for",
    type=click.Choice([*UNUSED_FOR]),
    help="List keys that are at least that old and were not used for that long.",
)
@click.option(
    "--sort",
    type=click.Choice(["address", *SORTS]),
    default="address",
    show_default=True,
    help="The order: amounts and ages from the highest down, instants from the soonest on.",
)
@click.option("--reverse", is_flag=True, help="Turn the order round; what is not known stays at the end.")
@days_option("Show the spend of the last so many days.")
@recorded_options("Show the spend that `record` kept in this folder.")
@format_option("table", "json", "csv", "markdown")
@click.pass_context
def command(
    context: click.Context,
    *,
    file: Path,
    simulator: Path | None,
    environments: tuple[str, ...],
    only: tuple[str, ...],
    states: tuple[str, ...],
    teams: tuple[str, ...],
    unused_for: str | None,
    sort: str,
    days: int,
    folder: Path | None,
    month: Span | None,
    since: date | None,
    until: date | None,
    output_format: str,
    reverse: bool,
) -> int:
    """List the keys of the account with their state, limit, spend, age, expiry, rotation and last use.

    A key is listed by its address, else by its live name; declared keys that are not live are listed too. Without a
    keys.yaml, names are read as environment/key, and nothing is known to be declared.

    A limit is on all that a key ever spends, of which the service tells 30 days at most: for an older key, the share of
    its limit is the least that it can be. With --from, the spend is what `record` kept: all of it, of a --month, or of
    what --since and --until say; what an address spent under keys that are gone counts to it.

    Ends with 1 when an account could not be read; the others are listed.

    \b
    Examples:
      reconciler list
      reconciler list -e production --sort share
      reconciler list --unused-for 30d --format csv
      reconciler list --state unmanaged --state missing
      reconciler list --from history --month 2026-10 --sort spend
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show
    from reconciler.cli.options import asked_period, declaration_if_any
    from reconciler.engine.inspect import Scope, list_keys
    from reconciler.errors import ReconcilerError

    asked = asked_period(context, folder, month, since, until)
    declaration = declaration_if_any(context, file)
    if declaration is None:
        note(f"note: there is no {file}, so names are read as environment/key and no key counts as declared")
    scope = Scope(declaration, environments, simulator, folder=folder, asked=asked)
    found = console.run(list_keys(scope, days=days))
    console.tell(found)
    wanted = Filter(only, frozenset(states), frozenset(teams), unused_for)
    keys = sorted_by([key for key in found.keys if wanted.covers(key)], sort, reverse=reverse)
    show(_formatted(replace(found, keys=tuple(keys)), output_format))
    return ReconcilerError.exit_code if found.errors else 0


def _formatted(found: Inventory, output_format: str) -> str:
    """Write the inventory in one of the formats."""
    from reconciler.render import inventory

    match output_format:
        case "json":
            from reconciler.render.escape import to_json

            return to_json(inventory.inventory_document(found))
        case "csv":
            return inventory.inventory_csv(found.keys, found.period)
        case "markdown":
            return inventory.inventory_markdown(found.keys, days=found.days, period=found.period)
        case _:
            from reconciler.cli.console import use_color, width

            return inventory.inventory_text(
                found.keys, days=found.days, period=found.period, color=use_color(), width=width()
            )
