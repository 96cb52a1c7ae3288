"""`reconciler apply`."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import (
    declared_addresses,
    file_option,
    format_option,
    read_duration,
    rotate_option,
    simulator_option,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import timedelta
    from pathlib import Path

    from reconciler.apply.run import Run
    from reconciler.model import Declaration, Snapshot
    from reconciler.plan.actions import Plan
    from reconciler.plan.options import Options
    from reconciler.plan.outcome import ApplyResult


@dataclass(frozen=True, slots=True)
class _Order:
    """What this apply was asked to do, and how."""

    declaration: Declaration
    options: Options
    simulator: Path | None
    parallelism: int
    lock_patience: timedelta | None
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
@rotate_option
@click.option("--no-overlap", is_flag=True, help="Disable a rotated key at once: for one that has leaked.")
@click.option(
    "--lock-timeout",
    callback=read_duration,
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="How long to wait for another apply on the same account.",
)
@click.option("--no-lock", is_flag=True, help="Do not lock the account: for those who serialise elsewhere.")
@click.pass_obj
def command(
    verbose: bool,  # noqa: FBT001  # click hands its object over by position
    file: Path,
    simulator: Path | None,
    output_format: str,
    rotate: tuple[str, ...],
    *,
    auto_approve: bool,
    parallelism: int,
    no_overlap: bool,
    lock_timeout: timedelta,
    no_lock: bool,
) -> int:
    """Change the account until it matches the file.

    Shows the plan and asks before the first change. Secrets of new keys go to their destinations and nowhere else. A
    run that was interrupted, at whatever point, is completed by the next one.

    \b
    Examples:
      reconciler apply
      reconciler apply --auto-approve --format json
      reconciler apply --rotate production/api --no-overlap
    """
    from reconciler.cli.plan import plan_once
    from reconciler.declaration import load
    from reconciler.errors import ReconcilerError
    from reconciler.plan.options import Options
    from reconciler.plan.outcome import untouched

    declaration = load(file)
    order = _Order(
        declaration,
        Options(declared_addresses(rotate, declaration), overlap=not no_overlap),
        simulator,
        parallelism,
        None if no_lock else lock_timeout,
        auto_approve,
        as_json=output_format == "json",
        verbose=verbose,
    )
    plan = asyncio.run(plan_once(declaration, order.options, simulator))
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
    from reconciler.cli.wiring import open_account
    from reconciler.destinations.registry import Registry
    from reconciler.errors import StalePlan
    from reconciler.plan.digest import digest
    from reconciler.plan.planner import make_plan

    async with open_account(order.simulator, parallelism=order.parallelism) as account:
        stop = asyncio.Event()
        run = Run(account, Registry(), nonce=lambda: secrets.token_hex(8), mask=mask)
        async with _locked(run, order, stop) as snapshot:
            plan = make_plan(order.declaration, snapshot, order.options)
            if digest(plan) != digest(shown):
                if not order.auto_approve:
                    msg = "the account changed after the plan was shown, so nothing was changed; plan again"
                    raise StalePlan(msg)
                _show_plan(plan, order)
            with _signals_stop(stop), Progress(len(plan.actions)) as progress:
                return await apply_plan(
                    plan, order.declaration, run, parallelism=order.parallelism, stop=stop, report=progress.report
                )


@asynccontextmanager
async def _locked(run: Run, order: _Order, stop: asyncio.Event) -> AsyncIterator[Snapshot]:
    """Read the account under its lock; losing the lock stops the run."""
    from reconciler.account.lock import Lock
    from reconciler.cli.console import note

    def lost() -> None:
        note("error: the lock on the account could not be renewed, so another apply may start; stopping")
        stop.set()

    if order.lock_patience is None:
        yield await run.account.list_keys()
        return
    async with Lock(run.account, run.nonce, run.mask, order.lock_patience).hold(lost) as snapshot:
        yield snapshot


@contextmanager
def _signals_stop(stop: asyncio.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask the run to stop, instead of ending the process where it stands."""
    from reconciler.cli.console import note

    def ask_to_stop() -> None:
        note("Stopping: finishing what is under way, starting nothing new.")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)
    try:
        yield
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
