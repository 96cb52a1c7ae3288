"""What `check` says of days that cost far more than usual, and of how it goes on: from a history, else from windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler import api
from reconciler.account.client import Account
from reconciler.errors import AccountError
from support.command import Front, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from reconciler.model import Statistics

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
STATISTICS: Final = Account.statistics
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


# --- what is recorded, in the list and on the page --------------------------------------------------------------------


def spends(document: Any) -> dict[str | None, tuple[str | None, int | None]]:
    return {each["address"] or each["name"]: (each["spend"], each["requests"]) for each in document["keys"]}


def test_the_list_shows_what_was_spent_in_a_month(front: Front, tmp_path: Path) -> None:
    gone = front.state.create_key("ci/tests~old.20261120T000000Z", None)[0].id
    other = front.state.create_key("who knows", None)[0].id
    lost = front.state.create_key("nobody", None)[0].id
    for key_id, cost in ((gone, 7), (other, 3), (lost, 4)):
        spend(front.state, key_id, cost, days_ago=2)
    assert front("record", "--to", "history").code == 0
    front.state.delete_key(gone)
    front.state.delete_key(lost)
    front.state.travel(timedelta(days=29))
    assert front("record", "--to", "history").code == 0
    month = ("--from", "history", "--month", "2026-11")
    ended = front("list", *month, "--format", "json")
    assert ended.code == 0
    # 2 USD a day for 9 whole days and today, and what its old key cost.
    assert spends(ended.document) == {"ci/tests": ("27", 110), "production/api": ("95", 100), "who knows": ("3", 10)}
    assert (ended.document["spend_days"], ended.document["spend_since"], ended.document["spend_until"]) == (
        30,
        "2026-11-01",
        "2026-11-30",
    )
    assert ended.document["keys"][0]["spend_until"] == "2026-11-30"
    assert "$4 of these days" in ended.err
    for how in ("table", "markdown", "csv"):
        ended = front("list", *month, "--format", how, "--sort", "spend")
        assert ("2026-11-01" in ended.out, ended.out.index("production/api") < ended.out.index("ci/tests")) == (
            True,
            True,
        )
    ended = front("list", "--from", "history", "--since", "2026-12-01", "-e", "ci", "--format", "json")
    assert spends(ended.document) == {"ci/tests": ("0", 0)}
    # Days that are not recorded, and an account that is not.
    (tmp_path / "keys.yaml").write_text(FILE.replace("  ci: {", "  ci: {provisioning_key_env: NAGA_B, "))
    ended = front("list", "--from", "history", "--since", "2026-01-01", "--format", "json")
    assert ("NAGA_B is not recorded" in ended.err, "2026-01-01 to 2026-10-16 is not" in ended.err) == (True, True)
    assert {each["spend"] for each in ended.document["keys"] if each["account"] == "NAGA_B"} == {None}


@pytest.mark.parametrize("command", [("list",), ("report", "--out", "page.html")])
@pytest.mark.parametrize(
    "words",
    [
        ("--month", "2026-11"),
        ("--since", "2026-11-01"),
        ("--from", "history", "--month", "2026-11", "--until", "2026-11-02"),
        ("--from", "history", "--month", "2020-01"),
        ("--from", "history", "--month", "November"),
        ("--from", "history", "--since", "2026-11-03", "--until", "2026-11-02"),
        ("--from", "nowhere"),
    ],
)
def test_days_that_make_no_sense_are_an_error(front: Front, command: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert front("record", "--to", "history").code == 0
    ended = front(*command, *words)
    assert (ended.code, ended.out, bool(ended.err)) == (1, "", True)


def test_the_list_has_either_days_up_to_today_or_those_of_a_history(front: Front) -> None:
    assert front("record", "--to", "history").code == 0
    assert front("list", "--from", "history", "--days", "7").code == 1


def test_the_page_has_months_side_by_side_and_how_it_goes_on(front: Front, tmp_path: Path) -> None:
    assert front("record", "--to", "history").code == 0
    front.state.travel(timedelta(days=20))
    assert front("record", "--to", "history").code == 0
    for key_id in (1, 2):
        spend(front.state, key_id, 3)
    front.state.travel(timedelta(days=1))
    assert front("record", "--to", "history").code == 0
    words = ("report", "--out", "page.html", "--days", "7")
    assert front(*words).code == 0
    assert "side by side" not in (tmp_path / "page.html").read_text()
    ended = front(*words, "--from", "history")
    assert ended.code == 0, ended.err
    page = (tmp_path / "page.html").read_text()
    for text in ("Nov 2026", "Dec 2026", "How it goes on", "What each team cost by month", "$95.00", "of Oct 2026"):
        assert text in page, text
    ended = front(*words, "--from", "history", "--month", "2026-09")
    assert ended.code == 1
    ended = front(*words, "--from", "history", "--month", "2026-10")
    assert (ended.code, "Nothing is recorded of these months" in (tmp_path / "page.html").read_text()) == (0, True)
    keys = tmp_path / "history" / "keys.csv"
    keys.write_text(keys.read_text().replace("\n1,2026", "\n1,2025"))
    assert front(*words, "--from", "history").code == 1


def test_the_page_takes_small_environments_together_and_says_what_is_reached(front: Front, tmp_path: Path) -> None:
    more = "".join(f"  e{number}: {{keys: {{k: {{credit_limit: 9}}}}}}\n" for number in range(8))
    (tmp_path / "keys.yaml").write_text(FILE + more)
    for number in range(8):
        spend(front.state, front.state.create_key(f"e{number}/k", None)[0].id, 1, days_ago=1)
    assert front("record", "--to", "history").code == 0
    assert front("report", "--out", "page.html", "--days", "17", "--from", "history").code == 0
    page = (tmp_path / "page.html").read_text()
    for text in ("4 others", "limit of $200.00 on 2026-11-24", "cost $50 on 2026-11-14"):
        assert text in page, text
    # Without a declaration, there is nothing to be held against, and there are months all the same.
    (tmp_path / "keys.yaml").unlink()
    assert front("report", "--out", "page.html", "--days", "2", "--from", "history").code == 0
    page = (tmp_path / "page.html").read_text()
    assert ("Spend by month" in page, "How it goes on" in page) == (True, False)


async def _no_keys(account: Account, days: int) -> Statistics:
    return replace(await STATISTICS(account, days), by_key=(), absent=("api_key_usage",))


async def _no_fifth(account: Account, days: int) -> Statistics:
    if days == 5:
        msg = "it is down"
        raise AccountError(msg)
    return await STATISTICS(account, days)


@pytest.mark.parametrize("answer", [_no_keys, _no_fifth])
def test_without_each_day_of_keys_a_spike_is_not_judged(
    front: Front, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Account, int], Awaitable[Statistics]]
) -> None:
    monkeypatch.setattr(Account, "statistics", answer)
    ended = front("check", "--format", "json")
    assert (ended.code, [each["rule"] for each in ended.document["not_judged"]]) == (1, ["spend_spike"])
    assert ended.document["forecasts"] == []


def test_the_activity_of_a_month_that_is_not_over_says_what_it_comes_to(front: Front) -> None:
    assert front("record", "--to", "history").code == 0
    asked = ("activity", "--from", "history", "--by", "team")
    for words in ((), ("--month", "2026-11"), ("--since", "2026-11-10")):
        (account,) = front(*asked, *words, "--format", "json").document["accounts"]
        # 94 USD in 7 days, 108 in the 14 whole days of November, and 16 are to come.
        assert account["outlook"] == {"per_day": "13.428571", "month_end": "322.857143", "until": "2026-11-30"}
        assert "November 2026 comes to $322.86" in front(*asked, *words).out
    for words in (("--until", "2026-11-12"), ("--month", "2026-10")):
        assert "outlook" not in front(*asked, *words, "--format", "json").document["accounts"][0]
    # So early in a month, its own days are too few, and what was before is not read; nor is a month to come told of.
    front.state.travel(timedelta(days=17))
    spend(front.state, 1, 3)
    front.state.travel(timedelta(days=1))
    assert front("record", "--to", "history").code == 0
    assert "outlook" not in front(*asked, "--month", "2026-12", "--format", "json").document["accounts"][0]
    assert "outlook" in front(*asked, "--format", "json").document["accounts"][0]
    front.state.travel(timedelta(days=29))
    assert front("record", "--to", "history").code == 0
    assert "outlook" not in front(*asked, "--format", "json").document["accounts"][0]


def test_programs_report_and_list_from_a_history(front: Front, tmp_path: Path) -> None:
    assert front("record", "--to", "history").code == 0
    declared = api.load(tmp_path / "keys.yaml")
    found = api.report(declared, history="history", simulator="sim.db")
    assert found.accounts[0].months.totals  # type: ignore[union-attr]  # it was read
    listed = api.list_keys(declared, history="history", since=NOON.date() - timedelta(days=2), simulator="sim.db")
    assert [key.usage and key.usage.cost for key in listed.keys] == [4, 55]
