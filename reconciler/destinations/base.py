"""What a destination is: a place that takes secrets and keeps them.

A destination is one module. One of ours ends with its `DESCRIPTION`, from which its part of the schema, the help of
editors, the tables of the docs, and what has to be known while a file is read are made (`make pictures`). Another
package announces its own in the entry-point group `reconciler.destinations`: the name of the entry point is the `type`
of keys.yaml, which has a dot in it. What is announced is called with the Target and gives the Destination, once per
target and run, and many keys share it at the same time; connections and whatever else costs something belong into
`preflight` and `deliver`, not into the creation. Credentials come from each system's usual place, never from the
target's settings.

A destination may do more than it must: one that can tell whose secrets it holds is Describing too, one that can find a
secret among those it holds is Searching too, one that keeps earlier secrets is Ending too, one that keeps something
open is Closing too. All are found by their method, there is nothing to inherit from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from reconciler.declaration.destinations import Kind
    from reconciler.model import Address
    from reconciler.secret import Secret

FOREIGN: Final = (Exception, SystemExit)
"""What a destination of anybody's may raise; a SystemExit would end the run in the middle, and show its text."""


@dataclass(frozen=True, slots=True)
class SecretDelivery:
    """One secret on its way; `name` is what it is called at the destination (the declared `as`, filled in)."""

    address: Address
    key_id: int
    name: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Held:
    """What a destination knows about a secret that it holds: of which key, and since when (UTC); None is unknown."""

    key_id: int | None
    since: datetime | None


Receiver = Callable[[SecretDelivery], object]
"""A function of the program that takes secrets for a destination of type python. What it gives back is awaited where
that can be, and otherwise ignored; it keeps no Secret, only what `secret.reveal()` gives."""


class Destination(Protocol):
    """A place that takes secrets; every method may run many times at once on one event loop."""

    async def preflight(self, names: Sequence[str]) -> None:
        """Find out, without writing anything, whether secrets of these names would be taken.

        Called once with all the names that a plan delivers here, before the first key is created.

        Raises:
            DestinationError: with everything found that would go wrong, on one line.
        """
        ...

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Store one secret, in place of an earlier one of its name; return only once it is durably there.

        Cancelled, it leaves the secret either there or not, and the destination as usable as before. The secret is
        wiped once this has ended, cancelled or not: what goes on after that, in a thread or another task, works with a
        `copy()` of it and wipes that.

        Raises:
            DestinationError: nothing of this secret is there, unless the error is `uncertain`; neither the error nor
                what it was raised from holds the secret.
        """
        ...


@runtime_checkable
class Describing(Protocol):
    """A destination that can tell whose secrets it holds."""

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return which of these names hold a secret, and of which key; reads no secret and writes nothing.

        A name that holds none is left out.

        Raises:
            DestinationError: it cannot be found out.
        """
        ...


@runtime_checkable
class Searching(Protocol):
    """A destination that can find a secret among those it holds: by comparing, or by the fingerprint it has noted."""

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Return under which of these names this very secret is; writes nothing.

        Raises:
            DestinationError: it cannot be found out; the error does not hold the secret.
        """
        ...


def fingerprint(secret: Secret) -> str:
    """Return what a destination notes beside a secret: its SHA-256 in hex, which tells nothing of a random secret."""
    return hashlib.sha256(secret.reveal().encode("utf-8", "surrogatepass")).hexdigest()


@runtime_checkable
class Ending(Protocol):
    """A destination that keeps more than the newest secret of a name."""

    async def ended(self, name: str, key_id: int) -> None:
        """Hear that a key that a rotation has replaced is deleted: what is kept of its secret is of no use any more.

        Raises:
            DestinationError: it could not be put away; nobody is kept from anything by that.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """A destination that keeps something open while it is in use."""

    async def aclose(self) -> None:
        """Let go of connections and the like; called once at the end of a run, also of one that was interrupted."""
        ...


Schema = dict[str, object]
"""A JSON Schema of a setting: with a description, examples and the errorMessage that says what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What one of our modules says of its type.

    `summary` is a line for those who choose a type, `title` and `description` head its settings in editors and docs.
    `settings` are the schemas of its settings, in the order of the docs, `rules` what else the schema demands of them
    together. `kind` is what has to be known while a file is read, `extra` what brings its library.
    """

    create: Callable[..., Destination]
    type: str
    summary: str
    title: str
    description: str
    settings: dict[str, Schema]
    kind: Kind
    required: tuple[str, ...] = ()
    rules: Schema = field(default_factory=dict)
    extra: str = ""


def text_setting(  # what a text can be restricted by, each by its name
    description: str, must: str, *examples: str, pattern: str = "", most: int = 255, default: str = "", title: str = ""
) -> Schema:
    """Return the schema of a setting that is a text of at most so many characters, which must be what `must` says."""
    return {
        **({"title": title} if title else {}),
        "description": description,
        "type": "string",
        "minLength": 1,
        "maxLength": most,
        **({"pattern": pattern} if pattern else {}),
        **({"default": default} if default else {}),
        "examples": [*examples],
        "errorMessage": f"must be {must}",
    }


def flag_setting(description: str, *, default: bool = False) -> Schema:
    """Return the schema of a setting that is true or false, and `default` where nothing is said."""
    return {
        "description": description,
        "type": "boolean",
        "default": default,
        "examples": [not default],
        "errorMessage": "must be true or false",
    }
