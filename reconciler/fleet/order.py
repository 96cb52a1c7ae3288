"""What an apply is asked to do, who hears how it goes on, and what forbids it before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from reconciler.apply.apply import refuse_errors
from reconciler.errors import AccountError, StalePlan
from reconciler.fleet.reading import in_a_line
from reconciler.plan.accounts import UNREAD
from reconciler.plan.digest import digest
from reconciler.plan.planfile import moved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import timedelta

    from reconciler.fleet.reading import Readings
    from reconciler.fleet.request import Request
    from reconciler.plan.actions import Plan
    from reconciler.plan.outcome import ApplyResult, Outcome
    from reconciler.secret import Secret


@dataclass(frozen=True, slots=True)
class Order:
    """What this apply was asked to do, and how.

    Of each account, `parallelism` changes are made at a time. Without `lock_patience` the accounts are not locked.
    Without `auto_approve` only what was shown is done. `expected` is the digest of the plan that was reviewed, if one
    was: nothing else is carried out then, in whatever account. `reviewed` are the changes of that plan, if it was
    saved. `guard` is asked right before the first write in each account, and raises what forbids it.
    """

    request: Request
    parallelism: int
    lock_patience: timedelta | None
    auto_approve: bool
    allow_exec: bool = False
    expected: str | None = None
    reviewed: tuple[Mapping[str, Any], ...] = ()
    guard: Callable[[], Awaitable[None]] | None = None


class Listener(Protocol):
    """Hears how an apply moves on."""

    def mask(self, secret: Secret) -> None:
        """Hear of a secret before anything else happens with it."""
        ...

    def say(self, message: str) -> None:
        """Hear in words what is worth knowing at once."""
        ...

    def replanned(self, variable: str, plan: Plan) -> None:
        """Hear that an account has changed since its plan was shown, and that this one is carried out instead."""
        ...

    def begin(self, variable: str, plan: Plan) -> None:
        """Hear that the plan of an account, as it is under the lock, is carried out from now on."""
        ...

    def report(self, outcome: Outcome) -> None:
        """Hear of one outcome."""
        ...

    def finished(self, result: ApplyResult) -> None:
        """Hear the result, once."""
        ...


def check_outset(readings: Readings, order: Order) -> None:
    """Raise what forbids to carry out a plan, before anything is locked.

    GuardrailRefused when a finding does, in whichever account; StalePlan when it is not the plan that was reviewed, and
    AccountError when that cannot be told. Without a review, an account that could not be read holds up no other.
    """
    findings = tuple(finding for finding in readings.plan.findings if finding.rule != UNREAD)
    refuse_errors(replace(readings.plan, findings=findings))
    if order.expected is not None and readings.unread:
        msg = "what was reviewed is done as a whole, and not every account could be read, so nothing was changed"
        raise AccountError("\n".join((msg, *(f"{v}: {in_a_line(each)}" for v, each in readings.unread.items()))))
    refuse_stale(readings.plan, order)


def refuse_stale(plan: Plan, order: Order) -> None:
    """Raise StalePlan, with what moved, unless the plan is the one that was reviewed; without a review nothing is."""
    found = digest(plan)
    if order.expected in (None, found):
        return
    from reconciler.render.document import plan_document

    changes = plan_document(plan, found)["changes"]
    moves = moved(order.reviewed, cast("list[Mapping[str, Any]]", changes)) if order.reviewed else ()
    lines = (
        "the plan is not the one that was reviewed, so nothing was changed; review a new `reconciler plan`",
        *moves,
    )
    raise StalePlan("\n".join((*lines, f"the digest is {found}, and {order.expected} was reviewed")))
