"""Budgets that renew: which period a key is in, what its limit has to be, and what a renewal never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Raise
from reconciler.planning.actions import Create, Field, Options, PlanInputs, Rename, Renew, Restore, Rotate, Update
from reconciler.planning.base_review import snapshot_of
from reconciler.planning.budgets import allowance, days_since, period_begin, period_end, renews_like, windows_of
from reconciler.planning.names import Period, period_name, period_of, without_period
from reconciler.planning.planfile import digest
from reconciler.planning.planner import make_plan
from reconciler.planning.power import power_of
from support.builders import activity, declaration, declared, live, rails, snapshot

if TYPE_CHECKING:
    from reconciler.model import DeclaredKey, LiveKey
    from reconciler.planning.actions import AccountPlan

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
BORN = datetime(2026, 9, 1, tzinfo=UTC)
OCTOBER, NOVEMBER = "dev/anna~per.20261004.100", "dev/anna~per.20261101.123.45"
SPENT = (activity({1: ("30", 9)}), activity({1: ("6.55", 2)}, days=2))
"""What is told on NOW: 30 USD in 30 days, of which 6.55 since November began."""


def anna(limit: str = "50", **fields: Any) -> DeclaredKey:
    return declared("dev/anna", limit, **{"renew": "month", **fields})


def planned(wanted: DeclaredKey, *keys: LiveKey, now: datetime = NOW, **fields: Any) -> AccountPlan:
    inputs = PlanInputs(activity=fields.pop("activity", SPENT))
    options = fields.pop("options", Options())
    return make_plan(declaration([wanted], **fields), snapshot(*keys, now=now), options, inputs)


def rules(plan: AccountPlan) -> list[str]:
    return [finding.rule for finding in plan.findings]


@pytest.mark.parametrize(
    ("renew", "today", "begin"),
    [
        ("month", date(2026, 2, 28), date(2026, 2, 1)),
        ("month", date(2028, 2, 29), date(2028, 2, 1)),
        ("month", date(2026, 12, 31), date(2026, 12, 1)),
        ("month", date(2027, 1, 1), date(2027, 1, 1)),
        ("week", date(2026, 11, 1), date(2026, 10, 26)),
        ("week", date(2026, 11, 2), date(2026, 11, 2)),
        ("day", date(2026, 11, 2), date(2026, 11, 2)),
        ("10d", date(2026, 10, 11), date(2026, 10, 11)),
        ("10d", date(2026, 10, 30), date(2026, 10, 21)),
    ],
)
def test_a_period_begins_by_the_calendar_or_by_its_length(renew: str, today: date, begin: date) -> None:
    assert period_begin(renew, today, date(2026, 10, 1)) == begin


@pytest.mark.parametrize(
    ("renew", "begin", "end"),
    [
        ("month", date(2026, 1, 1), date(2026, 2, 1)),
        ("month", date(2026, 2, 1), date(2026, 3, 1)),
        ("month", date(2026, 12, 31), date(2027, 1, 1)),
        ("week", date(2026, 11, 2), date(2026, 11, 9)),
        ("week", date(2026, 11, 8), date(2026, 11, 9)),
        ("day", date(2026, 2, 28), date(2026, 3, 1)),
        ("10d", date(2026, 10, 21), date(2026, 10, 31)),
    ],
)
def test_a_period_ends_where_the_next_one_begins(renew: str, begin: date, end: date) -> None:
    assert period_end(renew, begin) == end
    assert period_begin(renew, end, begin) == end
    assert period_begin(renew, end - timedelta(days=1), begin) < end


@pytest.mark.parametrize(
    ("day", "days"),
    [(NOW.date() + timedelta(days=1), 1), (NOW.date(), 1), (date(2026, 11, 1), 2), (date(2026, 1, 1), 30)],
)
def test_a_window_of_activity_has_today_and_at_most_thirty_days(day: date, days: int) -> None:
    assert days_since(day, NOW) == days


@given(st.dates(min_value=date(1000, 1, 1)), st.decimals(0, 10**11, places=6))
def test_a_name_tells_its_period(begin: date, spent: Decimal) -> None:
    name = period_name("dev/anna", Period(begin, spent))
    assert period_of(name) == Period(begin, spent)
    assert without_period(name) == "dev/anna"


@pytest.mark.parametrize("name", ["dev/anna", "dev/anna~per.20261301.1", "dev/anna~per.20261101.1~old", "a~per.1.1"])
def test_other_names_tell_none(name: str) -> None:
    assert period_of(name) is None
    assert without_period(name) == name


def test_a_new_key_begins_in_the_period_of_today_with_the_full_allowance() -> None:
    (action,) = planned(anna()).actions
    assert isinstance(action, Create)
    assert action.declared.settled == "dev/anna~per.20261101.0"
    assert action.declared.credit_limit == 50


def test_a_renewal_changes_name_and_limit_together_and_counts_what_was_spent_before() -> None:
    plan = planned(anna(), live(1, OCTOBER, "150", created_at=BORN))
    (action,) = plan.actions
    assert isinstance(action, Renew)
    assert (action.after.name, action.after.credit_limit) == (NOVEMBER, Decimal("173.45"))
    assert action.fields == (Field.NAME, Field.CREDIT_LIMIT)
    assert rules(plan) == []
    power = power_of(plan)
    assert not power.takes
    assert power.raised_limits == []
    assert power.moves["renew"] == 1
    assert plan.credit.limits_before == plan.credit.limits_after == Decimal(50)
    after = live(1, action.after.name, "173.45", created_at=BORN)
    assert planned(anna(), after).actions == ()


@pytest.mark.parametrize(
    ("wanted", "name", "limit", "after"),
    [
        pytest.param(anna(), NOVEMBER, "500", "173.45", id="drift"),
        pytest.param(anna("80"), NOVEMBER, "173.45", "203.45", id="a new allowance"),
        pytest.param(anna(renew="week"), "dev/anna~per.20261102.1", "2", "51", id="the period of another rhythm"),
        pytest.param(anna(renew="month"), "dev/anna~per.20270101.1", "2", "51", id="a period that has not begun yet"),
    ],
)
def test_within_a_period_another_limit_is_a_difference(wanted: DeclaredKey, name: str, limit: str, after: str) -> None:
    (action,) = planned(wanted, live(1, name, limit, created_at=BORN)).actions
    assert isinstance(action, Update)
    assert (action.after.name, action.after.credit_limit) == (name, Decimal(after))


def test_without_activity_nothing_is_renewed_and_a_finding_says_so() -> None:
    plan = planned(anna(), live(1, OCTOBER, "150", created_at=BORN), activity=())
    assert plan.actions == ()
    assert rules(plan) == ["renewal-waits"]
    plan = planned(anna(), live(1, "dev/anna", "150", created_at=BORN), activity=())
    assert plan.actions == ()
    assert rules(plan) == ["renewal-waits"]


def test_days_that_the_service_tells_nothing_of_are_a_finding_and_never_raise_the_limit() -> None:
    plan = planned(anna(), live(1, "dev/anna~per.20260901.100", "150", created_at=BORN))
    (action,) = plan.actions
    assert isinstance(action, Renew)
    assert action.after.name == NOVEMBER
    assert rules(plan) == ["renewed-late"]
    anew = planned(anna(rotate_every=timedelta(days=30)), live(1, "dev/anna~per.20260901.100", "150", created_at=BORN))
    assert isinstance(anew.actions[0], Rotate)
    assert rules(anew) == []


def test_a_key_that_gets_a_budget_is_updated_and_one_that_loses_it_too() -> None:
    young, told = NOW - timedelta(days=20), (*SPENT, activity({1: ("30", 9)}, days=21))
    (gets,) = planned(anna(), live(1, "dev/anna", "600", created_at=young), activity=told).actions
    assert isinstance(gets, Update)
    assert (gets.after.name, gets.after.credit_limit) == ("dev/anna~per.20261101.23.45", Decimal("73.45"))
    (loses,) = planned(anna(renew=None), live(1, NOVEMBER, "173.45", created_at=BORN)).actions
    assert isinstance(loses, Update)
    assert (loses.after.name, loses.after.credit_limit) == ("dev/anna", Decimal(50))
    (begins,) = planned(anna(), live(1, "dev/anna", "50", created_at=NOW)).actions
    assert isinstance(begins, Update)
    assert begins.after.name == "dev/anna~per.20261101.0"


def test_a_key_keeps_its_period_under_another_address() -> None:
    old = live(1, "old/ann~per.20261101.7", "57", created_at=BORN)
    for wanted in (anna(renamed_from=("old/ann",)), anna(renamed_from=(old.name,)), anna(id=1)):
        (action,) = planned(wanted, old).actions
        assert isinstance(action, Rename)
        assert (action.after.name, action.after.credit_limit) == ("dev/anna~per.20261101.7", Decimal(57))


def test_a_rotated_key_starts_with_the_full_allowance() -> None:
    options = Options(rotate=frozenset({anna().address}))
    plan = planned(anna(protected=True), live(1, NOVEMBER, "173.45", created_at=BORN), options=options)
    (action,) = plan.actions
    assert isinstance(action, Rotate)
    assert action.fields == ()
    assert action.declared.settled == "dev/anna~per.20261101.0"
    assert rules(plan) == []


def test_a_retired_key_comes_back_with_what_it_had_left() -> None:
    gone = live(1, "dev/anna~gone.20261202T000000Z", "173.45", created_at=BORN, is_enabled=False)
    (action,) = planned(anna(), gone).actions
    assert isinstance(action, Restore)
    assert (action.after.name, action.after.credit_limit) == (NOVEMBER, Decimal("173.45"))
    assert rules(planned(anna(protected=True), gone)) == []


def test_two_keys_in_different_periods_are_one_too_many() -> None:
    plan = planned(anna(), live(1, OCTOBER, "150", created_at=BORN), live(2, "dev/anna", created_at=BORN))
    assert plan.actions == ()
    assert rules(plan) == ["duplicate-name"]


def test_a_renewal_lowers_nothing_and_a_lower_allowance_does() -> None:
    key = live(1, OCTOBER, "150", created_at=BORN)
    guarded = rails(protected=True, limit_below_spend=True, max_credit_limit=Decimal(60), credit_budget=Decimal(60))
    assert rules(planned(anna(), key, guardrails=guarded)) == []
    assert rules(planned(anna("40"), key, guardrails=guarded)) == ["protected"]
    lower = planned(anna("5"), live(1, NOVEMBER, "173.45", created_at=BORN), guardrails=guarded)
    assert rules(lower) == ["limit-below-spend", "protected"]
    unknown = planned(anna("5"), live(1, NOVEMBER, "173.45", created_at=BORN), guardrails=guarded, activity=())
    assert sorted(rules(unknown)) == ["limit-below-spend", "protected"]


def test_the_digest_does_not_change_with_what_is_spent_meanwhile() -> None:
    key = live(1, OCTOBER, "150", created_at=BORN)
    more = (activity({1: ("31", 9)}), activity({1: ("6.55", 2)}, days=2))
    assert digest(planned(anna(), key)) == digest(planned(anna(), key, activity=more))
    assert digest(planned(anna(), key)) != digest(planned(anna("51"), key))


def test_a_base_file_stands_for_keys_in_their_period() -> None:
    wanted = declaration([anna()])
    assert make_plan(wanted, snapshot_of(wanted, NOW)).actions == ()


def test_the_windows_that_tell_the_periods_are_read() -> None:
    wanted = declaration([anna(), declared("dev/bob"), declared("dev/new", renew="day")])
    keys = {anna().address: live(1, "dev/anna~per.20261020.1"), wanted.keys[1].address: live(2, "dev/bob")}
    assert windows_of(wanted, keys, NOW) == {14, 2}
    late = {anna().address: live(1, "dev/anna", created_at=BORN)}
    assert windows_of(wanted, late, NOW) == {30, 2}


def test_the_rhythm_of_a_live_key_is_guessed_on_the_safe_side() -> None:
    names = ["dev/a~per.20261101.1", "dev/a~per.20261102.1", "dev/a~per.20261103.1", "dev/a"]
    assert [renews_like(live(1, name)) for name in names] == ["month", "week", "30d", None]
    assert renews_like(live(1, names[0], None)) is None
    assert allowance(live(1, names[0], None)) is None


UNTIL = datetime(2026, 12, 4, 18, tzinfo=UTC)


@pytest.mark.parametrize(("now", "limit"), [(NOW, 200), (UNTIL - timedelta(seconds=1), 200), (UNTIL, 50)])
def test_a_raise_counts_until_its_end(now: datetime, limit: int) -> None:
    wanted = anna(renew=None, raised=Raise(Decimal(200), UNTIL))
    plan = planned(wanted, now=now)
    assert isinstance(plan.actions[0], Create)
    assert plan.actions[0].declared.credit_limit == limit
    assert rules(plan) == ([] if now < UNTIL else ["raise-over"])


def test_the_digest_covers_when_a_raise_ends_and_what_comes_after_it() -> None:
    digests = [
        digest(planned(anna(limit, renew=None, raised=Raise(Decimal(200), until)), live(1, "dev/anna", "9")))
        for limit, until in (("50", UNTIL), ("50", UNTIL + timedelta(days=1)), ("60", UNTIL))
    ]
    assert len(set(digests)) == len(digests)


def test_guardrails_judge_the_raised_limit_and_never_its_end() -> None:
    guarded = rails(protected=True, max_credit_limit=Decimal(60), limit_below_spend=True)
    wanted = anna("1", renew=None, raised=Raise(Decimal(200), UNTIL))
    raised = live(1, "dev/anna", "200", created_at=BORN)
    assert rules(planned(wanted, raised, guardrails=guarded)) == ["max-credit-limit"]
    ended = planned(wanted, raised, now=UNTIL, guardrails=guarded)
    assert isinstance(ended.actions[0], Update)
    assert rules(ended) == ["raise-over"]
    by_hand = planned(wanted, replace(raised, credit_limit=Decimal(300)), now=UNTIL, guardrails=guarded)
    assert sorted(rules(by_hand)) == ["limit-below-spend", "protected", "raise-over"]


@given(
    st.sampled_from(["month", "week", "day", "1d", "7d", "30d"]),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), max_size=12),
)
def test_no_period_gets_more_than_its_allowance(renew: str, visits: list[tuple[int, int]]) -> None:
    """Plans after pauses of any length, with what the key spends between them, day by day, as far as its limit lets."""
    now, key, spent = NOW, live(1, "dev/anna~per.20261102.0", "50", created_at=NOW), dict[date, Decimal]()
    for pause, cost in visits:
        for _ in range(pause):
            left = (key.credit_limit or Decimal(0)) - sum(spent.values())
            spent[now.date()] = spent.get(now.date(), Decimal(0)) + min(Decimal(cost), left)
            now += timedelta(days=1)
        told = [
            activity({1: (str(sum(spent.get(now.date() - timedelta(days=d), Decimal(0)) for d in range(n))), 1)}, n)
            for n in range(1, 31)
        ]
        plan = planned(anna(renew=renew), key, now=now, activity=tuple(told))
        for action in plan.actions:
            assert isinstance(action, Renew)
            key = replace(key, name=action.after.name, credit_limit=action.after.credit_limit)
        period = period_of(key.name)
        assert period is not None
        before = sum(cost for day, cost in spent.items() if day < period.begin)
        assert period.spent <= before
        assert key.credit_limit == period.spent + 50
        assert planned(anna(renew=renew), key, now=now, activity=tuple(told)).actions == ()
