"""`reconciler apply`."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import file_option, format_option, simulator_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.model import Declaration
    from reconciler.plan.actions import Plan
    from reconciler.plan.outcome import ApplyResult


@dataclass(frozen=True, slots=True)
class _Order:
    """What this apply was asked to do, and how."""

    declaration: Declaration
    simulator: Path | None
    parallelism: int
    auto_approve: bool
    as_json: bool
    verbose: bool


@click.command("apply")
@file_option
@simulator_option
@format_option("text", "json")
@click.option("--auto-approve", is_flag=True, help="Do not ask; needed where nobody can answer.")
@click.option(
    "--parallelism",
    type=click.IntRange(1, 128),
    default=16,
    show_default=True,
    help="How many changes to make at the same time.",
)
@click.pass_obj
def command(
    verbose: bool,  # noqa: FBT001  # click hands its object over by position
    file: Path,
    simulator: Path | None,
    output_format: str,
    *,
    auto_approve: bool,
    parallelism: int,
) -> int:
    """Change the account until it matches the file.

    Shows the plan and asks before the first change. Secrets of new keys go to their destinations and nowhere else. A
    run that was interrupted, at whatever point, is completed by the next one.

    \b
    Examples:
      reconciler apply
      reconciler apply --auto-approve --format json
    """
    from reconciler.cli.plan import plan_once
    from reconciler.declaration import load
    from reconciler.errors import ReconcilerError
    from reconciler.plan.outcome import untouched

    order = _Order(load(file), simulator, parallelism, auto_approve, output_format == "json", verbose)
    plan = asyncio.run(plan_once(order.declaration, simulator))
    _show_plan(plan, order)
    try:
        result = _carry_out(plan, order)
    except ReconcilerError:
        if order.as_json:
            _show_result(untouched(plan), order)
        raise
    _show_result(result, order)
    return _exit_code(result)


def _carry_out(plan: Plan, order: _Order) -> ApplyResult:
    from reconciler.apply.apply import refuse_errors
    from reconciler.plan.outcome import untouched

    refuse_errors(plan)
    if not plan.actions:
        return untouched(plan)
    if not order.auto_approve:
        _ask(len(plan.actions))
    return asyncio.run(_apply(plan, order))


def _ask(count: int) -> None:
    """Ask the person at the terminal; raises UsageError where there is none, or when the answer is no."""
    from reconciler.errors import UsageError

    if not sys.stdin.isatty():
        msg = "there is nobody to ask, so nothing was changed; pass --auto-approve to apply without asking"
        raise UsageError(msg)
    if not click.confirm(f"Make {'this change' if count == 1 else f'these {count} changes'}?", err=True):
        msg = "not approved; nothing was changed"
        raise UsageError(msg)


async def _apply(shown: Plan, order: _Order) -> ApplyResult:
    """Plan again on what is live now, and carry that out if it is what was shown, or if nobody has to approve it."""
    from reconciler.apply.apply import apply_plan
    from reconciler.apply.run import Run
    from reconciler.cli.console import mask
    from reconciler.cli.progress import Progress
    from reconciler.cli.wiring import open_account, read_plan
    from reconciler.destinations.registry import Registry
    from reconciler.errors import StalePlan
    from reconciler.plan.digest import digest

    async with open_account(order.simulator, parallelism=order.parallelism) as account:
        plan = await read_plan(order.declaration, account)
        if digest(plan) != digest(shown):
            if not order.auto_approve:
                msg = "the account changed after the plan was shown, so nothing was changed; plan again"
                raise StalePlan(msg)
            _show_plan(plan, order)
        run = Run(account, Registry(), nonce=lambda: secrets.token_hex(8), mask=mask)
        with _stop_on_signals() as stop, Progress(len(plan.actions)) as progress:
            return await apply_plan(
                plan, order.declaration, run, parallelism=order.parallelism, stop=stop, report=progress.report
            )


@contextmanager
def _stop_on_signals() -> Iterator[asyncio.Event]:
    """Give an event that Ctrl-C and SIGTERM set, instead of ending the process where it stands."""
    from reconciler.cli.console import note

    stop = asyncio.Event()

    def ask_to_stop() -> None:
        note("Stopping: finishing what is under way, starting nothing new.")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _show_plan(plan: Plan, order: _Order) -> None:
    from reconciler.cli.plan import format_plan

    click.echo(format_plan(plan, "text", verbose=order.verbose), nl=False, err=order.as_json)


def _show_result(result: ApplyResult, order: _Order) -> None:
    if order.as_json:
        from reconciler.render.document import result_document, to_json

        click.echo(to_json(result_document(result)), nl=False)
    elif result.outcomes:
        from reconciler.cli.console import use_color
        from reconciler.render.text import render_result

        click.echo(render_result(result, color=use_color()), nl=False)


def _exit_code(result: ApplyResult) -> int:
    from reconciler.errors import Interrupted, PartlyApplied, ReconcilerError
    from reconciler.plan.outcome import Status

    done = result.count(Status.DONE)
    if result.interrupted:
        return Interrupted.exit_code
    if done == len(result.outcomes) and result.in_sync:
        return 0
    return PartlyApplied.exit_code if done else ReconcilerError.exit_code
