from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from reconciler.units import format_duration, format_instant, format_money, parse_duration, parse_instant, same_value


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0.00", "0"),
        ("-0", "0"),
        ("400", "400"),
        ("4E+2", "400"),
        ("0.50", "0.5"),
        ("10.00", "10"),
        ("0.000001", "0.000001"),
        ("1E-6", "0.000001"),
        ("999999999999.999999", "999999999999.999999"),
    ],
)
def test_money_is_written_in_plain_digits(amount: str, text: str) -> None:
    assert format_money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2027-01-01T00:00:00Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01t00:00:00z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T01:30:00+01:30", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T19:00:00-05:00", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T00:00:00.5Z", datetime(2027, 1, 1, microsecond=500_000, tzinfo=UTC)),
        ("2028-02-29T23:59:59.123456Z", datetime(2028, 2, 29, 23, 59, 59, 123_456, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_as_utc(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-01-01",
        "2027-01-01T00:00:00",
        "2027-01-01 00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-01-01T25:00:00Z",
        "2027-01-01T00:00:60Z",
        "2027-01-01T00:00:00+99:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2027-01-01T00:00:00Z\n",
        "\u0662\u0660\u0662\u0667-01-01T00:00:00Z",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text)


def test_an_instant_is_written_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert format_instant(datetime(2027, 1, 1, 2, tzinfo=east)) == "2027-01-01T00:00:00Z"
    assert format_instant(datetime(2027, 1, 1, microsecond=500_000, tzinfo=UTC)) == "2027-01-01T00:00:00.500000Z"


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7 d", "7D", "-7d", "1.5h", "07d", "7d\n", "1h30m", "\u0667d", "9999999999s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_a_duration_of_more_than_ten_years_is_refused() -> None:
    assert parse_duration("3650d") == timedelta(days=3_650)
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration("3651d")
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration("999999999w")


@pytest.mark.parametrize(
    ("text", "written"),
    [("0s", "0s"), ("90s", "90s"), ("60s", "1m"), ("36h", "36h"), ("24h", "1d"), ("2w", "14d"), ("3601s", "3601s")],
)
def test_a_duration_is_written_in_the_largest_unit_that_fits(text: str, written: str) -> None:
    assert format_duration(parse_duration(text)) == written


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("12:00:00", "12:00:00", True),
        ("12:00:00", "12:00:00.999999", True),
        ("12:00:00", "11:59:59.5", True),
        ("12:00:00", "12:00:01", False),
        ("12:00:00.123", "12:00:00.123456", True),
        ("12:00:00.123", "12:00:00.124", False),
        ("12:00:00.123456", "12:00:00.123457", False),
        ("12:00:00.123456", "12:00:00.123456", True),
    ],
)
def test_instants_are_compared_at_the_coarser_precision_of_the_two(one: str, other: str, *, same: bool) -> None:
    first, second = (parse_instant(f"2026-11-28T{text}Z") for text in (one, other))
    assert same_value(first, second) is same
    assert same_value(second, first) is same
