"""`reconciler activity`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import (
    days_option,
    environments_option,
    file_option,
    format_option,
    recorded_options,
    simulator_option,
)

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from reconciler.insight.activity import ActivityReport
    from reconciler.insight.breakdown import Grouping
    from reconciler.insight.history import Span

_TOP = 30


@click.command("activity")
@days_option("How many days to look at, today included.")
@click.option(
    "--by",
    type=click.Choice(["day", "model", "key", "environment", "team"]),
    default="day",
    show_default=True,
    help="What to add up by.",
)
@click.option("--daily", is_flag=True, help="Show each line day by day: asks for as many windows as there are days.")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=_TOP,
    show_default=True,
    help="How many lines a table shows, the costliest first; JSON and CSV have all.",
)
@recorded_options("Show what `record` kept in this folder.")
@environments_option("Show", ", the rest as one line")
@file_option
@simulator_option
@format_option("table", "json", "csv", "markdown", "focus")
@click.pass_context
def command(
    context: click.Context,
    *,
    days: int,
    by: str,
    daily: bool,
    top: int,
    folder: Path | None,
    month: Span | None,
    since: date | None,
    until: date | None,
    environments: tuple[str, ...],
    file: Path,
    simulator: Path | None,
    output_format: str,
) -> int:
    """Show what the account was used for: requests, cost, tokens.

    The lines always add up to the service's total: where its figures do not, the difference is a line. Keys count to
    their address through rotations and renames; deleted and unmanaged ones have lines of their own. Needs no file,
    except for --by team.

    The service tells the last 30 days. With --from, all that `record` kept is shown, without asking the service: the
    whole of it, a --month, or what --since and --until say; keys count to the team and the environment that they had on
    the day. Of a month that is not over, it says what it comes to. --format focus writes a line a day and key, with the
    columns of FOCUS 1.2.

    \b
    Examples:
      reconciler activity
      reconciler activity --by key --days 7
      reconciler activity --by environment --format csv > activity.csv
      reconciler activity --by key --daily -e production
      reconciler activity --from history --month 2026-10 --by team
      reconciler activity --from history --since 2026-10-01 --format focus > focus.csv
    """
    from reconciler.cli import console
    from reconciler.cli.console import show
    from reconciler.cli.options import asked_period, declaration_if_any
    from reconciler.engine.inspect import Scope, read_activity
    from reconciler.errors import ReconcilerError, UsageError
    from reconciler.insight.activity import Question
    from reconciler.insight.breakdown import Grouping

    if folder is not None:
        return _recorded(context, folder, asked_period(context, folder, month, since, until), by, output_format, top)
    asked_period(context, folder, month, since, until)
    if output_format == "focus":
        msg = "--format focus goes with --from FOLDER, where `record` keeps the history"
        raise UsageError(msg)
    scope = Scope(declaration_if_any(context, file), environments, simulator)
    report = console.run(read_activity(scope, Question(days, Grouping(by), environments, daily)))
    console.tell(report)
    show(_formatted(report, output_format, top))
    return ReconcilerError.exit_code if report.errors else 0


def _recorded(
    context: click.Context,
    folder: Path,
    asked: tuple[date | None, date | None],
    by: str,
    output_format: str,
    top: int,
) -> int:
    """Show what is recorded."""
    from reconciler.cli.console import note, show
    from reconciler.engine.inspect import named
    from reconciler.engine.recording import read_period
    from reconciler.insight.activity import Question
    from reconciler.insight.breakdown import Grouping
    from reconciler.insight.history import gaps, recorded_activity
    from reconciler.insight.trends import with_outlook
    from reconciler.render.focus import focus_csv

    grouping, given = Grouping(by), context.params
    _check_recorded(grouping, given["environments"], daily=given["daily"], is_focus=output_format == "focus")
    history, period = read_period(folder, *asked, models=grouping is Grouping.MODEL)
    days = (period.until - period.since).days + 1
    question = Question(days, grouping, given["environments"], given["daily"], recorded=True)
    report = with_outlook(recorded_activity(question, history, period), history, period)
    for account in history.spans:
        for first, last in gaps(history, account, period):
            note(f"warning: {named(account, f'{first} to {last} is not recorded', history.spans)}")
    if output_format == "focus":
        show(focus_csv(line for line in history.usage if period.since <= line.day <= period.until))
    else:
        show(_formatted(report, output_format, top))
    return 0


def _check_recorded(by: Grouping, environments: tuple[str, ...], *, daily: bool, is_focus: bool) -> None:
    from reconciler.errors import UsageError
    from reconciler.insight.breakdown import OWNED
    from reconciler.insight.breakdown import Grouping as Groupings

    if environments and (by not in OWNED or is_focus):
        msg = "-e goes with --by key, environment or team, and not with --format focus"
        raise UsageError(msg)
    if daily and by is Groupings.DAY:
        msg = "--daily does not go with --by day, which shows the days already"
        raise UsageError(msg)


def _formatted(report: ActivityReport, output_format: str, top: int) -> str:
    match output_format:
        case "json":
            from reconciler.render.activity import activity_document
            from reconciler.render.escape import to_json

            return to_json(activity_document(report))
        case "csv":
            from reconciler.render.activity import activity_csv

            return activity_csv(report)
        case "markdown":
            from reconciler.render.activity import render_markdown

            return render_markdown(report, top=top)
        case _:
            from reconciler.cli.console import use_color, width
            from reconciler.render.activity import render_text

            return render_text(report, color=use_color(), width=width(), top=top)
