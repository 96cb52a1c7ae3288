"""`reconciler record`: what the service forgets is kept, day by day."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from reconciler import api
from reconciler.account.client import Account
from reconciler.errors import AccountError
from reconciler.simulator.state import State, Usage
from support.command import Front, call, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.model import Snapshot, Statistics

FILE = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 5, deliver: [{to: local, as: "KEY_{ENVIRONMENT}_{KEY}"}]}
environments:
  ci: {keys: {tests: {team: core}}}
  production: {keys: {api: {team: web}}}
"""
NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)


def at(front: Front, now: datetime) -> None:
    """Set the account's clock."""
    front.state.travel(now - front.state.now())


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        at(front, NOON)
        (tmp_path / "keys.yaml").write_text(FILE)
        yield front


@pytest.fixture
def used(front: Front) -> dict[str, int]:
    """Keys that were used on most of the last days, one of them on all."""
    keys = {name: front.state.create_key(name, None)[0].id for name in ("ci/tests", "production/api", 'x, "y"')}
    for ago in range(32):
        spend(front.state, keys["ci/tests"], ago + 1, days_ago=ago)
    for ago in (0, 1, 5, 29):
        spend(front.state, keys["production/api"], 100 + ago, days_ago=ago)
    spend(front.state, keys['x, "y"'], 7, days_ago=3)
    return keys


def rows(folder: Path, pattern: str = "????-??.csv") -> list[dict[str, str]]:
    return [
        row
        for path in sorted((folder / "usage").glob(pattern))
        for row in csv.DictReader(path.read_text().splitlines())
    ]


def record(front: Front, *words: str) -> str:
    ended = front("record", "--to", "history", *words)
    assert (ended.err, ended.code) == ("", 0)
    return ended.out


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_each_whole_day_of_a_key_is_a_line(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    record(front)
    folder = tmp_path / "history"
    found = {(row["date"], row["name"]): Decimal(row["cost_usd"]) for row in rows(folder)}
    days = {ago: str((NOON - timedelta(days=ago)).date()) for ago in range(30)}
    assert found == {
        **{(days[ago], "ci/tests"): ago + 1 for ago in range(1, 30)},
        **{(days[ago], "production/api"): 100 + ago for ago in (1, 5, 29)},
        (days[3], 'x, "y"'): 7,
    }
    assert {(row["address"], row["environment"], row["team"], row["key_id"]) for row in rows(folder)} == {
        ("ci/tests", "ci", "core", str(used["ci/tests"])),
        ("production/api", "production", "web", str(used["production/api"])),
        ("", "", "", str(used['x, "y"'])),
    }
    models = {row["date"]: row for row in rows(folder, "*.models.csv")}
    assert [*models] == sorted(days[ago] for ago in range(1, 30))
    assert (models[days[5]]["model"], models[days[5]]["cost_usd"]) == ("gpt", "111")
    assert {path.name for path in (folder / "usage").iterdir()} == {
        f"2026-{month}{kind}.csv" for month in (10, 11) for kind in ("", ".models")
    }


def test_running_it_again_changes_nothing(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    (tmp_path / "history").mkdir()
    record(front)
    before = contents(tmp_path / "history")
    assert record(front) == "history is up to date.\n"
    assert contents(tmp_path / "history") == before


def test_what_was_done_is_as_its_schema_says(front: Front, used: dict[str, int]) -> None:
    assert used
    schema = json.loads(call("schema", "record").out)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    for days in (0, 1, 40):
        at(front, NOON + timedelta(days=days))
        assert [*validator.iter_errors(json.loads(front("record", "--to", "history", "--format", "json").out))] == []


def test_a_corrected_day_is_read_again(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    record(front)
    before = rows(tmp_path / "history")
    front.state.record([Usage((NOON - timedelta(days=4)).date(), used["production/api"], "claude", 1, 2, 3, 5)])
    told = json.loads(record(front, "--format", "json"))
    assert told["accounts"][0]["days"] == ["2026-11-11"]
    assert told["written"] == ["usage/2026-11.csv", "usage/2026-11.models.csv"]
    after = rows(tmp_path / "history")
    assert [row["cost_usd"] for row in after if row not in before] == ["0.000005"]
    assert [row for row in before if row not in after] == []


def test_a_night_takes_three_requests_and_missed_days_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        at(front, NOON)
        (tmp_path / "keys.yaml").write_text(FILE)
        key = front.state.create_key("ci/tests", None)[0].id
        for ago in range(30):
            spend(front.state, key, 1, days_ago=ago)
        assert requests(front) == 31
        assert requests(front) == 2
        for missed in (1, 3):
            at(front, front.state.now() + timedelta(days=missed))
            for ago in range(missed):
                spend(front.state, key, 2, days_ago=ago)
            assert requests(front) == 2 + missed
        assert Counter(row["cost_usd"] for row in rows(tmp_path / "history")) == {"1": 30, "2": 3}


def requests(front: Front) -> int:
    """Record, and count what that asks of the service."""
    ended = front("-v", "record", "--to", "history")
    assert ended.code == 0
    return ended.err.count("GET ")


def test_a_deleted_key_keeps_its_name_and_team(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    record(front)
    spend(front.state, used["ci/tests"], 9)
    spend(front.state, used["production/api"], 9)
    front.state.delete_key(used["ci/tests"])
    at(front, NOON + timedelta(days=1))
    record(front)
    last = {row["address"]: row["team"] for row in rows(tmp_path / "history") if row["date"] == "2026-11-15"}
    assert last == {"ci/tests": "core", "production/api": "web"}
    (tmp_path / "keys.yaml").unlink()
    at(front, NOON + timedelta(days=2))
    spend(front.state, used["production/api"], 3, days_ago=1)
    record(front)
    last = {row["address"]: row["team"] for row in rows(tmp_path / "history") if row["date"] == "2026-11-16"}
    assert last == {"production/api": "web"}


def test_days_that_nobody_recorded_are_told(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    record(front)
    at(front, NOON + timedelta(days=40))
    spend(front.state, used["ci/tests"], 3, days_ago=1)
    ended = front("record", "--to", "history")
    assert ended.code == 0
    assert "2026-11-15 to 2026-11-25 passed without a run" in ended.err
    days = [line.split(",")[0] for line in (tmp_path / "history" / "days.csv").read_text().splitlines()[1:]]
    assert (days[0], days[28], days[29], days[-1]) == ("2026-10-17", "2026-11-14", "2026-11-26", "2026-12-24")
    assert len(days) == 58


def test_what_would_not_have_been_written_is_refused_with_its_place(
    front: Front, used: dict[str, int], tmp_path: Path
) -> None:
    assert used
    record(front)
    good = tmp_path / "good"
    folder = tmp_path / "history"
    folder.rename(good)
    place = "usage/2026-11.csv"
    lines = (good / place).read_text().splitlines(keepends=True)
    first = lines[1].split(",")

    def changed(at: int, text: str) -> str:
        return "".join([lines[0], ",".join([*first[:at], text, *first[at + 1 :]]), *lines[2:]])

    marker = (good / "history.json").read_text()
    keys, days = (good / "keys.csv").read_text(), (good / "days.csv").read_text()
    models = (good / "usage" / "2026-11.models.csv").read_text()
    wrong = [
        (place, "".join(lines)[:-4], f"{place}:{len(lines)}: "),
        (place, "".join(lines)[:-1], f"{place}:{len(lines)}: "),
        (place, "".join(lines[:2] + lines[1:]), f"{place}:3: "),
        (place, "".join([*lines, lines[1].replace(",10,", ",11,")]), f"{place}:{len(lines) + 1}: "),
        (place, "".join(lines[1:]), f"{place}:1: "),
        (place, "", f"{place}:1: "),
        (place, changed(10, "NAGA_PROVISIONING_KEY\n"), f"{place}:2: "),
        (place, changed(10, "HOME\n"), f"{place}:2: "),
        (place, changed(0, "2026-10-01"), f"{place}:2: "),
        (place, changed(0, "2026-11-31"), f"{place}:2: "),
        (place, changed(2, "production"), f"{place}:2: "),
        (place, changed(4, "07"), f"{place}:2: "),
        (place, changed(6, "-1"), f"{place}:2: "),
        (place, changed(7, "1.50"), f"{place}:2: "),
        (place, changed(7, "lots"), f"{place}:2: "),
        (place, changed(5, '"a"b'), f"{place}:2: "),
        (place, changed(5, "\udcff"), f"{place}:2: "),
        ("usage/2026-11.models.csv", None, "usage/2026-11.models.csv: "),
        ("keys.csv", keys.replace("Z,", ",", 1), "keys.csv:2: "),
        ("keys.csv", keys.replace("\n1,", "\nI,", 1), "keys.csv:2: "),
        ("keys.csv", keys + keys.splitlines()[1].replace("2026-", "2025-", 1) + "\n", "keys.csv:5: "),
        ("keys.csv", None, "keys.csv: "),
        ("days.csv", days.replace("2026-10-17", "lately"), "days.csv:2: "),
        ("days.csv", days[:-1], "days.csv:30: "),
        ("days.csv", None, "days.csv: "),
        ("usage/2026-11.models.csv", models + models.splitlines()[1] + "\n", "usage/2026-11.models.csv:"),
        ("history.json", "{", "history.json: "),
        ("history.json", marker.replace('"format_version": 1', '"format_version": 2'), "history.json: "),
        ("history.json", "[]", "history.json: "),
        ("history.json", None, "is not a history"),
    ]
    for name, text, expected in wrong:
        shutil.copytree(good, folder)
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(text.encode(errors="surrogateescape"))
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        ended = front("record", "--to", "history")
        assert ended.code == 1, (name, text)
        assert expected in ended.err, ended.err
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        shutil.rmtree(folder)


def test_lines_in_another_order_are_read_and_put_in_order(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    record(front)
    before = contents(tmp_path / "history")
    for name in ("keys.csv", "days.csv", "usage/2026-11.csv", "usage/2026-11.models.csv"):
        head, *lines = (tmp_path / "history" / name).read_text().splitlines(keepends=True)
        (tmp_path / "history" / name).write_text("".join([head, *reversed(lines)]))
    record(front)
    assert contents(tmp_path / "history") == before


def test_a_clock_that_goes_back_records_nothing(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    record(front)
    before = contents(tmp_path / "history")
    at(front, NOON - timedelta(days=1))
    ended = front("record", "--to", "history")
    assert (ended.code, ended.out, "2026-11-14" in ended.err) == (1, "", True)
    assert contents(tmp_path / "history") == before


def test_a_folder_that_is_none_is_left_alone(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    (tmp_path / "file").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / "link").symlink_to("/")
    for folder in ("file", "link/dev", ".git/history", "file/history"):
        ended = front("record", "--to", folder)
        assert ended.code == 1, folder
        assert ended.out == ""


def test_the_history_of_another_account_is_refused(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    record(front)
    keys = tmp_path / "history" / "keys.csv"
    text = keys.read_text()
    for other in (text.replace("\n1,2026", "\n1,2025"), text.replace("\n1,", "\n91,").replace("\n2,", "\n92,")):
        lines = [line for line in other.splitlines(keepends=True) if not line.startswith("3,")]
        keys.write_text("".join(lines))
        before = contents(tmp_path / "history")
        ended = front("record", "--to", "history")
        assert (ended.code, "another account" in ended.err) == (1, True)
        assert contents(tmp_path / "history") == before


def test_around_midnight_nothing_is_recorded(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    at(front, datetime(2026, 11, 16, 0, 2, tzinfo=UTC))
    ended = front("record", "--to", "history")
    assert (ended.code, "00:06" in ended.err) == (1, True)
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize("part", ["daily_stats", "total_stats"])
def test_without_totals_of_days_nothing_is_recorded(
    front: Front, used: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    assert used
    real = Account.statistics

    async def lacking(self: Account, days: int) -> Statistics:
        found = await real(self, days)
        return replace(found, absent=(part,), total=None if part == "total_stats" else found.total)

    monkeypatch.setattr(Account, "statistics", lacking)
    ended = front("record", "--to", "history")
    assert (ended.code, "lacks daily_stats or total_stats" in ended.err) == (1, True)
    assert not (tmp_path / "history").exists()


def test_one_account_of_two_is_recorded(front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = FILE.replace("production: {", "production: {provisioning_key_env: NAGA_B, ")
    (tmp_path / "keys.yaml").write_text(second)
    key = front.state.create_key("ci/tests", None)[0].id
    spend(front.state, key, 3, days_ago=1)
    with State(tmp_path / "sim.naga_b.db") as other:
        other.travel(NOON - other.now())
    monkeypatch.delenv("NAGA_B", raising=False)
    real = Account.list_keys
    calls: list[Account] = []

    async def once(self: Account) -> Snapshot:
        calls.append(self)
        if len(calls) == 1:
            msg = "it is down"
            raise AccountError(msg)
        return await real(self)

    monkeypatch.setattr(Account, "list_keys", once)
    ended = front("record", "--to", "history")
    assert (ended.code, ended.err.count("it is down")) == (1, 1)
    assert (tmp_path / "history" / "history.json").exists()
    # Without the lines of the other account, whichever it was.
    ended = front("record", "--to", "history", "--format", "json")
    assert (ended.code, len(ended.document["accounts"])) == (0, 2)
    assert {row["account"] for row in rows(tmp_path / "history")} <= {"", "NAGA_B"}


def test_what_can_not_be_written_changes_nothing(
    front: Front, used: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert used
    (tmp_path / ".git").mkdir()
    (tmp_path / "linked").symlink_to("/tmp")  # noqa: S108  # a place out of the repository
    ended = front("record", "--to", "linked/not-there")
    assert (ended.code, "symbolic link" in ended.err) == (1, True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.mkdir", full)
    ended = front("record", "--to", "elsewhere")
    assert (ended.code, "No space left" in ended.err) == (1, True)


def test_a_program_records_as_the_command_does(front: Front, used: dict[str, int], tmp_path: Path) -> None:
    assert used
    record(front)
    assert api.record(tmp_path / "other", api.load(tmp_path / "keys.yaml"), simulator=tmp_path / "sim.db").unread == {}
    assert contents(tmp_path / "other") == contents(tmp_path / "history")
