"""Finds the destination that a target asks for, among those that the installed packages offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import DestinationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.destinations.base import Destination
    from reconciler.model import Target

GROUP: Final = "reconciler.destinations"

_EXTRAS: Final = {"age": "age", "github-actions": "github", "aws-secrets-manager": "aws", "vault": "vault"}
"""The extra of our own distribution that brings what a type needs; other types come from other packages."""


class Registry:
    """The destinations of one run: equal targets share one instance."""

    def __init__(self) -> None:
        """Begin with none open; a type is looked up when the first target asks for it."""
        self._opened: dict[Target, Destination] = {}

    def open(self, target: Target) -> Destination:
        """Give the destination of a target.

        Raises:
            DestinationError: no installed package offers the type, it cannot be loaded, or it refuses the settings.
        """
        destination = self._opened.get(target)
        if destination is None:
            destination = self._opened[target] = _create(target)
        return destination


def _create(target: Target) -> Destination:
    factory = _find(target.type)
    try:
        return factory(target)
    except DestinationError:
        raise
    except Exception as error:
        raise DestinationError(_broken(target.type, error)) from error


def _find(kind: str) -> Callable[[Target], Destination]:
    from importlib.metadata import entry_points

    offers = tuple(entry_points(group=GROUP, name=kind))
    if not offers:
        raise DestinationError(_unknown(kind, sorted({offer.name for offer in entry_points(group=GROUP)})))
    if len(offers) > 1:
        owners = ", ".join(sorted(offer.dist.name if offer.dist else offer.value for offer in offers))
        msg = f"the destination type {kind!r} is offered by more than one package, uninstall all but one: {owners}"
        raise DestinationError(msg)
    try:
        factory: Callable[[Target], Destination] = offers[0].load()
    except Exception as error:
        raise DestinationError(_broken(kind, error)) from error
    return factory


def _unknown(kind: str, known: list[str]) -> str:
    found = f"no installed package offers the destination type {kind!r} (there are: {', '.join(known) or 'none'})"
    return f"{found}{_install(kind, otherwise='; correct the type, or install the package that offers it')}"


def _broken(kind: str, error: Exception) -> str:
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    found = f"the destination type {kind!r} cannot be used ({cause})"
    return f"{found}{_install(kind, otherwise='; reinstall or repair the package that offers it')}"


def _install(kind: str, *, otherwise: str) -> str:
    extra = _EXTRAS.get(kind)
    return otherwise if extra is None else f"; install it: pip install 'naga-reconciler[{extra}]'"
