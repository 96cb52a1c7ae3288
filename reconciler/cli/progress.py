"""How an apply shows that it moves on: a bar for a person, plain lines for a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import click

from reconciler.cli.console import note

if TYPE_CHECKING:
    from types import TracebackType

    from reconciler.plan.outcome import Outcome


class Progress:
    """Hears of each outcome as it comes and shows it on stderr."""

    def __init__(self, total: int) -> None:
        """Take the number of outcomes to come."""
        self._total = total
        self._seen = 0
        self._bar = click.progressbar(length=total, label="Applying", file=sys.stderr) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        """Show the empty bar."""
        if self._bar:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        if self._bar:
            self._bar.__exit__(kind, error, trace)

    def report(self, outcome: Outcome) -> None:
        """Show one outcome."""
        self._seen += 1
        if self._bar:
            self._bar.update(1)
            return
        action = outcome.action
        what = action.live.name if action.address is None else action.address
        ending = f": {outcome.message}" if outcome.message else ""
        note(f"[{self._seen}/{self._total}] {action.kind} {what} {outcome.status}{ending}")
