"""The JSON of the account API: exact money, clear complaints, and nothing that a strange answer can break."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.account import wire
from reconciler.errors import IncompleteList, UnexpectedAnswer
from reconciler.model import Activity, KeyPatch, KeyTally, LiveKey, NewKey, Statistics, Tally, Usage
from reconciler.secret import Secret
from support.account import CREDENTIAL, ISSUED, created_json, key_json

MADE = datetime(2026, 3, 31, 10, tzinfo=UTC)


def decode(**fields: Any) -> LiveKey:
    return wire.decode_key(json.dumps(key_json(**fields)).encode())


def complaint(body: object) -> str:
    with pytest.raises(UnexpectedAnswer) as caught:
        wire.decode_keys(body if isinstance(body, bytes) else json.dumps(body).encode())
    return str(caught.value)


def test_a_key_is_read_as_the_service_writes_it() -> None:
    body = (
        b'{"keys": [{"id": 12, "name": "production/api", "created_at": "2026-03-31T10:00:00Z", "expires_at": null, '
        b'"is_enabled": true, "credit_limit": 0.1}, {"id": 9007199254740993, "name": "x", "is_enabled": false, '
        b'"created_at": "2026-03-31T12:00:00+02:00", "expires_at": "2027-01-01T00:00:00.5Z", "credit_limit": null}]}'
    )
    assert wire.decode_keys(body) == (
        LiveKey(12, "production/api", MADE, None, is_enabled=True, credit_limit=Decimal("0.1")),
        LiveKey(
            9007199254740993,
            "x",
            MADE,
            datetime(2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC),
            is_enabled=False,
            credit_limit=None,
        ),
    )


def test_two_keys_of_one_id_are_no_list_to_plan_from() -> None:
    assert complaint({"keys": [key_json(id=1), key_json(id=1, name="other")]}) == (
        "the answer: keys has the same id twice"
    )


def test_an_account_without_keys_is_read() -> None:
    assert wire.decode_keys(b'{"keys": []}') == ()


def test_a_missing_expiry_is_none_and_unknown_fields_are_ignored() -> None:
    raw = key_json(owner={"id": 7}, tags=["a"])
    del raw["expires_at"]
    assert wire.decode_key(json.dumps(raw).encode()).expires_at is None


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("5", "5"),
        ("400.000000", "400"),
        ("75.0000000000000000", "75"),
        ("0E-10", "0"),
        ("1e2", "100"),
        (80.24999999999999, "80.25"),
        (80.25000000000001, "80.25"),
        ("80.2499994", "80.249999"),
        (0.1 + 0.2, "0.3"),
        (1e-30, "0"),
        ("123456789012345678901234567890.123456789012345678901234567890", "123456789012345678901234567890.123457"),
    ],
)
def test_a_limit_is_a_number_or_text_and_counts_to_the_millionth(written: object, limit: str) -> None:
    assert decode(credit_limit=written).credit_limit == Decimal(limit)


@pytest.mark.parametrize(
    "text", ["2026-03-31T10:00:00", "2026-03-31 10:00:00", "2026-03-31t10:00:00.000000", "2026-03-31T10:00:00.0000000"]
)
def test_an_instant_without_a_zone_is_in_utc(text: str) -> None:
    assert decode(created_at=text, expires_at=text).expires_at == MADE


MORE = [
    {"has_more": True},
    {"hasMore": True},
    {"next": "https://api.naga.ac/v1/account/keys?page=2"},
    {"next_cursor": "abc"},
    {"nextPageToken": "abc"},
    {"cursor": "abc"},
    {"total": 2},
    {"total": "2"},
    {"total_count": 2},
    {"pages": 2},
    {"pagination": {"total": 2}},
    {"links": {"next": "/account/keys?page=2"}},
    {"page_info": {"has_next_page": True}},
    {"truncated": True},
]
NOT_MORE = [
    {"has_more": False},
    {"next": None},
    {"next_cursor": ""},
    {"total": 1},
    {"total": 0},
    {"total": True},
    {"pages": 1},
    {"object": "list"},
    {"pagination": {"total": 1, "has_more": False}},
    {"limits": {"total": 100}},
    {"user": {"next": "x"}},
]


@pytest.mark.parametrize("more", MORE)
def test_a_list_that_says_that_it_goes_on_is_no_account(more: dict[str, object]) -> None:
    with pytest.raises(IncompleteList) as caught:
        wire.decode_keys(json.dumps({"keys": [key_json()], **more}).encode())
    assert next(iter(more)) in str(caught.value)


@pytest.mark.parametrize("more", NOT_MORE)
def test_a_list_that_says_that_it_is_whole_is_read(more: dict[str, object]) -> None:
    assert len(wire.decode_keys(json.dumps({"keys": [key_json()], **more}).encode())) == 1


def test_a_list_that_is_wrapped_as_pages_are_is_no_account() -> None:
    with pytest.raises(IncompleteList):
        wire.decode_keys(json.dumps({"data": [key_json()]}).encode())
    assert complaint({"data": "x"}) == "the answer: keys must be a list, but is missing"


def test_fractions_finer_than_microseconds_are_cut() -> None:
    assert decode(created_at="2026-03-31T10:00:00.123456789Z").created_at == MADE + timedelta(microseconds=123_456)


def test_half_a_surrogate_pair_in_a_name_becomes_writable() -> None:
    assert decode(name="a\ud800b/ü").name == "a?b/ü"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("id", "12", "a key of the answer: id must be an integer, not this text"),
        ("id", True, "a key of the answer: id must be an integer, not a boolean"),
        ("id", 1.5, "a key of the answer: id must be an integer, not this number"),
        ("id", None, "a key of the answer: id must be an integer, not null"),
        ("id", -1, "a key of the answer: id must be an integer, not this number"),
        ("id", 2**64, "a key of the answer: id must be an integer, not this number"),
        ("name", 5, "key 1: name must be text, not this number"),
        ("name", None, "key 1: name must be text, not null"),
        ("is_enabled", "yes", "key 1: is_enabled must be true or false, not this text"),
        ("is_enabled", 1, "key 1: is_enabled must be true or false, not this number"),
        ("credit_limit", "5 USD", "key 1: credit_limit must be an amount of USD or null, not this text"),
        ("credit_limit", "NaN", "key 1: credit_limit must be an amount of USD or null, not this text"),
        ("credit_limit", False, "key 1: credit_limit must be an amount of USD or null, not a boolean"),
        ("credit_limit", [5], "key 1: credit_limit must be an amount of USD or null, not a list"),
        ("credit_limit", 10**40, "key 1: credit_limit must be an amount of USD or null, not this number"),
        ("created_at", 5, "key 1: created_at must be a date-time like 2026-03-31T10:00:00Z, not this number"),
        ("created_at", "soon", "key 1: created_at must be a date-time like 2026-03-31T10:00:00Z, not this text"),
        ("created_at", None, "key 1: created_at must be a date-time like 2026-03-31T10:00:00Z, not null"),
        ("expires_at", {}, "key 1: expires_at must be a date-time like 2026-03-31T10:00:00Z, not an object"),
        (
            "expires_at",
            "2026-02-30T10:00:00Z",
            "key 1: expires_at must be a date-time like 2026-03-31T10:00:00Z, not this text",
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_key_and_never_quoted(field: str, value: object, expected: str) -> None:
    assert complaint({"keys": [key_json(2), key_json() | {field: value}]}) == expected


@pytest.mark.parametrize("field", ["id", "name", "created_at", "is_enabled", "credit_limit"])
def test_a_missing_field_is_named(field: str) -> None:
    raw = key_json()
    del raw[field]
    assert complaint({"keys": [raw]}).endswith(", but is missing")
    assert f"{field} must be" in complaint({"keys": [raw]})


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "1e99999999999999999999"])
def test_a_limit_that_would_fill_the_memory_when_written_is_refused(number: str) -> None:
    body = json.dumps({"keys": [key_json(credit_limit="@")]}).replace('"@"', number).encode()
    assert "credit_limit" in complaint(body) or complaint(body) == "the answer is not JSON"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "the answer is not JSON"),
        (b"<html>", "the answer is not JSON"),
        (b'{"keys": [NaN]}', "the answer is not JSON"),
        (b'{"keys": [-Infinity]}', "the answer is not JSON"),
        (b'{"keys": ["\xff"]}', "the answer is not JSON"),
        (b"[" * 100_000, "the answer is not JSON"),
        (b"1" * 5_000, "the answer is not JSON"),
        (b'{"keys": [0.%s]}' % (b"1" * 500), "the answer is not JSON"),
        (b"[" + b"{}," * 500_000 + b"{}]", "the answer has more than 1,000,000 parts, so it was not read"),
        (b"[]", "the answer must be an object, not a list"),
        (b"null", "the answer must be an object, not null"),
        (b"{}", "the answer: keys must be a list, but is missing"),
        (b'{"keys": {}}', "the answer: keys must be a list, not an object"),
        (b'{"keys": [1]}', "the answer: a key must be an object, not this number"),
    ],
)
def test_an_answer_of_another_shape_is_told_apart(body: bytes, expected: str) -> None:
    assert complaint(body) == expected


@pytest.mark.parametrize("secret", [None, "", "  ", 5, ["x"], "ng-\ud800"])
def test_a_created_key_without_a_usable_secret_is_refused(secret: object) -> None:
    with pytest.raises(UnexpectedAnswer, match=r"^the answer: key must be the secret"):
        wire.decode_created(json.dumps(created_json(key=secret)).encode())


def test_a_created_key_comes_with_its_secret() -> None:
    created = wire.decode_created(json.dumps(created_json(id=4)).encode())
    assert created.key.id == 4
    assert created.secret.reveal() == ISSUED


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        (b'{"balance": "125.50"}', "125.50"),
        (b'{"balance": "-0.000001"}', "-0.000001"),
        (b'{"balance": 125.5}', "125.5"),
        (b'{"balance": 7}', "7"),
        (b'{"balance": "1E-7"}', "0.0000001"),
        (b'{"balance": "0E-10"}', "0"),
    ],
)
def test_the_balance_is_exact(body: bytes, balance: str) -> None:
    assert wire.decode_balance(body) == Decimal(balance)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"balance": "1e50"}', b'{"balance": "e5"}', b'{"balance": "12,5"}', b'{"balance": null}']
)
def test_a_balance_that_is_no_amount_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer, match="balance must be a decimal amount of USD"):
        wire.decode_balance(body)


# --- activity ---------------------------------------------------------------------------------------------------------


def usage_json(**fields: Any) -> dict[str, Any]:
    return {"api_key_id": 12, "api_key_name": "x", "request_count": 892, "total_cost": "28.34", **fields}


def activity(*usages: object, **fields: Any) -> Activity:
    body = {"period_days": 30, "api_key_usage": list(usages), **fields}
    return wire.decode_activity(json.dumps(body).encode(), 30)


def test_activity_tells_what_each_key_was_used_for() -> None:
    body = (
        b'{"period_days": 7, "total_stats": {"total_requests": 894}, "daily_stats": [], "top_models": [],'
        b' "api_key_usage": [{"api_key_id": 12, "api_key_name": "production/api", "request_count": 892,'
        b' "total_cost": "28.34", "total_input_tokens": 5, "total_output_tokens": 6},'
        b' {"api_key_id": 13, "request_count": 2, "total_cost": 0.1}]}'
    )
    found = wire.decode_activity(body, 7)
    assert found.of(12) == Usage(7, Decimal("28.34"), 892)
    assert found.of(13) == Usage(7, Decimal("0.1"), 2)
    assert found.of(14) == Usage(7, Decimal(0), 0)
    assert [bool(found.of(key_id)) for key_id in (12, 13, 14)] == [True, True, False]


def test_activity_may_leave_out_what_is_not_asked_for() -> None:
    assert wire.decode_activity(b'{"api_key_usage": []}', 30) == Activity(30, {})


def test_use_that_belongs_to_no_key_is_left_out() -> None:
    assert activity(usage_json(api_key_id=None)).by_key == {}


def test_use_of_one_key_in_several_entries_adds_up() -> None:
    assert activity(usage_json(), usage_json(total_cost="0.01", request_count=1)).of(12).requests == 893
    assert activity(usage_json(), usage_json(total_cost="0.01", request_count=1)).of(12).cost == Decimal("28.35")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "the answer: api_key_usage must be a list, but is missing"),
        ({"api_key_usage": None}, "the answer: api_key_usage must be a list, not null"),
        ({"api_key_usage": [], "period_days": 7}, "the answer: period_days must be 30, as asked, not this number"),
        ({"api_key_usage": [], "period_days": "30"}, "the answer: period_days must be 30, as asked, not this text"),
        ({"api_key_usage": [7]}, "the answer: an entry of api_key_usage must be an object, not this number"),
        (
            {"api_key_usage": [usage_json(api_key_id="12")]},
            "an entry of api_key_usage: api_key_id must be an integer, not this text",
        ),
        (
            {"api_key_usage": [usage_json(request_count=-1)]},
            "the usage of key 12: request_count must be a whole number from 0, not this number",
        ),
        (
            {"api_key_usage": [usage_json(request_count=True)]},
            "the usage of key 12: request_count must be a whole number from 0, not a boolean",
        ),
        (
            {"api_key_usage": [usage_json(total_cost=None)]},
            "the usage of key 12: total_cost must be a decimal amount of USD, not null",
        ),
        (
            {"api_key_usage": [usage_json(total_cost="-0.01")]},
            "the usage of key 12: total_cost must be an amount of USD from 0, not this text",
        ),
    ],
)
def test_activity_that_is_none_is_refused(body: object, complaint: str) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        wire.decode_activity(json.dumps(body).encode(), 30)
    assert str(caught.value) == complaint


# --- the credential in what is shown ---


HOLDER = f"x {CREDENTIAL[::-1]}"


def test_the_credential_is_hidden_in_the_names_of_keys() -> None:
    keys = wire.decode_keys(json.dumps({"keys": [key_json(1), key_json(2, name=HOLDER)]}).encode())
    shown = wire.redacted(keys, [Secret(CREDENTIAL)])
    assert [key.name for key in shown] == ["ci/tests", "x <secret>"]
    assert wire.redacted(keys[:1], [Secret(CREDENTIAL)]) == keys[:1]
    assert wire.redacted(keys[1], [Secret(CREDENTIAL)]).name == "x <secret>"


def test_the_credential_is_hidden_in_a_new_key_and_is_never_its_secret() -> None:
    created = wire.decode_created(json.dumps(created_json(name=HOLDER)).encode())
    assert wire.redacted(created, [Secret(CREDENTIAL)]).key.name == "x <secret>"
    with pytest.raises(UnexpectedAnswer):
        wire.redacted(wire.decode_created(json.dumps(created_json(key=HOLDER)).encode()), [Secret(CREDENTIAL)])


def test_the_credential_is_hidden_in_statistics() -> None:
    tally = Tally(1, Decimal(1), 1, 1)
    raw = Statistics(30, None, (), ((HOLDER, tally), ("gpt-4o", tally)), (KeyTally(1, HOLDER, tally),))
    shown = wire.redacted(raw, [Secret(CREDENTIAL)])
    assert [name for name, _ in shown.by_model] == ["x <secret>", "gpt-4o"]
    assert [each.name for each in shown.by_key] == ["x <secret>"]


def test_a_sum_of_money_holds_no_credential() -> None:
    assert wire.redacted(Decimal(1), [Secret(CREDENTIAL)]) == Decimal(1)


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("0.1", "0.1"),
        ("999999999999.999999", "999999999999.999999"),
        ("5E+2", "500"),
        ("0.000001", "0.000001"),
        ("25.00", "25"),
        ("0", "0"),
    ],
)
def test_money_leaves_as_exactly_that_number(amount: str, written: str) -> None:
    body = wire.encode_new(NewKey("x", Decimal(amount), None))
    assert body == f'{{"name": "x", "credit_limit": {written}, "expires_at": null}}'.encode()


def test_an_amount_that_is_none_is_never_sent() -> None:
    with pytest.raises(ValueError, match="finite"):
        wire.encode_new(NewKey("x", Decimal("NaN"), None))


def test_a_new_key_says_all_three_fields() -> None:
    assert json.loads(wire.encode_new(NewKey('q"\n', None, MADE))) == {
        "name": 'q"\n',
        "credit_limit": None,
        "expires_at": "2026-03-31T10:00:00Z",
    }


@pytest.mark.parametrize(
    ("patch", "body"),
    [
        ({}, {}),
        ({"name": "b"}, {"name": "b"}),
        ({"is_enabled": False}, {"is_enabled": False}),
        ({"credit_limit": None}, {"credit_limit": None}),
        ({"credit_limit": Decimal("1.5"), "expires_at": None}, {"credit_limit": 1.5, "expires_at": None}),
        ({"expires_at": MADE}, {"expires_at": "2026-03-31T10:00:00Z"}),
    ],
)
def test_a_patch_says_its_fields_and_no_other(patch: KeyPatch, body: object) -> None:
    assert json.loads(wire.encode_patch(patch)) == body


amounts = st.decimals(min_value=0, max_value=10**12, places=6, allow_nan=False, allow_infinity=False)
instants = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Hypothesis takes bounds without a zone


@given(st.text(), st.none() | amounts, st.none() | instants, st.booleans())
def test_what_is_written_is_read_back(
    name: str,
    limit: Decimal | None,
    expiry: datetime | None,
    enabled: bool,  # noqa: FBT001  # given by Hypothesis
) -> None:
    patch: KeyPatch = {"name": name, "credit_limit": limit, "expires_at": expiry, "is_enabled": enabled}
    body = wire.encode_patch(patch)[:-1] + b', "id": 1, "created_at": "2026-03-31T10:00:00Z"}'
    assert wire.decode_key(body) == LiveKey(1, name, MADE, expiry, is_enabled=enabled, credit_limit=limit)
