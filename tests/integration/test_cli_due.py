"""`--due`: what the file asks for by the clock, beside what somebody has changed since."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

import reconciler
from reconciler import Options
from reconciler.errors import UsageError
from reconciler.files import shipped_schema
from reconciler.planning.planfile import digest
from support.command import Front, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = timedelta(days=1)
FILE = """\
    version: 1
    destinations:
      local: {{type: dotenv, path: secrets.env}}
    environments:
      ci:
        deletion_grace: 7d
        deliver: [{{to: local, as: "KEY_{{KEY}}"}}]
        keys:
          weekly: {{credit_limit: 50, renew: week}}
          raised: {{credit_limit: 300, raise: {{to: 500, until: {until:%Y-%m-%dT%H:%M:%SZ}}}}}
          turned: {{credit_limit: 5, rotate_every: 30d}}
          steady: {{credit_limit: {steady}}}
          {more}
"""
SCHEMA = Draft202012Validator(json.loads(shipped_schema("plan.schema.json")))


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Give an account where a lot is due, and somebody has changed something else by hand and in the file."""
    with on_a_file(tmp_path, monkeypatch) as front:
        until = datetime.now(UTC) + 5 * DAY
        front.write(FILE.format(until=until, steady=5, more="leaves: {credit_limit: 1}"))
        assert front("apply", "--auto-approve").code == 0
        front.write(FILE.format(until=until, steady=5, more=""))
        assert front("apply", "--auto-approve").code == 0
        front.state.travel(31 * DAY)
        front.state.create_key("ci/by-hand", Decimal(9))
        front.write(FILE.format(until=until, steady=6, more="new: {credit_limit: 1}"))
        yield front


def kinds(changes: list[dict[str, str]]) -> list[str]:
    return [f"{change['action']} {change['address']}" for change in changes]


def test_only_what_is_due_is_planned_and_done(front: Front) -> None:
    planned = front("plan", "--due", "--format", "json").document
    assert list(SCHEMA.iter_errors(planned)) == []
    assert planned["options"]["due"] is True
    assert kinds(planned["changes"]) == ["delete ci/leaves", "update ci/raised", "rotate ci/turned", "renew ci/weekly"]
    assert [finding["rule"] for finding in planned["findings"] if finding["rule"] == "not-due"] == ["not-due"]
    assert planned["credit"]["limits_after"] == str(50 + 300 + 5 + 5 + 9)
    assert front("apply", "--due", "--auto-approve").code == 0
    keys = {key.name: key for key in front.state.keys()}  # noqa: SIM118  # a method, not a mapping's
    assert "ci/by-hand" in keys
    assert "ci/new" not in keys
    assert keys["ci/steady"].credit_limit == Decimal(5)
    assert keys["ci/raised"].credit_limit == Decimal(300)
    assert front("plan", "--due", "--detailed-exitcode").code == 0
    left = front("plan", "--format", "json").document
    assert kinds(left["changes"]) == ["retire ci/by-hand", "create ci/new", "update ci/steady"]
    assert "due" not in left["options"]


def test_a_saved_plan_of_what_is_due_does_just_that(front: Front) -> None:
    assert front("plan", "--due", "--out", "plan.json", "-e", "ci", "--only", "ci/raised").code == 0
    done = front("apply", "plan.json", "--auto-approve", "--format", "json")
    assert done.code == 0
    assert kinds(done.document["changes"]) == ["update ci/raised"]


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--due", "--rotate", "ci/steady"),
        ("plan", "--due", "--base", "keys.yaml", "--offline"),
        ("apply", "--due", "--reviewed"),
        ("apply", "--due", "plan.json"),
    ],
)
def test_what_does_not_go_with_it_is_refused(front: Front, words: tuple[str, ...]) -> None:
    before = front.names()
    assert front(*words).code == 1
    assert front.names() == before


def test_programs_do_what_is_due(front: Front) -> None:
    declaration = reconciler.load()
    planned = reconciler.plan(declaration, due=True, simulator="sim.db")
    assert planned == reconciler.plan(declaration, options=Options(due=True), simulator="sim.db")
    assert digest(planned) != digest(reconciler.plan(declaration, simulator="sim.db"))
    result = reconciler.apply(declaration, due=True, simulator="sim.db")
    assert [f"{each.action.kind} {each.action.address}" for each in result.outcomes] == [
        f"{action.kind} {action.address}" for action in planned.actions
    ]
    assert result.in_sync
    assert "ci/by-hand" in front.names()
    rotated = Options(rotate=frozenset({declaration.keys[0].address}))
    with pytest.raises(UsageError):
        reconciler.plan(declaration, due=True, options=rotated, simulator="sim.db")
