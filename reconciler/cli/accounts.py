"""The accounts that a command is about, read at the same time; what goes wrong with one is kept from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.fleet.reading import read_all
from reconciler.model import KEY_VARIABLE
from reconciler.plan.accounts import account_variables

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.fleet.reading import Readings
    from reconciler.model import Declaration

__all__ = ["accounts_of", "read_all", "tell_of_unread"]


def accounts_of(declaration: Declaration | None, environments: Collection[str] = ()) -> tuple[str, ...]:
    """Name the variables with the provisioning keys of these environments' accounts, of all for none, in order.

    Without a declaration it is the one account of NAGA_PROVISIONING_KEY. Raises UsageError for an environment that is
    not declared, and for any without a declaration.
    """
    if declaration is None and environments:
        msg = "-e needs a keys.yaml, which declares the environments; give one with -f"
        raise UsageError(msg)
    known = {} if declaration is None else declaration.environments
    for name in environments:
        if name not in known:
            from reconciler.cli.request import refuse_unknown

            refuse_unknown(f"environment {name} is not declared", name, known)
    return (KEY_VARIABLE,) if declaration is None else account_variables(declaration, environments)


def tell_of_unread(readings: Readings) -> None:
    """Say on stderr which accounts could not be read, each with its reason."""
    from reconciler.cli.console import note

    for variable, error in readings.unread.items():
        note(f"error: {variable}: {' '.join(str(error).split())}")
