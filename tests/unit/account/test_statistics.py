"""All that the service tells of an account's use: read exactly, with patience for what is missing."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.account.wire import decode_statistics
from reconciler.errors import UnexpectedAnswer
from reconciler.model import KeyTally, Statistics, Tally
from support.account import answer, talk
from support.search import examples
from support.statistics import activity_json, figures

WHOLE = Tally(3, Decimal("1.5"), 10, 5)
PARTS = ("total_stats", "daily_stats", "top_models", "api_key_usage")


def decode(**parts: Any) -> Statistics:
    return decode_statistics(json.dumps(activity_json(**parts)).encode(), 30)


def without(entry: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != field}


def test_everything_that_is_documented_is_read() -> None:
    assert decode() == Statistics(
        30,
        total=WHOLE,
        by_day=((date(2026, 11, 22), WHOLE),),
        by_model=(("gpt-4o", WHOLE),),
        by_key=(KeyTally(12, "ci/tests", WHOLE),),
    )


def test_costs_never_pass_through_a_float() -> None:
    body = json.dumps(activity_json()).replace('"1.5"', "0.1000000000000000055511151231257827")
    found = decode_statistics(body.encode(), 30)
    assert found.total is not None
    assert found.total.cost == Decimal("0.1000000000000000055511151231257827")


def test_an_answer_that_says_nothing_names_all_it_lacks() -> None:
    assert decode_statistics(b"{}", 7) == Statistics(7, None, (), (), (), absent=PARTS)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", ["missing", "null"])
def test_a_part_that_is_left_out_is_named(part: str, how: str) -> None:
    whole = {**activity_json(), part: None}
    if how == "missing":
        del whole[part]
    assert decode_statistics(json.dumps(whole).encode(), 30).absent == (part,)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("daily_stats", "total_requests"),
        ("daily_stats", "total_input_tokens"),
        ("top_models", "request_count"),
        ("top_models", "model_name"),
        ("top_models", "total_output_tokens"),
        ("api_key_usage", "api_key_id"),
        ("api_key_usage", "api_key_name"),
        ("api_key_usage", "request_count"),
    ],
)
def test_a_field_that_every_entry_lacks_is_named_once_and_counts_as_nothing(part: str, field: str) -> None:
    entry = without(activity_json()[part][0], field)
    found = decode(**{part: [entry, entry]})
    assert found.absent == (f"{part}.{field}",)


def test_use_without_an_id_or_a_name_is_kept() -> None:
    entry = {"api_key_id": None, "api_key_name": None, "request_count": 3, **figures()}
    found = decode(api_key_usage=[entry])
    assert found.by_key == (KeyTally(None, "", WHOLE),)
    assert found.absent == ("api_key_usage.api_key_name",)


def test_a_total_without_its_cost_is_no_total() -> None:
    found = decode(total_stats={"total_requests": 3})
    assert found.total is None
    assert found.absent == ("total_stats.total_cost",)


def test_a_name_that_cannot_be_written_is_made_one_that_can() -> None:
    entry = {"api_key_id": 1, "api_key_name": "a\ud800b", "request_count": 3, **figures()}
    assert decode(api_key_usage=[entry]).by_key[0].name == "a?b"


@pytest.mark.parametrize(
    "text", ["2026-11-22", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00", "2026-11-22 00:00:00.000+02:00"]
)
def test_a_day_may_be_written_as_the_instant_at_which_it_begins(text: str) -> None:
    assert decode(**entry_of("daily_stats", date=text)).by_day == ((date(2026, 11, 22), WHOLE),)


def entry_of(part: str, **fields: Any) -> dict[str, Any]:
    return {part: [{**activity_json()[part][0], **fields}]}


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"period_days": 7}, "the answer: period_days must be 30, as asked, not this number"),
        ({"period_days": "30"}, "the answer: period_days must be 30, as asked, not this text"),
        ({"total_stats": []}, "the answer: total_stats must be an object, not a list"),
        ({"daily_stats": {}}, "the answer: daily_stats must be a list, not an object"),
        ({"top_models": [1]}, "the answer: an entry of top_models must be an object, not this number"),
        (
            {"total_stats": {"total_requests": "3", **figures()}},
            "total_stats: total_requests must be a whole number from 0, not this text",
        ),
        ({"total_stats": figures("-1")}, "total_stats: total_cost must be an amount of USD from 0, not this text"),
        (
            entry_of("daily_stats", date="20.11.2026"),
            "an entry of daily_stats: date must be a date like 2026-01-20, not this text",
        ),
        (
            entry_of("daily_stats", date="2026-02-30"),
            "an entry of daily_stats: date must be a date like 2026-01-20, not this text",
        ),
        (
            entry_of("daily_stats", date=None),
            "an entry of daily_stats: date must be a date like 2026-01-20, not null",
        ),
        (
            {"daily_stats": [figures()]},
            "an entry of daily_stats: date must be a date like 2026-01-20, but is missing",
        ),
        (
            entry_of("daily_stats", total_cost=None),
            "an entry of daily_stats: total_cost must be a decimal amount of USD, not null",
        ),
        (
            entry_of("daily_stats", total_input_tokens=-1),
            "an entry of daily_stats: total_input_tokens must be a whole number from 0, not this number",
        ),
        (
            entry_of("daily_stats", total_input_tokens=10**18),
            "an entry of daily_stats: total_input_tokens must be a whole number from 0, not this number",
        ),
        (
            entry_of("top_models", request_count=True),
            "an entry of top_models: request_count must be a whole number from 0, not a boolean",
        ),
        (entry_of("top_models", model_name=7), "an entry of top_models: model_name must be text, not this number"),
        (
            entry_of("api_key_usage", api_key_id="12"),
            "an entry of api_key_usage: api_key_id must be an integer, not this text",
        ),
        (
            entry_of("api_key_usage", total_cost="a lot"),
            "an entry of api_key_usage: total_cost must be a decimal amount of USD, not this text",
        ),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(parts: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        decode(**parts)
    assert str(caught.value) == complaint


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("1.5"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*activity_json()]), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(100))
@given(st.dictionaries(st.sampled_from(PARTS), json_values))
def test_no_answer_breaks_the_reading(parts: dict[str, Any]) -> None:
    try:
        found = decode(**parts)
    except UnexpectedAnswer:
        return
    assert found.days == 30


@pytest.mark.parametrize("days", [1, 30])
def test_statistics_are_asked_for_as_many_days_as_wanted(days: int) -> None:
    came = talk(lambda account: account.statistics(days), answer(200, activity_json(days)))
    assert came.result.total == WHOLE
    assert str(came.script.requests[0].url).endswith(f"/account/activity?days={days}")


@pytest.mark.parametrize("days", [0, 31])
def test_statistics_are_not_asked_for_where_the_service_has_none(days: int) -> None:
    came = talk(lambda account: account.statistics(days))
    assert came.complaint == f"activity goes back 1 to 30 days, not {days}"
