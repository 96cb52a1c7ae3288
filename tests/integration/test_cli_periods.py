"""Budgets that renew, as list, show, check, report and metrics show them: what is spent of the period's allowance."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from support.command import Front, on_a_file
from support.htmlpage import HtmlPage, text
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = timedelta(days=1)
FILE = """\
version: 1
alerts: {key_spend_above: 0.9, drift: true}
destinations: {local: {type: dotenv, path: secrets.env}}
environments:
  dev:
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys:
      anna: {credit_limit: 50, renew: 10d, team: web}
"""


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A key that spent 30 in its first period, and 48 of the 50 that it may spend in its second one."""
    with on_a_file(tmp_path, monkeypatch) as front:
        state = front.state
        state.travel(state.now().replace(hour=12) - state.now() + DAY)
        front.write(FILE)
        assert front("apply", "--auto-approve").code == 0
        spend(state, 2, 30)
        state.travel(10 * DAY)
        assert front("apply", "--auto-approve").code == 0
        state.travel(2 * DAY)
        spend(state, 2, 48)
        yield front


def key_of(front: Front, *words: str) -> Any:
    (key,) = front("list", "--format", "json", *words).document["keys"]
    return key


def test_list_and_show_tell_what_is_spent_of_the_allowance(front: Front) -> None:
    key, begin = key_of(front), (front.state.now() - 2 * DAY).date()
    assert (key["credit_limit"], key["spend"]) == ("80", "78")
    assert (key["allowance"], key["period_spend"], key["share_of_limit"]) == ("50", "48", "0.96")
    assert (key["period_begin"], key["next_period"]) == (str(begin), str(begin + 10 * DAY))
    assert key["share_is_at_least"] is False
    (row,) = csv.DictReader(io.StringIO(front("list", "--format", "csv").out))
    assert (row["allowance"], row["period_spend"], row["next_period"]) == ("50", "48", str(begin + 10 * DAY))
    assert "$50 per 10d" in front("list").out
    shown = front("show", "dev/anna")
    assert f"$48.00 of $50 since {begin} (96 %); the next period begins on {begin + 10 * DAY}" in shown.out


def test_a_raised_limit_is_shown_with_its_end(front: Front) -> None:
    until = (front.state.now() + 3 * DAY).replace(microsecond=0)
    front.write(FILE.replace("10d", f"10d, raise: {{to: 70, until: {until:%Y-%m-%dT%H:%M:%SZ}}}"))
    assert key_of(front)["raised_until"] is None
    (change,) = front("plan", "--format", "json").document["changes"]
    assert change["raise"] == {"until": f"{until:%Y-%m-%dT%H:%M:%SZ}", "then": "50"}
    assert front("apply", "--auto-approve").code == 0
    key = key_of(front)
    assert (key["raised_until"], key["allowance"]) == (f"{until:%Y-%m-%dT%H:%M:%SZ}", "70")
    assert f"until {until:%Y-%m-%d}" in front("list").out
    assert f"raised until {until:%Y-%m-%d}" in front("show", "dev/anna").out


def test_without_a_file_the_name_still_tells_the_period(front: Front, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").unlink()
    key, begin = key_of(front), (front.state.now() - 2 * DAY).date()
    assert (key["allowance"], key["period_spend"], key["next_period"]) == ("50", "48", None)
    assert f"$50 since {begin}" in front("list", "--sort", "limit").out
    assert "48.00 of" in front("show", "dev/anna").out


def test_check_report_and_metrics_judge_the_allowance(front: Front) -> None:
    ended = front("check", "--format", "json")
    (alert,) = ended.document["alerts"]
    assert (ended.code, alert["rule"], alert["address"]) == (3, "key_spend_above", "dev/anna")
    assert "$50 (96 %)" in alert["message"]
    page = HtmlPage(front("report", "--days", "3", "--out", "-").out)
    assert "$48.00 of $50.00 since" in text(page.by_id("limits"))
    found = dict(line.rsplit(" ", 1) for line in front("metrics").out.splitlines() if line.startswith("naga_key_"))
    values = {name.partition("{")[0]: float(value) for name, value in found.items()}
    assert (values["naga_key_limit_usd"], values["naga_key_allowance_usd"]) == (80, 50)
    assert (values["naga_key_period_spend_usd"], values["naga_key_limit_used_ratio"]) == (48, 0.96)
    end = (front.state.now() + 8 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    assert values["naga_key_period_end_timestamp_seconds"] == end.timestamp()


def test_on_the_day_of_a_renewal_everybody_sees_that_it_is_due_and_nobody_that_it_waits(front: Front) -> None:
    front.state.travel(8 * DAY)
    shown = front("show", "dev/anna", "--format", "json").document
    assert [change["action"] for change in shown["changes"]] == ["renew"]
    assert shown["findings"] == []
    drift = [
        each["message"] for each in front("check", "--format", "json").document["alerts"] if each["rule"] == "drift"
    ]
    assert len(drift) == 1
    assert "renewed" in drift[0]
    lines = front("metrics").out.splitlines()
    assert [line for line in lines if line.startswith("naga_findings") and not line.endswith(" 0.0")] == []
    assert "renewal-waits" not in front("report", "--days", "1", "--out", "-").out


def test_what_was_spent_more_than_thirty_days_ago_is_not_known(front: Front) -> None:
    front.state.travel(30 * DAY)
    assert key_of(front)["share_is_at_least"] is True


def test_a_period_whose_spend_cannot_be_read_is_not_judged(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.engine.accounts._period_windows", lambda *_: set())
    assert key_of(front)["period_spend"] is None
    ended = front("check", "--format", "json")
    assert ended.code == 1
    assert [each["rule"] for each in ended.document["not_judged"]] == ["key_spend_above"]
    assert "not known of $50" in front("show", "dev/anna").out
    assert Decimal(key_of(front)["allowance"]) == 50
