"""Everything that is to be said about a draft by what was read beside the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.diagnostic import Severity
from reconciler.plan.actions import Finding
from reconciler.plan.base import compare
from reconciler.plan.draft import Bench
from reconciler.plan.guardrails import judge
from reconciler.plan.phrases import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.plan.draft import Draft


def review(draft: Draft) -> Iterator[Finding]:
    """Give the violations of guardrails, and what a reviewer should know besides."""
    bench = Bench(draft)
    yield from judge(bench)
    yield from compare(bench)
    for message in draft.facts.unread:
        yield Finding("not-read", Severity.WARNING, message)
    if draft.facts.offline:
        message = "made without the account, as if the base file were live: drift, recent use and money are not known"
        yield Finding("offline", Severity.NOTE, message)
    balance, total = draft.facts.balance, draft.credit.limits_after
    if draft.actions and balance is not None and total > balance:
        message = f"the limits add up to {dollars(total)}, which is {dollars(total - balance)} more than the balance"
        yield Finding("over-balance", Severity.NOTE, f"{message} of {dollars(balance)}")
