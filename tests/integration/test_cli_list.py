"""`list` at the command line: the keys that there are, in every order and format."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.simulator import State
from support.builders import activity
from support.command import Ended, Front, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = timedelta(days=1)
FILE = """\
version: 1
destinations: {local: {type: dotenv, path: secrets.env}}
environments:
  ci:
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys:
      a: {credit_limit: 10, team: web}
      b: {credit_limit: null, team: data, rotate_every: 60d}
      c: {credit_limit: 5, rotate_every: 50d}
      d: {credit_limit: 1}
  staging: {keys: {}}
"""


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """An account of some age: `a` is used today, `b` was last week, `c` expires, `d` is missing, one is unmanaged."""
    with on_a_file(tmp_path, monkeypatch) as front:
        state = front.state
        a = state.create_key("ci/a", Decimal(10))[0]
        b = state.create_key("ci/b", None)[0]
        state.travel(40 * DAY)
        state.create_key("ci/c", Decimal(5), state.now() + 10 * DAY)
        state.create_key("staging/x", Decimal(100))
        state.create_key("=somebody's")
        spend(state, a.id, 8)
        spend(state, b.id, 2, days_ago=10)
        yield front.write(FILE)


def listed(ended: Ended) -> list[str]:
    assert ended.code == 0, ended
    return [key["address"] or key["name"] for key in ended.document["keys"]]


def test_lists_every_key_with_what_there_is_to_know(front: Front) -> None:
    ended = front("list")
    assert ended.code == 0
    rows = {line.split("  ")[0].strip('"'): line.split() for line in ended.out.splitlines() if line}
    assert rows["ci/a"][1:9] == ["settled", "1", "$10", "$8.00", "≥", "80", "%", "40d"]
    assert rows["ci/a"][-4:] == ["within", "1", "day", "web"]
    assert rows["ci/b"][3:5] == ["no", "limit"]
    assert rows["ci/c"][-2:] == ["never", "–"]  # noqa: RUF001  # a dash, as tables have it
    assert rows["ci/d"][1] == "missing"
    assert rows["staging/x"][1] == "undeclared"
    assert "6 keys: 1 missing, 3 settled, 1 undeclared, 1 unmanaged; spend in 30 days: $10.00." in ended.out
    assert ended.out.endswith("of which the service tells the last 30 days.\n")


@pytest.mark.parametrize(
    ("field", "first", "last"),
    [
        ("address", "ci/a", "=somebody's"),
        ("state", "ci/d", "=somebody's"),
        ("limit", "staging/x", "=somebody's"),
        ("spend", "ci/a", "ci/d"),
        ("share", "ci/a", "=somebody's"),
        ("age", "ci/a", "ci/d"),
        ("expiry", "ci/c", "=somebody's"),
        ("rotation", "ci/b", "=somebody's"),
        ("last-use", "ci/a", "ci/d"),
        ("team", "ci/b", "=somebody's"),
    ],
)
def test_sorts_by_every_field_and_leaves_what_is_not_known_at_the_end(
    field: str, first: str, last: str, front: Front
) -> None:
    names = listed(front("list", "--sort", field, "--format", "json"))
    assert (names[0], names[-1]) == (first, last)


def test_turns_the_order_round(front: Front) -> None:
    assert listed(front("list", "--reverse", "--format", "json"))[0] == "=somebody's"
    names = listed(front("list", "--sort", "limit", "--reverse", "--format", "json"))
    assert names[:3] == ["ci/c", "ci/a", "staging/x"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["-e", "ci"], ["ci/a", "ci/b", "ci/c", "ci/d"]),
        (["-e", "ci", "-e", "staging", "--only", "*/x"], ["staging/x"]),
        (["--only", "*body*"], ["=somebody's"]),
        (["--state", "missing", "--state", "unmanaged"], ["ci/d", "=somebody's"]),
        (["--team", "web"], ["ci/a"]),
        (["--unused-for", "1d"], ["ci/b"]),
        (["--unused-for", "7d"], ["ci/b"]),
        (["--unused-for", "30d"], []),
    ],
)
def test_lists_only_what_was_asked_for(words: list[str], names: list[str], front: Front) -> None:
    assert listed(front("list", *words, "--format", "json")) == names


def test_a_key_that_is_older_than_all_that_is_known_and_was_not_used_is_unused(front: Front) -> None:
    front.state.travel(35 * DAY)
    assert listed(front("list", "--unused-for", "30d", "--only", "ci/*", "--format", "json")) == [
        "ci/a",
        "ci/b",
        "ci/c",
    ]


def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_named(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    for number in range(8):
        front.state.create_key(f"ci/service-{number}~old.20991231T000000Z", Decimal(1_000_000))
    shown = front("list", terminal=True).out.splitlines()
    assert max(map(len, shown)) <= 80
    heads = shown[0]
    titles = ("Id", "Of limit", "Age", "Expires", "Rotate by", "Last used", "Team")
    missing = [title for title in titles if title not in heads]
    assert missing
    assert ", ".join(missing) in " ".join(shown)
    assert "Of limit" in missing
    assert "≥" not in "".join(shown)  # what only explains a column goes with it
    monkeypatch.setenv("COLUMNS", "200")
    assert "≥: " in front("list", terminal=True).out


def test_nothing_to_list_is_said(front: Front) -> None:
    assert front("list", "--only", "nothing").out == "0 keys.\n"
    assert front("list", "--only", "nothing", "--format", "markdown").out == "0 keys.\n"


def test_the_spend_is_that_of_the_days_that_were_asked_for(front: Front) -> None:
    keys = front("list", "--days", "2", "--only", "ci/b", "--format", "json").document["keys"]
    assert (keys[0]["spend"], keys[0]["spend_days"], keys[0]["last_use"]) == ("0", 2, "within 30 days")


def test_a_spreadsheet_runs_no_name(front: Front) -> None:
    rows = [*csv.DictReader(io.StringIO(front("list", "--format", "csv").out))]
    assert [row["address"] or row["name"] for row in rows][-1] == "'=somebody's"
    assert rows[0]["source"] == "keys.yaml:7"
    assert (rows[0]["is_enabled"], rows[3]["is_enabled"]) == ("true", "")


def test_no_name_acts_on_the_terminal_that_csv_is_written_to(front: Front) -> None:
    front.state.create_key("\x1b[31m\u202ered\n\x00")
    front.state.create_key("'quoted")
    out = front("list", "--format", "csv").out
    assert {"\\x1b[31m\\u202ered\\n\\x00", "''quoted"} <= {row["name"] for row in csv.DictReader(io.StringIO(out))}
    assert out.replace("\n", "").isprintable()


def test_writes_markdown(front: Front) -> None:
    out = front("list", "--format", "markdown").out
    assert out.startswith("| Key | State | Id |")
    assert "| `ci/a` | settled | `1` | `$10` | `$8.00` | `≥ 80 %` |" in out


def test_tells_how_long_a_stage_lasts_and_what_does_not_work(front: Front) -> None:
    front.state.create_key("ci/a~old.20991231T000000Z")
    key = front.state.create_key("else")[0]
    front.state.update_key(key.id, is_enabled=False)
    out = front("list").out
    assert "old until 2099-12-31" in out
    assert "unmanaged, disabled" in out


def test_without_a_file_names_are_read_by_default_and_that_is_said(front: Front) -> None:
    Path("keys.yaml").unlink()
    ended = front("list", "-e", "ci", "--format", "json")
    assert "there is no keys.yaml, so names are read as environment/key" in ended.err
    assert ended.document["declared"] is False
    assert [(key["address"], key["state"]) for key in ended.document["keys"]] == [
        ("ci/a", "settled"),
        ("ci/b", "settled"),
        ("ci/c", "settled"),
    ]


def test_a_file_that_was_asked_for_and_is_not_there_is_an_error(front: Front) -> None:
    assert front("list", "-f", "other.yaml").code == 1


def test_an_environment_that_is_not_declared_is_refused(front: Front) -> None:
    ended = front("list", "-e", "stagin")
    assert ended.code == 1
    assert " staging" in ended.err


def test_what_cannot_be_read_is_unknown_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=400") as front:
        front.state.create_key("ci/a", Decimal(10))
        front.write(FILE)
        ended = front("list", "--only", "ci/a")
        assert ended.code == 0
        assert ended.out.splitlines()[1].split()[4:] == ["?", "?", "0h", "–", "–", "?", "web"]  # noqa: RUF001  # a dash
        assert "warning: " in ended.err
        assert "GET /v1/account/activity" in ended.err


def test_keys_that_cannot_be_read_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys status=400") as front:
        front.write(FILE)
        ended = front("list")
    assert (ended.code, ended.out) == (1, "")
    assert "error: " in ended.err
    assert "GET /v1/account/keys" in ended.err


TWO = FILE + "  eu: {provisioning_key_env: NAGA_EU, keys: {}}\n  us: {provisioning_key_env: NAGA_US, keys: {}}\n"


def test_keys_of_several_accounts_stand_in_one_list(front: Front) -> None:
    with State(Path("sim.naga_eu.db")) as other:
        other.create_key("eu/k")
    front.write(TWO)
    ended = front("list")
    assert ended.code == 0
    assert next(line for line in ended.out.splitlines() if line.startswith("eu/k")).endswith("NAGA_EU")
    assert "NAGA_EU" in front("list", "--format", "markdown").out
    assert listed(front("list", "-e", "eu", "--format", "json")) == ["eu/k"]


def test_an_account_that_cannot_be_read_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NAGA_EU", "NAGA_US"):
        monkeypatch.delenv(name, raising=False)
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.state.create_key("ci/a", Decimal(10))
        front.write(TWO)
        ended = front("list")
        assert ended.code == 1
        assert "ci/a" in ended.out
        assert "NAGA_EU" in ended.err
        monkeypatch.delenv("NAGA_PROVISIONING_KEY")
        ended = front("list")
        assert (ended.code, ended.out) == (1, "")
        assert [name for name in ("NAGA_PROVISIONING_KEY", "NAGA_EU", "NAGA_US") if name in ended.err]


def test_an_account_of_many_keys_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_file(tmp_path, monkeypatch) as front:
        for number in range(500):
            front.state.create_key(f"ci/k{number}")
        assert "500 keys: 500 undeclared" in front.declare("{}")("list").out


def test_any_amount_that_a_service_may_write_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = activity({1: ("9" * 30, 1)})
    monkeypatch.setattr("reconciler.engine.inspect.key_activity", lambda each: replace(most, days=each.days))
    with on_a_file(tmp_path, monkeypatch) as front:
        front.state.create_key("ci/a", Decimal("0.000001"))
        front.write(FILE)
        for output_format in ("table", "json", "csv", "markdown"):
            assert front("list", "--format", output_format).code == 0
        assert front("show", "ci/a").code == 0
        assert front("check").code == 3
