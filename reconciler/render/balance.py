"""What is left on the accounts, how long it lasts and what it is promised to: text, Markdown, JSON."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Final

from reconciler.insight.balance import LONGEST_RUNWAY
from reconciler.render.columns import Ansi, Pen, cents, wrapped
from reconciler.render.escape import markdown, markdown_code, markdown_name, terminal, terminal_name
from reconciler.render.words import Show
from reconciler.units import dollars, format_instant, format_money, plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.insight.balance import Balance, BalanceReport, Limits, Runway

FORMAT_VERSION: Final = 1

_TEXT: Final = Show(terminal_name, terminal)
_MARKDOWN: Final = Show(markdown_name, markdown_code)
_ROOMY: Final = Context(prec=100)


def render_text(report: BalanceReport, *, color: bool, width: int | None = None) -> str:
    """Show the balance of each account, and of all together."""
    pen = Pen(color=color)
    blocks = []
    for balance in report.accounts:
        head = _head(balance, report, _TEXT)
        ansi = Ansi.ALARM if balance.suffices(report.minimum) is False or balance.amount is None else Ansi.BOLD
        lines = [part for line in _details(balance, report.now, _TEXT) for part in wrapped(line, _room(width))]
        blocks.append([pen(ansi, head), *(f"  {line}" for line in lines)])
    if len(report.accounts) > 1:
        blocks.append([pen(Ansi.BOLD, _whole(report, _TEXT))])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def render_markdown(report: BalanceReport) -> str:
    """Show the same as a page: a heading and a list for each account."""
    blocks = []
    for balance in report.accounts:
        mark = {True: "✅ ", False: "❌ ", None: ""}[balance.suffices(report.minimum)]
        lines = (*_details(balance, report.now, _MARKDOWN), *map(markdown, balance.unread))
        details = (f"- {line}" for line in lines)
        blocks.append("\n\n".join(filter(None, [f"### {mark}{_head(balance, report, _MARKDOWN)}", "\n".join(details)])))
    if len(report.accounts) > 1:
        blocks.append(f"**{_whole(report, _MARKDOWN)}**")
    return "\n\n".join(blocks) + "\n"


def balance_document(report: BalanceReport) -> dict[str, object]:
    """Lay out the same as JSON; amounts in USD and days as decimal strings."""
    return {
        "format_version": FORMAT_VERSION,
        "at": format_instant(report.now),
        "minimum": _money(report.minimum),
        "sufficient": report.suffices,
        "balance": _money(report.whole),
        "accounts": [_account(balance, report) for balance in report.accounts],
    }


# --- in words ---------------------------------------------------------------------------------------------------------


def _head(balance: Balance, report: BalanceReport, show: Show) -> str:
    title = "Balance" if len(report.accounts) == 1 else f"Balance of {show.name(balance.variable)}"
    if balance.amount is None:
        return f"{title}: not known"
    text = f"{title}: {show.value(dollars(balance.amount))}"
    if report.minimum is None:
        return text
    minimum = show.value(dollars(report.minimum))
    return f"{text}, at least {minimum}" if balance.suffices(report.minimum) else f"{text}, below {minimum}"


def _details(balance: Balance, now: datetime, show: Show) -> Iterator[str]:
    if balance.environments:
        yield f"environments: {', '.join(map(show.name, balance.environments))}"
    if balance.amount is not None and not balance.runways:
        yield "how long it lasts is not known"
    for runway in balance.runways:
        yield _lasts(runway, now, show)
    if any(not runway.pace.partial for runway in balance.runways):
        yield "these are whole days in UTC: today's use is not over and not counted"
    if balance.limits is not None:
        yield from _limits(balance.limits, balance.amount, show)


def _lasts(runway: Runway, now: datetime, show: Show) -> str:
    pace = runway.pace
    if pace.partial:
        measured = "today, which is not over" if pace.days == 1 else f"the last {pace.days} days, today's as it stands"
    else:
        measured = "yesterday" if pace.days == 1 else f"the last {pace.days} days"
    if runway.days is None:
        return f"nothing was spent {'' if pace.days == 1 else 'in '}{measured}, so there is no pace to go by"
    lasts = f"lasts {_days(runway.days, now, show)}"
    return f"{lasts} at the pace of {measured}: {show.value(cents(pace.per_day))} a day"


def _days(days: Decimal, now: datetime, show: Show) -> str:
    if days >= LONGEST_RUNWAY:
        return "more than 100 years"
    text = show.value(f"{days:,.1f} days")
    return f"{text} (until {(now + timedelta(days=float(days))).date()})"


def _limits(limits: Limits, amount: Decimal | None, show: Show) -> Iterator[str]:
    text = f"limits of {plural(limits.keys, 'live key')}: {show.value(dollars(limits.total))}"
    if limits.unlimited:
        text += f"; without a limit: {plural(limits.unlimited, 'key')}"
    yield text
    if limits.spent is None or limits.left is None or not limits.keys:
        return
    least, most = ("", "") if limits.exact else ("at least ", "at most ")
    spent, left = show.value(cents(limits.spent)), show.value(cents(limits.left))
    text = f"spent of these limits: {least}{spent}; left: {most}{left}"
    if amount is not None and limits.left > 0:
        text += f", of which the balance covers {_covered(amount, limits.left)}"
    yield text


def _covered(amount: Decimal, left: Decimal) -> str:
    share = max(amount, Decimal(0)) * 100 / left
    if share >= 100:  # noqa: PLR2004  # percent
        return "all"
    return f"{share.quantize(Decimal(1), ROUND_FLOOR, _ROOMY)} %"


def _whole(report: BalanceReport, show: Show) -> str:
    if report.whole is None:
        return "All accounts: not known"
    return f"All accounts: {show.value(dollars(report.whole))}"


def _room(width: int | None) -> int | None:
    return None if width is None else width - len("  ")


# --- in JSON ----------------------------------------------------------------------------------------------------------


def _account(balance: Balance, report: BalanceReport) -> dict[str, object]:
    return {
        "account": balance.variable,
        "environments": list(balance.environments),
        "balance": _money(balance.amount),
        "sufficient": balance.suffices(report.minimum),
        "runway": [_runway(runway) for runway in balance.runways],
        "limits": None if balance.limits is None else _limits_document(balance.limits),
        "unread": list(balance.unread),
    }


def _runway(runway: Runway) -> dict[str, object]:
    return {
        "asked_days": runway.pace.asked,
        "measured_days": runway.pace.days,
        "includes_today": runway.pace.partial,
        "cost": format_money(runway.pace.cost),
        "cost_per_day": format_money(runway.pace.per_day),
        "days": None if runway.days is None else f"{runway.days:.1f}",
    }


def _limits_document(limits: Limits) -> dict[str, object]:
    return {
        "total": format_money(limits.total),
        "keys": limits.keys,
        "unlimited": limits.unlimited,
        "spent": _money(limits.spent),
        "left": _money(limits.left),
        "exact": limits.exact,
    }


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format_money(amount)
