"""From an account that nobody has declared to what declares it.

=======================================  ==============================================================================
a live key that is not declared          becomes
=======================================  ==============================================================================
its name reads as an environment's key   that key, unchanged, be the environment declared already or not
it shares such a name with another       a key beside it, with its `id`: the next apply renames it
`renamed_from` of another has its name   likewise
any other name                           a key of the environment that was chosen, with its `id`: it is renamed too
... where names are to be kept           a glob of its name in `ignore`
the engine's own name                    nothing: the engine goes on with it
what `ignore` of the file matches        nothing, unless a declared environment owns it
what a file can't say                    nothing, and so is the environment that would own it
=======================================  ==============================================================================

Planning the result proposes the renames, and what the engine does with its own keys, and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Final
from unicodedata import combining, normalize

from reconciler.model import Address
from reconciler.planning.actions import matcher
from reconciler.planning.matching import match
from reconciler.planning.names import (
    LONGEST_LIVE_NAME,
    LONGEST_SUFFIX,
    NAME,
    Naming,
    Role,
    is_lock,
    under,
    without_period,
)
from reconciler.units import MONEY_DECIMALS, MONEY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.model import Declaration, LiveKey, Snapshot
    from reconciler.planning.matching import Matching

_NAME: Final = re.compile(NAME, re.ASCII)
_LONGEST_NAME: Final = 63
_HIGHEST_ID: Final = 2**63 - 1
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_IN_NAMES: Final = re.compile(r"[a-z0-9._-]*", re.ASCII)
_FIELDS: Final = re.compile(r"(\{environment\}|\{key\})")
_SPECIAL: Final = re.compile(r"[*?\[]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Adopted:
    """A live key and the address it gets; where that means another name, it is declared with its `id` and renamed.

    An `owned` one has the name of an environment that is declared: without being declared itself, it would be removed.
    """

    address: Address
    live: LiveKey
    renamed: bool = False
    owned: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A live key that is not declared, and why."""

    live: LiveKey
    reason: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """What becomes of the keys that are not declared yet, each in the order of its address or its name."""

    keys: tuple[Adopted, ...] = ()
    ignored: tuple[LiveKey, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    engine: tuple[LiveKey, ...] = ()

    @property
    def renames(self) -> tuple[Adopted, ...]:
        """Those that the next apply renames."""
        return tuple(key for key in self.keys if key.renamed)


@dataclass(frozen=True, slots=True)
class NameRule:
    """Where the keys of a name belong: `*-prod=production` has `web-prod` become `production/web`.

    A key is called what the stars of the pattern stand for, else by its whole name, unless `key` names it.
    """

    pattern: str
    environment: str
    key: str | None = None

    def address(self, name: str) -> Address | None:
        """Return the address of a live name, its key not made valid yet; None where the pattern does not match."""
        glob = "".join("(.*)" if part == "*" else re.escape(part) for part in re.split(r"(\*)", self.pattern))
        found = re.fullmatch(glob, name, re.DOTALL)
        if found is None:
            return None
        return Address(self.environment, self.key or "-".join(filter(None, found.groups())) or name)


def read_rule(text: str) -> NameRule:
    """Read `PATTERN=ENV` or `PATTERN=ENV/KEY`; raises ValueError for anything else."""
    pattern, sign, place = text.rpartition("=")
    environment, slash, key = place.partition("/")
    names = [environment, *([key] if slash else [])]
    if not (sign and pattern and all(_NAME.fullmatch(name) for name in names)):
        msg = f"{text} is not PATTERN=ENV or PATTERN=ENV/KEY, as in '*-prod=production'"
        raise ValueError(msg)
    return NameRule(pattern, environment, key or None)


def adopt(
    declaration: Declaration,
    snapshot: Snapshot,
    into: str,
    *,
    keep_names: bool = False,
    taken: Iterable[str] = (),
    rules: Sequence[NameRule] = (),
) -> Adoption:
    """Declare what is live and not declared yet.

    Args:
        declaration: what is declared for this account already; without an environment where nothing is.
        snapshot: the live keys.
        into: the environment of keys whose names do not say where they belong.
        keep_names: have the names of such keys ignored, rather than renamed.
        taken: the environments that are declared for other accounts.
        rules: where else keys belong whose names do not say it; the first that matches counts.
    """
    matching = match(declaration, snapshot)
    rest = sorted([*matching.foreign, *(key for _, key in matching.undeclared)], key=_order)
    claims = {key.id: key.address for key in declaration.keys if key.id is not None}
    is_ignored = matcher(declaration.ignore)
    left_alone = {key.id for key in matching.foreign if _is_engines(key) or is_ignored(key.name)}
    mine = [key for key in rest if key.id not in claims and key.id not in left_alone]
    places = _Places(
        declaration.naming,
        frozenset(declaration.environments),
        frozenset(taken),
        {into, *(rule.environment for rule in rules)},
    )
    blocked = _blocked(declaration, snapshot.keys)
    unfit = {key.id: reason for key in mine if (reason := _unfit(key) or (keep_names and blocked.get(key.name)))}
    obstacles = {**_claimed(matching, places), **_obstacles(rest, {key.id for key in mine}, unfit, places)}
    registrar = _Registrar({key.id: address for address, key in matching.undeclared}, places, blocked, unfit, obstacles)
    fates: dict[int, Adopted | LeftOut] = {
        key.id: LeftOut(key, f"{claims[key.id]} has its id") for key in rest if key.id in claims
    }
    fates |= {key.id: fate for key in mine if (fate := registrar.under_its_name(key))}
    if not keep_names:
        homes = _Homes(declaration, snapshot, places, [key.address for key in _adopted(fates)])
        fates |= {
            key.id: registrar.under_a_new_name(key, _wished(key.name, into, rules), homes)
            for key in mine
            if key.id not in fates
        }
    known = {*registrar.owned, *(key.live.id for key in _adopted(fates))}
    return Adoption(
        keys=tuple(sorted(_adopted(fates), key=lambda key: key.address)),
        ignored=tuple(key for key in mine if keep_names and key.id not in known and key.name),
        left_out=tuple(fate for key in rest if isinstance(fate := fates.get(key.id), LeftOut)),
        engine=tuple(sorted(_engines(matching, snapshot), key=_order)),
    )


def _wished(name: str, into: str, rules: Iterable[NameRule]) -> Address:
    """Return the address that a key with a name that says nothing is to have, its key not yet made a valid one."""
    return next((found for rule in rules if (found := rule.address(name))), Address(into, name))


def glob_of(name: str) -> str:
    """Return the glob that matches a name and, but for halves of characters that no file can hold, nothing else."""
    return _SURROGATE.sub("?", _SPECIAL.sub(lambda special: f"[{special[0]}]", name))


class _Places:
    """Reads from names which environment they would be of, as `naming` has it."""

    def __init__(self, naming: str, declared: frozenset[str], taken: frozenset[str], chosen: set[str]) -> None:
        self.declared = declared
        self.taken = taken
        self._chosen = Naming(naming, chosen - declared)
        pattern = "".join(
            f"({NAME})" if part in {"{environment}", "{key}"} else re.escape(part) for part in _FIELDS.split(naming)
        )
        # Where a name could hold what lies between the two, nobody can tell where the one ends.
        between = _FIELDS.split(naming)[2]
        self._pattern = None if _IN_NAMES.fullmatch(between) else re.compile(pattern, re.ASCII)
        self._key_first = naming.index("{key}") < naming.index("{environment}")

    def find(self, name: str) -> Address | None:
        """Return the address that a name would have in an environment that is not declared yet."""
        found = self._pattern and self._pattern.fullmatch(without_period(name))
        if not found:
            return None
        first, second = found.groups()
        address = Address(second, first) if self._key_first else Address(first, second)
        return None if address.environment in self.declared else address

    def owner(self, name: str) -> str | None:
        """Name the environment, not declared yet, that would own a name; the chosen one is known whatever `naming`."""
        parsed = self._chosen.parse(name)
        address = parsed.address if parsed and parsed.role is Role.SETTLED else self.find(name)
        return address.environment if address else None


@dataclass(frozen=True, slots=True)
class _Registrar:
    """Declares keys, or says why not: `owned` has addresses by key, `unfit` and `obstacles` the reasons.

    `unfit` are keys that can't be declared under their own names, `obstacles` environments that can't be declared, and
    `blocked` names that no declared key can have.
    """

    owned: Mapping[int, Address]
    places: _Places
    blocked: Mapping[str, str]
    unfit: Mapping[int, str]
    obstacles: Mapping[str, str]

    def under_its_name(self, key: LiveKey) -> Adopted | LeftOut | None:
        """Declare a key as what its name says; None where that says nothing, or another has it too."""
        address = self._address(key)
        if address is None:
            return None
        owned = key.id in self.owned
        if reason := self.unfit.get(key.id) or self.obstacles.get(address.environment):
            removed = "; its environment is declared, so a plan removes it" if owned else ""
            return LeftOut(key, reason + removed)
        return None if key.name in self.blocked else Adopted(address, key, owned=owned)

    def under_a_new_name(self, key: LiveKey, wished: Address, homes: _Homes) -> Adopted | LeftOut:
        """Declare a key beside what its name says, or else as is wished."""
        address = self._address(key) or wished
        if reason := self.obstacles.get(address.environment) or _undeclarable(key):
            return LeftOut(key, reason)
        return Adopted(homes.propose(address, key.id), key, renamed=True, owned=key.id in self.owned)

    def _address(self, key: LiveKey) -> Address | None:
        return self.owned.get(key.id) or self.places.find(key.name)


def _adopted(fates: Mapping[int, Adopted | LeftOut]) -> list[Adopted]:
    return [fate for fate in fates.values() if isinstance(fate, Adopted)]


def _obstacles(
    rest: Sequence[LiveKey], mine: Collection[int], unfit: Mapping[int, str], places: _Places
) -> Mapping[str, str]:
    """Return which environments can't be declared and why: they would own a key that is not to be declared."""
    obstacles = dict.fromkeys(places.taken, "its environment is declared for another account")
    for key in rest:
        owner = places.owner(key.name)
        reason = unfit.get(key.id) if key.id in mine else "that one is not to be declared"
        if owner and reason:
            obstacles.setdefault(owner, f"its environment would own {key} too, and {reason}")
    return obstacles


def _claimed(matching: Matching, places: _Places) -> Mapping[str, str]:
    """Return which environments can't be declared and why: names of the engine's would be theirs, not another's."""
    return {
        owner: f"its environment would own {key} too, and that one is {address} by its id or renamed_from"
        for address, key in matching.live.items()
        if _is_engines(key) and (owner := places.owner(key.name.rpartition("~")[0]))
    }


def _blocked(declaration: Declaration, keys: Iterable[LiveKey]) -> Mapping[str, str]:
    """Return which names no declared key can have, and why."""
    earlier = {name: key.address for key in declaration.keys for name in key.renamed_from}
    blocked = {name: f"renamed_from of {address} has its name" for name, address in earlier.items()}
    counts = Counter(key.name for key in keys)
    return blocked | {name: f"{count} live keys are called {name}" for name, count in counts.items() if count > 1}


def _unfit(key: LiveKey) -> str | None:
    """Return why a key can't be declared under its own name; None if nothing about the key itself is against it."""
    if len(key.name) > LONGEST_LIVE_NAME - LONGEST_SUFFIX:
        return f"the name of {key} leaves no room for what reconciler adds to names"
    return _undeclarable(key)


def _undeclarable(key: LiveKey) -> str | None:
    """Return why no file can declare a key as it is; None where one can."""
    limit = key.credit_limit
    if limit is not None and (not 0 <= limit < MONEY_LIMIT or round(limit, MONEY_DECIMALS) != limit):
        return f"no file can declare the limit of {key}: at most {MONEY_DECIMALS} decimals, from 0 to under 10^12"
    if not 1 <= key.id <= _HIGHEST_ID:
        return f"no file can declare the id of {key}"
    return None


def _order(key: LiveKey) -> tuple[str, int]:
    return key.name, key.id


def _is_engines(key: LiveKey) -> bool:
    """Return whether a name ends as only those do that the engine makes."""
    return bool(under("", without_period(key.name)))


def _engines(matching: Matching, snapshot: Snapshot) -> Iterator[LiveKey]:
    """Yield what the engine has named, for whichever environment, and its locks."""
    yield from (key for _, key in matching.engine)
    yield from (key for key in matching.foreign if _is_engines(key))
    yield from (key for key in snapshot.keys if is_lock(key.name))


class _Homes:
    """Finds names for keys that need one, each of them free."""

    def __init__(
        self, declaration: Declaration, snapshot: Snapshot, places: _Places, adopted: Iterable[Address]
    ) -> None:
        self._naming = Naming(declaration.naming, declaration.environments)
        self._taken = {*adopted, *(key.address for key in declaration.keys)}
        for name in (
            *(key.name for key in snapshot.keys),
            *(old for key in declaration.keys for old in key.renamed_from),
        ):
            # Whatever the engine has made of a name belongs to its address.
            parsed, found = self._naming.parse(name), places.find(name.partition("~")[0])
            self._taken.update(address for address in (parsed and parsed.address, found) if address)

    def propose(self, wanted: Address, key_id: int) -> Address:
        """Return an address whose key is a valid name that no other has, made from what is wanted."""
        around = len(self._naming.format(Address(wanted.environment, "")))
        room = min(_LONGEST_NAME, LONGEST_LIVE_NAME - LONGEST_SUFFIX - around)
        proposals = (Address(wanted.environment, proposal) for proposal in _proposals(wanted.key, key_id, room))
        address = next(address for address in proposals if address not in self._taken)
        self._taken.add(address)
        return address


def _proposals(name: str, key_id: int, room: int) -> Iterator[str]:
    """Return names without end: the words of the name, then with the id, then with a number as well."""
    letters = normalize("NFKD", name).casefold()
    bare = "".join(letter for letter in letters if not combining(letter))  # é is an e
    words = _NOT_IN_NAMES.sub("-", bare).strip("-")[:room].strip("-")
    endings = chain((f"-{key_id}",), (f"-{key_id}-{number}" for number in count(2)))
    numbered = (f"{(words or 'key')[: room - len(ending)]}{ending}" for ending in endings)
    return chain([words] if words else [], numbered)
