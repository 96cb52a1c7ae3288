"""Amounts and counts in the words of messages."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from reconciler.planning.actions import is_whole_life
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime
    from decimal import Decimal

    from reconciler.model import Delivery, LiveKey, Setting, Target, Usage

_NAMED: Final = 5
_PLAIN: Final = re.compile(r"(?![a-f]{7})[a-z_]+", re.ASCII)  # seven hexadecimal digits may be a commit on a forge
_FEW: Final = 8  # names that a line has room for


def dollars(amount: Decimal) -> str:
    """Write USD as people read it: `$1,500`, `$12.50`, `$0.000125`, `-$3`."""
    whole, point, fraction = format_money(abs(amount)).partition(".")
    sign = "-" if amount < 0 else ""
    return f"{sign}${int(whole):,}{point}{fraction.ljust(2, '0') if point else ''}"


def show_limit(amount: Decimal | None) -> str:
    """Write a credit limit in USD; None is no limit."""
    return "no limit" if amount is None else dollars(amount)


def show_expiry(instant: datetime | None) -> str:
    """Write when a key expires, in UTC; None is never."""
    return "never" if instant is None else format_instant(instant)


def plural(count: int, noun: str) -> str:
    """Count a noun that takes an s, or ies for a y: `1 key`, `2,000 keys`, `2 expiries`."""
    if count == 1:
        return f"{count:,} {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"


def used(usage: Usage, value: Callable[[str], str] = str) -> str:
    """Say how much a key was used: `892 requests, $28.34 in 30 days`; `value` sets off the amount."""
    return f"{plural(usage.requests, 'request')}, {value(dollars(usage.cost))} in {plural(usage.days, 'day')}"


def used_lately(live: LiveKey, usage: Usage, now: datetime, value: Callable[[str], str] = str) -> str:
    """Say how much a live key was used: as `used` does, or `not used in 30 days`, of a younger one `never used`."""
    if usage:
        return used(usage, value)
    young = is_whole_life(live.created_at, now, usage.days)
    return "never used" if young else f"not used in {plural(usage.days, 'day')}"


def near(name: str, known: Collection[str]) -> str:
    """Say which of the known names may have been meant, or which there are if they are few; empty for neither."""
    from difflib import get_close_matches  # only where something is wrong

    found = get_close_matches(name, known, n=1) or sorted(each for each in known if each.startswith(name))
    if found:
        return f"; did you mean {found[0]}?"
    return f"; known here: {', '.join(sorted(known))}" if 0 < len(known) <= _FEW else ""


def place_words(delivery: Delivery, name: Callable[[str], str] = str) -> str:
    """Say where a secret goes: `github-actions, repository acme/api, as NAGA_API`; `name` sets off the values."""
    return f"{target_words(delivery.target, name)}{link_words(delivery, name)}, as {name(delivery.name)}"


def link_words(delivery: Delivery, name: Callable[[str], str] = str) -> str:
    """Say which file links lead to, if any do: `, which leads to /etc/hosts`."""
    file = delivery.place.file if delivery.linked else None
    return "" if file is None else f", which leads to {name(file)}"


def target_words(target: Target, name: Callable[[str], str] = str) -> str:
    """Say what takes secrets: `github-actions, environment production, repository acme/api`."""
    settings = [
        f"{setting if _PLAIN.fullmatch(setting) else name(setting)} {name(setting_words(value))}"
        for setting, value in target.settings
    ]
    return ", ".join([name(target.type), *settings])


def setting_words(value: Setting) -> str:
    """Write a setting of a destination; the words of a list are joined, each quoted where it has a space."""
    if isinstance(value, tuple):
        return " ".join(map(shlex.quote, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(names: Sequence[str]) -> str:
    """List names, not more than anybody reads: `a, b, c, d, e and 7 more`."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
