"""Whose a key is, and whose the use is that the service tells of.

A key is found by its id among those that are live; use of one that is gone, by the name that the service still has for
it. What the engine named (`~new`, `~next`, `~old`, `~gone`) belongs to its address like the settled key, a renamed key
to the address that its `id` or `renamed_from` leads to.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from reconciler.plan.match import match
from reconciler.plan.names import NAME, Naming, ParsedName, Role, is_lock, parse_inherited

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.model import Address, Declaration, DeclaredKey, KeyTally, LiveKey, Snapshot, Statistics

DEFAULT_NAMING: Final = "{environment}/{key}"
"""How names are read where no file says it."""

_BY_DEFAULT: Final = re.compile(rf"({NAME})/{NAME}(?:~.*)?", re.ASCII | re.DOTALL)


class Standing(StrEnum):
    """How a key stands to the file.

    `undeclared` has an address of a declared environment that the file does not name; without a file, any address.
    `unmanaged` has none, nor has what is `deleted` and went by no name that would give it one. A `lock` is an apply's.
    """

    DECLARED = "declared"
    UNDECLARED = "undeclared"
    UNMANAGED = "unmanaged"
    LOCK = "lock"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a key is.

    `name` is its live name, else the one that the service remembers; `live` None where it is not among the live keys,
    whatever its standing. `role` says where it is in the life of its address; `declared` is what the file says of that.
    """

    standing: Standing
    name: str
    key_id: int | None
    address: Address | None = None
    role: Role | None = None
    declared: DeclaredKey | None = None
    live: LiveKey | None = None

    @property
    def team(self) -> str | None:
        """The team that the file names for the key, if any."""
        return None if self.declared is None else self.declared.team


class Attribution:
    """Tells for the keys of one account whose they are; `live` holds the owner of each live key by its id."""

    def __init__(self, snapshot: Snapshot, declaration: Declaration | None = None) -> None:
        """Place every live key, by what is declared for this account; None reads names by the default naming."""
        environments = _environments(snapshot.keys) if declaration is None else declaration.environments
        self._naming = Naming(DEFAULT_NAMING if declaration is None else declaration.naming, environments)
        keys = () if declaration is None else declaration.keys
        self._declared: Mapping[Address, DeclaredKey] = {key.address: key for key in keys}
        self._heirs = {name: key.address for key in keys for name in key.renamed_from}
        self._guesses = declaration is None
        places = {} if declaration is None else _places(declaration, snapshot)
        self.live: Mapping[int, Owner] = {key.id: self._owner_of(key, places.get(key.id)) for key in snapshot.keys}

    def of(self, usage: KeyTally) -> Owner:
        """Say whose the use is that the service tells of; see `identified` for use without an id."""
        owner = None if usage.id is None else self.live.get(usage.id)
        if owner is not None:
            return owner
        parsed = self._parse(usage.name)
        if parsed is None:
            standing = Standing.LOCK if is_lock(usage.name) else Standing.DELETED
            return Owner(standing, usage.name, usage.id)
        return self._at(parsed, usage.name, usage.id)

    def _owner_of(self, key: LiveKey, place: ParsedName | None) -> Owner:
        parsed = place or self._parse(key.name)
        if parsed is None:
            standing = Standing.LOCK if is_lock(key.name) else Standing.UNMANAGED
            return Owner(standing, key.name, key.id, live=key)
        return self._at(parsed, key.name, key.id, key)

    def _at(self, parsed: ParsedName, name: str, key_id: int | None, live: LiveKey | None = None) -> Owner:
        declared = self._declared.get(parsed.address)
        standing = Standing.UNDECLARED if declared is None else Standing.DECLARED
        return Owner(standing, name, key_id, parsed.address, parsed.role, declared, live)

    def _parse(self, name: str) -> ParsedName | None:
        found = self._naming.parse(name)
        if found is None and self._guesses and (environment := _environment(name)):
            found = Naming(DEFAULT_NAMING, [environment]).parse(name)  # one that has no live key any more
        if found is not None and found.address in self._declared:
            return found
        heir = self._heirs.get(name)
        inherited = parse_inherited(name, self._heirs) if heir is None else ParsedName(heir, Role.SETTLED)
        return inherited or found


def identified(statistics: Statistics, snapshot: Snapshot) -> Statistics:
    """Give use that the service tells without an id that of the live key of its name, if there is just one."""
    if all(usage.id is not None for usage in statistics.by_key):
        return statistics
    names = Counter(key.name for key in snapshot.keys)
    ids = {key.name: key.id for key in snapshot.keys if names[key.name] == 1}
    by_key = (usage if usage.id is not None else replace(usage, id=ids.get(usage.name)) for usage in statistics.by_key)
    return replace(statistics, by_key=tuple(by_key))


def tells_of_keys(statistics: Statistics) -> bool:
    """Tell whether the service says what single keys were used for: not where it leaves out which key it was."""
    if "api_key_usage" in statistics.absent:
        return False
    nobodys = any(usage.id is None and not usage.name for usage in statistics.by_key)
    return not (nobodys and "api_key_usage.api_key_id" in statistics.absent)


def _places(declaration: Declaration, snapshot: Snapshot) -> dict[int, ParsedName]:
    """Give the address of every live key that the planner gives one, by id."""
    matching = match(declaration, snapshot)
    places = {key.id: parsed for parsed, key in matching.engine}
    places |= {key.id: ParsedName(address, Role.SETTLED) for address, key in matching.undeclared}
    places |= {key.id: ParsedName(address, Role.SETTLED) for address, key in matching.live.items()}
    return places


def _environments(keys: Iterable[LiveKey]) -> set[str]:
    return {environment for key in keys if (environment := _environment(key.name))}


def _environment(name: str) -> str | None:
    found = _BY_DEFAULT.fullmatch(name)
    return found and found[1]
