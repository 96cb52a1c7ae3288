"""What `check` found: for people, for programs, and as a message that is sent somewhere."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.insight.trends import ACCOUNT
from reconciler.render import words
from reconciler.render.columns import Ansi, Column, Entry, Listing, Pen, Row, markdown_table
from reconciler.render.escape import markdown, markdown_code, markdown_name, terminal, terminal_name
from reconciler.render.inventory import source_document
from reconciler.units import format_money, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.insight.alerts import Alert, Identity, News, Unjudged, Verdict
    from reconciler.insight.trends import Forecast

MOST_ROWS: Final = 200
"""As many alerts a page or a message shows; the rest is counted."""

_MOST_IN_A_MESSAGE: Final = 20
_LOOKS: Final = {
    Severity.ERROR: ("✗", Ansi.ALARM),
    Severity.WARNING: ("!", Ansi.YELLOW),
    Severity.NOTE: ("·", Ansi.CYAN),
}
_SIGNS: Final = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.NOTE: "ℹ️"}  # noqa: RUF001  # the sign for information
# What chat services make mentions, links and markup of, even in code.
_ACTIVE: Final = re.compile(r"[<>@&]")


def alerts_text(verdict: Verdict, *, several: bool, color: bool, width: int | None) -> str:
    """Show what fired and what was not judged; with `several` accounts, each says which one it is about."""
    pen = Pen(color=color)
    groups = {
        pen(Ansi.BOLD, "Alerts"): [_entry(alert, several=several) for alert in verdict.alerts],
        pen(Ansi.BOLD, "Not judged"): [_unjudged_entry(each, several=several) for each in verdict.unjudged],
    }
    listing = Listing((entry for entries in groups.values() for entry in entries), pen, width)
    blocks = [
        "\n".join([title, *(line for entry in entries for line in listing.lines(entry))])
        for title, entries in groups.items()
        if entries
    ]
    remarks = [f"Note: {terminal(remark)}" for remark in verdict.remarks]
    blocks.append("\n".join([*remarks, pen(_ink(verdict), f"{headline(verdict)}.")]))
    return "\n\n".join(blocks) + "\n"


def alerts_markdown(verdict: Verdict, *, several: bool) -> str:
    """Show the same as a page of Markdown."""
    blocks = [f"### {headline(verdict)}"]
    columns = [Column(title) for title in ("Alert", "About", "Message", "What to do", "Rule")]
    if verdict.alerts:
        rows = [_alert_row(alert, several=several) for alert in verdict.alerts[:MOST_ROWS]]
        blocks += [markdown_table(columns, rows), *_more(len(verdict.alerts) - MOST_ROWS)]
    if verdict.unjudged:
        rows = [_unjudged_row(each, several=several) for each in verdict.unjudged[:MOST_ROWS]]
        blocks.append(markdown_table([Column("Not judged"), Column("Why")], rows))
    blocks += [f"Note: {markdown(remark)}" for remark in verdict.remarks]
    return "\n\n".join(blocks) + "\n"


def alerts_document(verdict: Verdict) -> dict[str, object]:
    """Lay out the verdict for programs; `standard` tells that the file declares no alerts."""
    return {
        "format_version": 1,
        "standard": verdict.standard,
        "summary": {
            "alerts": len(verdict.alerts),
            **{severity.value: _count(verdict.alerts, severity) for severity in Severity},
            "not_judged": len(verdict.unjudged),
        },
        "alerts": [_alert_document(alert) for alert in verdict.alerts],
        "not_judged": [
            {"rule": each.rule.value, "account": each.account, "reason": each.reason} for each in verdict.unjudged
        ],
        "notes": [*verdict.remarks],
        "forecasts": [forecast_document(each) for each in verdict.forecasts],
    }


def forecast_document(forecast: Forecast) -> dict[str, object]:
    """Lay out how a group goes on; USD as text, `days` of this month are in `spent`."""
    ceiling, reached = forecast.ceiling, forecast.reached
    bound = None
    if ceiling is not None:
        bound = {
            "kind": ceiling.bound.value,
            "amount": format_money(ceiling.amount),
            "left": format_money(ceiling.left),
            "at_most": ceiling.at_most,
            "reached": str(reached),
        }
    return {
        "account": forecast.account,
        "kind": "account" if forecast.group == ACCOUNT else forecast.group.kind.value,
        "name": forecast.group.name or None,
        "per_day": format_money(forecast.per_day),
        "spent": format_money(forecast.spent),
        "days": forecast.days,
        "month_end": format_money(forecast.month_end),
        "reaches": bound,
    }


def title(news: News) -> str:
    """Return the title of a message."""
    if news.alerts:
        return f"reconciler: {summed(news.alerts)}"
    return "reconciler: all is well again" if news.all_well else "reconciler: some alerts are over"


def message(news: News, *, several: bool) -> str:
    """Write the body of a message in Markdown that stays readable where nobody renders it.

    Names stand as code, and what a chat service would act on even there is written as an escape.
    """
    lines = [
        _message_line(alert, new=bool(news.known) and alert.identity not in news.known, several=several)
        for alert in news.alerts
    ]
    blocks = ["\n".join(lines[:_MOST_IN_A_MESSAGE])] if lines else []
    blocks += _more(len(lines) - _MOST_IN_A_MESSAGE)
    if news.gone:
        shown = (f"- ✅ {_inert(_gone(each, several=several))}" for each in news.gone[:_MOST_IN_A_MESSAGE])
        blocks += ["No longer:", "\n".join(shown), *_more(len(news.gone) - _MOST_IN_A_MESSAGE)]
    return "\n\n".join(blocks) + "\n"


def headline(verdict: Verdict) -> str:
    """Return in a few words what was found: `2 alerts: 1 error, 1 warning; 1 not judged`."""
    rest = f"; {len(verdict.unjudged):,} not judged" if verdict.unjudged else ""
    if verdict.alerts:
        return f"{summed(verdict.alerts)}{rest}"
    return f"No alert fired{rest}" if rest else "All is well: no alert fired"


def summed(alerts: Sequence[Alert]) -> str:
    """Count alerts by their severity."""
    counts = (plural(count, each.value) for each in Severity if (count := _count(alerts, each)))
    return f"{plural(len(alerts), 'alert')}: {', '.join(counts)}"


def _count(alerts: Sequence[Alert], severity: Severity) -> int:
    return Counter(alert.severity for alert in alerts)[severity]


def _ink(verdict: Verdict) -> Ansi:
    if verdict.alerts:
        return Ansi.ALARM
    return Ansi.YELLOW if verdict.unjudged else Ansi.GREEN


def _entry(alert: Alert, *, several: bool) -> Entry:
    mark, ansi = _LOOKS[alert.severity]
    lines = (terminal(alert.message), terminal(alert.remedy), terminal(f"$ {alert.command}"))
    place = None if alert.source is None else words.place(alert.source, terminal)
    parts = (alert.rule.value, place, terminal_name(alert.account) if several else None)
    return Entry(mark, alert.severity.value, terminal_name(alert.subject), ansi, lines, ", ".join(filter(None, parts)))


def _unjudged_entry(unjudged: Unjudged, *, several: bool) -> Entry:
    account = terminal_name(unjudged.account) if several else ""
    return Entry("?", "unknown", unjudged.rule.value, Ansi.YELLOW, (terminal(unjudged.reason),), account)


def _alert_row(alert: Alert, *, several: bool) -> Row:
    place = None if alert.source is None else markdown_code(words.place(alert.source, terminal))
    parts = (markdown_code(alert.rule.value), place, markdown_name(alert.account) if several else None)
    todo = f"{markdown(alert.remedy)}: {markdown_code(terminal(alert.command))}"
    sign = f"{_SIGNS[alert.severity]} {alert.severity}"
    return Row((sign, markdown_name(alert.subject), markdown(alert.message), todo, ", ".join(filter(None, parts))))


def _unjudged_row(unjudged: Unjudged, *, several: bool) -> Row:
    account = f", {markdown_name(unjudged.account)}" if several else ""
    return Row((f"{markdown_code(unjudged.rule.value)}{account}", markdown(unjudged.reason)))


def _alert_document(alert: Alert) -> dict[str, object]:
    return {
        "rule": alert.rule.value,
        "severity": alert.severity.value,
        "account": alert.account,
        "address": None if alert.address is None else str(alert.address),
        "name": alert.name,
        "environment": alert.environment,
        "team": alert.team,
        "message": alert.message,
        "remedy": alert.remedy,
        "command": alert.command,
        "source": None if alert.source is None else source_document(alert.source),
    }


def _message_line(alert: Alert, *, new: bool, several: bool) -> str:
    parts = (
        None if alert.source is None else words.place(alert.source, str),
        alert.account if several else None,
    )
    shown = ", ".join(_inert(part) for part in parts if part)
    head = f"- {_SIGNS[alert.severity]} {'new: ' if new else ''}{_named(alert)}: {_inert(alert.message)}"
    command = markdown_code(_ACTIVE.sub(_escaped, terminal(alert.command)))
    return f"{head}{f' ({shown})' if shown else ''}\n  - {_inert(alert.remedy)}: {command}"


def _named(alert: Alert) -> str:
    return _ACTIVE.sub(_escaped, markdown_name(alert.subject))


def _gone(identity: Identity, *, several: bool) -> str:
    account, rule, about, _ = identity
    return f"{rule}: {about}{f' ({account})' if several else ''}"


def _inert(text: str) -> str:
    """Escape a text so that neither a page nor a chat acts on it."""
    return _ACTIVE.sub(_escaped, markdown(text))


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _more(count: int) -> list[str]:
    return [f"… and {count:,} more"] if count > 0 else []
