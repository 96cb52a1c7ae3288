"""`reconciler list`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli import options
from reconciler.cli.options import days_option, environments_option, file_option, format_option, simulator_option
from reconciler.insight.inventory import KeyStatus, LastUse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal
    from pathlib import Path

    from reconciler.insight.inventory import InventoryKey

_UNUSED: Final = {
    "1d": (timedelta(days=1), {LastUse.WEEK, LastUse.MONTH, LastUse.NOT_LATELY, LastUse.NEVER}),
    "7d": (timedelta(days=7), {LastUse.MONTH, LastUse.NOT_LATELY, LastUse.NEVER}),
    "30d": (timedelta(days=30), {LastUse.NOT_LATELY, LastUse.NEVER}),
}


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
    type=click.Choice([*_UNUSED]),
    help="List keys that are at least that old and were not used for that long.",
)
@click.option(
    "--sort",
    type=click.Choice(["address", "state", "limit", "spend", "share", "age", "expiry", "rotation", "last-use", "team"]),
    default="address",
    show_default=True,
    help="The order: amounts and ages from the highest down, instants from the soonest on.",
)
@click.option("--reverse", is_flag=True, help="Turn the order round; what is not known stays at the end.")
@days_option("Show the spend of the last so many days.")
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
    output_format: str,
    reverse: bool,
) -> int:
    """List the keys of the account with their state, limit, spend, age, expiry, rotation and last use.

    A key is listed by its address, else by its live name; declared keys that are not live are listed too. Without a
    keys.yaml, names are read as environment/key, and nothing is known to be declared.

    A limit is on all that a key ever spends, of which the service tells 30 days at most: for an older key, the share of
    its limit is the least that it can be. Ends with 1 when an account could not be read; the others are listed.

    \b
    Examples:
      reconciler list
      reconciler list -e production --sort share
      reconciler list --unused-for 30d --format csv
      reconciler list --state unmanaged --state missing
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show
    from reconciler.cli.reading import declaration_if_any, read_keys, readings_or_raise
    from reconciler.errors import ReconcilerError

    declaration = declaration_if_any(context, file)
    if declaration is None:
        note(f"note: there is no {file}, so names are read as environment/key and no key counts as declared")
    among = environments if declaration is not None else ()
    answers = console.run(read_keys(declaration, simulator, among, days=days))
    readings, incomplete = readings_or_raise(answers)
    wanted = Filter(frozenset(environments), only, frozenset(states), frozenset(teams), unused_for)
    keys = [key for reading in readings for key in reading.keys if wanted.covers(key)]
    ordered = in_order(keys, sort, reverse=reverse)
    show(format_inventory(ordered, output_format, days, declared=declaration is not None))
    return ReconcilerError.exit_code if incomplete else 0


@dataclass(frozen=True, slots=True)
class Filter:
    """Which keys to list; what is empty leaves out nothing."""

    environments: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()
    states: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    unused_for: str | None = None

    def covers(self, key: InventoryKey) -> bool:
        """Tell whether a key is to be listed."""
        from reconciler.planning.actions import matcher

        return (
            (not self.environments or (key.address is not None and key.address.environment in self.environments))
            and (not self.only or matcher(self.only)(key.name))
            and (not self.states or key.status.value in self.states)
            and (not self.teams or key.team in self.teams)
            and (self.unused_for is None or _is_unused(key, *_UNUSED[self.unused_for]))
        )


def _is_unused(key: InventoryKey, period: timedelta, uses: set[LastUse]) -> bool:
    return key.last_use in uses and key.age is not None and key.age >= period


def in_order(keys: Sequence[InventoryKey], field: str, *, reverse: bool) -> list[InventoryKey]:
    """Sort keys by a field; of equal ones, and with nothing known about it, the order stays."""
    if field == "address":
        return [*reversed(keys)] if reverse else [*keys]
    value, descending = _SORTS[field]
    known = [key for key in keys if value(key) is not None]
    unknown = [key for key in keys if value(key) is None]
    return [*sorted(known, key=value, reverse=descending != reverse), *unknown]


def _limit(key: InventoryKey) -> Decimal | None:
    return None if key.live is None else key.live.credit_limit


_SORTS: Final[dict[str, tuple[Callable[[InventoryKey], Any], bool]]] = {
    "state": (lambda key: [*KeyStatus].index(key.status), False),
    "limit": (_limit, True),
    "spend": (lambda key: None if key.usage is None else key.usage.cost, True),
    "share": (lambda key: None if key.share is None else key.share.value, True),
    "age": (lambda key: key.age, True),
    "expiry": (lambda key: None if key.live is None else key.live.expires_at, False),
    "rotation": (lambda key: key.rotation_due, False),
    "last-use": (lambda key: None if key.last_use is LastUse.UNKNOWN else [*LastUse].index(key.last_use), False),
    "team": (lambda key: key.team, False),
}


def format_inventory(keys: Sequence[InventoryKey], output_format: str, days: int, *, declared: bool) -> str:
    """Write the inventory in one of the formats."""
    from reconciler.render import inventory

    match output_format:
        case "json":
            from reconciler.render.document import to_json

            documents = [inventory.key_document(key) for key in keys]
            return to_json({"format_version": 1, "declared": declared, "spend_days": days, "keys": documents})
        case "csv":
            return inventory.inventory_csv(keys)
        case "markdown":
            return inventory.inventory_markdown(keys, days=days)
        case _:
            from reconciler.cli.console import use_color, width

            return inventory.inventory_text(keys, days=days, color=use_color(), width=width())
