"""`reconciler activity`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.options import days_option, environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.cli.reading import AccountReading
    from reconciler.insight.activity import AccountActivity, ActivityReport, Question
    from reconciler.model import Declaration

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
@environments_option("Show", ", the rest as one line")
@file_option
@simulator_option
@format_option("table", "json", "csv", "markdown")
@click.pass_context
def command(
    context: click.Context,
    *,
    days: int,
    by: str,
    daily: bool,
    top: int,
    environments: tuple[str, ...],
    file: Path,
    simulator: Path | None,
    output_format: str,
) -> int:
    """Show what the account was used for: requests, cost, tokens.

    The lines always add up to the service's total: where its figures do not, the difference is a line. Keys count to
    their address through rotations and renames; deleted and unmanaged ones have lines of their own. Needs no file,
    except for --by team.

    \b
    Examples:
      reconciler activity
      reconciler activity --by key --days 7
      reconciler activity --by environment --format csv > activity.csv
      reconciler activity --by key --daily -e production
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show
    from reconciler.cli.reading import declaration_if_any, named
    from reconciler.errors import ReconcilerError
    from reconciler.insight.activity import Question, activity_report
    from reconciler.insight.breakdown import Grouping

    question = Question(days, Grouping(by), environments, daily)
    declaration = declaration_if_any(context, file)
    _check(question, declaration)
    readings, failures = console.run(_read(question, declaration, simulator))
    for failure in failures:
        note(f"error: {failure}")
    if not readings:
        return ReconcilerError.exit_code
    unread = [named(each.variable, text, (*readings, *failures)) for each in readings for text in each.unread]
    for text in unread:
        note(f"warning: {text}")
    report = activity_report(
        question,
        max(reading.now for reading in readings).date(),
        [_answer(question, reading, declaration) for reading in readings],
        declared=declaration is not None,
        unread=(*failures, *unread),
    )
    show(_formatted(report, output_format, top))
    return ReconcilerError.exit_code if failures else 0


def _check(question: Question, declaration: Declaration | None) -> None:
    from reconciler.errors import UsageError
    from reconciler.insight.breakdown import OWNED, Grouping

    if question.by is Grouping.TEAM and declaration is None:
        msg = "--by team needs a keys.yaml, which names the teams; give one with -f, or use --by key"
        raise UsageError(msg)
    if question.environments and declaration is None:
        msg = "-e needs a keys.yaml, which declares the environments; give one with -f, or use --by environment"
        raise UsageError(msg)
    if question.environments and question.by not in OWNED:
        msg = f"-e does not go with --by {question.by}, which the service tells for the whole account; use --by key"
        raise UsageError(msg)
    if question.daily and question.by is Grouping.DAY:
        msg = "--daily does not go with --by day, which shows the days already"
        raise UsageError(msg)


async def _read(
    question: Question, declaration: Declaration | None, simulator: Path | None
) -> tuple[list[AccountReading], list[str]]:
    """Read what the question needs; gives what could be read, and what went wrong with the other accounts."""
    from reconciler.cli.reading import AccountReading, accounts_of, named, read_accounts
    from reconciler.insight.activity import half
    from reconciler.insight.breakdown import OWNED

    needed = {*range(1, question.days + 1)} if question.daily else {question.days}
    windows = sorted(needed | {half(question.days)} - {0})
    accounts = accounts_of(declaration, question.environments)
    readings = await read_accounts(accounts, windows, simulator, balance=False)
    usable: list[AccountReading] = []
    failures: list[str] = []
    for variable, reading in readings.items():
        if not isinstance(reading, AccountReading):
            failures.append(named(variable, str(reading), accounts))
        elif reading.partial or not needed <= {*reading.statistics} or (question.by in OWNED and not reading.snapshot):
            failures += [named(variable, text, accounts) for text in reading.unread]
        else:
            usable.append(reading)
    return usable, failures


def _answer(question: Question, reading: AccountReading, declaration: Declaration | None) -> AccountActivity:
    from reconciler.insight.activity import account_activity
    from reconciler.planning.accounts import part_of

    declared = None if declaration is None else part_of(declaration, reading.variable)
    return account_activity(question, reading.variable, reading.statistics, reading.snapshot, reading.now, declared)


def _formatted(report: ActivityReport, output_format: str, top: int) -> str:
    match output_format:
        case "json":
            from reconciler.render.activity import activity_document
            from reconciler.render.document import to_json

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
