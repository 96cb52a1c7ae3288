"""A report in words: what was read of accounts, as the page that people look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import AlertRule
from reconciler.insight.inventory import KeyStatus
from reconciler.insight.report import UnreadAccount
from reconciler.plan.phrases import plural
from reconciler.render import report_sections as sections
from reconciler.render.amounts import cents
from reconciler.render.page import Figure, Mark, Name, Page, Part, Section, Table, Tile, Tone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from reconciler.insight.report import Account, AccountReport
    from reconciler.insight.runway import Runway
    from reconciler.render.page import Cell

TITLE: Final = "API keys and credits"
MOST_ACCOUNTS: Final = 10
"""How many accounts get a part of their own; of the others there is a line in the overview."""

_ROWS: Final = 60
_FEWEST_ROWS: Final = 10
_FOOTNOTES: Final = (
    "Amounts are in US dollars, rounded to cents; reconciler activity --format json has every digit. Days are UTC.",
    "The service may answer as of five minutes ago, and knows of no use that is older than 30 days.",
)


def report_page(accounts: Sequence[Account], days: int, at: datetime, facts: Sequence[str]) -> Page:
    """Put reports on accounts, in order of their variables, into words; `facts` say what else the page is about."""
    several = len(accounts) > 1
    shown = accounts[:MOST_ACCOUNTS]
    rows = max(_ROWS // max(len(shown), 1), _FEWEST_ROWS)
    parts = [_part(account, number, rows, several=several) for number, account in enumerate(shown, start=1)]
    return Page(
        title=TITLE,
        facts=(f"As of {at.day} {at:%B %Y, %H:%M} UTC", f"Last {plural(days, 'day')}", *facts),
        parts=(*([_overview(accounts)] if several else []), *parts),
        footnotes=_FOOTNOTES,
    )


def _part(account: Account, number: int, rows: int, *, several: bool) -> Part:
    ident = f"account-{number}-" if several else ""
    name = _title(account) if several else ""
    if isinstance(account, UnreadAccount):
        return Part(ident, name, (), (Section("unread", "Not read", account.reason),))
    shown = (
        sections.attention(account, rows),
        sections.spend(account),
        sections.teams(account),
        sections.models(account),
        sections.limits(account, rows),
        sections.coming(account, rows),
        sections.changes(account, rows),
    )
    return Part(ident, name, _tiles(account), tuple(section for section in shown if section is not None))


def _title(account: Account) -> str:
    environments = account.environments if isinstance(account, UnreadAccount) else account.balance.environments
    return f"{', '.join(environments)} ({account.variable})" if environments else account.variable


# --- the figures that matter ------------------------------------------------------------------------------------------


def _tiles(account: AccountReport) -> tuple[Tile, ...]:
    return (_balance(account), _spent(account), _limits(account), _keys(account), _attention(account))


def _balance(account: AccountReport) -> Tile:
    amount = account.balance.amount
    if amount is None:
        return Tile("Balance", "unknown", ("it could not be read",), Tone.WARNING)
    alerts = () if account.verdict is None else account.verdict.alerts
    rules = {AlertRule.BALANCE_BELOW, AlertRule.RUNWAY_BELOW}
    worst = next((sections.TONES[each.severity] for each in alerts if each.rule in rules), Tone.PLAIN)
    return Tile("Balance", cents(amount), tuple(_lasts(each) for each in account.balance.runways), worst)


def _lasts(runway: Runway) -> str:
    over = "today" if runway.pace.partial else f"the last {plural(runway.pace.days, 'day')}"
    if runway.days is None:
        return f"nothing was spent in {over}"
    return f"lasts {_days(runway.days)} at the pace of {over}"


def _days(days: Decimal) -> str:
    """Write a number of days: with a decimal only where that matters."""
    many = 10
    shown = f"{days:,.0f}" if days >= many or days == days.to_integral_value() else f"{days:.1f}"
    return f"{shown} day{'s' * (shown != '1')}"


def _spent(account: AccountReport) -> Tile:
    label = f"Spent in {plural(account.days, 'day')}"
    if account.spend is None:
        return Tile(label, "unknown", ("the activity could not be read",), Tone.WARNING)
    total = account.spend.total
    paces = (f"{cents(each.pace.per_day)} a day in the last {each.pace.days}" for each in account.balance.runways)
    return Tile(label, cents(total.cost), (plural(total.requests, "request"), *paces))


def _limits(account: AccountReport) -> Tile:
    limits, amount = account.balance.limits, account.balance.amount
    if limits is None:
        return Tile("Limits handed out", "unknown", ("the keys could not be read",), Tone.WARNING)
    notes = [f"to {plural(limits.keys, 'key')}"]
    if limits.unlimited:
        notes.append(f"{plural(limits.unlimited, 'more key')} without a limit")
    if limits.left is not None:
        notes.append(f"{'' if limits.exact else 'at most '}{cents(limits.left)} left to spend")
    if amount is not None and amount > 0 and limits.total > amount:
        notes.append(f"{limits.total / amount:,.1f} times the balance")
    return Tile("Limits handed out", cents(limits.total), tuple(notes))


_FOREIGN: Final = {
    KeyStatus.UNMANAGED: "not managed",
    KeyStatus.UNDECLARED: "not declared",
    KeyStatus.MISSING: "missing",
}


def _keys(account: AccountReport) -> Tile:
    keys = [key for key in account.keys if key.status is not KeyStatus.LOCK]
    counts = {words: sum(key.status is status for key in keys) for status, words in _FOREIGN.items()}
    live = sum(key.live is not None for key in keys)
    return Tile("Keys", f"{live:,}", tuple(f"{count:,} {words}" for words, count in counts.items() if count))


def _attention(account: AccountReport) -> Tile:
    found = [(severity, account.troubles.get(severity, 0)) for severity in (Severity.ERROR, Severity.WARNING)]
    notes = tuple(plural(count, severity) for severity, count in found if count)
    worst = next((sections.TONES[severity] for severity, count in found if count), Tone.PLAIN)
    waiting = len(account.plan.actions) if account.plan else 0
    changes = (f"{plural(waiting, 'change')} to apply",) if waiting else ()
    total = sum(count for _, count in found)
    return Tile("Needs attention", f"{total:,}" if total else "nothing", (*notes, *changes), worst)


# --- several accounts -------------------------------------------------------------------------------------------------


def _overview(accounts: Sequence[Account]) -> Part:
    columns = ("Account", "Balance", "Lasts", "Spent", "Keys", "Needs attention")
    table = Table("The accounts of the file", columns, tuple(_account_row(account) for account in accounts))
    beyond = len(accounts) - MOST_ACCOUNTS
    note = (
        (f"{plural(beyond, 'account')} at the end of this list are told of here only; -e selects.",)
        if beyond > 0
        else ()
    )
    return Part("overview-", "All accounts", (), (Section("accounts", "Side by side", tables=(table,), notes=note),))


def _account_row(account: Account) -> tuple[Cell, ...]:
    name = Name(_title(account))
    if isinstance(account, UnreadAccount):
        return (name, *[Figure("unknown")] * 4, Mark("not read", Tone.BAD))
    balance, spent, _, keys, attention = _tiles(account)
    runway = next(iter(account.balance.runways), None)
    lasts = "unknown" if runway is None else "for ever" if runway.days is None else _days(runway.days)
    tone = Tone.GOOD if attention.tone is Tone.PLAIN else attention.tone
    figures = (balance.value, lasts, spent.value, keys.value)
    return (name, *map(Figure, figures), Mark(", ".join(attention.notes) or attention.value, tone))
