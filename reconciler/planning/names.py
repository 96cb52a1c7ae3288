"""The life of a key: every stage that it can be in, and how a live name tells which.

The API has no labels, and reconciler keeps no state file, so a key's place in its life is written in its name. A
settled key is called what `naming` makes of its address. `~` starts what the engine adds, and LIFE has a line for each
such sign: how it is written, what it means, who may hold the secret, and what the next plan does about it. A run can
be killed between any two requests; what it leaves behind are keys in these stages, and nothing else. So this table is
the whole of recovery. The planner asks `next_move` what a declared address needs, the tables and the picture of
docs/protocol.md are made from LIFE and STEPS, and the tests plan every line of the one and allow no change of a name
that is not in the other.

Four thoughts explain the lines:

- **A name is given before what it warns of can happen.** `~new` is the name in the POST itself, so whoever lost the
  answer finds the key by its nonce. A rotation's key becomes `~sent` before the first delivery, so a destination never
  holds the secret of a key that looks as if it had reached nobody. The declared name comes last: a key that has it is
  complete.
- **What is not finished dies by itself.** `~new`, `~sent`, `~run` and the lock carry an expiry that the service
  enforces. Nobody has to come back for them, and nothing touches them before it is over: someone may be using that
  secret.
- **The newest delivered secret wins.** Nobody can read a secret twice, so a plan never goes back to an older one: a
  `~next` takes over, a `~sent` has the older key rotated anew, and a retired key comes back only while no other has
  its place.
- **One key leads.** Of several keys of an address the first of LIFE decides what is planned; the others wait for the
  end of their time.
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
    from collections.abc import Collection, Iterable, Mapping


class Role(StrEnum):
    """The stages of a key's life, by the word behind `~` in its live name."""

    SETTLED = "settled"
    PENDING = "new"
    DELIVERING = "sent"
    SUCCESSOR = "next"
    SUPERSEDED = "old"
    RETIRED = "gone"
    LEASED = "run"
    LOCK = "lock"


class Tail(StrEnum):
    """What follows the word in a live name."""

    NOTHING = ""
    NONCE = ".<nonce>"
    UNTIL = ".<yyyymmddThhmmssZ>"
    PERIOD = ".<yyyymmdd>.<spend>"


class End(StrEnum):
    """What the time of a key ends with; a lease ends at its `expires_at`, the others at the instant in its name."""

    LEASE = "lease"
    OVERLAP = "overlap"
    GRACE = "grace"


class Move(StrEnum):
    """What a plan does about a key; `compare` is what its fields and its age ask for, be it nothing."""

    NOTHING = "nothing"
    COMPARE = "compare"
    CREATE = "create"
    ROTATE = "rotate"
    FINISH = "finish"
    RESTORE = "restore"
    RETIRE = "retire"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a key's life.

    `word` is the glossary's, `sign` what stands behind `~`, with its `tail`; a settled key has none. `holder` says who
    may hold its secret. `alone` is what a plan does where a declared address has such a key and none that it could go
    on with, `beside` where it has an older one: a settled key, or a retired one. `end` is what its time ends with; it
    is deleted after that. `leaves` is what is done when its address leaves the file, without a `deletion_grace` and
    with one.
    """

    role: Role
    word: str
    meaning: str
    holder: str
    sign: str = ""
    tail: Tail = Tail.NOTHING
    alone: Move = Move.NOTHING
    beside: Move = Move.NOTHING
    end: End | None = None
    leaves: tuple[Move, Move] = (Move.NOTHING, Move.NOTHING)

    @property
    def suffix(self) -> str:
        """What the engine adds to the settled name, as people read it: `~new.<nonce>`."""
        return f"~{self.sign}{self.tail}" if self.sign else ""


LIFE: Final = (
    Stage(
        Role.SUCCESSOR,
        "successor",
        "delivered everywhere and permanent, waiting to take over",
        "every destination",
        "next",
        alone=Move.FINISH,
        beside=Move.FINISH,
        leaves=(Move.DELETE, Move.RETIRE),
    ),
    Stage(
        Role.DELIVERING,
        "delivering",
        "a rotation's new key whose delivery has begun, under its lease",
        "some, all or none of the destinations",
        "sent",
        Tail.NONCE,
        beside=Move.ROTATE,
        end=End.LEASE,
    ),
    Stage(
        Role.SETTLED,
        "settled",
        "complete",
        "every destination",
        alone=Move.COMPARE,
        beside=Move.COMPARE,
        leaves=(Move.DELETE, Move.RETIRE),
    ),
    Stage(
        Role.SETTLED,
        "settled, with a period",
        "complete, with a budget that renews: the first day of its period, and what it had spent before, in USD",
        "every destination",
        "per",
        Tail.PERIOD,
        alone=Move.COMPARE,
        beside=Move.COMPARE,
        leaves=(Move.DELETE, Move.RETIRE),
    ),
    Stage(
        Role.RETIRED,
        "retired",
        "removed from the file and disabled, restorable until then",
        "every destination, but it opens nothing",
        "gone",
        Tail.UNTIL,
        alone=Move.RESTORE,
        end=End.GRACE,
    ),
    Stage(
        Role.PENDING,
        "pending",
        "being created, under a lease of 24 hours",
        "nobody beside a settled key, else some, all or none of the destinations",
        "new",
        Tail.NONCE,
        end=End.LEASE,
    ),
    Stage(
        Role.SUPERSEDED,
        "superseded",
        "rotated out, works until then",
        "whoever has not read the new one yet",
        "old",
        Tail.UNTIL,
        end=End.OVERLAP,
        leaves=(Move.DELETE, Move.NOTHING),
    ),
    Stage(
        Role.LEASED,
        "leased",
        "lives as long as a command, under a lease that is renewed",
        "the command",
        "run",
        Tail.NONCE,
        end=End.LEASE,
    ),
    Stage(
        Role.LOCK,
        "lock",
        "an apply is running, under a lease of two minutes that is renewed",
        "nobody",
        "lock",
        Tail.NONCE,
        end=End.LEASE,
    ),
)
"""Every stage, those that lead first: of the keys of a declared address, the first here decides what is planned."""

STAGES: Final = {stage.role: stage for stage in reversed(LIFE)}


@dataclass(frozen=True, slots=True)
class Step:
    """A change from one stage to another, by one request; None is no key."""

    before: Role | None
    after: Role | None
    when: str


STEPS: Final = (
    Step(None, Role.PENDING, "create or rotate, POST"),
    Step(Role.PENDING, Role.SETTLED, "create, delivered everywhere"),
    Step(Role.PENDING, Role.DELIVERING, "rotate, before the first delivery"),
    Step(Role.DELIVERING, Role.SUCCESSOR, "rotate, delivered everywhere"),
    Step(Role.PENDING, None, "not delivered, or the lease ended: delete"),
    Step(Role.DELIVERING, None, "not delivered, or the lease ended: delete"),
    Step(Role.SUCCESSOR, Role.SETTLED, "rotate or finish"),
    Step(Role.SETTLED, Role.SUPERSEDED, "rotate, finish or revoke"),
    Step(Role.RETIRED, Role.SUPERSEDED, "rotate or finish, in place of a restore, or revoke"),
    Step(Role.SUPERSEDED, None, "the overlap ended: delete"),
    Step(Role.SETTLED, Role.RETIRED, "retire"),
    Step(Role.SUCCESSOR, Role.RETIRED, "retire, in the middle of a rotation"),
    Step(Role.RETIRED, Role.SETTLED, "restore"),
    Step(Role.RETIRED, None, "the grace period ended: delete"),
    Step(Role.SETTLED, None, "delete, without a grace period"),
    Step(Role.SUCCESSOR, None, "delete, without a grace period"),
    Step(None, Role.LEASED, "run, POST"),
    Step(Role.LEASED, None, "the command or the lease ended: delete"),
    Step(None, Role.LOCK, "apply, POST"),
    Step(Role.LOCK, None, "the apply or the lease ended: delete"),
    Step(Role.SUCCESSOR, Role.DELIVERING, "revoke, while an older key stays: the sign that rotates that one"),
    Step(None, Role.DELIVERING, "revoke beside another run, POST: the sign that rotates once more what it delivered"),
    *(Step(role, Role.SUPERSEDED, "revoke") for role in (Role.PENDING, Role.DELIVERING, Role.SUCCESSOR, Role.LEASED)),
)
"""Every change of a stage that a command makes; an update, a renewal and a rename leave a key in its own."""

_STAYS: Final = frozenset({Role.SETTLED, Role.RETIRED})


def next_move(roles: Collection[Role]) -> Move:
    """Return what a declared address needs that has keys in these stages, each within its time.

    A delivering key counts only where it is newer than the key that it was to replace, see `Lineage`.
    """
    for stage in LIFE:
        if stage.role in roles:
            older = (each in _STAYS and each is not stage.role for each in roles)
            move = stage.beside if any(older) else stage.alone
            if move is not Move.NOTHING:
                return move
    return Move.CREATE


# The grammar of live names.

NAME: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
LONGEST_LIVE_NAME: Final = 255
LONGEST_SUFFIX: Final = len("~gone.20270101T000000Z")
LONGEST_PERIOD_SUFFIX: Final = len("~per.20270101.123456789012.123456")

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_TAILS: Final = {
    Tail.NOTHING: "",
    Tail.NONCE: r"\.[a-z0-9]{1,16}",
    Tail.UNTIL: r"\.(?P<until>\d{8}T\d{6}Z)",
    Tail.PERIOD: r"\.(?P<begin>\d{8})\.(?P<spent>\d{1,12}(?:\.\d{1,6})?)",
}


def _grammar(tail: Tail) -> str:
    signs = (stage.sign for stage in LIFE if stage.sign and stage.tail is tail and stage.role is not Role.LOCK)
    return f"(?P<{tail.name}>{'|'.join(signs)}){_TAILS[tail]}"


_SUFFIX: Final = re.compile(f"~(?:{'|'.join(map(_grammar, Tail))})", re.ASCII)
_PERIOD: Final = "~per."
_LOCK: Final = re.compile(rf"reconciler~{Role.LOCK}{_TAILS[Tail.NONCE]}", re.ASCII)


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
        """Return the settled live name of an address."""
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
    """Return a live name under another address: what the engine added to it stays."""
    _, tilde, suffix = name.rpartition("~")
    return f"{settled}~{suffix}" if _SUFFIX.fullmatch(tilde + suffix) else settled


def lock_name(nonce: str) -> str:
    """Name the lock of a running apply."""
    return f"reconciler~lock.{nonce}"


def is_lock(name: str) -> bool:
    """Return whether a live name is that of an apply's lock."""
    return _LOCK.fullmatch(name) is not None


def role_of(name: str) -> Role | None:
    """Return the stage that a live name tells, whoever owns it; None for one that tells none, as a settled key's."""
    if is_lock(name):
        return Role.LOCK
    _, tilde, suffix = name.rpartition("~")
    found = _SUFFIX.fullmatch(tilde + suffix)
    return None if found is None or found["PERIOD"] else _role(found)


def _role(suffix: re.Match[str]) -> Role:
    return Role(suffix["NONCE"] or suffix["UNTIL"] or suffix["NOTHING"])


def _parse_suffix(text: str, address: Address) -> ParsedName | None:
    suffix = _SUFFIX.fullmatch(text)
    if suffix is None:
        return None
    if suffix["PERIOD"]:
        period = _parse_period(suffix)
        return None if period is None else ParsedName(address, Role.SETTLED, period=period)
    until = _parse_stamp(suffix["until"]) if suffix["UNTIL"] else None
    return None if suffix["UNTIL"] and until is None else ParsedName(address, _role(suffix), until)


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
