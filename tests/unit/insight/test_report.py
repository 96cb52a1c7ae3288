from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostic import Severity
from reconciler.insight.breakdown import Group, Kind
from reconciler.insight.report import (
    HORIZON,
    MOST_KINDS,
    WHOLE_ACCOUNT,
    EventKind,
    by_need,
    calendar,
    strands,
    upcoming,
)
from support.builders import NOW, declaration, declared, environment, live
from support.reviews import Spent, review, usual, window
from support.search import examples

DAY = timedelta(days=1)


def in_environments(count: int) -> list[Spent]:
    """One key in each of so many environments, which spends a USD more than the one after it."""
    return [(at, f"env{at}/api", at % 3, str(count - at + 1)) for at in range(1, count + 1)]


def file(count: int) -> list[str]:
    return [f"env{at}" for at in range(1, count + 1)]


# --- spend by day -----------------------------------------------------------------------------------------------------


def test_spend_is_laid_out_by_environment_and_day() -> None:
    report = usual(days=4)

    found = {strand.group: strand.costs for strand in strands(report)}

    assert found == {
        Group(Kind.ENVIRONMENT, "production"): (Decimal("111.345678"), *[Decimal(0)] * 3),
        Group(Kind.ENVIRONMENT, "ci"): (Decimal(0), Decimal(7), Decimal("2.5"), Decimal(0)),
        Group(Kind.UNMANAGED): (*[Decimal(0)] * 3, Decimal("0.000125")),
        Group(Kind.DELETED): (Decimal(0), Decimal(1), *[Decimal(0)] * 2),
    }


@settings(max_examples=examples(60))
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(0, 29), st.decimals(0, 1000, places=6)).map(
            lambda each: (each[0], f"env{each[0]}/api", each[1], str(each[2]))
        ),
        max_size=40,
    )
)
def test_all_days_of_all_strands_come_to_the_total(spent: list[Spent]) -> None:
    report = review([], spent, declaration(environments=file(12)))
    assert report.spend

    assert sum((strand.total for strand in strands(report)), Decimal(0)) == report.spend.total.cost
    assert sum(strand.count for strand in strands(report)) <= 12
    assert len(strands(report)) <= MOST_KINDS + 1


def test_seven_environments_have_a_colour_each_and_of_more_the_smallest_are_taken_together() -> None:
    seven = strands(review([], in_environments(7), declaration(environments=file(7))))
    nine = strands(review([], in_environments(9), declaration(environments=file(9))))

    assert [strand.group and strand.group.name for strand in seven] == [f"env{at}" for at in range(1, 8)]
    assert [strand.group and strand.group.name for strand in nine] == [*(f"env{at}" for at in range(1, 7)), None]
    assert nine[-1].count == 3
    assert nine[-1].total == Decimal(3 + 2 + 1)


def test_days_of_the_whole_account_stand_in_where_those_of_environments_were_not_read() -> None:
    spent = [(1, "ci/api", 0, "2"), (1, "ci/api", 5, "3")]

    (found,) = strands(review([], spent, declaration(environments=["ci"]), windows={30: window(30, spent)}))

    assert found.group == WHOLE_ACCOUNT
    assert (found.costs[-1], found.costs[-6], found.total) == (Decimal(2), Decimal(3), Decimal(5))


@pytest.mark.parametrize("windows", [None, {}])
def test_nothing_spent_or_nothing_read_is_no_strand(windows: dict[int, object] | None) -> None:
    unread = () if windows is None else ("the activity of 30 days could not be read: 503",)
    assert strands(review([], [], declaration(environments=["ci"]), windows=windows, unread=unread)) == ()


def test_a_window_ends_today() -> None:
    assert calendar(3, NOW) == tuple((NOW - ago * DAY).date() for ago in (2, 1, 0))


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_that_have_used_up_most_of_their_limit_come_first() -> None:
    assert [key.name for key in by_need(usual().keys)] == [
        "production/worker",
        "production/api",
        "ci/tests",
        "playground",
    ]


def test_what_is_not_live_or_a_lock_has_no_limit_to_look_at() -> None:
    report = review([live(1, "reconciler~lock.abc", "0")], file=declaration([declared("ci/missing")]))

    assert len(report.keys) == 2
    assert by_need(report.keys) == ()


def test_what_happens_next_comes_earliest_first_with_what_is_overdue() -> None:
    stamp = f"{NOW + 2 * DAY:%Y%m%dT%H%M%SZ}"
    keys = [
        live(1, "ci/late", created_at=NOW - 20 * DAY, expires_at=NOW + 5 * DAY),
        live(2, f"ci/late~old.{stamp}", expires_at=NOW + 2 * DAY),
        live(3, f"ci/away~gone.{stamp}", is_enabled=False),
        live(4, "playground", expires_at=NOW + 89 * DAY),
        live(5, "much-later", expires_at=NOW + HORIZON + DAY),
        live(6, "ci/new~new.abc", expires_at=NOW + DAY),
        live(7, "ci/quiet"),
    ]
    wanted = [declared("ci/late", rotate_every=14 * DAY), declared("ci/quiet"), declared("ci/missing")]

    found = upcoming(review(keys, file=declaration(wanted)).keys, NOW)

    assert [(event.at - NOW, event.kind, event.key.name) for event in found] == [
        (-6 * DAY, EventKind.ROTATES, "ci/late"),
        (2 * DAY, EventKind.GRACE_ENDS, "ci/away"),
        (2 * DAY, EventKind.OVERLAP_ENDS, "ci/late"),
        (5 * DAY, EventKind.EXPIRES, "ci/late"),
        (89 * DAY, EventKind.EXPIRES, "playground"),
    ]


def test_what_happens_at_the_horizon_still_counts_and_nothing_after_it() -> None:
    soon, late = (live(at, f"ci/{at}", expires_at=NOW + HORIZON + timedelta(seconds=at)) for at in (0, 1))

    assert [event.key.live for event in upcoming(review([late, soon]).keys, NOW)] == [soon]


def test_what_happens_at_one_instant_is_in_order_of_the_names_and_then_of_the_kinds() -> None:
    keys = review(
        [
            live(at, name, created_at=NOW - 5 * DAY, expires_at=NOW + 9 * DAY)
            for at, name in enumerate(("ci/b", "ci/a"))
        ],
        file=declaration([declared("ci/b", rotate_every=14 * DAY), declared("ci/a", rotate_every=14 * DAY)]),
    ).keys

    for order in (keys, keys[::-1]):
        assert [(event.key.name, event.kind) for event in upcoming(order, NOW)] == [
            ("ci/a", EventKind.EXPIRES),
            ("ci/a", EventKind.ROTATES),
            ("ci/b", EventKind.EXPIRES),
            ("ci/b", EventKind.ROTATES),
        ]


def test_alerts_and_findings_are_counted_and_drift_is_not() -> None:
    wanted = declaration(
        [declared("production/api", "500")], environments=[environment("production", credit_budget=Decimal(1))]
    )

    report = review([live(1, "production/api", "400")], file=wanted, balance="1")

    assert report.plan
    assert report.verdict
    drifts = sum(alert.rule.value == "drift" for alert in report.verdict.alerts)
    assert drifts
    assert sum(report.troubles.values()) == len(report.verdict.alerts) - drifts + len(report.plan.findings)
    assert report.troubles[Severity.ERROR] >= 2


def test_without_a_file_there_is_nothing_to_find() -> None:
    assert dict(review([live(1, "ci/api")]).troubles) == {}
