"""How an apply shows that it moves on: a bar for a person, plain lines for a log."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import click

from reconciler.cli.console import note
from reconciler.plan.outcome import Status

if TYPE_CHECKING:
    from types import TracebackType

    from reconciler.plan.outcome import Outcome


class Progress:
    """Keeps each outcome as it comes and shows it on stderr; never fails, even when nobody reads that any more."""

    def __init__(self, total: int) -> None:
        """Take the number of outcomes to come."""
        self.outcomes: list[Outcome] = []
        self.total = total
        # What tells a runner to mask a secret has to begin a line, and a bar leaves one unfinished.
        log = os.environ.get("TERM") == "dumb" or os.environ.get("GITHUB_ACTIONS") == "true"
        watched = total and sys.stderr.isatty() and not log
        self._bar = (
            click.progressbar(length=total, label="Applying", show_pos=True, file=sys.stderr) if watched else None
        )

    def __enter__(self) -> Self:
        """Show the empty bar."""
        if self._bar:
            with suppress(OSError):
                self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        if self._bar:
            with suppress(OSError):
                self._bar.__exit__(kind, error, trace)

    def expect(self, total: int) -> None:
        """Take another number of outcomes to come: an account has changed meanwhile."""
        self.total = total
        if self._bar:
            self._bar.length = total

    def report(self, outcome: Outcome) -> None:
        """Keep and show one outcome."""
        self.outcomes.append(outcome)
        if self._bar:
            with suppress(OSError):
                self._bar.update(1)
        else:
            note(f"[{len(self.outcomes)}/{self.total}] {_in_words(outcome)}")

    def say(self, message: str) -> None:
        """Say something in between."""
        note(message, start="\n" if self._bar else "")


def _in_words(outcome: Outcome) -> str:
    action = outcome.action
    what = action.live.name if action.address is None else action.address
    made = f" (id {outcome.key_id})" if outcome.status is Status.DONE and outcome.key_id is not None else ""
    ending = f": {outcome.message}" if outcome.message else ""
    return f"{action.kind} {what} {outcome.status.replace('_', ' ')}{made}{ending}"
