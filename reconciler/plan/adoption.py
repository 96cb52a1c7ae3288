"""From an account that nobody has declared to what declares it.

=======================================  ==============================================================================
a live key that nobody manages           becomes
=======================================  ==============================================================================
its name reads as an environment's key   that key, unchanged
it shares such a name with another       a key beside it, with its `id`: the next apply renames it
any other name                           a key of the environment that was chosen, with its `id`: it is renamed too
... where names are to be kept           a glob of its name in `ignore`
the engine's own name                    nothing: the engine goes on with it
what `ignore` of the file matches        nothing
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

from reconciler.model import Address
from reconciler.plan.match import match
from reconciler.plan.names import LONGEST_LIVE_NAME, LONGEST_SUFFIX, NAME, Naming, under
from reconciler.plan.options import matcher
from reconciler.units import MONEY_DECIMALS, MONEY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.model import Declaration, LiveKey, Snapshot

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
    """A live key and the address it gets; where that means another name, it is declared with its `id` and renamed."""

    address: Address
    live: LiveKey
    renamed: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A live key that is not declared, and why."""

    live: LiveKey
    reason: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """What declares the keys of an account that nobody manages, each in the order of its address or its name."""

    keys: tuple[Adopted, ...] = ()
    ignored: tuple[LiveKey, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    engine: tuple[LiveKey, ...] = ()

    @property
    def renames(self) -> tuple[Adopted, ...]:
        """Those that the next apply renames."""
        return tuple(key for key in self.keys if key.renamed)


def adopt(
    declaration: Declaration, snapshot: Snapshot, into: str, *, keep_names: bool = False, taken: Iterable[str] = ()
) -> Adoption:
    """Declare what is live and not managed.

    Args:
        declaration: what is declared for this account already; without an environment where nothing is.
        snapshot: the live keys.
        into: the environment of keys whose names do not say where they belong.
        keep_names: have the names of such keys ignored, rather than renamed.
        taken: the environments that are declared for other accounts.
    """
    foreign = sorted(match(declaration, snapshot).foreign, key=_order)
    is_ignored = matcher(declaration.ignore)
    claims = {key.id: key.address for key in declaration.keys if key.id is not None}
    mine = [key for key in foreign if not (_is_engines(key) or key.id in claims or is_ignored(key.name))]
    places = _Places(declaration.naming, frozenset(declaration.environments), frozenset(taken))
    obstacles = _obstacles(foreign, mine, places, keep_names=keep_names)
    namesakes = Counter(key.name for key in mine)
    kept: dict[int, Adopted] = {}
    left_out = {key.id: LeftOut(key, f"{claims[key.id]} has its id") for key in foreign if key.id in claims}
    for key in mine:
        address = places.find(key.name)
        if reason := address and obstacles.get(address.environment):
            left_out[key.id] = LeftOut(key, reason)
        elif address and namesakes[key.name] == 1:
            kept[key.id] = Adopted(address, key)
    others = [key for key in mine if key.id not in kept and key.id not in left_out]
    renamed: list[Adopted] = []
    if not keep_names:
        homes = _Homes(declaration, snapshot, places, [key.address for key in kept.values()])
        for key in others:
            address = places.find(key.name) or Address(into, key.name)
            if reason := obstacles.get(address.environment) or _undeclarable(key):
                left_out[key.id] = LeftOut(key, reason)
            else:
                renamed.append(Adopted(homes.propose(address, key.id), key, renamed=True))
    ignored = [key for key in mine if keep_names and key.id not in kept and key.name]
    return Adoption(
        keys=tuple(sorted([*kept.values(), *renamed], key=lambda key: key.address)),
        ignored=tuple(ignored),
        left_out=tuple(sorted(left_out.values(), key=lambda left: _order(left.live))),
        engine=tuple(key for key in foreign if _is_engines(key)),
    )


def glob_of(name: str) -> str:
    """Give the glob that matches a name and, but for halves of characters that no file can hold, nothing else."""
    return _SURROGATE.sub("?", _SPECIAL.sub(lambda special: f"[{special[0]}]", name))


class _Places:
    """Reads from names which environment they would be of, as `naming` has it."""

    def __init__(self, naming: str, declared: frozenset[str], taken: frozenset[str]) -> None:
        self.naming = naming
        self.declared = declared
        self.taken = taken
        pattern = "".join(
            f"({NAME})" if part in {"{environment}", "{key}"} else re.escape(part) for part in _FIELDS.split(naming)
        )
        # Where a name could hold what lies between the two, nobody can tell where the one ends.
        between = _FIELDS.split(naming)[2]
        self._pattern = None if _IN_NAMES.fullmatch(between) else re.compile(pattern, re.ASCII)
        self._key_first = naming.index("{key}") < naming.index("{environment}")

    def find(self, name: str) -> Address | None:
        """Give the address that a name would have in an environment that is not declared yet."""
        found = self._pattern and self._pattern.fullmatch(name)
        if not found:
            return None
        first, second = found.groups()
        address = Address(second, first) if self._key_first else Address(first, second)
        return None if address.environment in self.declared else address


def _obstacles(
    foreign: Sequence[LiveKey], mine: Sequence[LiveKey], places: _Places, *, keep_names: bool
) -> Mapping[str, str]:
    """Say which environments can't be declared and why: they would own a key that is not to be declared."""
    obstacles = dict.fromkeys(places.taken, "its environment is declared for another account")
    wanted = {key.id for key in mine}
    namesakes = Counter(key.name for key in mine)
    for key in foreign:
        address = places.find(key.name)
        if address is None:
            continue
        if key.id not in wanted:
            reason: str | None = f"its environment would own {key} too, which is not to be declared"
        elif namesakes[key.name] > 1 and keep_names:
            reason = f"{namesakes[key.name]} live keys are called {key.name}"
        elif len(key.name) > LONGEST_LIVE_NAME - LONGEST_SUFFIX:
            reason = f"the name of {key} leaves no room for what reconciler adds to names"
        else:
            reason = _undeclarable(key)
        if reason:
            obstacles.setdefault(address.environment, reason)
    return obstacles


def _undeclarable(key: LiveKey) -> str | None:
    """Say why no file can declare a key as it is; None where one can."""
    limit = key.credit_limit
    if limit is not None and (not 0 <= limit < MONEY_LIMIT or round(limit, MONEY_DECIMALS) != limit):
        return f"no file can declare the limit of {key}: at most {MONEY_DECIMALS} decimals, from 0 to under 10^12"
    if not 1 <= key.id <= _HIGHEST_ID:
        return f"no file can declare the id of {key}"
    return None


def _order(key: LiveKey) -> tuple[str, int]:
    return key.name, key.id


def _is_engines(key: LiveKey) -> bool:
    """Tell whether a name ends as only those do that the engine makes."""
    return bool(under("", key.name))


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
        """Give an address whose key is a valid name that no other has, made from what is wanted."""
        around = len(self._naming.format(Address(wanted.environment, "")))
        room = min(_LONGEST_NAME, LONGEST_LIVE_NAME - LONGEST_SUFFIX - around)
        proposals = (Address(wanted.environment, proposal) for proposal in _proposals(wanted.key, key_id, room))
        address = next(address for address in proposals if address not in self._taken)
        self._taken.add(address)
        return address


def _proposals(name: str, key_id: int, room: int) -> Iterator[str]:
    """Give names without end: the words of the name, then with the id, then with a number as well."""
    words = _NOT_IN_NAMES.sub("-", name.lower()).strip("-")[:room].strip("-")
    endings = chain((f"-{key_id}",), (f"-{key_id}-{number}" for number in count(2)))
    numbered = (f"{(words or 'key')[: room - len(ending)]}{ending}" for ending in endings)
    return chain([words] if words else [], numbered)
