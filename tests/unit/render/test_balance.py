"""The balance in words, where golden files do not show it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.insight.balance import LONGEST_RUNWAY, Balance, BalanceReport, Limits, Pace, Runway
from reconciler.render.balance import render_markdown, render_text
from support import insights
from support.builders import NOW


def lines(amount: str = "10", *runways: Runway, limits: Limits | None = None) -> list[str]:
    balance = Balance("NAGA_A", (), Decimal(amount), runways, limits)
    shown = render_text(BalanceReport(NOW, (balance,)), color=False)
    return [line.strip() for line in shown.splitlines()[1:]]


def pace(days: int = 7, *, partial: bool = False) -> Pace:
    return Pace(7, days, Decimal(7), partial=partial)


@pytest.mark.parametrize(
    ("runway", "text"),
    [
        (
            Runway(pace(), Decimal("1234.5")),
            "lasts 1,234.5 days (until 2030-04-10) at the pace of the last 7 days: $1.00 a day",
        ),
        (Runway(pace(1), Decimal(0)), "lasts 0.0 days (until 2026-11-22) at the pace of yesterday: $7.00 a day"),
        (
            Runway(pace(1, partial=True), Decimal(1)),
            "lasts 1.0 days (until 2026-11-23) at the pace of today, which is not over: $7.00 a day",
        ),
        (
            Runway(pace(30, partial=True), Decimal(1)),
            "lasts 1.0 days (until 2026-11-23) at the pace of the last 30 days, today's as it stands: $0.23 a day",
        ),
        (Runway(pace(), LONGEST_RUNWAY), "lasts more than 100 years at the pace of the last 7 days: $1.00 a day"),
        (
            Runway(pace(1, partial=True), None),
            "nothing was spent today, which is not over, so there is no pace to go by",
        ),
        (Runway(pace(), None), "nothing was spent in the last 7 days, so there is no pace to go by"),
    ],
)
def test_a_runway_is_put_into_words(runway: Runway, text: str) -> None:
    assert lines("10", runway)[0] == text


@pytest.mark.parametrize("partial", [True, False])
def test_that_today_does_not_count_is_said_where_it_is_so(partial: bool) -> None:  # noqa: FBT001  # two cases of one thing
    said = "these are whole days in UTC: today's use is not over and not counted"
    assert (said in lines("10", Runway(pace(partial=partial), Decimal(1)))) is not partial


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(Decimal(5), 2, 0), ["limits of 2 live keys: $5"]),
        (
            Limits(Decimal(0), 0, 3, Decimal(0), Decimal(0), exact=True),
            ["limits of 0 live keys: $0; without a limit: 3 keys"],
        ),
        (
            Limits(Decimal(5), 1, 0, Decimal(1), Decimal(4), exact=False),
            [
                "limits of 1 live key: $5",
                "spent of these limits: at least $1.00; left: at most $4.00, of which the balance covers all",
            ],
        ),
        (
            Limits(Decimal(5), 1, 0, Decimal(5), Decimal(0), exact=True),
            ["limits of 1 live key: $5", "spent of these limits: $5.00; left: $0.00"],
        ),
    ],
)
def test_limits_are_put_into_words(limits: Limits, text: list[str]) -> None:
    assert lines("10", limits=limits) == ["how long it lasts is not known", *text]


def test_what_cannot_be_covered_at_all_is_said() -> None:
    limits = Limits(Decimal(5), 1, 0, Decimal(0), Decimal(5), exact=True)
    assert lines("-1", limits=limits)[-1].endswith("of which the balance covers 0 %")


def test_enough_is_said_too() -> None:
    assert render_text(insights.balance("20", "20"), color=False).startswith("Balance: $20, at least $20\n")
    assert render_markdown(insights.balance("20", "20")).startswith("### ✅ Balance: `$20`, at least `$20`\n")


def test_accounts_are_added_up() -> None:
    one = insights.balance("20").accounts[0]
    assert render_text(BalanceReport(NOW, (one, one)), color=False).endswith("\n\nAll accounts: $40\n")
