"""`reconciler check`: judges accounts by their alerts, and sends what is new to notification channels."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.console import note
from reconciler.cli.options import file_option, format_option, simulator_option
from reconciler.destinations import files
from reconciler.errors import NotificationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from apprise.plugins.base import NotifyBase

    from reconciler.diagnostic import Severity
    from reconciler.insight.alerts import Identity, Verdict


@click.command("check")
@file_option
@simulator_option
@format_option("text", "json", "markdown", "github")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Take the days of `spend_spike` from what `record` kept in this folder, and say when limits are reached.",
)
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
    folder: Path | None,
    check_destinations: bool,
    notify: bool,
    state: Path | None,
) -> int:
    """Judge the account by the alerts of the file, and say what to do about those that fire.

    Where the file declares no alerts, these are judged: balance_below 10, runway_below 7d, key_spend_above 0.9,
    expiring_within 14d, rotation_overdue and drift. Reads only; destinations are asked for the alert undelivered, or
    with --check-destinations.

    The days of spend_spike are a window each to read. With --from, they come from what `record` kept, and so does how
    spending goes on: which limit, allowance, credit_budget or balance is reached when at the pace of the last 7 days.

    Exits with 3 when an alert fires, else with 1 when one could not be judged, and with 1 when a message could not be
    sent.

    \b
    Examples:
      reconciler check
      reconciler check --format markdown --check-destinations
      reconciler check --from history
      reconciler check --notify --state /var/lib/reconciler/alerts.json
    """
    from reconciler.cli import console
    from reconciler.cli.console import show
    from reconciler.cli.options import annotated
    from reconciler.declaration import load
    from reconciler.engine.inspect import Scope
    from reconciler.engine.review import check
    from reconciler.errors import GuardrailRefused, ReconcilerError
    from reconciler.files import check_output
    from reconciler.model import account_variables

    if state is not None and not notify:
        msg = "--state remembers what --notify has sent; add --notify"
        raise UsageError(msg)
    channels = open_channels() if notify else ()
    if state is not None:
        check_output(state, example="alerts.json", declaration=file, option="--state")
        check_state(state)
    with annotated(output_format):
        declaration = load(file)
    verdict = console.run(
        check(Scope(declaration, simulator=simulator, folder=folder), check_destinations=check_destinations)
    )
    if verdict.standard:
        note("note: the file declares no alerts, so the usual ones are judged; `alerts` in the file chooses others")
    console.warn(verdict.warnings)
    verdict = _repeatable(verdict, context, file, simulator)
    several = len(account_variables(declaration)) > 1
    show(format_verdict(verdict, output_format, several=several))
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


def format_verdict(verdict: Verdict, output_format: str, *, several: bool) -> str:
    """Write what was found in one of the formats; `several` accounts are told apart."""
    from reconciler.render import alerts

    match output_format:
        case "json":
            from reconciler.render.escape import to_json

            return to_json(alerts.alerts_document(verdict))
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
    from reconciler.insight.alerts import news
    from reconciler.render.alerts import message, title

    told = frozenset() if state is None else read_state(state)
    latest = news(verdict, told or frozenset())
    if latest is not None:
        worst = verdict.alerts[0].severity if verdict.alerts else None
        send(channels, title(latest), message(latest, several=several), worst)
    if state is not None and (latest is not None or told is None):
        write_state(state, frozenset() if latest is None else latest.told)


# Sends a message through Apprise, to the URLs of an environment variable.
#
# The URLs hold tokens. Apprise's own words about them, and what its services raise, are therefore shown to nobody:
# what went wrong is said by the place of a URL in the variable and by the name of its service.

URLS_VARIABLE: Final = "RECONCILER_NOTIFY_URLS"

# A comma may also stand within a URL, a space may not.
_BETWEEN: Final = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+")


@dataclass(frozen=True, slots=True)
class Channel:
    """One URL of the variable, ready to take a message; `label` names it without what it holds."""

    label: str
    service: NotifyBase


def open_channels() -> tuple[Channel, ...]:
    """Get ready to send to all URLs of RECONCILER_NOTIFY_URLS; nothing is sent yet.

    Raises UsageError when there is none, when one cannot be used, or without the extra `notify`.
    """
    urls = [part for each in _BETWEEN.split(os.environ.get(URLS_VARIABLE, "")) if (part := each.strip(","))]
    if not urls:
        msg = f"--notify needs {URLS_VARIABLE}, with the Apprise URLs to send to, like mailto://… or slack://…"
        raise UsageError(msg)
    from reconciler.installation import need_extra

    need_extra("notify", "apprise")
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="reconciler", app_desc="alerts of reconciler", app_url="")
    asset.http_redirects = False  # a message goes where it was meant to go, unless the URL itself says ?redirect=yes
    channels = []
    with _in_silence():
        for number, url in enumerate(urls, 1):
            service = Apprise.instantiate(url, asset=asset)
            if service is None:
                msg = f"{URLS_VARIABLE}: URL {number} of {len(urls)} is none that Apprise can use; correct or remove it"
                raise UsageError(msg)
            channels.append(Channel(f"URL {number} of {len(urls)} ({service.service_name})", service))
    return tuple(channels)


def send(channels: Sequence[Channel], title: str, body: str, severity: Severity | None) -> None:
    """Send a message in Markdown to every channel; `severity` None is good news.

    Raises NotificationError, once all have been tried, with those that did not take it.
    """
    from apprise import Apprise, NotifyFormat, NotifyType

    kinds = {"error": NotifyType.FAILURE, "warning": NotifyType.WARNING, "note": NotifyType.INFO}
    kind = NotifyType.SUCCESS if severity is None else kinds[severity.value]
    failed = []
    with _in_silence():
        for channel in channels:
            one = Apprise()
            one.add(channel.service)
            try:
                sent = bool(one.notify(body=body, title=title, notify_type=kind, body_format=NotifyFormat.MARKDOWN))
            except Exception:  # noqa: BLE001  # whatever it is, its words may hold the URL
                sent = False
            if not sent:
                failed.append(channel.label)
    if failed:
        msg = f"the message was not taken by {', '.join(failed)} of {URLS_VARIABLE}; it is sent again the next time"
        raise NotificationError(msg)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Let Apprise say nothing: neither in its log nor as a warning."""
    log = logging.getLogger("apprise")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


# Remembers in a file which alerts somebody was told of.

_VERSION: Final = 1
_PARTS: Final = 4


def check_state(path: Path) -> None:
    """Find out before anything is sent whether the state can be kept; raises UsageError."""
    try:
        place = files.resolve(str(path))
        obstacles = files.obstacles(place)
        files.peek(place, own=True)
    except OSError as error:
        obstacles = [error.strerror or type(error).__name__]
    if obstacles:
        msg = f"--state {path} cannot be kept: {', '.join(obstacles)}"
        raise UsageError(msg)


def read_state(path: Path) -> frozenset[Identity] | None:
    """Return what was told before, nothing where there is no file yet.

    None, with a warning on stderr, is a file that holds something else: all is told again then.
    """
    try:
        content = files.peek(files.resolve(str(path)))
        return frozenset() if content is None else _decoded(content)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        problem = "it is no state of alerts"
    note(f"warning: --state {path} cannot be used ({problem}), so what fires is told again")
    return None


def write_state(path: Path, told: AbstractSet[Identity]) -> None:
    """Replace the file as a whole; raises NotificationError."""
    place = files.resolve(str(path))
    document = {"format_version": _VERSION, "told": sorted(told)}
    try:
        with files.locked(place.parent) as folder:
            files.replace(
                folder,
                place.name,
                f"{json.dumps(document, indent=1)}\n".encode(),
                files.read(folder, place.name, own=True),
            )
    except OSError as error:
        msg = f"--state {path} could not be written, so the same may be told again: {error.strerror or 'unknown error'}"
        raise NotificationError(msg) from error


def _decoded(content: bytes) -> frozenset[Identity]:
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("format_version") != _VERSION:
        raise ValueError
    told = document.get("told")
    if not isinstance(told, list):
        raise ValueError  # noqa: TRY004  # of a file, not of an argument
    return frozenset(map(_identity, told))


def _identity(raw: object) -> Identity:
    if not isinstance(raw, list) or len(raw) != _PARTS or not all(isinstance(part, str) for part in raw):
        raise ValueError
    account, rule, about, severity = raw
    return (account, rule, about, severity)
