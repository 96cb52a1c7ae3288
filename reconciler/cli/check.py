"""`reconciler check`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import file_option, format_option, simulator_option

if TYPE_CHECKING:
    from reconciler.cli.notify import Channel
    from reconciler.insight.alerts import Verdict


@click.command("check")
@file_option
@simulator_option
@format_option("text", "json", "markdown", "github")
@click.option(
    "--check-destinations",
    is_flag=True,
    help="Ask each destination that can tell whether it holds the secrets of the live keys, as `undelivered` does.",
)
@click.option("--notify", is_flag=True, help="Send what fires to the Apprise URLs in RECONCILER_NOTIFY_URLS.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Remember in FILE what was sent, and send again only when something has changed.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    file: Path,
    simulator: Path | None,
    output_format: str,
    check_destinations: bool,
    notify: bool,
    state: Path | None,
) -> int:
    """Judge the account by the alerts of the file, and say what to do about those that fire.

    Where the file declares no alerts, these are judged: balance_below 10, runway_below 7d, key_spend_above 0.9,
    expiring_within 14d, rotation_overdue and drift. Reads only; destinations are asked for the alert undelivered, or
    with --check-destinations.

    Exits with 3 when an alert fires, else with 1 when one could not be judged, and with 1 when a message could not be
    sent.

    \b
    Examples:
      reconciler check
      reconciler check --format markdown --check-destinations
      reconciler check --notify --state /var/lib/reconciler/alerts.json
    """
    from reconciler.cli import interrupt
    from reconciler.cli.check_run import judge_accounts, wanted_alerts
    from reconciler.cli.console import note, show
    from reconciler.cli.notify import open_channels
    from reconciler.cli.notify_state import check_state
    from reconciler.cli.request import annotated
    from reconciler.declaration import load
    from reconciler.errors import GuardrailRefused, ReconcilerError, UsageError
    from reconciler.plan.accounts import account_variables

    if state is not None and not notify:
        msg = "--state remembers what --notify has sent; add --notify"
        raise UsageError(msg)
    channels = open_channels() if notify else ()
    if state is not None:
        check_state(state)
    with annotated(output_format):
        declaration = load(file)
    alerts, standard = wanted_alerts(declaration, check_destinations=check_destinations)
    if standard:
        note("note: the file declares no alerts, so the usual ones are judged; `alerts` in the file chooses others")
    verdict = interrupt.run(judge_accounts(declaration, alerts, simulator))
    verdict = _repeatable(verdict, context, file, simulator)
    several = len(account_variables(declaration)) > 1
    show(format_verdict(verdict, output_format, standard=standard, several=several))
    if notify:
        _tell(verdict, channels, state, several=several)
    if verdict.alerts:
        return GuardrailRefused.exit_code
    return ReconcilerError.exit_code if verdict.unjudged else 0


def _repeatable(verdict: Verdict, context: click.Context, file: Path, simulator: Path | None) -> Verdict:
    """Have the commands that are proposed name the file and the simulator as this one did."""
    import shlex

    from click.core import ParameterSource

    words = ""
    if context.get_parameter_source("file") is not ParameterSource.DEFAULT:
        words += f" -f {shlex.quote(str(file))}"
    if simulator is not None:
        words += f" --simulator {shlex.quote(str(simulator))}"
    alerts = tuple(replace(alert, command=alert.command + words) for alert in verdict.alerts)
    return replace(verdict, alerts=alerts)


def format_verdict(verdict: Verdict, output_format: str, *, standard: bool, several: bool) -> str:
    """Write what was found in one of the formats; `several` accounts are told apart."""
    from reconciler.render import alerts

    match output_format:
        case "json":
            return alerts.alerts_json(verdict, standard=standard)
        case "markdown":
            return alerts.alerts_markdown(verdict, several=several)
        case "github":
            from reconciler.render.github import render_alerts

            return render_alerts(verdict, alerts.headline(verdict))
        case _:
            from reconciler.cli.console import use_color, width

            return alerts.alerts_text(verdict, several=several, color=use_color(), width=width())


def _tell(verdict: Verdict, channels: tuple[Channel, ...], state: Path | None, *, several: bool) -> None:
    """Send one message if there is something new, and remember it; raises NotificationError."""
    from reconciler.cli.notify import send
    from reconciler.cli.notify_state import read_state, write_state
    from reconciler.insight.news import news
    from reconciler.render.alerts import message, title

    told = frozenset() if state is None else read_state(state)
    latest = news(verdict, told or frozenset())
    if latest is not None:
        worst = verdict.alerts[0].severity if verdict.alerts else None
        send(channels, title(latest), message(latest, several=several), worst)
    if state is not None and (latest is not None or told is None):
        write_state(state, frozenset() if latest is None else latest.told)
