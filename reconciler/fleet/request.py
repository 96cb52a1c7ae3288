"""What to plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.fleet.connect import open_account
from reconciler.plan.accounts import account_variables, base_of, part_of, selected_variables
from reconciler.plan.options import AS_THE_FILE_SAYS, Options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.model import Declaration


@dataclass(frozen=True, slots=True)
class Request:
    """What to plan: the declaration, the one before the change if it is known, and wishes beyond the file.

    With `simulator`, accounts are simulated and kept there. `credentials` are what the variables with provisioning keys
    hold, in place of the environment. `reviewed` options are those of a plan that was reviewed: what they matched then
    may be gone by now, which makes the plan stale and not the options wrong.
    """

    declaration: Declaration
    base: Declaration | None = None
    options: Options = AS_THE_FILE_SAYS
    simulator: Path | None = None
    credentials: Mapping[str, str] | None = field(default=None, repr=False)
    reviewed: bool = False

    def open(self, variable: str, parallelism: int) -> Account:
        """Connect to one account; raises UsageError when there is no credential for it."""
        return open_account(
            self.simulator,
            parallelism=parallelism,
            variable=variable,
            credentials=self.credentials,
            label=f"{variable}: " if self.several else "",
        )

    def variables(self) -> tuple[str, ...]:
        """Name the variables of the accounts that are to be read, in order."""
        return selected_variables(self.declaration, self.base, self.options)

    @property
    def several(self) -> bool:
        """Whether it has to be said of an action whose account it is about."""
        return len(account_variables(self.declaration)) > 1 or len(self.variables()) > 1

    def part(self, variable: str) -> Declaration:
        """Give what is declared for one account."""
        return part_of(self.declaration, variable)

    def base_part(self, variable: str) -> Declaration | None:
        """Give what of the base is held against that."""
        return None if self.base is None else base_of(self.base, self.declaration, variable)
