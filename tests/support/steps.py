"""A simulated account that watches the names that runs give to keys: each change of a stage has to be in the table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Unpack

from reconciler.planning.names import STEPS, Role, role_of
from reconciler.simulator import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from pathlib import Path

    from reconciler.secret import Secret
    from reconciler.simulator.state import Key, KeyChanges

ALLOWED: Final = {(step.before, step.after) for step in STEPS}


class WatchedState(State):
    """While `watching`, what changes is the work of a run; `strange` says which changes the table does not have."""

    def __init__(self, path: Path | str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(path, clock=clock)
        self.watching = False
        self.strange: list[str] = []

    def create_key(
        self,
        name: str,
        credit_limit: Decimal | None = None,
        expires_at: datetime | None = None,
        *,
        is_enabled: bool = True,
    ) -> tuple[Key, Secret]:
        self._watch(None, name)
        return super().create_key(name, credit_limit, expires_at, is_enabled=is_enabled)

    def update_key(self, key_id: int, **changes: Unpack[KeyChanges]) -> Key | None:
        before, after = self.key(key_id), super().update_key(key_id, **changes)
        if before and after:
            self._watch(before.name, after.name)
        return after

    def delete_key(self, key_id: int) -> bool:
        before = self.key(key_id)
        if before:
            self._watch(before.name, None)
        return super().delete_key(key_id)

    def _watch(self, before: str | None, after: str | None) -> None:
        stages = tuple(None if name is None else role_of(name) or Role.SETTLED for name in (before, after))
        if self.watching and stages[0] is not stages[1] and stages not in ALLOWED:
            self.strange.append(f"{before} became {after}")
