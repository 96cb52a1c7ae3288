"""What a destination is: a place that takes secrets and keeps them.

A destination is one module, announced by its package in the entry-point group `reconciler.destinations`: the name of
the entry point is the `type` of keys.yaml, its object is called with the Target and gives the Destination. It is
created once per target and run, and many keys share it at the same time; connections and whatever else costs something
belong into `preflight` and `deliver`, not into the creation. Credentials come from each system's usual place, never
from the target's settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model import Address
    from reconciler.secret import Secret


@dataclass(frozen=True, slots=True)
class Consignment:
    """One secret on its way; `name` is what it is called at the destination (the declared `as`, filled in)."""

    address: Address
    key_id: int
    name: str
    secret: Secret


class Destination(Protocol):
    """A place that takes secrets; every method may run many times at once on one event loop."""

    async def preflight(self, names: Sequence[str]) -> None:
        """Find out, without writing anything, whether secrets of these names would be taken.

        Called once with all the names that a plan delivers here, before the first key is created.

        Raises:
            DestinationError: with everything found that would go wrong, on one line.
        """
        ...

    async def deliver(self, consignment: Consignment) -> None:
        """Store one secret, in place of an earlier one of its name; return only once it is durably there.

        Cancelled, it leaves the secret either there or not, and the destination as usable as before.

        Raises:
            DestinationError: nothing of this secret is there, unless the message says so; neither the error nor what
                it was raised from holds the secret.
        """
        ...
