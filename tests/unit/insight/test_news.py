from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import Alert, AlertRule, Unjudged, Verdict, news

NOBODY: frozenset[tuple[str, str, str, str]] = frozenset()


def alert(rule: AlertRule = AlertRule.DRIFT, severity: Severity = Severity.WARNING, name: str | None = "a") -> Alert:
    return Alert(rule, severity, "message", "remedy", "command", "A", name=name)


DRIFT, OTHER = alert(), alert(name="b")
LOW = alert(AlertRule.BALANCE_BELOW, Severity.ERROR, None)


def test_what_fires_for_the_first_time_is_news() -> None:
    latest = news(Verdict((LOW, DRIFT)), NOBODY)
    assert latest
    assert latest.alerts == (LOW, DRIFT)
    assert (latest.known, latest.gone, latest.told) == (NOBODY, (), frozenset({LOW.identity, DRIFT.identity}))


def test_what_was_told_is_no_news() -> None:
    assert news(Verdict((DRIFT,)), {DRIFT.identity}) is None


def test_that_nothing_fires_is_no_news_to_who_was_told_nothing() -> None:
    assert news(Verdict(), NOBODY) is None


def test_one_more_alert_is_told_with_those_that_are_known() -> None:
    latest = news(Verdict((DRIFT, OTHER)), {DRIFT.identity})
    assert latest
    assert (latest.alerts, latest.known) == ((DRIFT, OTHER), frozenset({DRIFT.identity}))


def test_that_an_alert_is_over_is_told_beside_the_rest() -> None:
    latest = news(Verdict((DRIFT,)), {DRIFT.identity, OTHER.identity})
    assert latest
    assert (latest.gone, latest.all_well) == ((OTHER.identity,), False)


def test_that_all_is_well_again_is_told_once() -> None:
    latest = news(Verdict(), {DRIFT.identity})
    assert latest
    assert (latest.alerts, latest.gone, latest.all_well) == ((), (DRIFT.identity,), True)
    assert news(Verdict(), latest.told) is None


def test_what_could_not_be_judged_is_neither_over_nor_new() -> None:
    unread = Verdict(unjudged=(Unjudged(AlertRule.DRIFT, "A", "why"),))
    assert news(unread, {DRIFT.identity}) is None
    latest = news(unread, {DRIFT.identity, LOW.identity})
    assert latest
    assert (latest.gone, latest.told, latest.all_well) == ((LOW.identity,), frozenset({DRIFT.identity}), False)


def test_the_same_alert_of_another_account_is_over() -> None:
    unread = Verdict(unjudged=(Unjudged(AlertRule.DRIFT, "B", "why"),))
    latest = news(unread, {DRIFT.identity})
    assert latest
    assert latest.gone == (DRIFT.identity,)


@pytest.mark.parametrize("doubtful", [(), (Unjudged(AlertRule.DRIFT, "A", "why"),)])
def test_an_alert_that_gets_worse_is_news_and_nothing_is_over(doubtful: tuple[Unjudged, ...]) -> None:
    worse = alert(severity=Severity.ERROR)
    latest = news(Verdict((worse,), doubtful), {DRIFT.identity})
    assert latest
    assert (latest.gone, latest.told) == ((), frozenset({worse.identity}))


rounds = st.lists(st.sets(st.sampled_from([DRIFT, OTHER, LOW]), max_size=3), max_size=8)


@given(rounds)
def test_who_is_told_all_news_knows_at_any_time_what_fires(history: list[set[Alert]]) -> None:
    told = NOBODY
    for firing in history:
        latest = news(Verdict(tuple(firing)), told)
        assert (latest is None) == (told == {each.identity for each in firing})
        told = told if latest is None else latest.told
        assert told == {each.identity for each in firing}
