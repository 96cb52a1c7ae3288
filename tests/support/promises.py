"""What must hold of an account at every moment, judged by somebody who knows every secret and everything done by hand.

People break promises that nobody can keep for them, so what they do is recorded and not held against the engine:

- a key that somebody made or renamed was never delivered under its name: nothing is asked of it but its fields;
- a lease that somebody changed ends when they said, and so does one that lives as long as a command;
- where a destination holds the secret of a key that somebody deleted or renamed, its value is nobody's fault;
- a file that gives a key's place at a destination to another address takes it away from that key;
- a key is owed to the places that its file named when it was issued: its secret cannot be read a second time.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Unpack

from reconciler.model import KeyState, Target
from reconciler.planning.budgets import as_of
from reconciler.planning.names import period_of, without_period
from support.steps import WatchedState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.model import Declaration, DeclaredKey, Delivery
    from reconciler.secret import Secret
    from reconciler.simulator.state import Key, KeyChanges

Place = tuple[Target, str]

LEASE: Final = timedelta(hours=24)
LOCK_LEASE: Final = timedelta(minutes=2)
# Dates of answers are cut to the second, and a lease is counted from one of them.
_SLACK: Final = timedelta(seconds=2)


class Ledger(WatchedState):
    """A simulated account that remembers what the real one forgets: every secret, and what was done by hand."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(":memory:", clock=clock)
        self.secrets: dict[int, str] = {}
        self.holders: dict[str, int] = {}
        self.by_hand: set[int] = set()
        self.misplaced: set[int] = set()
        self.extended: set[int] = set()
        self.posted = 0
        self.on_write: Callable[[], None] = lambda: None
        self.watching = True

    @contextmanager
    def hand(self) -> Iterator[None]:
        """Let what follows be somebody's work on the dashboard."""
        self.watching = False
        try:
            yield
        finally:
            self.watching = True

    def live(self) -> tuple[Key, ...]:
        """The keys: what State calls keys() is no mapping's."""
        return self.keys()

    def create_key(
        self,
        name: str,
        credit_limit: Decimal | None = None,
        expires_at: datetime | None = None,
        *,
        is_enabled: bool = True,
    ) -> tuple[Key, Secret]:
        key, secret = super().create_key(name, credit_limit, expires_at, is_enabled=is_enabled)
        self.secrets[key.id] = secret.reveal()
        self.holders[secret.reveal()] = key.id
        if not self.watching:
            self.by_hand.add(key.id)
        else:
            self.posted += 1
            self.on_write()
        return key, secret

    def update_key(self, key_id: int, **changes: Unpack[KeyChanges]) -> Key | None:
        key = super().update_key(key_id, **changes)
        if self.watching:
            self.on_write()
        elif "name" in changes:
            self.by_hand.add(key_id)
            self.misplaced.add(key_id)
        elif "expires_at" in changes:
            self.extended.add(key_id)
        return key

    def spent(self, since: date, until: date) -> dict[int, Decimal]:
        """Give what each key has spent on these days, in USD."""
        return {total.key_id: Decimal(total.cost_micros) / 1_000_000 for total in self.totals("key", since, until)}

    def delete_key(self, key_id: int) -> bool:
        gone = super().delete_key(key_id)
        if not self.watching:
            self.misplaced.add(key_id)
        else:
            self.on_write()
        return gone


_OWNED: Final = re.compile(
    r"(?P<environment>[^/~]+)/[^/~]+(~((new|sent|run)\.\w+|next|(old|gone)\.\d{8}T\d{6}Z|per\.\d{8}\.[\d.]+))?"
)


def environment_of(name: str) -> str | None:
    """Give the environment that owns a live name if it is declared; None for a name that can be nobody's."""
    match = _OWNED.fullmatch(name)
    return match and match["environment"]


def place(delivery: Delivery) -> Place:
    return (delivery.target, delivery.name)


class Promises:
    """Watches the account and the destinations; `broken` collects what should never have been."""

    def __init__(self, ledger: Ledger, held: Callable[[Place], str | None]) -> None:
        self.ledger = ledger
        self.broken: list[str] = []
        self.careless_service = False
        self._held = held
        self._owed: dict[int, set[Place]] = {}
        self._reached: set[int] = set()
        self._in_place: set[int] = set()
        self._altered: set[int] = set()
        self._retired: set[int] = set()
        self._links: set[tuple[str, str]] = set()
        ledger.on_write = self.check

    # --- what it is told ---

    def declared(self, declarations: Iterable[Declaration]) -> None:
        """Take in the files that are about to be applied: who is whose earlier name, and which place is whose."""
        live = self.ledger.live()
        self._links = set()
        for declaration in declarations:
            for wanted in declaration.keys:
                own = _names(wanted, declaration)
                self._links.update((wanted.name, name) for name in own)
                if any(without_period(key.name) == wanted.name for key in live):
                    own = {wanted.name}
                given = {place(delivery) for delivery in wanted.deliver}
                for key in live:
                    if _base(key.name) not in own:
                        self._owed.get(key.id, set()).difference_update(given)

    def sent(self, key_id: int, wanted: DeclaredKey) -> None:
        """A secret is on its way: its key is owed to every place that its file names."""
        self._owed.setdefault(key_id, {place(each) for each in wanted.deliver})

    def arrives(self, key_id: int) -> None:
        """A secret is about to reach a place: somebody may know it from now on."""
        self._reached.add(key_id)

    # --- at every moment ---

    def check(self) -> None:
        """Look at everything once."""
        now = self.ledger.now()
        keys = {key.id: key for key in self.ledger.live()}
        for key in keys.values():
            if "~gone." in key.name:
                self._retired.add(key.id)
            if key.id in self.ledger.by_hand:
                continue
            if key.name.startswith("reconciler~lock."):
                self._check_lease(key, now + LOCK_LEASE)
            elif "~new." in key.name or "~sent." in key.name:
                self._check_lease(key, key.created_at + LEASE)
            elif "~run." not in key.name and _works(key, now) and key.id not in self._reached:
                self._broken(f"nobody has the secret of {_show(key)}")
        for key_id in self._settled(keys, now):
            self._in_place.add(key_id)
            self._check_delivered(keys[key_id], keys)
            self._check_budget(keys[key_id])

    @property
    def settled_once(self) -> int:
        """How many keys of the engine have ever stood under their declared name."""
        return len(self._in_place)

    def half_delivered(self) -> set[str]:
        """The names of settled keys whose secret a newer one has replaced somewhere."""
        now = self.ledger.now()
        keys = {key.id: key for key in self.ledger.live()}
        return {keys[key_id].name for key_id in self._settled(keys, now) if self._missing(keys[key_id])}

    def _settled(self, keys: dict[int, Key], now: datetime) -> list[int]:
        return [
            key.id
            for key in keys.values()
            if "~" not in without_period(key.name) and key.id not in self.ledger.by_hand and _works(key, now)
        ]

    def _check_delivered(self, key: Key, keys: dict[int, Key]) -> None:
        """Its secret is in all its places, or there is a sign by which the next plan rotates it."""
        if key.id not in self._owed:
            self._broken(f"{_show(key)} was never delivered")
        if any(self._is_sign(other, key) for other in keys.values()):
            return
        for where in self._missing(key):
            found = self._held(where)
            other = keys.get(self.ledger.holders.get(found or "", 0))
            what = "nothing" if found is None else _show(other) if other else "the secret of a deleted key"
            self._broken(f"{_show(key)} is not in {where[0].destination} as {where[1]}, which holds {what}")

    def _check_budget(self, key: Key) -> None:
        """It may not spend more in its period than its allowance: its name counts no more than it spent before.

        A key that was retired and restored goes on with the limit that it had.
        """
        period = period_of(key.name)
        if period is None or key.id in self._retired:
            return
        before = self.ledger.spent(date.min, period.begin - timedelta(days=1)).get(key.id, Decimal(0))
        if period.spent > before:
            self._broken(f"{_show(key)} has spent {before} before its period")

    def _missing(self, key: Key) -> list[Place]:
        return [
            where
            for where in self._owed.get(key.id, ())
            if (found := self._held(where)) != self.ledger.secrets[key.id]
            and self.ledger.holders.get(found or "") not in self.ledger.misplaced
        ]

    def _is_sign(self, other: Key, key: Key) -> bool:
        base, _, suffix = other.name.partition("~")
        newer = (other.created_at, other.id) > (key.created_at, key.id)
        return self._linked(base, _base(key.name)) and newer and (suffix == "next" or suffix.startswith("sent."))

    def _linked(self, one: str, other: str) -> bool:
        return one == other or bool({(one, other), (other, one)} & self._links)

    def _check_lease(self, key: Key, until: datetime) -> None:
        if key.expires_at is None or key.expires_at > until + _SLACK:
            if self.careless_service:
                self._altered.add(key.id)
            if key.id not in self._altered | self.ledger.extended:
                self._broken(f"{_show(key)} has no lease that ends in time")

    # --- after an apply that nothing disturbed ---

    def check_quiet(self, declaration: Declaration) -> None:
        """Every declared key is there once, as declared, and opens; nothing is left that has no business there."""
        self.check()
        now = self.ledger.now()
        wanted = {key.name: key for key in as_of(declaration, now).keys}
        live = [key for key in self.ledger.live() if environment_of(key.name) in declaration.environments]
        for name, declared in wanted.items():
            found = [key for key in live if without_period(key.name) == name]
            if len(found) != 1:
                self._broken(f"{len(found)} keys are called {name}")
            for key in found:
                self._check_in_place(key, declared)
        for key in live:
            if not self._has_business(key, set(wanted), now):
                self._broken(f"{_show(key)} is left over")

    def _check_in_place(self, key: Key, declared: DeclaredKey) -> None:
        expired = key.expires_at is not None and key.expires_at <= self.ledger.now()
        enabled = key.is_enabled or (expired and declared.is_enabled)  # it works neither way
        period = period_of(key.name)
        limit = key.credit_limit if period is None or key.credit_limit is None else key.credit_limit - period.spent
        found = KeyState(without_period(key.name), enabled, limit, key.expires_at)
        if found != replace(declared.state, name=declared.name) or (period is None) != (declared.renew is None):
            self._broken(f"{_show(key)} is not as declared")
        if key.id in self.ledger.by_hand:
            return
        for where in self._missing(key):
            self._broken(f"{_show(key)} is not in {where[0].destination} as {where[1]}")
        if _works(key, self.ledger.now()) != self.ledger.opens(self.ledger.secrets[key.id]):
            self._broken(f"{_show(key)} does not open")

    def _has_business(self, key: Key, declared: set[str], now: datetime) -> bool:
        base, tilde, suffix = key.name.partition("~")
        if not tilde or suffix.startswith("per."):
            return base in declared
        role, _, stamp = suffix.partition(".")
        match role:
            case "new" | "run":
                return now < (key.expires_at or key.created_at + LEASE)
            case "sent":
                return not _works(key, now) or now < (key.expires_at or key.created_at + LEASE)
            case "old" | "gone":
                until = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=now.tzinfo)
                return now < until and not (role == "gone" and key.is_enabled)
            case _:
                return False

    def _broken(self, what: str) -> None:
        if what not in self.broken:
            self.broken.append(what)


def _names(key: DeclaredKey, declaration: Declaration) -> set[str]:
    """Give the names by which a live key can be that of an address: its own, and earlier ones that nobody has now."""
    taken = {other.name for other in declaration.keys}
    return {key.name, *(name for name in key.renamed_from if name not in taken)}


def _base(name: str) -> str:
    return name.partition("~")[0]


def _works(key: Key, now: datetime) -> bool:
    return key.is_enabled and (key.expires_at is None or key.expires_at > now)


def _show(key: Key) -> str:
    return f"key {key.id} ({key.name})"
