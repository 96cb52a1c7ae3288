"""`reconciler report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import (
    days_option,
    environments_option,
    file_option,
    recorded_options,
    simulator_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from reconciler.insight.history import Span
    from reconciler.insight.report import Review
    from reconciler.model import Declaration


@click.command("report")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="The page to write, like report.html; - is stdout.",
)
@days_option("How many days of spend to show, today included; each is a window to read.")
@recorded_options("Show the months that `record` kept in this folder side by side, and how it goes on.")
@environments_option("Report on")
@file_option
@simulator_option
@click.pass_context
def command(
    context: click.Context,
    *,
    out: Path,
    days: int,
    folder: Path | None,
    month: Span | None,
    since: date | None,
    until: date | None,
    environments: tuple[str, ...],
    file: Path,
    simulator: Path | None,
) -> int:
    """Write one page that shows where the credits go, and what needs attention.

    The balance and how long it lasts, spend by day and environment, models, keys against their limits, what expires or
    rotates next, alerts, findings, and the changes that wait. The page is one HTML file that needs nothing else: no
    network, no script; it reads well on a phone, on paper, in the dark and by ear.

    With --from, the months that `record` kept stand side by side, by environment and by team: the last twelve, a
    --month, or what --since and --until say. And the page says what this month comes to at the pace of the last 7 days,
    and which limit, allowance, budget or balance is reached when.

    The service tells no days of a key, so one window of activity is read for each day: --days 7 asks for less. Needs
    the extra `report`. Ends with 1 when an account could not be read; the page then says so.

    \b
    Examples:
      reconciler report --out report.html
      reconciler report --out report.html --from history --since 2026-01-01
      reconciler report --out report.html --days 7 -e production
      reconciler report --out - | mail -s "Credits" -a "Content-Type: text/html" team@example.com
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show
    from reconciler.cli.options import asked_period, declaration_if_any
    from reconciler.engine.inspect import Scope
    from reconciler.engine.review import review
    from reconciler.errors import ReconcilerError
    from reconciler.files import check_output, write_whole
    from reconciler.installation import need_extra

    asked = asked_period(context, folder, month, since, until)
    check_output(out, example="report.html", declaration=file)
    need_extra("report", "jinja2", "pygal")
    declaration = declaration_if_any(context, file)
    scope = Scope(declaration, environments, simulator, folder=folder, asked=asked)
    found = console.run(review(scope, days=days, daily=True))
    console.tell(found)
    text = _page(found, declaration, environments, file)
    if str(out) == "-":
        show(text)
    else:
        write_whole(out, text)
        note(f"wrote {out}")
    return ReconcilerError.exit_code if found.errors else 0


def _page(found: Review, declaration: Declaration | None, environments: Sequence[str], file: Path) -> str:
    from reconciler.render.html import render_page
    from reconciler.render.report import report_page

    name = "standard input" if str(file) == "-" else str(file)
    facts = [name if declaration is not None else f"without a {name}, so nothing counts as declared"]
    facts += [f"Only {', '.join(environments)}"] if environments else []
    return render_page(report_page(found.accounts, found.days, found.now, facts))
