from __future__ import annotations

import pytest

from reconciler.planning.actions import ApplyResult, Create, Outcome, Plan, Status, untouched
from support.builders import declared
from support.plans import plan

CREATE = Create(declared("ci/tests"))


@pytest.mark.parametrize(
    ("remaining", "in_sync"),
    [(plan(unchanged=1), True), (plan(CREATE), False), (None, None)],
    ids=["nothing is left", "something is left", "not read again"],
)
def test_the_account_is_in_sync_when_nothing_is_left_to_do(remaining: Plan | None, *, in_sync: bool | None) -> None:
    assert ApplyResult((), remaining=remaining).in_sync is in_sync


def test_outcomes_are_counted_by_how_they_ended() -> None:
    result = ApplyResult(tuple(Outcome(CREATE, status) for status in (Status.DONE, Status.FAILED, Status.DONE)))

    assert [result.count(status) for status in Status] == [2, 1, 0]


def test_a_plan_that_was_not_started_remains_as_it_is() -> None:
    value = plan(CREATE)

    assert untouched(value) == ApplyResult((Outcome(CREATE, Status.NOT_ATTEMPTED),), remaining=value)
