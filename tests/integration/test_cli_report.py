from __future__ import annotations

import re
import stat
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from reconciler import installation
from reconciler.installation import installing
from reconciler.simulator import State
from support.command import COMMAND, Front, on_a_file, on_a_socket, started
from support.htmlpage import HtmlPage, text
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = "{api: {credit_limit: 50, team: web}, worker: {credit_limit: 20}}"
TWO_ACCOUNTS = """\
    version: 1
    environments:
      ci: {keys: {api: {credit_limit: 5, deliver: []}}}
      production: {provisioning_key_env: NAGA_PRODUCTION_KEY, keys: {api: {credit_limit: 5, deliver: []}}}
    """


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """An account with two declared keys that have spent something, and one that nobody declared."""
    with on_a_file(tmp_path, monkeypatch) as opened:
        opened.declare(KEYS)
        assert opened("apply", "--auto-approve").code == 0
        ids = {key.name: key.id for key in opened.state.keys()}  # noqa: SIM118  # a method, not a mapping's
        spend(opened.state, ids["ci/api"], 12, days_ago=2)
        spend(opened.state, ids["ci/worker"], 19)
        yield opened


def samples(written: str) -> dict[str, float]:
    """Give the samples of a text of one account, by their name and labels but that of the account."""
    return {
        " ".join(
            [sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "account")]
        ): sample.value
        for family in text_string_to_metric_families(written)  # type: ignore[no-untyped-call]  # the library's own
        for sample in family.samples
    }


# --- report -----------------------------------------------------------------------------------------------------------


def test_a_report_is_one_page_that_asks_for_nothing(front: Front, tmp_path: Path) -> None:
    ended = front("report", "--out", "report.html")

    assert (ended.code, ended.out, ended.err) == (0, "", "wrote report.html\n")
    found = HtmlPage((tmp_path / "report.html").read_text("utf-8"))
    assert found.requests == []
    assert "$31.00 in 30 days" in text(next(found.all("figcaption")))
    assert [row[0] for row in found.table("What has used up most of its limit first")[1:]] == [
        "ci/worker",
        "ci/apiteam web",
    ]
    assert "has spent $19 of its limit of $20 (95 %)" in text(found.by_id("attention"))


def test_a_report_goes_to_stdout_for_a_dash(front: Front) -> None:
    ended = front("report", "--out", "-")

    assert ended.err == ""
    assert HtmlPage(ended.out).texts("h1") == ["API keys and credits"]


def test_a_report_is_about_so_many_days_and_these_environments(front: Front) -> None:
    front.write(
        """\
        version: 1
        environments:
          ci: {keys: {api: {credit_limit: 5, deliver: []}}}
          other: {keys: {api: {credit_limit: 5, deliver: []}}}
        """
    )

    found = HtmlPage(front("report", "--out", "-", "--days", "2", "-e", "other").out)

    assert "Last 2 days keys.yaml Only other" in text(next(found.all("header")))
    assert found.table("What was spent on each day")[0] == ["Day", "everything else", "Total"]
    assert [row[0] for row in found.table("What reconciler apply does next")[1:]] == ["other/api"]
    assert "limits" not in found.ids


def test_a_report_needs_no_file(front: Front, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").unlink()

    found = HtmlPage(front("report", "--out", "-").out)

    assert "without a keys.yaml, so nothing counts as declared" in text(next(found.all("header")))
    assert found.table("What was spent on each day")[0] == ["Day", "ci", "Total"]


def test_a_report_says_that_the_file_came_by_standard_input(front: Front, tmp_path: Path) -> None:
    command = [*COMMAND, "report", "--out", "-", "-f", "-", *front.options]
    given = (tmp_path / "keys.yaml").read_text("utf-8")

    out = subprocess.run(command, input=given, capture_output=True, text=True, check=True, encoding="utf-8").stdout

    assert "Last 30 days standard input" in text(next(HtmlPage(out).all("header")))


def test_an_environment_can_be_chosen_without_a_file(front: Front, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").unlink()

    assert front("report", "--out", "-", "-e", "ci").code == 0


@pytest.mark.parametrize("command", ["report", "metrics"])
def test_a_declaration_is_not_overwritten(front: Front, tmp_path: Path, command: str) -> None:
    before = (tmp_path / "keys.yaml").read_bytes()

    ended = front(command, "--out", "keys.yaml")

    assert ended.code == 1
    assert "--out keys.yaml looks like a declaration" in ended.err
    assert (tmp_path / "keys.yaml").read_bytes() == before


@pytest.mark.parametrize("command", ["report", "metrics"])
def test_an_environment_without_the_libraries_names_the_extra(
    front: Front, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _: None)

    ended = front(command, "--out", "out.html")

    assert ended.code == 1
    assert installing(command) in ended.err


def test_hostile_names_of_live_keys_are_text(front: Front) -> None:
    front.state.create_key(name="<script>alert(1)</script>\u202e", credit_limit=None, expires_at=None)
    front.state.create_key(name="</style><img src=//x>", credit_limit=Decimal(1), expires_at=None)

    found = HtmlPage(front("report", "--out", "-").out)

    assert found.requests == []
    assert "<script>alert(1)</script>\\u202e" in found.texts("bdi")


def test_days_that_cannot_be_read_make_way_for_those_of_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=403 skip=1 times=1") as front:
        front.declare("{api: {credit_limit: 50}}")
        key, _ = front.state.create_key(name="ci/api", credit_limit=Decimal(50), expires_at=None)
        spend(front.state, key.id, 3)
        ended = front("report", "--out", "-", "--days", "6")

    assert ended.code == 0
    assert HtmlPage(ended.out).requests == []
    assert "warning: the activity of" in ended.err


def test_an_account_that_does_not_tell_what_was_spent_is_not_asked_for_every_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=403") as front:
        ended = front.declare("{}")("-v", "report", "--out", "-")
    assert ended.err.count("GET /v1/account/activity: 403 in ") == 1
    assert ended.err.count("warning: ") == 1


def test_an_account_that_cannot_be_read_is_on_the_page_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.write(TWO_ACCOUNTS)
        monkeypatch.delenv("NAGA_PRODUCTION_KEY", raising=False)
        ended = front("report", "--out", "-")

    assert ended.code == 1
    assert "NAGA_PRODUCTION_KEY" in ended.err
    found = HtmlPage(ended.out)
    assert [row[0] for row in found.table("The accounts of the file")[1:]] == [
        "production (NAGA_PRODUCTION_KEY)",
        "ci (NAGA_PROVISIONING_KEY)",
    ]
    assert "NAGA_PRODUCTION_KEY" in text(found.by_id("account-1-unread"))


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_go_to_stdout(front: Front) -> None:
    ended = front("metrics")

    assert (ended.code, ended.err) == (0, "")
    found = samples(ended.out)
    assert found["naga_balance_usd"] == 100
    assert found["naga_key_spend_30d_usd ci api web"] == 12
    assert found["naga_key_limit_used_ratio ci worker "] == 0.95
    assert found["naga_alerts_firing key_spend_above warning"] == 1


def test_metrics_replace_a_file_that_everybody_may_read(front: Front, tmp_path: Path) -> None:
    file = tmp_path / "naga.prom"
    file.write_text("old", "utf-8")
    file.chmod(0o600)

    ended = front("metrics", "--out", "naga.prom", "--max-keys", "1")

    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert samples(file.read_text("utf-8"))["naga_keys_left_out"] == 1


def test_metrics_of_an_account_that_cannot_be_read_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.write(TWO_ACCOUNTS)
        monkeypatch.delenv("NAGA_PRODUCTION_KEY", raising=False)
        ended = front("metrics")

    assert ended.code == 1
    assert 'naga_up{account="NAGA_PRODUCTION_KEY"} 0.0' in ended.out
    assert 'naga_up{account="NAGA_PROVISIONING_KEY"} 1.0' in ended.out


@pytest.mark.parametrize(
    ("fault", "silent"),
    [
        ("GET /v1/account/balance status=403", {"naga_balance_usd", "naga_runway_seconds pace_days=7"}),
        ("GET /v1/account/activity status=403", {"naga_spend_30d_usd", "naga_limits_left_usd"}),
    ],
)
def test_what_cannot_be_read_has_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, silent: set[str]
) -> None:
    with on_a_socket(tmp_path, monkeypatch, fault) as front:
        ended = front.declare("{}")("metrics")

    assert ended.code == 0
    found = samples(ended.out)
    assert found["naga_up"] == 1
    assert found["naga_unread_parts"] >= 1
    assert not {"naga_last_success_timestamp_seconds", *silent} & found.keys()


# --- in a process of its own ------------------------------------------------------------------------------------------


def test_the_libraries_are_not_paid_for_by_other_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Front(State(":memory:")).declare("{}")
    code = "import sys; from reconciler.cli.main import run; run(['validate']); print(sorted(sys.modules))"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not re.search(r"'(jinja2|pygal|prometheus_client)", out)


def test_a_report_is_whole_when_it_is_piped(front: Front) -> None:
    with started("report", "--out", "-", *front.options) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert out.rstrip().endswith("</html>")
