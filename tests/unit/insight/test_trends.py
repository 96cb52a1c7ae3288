"""Days that cost far more than usual, and when at this pace a limit is reached."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.insight.alerts import AlertRule, Unread, judge
from reconciler.insight.breakdown import Group, Kind
from reconciler.insight.history import History, KeyDay, Span
from reconciler.insight.inventory import Attribution, InventoryKey, KeyStatus, PeriodUse, Share
from reconciler.insight.trends import (
    ACCOUNT,
    Bound,
    Ceiling,
    DailyCosts,
    ceilings_of,
    forecasts,
    month_of,
    recorded_costs,
    spikes,
    told,
    told_costs,
)
from reconciler.model import KEY_VARIABLE, KeyTally, SpendSpike, Statistics, Tally
from support.builders import NOW, address, declaration, declared, environment, live, snapshot
from support.evidence import alerts, evidence, standing

TODAY: Final = date(2026, 11, 16)
API: Final = Group(Kind.KEY, "production/api")
RULE: Final = SpendSpike(Decimal(3), timedelta(days=7), Decimal(1))


def costs(by_ago: dict[int, str], group: Group = API, days: int = 20) -> DailyCosts:
    """What a group cost, by days before today, of the last days."""
    known = frozenset(TODAY - timedelta(days=ago) for ago in range(1, days + 1))
    return DailyCosts(
        KEY_VARIABLE, known, {group: {TODAY - timedelta(days=ago): Decimal(cost) for ago, cost in by_ago.items()}}
    )


def steady(cost: str, *agos: int) -> dict[int, str]:
    return dict.fromkeys(agos, cost)


@pytest.mark.parametrize(
    ("use", "since", "usual"),
    [
        pytest.param({1: "31", **steady("10", *range(2, 9))}, None, "10", id="more than three times"),
        pytest.param({1: "30", **steady("10", *range(2, 9))}, None, None, id="three times is not more"),
        pytest.param({1: "31", 2: "1", 3: "10", 4: "20"}, None, "10", id="three days are enough"),
        pytest.param({1: "31", 2: "10", 3: "1"}, None, None, id="two are not"),
        pytest.param({1: "31", 2: "10", 3: "1"}, 9, "5.5", id="but for a key that has been there all the time"),
        pytest.param({1: "31"}, 9, "0", id="that was not used at all"),
        pytest.param({1: "31"}, 8, "0", id="since the first of the days"),
        pytest.param({1: "31"}, 7, None, id="a new key has nothing to be compared with"),
        pytest.param({1: "31", **steady("10", 9, 10, 11)}, None, None, id="days before that do not count"),
        pytest.param({1: "0.9", **steady("0.1", *range(2, 9))}, None, None, id="too little to be worth a word"),
        pytest.param({1: "1", **steady("0.1", *range(2, 9))}, None, "0.1", id="just enough"),
        pytest.param({2: "31", **steady("10", *range(3, 9))}, None, None, id="the day before is over"),
        pytest.param({1: "31", 4: "10", 6: "10", 8: "10"}, None, "10", id="days without use do not count"),
    ],
)
def test_a_day_is_compared_with_the_median_of_days_with_use(
    use: dict[int, str], since: int | None, usual: str | None
) -> None:
    born = {} if since is None else {API: TODAY - timedelta(days=since)}
    found = [(spike.group, spike.usual) for spike in spikes(costs(use), RULE, TODAY, born)]
    assert found == ([] if usual is None else [(API, Decimal(usual))])


def test_the_whole_account_has_no_spike_of_its_own_and_the_largest_comes_first() -> None:
    use = {1: "99", **steady("1", *range(2, 9))}
    found: dict[Group, dict[date, Decimal]] = {}
    for group, factor in ((ACCOUNT, 9), (API, 1), (Group(Kind.TEAM, "web"), 2), (Group(Kind.ENVIRONMENT, "x"), 3)):
        found[group] = {day: cost * factor for day, cost in costs(use, group).costs[group].items()}
    known = DailyCosts(KEY_VARIABLE, costs(use).days, found)
    assert [spike.group.kind for spike in spikes(known, RULE, TODAY, {})] == [Kind.ENVIRONMENT, Kind.TEAM, Kind.KEY]


def test_an_alert_names_the_key_the_environment_the_team_or_the_foreign_key() -> None:
    today = NOW.date()
    lines = {ago: Decimal(50 if ago == 1 else 1) for ago in range(1, 9)}
    groups = (API, Group(Kind.ENVIRONMENT, "production"), Group(Kind.TEAM, "web"), Group(Kind.UNMANAGED, "x", 9))
    by_day = {today - timedelta(days=ago): cost for ago, cost in lines.items()}
    known = DailyCosts(KEY_VARIABLE, frozenset(by_day), dict.fromkeys(groups, by_day))
    wanted = declared("production/api", "100")
    stands = standing([live(1, "production/api", "100")], declaration([wanted, declared("production/missing")]))
    verdict = judge(alerts(spend_spike=RULE), evidence(standing=stands, costs=known))
    assert {
        (each.rule, each.subject, each.address is not None, each.name, each.environment, each.team)
        for each in verdict.alerts
    } == {
        (AlertRule.SPEND_SPIKE, "production/api", True, None, None, None),
        (AlertRule.SPEND_SPIKE, "production", False, None, "production", None),
        (AlertRule.SPEND_SPIKE, "team web", False, None, None, "web"),
        (AlertRule.SPEND_SPIKE, "x", False, "x", None, None),
    }
    assert len({each.identity for each in verdict.alerts}) == 4
    assert {each.source for each in verdict.alerts if each.address} == {wanted.source}


def test_without_the_last_day_nothing_is_judged() -> None:
    for known in (Unread("why"), DailyCosts(KEY_VARIABLE, frozenset(), {})):
        verdict = judge(alerts(spend_spike=RULE), evidence(costs=known))
        assert [each.rule for each in verdict.unjudged] == [AlertRule.SPEND_SPIKE]
        assert not verdict.alerts


# --- where the days come from -----------------------------------------------------------------------------------------


def test_windows_and_a_history_tell_the_same_days() -> None:
    today = NOW.date()
    use = {ago: {1: Decimal(ago), 2: Decimal(7)} for ago in range(6)}
    keys = snapshot(live(1, "production/api"), live(2, "who knows"))
    wanted = declaration([declared("production/api", "5", team="web")])
    windows = {}
    for days in range(1, 7):
        by_key = tuple(
            KeyTally(key_id, name, Tally(1, sum((use[ago][key_id] for ago in range(days)), Decimal(0))))
            for key_id, name in ((1, "production/api"), (2, "who knows"))
        )
        by_day = tuple((today - timedelta(days=ago), Tally(2, use[ago][1] + use[ago][2])) for ago in range(days))
        windows[days] = Statistics(days, None, by_day, (), by_key)
    told_days = told_costs(KEY_VARIABLE, windows, Attribution(keys, wanted), today)
    lines = [
        line
        for ago in range(1, 6)
        for line in (
            KeyDay(
                today - timedelta(days=ago),
                KEY_VARIABLE,
                "production/api",
                "production",
                "web",
                1,
                "production/api",
                Tally(1, use[ago][1]),
            ),
            KeyDay(today - timedelta(days=ago), KEY_VARIABLE, "", "", "", 2, "who knows", Tally(1, use[ago][2])),
        )
    ]
    spans = {KEY_VARIABLE: (Span(today - timedelta(days=5), today - timedelta(days=1)),)}
    other = KeyDay(today, "NAGA_B", "a/b", "a", "", 5, "a/b", Tally(1, Decimal(5)))
    assert recorded_costs(History(spans, (), (*lines, other)), KEY_VARIABLE, today) == told_days


# --- how it goes on ---------------------------------------------------------------------------------------------------


def test_a_month_is_what_is_known_and_the_pace_for_the_rest() -> None:
    (found,) = forecasts(costs({1: "14", 20: "5"}), TODAY)
    # 14 USD in 7 days; of November, 15 days are known, and today and 14 more are to come.
    assert (found.per_day, found.spent, found.days, found.month_end) == (Decimal(2), Decimal(14), 15, Decimal(44))
    # A key that is used since two days has a pace of two days.
    (found,) = forecasts(costs({1: "3", 2: "1"}), TODAY)
    assert found.per_day == 2
    assert forecasts(costs({}), TODAY) == ()
    # Days that are not known go by the pace.
    (found,) = forecasts(costs({1: "3", 2: "3"}, days=2), TODAY)
    assert (found.days, found.month_end) == (2, Decimal(6 + 28 * 3))


@pytest.mark.parametrize(
    ("left", "until", "reached"),
    [
        ("20", 30, "2026-11-26"),
        ("19.99", 30, "2026-11-25"),
        ("28", 30, "2026-11-30"),
        ("30", 30, None),
        ("20", 20, None),
        ("0", 30, "2026-11-16"),
        ("-3", 30, "2026-11-16"),
    ],
)
def test_a_limit_is_reached_on_a_day_within_its_time(left: str, until: int, reached: str | None) -> None:
    ceiling = Ceiling(API, Bound.LIMIT, Decimal(100), Decimal(left), date(2026, 11, until))
    (found,) = forecasts(costs(steady("2", *range(1, 8))), TODAY, [ceiling])
    assert (found.reached and str(found.reached)) == reached
    expected = 0 if Decimal(left) <= 0 else 1  # what is spent needs no day
    assert [text.count(str(reached)) for text in told([found])] == ([] if reached is None else [expected])


@given(st.decimals("0.000001", 10**9, places=6), st.decimals(0, 10**9, places=6))
def test_no_pace_is_too_slow_and_no_limit_too_high(cost: Decimal, left: Decimal) -> None:
    ceiling = Ceiling(API, Bound.LIMIT, left, left, month_of(TODAY).until)
    (found,) = forecasts(costs({1: str(cost)}), TODAY, [ceiling])
    assert found.reached is None or TODAY <= found.reached <= date(2026, 11, 30)
    assert found.month_end == found.spent + found.per_day * 15


def test_of_very_many_the_soonest_are_told() -> None:
    use = {TODAY - timedelta(days=1): Decimal(1)}
    groups = [Group(Kind.KEY, f"ci/k{number:02d}") for number in range(13)]
    ceilings = [
        Ceiling(group, Bound.LIMIT, Decimal(5), Decimal(number), date(2026, 12, 31), at_most=bool(number))
        for number, group in enumerate(groups)
    ]
    found = told(forecasts(DailyCosts(KEY_VARIABLE, frozenset(use), dict.fromkeys(groups, use)), TODAY, ceilings))
    assert len(found) == 11
    assert ("ci/k00" in found[0], " by 2026-11-17" in found[1]) == (True, True)
    assert found[-1].startswith("3 ")


def test_what_must_not_be_reached_is_taken_from_the_keys_and_the_file() -> None:
    def listed(name: str, share: Share | None, period: PeriodUse | None = None) -> InventoryKey:
        return InventoryKey(KEY_VARIABLE, KeyStatus.SETTLED, address(name), share=share, period=period)

    shares = [
        listed("a/one", Share(Decimal(20), Decimal(50), at_least=True)),
        listed("a/two", Share(Decimal(60), Decimal(50), at_least=False)),
        listed(
            "b/one",
            Share(Decimal(1), Decimal(50), at_least=False),
            PeriodUse(date(2026, 11, 2), "week", date(2026, 11, 23), Decimal(1), Decimal(50)),
        ),
        listed("b/two", None),
    ]
    found = ceilings_of(shares, {"a": environment("a", credit_budget=90), "b": environment("b")}, Decimal(7), TODAY)
    last = date(2026, 11, 30)
    assert set(found) == {
        Ceiling(ACCOUNT, Bound.BALANCE, Decimal(7), Decimal(7), last),
        Ceiling(Group(Kind.KEY, "a/one"), Bound.LIMIT, Decimal(50), Decimal(30), last, at_most=True),
        Ceiling(Group(Kind.KEY, "a/two"), Bound.LIMIT, Decimal(50), Decimal(0), last),
        Ceiling(Group(Kind.KEY, "b/one"), Bound.ALLOWANCE, Decimal(50), Decimal(49), date(2026, 11, 22)),
        Ceiling(Group(Kind.ENVIRONMENT, "a"), Bound.LIMITS, Decimal(100), Decimal(30), last, at_most=True),
        Ceiling(Group(Kind.ENVIRONMENT, "a"), Bound.CREDIT_BUDGET, Decimal(90), Decimal(20), last, at_most=True),
    }
    assert ceilings_of((), {}, None, TODAY) == ()
