"""What the account was used for, for programs: JSON and CSV, every line and every amount exactly."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from reconciler.insight.breakdown import Kind
from reconciler.render.escape import defused
from reconciler.units import format_money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.insight.activity import AccountActivity, ActivityReport
    from reconciler.insight.breakdown import Breakdown, Group, Line
    from reconciler.insight.trend import Change, Insights
    from reconciler.model import Tally

FORMAT_VERSION: Final = 1
CSV_FIELDS: Final = (
    "account",
    "kind",
    "name",
    "date",
    "key_ids",
    "requests",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "share_percent",
)


def activity_document(report: ActivityReport) -> dict[str, object]:
    """Lay out the use as JSON; costs in USD as decimal strings, shares in percent as decimal strings, days in UTC."""
    question = report.question
    return {
        "format_version": FORMAT_VERSION,
        "by": question.by.value,
        "days": question.days,
        "since": report.since.isoformat(),
        "until": report.today.isoformat(),
        "declared": report.declared,
        "total": _tally(report.whole.total),
        "absent": list(report.whole.absent),
        "unread": list(report.unread),
        "lines": [_line(line, daily=question.daily) for line in report.whole.lines],
        "accounts": [_account(account, daily=question.daily) for account in report.accounts],
    }


def activity_csv(report: ActivityReport) -> str:
    """Write a record for each line of each account, or for each of its days (RFC 4180, a header first).

    Control characters in names are written as visible escapes; a name that a spreadsheet would take for a formula has
    an apostrophe in front.
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(CSV_FIELDS)
    for account in report.accounts:
        for line in account.breakdown.lines:
            writer.writerows(_records(account, line, daily=report.question.daily))
    return stream.getvalue()


def _records(account: AccountActivity, line: Line, *, daily: bool) -> Iterator[tuple[object, ...]]:
    kind, name, _ = line.group
    start = (account.variable, kind.value, defused(name))
    ids = " ".join(map(str, line.key_ids))
    if not (daily and line.daily):
        date = name if kind is Kind.DAY else ""
        yield (*start, date, ids, *_figures(line.tally), "" if line.share is None else f"{line.share:.1f}")
        return
    for day, tally in line.daily:
        yield (*start, day.isoformat(), ids, *_figures(tally), "")


def _figures(tally: Tally) -> tuple[object, ...]:
    return (tally.requests, format_money(tally.cost), tally.input_tokens, tally.output_tokens)


def _account(account: AccountActivity, *, daily: bool) -> dict[str, object]:
    breakdown: Breakdown = account.breakdown
    return {
        "account": account.variable,
        "total": _tally(breakdown.total),
        "absent": list(breakdown.absent),
        "corrected_days": account.corrected,
        "insights": _insights(account.insights),
        "lines": [_line(line, daily=daily) for line in breakdown.lines],
    }


def _line(line: Line, *, daily: bool) -> dict[str, object]:
    days = [{"date": day.isoformat(), **_tally(tally)} for day, tally in line.daily]
    return {
        **_group(line.group),
        "key_ids": list(line.key_ids),
        **_tally(line.tally),
        "share": None if line.share is None else f"{line.share:.1f}",
        **({"daily": days} if daily else {}),
    }


def _group(group: Group) -> dict[str, object]:
    return {"kind": group.kind.value, "name": group.name or None}


def _tally(tally: Tally) -> dict[str, object]:
    return {
        "requests": tally.requests,
        "cost": format_money(tally.cost),
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
    }


def _insights(insights: Insights) -> dict[str, object]:
    return {
        "models": [
            {"name": line.group.name or None, "cost": format_money(line.tally.cost)} for line in insights.models
        ],
        "change": _change(insights.changed),
        "driver": _change(insights.driver),
    }


def _change(change: Change | None) -> dict[str, object] | None:
    if change is None:
        return None
    group = {} if change.group is None else {**_group(change.group), "key_id": change.group.key_id}
    return {
        **group,
        "first_days": change.first_days,
        "first_cost": format_money(change.first_cost),
        "last_days": change.last_days,
        "last_cost": format_money(change.last_cost),
    }
