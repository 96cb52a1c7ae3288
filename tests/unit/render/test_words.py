from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.model import Usage
from reconciler.planning.actions import ActionKind, Create, Credit, Delete, DeleteReason, Field, source_of
from reconciler.render import words
from reconciler.units import dollars, plural, show_expiry, show_limit
from support.builders import NOW, address, declared, dotenv, live
from support.plans import NEW_YEAR, at, finish, full_plan, plan, rename, restore, retire, rotate, update

if TYPE_CHECKING:
    from reconciler.planning.actions import Action

MARKED = words.Show("<{}>".format, "[{}]".format)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"),
        ("500", "$500"),
        ("5E+2", "$500"),
        ("400.00", "$400"),
        ("0.5", "$0.50"),
        ("12.345678", "$12.345678"),
        ("1500", "$1,500"),
        ("1234567.8", "$1,234,567.80"),
        ("-3", "-$3"),
        ("-0", "$0"),
    ],
)
def test_money_is_written_as_people_read_it(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text


def test_no_limit_and_no_expiry_have_words() -> None:
    assert show_limit(None) == "no limit"
    assert show_expiry(None) == "never"


def test_of_many_places_twenty_are_named_and_every_new_one() -> None:
    def named(known: int, new: int) -> list[str]:
        deliveries = [replace(dotenv(f"{number}.env"), new=number >= known) for number in range(known + new)]
        keys = (declared(f"ci/k{number}", deliver=(each,)) for number, each in enumerate(deliveries))
        return words.places(plan(*map(Create, keys)), MARKED).split("; ")

    assert [len(named(*each)) for each in ((20, 0), (21, 0), (0, 25), (5, 25))] == [20, 21, 25, 26]
    assert "3" in named(23, 0)[-1]


def test_one_is_not_many() -> None:
    assert [plural(count, "key") for count in (0, 1, 2, 10_000)] == ["0 keys", "1 key", "2 keys", "10,000 keys"]


@pytest.mark.parametrize(
    ("credit", "text"),
    [
        (Credit(Decimal(650), Decimal(700), 0, 0), "$650 → $700 (+$50)"),
        (Credit(Decimal(700), Decimal("649.5"), 0, 0), "$700 → $649.50 (-$50.50)"),
        (Credit(Decimal(650), Decimal(650), 0, 0), "$650 (unchanged)"),
        (Credit(Decimal(0), Decimal(0), 0, 2), "$0 (unchanged); without a limit: 0 keys → 2 keys"),
        (Credit(Decimal(0), Decimal(5), 1, 1), "$0 → $5 (+$5); without a limit: 1 key (unchanged)"),
        (Credit(Decimal(5), Decimal(5), 0, 0, Decimal("125.5")), "$5 (unchanged); balance: $125.50"),
        (Credit(Decimal(5), Decimal(5), 0, 0, Decimal(-2)), "$5 (unchanged); balance: -$2"),
    ],
)
def test_limits_are_added_up_before_and_after(credit: Credit, text: str) -> None:
    assert words.limits(credit) == text


def test_a_creation_says_its_limit_its_expiry_and_where_the_secret_goes() -> None:
    key = declared("ci/tests", "25", expires_at=NEW_YEAR)

    assert words.details(Create(key), words.Show(str.upper)) == (
        "credit_limit $25, expires 2027-01-01T00:00:00Z",
        "secret → LOCAL as NAGA_CI_TESTS: DOTENV, path .SECRETS/TEST.ENV",
    )


def test_a_creation_without_limit_destination_or_use_says_so() -> None:
    key = declared("ci/tests", None, is_enabled=False, deliver=())

    assert words.details(Create(key), words.Show(str)) == ("no limit, disabled", "secret → nowhere")


@pytest.mark.parametrize(
    ("wanted", "found", "field", "text"),
    [
        ({"credit_limit": "500"}, {"credit_limit": "400"}, Field.CREDIT_LIMIT, "credit_limit $400 → $500"),
        ({"credit_limit": None}, {"credit_limit": "400"}, Field.CREDIT_LIMIT, "credit_limit $400 → no limit"),
        ({"credit_limit": "0"}, {"credit_limit": None}, Field.CREDIT_LIMIT, "credit_limit no limit → $0"),
        ({}, {"is_enabled": False}, Field.IS_ENABLED, "is_enabled false → true"),
        ({"expires_at": NEW_YEAR}, {}, Field.EXPIRES_AT, "expires_at never → 2027-01-01T00:00:00Z"),
        ({}, {"expires_at": NEW_YEAR}, Field.EXPIRES_AT, "expires_at 2027-01-01T00:00:00Z → never"),
    ],
)
def test_a_changed_field_shows_what_it_was_and_will_be(
    wanted: dict[str, object], found: dict[str, object], field: Field, text: str
) -> None:
    action = update(declared("ci/a", **wanted), live(1, "ci/a", **found), field)  # type: ignore[arg-type]  # by field

    assert words.details(action, words.Show(str)) == (text,)


def test_a_rename_shows_both_names() -> None:
    action = rename(declared("ci/a"), live(1, "old name"))

    assert words.details(action, words.Show(repr)) == ("name 'old name' → 'ci/a'",)


@pytest.mark.parametrize(
    ("where", "name", "facts"),
    [
        (address("ci/a"), "ci/a", "id 7, credit_limit $5, created 2026-03-31"),
        (address("ci/a"), "ci/a~new.x", "id 7, name <ci/a~new.x>, credit_limit $5, created 2026-03-31"),
        (None, "ci/a", "id 7, credit_limit $5, created 2026-03-31"),
    ],
)
def test_a_deletion_says_why_and_identifies_the_key(where: None, name: str, facts: str) -> None:
    created = datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    action = Delete(where, live(7, name, created_at=created), DeleteReason.UNDECLARED, None)

    assert words.details(action, words.Show("<{}>".format)) == ("no longer declared", facts)


def test_a_deletion_knows_no_more_of_a_key_than_the_file_that_vouches_for_it() -> None:
    action = Delete(address("ci/a"), live(-1, "ci/a"), DeleteReason.REMOVED, None)

    assert words.details(action, words.Show(str)) == ("removed by this change", "credit_limit $5")


@pytest.mark.parametrize(
    ("overlap", "text"),
    [
        (timedelta(days=7), "the old key goes on for [7d]"),
        (None, "the old key is disabled as soon as the new one is delivered"),
    ],
)
def test_a_rotation_says_why_what_becomes_of_the_old_key_and_who_receives_the_new_one(
    overlap: timedelta | None, text: str
) -> None:
    action = rotate(declared("ci/a", "7"), live(1, "ci/a"), Field.CREDIT_LIMIT, overlap=overlap)

    assert words.details(action, MARKED) == (
        "it is due",
        text,
        "credit_limit [$5] → [$7]",
        "secret → <local> as <NAGA_CI_A>: <dotenv>, path <.secrets/test.env>",
    )


def test_a_rotation_to_finish_speaks_of_the_old_key_only_if_it_is_left() -> None:
    wanted, upcoming, old = declared("ci/a"), live(2, "ci/a~next"), live(1, "ci/a")
    first = "an interrupted rotation: the new key is delivered and takes over"

    assert words.details(finish(wanted, upcoming, None), MARKED) == (first,)
    assert words.details(finish(wanted, upcoming, old), MARKED) == (first, "the old key goes on for [7d]")


def test_a_retirement_says_how_long_it_can_be_taken_back() -> None:
    assert words.details(retire("ci/a", live(1, "ci/a"), at(2)), MARKED) == (
        "no longer declared",
        "disabled now, can be restored for [7d], then deleted",
    )


def test_a_retirement_says_why() -> None:
    action = replace(retire("ci/a", live(1, "ci/a"), at(2)), reason=DeleteReason.REMOVED)

    assert words.essentials(action, MARKED)[0] == "removed by this change"


def test_a_restored_key_is_named_and_what_changes_besides_its_name() -> None:
    gone = live(7, "ci/a~gone.20261129T120000Z", "4", is_enabled=False)

    assert words.details(restore(declared("ci/a"), gone, Field.IS_ENABLED, Field.CREDIT_LIMIT), MARKED) == (
        "the retired key [7] comes back with its secret",
        "is_enabled [false] → [true]",
        "credit_limit [$4] → [$5]",
    )


@pytest.mark.parametrize("action", full_plan().actions, ids=lambda action: str(action.kind))
def test_what_changes_and_what_else_there_is_to_know_make_up_the_details(action: Action) -> None:
    essentials = words.essentials(action, MARKED)

    assert essentials
    more = (*words.destinations(action, MARKED), *words.particulars(action, MARKED))
    assert (*essentials, *more) == words.details(action, MARKED)


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (Usage(30, Decimal("28.34"), 892), "892 requests, [$28.34] in 30 days"),
        (Usage(1, Decimal(0), 1), "1 request, [$0] in 1 day"),
        (Usage(7, Decimal(0), 0), "not used in 7 days"),
        (Usage(30, Decimal(0), 0), "never used"),
    ],
)
def test_the_use_of_a_key_is_told_where_it_is_known(usage: Usage, text: str) -> None:
    gone = Delete(None, live(7, "b", created_at=NOW - timedelta(days=9)), DeleteReason.UNMANAGED, None)

    assert words.used(gone, plan(gone, usage={7: usage}), MARKED) == text
    assert words.used(gone, plan(gone, usage={8: usage}), MARKED) == ""
    assert words.used(Create(declared("ci/a")), plan(usage={7: usage}), MARKED) == ""


def test_values_are_set_off_as_a_format_wants_it() -> None:
    key = declared("ci/tests", "25", expires_at=NEW_YEAR)
    gone = Delete(address("ci/a"), live(7, "b", None), DeleteReason.UNDECLARED, None)

    assert words.details(Create(key), MARKED)[0] == "credit_limit [$25], expires [2027-01-01T00:00:00Z]"
    assert words.details(gone, MARKED)[1] == "id [7], name <b>, no limit, created [2026-11-22]"
    assert words.limits(Credit(Decimal(1), Decimal(2), 0, 0, Decimal(3)), "[{}]".format) == (
        "[$1] → [$2] ([+$1]); balance: [$3]"
    )


def test_every_kind_has_a_sign_and_only_a_deletion_is_loud() -> None:
    assert set(words.SYMBOLS) == set(ActionKind)
    assert [kind for kind in ActionKind if words.word(kind) != kind.value] == [ActionKind.DELETE]


def test_an_action_comes_from_the_place_of_its_key_or_of_its_deletion() -> None:
    create = Create(declared("ci/a", source=at(3)))
    delete = Delete(address("ci/a"), live(1, "ci/a"), DeleteReason.UNDECLARED, at(4))

    gone = retire("ci/a", live(1, "ci/a"), at(5))

    assert [source_of(create), source_of(delete), source_of(gone)] == [at(3), at(4), at(5)]
    assert words.place(at(3), str.upper) == "KEYS.YAML:3"


def test_an_action_is_listed_under_its_key_or_the_live_name() -> None:
    key = live(1, "ci/a~new.x", created_at=datetime(2026, 1, 1, tzinfo=UTC))

    assert words.subject(Delete(address("ci/a"), key, DeleteReason.LEASE_EXPIRED, None)) == "a"
    assert words.subject(Delete(None, key, DeleteReason.UNMANAGED, None)) == "ci/a~new.x"
    assert words.full_name(Delete(address("ci/a"), key, DeleteReason.LEASE_EXPIRED, None)) == "ci/a"
    assert words.full_name(Delete(None, key, DeleteReason.UNMANAGED, None)) == "ci/a~new.x"


def test_only_what_occurs_is_counted() -> None:
    counts = {ActionKind.DELETE: 1_000, ActionKind.CREATE: 2, ActionKind.UPDATE: 0}

    assert words.pending(counts) == [(ActionKind.CREATE, "2 to create"), (ActionKind.DELETE, "1,000 to delete")]
    assert words.standing(plan()) == ""
    assert words.standing(plan(unchanged=4)) == "4 unchanged"
    assert words.standing(plan(unmanaged=(live(1, "a"),))) == "1 unmanaged"
