"""The service's time, told from Date headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.http.exchange import ServiceClock, parse_http_date
from support.account import FakeTime
from support.builders import NOW

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def a_clock() -> tuple[ServiceClock, FakeTime]:
    time = FakeTime()
    return ServiceClock(time.machine, lambda: time.seconds), time


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Sun, 22 Nov 2026 12:00:00 GMT", NOW),
        ("Sunday, 22-Nov-26 12:00:00 GMT", NOW),
        ("Sun Nov 22 12:00:00 2026", NOW),
        ("Sun, 22 Nov 2026 13:00:00 +0100", NOW),
        ("", None),
        (None, None),
        ("soon", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Sun, 22 Nov 9998 12:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:00 -2359", None),
    ],
)
def test_dates_of_http_are_read(text: str | None, date: datetime | None) -> None:
    assert parse_http_date(text) == date


@given(st.text() | st.from_regex(r"\w{3}, \d+ (Jan|Dec) \d+ \d+:\d+:\d+ [+-]?\w+", fullmatch=True))
def test_no_text_breaks_the_reading_of_dates(text: str) -> None:
    date = parse_http_date(text)
    assert date is None or date.tzinfo is UTC


def test_before_the_first_answer_it_is_this_machines_time() -> None:
    clock, time = a_clock()
    clock.hear(None)
    time.seconds += 5
    assert clock.now() == NOW + 5 * SECOND
    assert clock.skew == timedelta(0)


def test_afterwards_it_is_the_services_and_goes_on() -> None:
    clock, time = a_clock()
    clock.hear(NOW + HOUR)
    time.seconds += 5
    assert clock.now() == NOW + HOUR + 5 * SECOND
    assert clock.skew == HOUR


def test_the_cut_to_whole_seconds_does_not_turn_it_back() -> None:
    clock, time = a_clock()
    clock.hear(NOW)
    time.seconds += 1.9
    clock.hear(NOW + SECOND)
    assert clock.now() == NOW + 1.9 * SECOND


def test_a_newer_date_moves_it_and_so_does_a_service_that_was_set_back() -> None:
    clock, _ = a_clock()
    clock.hear(NOW + HOUR)
    clock.hear(NOW + 2 * HOUR)
    assert clock.now() == NOW + 2 * HOUR
    clock.hear(NOW - HOUR)
    assert clock.now() == NOW - HOUR
