"""Finds the destination that a target asks for, among ours and those that other installed packages offer."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from reconciler.declaration.destinations import kind_of, kinds
from reconciler.destinations.base import FOREIGN, Closing
from reconciler.errors import DestinationError
from reconciler.model import EXEC, PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint, EntryPoints

    from reconciler.destinations.base import Description, Destination, Receiver
    from reconciler.model import Target

GROUP: Final = "reconciler.destinations"

_METHODS: Final = ("preflight", "deliver")


class Registry:
    """The destinations of one run: equal targets share one instance."""

    def __init__(self, *, allow_exec: bool = False, receivers: Mapping[str, Receiver] | None = None) -> None:
        """Begin with none open; a type is looked up when the first target asks for it.

        `receivers` are the functions of the program that destinations of type python hand secrets to, by destination.
        `allow_exec` is the user's word that commands of the file may run; nothing in the file itself can give it.
        """
        self._allow_exec = allow_exec
        self._receivers = receivers or {}
        self._opened: dict[Target, Destination] = {}
        self._offers: EntryPoints | None = None

    def open(self, target: Target) -> Destination:
        """Return the destination of a target.

        Raises:
            DestinationError: no installed package offers the type, it cannot be loaded, it refuses the settings, or
                it would run a command and nobody has allowed that.
        """
        if target.type == EXEC and not self._allow_exec:
            msg = "it runs a command of keys.yaml, which is done only with --allow-exec"
            raise DestinationError(msg)
        destination = self._opened.get(target)
        if destination is None:
            destination = self._opened[target] = self._create(target)
        return destination

    async def aclose(self) -> None:
        """Close every destination that keeps something open.

        What cannot be closed cleanly is left to the end of the process: the secrets have been delivered or not before.
        """
        closing = [each for each in self._opened.values() if isinstance(each, Closing)]
        self._opened.clear()
        await asyncio.gather(*(each.aclose() for each in closing), return_exceptions=True)

    def _create(self, target: Target) -> Destination:
        factory = self._find(target.type)
        if target.type == PYTHON:
            factory = partial(factory, receivers=self._receivers)
        try:
            destination = factory(target)
        except DestinationError:
            raise
        except FOREIGN as error:
            raise DestinationError(_broken(target.type, _words(error))) from error
        if missing := [method for method in _METHODS if not callable(getattr(destination, method, None))]:
            raise DestinationError(_broken(target.type, f"it has no {' and no '.join(missing)}"))
        return destination

    def _find(self, kind: str) -> Callable[..., Destination]:
        """Return what creates the destinations of a type; nobody else can offer one of ours."""
        try:
            if module := kind_of(kind).module:
                description: Description = import_module(module).DESCRIPTION
                return description.create
            return self._offered(kind).load()  # type: ignore[no-any-return]  # what it gives is looked at once it is there
        except FOREIGN as error:
            if isinstance(error, DestinationError):
                raise
            raise DestinationError(_broken(kind, _words(error))) from error

    def _offered(self, kind: str) -> EntryPoint:
        if self._offers is None:  # once a run: all installed packages are looked at
            from importlib.metadata import entry_points

            self._offers = entry_points(group=GROUP)
        offers = tuple(self._offers.select(name=kind))
        if not offers:
            raise DestinationError(_unknown(kind, sorted({*kinds(), *self._offers.names})))
        if len(offers) > 1:
            owners = ", ".join(sorted(offer.dist.name if offer.dist else offer.value for offer in offers))
            msg = f"the destination type {kind!r} is offered by more than one package, uninstall all but one: {owners}"
            raise DestinationError(msg)
        return offers[0]


def _unknown(kind: str, known: list[str]) -> str:
    found = f"no installed package offers the destination type {kind!r} (there are: {', '.join(known) or 'none'})"
    return f"{found}; correct the type, or install the package that offers it"


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _broken(kind: str, cause: str) -> str:
    remedy = "reinstall or repair the package that offers it"
    if extra := kind_of(kind).extra:
        from reconciler.installation import installing

        remedy = f"install it: {installing(extra)}"
    return f"the destination type {kind!r} cannot be used ({cause}); {remedy}"
