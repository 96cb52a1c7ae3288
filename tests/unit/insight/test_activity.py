"""One question, answered for one account and for several."""

from __future__ import annotations

import pytest

from reconciler.insight.activity import Question, account_activity, activity_report
from reconciler.insight.breakdown import Grouping, Kind
from support.builders import NOW, live, snapshot
from support.statistics import TODAY, day, statistics, used

KEYS = snapshot(live(1, "ci/tests"))
WINDOWS = {
    days: statistics([used(1, "ci/tests", cost)], days=days, by_day={0: "1"}, by_model={"gpt": cost})
    for days, cost in ((1, "1"), (2, "3"))
}


@pytest.mark.parametrize(
    ("by", "kind"),
    [
        (Grouping.DAY, Kind.DAY),
        (Grouping.MODEL, Kind.MODEL),
        (Grouping.KEY, Kind.KEY),
        (Grouping.ENVIRONMENT, Kind.ENVIRONMENT),
    ],
)
def test_an_account_is_broken_down_as_asked(by: Grouping, kind: Kind) -> None:
    found = account_activity(Question(2, by), "NAGA_A", WINDOWS, KEYS, NOW, None)
    assert {line.group.kind for line in found.breakdown.lines} == {kind}
    assert found.insights.driver is not None


@pytest.mark.parametrize("by", [Grouping.MODEL, Grouping.KEY])
def test_days_are_added_where_they_are_wanted(by: Grouping) -> None:
    found = account_activity(Question(2, by, daily=True), "NAGA_A", WINDOWS, KEYS, NOW, None)
    assert [date for date, _ in found.breakdown.lines[0].daily] == [day(1), TODAY]


def test_days_and_models_are_told_without_the_keys() -> None:
    found = account_activity(Question(2, Grouping.MODEL), "NAGA_A", WINDOWS, None, NOW, None)
    assert found.breakdown.lines
    assert found.insights.changed is not None
    assert found.insights.driver is None


def test_a_report_is_about_all_accounts_and_its_days() -> None:
    one = account_activity(Question(2, Grouping.KEY), "NAGA_A", WINDOWS, KEYS, NOW, None)
    report = activity_report(Question(2, Grouping.KEY), TODAY, [one, one], declared=False, unread=("x",))
    assert report.since == day(1)
    assert report.whole.total == one.breakdown.total + one.breakdown.total
