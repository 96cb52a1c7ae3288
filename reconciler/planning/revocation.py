"""Which live keys a revocation is about, and what is sent to kill each; pure.

A leaked key is disabled and named `~old.<until>` by one PATCH, so that no later run enables it, restores it or finishes
it. It ends then, too: an apply that is at work on it, and has it enabled or renamed just then, learns of its death by
that. Two cases differ. Of a rotation's new key, destinations may hold the secret: where an older key of its address
stays, the dead one is named `~sent`, the sign by which every plan rotates the older one anew. And a lock keeps its
name, since a running apply counts on it.

Keys of one address die in an order, so that an end between two deaths leaves nothing that a later plan would take up
with a secret that no destination holds: what could be restored first, the settled key next, its successor last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.errors import UsageError
from reconciler.model import KeyPatch
from reconciler.planning.actions import matcher
from reconciler.planning.matching import KEPT_FOR, LEASE, match
from reconciler.planning.names import LONGEST_LIVE_NAME, Naming, Role, is_lock, old_name, role_of, sent_name
from reconciler.units import near

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from reconciler.model import Address, Declaration, LiveKey, Snapshot

_SIGNS: Final = frozenset({Role.SUCCESSOR, Role.DELIVERING})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live key that can be revoked; `address` is None for one that no declared environment owns."""

    key: LiveKey
    address: Address | None = None
    role: Role = Role.SETTLED

    @property
    def label(self) -> str:
        """What a person calls it: its address, else its live name without what the engine has added."""
        return str(self.address) if self.address else self.key.name.partition("~")[0] or self.key.name

    @property
    def is_dead(self) -> bool:
        """True for a key that works for nobody and that no run brings back."""
        return not self.key.is_enabled and self.role is Role.SUPERSEDED


@dataclass(frozen=True, slots=True)
class Revocation:
    """A live key that is to be killed, and the one change by which that is done.

    Those of a lower `turn` die first. `beside_survivor` is the change where an older key of the address did not die.
    """

    key: LiveKey
    address: Address | None
    patch: KeyPatch
    beside_survivor: KeyPatch
    turn: int


def candidates(declaration: Declaration | None, snapshot: Snapshot) -> list[Candidate]:
    """Return every live key with the address and the role that its name, or the declaration, gives it."""
    if declaration is None:
        return [Candidate(key, None, _role_of(key)) for key in snapshot.keys]
    naming = Naming(declaration.naming, declaration.environments)
    matching = match(declaration, snapshot)
    engine = {key.id: parsed for parsed, key in matching.engine}
    adopted = {key.id: address for address, key in matching.live.items()}
    found = []
    for key in snapshot.keys:
        parsed = engine.get(key.id) or naming.parse(key.name)
        if key.id in adopted:
            found.append(Candidate(key, adopted[key.id]))
        elif parsed is not None:
            found.append(Candidate(key, parsed.address, parsed.role))
        else:
            found.append(Candidate(key, None, _role_of(key)))
    return found


def _role_of(key: LiveKey) -> Role:
    return Role.SUPERSEDED if role_of(key.name) is Role.SUPERSEDED else Role.SETTLED


def selected(texts: Iterable[str], known: Sequence[Candidate], declaration: Declaration | None) -> list[Candidate]:
    """Return the keys that these texts mean: an id or a live name means one key, an address or a glob all of its keys.

    A glob reaches the keys of declared environments; where nothing is declared, all keys. Raises UsageError for a text
    that means none.
    """
    chosen: dict[int, Candidate] = {}
    for text in texts:
        found = _meant(text, known, declaration)
        if not found:
            names = {each.label for each in known}
            msg = f"there is no live key {text}, neither an address nor an id nor a live name{near(text, names)}"
            raise UsageError(msg)
        chosen |= {each.key.id: each for each in found}
    return [each for each in known if each.key.id in chosen]


def _meant(text: str, known: Sequence[Candidate], declaration: Declaration | None) -> list[Candidate]:
    if text.isascii() and text.isdigit():
        return [each for each in known if each.key.id == int(text)]
    matches = matcher([text])
    of_address = [
        each
        for each in known
        if matches(each.label) and not is_lock(each.key.name) and (each.address is not None or declaration is None)
    ]
    return of_address or [each for each in known if each.key.name == text]


def revocations(
    chosen: Sequence[Candidate],
    known: Sequence[Candidate],
    declaration: Declaration | None,
    now: datetime,
    nonce: Callable[[], str],
) -> list[Revocation]:
    """Return what is sent to kill the chosen keys, in the order of their turns; the dead among them are left out.

    With a settled key or a successor go the retired keys of its address: restored, they would take its place with a
    secret that no destination holds.
    """
    declared = {key.address: key.name for key in declaration.keys} if declaration else {}
    ids = {each.key.id for each in chosen}
    replaced = {
        each.address for each in chosen if each.address in declared and each.role in {Role.SETTLED, Role.SUCCESSOR}
    }
    ids |= {each.key.id for each in known if each.role is Role.RETIRED and each.address in replaced}
    dying = [each for each in known if each.key.id in ids and not each.is_dead]
    staying = {each.address for each in known if each.key.id not in ids and each.role in {Role.SETTLED, Role.RETIRED}}
    taken = {each.key.name for each in known}
    naming = None if declaration is None else Naming(declaration.naming, declaration.environments)
    found = []
    for each in sorted(dying, key=_turn):
        settled = naming.format(each.address) if naming and each.address else each.label
        patch = death = _death(each, settled, now, taken)
        if each.role in _SIGNS and each.address in declared:
            death = _sign(each, settled, now, nonce)
            patch = death if each.address in staying else patch
        taken.add(patch.get("name", each.key.name))
        found.append(Revocation(each.key, each.address, patch, death, _turn(each)))
    return found


def _turn(each: Candidate) -> int:
    return 2 if each.role in _SIGNS else 1 if each.role is Role.SETTLED else 0


def _sign(dying: Candidate, settled: str, now: datetime, nonce: Callable[[], str]) -> KeyPatch:
    patch = KeyPatch(is_enabled=False)
    if dying.role is Role.SUCCESSOR:
        patch = KeyPatch(name=sent_name(settled, nonce()), is_enabled=False)
        patch["expires_at"] = (now + LEASE).replace(microsecond=0)
    return patch


def _death(dying: Candidate, settled: str, now: datetime, taken: Iterable[str]) -> KeyPatch:
    if dying.role is Role.SUPERSEDED or is_lock(dying.key.name):
        return KeyPatch(is_enabled=False)
    until = (now + KEPT_FOR).replace(microsecond=0)
    longest = LONGEST_LIVE_NAME - len(old_name("", until))
    while (name := old_name(settled[:longest], until)) in taken:  # a service may want names to be different
        until += timedelta(seconds=1)
    patch = KeyPatch(name=name, is_enabled=False)
    if dying.key.expires_at is None or dying.key.expires_at > until:
        patch["expires_at"] = until
    return patch


def places_of(declaration: Declaration | None) -> Mapping[Address, tuple[str, ...]]:
    """Return where the secret of each declared key goes, in words."""
    keys = declaration.keys if declaration else ()
    return {key.address: tuple(f"{d.target.destination} as {d.name}" for d in key.deliver) for key in keys}


# What a revocation came to.


@dataclass(frozen=True, slots=True)
class Death:
    """What became of a key that was to be killed: dead under `name`, unless `failure` says in a line why it is not."""

    key: LiveKey
    address: Address | None
    name: str
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """What became of an address, as text, whose key is dead.

    `key_id` is the key that has taken over, whose secret `places` hold. Else `failure` says why there is none, or
    `note` why none is needed; beside a key, `note` is what to know about it.
    """

    address: str
    key_id: int | None = None
    places: tuple[str, ...] = ()
    note: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """What a revocation came to, in the order of the accounts."""

    deaths: tuple[Death, ...]
    replacements: tuple[Replacement, ...]
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0: dead, and replaced where needed; 1: a key is not dead; 5: dead, not replaced; 130: interrupted."""
        if any(death.failure for death in self.deaths):
            return 1
        if self.interrupted:
            return 130
        return 5 if any(each.failure for each in self.replacements) else 0
