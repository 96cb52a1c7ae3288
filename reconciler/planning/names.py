"""The live-name grammar: how an address becomes the name of a live key, and back.

The API has no labels, so a key's place in its life is written in its name. A settled key is called what `naming` makes
of its address; `~` starts what the engine adds:

    production/api                          settled
    dev/anna~per.<yyyymmdd>.<spend>         settled, with a budget that renews: the first day of its period, and what
                                            the key had spent before it, in USD
    production/api~new.<nonce>              being created, under a lease; its secret has reached nobody
    production/api~sent.<nonce>             a rotation's new key whose delivery has begun, under the same lease
    production/api~next                     delivered, waiting to take over
    production/api~old.<yyyymmddThhmmssZ>   rotated out, works until then
    production/api~gone.<yyyymmddThhmmssZ>  removed from the file, restorable until then
    ci/agent~run.<nonce>                    leased: lives as long as a command
    reconciler~lock.<nonce>                 an apply is running
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from reconciler.model import Address
from reconciler.units import format_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
LONGEST_LIVE_NAME: Final = 255
LONGEST_SUFFIX: Final = len("~gone.20270101T000000Z")
LONGEST_PERIOD_SUFFIX: Final = len("~per.20270101.123456789012.123456")

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_SUFFIX: Final = re.compile(
    r"~(?:(?P<leased>new|sent|run)\.[a-z0-9]{1,16}|(?P<next>next)|(?P<kind>old|gone)\.(?P<stamp>\d{8}T\d{6}Z)"
    r"|per\.(?P<begin>\d{8})\.(?P<spent>\d{1,12}(?:\.\d{1,6})?))",
    re.ASCII,
)
_PERIOD: Final = "~per."
_LOCK: Final = re.compile(r"reconciler~lock\.[a-z0-9]{1,16}", re.ASCII)


class Role(StrEnum):
    """Where a live key stands in its life."""

    SETTLED = "settled"
    PENDING = "new"
    DELIVERING = "sent"
    NEXT = "next"
    OLD = "old"
    GONE = "gone"
    LEASED = "run"


@dataclass(frozen=True, slots=True)
class Period:
    """A period of a budget that renews: its first day (UTC), and what the key had spent before it, in USD."""

    begin: date
    spent: Decimal


@dataclass(frozen=True, slots=True)
class ParsedName:
    """A live name that a declared environment owns.

    `until` is the stamp of an `~old` or `~gone` name, `period` that of a settled `~per` name.
    """

    address: Address
    role: Role
    until: datetime | None = None
    period: Period | None = None


class Naming:
    """Formats addresses and parses live names for one set of declared environments."""

    def __init__(self, template: str, environments: Iterable[str]) -> None:
        """Take a valid template (see `declaration`) and the names of the declared environments."""
        self._template = template
        choices = "|".join(re.escape(name) for name in sorted(environments, key=lambda name: (-len(name), name)))
        pattern = re.escape(template).replace(re.escape("{environment}"), f"(?P<environment>{choices or '(?!)'})")
        pattern = pattern.replace(re.escape("{key}"), f"(?P<key>{NAME})")
        self._settled = re.compile(pattern, re.ASCII)

    def format(self, address: Address) -> str:
        """Give the settled live name of an address."""
        return self._template.replace("{environment}", address.environment).replace("{key}", address.key)

    def parse(self, name: str) -> ParsedName | None:
        """Read a live name; None for one that no declared environment owns."""
        settled, tilde, _ = name.partition("~")
        match = self._settled.fullmatch(settled)
        if match is None:
            return None
        address = Address(match["environment"], match["key"])
        if not tilde:
            return ParsedName(address, Role.SETTLED)
        return _parse_suffix(name[len(settled) :], address)


def parse_inherited(name: str, heirs: Mapping[str, Address]) -> ParsedName | None:
    """Read what the engine made of one of these settled names, which now mean an address; None for anything else."""
    settled, tilde, suffix = name.rpartition("~")
    address = heirs.get(settled)
    return None if address is None else _parse_suffix(tilde + suffix, address)


def pending_name(settled: str, nonce: str) -> str:
    """Name a key that is being created; the nonce finds it again after a lost answer."""
    return f"{settled}~new.{nonce}"


def sent_name(settled: str, nonce: str) -> str:
    """Name a rotation's new key from before its first delivery on: a destination may hold its secret."""
    return f"{settled}~sent.{nonce}"


def run_name(settled: str, nonce: str) -> str:
    """Name a key that lives as long as a command."""
    return f"{settled}~run.{nonce}"


def next_name(settled: str) -> str:
    """Name a key that is delivered and waits to take over."""
    return f"{settled}~next"


def old_name(settled: str, until: datetime) -> str:
    """Name a key that was rotated out and goes on until then."""
    return f"{settled}~old.{until.astimezone(UTC):{_STAMP}}"


def gone_name(settled: str, until: datetime) -> str:
    """Name a key that is retired and can be restored until then."""
    return f"{settled}~gone.{until.astimezone(UTC):{_STAMP}}"


def period_name(settled: str, period: Period) -> str:
    """Name a settled key whose budget renews."""
    return f"{settled}{_PERIOD}{period.begin:%Y%m%d}.{format_money(period.spent)}"


def period_of(name: str) -> Period | None:
    """Return the period that a live name tells; None where it tells none."""
    settled, sign, _ = name.rpartition(_PERIOD)
    suffix = _SUFFIX.fullmatch(name, len(settled)) if sign else None
    return None if suffix is None else _parse_period(suffix)


def without_period(name: str) -> str:
    """Return a live name without the period that it tells."""
    return name if period_of(name) is None else name.rpartition(_PERIOD)[0]


def under(settled: str, name: str) -> str:
    """Give a live name under another address: what the engine added to it stays."""
    _, tilde, suffix = name.rpartition("~")
    return f"{settled}~{suffix}" if _SUFFIX.fullmatch(tilde + suffix) else settled


def is_retired(name: str) -> bool:
    """Tell whether a live name is that of a key that can be restored."""
    return "~gone." in name


def lock_name(nonce: str) -> str:
    """Name the lock of a running apply."""
    return f"reconciler~lock.{nonce}"


def is_lock(name: str) -> bool:
    """Tell whether a live name is that of an apply's lock."""
    return _LOCK.fullmatch(name) is not None


def _parse_suffix(text: str, address: Address) -> ParsedName | None:
    suffix = _SUFFIX.fullmatch(text)
    if suffix is None:
        return None
    if suffix["leased"]:
        return ParsedName(address, Role(suffix["leased"]))
    if suffix["next"]:
        return ParsedName(address, Role.NEXT)
    if suffix["begin"]:
        period = _parse_period(suffix)
        return None if period is None else ParsedName(address, Role.SETTLED, period=period)
    until = _parse_stamp(suffix["stamp"])
    return None if until is None else ParsedName(address, Role(suffix["kind"]), until)


def _parse_period(suffix: re.Match[str]) -> Period | None:
    try:
        return Period(date.fromisoformat(suffix["begin"]), Decimal(suffix["spent"]))
    except ValueError:
        return None


def _parse_stamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
