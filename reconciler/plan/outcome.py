"""What became of a plan: one outcome for every action, and how the account compares afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.plan.actions import Action, Plan


class Status(StrEnum):
    """How an action ended, in the order summaries list it."""

    DONE = "done"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended.

    `message` says in one line why it failed, was not attempted, or what to know about it although it is done; it never
    holds a secret. `key_id` is the id of the key that was created or changed, None where there is none to name.
    """

    action: Action
    status: Status
    message: str | None = None
    key_id: int | None = None


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What an apply did, its outcomes in the order of the plan.

    `remaining` is the plan of the account read again after the last change; None when it was not read, and then `note`
    says why. `interrupted` means that the run was asked to stop. `unreached` are the variables of the accounts, of
    several, of which nothing could be done.
    """

    outcomes: tuple[Outcome, ...]
    interrupted: bool = False
    remaining: Plan | None = None
    note: str | None = None
    unreached: tuple[str, ...] = ()

    @property
    def in_sync(self) -> bool | None:
        """Whether nothing is left to do; None when that is not known."""
        return None if self.remaining is None else not self.remaining.actions

    def count(self, status: Status) -> int:
        """Count the actions that ended this way."""
        return sum(outcome.status is status for outcome in self.outcomes)


def untouched(plan: Plan) -> ApplyResult:
    """Give the result of not having started: nothing attempted, and everything remains."""
    return ApplyResult(tuple(Outcome(action, Status.NOT_ATTEMPTED) for action in plan.actions), remaining=plan)


def cut_short(
    plan: Plan, known: Iterable[Outcome], *, interrupted: bool = False, note: str | None = None
) -> ApplyResult:
    """Give the result of an apply that ended early: what is known, and that the other actions were not tried."""
    outcomes = {id(outcome.action): outcome for outcome in known}
    remaining = None if outcomes or plan.errors else plan
    every = tuple(outcomes.get(id(action)) or Outcome(action, Status.NOT_ATTEMPTED) for action in plan.actions)
    return ApplyResult(every, interrupted=interrupted, remaining=remaining, note=note)
