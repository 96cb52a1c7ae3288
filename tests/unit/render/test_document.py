from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.diagnostic import Severity
from reconciler.model import Usage
from reconciler.planning.actions import (
    ActionKind,
    ApplyResult,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Outcome,
    Status,
)
from reconciler.planning.planfile import plan_document, result_document
from reconciler.render.escape import to_json
from support.builders import address, declared, live
from support.plans import NEW_YEAR, at, finish, full_plan, plan, rename, restore, retire, rotate, update

if TYPE_CHECKING:
    from reconciler.planning.actions import Action

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "plan.schema.json").read_text())
DIGEST = "sha256:" + "0" * 64
CREATE = Create(declared("ci/tests", "25", source=at(9)))
DELETE = Delete(None, live(4, "demo"), DeleteReason.UNMANAGED, None)


def _document(**fields: Any) -> dict[str, Any]:
    document = json.loads(to_json(plan_document(full_plan(), DIGEST)))
    assert isinstance(document, dict)
    return {**document, **fields}


def _changed(**fields: Any) -> dict[str, Any]:
    document = _document()
    return {**document, "changes": [{**document["changes"][2], **fields}]}


def _violations(document: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in validator.iter_errors(document)]


def test_the_schema_is_a_schema_and_describes_every_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    for schema in [SCHEMA, *SCHEMA["properties"].values(), *SCHEMA["$defs"].values()]:
        assert schema["description"]
        assert all(field["description"] for field in schema.get("properties", {}).values())
        if "properties" in schema:
            assert schema["additionalProperties"] is False
            # The account is said only where a declaration names several, others only where there is something to say.
            assert set(schema["required"]) == set(schema["properties"]) - {"account", "leads_to", "due", "raise"}


def test_a_plan_of_everything_follows_the_schema() -> None:
    assert _violations(_document()) == []


@pytest.mark.parametrize(
    "document",
    [
        _document(format_version=2),
        _document(digest="sha256:0"),
        _document(created_at="2026-11-22T12:00:00+01:00"),
        _document(extra=1),
        _document(summary={}),
        _document(credit={}),
        _changed(action="replace"),
        _changed(address=None),
        _changed(address="CI/Tests"),
        _changed(key_id="12"),
        _changed(before=None),
        _changed(after=None),
        _changed(fields=[]),
        _changed(fields=["id"]),
        _changed(fields=["name", "name"]),
        _changed(spend={"days": 30, "cost": 28.34, "requests": 892}),
        _changed(source={"file": "keys.yaml", "line": 0}),
        _changed(action="create"),
        _changed(action="delete"),
    ],
)
def test_the_schema_refuses_what_is_no_plan(document: dict[str, Any]) -> None:
    assert _violations(document)


def test_the_plan_of_everything_has_every_kind_of_change() -> None:
    assert {change["action"] for change in _document()["changes"]} == set(ActionKind)


@pytest.mark.parametrize("kind", [kind for kind in ActionKind if kind is not ActionKind.DELETE])
def test_the_schema_wants_every_change_but_a_deletion_to_have_an_address_and_an_outcome(kind: ActionKind) -> None:
    document = _document()
    change = next(each for each in document["changes"] if each["action"] == kind)

    assert _violations({**document, "changes": [change]}) == []
    assert _violations({**document, "changes": [{**change, "address": None}]})
    assert _violations({**document, "changes": [{**change, "after": None}]})


@pytest.mark.parametrize("kind", ["update", "rename", "finish", "retire", "restore"])
def test_the_schema_wants_fields_where_something_changes(kind: str) -> None:
    assert _violations(_changed(action=kind)) == []
    assert _violations(_changed(action=kind, fields=[]))


def test_the_schema_lets_a_rotation_change_nothing_but_the_key() -> None:
    assert _violations(_changed(action="rotate", fields=[])) == []


def test_the_schema_takes_what_a_key_has_spent() -> None:
    assert _violations(_changed(spend={"days": 30, "cost": "28.34", "requests": 892})) == []


def test_a_key_that_only_a_file_vouches_for_has_no_id() -> None:
    document = plan_document(plan(update(declared("ci/a"), live(-3, "ci/a", "4"), Field.CREDIT_LIMIT)), DIGEST)

    assert document["changes"][0]["key_id"] is None  # type: ignore[index]  # a list
    assert _violations(document) == []


def test_every_kind_is_counted_even_when_there_is_none() -> None:
    document = plan_document(plan(CREATE, DELETE, unchanged=4, unmanaged=(live(4, "demo"),)), DIGEST)

    assert document["summary"] == {
        "create": 1,
        "update": 0,
        "renew": 0,
        "rename": 0,
        "rotate": 0,
        "finish": 0,
        "retire": 0,
        "restore": 0,
        "delete": 1,
        "unchanged": 4,
        "unmanaged": 1,
        "leased": 0,
    }


@pytest.mark.parametrize(("balance", "written"), [(None, None), (Decimal("125.50"), "125.5"), (Decimal("1E+2"), "100")])
def test_money_is_a_decimal_string_and_an_unread_balance_is_null(balance: Decimal | None, written: str | None) -> None:
    document = plan_document(plan(credit=Credit(Decimal("650.00"), Decimal(0), 1, 0, balance)), DIGEST)

    assert document["credit"] == {
        "limits_before": "650",
        "limits_after": "0",
        "unlimited_before": 1,
        "unlimited_after": 0,
        "balance": written,
    }


def test_instants_are_written_in_utc() -> None:
    elsewhere = datetime(2026, 11, 22, 14, tzinfo=timezone(timedelta(hours=2)))

    assert plan_document(plan(created_at=elsewhere), DIGEST)["created_at"] == "2026-11-22T12:00:00Z"


def test_an_update_has_both_states_and_the_fields_between_them() -> None:
    wanted = declared("ci/api", None, expires_at=NEW_YEAR, source=at(31))
    action = update(wanted, live(12, "ci/api", "5"), Field.CREDIT_LIMIT, Field.EXPIRES_AT)

    assert plan_document(plan(action), DIGEST)["changes"] == [
        {
            "action": "update",
            "address": "ci/api",
            "key_id": 12,
            "before": {"name": "ci/api", "is_enabled": True, "credit_limit": "5", "expires_at": None},
            "after": {
                "name": "ci/api",
                "is_enabled": True,
                "credit_limit": None,
                "expires_at": "2027-01-01T00:00:00Z",
            },
            "fields": ["credit_limit", "expires_at"],
            "deliveries": [],
            "spend": None,
            "source": {"file": "keys.yaml", "line": 31},
        }
    ]


@pytest.mark.parametrize(
    ("usage", "spend"),
    [
        ({12: Usage(30, Decimal("28.340"), 892)}, {"days": 30, "cost": "28.34", "requests": 892}),
        ({12: Usage(30, Decimal(0), 0)}, {"days": 30, "cost": "0", "requests": 0}),
        ({13: Usage(30, Decimal(0), 0)}, None),
    ],
)
def test_what_a_key_has_spent_is_null_only_where_it_is_not_known(usage: dict[int, Usage], spend: object) -> None:
    action = update(declared("ci/api", "7"), live(12, "ci/api", "5"), Field.CREDIT_LIMIT)
    change, create = plan_document(plan(CREATE, action, usage=usage), DIGEST)["changes"]  # type: ignore[misc]  # a list of two

    assert (create["spend"], change["spend"]) == (None, spend)  # type: ignore[has-type]  # a dict


def test_a_rotation_shows_the_key_that_goes_and_the_state_of_the_one_that_comes() -> None:
    action = rotate(declared("ci/api", "7", source=at(31)), live(12, "ci/api", "5"), Field.CREDIT_LIMIT)

    assert plan_document(plan(action), DIGEST)["changes"] == [
        {
            "action": "rotate",
            "address": "ci/api",
            "key_id": 12,
            "before": {"name": "ci/api", "is_enabled": True, "credit_limit": "5", "expires_at": None},
            "after": {"name": "ci/api", "is_enabled": True, "credit_limit": "7", "expires_at": None},
            "fields": ["credit_limit"],
            "deliveries": [
                {
                    "destination": "local",
                    "type": "dotenv",
                    "settings": {"path": ".secrets/test.env"},
                    "name": "NAGA_CI_API",
                    "new": False,
                }
            ],
            "spend": None,
            "source": {"file": "keys.yaml", "line": 31},
        }
    ]


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        (finish(declared("ci/a"), live(2, "ci/a~next"), live(1, "ci/a")), "ci/a~next", "ci/a"),
        (restore(declared("ci/a"), live(2, "ci/a~gone.20261128T120000Z")), "ci/a~gone.20261128T120000Z", "ci/a"),
        (retire("ci/a", live(2, "ci/a"), at(1)), "ci/a", "ci/a~gone.20261129T120000Z"),
    ],
)
def test_a_key_that_goes_on_shows_both_its_names(action: Action, before: str, after: str) -> None:
    (change,) = plan_document(plan(action), DIGEST)["changes"]  # type: ignore[misc]  # a list of one

    assert (change["key_id"], change["before"]["name"], change["after"]["name"]) == (2, before, after)  # type: ignore[has-type]  # a dict


def test_what_does_not_exist_yet_or_any_more_is_null() -> None:
    create, delete = plan_document(plan(CREATE, DELETE), DIGEST)["changes"]  # type: ignore[misc]  # a list of two

    assert (create["key_id"], create["before"], create["fields"]) == (None, None, [])  # type: ignore[has-type]  # a dict
    assert (delete["address"], delete["after"], delete["fields"]) == (None, None, [])  # type: ignore[has-type]  # a dict


def test_a_finding_keeps_its_place_and_what_it_is_about() -> None:
    finding = Finding("credit-budget", Severity.ERROR, "too much", address("ci/a"), at(25))
    general = Finding("clock", Severity.WARNING, "off")

    assert plan_document(plan(findings=(finding, general)), DIGEST)["findings"] == [
        {
            "rule": "credit-budget",
            "severity": "error",
            "address": "ci/a",
            "message": "too much",
            "source": {"file": "keys.yaml", "line": 25},
        },
        {"rule": "clock", "severity": "warning", "address": None, "message": "off", "source": None},
    ]


def test_a_result_lists_every_change_with_how_it_ended() -> None:
    moved = rename(declared("ci/new"), live(15, "old"))
    outcomes = (
        Outcome(CREATE, Status.DONE, key_id=57),
        Outcome(moved, Status.FAILED, "refused"),
        Outcome(DELETE, Status.NOT_ATTEMPTED),
    )

    assert result_document(ApplyResult(outcomes, interrupted=True, remaining=plan(moved))) == {
        "format_version": 1,
        "summary": {"done": 1, "failed": 1, "not_attempted": 1},
        "interrupted": True,
        "in_sync": False,
        "note": None,
        "changes": [
            {"action": "create", "address": "ci/tests", "key_id": 57, "status": "done", "message": None},
            {"action": "rename", "address": "ci/new", "key_id": 15, "status": "failed", "message": "refused"},
            {"action": "delete", "address": None, "key_id": 4, "status": "not_attempted", "message": None},
        ],
    }


def test_a_document_has_every_element_on_its_own_line() -> None:
    text = to_json({"a": 1, "b": [{"c": 1}, {"c": "é"}], "d": [], "e": {"f": [1]}})

    assert text == (
        '{\n  "a": 1,\n  "b": [\n    {"c": 1},\n    {"c": "\\u00e9"}\n  ],\n  "d": [],\n  "e": {"f": [1]}\n}\n'
    )
