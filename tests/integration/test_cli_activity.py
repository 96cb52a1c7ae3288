"""`reconciler activity`: what the account was used for."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.account.client import Account
from reconciler.errors import RefusedByService
from reconciler.simulator import State
from reconciler.simulator.fields import generate
from support.command import Front, Terminal, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 5, deliver: [{to: local, as: "KEY_{ENVIRONMENT}_{KEY}"}]}
environments:
  ci: {keys: {tests: {team: core}, runner: {renamed_from: [old/runner]}}}
  production: {%skeys: {api: {team: core}}}
"""


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


@pytest.fixture
def used(front: Front) -> Front:
    """An account with a rotation behind it, and keys that were renamed, deleted and never managed."""
    state = front.state
    keys = {
        name: state.create_key(name, Decimal(5))[0].id
        for name in ("ci/tests", "production/api", "production/api~old.20300101T000000Z", "old/runner", "x", "ci/gone")
    }
    for cost, key_id in enumerate(keys.values(), start=1):
        spend(state, key_id, cost, days_ago=cost % 3)
    state.delete_key(keys["ci/gone"])
    return front


def lines(front: Front, by: str, *words: str) -> dict[str, str]:
    """Give the costs by kind and name."""
    shown = front("activity", "--by", by, "--format", "json", *words)
    assert (shown.code, shown.err) == (0, "")
    document = shown.document
    assert sum(Decimal(line["cost"]) for line in document["lines"]) == Decimal(document["total"]["cost"]) == 21
    return {f"{line['kind']} {line['name']}": line["cost"] for line in document["lines"]}


def test_keys_count_to_their_address_and_strays_have_their_own_lines(used: Front) -> None:
    used.write(FILE % "")
    assert lines(used, "key") == {
        "deleted ci/gone": "6",
        "unmanaged x": "5",
        "key production/api": "5",
        "key ci/runner": "4",
        "key ci/tests": "1",
    }


def test_environments_and_teams_come_from_the_file(used: Front) -> None:
    used.write(FILE % "")
    assert lines(used, "environment") == {"environment ci": "11", "environment production": "5", "unmanaged None": "5"}
    assert lines(used, "team") == {
        "team core": "6",
        "no team None": "4",
        "undeclared None": "6",
        "unmanaged None": "5",
    }


def test_without_a_file_environments_are_read_from_the_names(used: Front) -> None:
    assert lines(used, "environment") == {
        "environment ci": "7",
        "environment production": "5",
        "environment old": "4",
        "unmanaged None": "5",
    }
    assert "There is no file: environments are read from names" in used("activity", "--by", "environment").out


def test_days_and_models_are_told_for_the_whole_account(used: Front) -> None:
    assert lines(used, "model") == {"model gpt": "21"}
    assert [*lines(used, "day", "--days", "3").values()] == ["7", "5", "9"]


def test_one_environment_can_be_looked_at_and_the_rest_is_a_line(used: Front) -> None:
    used.write(FILE % "")
    assert lines(used, "key", "-e", "production") == {"key production/api": "5", "rest None": "16"}


def test_each_day_of_a_key_is_the_difference_of_windows(used: Front) -> None:
    used.write(FILE % "")
    document = used("activity", "--by", "key", "--daily", "--days", "3", "--format", "json").document
    today = used.state.now().date()
    api = next(line for line in document["lines"] if line["name"] == "production/api")
    assert [(day["date"], day["cost"]) for day in api["daily"]] == [
        (str(today - timedelta(days=2)), "2"),
        (str(today), "3"),
    ]
    assert "each day is what a window of days has" in used("activity", "--by", "key", "--daily").out


@pytest.mark.parametrize("how", ["table", "json", "csv", "markdown"])
@pytest.mark.parametrize("by", ["day", "model", "key", "environment"])
def test_an_account_without_use_is_no_error(front: Front, how: str, by: str) -> None:
    shown = front("activity", "--by", by, "--format", how)
    assert (shown.code, shown.err) == (0, "")


def test_csv_is_what_a_program_reads(used: Front) -> None:
    used.state.create_key("=1+1", None)
    spend(used.state, 7, 2)
    shown = used("activity", "--by", "key", "--days", "3", "--format", "csv")
    records = list(csv.DictReader(io.StringIO(shown.out, newline=""), strict=True))
    assert sum(Decimal(record["cost_usd"]) for record in records) == 23
    assert "'=1+1" in {record["name"] for record in records}


def test_the_figures_of_the_simulator_agree_with_each_other(front: Front) -> None:
    for name in ("ci/a", "ci/b", "x"):
        front.state.create_key(name, Decimal(50))
    generate(front.state)
    front.state.delete_key(2)
    for by in ("day", "model", "key"):
        document = front("activity", "--by", by, "--format", "json").document
        assert document["absent"] == []
        assert "difference" not in {line["kind"] for line in document["lines"]}


def test_on_a_terminal_it_has_bars_and_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    with State(tmp_path / "sim.db") as state:
        key, _ = state.create_key("ci/tests", None)
        spend(state, key.id, 7)
    words = ("activity", "--simulator", str(tmp_path / "sim.db"), "--by", "key")
    with Terminal(*words, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
        assert "█" * 30 in terminal.seen
        assert "\x1b[" not in terminal.seen
    with Terminal(*words) as terminal:
        assert terminal.end() == 0
        assert "\x1b[36m█" in terminal.seen


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "team"], "--by team needs a keys.yaml, which names the teams; give one with -f, or use --by key"),
        (["--by", "key", "-e", "ci"], "-e needs a keys.yaml, which declares the environments"),
        (["--daily"], "--daily does not go with --by day, which shows the days already"),
        (["--days", "31"], "31 is not in the range 1<=x<=30"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_what_to_do(front: Front, words: list[str], message: str) -> None:
    shown = front("activity", *words)
    assert (shown.code, shown.out) == (1, "")
    assert message in shown.err


@pytest.mark.parametrize("by", ["day", "model"])
def test_days_and_models_of_one_environment_are_not_told_by_the_service(front: Front, by: str) -> None:
    front.write(FILE % "")
    shown = front("activity", "--by", by, "-e", "ci")
    assert shown.code == 1
    assert f"-e does not go with --by {by}, which the service tells for the whole account" in shown.err


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "code", "said"),
    [("model", 0, "warning: the keys could not be read: "), ("key", 1, "error: the keys could not be read: ")],
)
def test_the_keys_are_missed_only_where_they_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, code: int, said: str
) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys status=403") as front:
        shown = front("activity", "--by", by)
    assert shown.code == code
    assert shown.err.startswith(said)
    assert bool(shown.out) is not bool(code)


def test_the_page_says_what_is_missing_too(used: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: Account) -> None:
        msg = "the keys are `hidden`"
        raise RefusedByService(msg, status=403)

    monkeypatch.setattr(Account, "list_keys", refuse)
    shown = used("activity", "--format", "markdown")
    assert shown.code == 0
    assert shown.err == "warning: the keys could not be read: the keys are `hidden`\n"
    assert shown.out.endswith("<sub>the keys could not be read: the keys are `` `hidden` ``</sub>\n")


def test_without_activity_there_is_nothing_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=403") as front:
        shown = front("activity")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("error: the activity of ")


def test_without_a_credential_it_says_which(front: Front) -> None:
    front.options = ()
    shown = front("activity")
    assert shown.code == 1
    assert "NAGA_PROVISIONING_KEY" in shown.err


# --- several accounts -------------------------------------------------------------------------------------------------


def test_each_account_is_shown_and_the_whole(used: Front, tmp_path: Path) -> None:
    used.write(FILE % "provisioning_key_env: NAGA_PRODUCTION_KEY, ")
    with State(tmp_path / "sim.naga_production_key.db") as other:
        key, _ = other.create_key("production/api", None)
        spend(other, key.id, 100)
    shown = used("activity", "--by", "environment")
    assert shown.code == 0
    assert "\nAccount of NAGA_PRODUCTION_KEY\n" in shown.out
    assert "\nAll accounts\n" in shown.out
    document = used("activity", "--by", "environment", "--format", "json").document
    assert document["total"]["cost"] == "121"
    assert [account["total"]["cost"] for account in document["accounts"]] == ["100", "21"]
    only = used("activity", "--by", "environment", "-e", "production", "--format", "json").document
    assert only["total"]["cost"] == "100"


def test_an_account_that_does_not_answer_is_named_and_the_others_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.write(FILE % "provisioning_key_env: NAGA_PRODUCTION_KEY, ")
        shown = front("activity", "--by", "key", "--format", "json")
    assert shown.code == 1
    assert "NAGA_PRODUCTION_KEY" in shown.document["unread"][0]
    assert "NAGA_PRODUCTION_KEY" in shown.err
