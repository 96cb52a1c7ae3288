"""The tables of the account's use, where golden files do not show it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from reconciler.insight.activity import Change, Question, account_activity, activity_report
from reconciler.insight.breakdown import Group, Grouping, Kind
from reconciler.model import Snapshot
from reconciler.render import activity as words
from reconciler.render.activity import render_markdown, render_text
from reconciler.render.words import Show
from support import insights
from support.builders import NOW, live, snapshot
from support.statistics import TODAY, statistics, tally, used

SHOW = Show(repr)
MANY = Snapshot(tuple(live(number, f"ci/k{number}") for number in range(10_000)), NOW)


def many(by: Grouping = Grouping.KEY) -> str:
    told = statistics([used(key.id, key.name, "0.01") for key in MANY.keys], days=1)
    found = account_activity(Question(1, by), "NAGA_A", {1: told}, MANY, NOW, None)
    report = activity_report(Question(1, by), TODAY, [found], declared=True)
    return render_text(report, color=False, width=None, top=30)


def test_ten_thousand_keys_are_a_short_table_whose_rest_is_added_up() -> None:
    shown = many().splitlines()
    assert len(shown) == 2 + 1 + 30 + 2
    assert shown[-2].split() == ["…", "9,970", "more", "keys", "9,970", "$99.70", "99.7", "%", "0", "0"]
    assert shown[-1].split() == ["Total", "10,000", "$100.00", "100.0", "%", "0", "0"]


def test_one_day_is_called_today() -> None:
    assert many().startswith("Activity of today, 2026-11-22 (UTC, not over yet)\n")


def test_a_page_that_would_be_too_long_has_fewer_lines() -> None:
    report = insights.report("key")
    whole = render_markdown(report, top=30)
    short = render_markdown(report, top=30, limit=len(whole) - 1)
    assert len(short) < len(whole)
    assert "… 2 more keys" in short
    assert "| Total | 309 |" in short


def test_a_page_is_never_without_its_total() -> None:
    assert "| Total |" in render_markdown(insights.report("key"), top=30, limit=0)


def test_the_days_are_never_left_out() -> None:
    shown = render_text(insights.report("day"), color=False, width=None, top=1)
    assert "2026-11-20" in shown
    assert "more" not in shown


@pytest.mark.parametrize(
    ("group", "by", "declared", "name"),
    [
        (Group(Kind.LOCK), Grouping.ENVIRONMENT, True, "reconciler's lock"),
        (Group(Kind.UNDECLARED), Grouping.TEAM, True, "not declared"),
        (Group(Kind.REST), Grouping.KEY, True, "everything else"),
        (Group(Kind.DELETED), Grouping.KEY, True, "no key"),
        (Group(Kind.DELETED, "", 7), Grouping.KEY, True, "key 7 (deleted)"),
        (Group(Kind.DELETED, "ci/a"), Grouping.KEY, True, "'ci/a' (deleted)"),
        (Group(Kind.UNMANAGED, "x", 7), Grouping.KEY, False, "'x' (named otherwise, id 7)"),
        (Group(Kind.MODEL), Grouping.MODEL, True, "(no name)"),
        (Group(Kind.DIFFERENCE), Grouping.TEAM, True, "not in any key"),
    ],
)
def test_what_belongs_nowhere_is_called_by_why(group: Group, by: Grouping, declared: bool, name: str) -> None:  # noqa: FBT001  # a column of the table
    assert words.label_of(group, by, SHOW, declared=declared) == name


def changed(first: str, last: str) -> str:
    report = insights.report("key", 2)
    change = Change(None, 1, 1, Decimal(first), Decimal(last))
    found = replace(report.accounts[0].insights, models=(), changed=change, driver=None)
    [sentence] = words.observations(found, SHOW, declared=True)
    return sentence


@pytest.mark.parametrize(
    ("first", "last", "ending"),
    [
        ("1", "1", "$1.00 a day in the day before: no change."),
        ("0", "1", "$0.00 a day in the day before."),
        ("4", "1", "$4.00 a day in the day before: down by 75 %."),
        ("0.000001", "1000", "$0.000001 a day in the day before: up by 99,999,999,900 %."),
    ],
)
def test_a_change_is_put_into_words(first: str, last: str, ending: str) -> None:
    assert changed(first, last).endswith(ending)


def test_costs_are_exact_to_six_decimals() -> None:
    found = account_activity(
        Question(1, Grouping.MODEL),
        "NAGA_A",
        {1: statistics(by_model={"a": "0.12345678", "b": "1E+1"}, days=1)},
        snapshot(),
        NOW,
        None,
    )
    shown = render_text(
        activity_report(Question(1, Grouping.MODEL), TODAY, [found], declared=True), color=False, width=None, top=30
    )
    assert "$0.123457" in shown
    assert "$10.000000" in shown


def test_a_free_use_is_shown_without_shares() -> None:
    told = statistics([used(1, "ci/a", "0", 5)], days=1, total=tally("0", 5))
    found = account_activity(Question(1, Grouping.KEY), "NAGA_A", {1: told}, snapshot(live(1, "ci/a")), NOW, None)
    shown = render_text(
        activity_report(Question(1, Grouping.KEY), TODAY, [found], declared=True), color=False, width=90, top=30
    )
    assert [line.split() for line in shown.splitlines()[2:]] == [
        ["Key", "Requests", "Cost", "Share", "Input", "tokens", "Output", "tokens"],
        ["ci/a", "5", "$0.00", "0", "0"],
        ["Total", "5", "$0.00", "0", "0"],
    ]
