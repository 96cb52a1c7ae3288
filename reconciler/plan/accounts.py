"""The accounts that a declaration is about: environments that share a provisioning key live in one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.model import KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.model import Declaration


def account_variables(declaration: Declaration, environments: Collection[str] = ()) -> tuple[str, ...]:
    """Name the variables with the provisioning keys of these environments' accounts, of all for none, in order.

    A declaration without an environment is about the account that stands for itself.
    """
    named = {
        environment.provisioning_key_env
        for name, environment in declaration.environments.items()
        if not environments or name in environments
    }
    return tuple(sorted(named)) or (KEY_VARIABLE,)


def part_of(declaration: Declaration, variable: str) -> Declaration:
    """Give what is declared for one account: its environments and their keys, and the rules, which hold for each."""
    if account_variables(declaration) == (variable,):
        return declaration
    environments = {
        name: environment
        for name, environment in declaration.environments.items()
        if environment.provisioning_key_env == variable
    }
    keys = tuple(key for key in declaration.keys if key.address.environment in environments)
    return replace(declaration, environments=environments, keys=keys)
