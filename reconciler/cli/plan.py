"""`reconciler plan`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.options import declared_addresses, file_option, format_option, rotate_option, simulator_option

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import Declaration
    from reconciler.plan.actions import Plan
    from reconciler.plan.options import Options

CHANGES_PENDING: Final = 2


@click.command("plan")
@file_option
@simulator_option
@format_option("text", "json")
@rotate_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.pass_obj
def command(
    verbose: bool,  # noqa: FBT001  # click hands its object over by position
    file: Path,
    simulator: Path | None,
    output_format: str,
    rotate: tuple[str, ...],
    *,
    detailed_exitcode: bool,
) -> int:
    """Show what has to change until the account matches the file.

    Reads the account and changes nothing. Exits with 3 when a finding would make apply refuse.

    \b
    Examples:
      reconciler plan
      reconciler plan --simulator sim.db
      reconciler plan --format json --detailed-exitcode
      reconciler plan --rotate production/api
    """
    from reconciler.declaration import load
    from reconciler.errors import GuardrailRefused
    from reconciler.plan.options import Options

    declaration = load(file)
    options = Options(declared_addresses(rotate, declaration))
    plan = asyncio.run(plan_once(declaration, options, simulator))
    click.echo(format_plan(plan, output_format, verbose=verbose), nl=False)
    if plan.errors:
        return GuardrailRefused.exit_code
    return CHANGES_PENDING if detailed_exitcode and plan.actions else 0


def format_plan(plan: Plan, output_format: str, *, verbose: bool) -> str:
    """Write a plan in one of the formats."""
    if output_format == "json":
        from reconciler.plan.digest import digest
        from reconciler.render.document import plan_document, to_json

        return to_json(plan_document(plan, digest(plan)))
    from reconciler.cli.console import use_color, width
    from reconciler.render.text import render_plan

    return render_plan(plan, color=use_color(), verbose=verbose, width=width())


async def plan_once(declaration: Declaration, options: Options, simulator: Path | None) -> Plan:
    """Connect, read the account once and plan."""
    from reconciler.cli.wiring import check_clock, open_account
    from reconciler.plan.planner import make_plan

    async with open_account(simulator) as account:
        snapshot = await account.list_keys()
        check_clock(account)
    return make_plan(declaration, snapshot, options)
