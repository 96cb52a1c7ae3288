"""Finds out which live key is which: by name, by `id`, by `renamed_from`.

Reconciler never guesses: what is unclear is a finding, and no key that it concerns is touched. An `id` is a way to find
a key, not a claim about it: where the address has a key without it, an `id` of a key that is gone is only a note.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.planning.actions import DeleteReason, Finding
from reconciler.planning.names import (
    STAGES,
    End,
    Move,
    Naming,
    ParsedName,
    Role,
    is_lock,
    parse_inherited,
    without_period,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey, Snapshot


@dataclass(frozen=True, slots=True)
class Matching:
    """Every live key in its place.

    `live` holds the match of each declared key that has one; `undeclared` the settled keys of declared environments
    that the file no longer names; `engine` what the engine itself named; `foreign` all the rest. A declared key in
    `unclear` could not be matched: a finding says why.
    """

    live: dict[Address, LiveKey] = field(default_factory=dict)
    unclear: set[Address] = field(default_factory=set)
    undeclared: list[tuple[Address, LiveKey]] = field(default_factory=list)
    engine: list[tuple[ParsedName, LiveKey]] = field(default_factory=list)
    foreign: list[LiveKey] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def match(declaration: Declaration, snapshot: Snapshot) -> Matching:
    """Put every live key in its place."""
    matching = _match_by_name(declaration, snapshot)
    seekers = [key for key in declaration.keys if key.id is not None or key.renamed_from]
    if seekers:
        _follow_renames(seekers, declaration, matching)
        claimed = _match_by_history(seekers, snapshot, matching)
        matching.undeclared[:] = [entry for entry in matching.undeclared if entry[1].id not in claimed]
        matching.foreign[:] = [key for key in matching.foreign if key.id not in claimed]
    return matching


def _follow_renames(seekers: Iterable[DeclaredKey], declaration: Declaration, matching: Matching) -> None:
    """Give a renamed key what the engine named after its earlier name: a rotation under way, a retired key."""
    present = {key.name for key in declaration.keys}
    staying = {without_period(key.name) for key in (*(key for _, key in matching.undeclared), *matching.foreign)}
    # What is deleted at once leaves the sign of an interrupted rotation, which the next plan could not place better.
    without_grace = {env.name for env in declaration.environments.values() if not env.deletion_grace}
    leaving = {without_period(key.name) for address, key in matching.undeclared if address.environment in without_grace}
    heirs: dict[str, Address] = {}
    heirs_of_signs: dict[str, Address] = {}
    # Of several with the same earlier name, the one that has no key by its own is the one who gets the earlier's key.
    for wanted in sorted(seekers, key=lambda key: key.address not in matching.live):
        for name in wanted.renamed_from:
            # A key that does not move, since its new name is already another's, keeps what belongs to it.
            if name not in present and not (wanted.address in matching.live and name in staying):
                heirs[name] = wanted.address
            elif name in leaving:
                heirs_of_signs[name] = wanted.address
    heirs_of_signs = {name: address for name, address in heirs_of_signs.items() if name not in heirs}
    inherited = [
        (parsed, key)
        for key in (*(key for _, key in matching.engine), *matching.foreign)
        if ((parsed := parse_inherited(key.name, heirs)) and parsed.role is not Role.SETTLED)
        or ((parsed := parse_inherited(key.name, heirs_of_signs)) and parsed.role is Role.DELIVERING)
    ]
    ids = {key.id for _, key in inherited}
    matching.engine[:] = [*inherited, *(entry for entry in matching.engine if entry[1].id not in ids)]
    matching.foreign[:] = [key for key in matching.foreign if key.id not in ids]


def _match_by_name(declaration: Declaration, snapshot: Snapshot) -> Matching:
    matching = Matching()
    live = matching.live
    naming = Naming(declaration.naming, declaration.environments)
    declared = {key.name: key for key in declaration.keys}
    namesakes: dict[str, list[LiveKey]] = {}
    for key in snapshot.keys:
        wanted = declared.get(key.name) or declared.get(without_period(key.name))
        if wanted is None:
            _place_undeclared(key, naming, matching)
        elif live.setdefault(wanted.address, key) is not key:
            namesakes.setdefault(wanted.name, [live[wanted.address]]).append(key)
    for name, keys in namesakes.items():
        wanted = declared[name]
        del live[wanted.address]
        matching.findings.append(duplicates(wanted, keys, f"live keys are called {name}"))
        matching.unclear.add(wanted.address)
    return matching


def _place_undeclared(key: LiveKey, naming: Naming, matching: Matching) -> None:
    parsed = naming.parse(key.name)
    if parsed is None:
        if not is_lock(key.name):
            matching.foreign.append(key)
    elif parsed.role is Role.SETTLED:
        matching.undeclared.append((parsed.address, key))
    else:
        matching.engine.append((parsed, key))


def _match_by_history(seekers: Iterable[DeclaredKey], snapshot: Snapshot, matching: Matching) -> set[int]:
    """Match by `id` and `renamed_from`; give the ids of all keys that they point at."""
    by_id = {key.id: key for key in snapshot.keys}
    engine = {key.id: parsed for parsed, key in matching.engine}
    returning = {parsed.address for parsed in engine.values() if _may_return(parsed, snapshot.now)}
    taken = {key.id for key in matching.live.values()}
    found: dict[Address, LiveKey] = {}
    claimed: set[int] = set()
    for wanted in seekers:
        if wanted.address in matching.unclear:
            continue
        match_by_name = matching.live.get(wanted.address)
        problem = _wrong_id(wanted, match_by_name, by_id, engine, taken)
        candidates = [] if problem or match_by_name else _candidates(wanted, snapshot, by_id, engine, taken)
        claimed.update(key.id for key in candidates)
        if wanted.id is not None and wanted.id not in by_id:
            is_found = bool(match_by_name or candidates or wanted.address in returning)
            matching.findings.append(_stale_id(wanted) if is_found else _no_such_id(wanted))
            if not is_found:
                matching.unclear.add(wanted.address)
        if len(candidates) > 1:
            problem = duplicates(wanted, candidates, "live keys have names that renamed_from lists")
        if problem:
            matching.findings.append(problem)
            matching.unclear.add(wanted.address)
        elif candidates:
            found[wanted.address] = candidates[0]
    _adopt(seekers, found, matching)
    return claimed


def _adopt(seekers: Iterable[DeclaredKey], found: dict[Address, LiveKey], matching: Matching) -> None:
    claims = Counter(key.id for key in found.values())
    for wanted in seekers:
        live = found.get(wanted.address)
        if live is None:
            continue
        if claims[live.id] == 1:
            matching.live[wanted.address] = live
            continue
        others = ", ".join(str(a) for a in sorted(found) if found[a].id == live.id and a != wanted.address)
        message = f"{live} is also claimed by {others}; say in one place only where it belongs"
        matching.findings.append(_finding("ambiguous-key", wanted, message))
        matching.unclear.add(wanted.address)


def _wrong_id(
    wanted: DeclaredKey,
    match_by_name: LiveKey | None,
    by_id: dict[int, LiveKey],
    engine: dict[int, ParsedName],
    taken: set[int],
) -> Finding | None:
    """Check that `id`, if any key has it, belongs to the address, or to a key that is free to be adopted."""
    if wanted.id is None or (match_by_name and match_by_name.id == wanted.id):
        return None
    live = by_id.get(wanted.id)
    if live is None:
        return None
    parsed = engine.get(live.id)
    if parsed and parsed.address == wanted.address and STAGES[parsed.role].end is not End.LEASE:
        return None
    if match_by_name:
        other = "another" if match_by_name.id < 0 else f"key {match_by_name.id}"
        message = f"{_id_of(wanted)} belongs to {live.name}, but {wanted.name} is {other}"
        return _finding("wrong-id", wanted, f"{message}; correct the id or remove it")
    if parsed or live.id in taken:
        message = (
            f"{_id_of(wanted)} belongs to {live.name}, which is not free to be adopted; correct the id or remove it"
        )
        return _finding("wrong-id", wanted, message)
    return None


def _candidates(
    wanted: DeclaredKey,
    snapshot: Snapshot,
    by_id: dict[int, LiveKey],
    engine: dict[int, ParsedName],
    taken: set[int],
) -> list[LiveKey]:
    """The live keys that `id`, else `renamed_from`, point at and that nobody else has by name."""
    if wanted.id in by_id:
        return [] if wanted.id in engine else [by_id[wanted.id]]
    earlier = set(wanted.renamed_from)
    keys = (key for key in snapshot.keys if key.name in earlier or without_period(key.name) in earlier)
    return [key for key in keys if key.id not in taken and key.id not in engine]


def _may_return(parsed: ParsedName, now: datetime) -> bool:
    """True for a key that an address gets back without its `id`: a rotation's successor, a retired key in its grace."""
    takes_its_place = STAGES[parsed.role].alone in {Move.FINISH, Move.RESTORE}
    return takes_its_place and (parsed.until is None or parsed.until > now)


def _stale_id(wanted: DeclaredKey) -> Finding:
    message = f"{_id_of(wanted)} belongs to no key any more: another key has taken its place; delete the line `id`"
    return Finding("stale-id", Severity.NOTE, message, wanted.address, wanted.source)


def _no_such_id(wanted: DeclaredKey) -> Finding:
    message = (
        f"{_id_of(wanted)} belongs to no key of the account; correct it, or delete the line to have a new key created"
    )
    return _finding("wrong-id", wanted, message)


def duplicates(wanted: DeclaredKey, keys: list[LiveKey], what: str) -> Finding:
    """Return a finding that there are several keys where one is wanted, with their ids."""
    ordered = sorted(keys, key=lambda key: key.id)
    if ordered[0].id < 0:
        found = " and ".join(key.name for key in reversed(ordered))
    else:
        found = "ids " + " and ".join(str(key.id) for key in ordered)
    message = f"{len(keys)} {what}: {found}; delete or rename all but one of them, then plan again"
    return _finding("duplicate-name", wanted, message)


def _id_of(wanted: DeclaredKey) -> str:
    """Name the id that is declared; where a base stands for the account, it is the base's own number."""
    return "its id" if wanted.id is not None and wanted.id < 0 else f"id {wanted.id}"


def _finding(rule: str, wanted: DeclaredKey, message: str) -> Finding:
    return Finding(rule, Severity.ERROR, message, wanted.address, wanted.source)


# The keys that the engine itself named, by the address they belong to.

LEASE: Final = timedelta(hours=24)
KEPT_FOR: Final = timedelta(hours=24)
"""How long a key stays that was disabled at once, rotated out or revoked, so that it can be looked into."""

_OVER: Final = {
    End.LEASE: DeleteReason.LEASE_EXPIRED,
    End.OVERLAP: DeleteReason.OVERLAP_OVER,
    End.GRACE: DeleteReason.GRACE_OVER,
}


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an address has besides its settled key.

    `pending` was being created, `delivering` was being delivered by a rotation that did not get to its end, `upcoming`
    is delivered and waits to take over, `rotated_out` works until its overlap is over, `retired` can be restored. What
    of all this is `outdated`, or of keys that lived as long as a command, has to go.
    """

    pending: list[LiveKey] = field(default_factory=list)
    delivering: list[LiveKey] = field(default_factory=list)
    upcoming: list[LiveKey] = field(default_factory=list)
    rotated_out: list[LiveKey] = field(default_factory=list)
    retired: list[tuple[datetime, LiveKey]] = field(default_factory=list)
    outdated: list[tuple[DeleteReason, LiveKey]] = field(default_factory=list)

    def interrupted_rotation(self, live: LiveKey) -> LiveKey | None:
        """Return the key by which a rotation of the live key shows that stopped while secrets were delivered.

        A destination may hold the secret of the newer key then, and nobody can read the live key's secret again. A key
        that was only being created is no such sign: its secret reached nobody, however late the service made it.
        """
        signs = (key for key in self.delivering if _is_newer(key, live) and not self._is_about_another(key, live))
        return next(signs, None)

    def _is_about_another(self, sign: LiveKey, live: LiveKey) -> bool:
        """Return whether a sign is that of a retired key with an earlier name of the address, unlike the live one."""
        name = _settled_name(sign)
        return name != _settled_name(live) and any(
            _settled_name(key) == name and _is_newer(sign, key) for _, key in self.retired
        )

    def superfluous(self, lasting: Sequence[LiveKey]) -> Iterable[tuple[DeleteReason, LiveKey]]:
        """Yield what has to go, if these keys of the address stay or may come back with the secrets that they have.

        A key that was being delivered is the sign that the rotation of an older one was interrupted, and must not be
        forgotten before that is. One that lost its expiry is no such sign: it would work for ever.
        """
        for reason, key in self.outdated:
            is_sign = key in self.delivering and key.expires_at is not None
            if not (is_sign and any(_is_newer(key, older) for older in lasting)):
                yield reason, key

    def restorable(self, key_id: int | None) -> LiveKey | None:
        """Return the retired key to bring back: the one with this id, else the one that was retired last."""
        candidates = [entry for entry in self.retired if entry[1].id == key_id] or self.retired
        return max(candidates, key=lambda entry: (entry[0], entry[1].id))[1] if candidates else None


def trace(engine: Iterable[tuple[ParsedName, LiveKey]], now: datetime) -> dict[Address, Lineage]:
    """Put the engine's keys in their place at an instant."""
    lineages: dict[Address, Lineage] = {}
    for parsed, key in engine:
        _place(parsed, key, lineages.setdefault(parsed.address, Lineage()), now)
    return lineages


def lease_end(key: LiveKey) -> datetime:
    """Return when a key with a lease may be removed: at its expiry, or a lease after its creation where it has none."""
    return key.expires_at or key.created_at + LEASE


def open_leases(engine: Iterable[tuple[ParsedName, LiveKey]], now: datetime) -> tuple[LiveKey, ...]:
    """Return the keys that live as long as a command and whose lease still runs, in the order of their ids."""
    leased = (key for parsed, key in engine if parsed.role is Role.LEASED and lease_end(key) > now)
    return tuple(sorted(leased, key=lambda key: key.id))


def _settled_name(key: LiveKey) -> str:
    return key.name.rpartition("~")[0] or key.name


def _is_newer(key: LiveKey, other: LiveKey) -> bool:
    return (key.created_at, key.id) > (other.created_at, other.id)


def _place(parsed: ParsedName, key: LiveKey, lineage: Lineage, now: datetime) -> None:
    stage = STAGES[parsed.role]
    if stage.end is None:
        lineage.upcoming.append(key)
        return
    if parsed.role is Role.DELIVERING:
        lineage.delivering.append(key)
    # The names of superseded and retired keys carry their end, the others have it in their lease.
    until = parsed.until or lease_end(key)
    if until <= now:
        lineage.outdated.append((_OVER[stage.end], key))
    elif parsed.role is Role.PENDING:
        lineage.pending.append(key)
    elif parsed.role is Role.SUPERSEDED:
        lineage.rotated_out.append(key)
    elif parsed.role is Role.RETIRED:
        lineage.retired.append((until, key))
