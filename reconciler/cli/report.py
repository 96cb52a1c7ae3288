"""`reconciler report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import days_option, environments_option, file_option, simulator_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.insight.report import Account
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
@environments_option("Report on")
@file_option
@simulator_option
@click.pass_context
def command(
    context: click.Context,
    out: Path,
    days: int,
    environments: tuple[str, ...],
    file: Path,
    simulator: Path | None,
) -> int:
    """Write one page that shows where the credits go, and what needs attention.

    The balance and how long it lasts, spend by day and environment, models, keys against their limits, what expires or
    rotates next, alerts, findings, and the changes that wait. The page is one HTML file that needs nothing else: no
    network, no script; it reads well on a phone, on paper, in the dark and by ear.

    The service tells no days of a key, so one window of activity is read for each day: --days 7 asks for less. Needs
    the extra `report`. Ends with 1 when an account could not be read; the page then says so.

    \b
    Examples:
      reconciler report --out report.html
      reconciler report --out report.html --days 7 -e production
      reconciler report --out - | mail -s "Credits" -a "Content-Type: text/html" team@example.com
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show
    from reconciler.cli.options import need_extra
    from reconciler.cli.reading import declaration_if_any
    from reconciler.cli.review import review_accounts
    from reconciler.errors import ReconcilerError
    from reconciler.formatting.files import check_output, write_whole
    from reconciler.insight.report import UnreadAccount

    check_output(out, example="report.html", declaration=file)
    need_extra("report", "jinja2", "pygal")
    declaration = declaration_if_any(context, file)
    accounts = console.run(review_accounts(declaration, simulator, environments, days=days, daily=True))
    text = _page(accounts, declaration, environments, days, file)
    if str(out) == "-":
        show(text)
    else:
        write_whole(out, text)
        note(f"wrote {out}")
    return ReconcilerError.exit_code if any(isinstance(each, UnreadAccount) for each in accounts) else 0


def _page(
    accounts: Sequence[Account], declaration: Declaration | None, environments: Sequence[str], days: int, file: Path
) -> str:
    from datetime import UTC, datetime

    from reconciler.insight.report import AccountReport
    from reconciler.render.html import render_page
    from reconciler.render.report import report_page

    times = [account.now for account in accounts if isinstance(account, AccountReport)]
    name = "standard input" if str(file) == "-" else str(file)
    facts = [name if declaration is not None else f"without a {name}, so nothing counts as declared"]
    facts += [f"Only {', '.join(environments)}"] if environments else []
    return render_page(report_page(accounts, days, max(times, default=datetime.now(UTC)), facts))
