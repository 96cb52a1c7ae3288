"""`reconciler balance`: the gate before a large job."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.simulator import State
from support.command import Front, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TWO_ACCOUNTS = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 5, deliver: [{to: local, as: "KEY_{ENVIRONMENT}_{KEY}"}]}
environments:
  ci: {keys: {tests: {}}}
  production: {provisioning_key_env: NAGA_PRODUCTION_KEY, keys: {api: {}}}
"""


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


@pytest.fixture
def other(front: Front, tmp_path: Path) -> Iterator[State]:
    """The second account of a file that has two."""
    front.write(TWO_ACCOUNTS)
    with State(tmp_path / "sim.naga_production_key.db") as state:
        yield state


def test_the_balance_is_shown_with_how_long_it_lasts_and_what_it_is_promised_to(front: Front) -> None:
    key, _ = front.state.create_key("ci/tests", Decimal(25))
    front.state.create_key("ci/free", None)
    spend(front.state, key.id, 10, days_ago=5)
    spend(front.state, key.id, 3)
    shown = front("balance")
    assert (shown.code, shown.err) == (0, "")
    head, lasts, _, limits, spent = shown.out.splitlines()
    assert head == "Balance: $100"
    assert lasts.startswith("  lasts 50.0 days (until ")
    assert lasts.endswith(") at the pace of the last 5 days: $2.00 a day")
    assert limits == "  limits of 1 live key: $25; without a limit: 1 key"
    assert spent == "  spent of these limits: $13.00; left: $12.00, of which the balance covers all"


def test_an_account_of_which_nothing_is_known_yet_shows_its_balance(front: Front) -> None:
    shown = front("balance")
    assert shown.code == 0
    assert shown.out.startswith("Balance: $100\n  nothing was spent in the last 7 days, so there is no pace to go by\n")


@pytest.mark.parametrize(("minimum", "code"), [("99.99", 0), ("100", 0), ("100.000001", 3), ("0", 0)])
@pytest.mark.parametrize("how", ["text", "json", "markdown"])
def test_it_is_the_gate_before_a_large_job(front: Front, minimum: str, code: int, how: str) -> None:
    shown = front("balance", "--min", minimum, "--format", how)
    assert shown.code == code
    assert "100" in shown.out


def test_the_document_has_what_a_program_wants_to_know(front: Front) -> None:
    front.declare("{tests: {credit_limit: 5}}")
    document = front("balance", "--min", "200", "--format", "json").document
    assert document["balance"] == "100"
    assert document["minimum"] == "200"
    assert document["sufficient"] is False
    [account] = document["accounts"]
    assert account["environments"] == ["ci"]
    assert account["runway"][0] == {
        "asked_days": 7,
        "measured_days": 7,
        "includes_today": False,
        "cost": "0",
        "cost_per_day": "0",
        "days": None,
    }


@pytest.mark.parametrize("amount", ["-1", "a lot", "NaN", "inf", "1e13"])
def test_a_minimum_that_is_no_amount_is_refused(front: Front, amount: str) -> None:
    shown = front("balance", "--min", amount)
    assert shown.code == 1
    assert "is no amount of USD, like 20 or 12.50" in shown.err


def test_without_a_credential_it_says_which(front: Front) -> None:
    front.options = ()
    shown = front("balance")
    assert (shown.code, shown.out) == (1, "")
    assert "NAGA_PROVISIONING_KEY" in shown.err


@pytest.mark.parametrize(("minimum", "code"), [("50", 0), ("200", 3)])
def test_the_gate_works_when_activity_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimum: str, code: int
) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=403") as front:
        shown = front("balance", "--min", minimum)
    assert shown.code == code
    assert shown.out.startswith("Balance: $100, ")
    assert shown.err.startswith("warning: ")
    assert "GET /v1/account/activity" in shown.err


def test_the_gate_is_shut_when_the_balance_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/balance status=403") as front:
        shown = front("balance", "--min", "50", "--format", "json")
    assert shown.code == 1
    assert shown.document["sufficient"] is None
    assert shown.err.startswith("error: the balance could not be read: ")


def test_it_works_without_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys status=403") as front:
        shown = front("balance", "--format", "json")
    assert shown.code == 0
    [account] = shown.document["accounts"]
    assert account["limits"] is None
    assert account["runway"][0]["days"] is None


# --- files ------------------------------------------------------------------------------------------------------------


def test_each_account_of_the_file_is_shown_and_the_whole(front: Front, other: State) -> None:
    other.set_balance(Decimal("20.5"))
    shown = front("balance")
    assert shown.code == 0
    assert "Balance of NAGA_PRODUCTION_KEY: $20.50\n  environments: production\n" in shown.out
    assert shown.out.endswith("\n\nAll accounts: $120.50\n")


def test_every_account_has_to_reach_the_minimum(front: Front, other: State) -> None:
    other.set_balance(Decimal(20))
    assert front("balance", "--min", "50").code == 3
    assert front("balance", "--min", "50", "-e", "production").code == 3
    assert front("balance", "--min", "50", "-e", "ci").code == 0


def test_an_account_without_a_credential_does_not_keep_the_others_from_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.write(TWO_ACCOUNTS)
        shown = front("balance")
    assert shown.code == 1
    assert "Balance of NAGA_PROVISIONING_KEY: $100\n" in shown.out
    assert shown.out.endswith("All accounts: not known\n")
    assert "NAGA_PRODUCTION_KEY" in shown.err


def test_an_environment_that_is_not_declared_is_refused(front: Front) -> None:
    front.declare("{tests: {credit_limit: 5}}")
    shown = front("balance", "-e", "cii")
    assert shown.code == 1
    assert " cii " in shown.err
    assert " ci?" in shown.err


def test_a_file_that_was_asked_for_has_to_be_there(front: Front) -> None:
    shown = front("balance", "-f", "other.yaml")
    assert (shown.code, shown.out) == (1, "")
    assert "other.yaml" in shown.err
