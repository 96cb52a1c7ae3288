"""The `python` destination: hands the secret to a callable of the program that applies, its receiver.

The program gives its receivers to `apply(…, receivers={"app": callable})`, by the names of the destinations. The
command line has none, so preflight refuses the type there before the first write.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import FOREIGN, Description, Receiver
from reconciler.destinations.shared import Threads, one_line, repeated
from reconciler.errors import DestinationError
from reconciler.http.redact import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target

NAMES: Final = re.compile(r"\S(?:.*\S)?", re.DOTALL)
NAMED: Final = "a name has no spaces at its ends"
SECONDS: Final = 120.0
"""How long a receiver may take; what it does after that counts as perhaps done."""


class Python:
    """A receiver of the program; see `Destination`.

    It runs in a thread, one secret at a time, so that one that waits for a database holds up neither the lock nor the
    other destinations.
    """

    def __init__(self, target: Target, receivers: Mapping[str, Receiver] | None = None) -> None:
        """Take the target and the receivers of the program; none is called yet."""
        self._name = target.destination
        self._known = sorted(receivers or ())
        self._receiver = (receivers or {}).get(self._name)
        self._threads = Threads(1, f"receiver {self._name}")

    async def preflight(self, names: Sequence[str]) -> None:
        """Check that the program has a receiver, and the names; see `Destination`."""
        problems = [] if self._receiver else [self._missing()]
        problems += [f"{name!r} is no name ({NAMED})" for name in sorted(set(names)) if not NAMES.fullmatch(name)]
        problems += repeated(names)
        if problems:
            raise DestinationError(one_line("; ".join(problems)))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Call the receiver and return when it has; see `Destination`.

        What it raises says nothing about what it kept, so the secret counts as perhaps there. A DestinationError of it
        says that it kept nothing, unless it is `uncertain`.
        """
        receiver = self._receiver
        if receiver is None:
            raise _failed(secret_delivery.name, self._missing())
        if not NAMES.fullmatch(secret_delivery.name):
            raise _failed(secret_delivery.name, f"it is no name ({NAMED})")
        # A copy: the thread goes on when its waiter is cancelled or gives up, and the secret is wiped then.
        copy = replace(secret_delivery, secret=secret_delivery.secret.copy())
        try:
            failure = await self._threads.run(lambda: _received(receiver, copy), SECONDS)
        except TimeoutError:
            failure = DestinationError(f"its receiver did not return within {SECONDS:.0f} s", uncertain=True)
        if failure is not None:
            raise _failed(secret_delivery.name, str(failure), uncertain=failure.uncertain)

    def _missing(self) -> str:
        given = f"it has {', '.join(self._known)}" if self._known else "it has none"
        return (
            f"type python hands secrets to a receiver of the program, apply(…, receivers={{{self._name!r}: …}}), and "
            f"{given}; the command line cannot apply this"
        )


def _received(receiver: Receiver, secret_delivery: SecretDelivery) -> DestinationError | None:
    """Call the receiver; gives what went wrong without the secret, and nothing that it raised."""
    with secret_delivery.secret:
        try:
            result = receiver(secret_delivery)
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
        except DestinationError as error:
            return DestinationError(redact(str(error), [secret_delivery.secret]), uncertain=error.uncertain)
        except FOREIGN as error:
            return DestinationError(f"its receiver raised {type(error).__name__}", uncertain=True)
    return None


async def _awaited(result: Awaitable[object]) -> None:
    await result


def _failed(name: str, why: str, *, uncertain: bool = False) -> DestinationError:
    word = "may not have been" if uncertain else "was not"
    return DestinationError(one_line(f"{name} {word} handed over: {why}"), uncertain=uncertain)


DESCRIPTION: Final = Description(
    create=Python,
    type="python",
    summary="A function of the program that applies; not for the command line.",
    title="A function of the program",
    description=(
        "Hands each secret to a function of the program that applies, apply(…, receivers={…}) by the name of the "
        "destination. The command line refuses it. It has no settings."
    ),
    settings={},
    kind=Kind(names=r"(?s)\S(?:.*\S)?", words="a name without spaces at its ends", own_name="receiver"),
)
