"""What `check` says of days that cost far more than usual, and of how it goes on: from a history, else from windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler import api
from support.command import Front, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE: Final = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
alerts:
  spend_spike: {factor: 3, over: 7d}
defaults: {deliver: [{to: local, as: "KEY_{ENVIRONMENT}_{KEY}"}]}
environments:
  ci: {keys: {tests: {credit_limit: 1000, team: core}}}
  production: {credit_budget: 200, keys: {api: {credit_limit: 200, team: web}}}
"""
NOON: Final = datetime(2026, 11, 15, 12, tzinfo=UTC)


def prepare(front: Front, folder: Path) -> None:
    front.state.travel(NOON - front.state.now())
    (folder / "keys.yaml").write_text(FILE)
    tests = front.state.create_key("ci/tests", Decimal(1000))[0].id
    api_key = front.state.create_key("production/api", Decimal(200))[0].id
    for ago in range(10):
        spend(front.state, tests, 2, days_ago=ago)
        spend(front.state, api_key, 50 if ago == 1 else 5, days_ago=ago)


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        prepare(front, tmp_path)
        yield front


def found(document: Any) -> list[tuple[str, str, str | None, str | None, str | None]]:
    return [
        (each["rule"], each["severity"], each["address"], each["environment"], each["team"])
        for each in document["alerts"]
    ]


SPIKES: Final = [
    ("spend_spike", "warning", None, "production", None),
    ("spend_spike", "warning", None, None, "web"),
    ("spend_spike", "warning", "production/api", None, None),
]


@pytest.mark.parametrize("recorded", [False, True])
def test_a_spike_is_told_of_the_key_its_environment_and_its_team(front: Front, recorded: bool) -> None:  # noqa: FBT001
    words = ("--from", "history") if recorded else ()
    assert front("record", "--to", "history").code == 0
    ended = front("check", *words, "--format", "json")
    assert (ended.code, sorted(found(ended.document), key=str)) == (3, sorted(SPIKES, key=str))
    about = {each["name"]: each for each in ended.document["forecasts"]}
    # 80 USD in 7 days, and 95 of the limit of 200 are spent.
    assert about["production/api"]["per_day"] == "11.428571"
    assert about["production/api"]["reaches"] == {
        "kind": "limit",
        "amount": "200",
        "left": "105",
        "at_most": False,
        "reached": "2026-11-24",
    }
    assert about["production"]["reaches"]["kind"] == "credit_budget"
    assert about["ci/tests"]["reaches"] is None
    assert (about["ci/tests"]["days"], about["ci/tests"]["spent"]) == ((14, "18") if recorded else (8, "16"))
    assert about["ci/tests"]["month_end"] == ("50" if recorded else "60")
    notes = " ".join(ended.document["notes"])
    assert ("production/api reaches" in notes, "2026-11-24" in notes, "ci/tests" in notes) == (True, True, False)
    for how in ("text", "markdown", "github"):
        ended = front("check", *words, "--format", how)
        assert (ended.code, "2026-11-24" in ended.out) == (3, how != "github")


def test_windows_are_read_only_where_no_history_knows_the_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        prepare(front, tmp_path)
        assert front("record", "--to", "history").code == 0
        asked = [front("-v", "check", *words).err.count("/activity") for words in ((), ("--from", "history"))]
        assert asked[0] - asked[1] == 7  # 1 to 9 days; 1 and 7 are read anyway


def test_what_is_not_recorded_is_not_judged(front: Front, tmp_path: Path) -> None:
    assert front("record", "--to", "history").code == 0
    front.state.travel(timedelta(days=1))
    ended = front("check", "--from", "history", "--format", "json")
    assert (ended.code, [each["rule"] for each in ended.document["not_judged"]]) == (1, ["spend_spike"])
    (tmp_path / "keys.yaml").write_text(FILE.replace("  ci: {", "  ci: {provisioning_key_env: NAGA_B, "))
    ended = front("check", "--from", "history", "--format", "json")
    assert {each["account"] for each in ended.document["not_judged"]} == {"NAGA_B", "NAGA_PROVISIONING_KEY"}


def test_a_history_that_can_not_be_used_is_an_error(front: Front, tmp_path: Path) -> None:
    assert front("check", "--from", "nowhere").code == 1
    assert front("record", "--to", "history").code == 0
    keys = tmp_path / "history" / "keys.csv"
    keys.write_text(keys.read_text().replace("\n1,2026", "\n1,2025"))
    ended = front("check", "--from", "history")
    assert (ended.code, ended.out, "another account" in ended.err) == (1, "", True)


def test_programs_get_the_same(front: Front, tmp_path: Path) -> None:
    assert front("record", "--to", "history").code == 0
    verdict = api.check(api.load(tmp_path / "keys.yaml"), history="history", simulator="sim.db")
    document = front("check", "--from", "history", "--format", "json").document
    assert api.to_dict(verdict)["forecasts"] == document["forecasts"]
    assert len(verdict.forecasts) == 7
