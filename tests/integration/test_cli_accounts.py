"""Several accounts in one file: planned and applied together, and each for itself."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dotenv import dotenv_values
from jsonschema import Draft202012Validator

from reconciler.account import lock
from reconciler.account.client import Account
from reconciler.cli.apply import Output, Progress
from reconciler.destinations.dotenv import Dotenv
from reconciler.engine import accounts as of_accounts
from reconciler.engine import applying, planning
from reconciler.engine.accounts import Patience
from reconciler.files import shipped_schema
from reconciler.simulator.state import Usage
from support.several import A, Accounts, B, C, at_a_service, bearer_of, beside_each_other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = Draft202012Validator(json.loads(shipped_schema("plan.schema.json")))


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with beside_each_other(tmp_path, monkeypatch) as accounts:
        yield accounts


@pytest.fixture(params=[beside_each_other, at_a_service])
def accounts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with request.param(tmp_path, monkeypatch) as accounts:
        yield accounts


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with at_a_service(tmp_path, monkeypatch) as accounts:
        yield accounts


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for other locks in steps of milliseconds."""
    monkeypatch.setattr(lock, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(lock, "LONGEST_PAUSE", 0.001)


def hold(accounts: Accounts, variable: str) -> None:
    """Have another apply hold the lock of an account."""
    state = accounts.states[variable]
    state.create_key("reconciler~lock.rival", Decimal(0), state.now() + timedelta(days=1))


def statuses(document: Any) -> list[str]:
    return [f"{each['account']} {each['address']} {each['status']}" for each in document["changes"]]


def findings(document: Any, rule: str) -> list[Any]:
    return [finding for finding in document["findings"] if finding["rule"] == rule]


def after_each_outcome(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    report = Progress.report

    def and_then(self: Progress, outcome: Any) -> None:
        report(self, outcome)
        do()

    monkeypatch.setattr(Progress, "report", and_then)


# --- planning ---------------------------------------------------------------------------------------------------------


def test_accounts_are_planned_as_one(accounts: Accounts) -> None:
    accounts.states[A].create_key("a/y", Decimal(5))
    accounts.states[B].create_key("b/y", Decimal(7))
    ended = accounts.declare_both("{x: {}, y: {}}", "{y: {}}")("plan")
    assert ended.code == 0
    assert "\n\na (NAGA_A)\n  + create  x  credit_limit $1" in ended.out
    assert "\nb (NAGA_B)\n  ~ update  y  credit_limit $7 → $1" in ended.out
    assert "Plan: 1 to create, 2 to update." in ended.out
    assert "Limits: $12 → $3" in ended.out
    assert ended.err == ""


def test_keys_of_one_id_are_told_apart_by_their_account(accounts: Accounts) -> None:
    """Ids count from 1 in either account: here key 1 is used in one of them only."""
    accounts.states[A].create_key("a/y", Decimal(5))
    accounts.states[B].create_key("b/y", Decimal(5))
    state = accounts.states[A]
    state.record([Usage(state.now().date(), 1, "gpt-4o", 892, 1, 1, 28_340_000)])
    document = accounts.declare_both("{y: {}}", "{y: {}}")("plan", "--format", "json").document
    assert list(SCHEMA.iter_errors(document)) == []
    shown = [(each["account"], each["key_id"], each["spend"]["cost"]) for each in document["changes"]]
    assert shown == [(A, 1, "28.34"), (B, 1, "0")]


@pytest.mark.parametrize("output_format", ["text", "markdown", "github", "json"])
def test_what_is_deleted_unmanaged_says_where(accounts: Accounts, output_format: str) -> None:
    for variable in (A, B):
        accounts.states[variable].create_key("stranger")
    accounts.declare_both("{}", "{}")
    accounts.write(Path("keys.yaml").read_text() + "unmanaged: delete\n")
    ended = accounts("plan", "--format", output_format)
    shown = ended.out.replace("\\", "").replace("&#95;", "_")
    assert "NAGA_A" in shown
    assert "NAGA_B" in shown


def test_v_lists_unmanaged_keys_account_by_account(accounts: Accounts) -> None:
    accounts.states[A].create_key("stranger")
    accounts.states[B].create_key("visitor")
    ended = accounts.declare_both("{}", "{}")("-v", "plan")
    assert "Unmanaged keys (NAGA_A)\n  · id  1  stranger\n" in ended.out
    assert "Unmanaged keys (NAGA_B)\n  · id  1  visitor\n" in ended.out


def test_guardrails_hold_for_each_account(accounts: Accounts) -> None:
    accounts.declare_both("{}", "{}")
    accounts.write(Path("keys.yaml").read_text() + "guardrails: {max_deletions: 1}\n")
    for variable, name in ((A, "a/x"), (B, "b/x"), (B, "b/y")):
        accounts.states[variable].create_key(name)
    ended = accounts("plan", "--format", "json")
    assert ended.code == 3
    assert [finding["account"] for finding in findings(ended.document, "max-deletions")] == [B]
    assert accounts("apply", "--auto-approve").code == 3
    assert (accounts.names_of(A), accounts.names_of(B)) == (["a/x"], ["b/x", "b/y"])


def test_what_holds_for_all_is_said_once(accounts: Accounts) -> None:
    accounts.declare_both("{}", "{}")
    Path("old.yaml").write_text(Path("keys.yaml").read_text() + "guardrails: {max_deletions: 1}\n")
    document = accounts("plan", "--base", "old.yaml", "--format", "json").document
    (loosened,) = findings(document, "guardrail-loosened")
    assert "account" not in loosened


@pytest.mark.parametrize(("words", "planned"), [(("-e", "b"), "b"), (("--only", "b/*"), "b"), (("--only", "a*"), "a")])
def test_only_the_credentials_of_what_it_touches_are_needed(
    served: Accounts, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], planned: str
) -> None:
    monkeypatch.delenv(A if planned == "b" else B)
    ended = served.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve", *words, "--format", "json")
    assert (ended.code, [each["address"] for each in ended.document["changes"]]) == (0, [f"{planned}/x"])


# --- an account that cannot be read -----------------------------------------------------------------------------------


def test_an_account_that_cannot_be_read_does_not_hold_up_the_others(
    served: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(B)
    served.declare_both("{x: {}}", "{x: {}}")
    ended = served("plan", "--format", "json", "--out", "plan.json", "--detailed-exitcode")
    assert ended.code == 1
    assert ended.err.startswith("error: NAGA_B: ")
    assert ended.err.count("\n") == 1
    assert list(SCHEMA.iter_errors(ended.document)) == []
    assert [each["address"] for each in ended.document["changes"]] == ["a/x"]
    (unread,) = findings(ended.document, "account-unread")
    assert (unread["severity"], unread["account"]) == ("error", B)
    assert B in unread["message"]
    assert ended.document["credit"]["balance"] is not None
    refused = served("apply", "plan.json", "--auto-approve")
    assert (refused.code, served.names_of(A)) == (3, [])


def test_a_guardrail_outweighs_an_account_that_is_missing(served: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(B)
    served.states[A].create_key("a/x")
    served.declare_both("{}", "{}")
    served.write(Path("keys.yaml").read_text() + "guardrails: {max_deletions: 0}\n")
    assert served("plan").code == 3


def test_where_no_account_can_be_read_there_is_no_plan(served: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(A)
    monkeypatch.setenv(B, "no key of this service")
    ended = served.declare_both("{}", "{}")("plan")
    assert (ended.code, ended.out) == (1, "")
    assert [line.partition(": ")[2].partition(":")[0] for line in ended.err.splitlines()] == [A, B]
    assert "NAGA_B holds a space, a line break or another character that no key has" in ended.err


def test_a_wrong_key_is_named_by_its_variable(served: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(B, "wrong")
    ended = served.declare_both("{}", "{}")("plan")
    assert ended.code == 1
    assert "NAGA_B must hold a provisioning key of the account, not an inference key" in ended.err


@pytest.mark.parametrize("output_format", ["text", "json", "markdown"])
def test_what_can_be_applied_is_applied_beside_an_account_that_cannot_be_read(
    served: Accounts, monkeypatch: pytest.MonkeyPatch, output_format: str
) -> None:
    monkeypatch.delenv(B)
    ended = served.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve", "--format", output_format)
    assert ended.code == 5
    assert served.names_of(A) == ["a/x"]
    assert B in ended.out
    assert "cannot be applied" not in ended.out + ended.err
    if output_format != "json":
        assert "The account of NAGA_B was not applied: run `reconciler plan` to see whether it matches" in ended.out
    if output_format == "json":
        assert statuses(ended.document) == ["NAGA_A a/x done"]
        assert ended.document["in_sync"] is None
        assert len(findings(ended.document, "account-unread")) == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("GET /v1/account/keys status=503 retry-after=60", "503 server_error"),
        ("GET /v1/account/keys status=429 retry-after=60", "429 rate_limit_exceeded"),
        pytest.param("* * latency=6s", "no complete answer within 5 s", marks=pytest.mark.proof),
    ],
)
def test_an_account_that_is_down_is_given_up_and_the_others_are_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, why: str
) -> None:
    """It is asked once: with a wait of its own choice, or as long as any answer may take, it would hold up all."""
    monkeypatch.setattr(of_accounts, "AMONG_SEVERAL", Patience(failing=1.0, limited=1.0, answer=5.0))
    with at_a_service(tmp_path, monkeypatch, NAGA_B=fault) as accounts:
        ended = accounts.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve", "--format", "json")
        assert (ended.code, accounts.names_of(A)) == (5, ["a/x"])
    (unread,) = findings(ended.document, "account-unread")
    assert unread["message"].startswith("the account (b) is not planned: GET /v1/account/keys: ")
    assert why in unread["message"]


@pytest.mark.usefixtures("local")
def test_accounts_that_do_not_answer_do_not_keep_the_others_from_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_accounts, "AT_A_TIME", 1)
    monkeypatch.setattr(of_accounts, "LATE", 0.001)
    last = asyncio.Event()

    async def read(variable: str, _: Account) -> str:
        if variable == C:
            last.set()
        await asyncio.wait_for(last.wait(), 60)
        return variable

    assert asyncio.run(of_accounts.read_all((A, B, C), read, Path("sim.db"))) == {A: A, B: B, C: C}


def test_who_waits_for_one_of_several_accounts_is_told_for_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with at_a_service(tmp_path, monkeypatch, NAGA_B="GET /v1/account/keys status=503 times=1") as accounts:
        assert accounts.declare_both("{}", "{}")("-v", "plan").code == 0
    troubles = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]
    assert [text.partition(" in ")[0] for text in troubles] == ["NAGA_B: GET /v1/account/keys: 503"]


def test_nothing_done_beside_an_account_that_cannot_be_read_is_an_error(
    served: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(B)
    ended = served.declare_both("{}", "{x: {}}")("apply", "--auto-approve")
    assert ended.code == 1
    assert B in ended.out


@pytest.mark.parametrize(
    "words", ["plan", "apply", "list", "show a/x", "balance", "activity", "check", "report --out r.html", "metrics"]
)
def test_two_variables_with_one_key_are_refused(served: Accounts, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Each environment would take the other's keys for unmanaged, and the credits of the account would count twice."""
    monkeypatch.setenv(B, bearer_of(A))
    ended = served.declare_both("{}", "{}")(*words.split())
    assert (ended.code, ended.out) == (1, "")
    assert "error: NAGA_A and NAGA_B hold the same provisioning key;" in ended.err


def test_one_account_under_two_keys_is_refused(local: Accounts) -> None:
    """Each environment would take the keys of the other for unmanaged, and might delete them."""
    local.states[A].create_key("stranger")
    local.declare_both("{}", "{}")
    Path("sim.naga_b.db").unlink()
    Path("sim.naga_b.db").symlink_to("sim.naga_a.db")
    ended = local("plan", "--format", "json")
    assert ended.code == 3
    (same,) = findings(ended.document, "same-account")
    assert same["message"].startswith("NAGA_A and NAGA_B open the same account")


def test_one_account_that_was_empty_does_not_lose_the_keys_that_it_just_got_under_the_other_name(
    local: Accounts,
) -> None:
    local.declare_both("{x: {}}", "{x: {}}")
    local.write("unmanaged: delete\n" + Path("keys.yaml").read_text())
    Path("sim.naga_b.db").unlink()
    Path("sim.naga_b.db").symlink_to("sim.naga_a.db")
    ended = local("apply", "--auto-approve", "--format", "json")
    assert ended.code == 5
    assert sorted(each["status"] for each in ended.document["changes"]) == ["done", "not_attempted"]
    assert "if both variables open the same account, let the environments name the same one" in ended.document["note"]
    assert local.names_of(A) in (["a/x"], ["b/x"]), "whoever came first keeps it"


# --- applying ---------------------------------------------------------------------------------------------------------


def test_all_accounts_are_applied_into_one_file(accounts: Accounts) -> None:
    accounts.declare_both("{x: {}, y: {}}", "{x: {}, y: {}, z: {}}")
    ended = accounts("apply", "--auto-approve", "--format", "json")
    assert ended.code == 0
    assert statuses(ended.document) == [
        *(f"NAGA_A a/{key} done" for key in "xy"),
        *(f"NAGA_B b/{key} done" for key in "xyz"),
    ]
    assert ended.document["in_sync"] is True
    assert "[5/5] " in ended.err
    assert (accounts.names_of(A), accounts.names_of(B)) == (["a/x", "a/y"], ["b/x", "b/y", "b/z"])
    secrets = dotenv_values("secrets.env")
    assert all(accounts.states[A].opens(secrets[f"A_{key}"] or "") for key in "XY")
    assert all(accounts.states[B].opens(secrets[f"B_{key}"] or "") for key in "XYZ")
    again = accounts("apply", "--format", "json")
    assert (again.code, again.document["changes"], again.document["in_sync"]) == (0, [], True)


def test_an_account_without_changes_is_not_touched(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    accounts.declare_both("{x: {}}", "{}")
    after_each_outcome(monkeypatch, lambda: seen.append(accounts.names_of(B)))
    ended = accounts("apply", "--auto-approve", "--format", "json")
    assert (ended.code, ended.document["in_sync"], seen) == (0, True, [[]])


def test_an_account_that_is_locked_does_not_hold_up_the_others(accounts: Accounts) -> None:
    hold(accounts, A)
    accounts.declare_both("{x: {}}", "{x: {}}")
    ended = accounts("apply", "--auto-approve", "--lock-timeout", "0s", "--format", "json")
    assert ended.code == 5
    assert statuses(ended.document) == ["NAGA_A a/x not_attempted", "NAGA_B b/x done"]
    assert ended.document["note"].startswith("NAGA_A: another apply is running: key 1 (reconciler~lock.rival)")
    assert "error: NAGA_A: another apply is running" in ended.err
    assert (accounts.names_of(A), accounts.names_of(B)) == (["reconciler~lock.rival"], ["b/x"])


@pytest.mark.usefixtures("brisk")
def test_accounts_that_are_locked_do_not_keep_the_others_from_their_turn(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the first goes when the second is done, for which there is no room while the first has it."""
    hold(accounts, A)
    monkeypatch.setattr(applying, "AT_A_TIME", 1)
    after_each_outcome(monkeypatch, lambda: accounts.states[A].delete_key(1))
    ended = accounts.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve", "--lock-timeout", "10s")
    assert ended.code == 0
    assert "Waiting up to 10s for another apply on NAGA_A: key 1" in ended.err
    assert (accounts.names_of(A), accounts.names_of(B)) == (["a/x"], ["b/x"])


def test_where_every_account_is_locked_nothing_is_done(accounts: Accounts) -> None:
    hold(accounts, A)
    hold(accounts, B)
    accounts.declare_both("{x: {}}", "{x: {}}")
    assert accounts("apply", "--auto-approve", "--lock-timeout", "0s").code == 1


@pytest.mark.usefixtures("brisk")
def test_who_waits_for_a_lock_says_for_which_account(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(accounts, A)
    after_each_outcome(monkeypatch, lambda: accounts.states[A].delete_key(1))
    ended = accounts.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve")
    assert ended.code == 0
    assert "another apply on NAGA_A: key 1 (reconciler~lock.rival)" in ended.err


def test_a_destination_that_refuses_stops_its_own_account_only(local: Accounts) -> None:
    Path("broken.env").mkdir()
    local.declare_both("{x: {}}", "{x: {}}")
    text = Path("keys.yaml").read_text().replace("defaults:", "  broken: {type: dotenv, path: broken.env}\ndefaults:")
    local.write(text.replace('{to: local, as: "A_{KEY}"}', '{to: broken, as: "A_{KEY}"}'))
    ended = local("apply", "--auto-approve", "--format", "json")
    assert (ended.code, statuses(ended.document)) == (5, ["NAGA_A a/x not_attempted", "NAGA_B b/x done"])


def test_what_failed_in_one_account_leaves_the_other_in_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_a_service(tmp_path, monkeypatch, NAGA_B="PATCH /v1/account/keys/1 status=400") as accounts:
        accounts.states[B].create_key("b/x", Decimal(5))
        accounts.declare_both("{x: {}}", "{x: {}}")
        ended = accounts("apply", "--auto-approve", "--no-lock", "--format", "json")
        assert ended.code == 5
        assert statuses(ended.document) == ["NAGA_A a/x done", "NAGA_B b/x failed"]
        assert ended.document["in_sync"] is False


def test_unattended_what_changed_in_one_account_is_shown_and_applied(
    local: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    meddle(monkeypatch, lambda: local.states[B].create_key("b/stranger"))
    ended = local.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve")
    assert ended.code == 0
    assert "The account of NAGA_B has changed meanwhile; this is the plan now:" in ended.err
    assert "[3/3] " in ended.err
    assert local.names_of(B) == ["b/x"]


def test_what_changed_since_the_question_was_asked_is_left_alone_and_the_rest_done(
    local: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    meddle(monkeypatch, lambda: local.states[B].create_key("b/stranger"))
    local.declare_both("{x: {}}", "{x: {}}")
    ended = local("apply", "--format", "json", terminal=True, answer="y\n")
    assert (ended.code, statuses(ended.document)) == (5, ["NAGA_A a/x done", "NAGA_B b/x not_attempted"])
    assert ended.document["note"].startswith("NAGA_B: the account changed after the plan was shown, so nothing was")


def meddle(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have something happen right before the first account is locked."""
    acquire, left = lock.Lock._acquire, [do]

    async def late(self: lock.Lock, *how: Any) -> Any:
        if left:
            left.pop()()
        return await acquire(self, *how)

    monkeypatch.setattr(lock.Lock, "_acquire", late)


# --- what was reviewed is done as a whole -----------------------------------------------------------------------------


def reviewed(accounts: Accounts) -> str:
    document = accounts.declare_both("{x: {}}", "{x: {}}")("plan", "--out", "plan.json", "--format", "json").document
    return str(document["digest"])


def test_a_saved_plan_covers_all_accounts(accounts: Accounts) -> None:
    digest = reviewed(accounts)
    assert accounts("apply", "plan.json", "--auto-approve", "--expect-digest", digest).code == 0
    assert (accounts.names_of(A), accounts.names_of(B)) == (["a/x"], ["b/x"])


def test_what_moved_in_one_account_makes_the_whole_plan_stale(accounts: Accounts) -> None:
    reviewed(accounts)
    accounts.states[B].create_key("b/stranger")
    ended = accounts("apply", "plan.json", "--auto-approve")
    assert ended.code == 4
    assert "is planned now, and was not: delete b/stranger (key 1 of NAGA_B)" in ended.err
    assert (accounts.names_of(A), accounts.names_of(B)) == ([], ["b/stranger"])


def test_what_moves_before_the_last_lock_is_taken_stops_all(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = reviewed(accounts)
    meddle(monkeypatch, lambda: accounts.states[B].create_key("b/stranger"))
    ended = accounts("apply", "--auto-approve", "--expect-digest", digest, "--format", "json")
    assert ended.code == 4
    assert statuses(ended.document) == ["NAGA_A a/x not_attempted", "NAGA_B b/x not_attempted"]
    assert (accounts.names_of(A), accounts.names_of(B)) == ([], ["b/stranger"])


def test_what_was_reviewed_is_not_begun_while_one_account_is_locked(accounts: Accounts) -> None:
    digest = reviewed(accounts)
    hold(accounts, B)
    words = ("apply", "--auto-approve", "--expect-digest", digest, "--lock-timeout", "0s")
    ended = accounts(*words)
    assert ended.code == 1
    assert (accounts.names_of(A), accounts.names_of(B)) == ([], ["reconciler~lock.rival"])


def test_what_was_reviewed_is_not_begun_while_the_first_account_is_locked(accounts: Accounts) -> None:
    digest = reviewed(accounts)
    hold(accounts, A)
    words = ("apply", "--auto-approve", "--expect-digest", digest, "--lock-timeout", "0s")
    assert accounts(*words).code == 1
    assert (accounts.names_of(A), accounts.names_of(B)) == (["reconciler~lock.rival"], [])


def test_what_was_reviewed_is_not_begun_without_all_accounts(served: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = reviewed(served)
    monkeypatch.delenv(B)
    ended = served("apply", "--auto-approve", "--expect-digest", digest)
    assert ended.code == 1
    assert "error: what was reviewed is done as a whole, and not every account could be read" in ended.err
    assert served.names_of(A) == []


def test_what_was_reviewed_is_not_begun_while_a_destination_of_one_account_refuses(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = reviewed(accounts)
    meddle(monkeypatch, Path("secrets.env").mkdir)
    assert accounts("apply", "--auto-approve", "--expect-digest", digest).code == 1
    assert (accounts.names_of(A), accounts.names_of(B)) == ([], [])


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("brisk")
def test_a_signal_stops_all_accounts(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """One waits for its lock and the other carries its plan out."""
    hold(accounts, A)
    left = [lambda: signal.raise_signal(signal.SIGINT)]
    after_each_outcome(monkeypatch, lambda: left and left.pop()())
    accounts.declare_both("{x: {}}", "{x: {}, y: {}, z: {}}")
    ended = accounts("apply", "--auto-approve", "--parallelism", "1", "--format", "json")
    assert ended.code == 130
    found = statuses(ended.document)
    assert (found[:2], found[-1]) == (["NAGA_A a/x not_attempted", "NAGA_B b/x done"], "NAGA_B b/z not_attempted")
    assert ended.document["interrupted"] is True
    assert ended.err.count("Stopping: finishing what is under way, starting nothing new.") == 1
    assert accounts.names_of(A) == ["reconciler~lock.rival"]
    assert accounts.names_of(B) in (["b/x"], ["b/x", "b/y"])


def test_a_signal_while_all_are_carried_out_is_answered_once(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()
    begun: list[str] = []
    begin = Output.begin

    def and_interrupt(self: Output, variable: str, plan: Any) -> None:
        begin(self, variable, plan)
        begun.append(variable)
        if len(begun) == 2:
            signal.raise_signal(signal.SIGINT)
            waiting.set()

    async def together(*_: object) -> None:
        await waiting.wait()

    monkeypatch.setattr(Output, "begin", and_interrupt)
    monkeypatch.setattr(Dotenv, "preflight", together)
    ended = accounts.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve", "--format", "json")
    assert ended.code == 130
    assert statuses(ended.document) == ["NAGA_A a/x not_attempted", "NAGA_B b/x not_attempted"]
    assert ended.err.count("Stopping: finishing what is under way, starting nothing new.") == 1
    assert accounts.names_of(A) == accounts.names_of(B) == []


@pytest.mark.usefixtures("brisk")
def test_a_signal_while_all_wait_for_their_locks_changes_nothing(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = reviewed(accounts)
    hold(accounts, A)
    hold(accounts, B)
    pause = lock.Lock._pause

    async def interrupted(self: lock.Lock) -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        await pause(self)

    monkeypatch.setattr(lock.Lock, "_pause", interrupted)
    for words in ((), ("--expect-digest", digest)):
        ended = accounts("apply", "--auto-approve", "--format", "json", *words)
        assert (ended.code, ended.document["interrupted"]) == (130, True)
    assert accounts.names_of(A) == accounts.names_of(B) == ["reconciler~lock.rival"]


def test_a_signal_does_not_wait_for_an_account_that_hangs_while_its_lock_is_taken_away(
    local: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    post = lock.Lock._post

    async def interrupted(self: lock.Lock, name: str, *, last: bool) -> Any:
        posted = await post(self, name, last=last)
        signal.raise_signal(signal.SIGINT)
        return posted

    async def hang(_: Account, key_id: int) -> bool:
        await asyncio.sleep(600)
        waited.append(key_id)
        return True

    monkeypatch.setattr(lock.Lock, "_post", interrupted)
    monkeypatch.setattr(Account, "delete_key", hang)
    monkeypatch.setattr(applying, "LEAVING_SECONDS", 0.01)
    ended = local.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve", "--format", "json")
    assert (ended.code, ended.document["interrupted"], waited) == (130, True, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_plans_are_put_together_is_not_lost(
    local: Accounts, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    merge = planning.whole_plan

    def interrupted(*parts: Any) -> Any:
        signal.raise_signal(number)
        return merge(*parts)

    monkeypatch.setattr(planning, "whole_plan", interrupted)
    ended = local.declare_both("{x: {}}", "{x: {}}")("apply", "--auto-approve")
    assert (ended.code, ended.out, ended.err) == (130, "", "Interrupted.\n")
    assert local.names_of(A) == local.names_of(B) == []


def test_a_bug_in_one_account_does_not_hide_what_was_done_in_the_other(
    local: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = lock.Lock._acquire

    async def stumble(self: lock.Lock, *how: Any) -> Any:
        acquired = await acquire(self, *how)
        if any(key.name == "b/y" for key in acquired[1].keys):
            msg = "ng-a-secret"
            raise RuntimeError(msg)
        return acquired

    monkeypatch.setattr(lock.Lock, "_acquire", stumble)
    local.states[B].create_key("b/y")
    local.declare_both("{x: {}}", "{x: {}}")
    ended = local("apply", "--auto-approve", "--format", "json")
    assert ended.code == 1
    assert statuses(ended.document)[0] == "NAGA_A a/x done"
    assert "error: unexpected RuntimeError, a bug" in ended.err
    assert "ng-a-secret" not in ended.out + ended.err


# --- an environment that moves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("offline", [(), ("--offline",)])
def test_keys_that_stay_behind_in_another_account_are_told(local: Accounts, offline: tuple[str, ...]) -> None:
    local.declare_both("{x: {}}", "{x: {}}")
    Path("old.yaml").write_text(Path("keys.yaml").read_text())
    assert local("apply", "--auto-approve").code == 0
    local.write(
        Path("keys.yaml").read_text().replace("b: {provisioning_key_env: NAGA_B", "b: {provisioning_key_env: NAGA_A")
    )
    document = local("plan", "--base", "old.yaml", "--format", "json", *offline).document
    (moved,) = findings(document, "account-changed")
    assert moved["severity"] == "warning"
    assert moved["message"] == (
        "environment b has moved to the account of NAGA_A; its keys stay behind, unmanaged, in the account of NAGA_B"
    )


def test_several_accounts_can_be_planned_without_any(local: Accounts) -> None:
    local.declare_both("{x: {}}", "{x: {}}")
    Path("old.yaml").write_text(Path("keys.yaml").read_text())
    ended = local.declare_both("{x: {credit_limit: 2}}", "{}")(
        "plan", "--base", "old.yaml", "--offline", "--format", "json"
    )
    shown = [(each["account"], each["action"], each["address"]) for each in ended.document["changes"]]
    assert shown == [(A, "update", "a/x"), (B, "delete", "b/x")]
    assert list(SCHEMA.iter_errors(ended.document)) == []
    assert len(findings(ended.document, "offline")) == 1


def test_keys_that_stay_behind_are_counted_where_their_account_is_read(local: Accounts) -> None:
    local.declare_both("{x: {}}", "{x: {}, y: {}}")
    local.write(Path("keys.yaml").read_text() + "  c: {provisioning_key_env: NAGA_B, keys: {}}\n")
    Path("old.yaml").write_text(Path("keys.yaml").read_text())
    assert local("apply", "--auto-approve").code == 0
    local.write(
        Path("keys.yaml").read_text().replace("b: {provisioning_key_env: NAGA_B", "b: {provisioning_key_env: NAGA_A")
    )
    document = local("plan", "--base", "old.yaml", "--format", "json").document
    (moved,) = findings(document, "account-changed")
    assert "2 live keys of it stay behind, unmanaged, in the account of NAGA_B" in moved["message"]


def move_b_to_account_a(local: Accounts, *, unmanaged: str = "report", of_base: str = "") -> None:
    """Have keys of `b` in NAGA_B, which goes on to be used; old.yaml says how it was, keys.yaml that `b` moves."""
    local.declare_both("{x: {}}", "{x: {}, y: {}}")
    text = (
        Path("keys.yaml").read_text() + f"  c: {{provisioning_key_env: NAGA_B, keys: {{}}}}\nunmanaged: {unmanaged}\n"
    )
    local.write(text)
    assert local("apply", "--auto-approve").code == 0
    b = "b: {provisioning_key_env: NAGA_B"
    Path("old.yaml").write_text(text.replace(b, b + of_base))
    local.write(text.replace(b, "b: {provisioning_key_env: NAGA_A"))


def test_keys_that_an_environment_finds_when_it_moves_back_are_said_to_need_a_rotation(local: Accounts) -> None:
    """The destinations hold the secrets of the keys that it has left, and nothing delivers the others by itself."""
    move_b_to_account_a(local)
    there, back = Path("keys.yaml").read_text(), Path("old.yaml").read_text()
    assert local("apply", "--auto-approve").code == 0
    Path("old.yaml").write_text(there)
    local.write(back.replace("y: {}", "y: {}, z: {}, q: {deliver: []}"))
    (moved,) = findings(local("plan", "--base", "old.yaml", "--format", "json").document, "account-changed")
    assert moved["message"] == (
        "environment b has moved to the account of NAGA_B; 2 live keys of it stay behind, unmanaged, in the account of "
        "NAGA_A; destinations may hold the secrets of NAGA_A for 2 keys that NAGA_B has already: --rotate brings "
        "new ones"
    )
    rotated = local("plan", "--base", "old.yaml", "--rotate", "b/x", "--rotate", "b/y", "--format", "json").document
    assert "--rotate" not in findings(rotated, "account-changed")[0]["message"]


def shown_changes(document: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(each["account"], each["action"], each["address"]) for each in document["changes"]]


@pytest.mark.parametrize("of_base", [", protected: true", ", guardrails: {max_deletions: 0}"])
def test_what_the_base_protects_stays_protected_in_the_account_that_an_environment_leaves(
    local: Accounts, of_base: str
) -> None:
    """Else `unmanaged: delete` would take keys away that nobody could have removed in any other way."""
    move_b_to_account_a(local, unmanaged="delete", of_base=of_base)
    ended = local("plan", "--base", "old.yaml", "--format", "json")
    assert ended.code == 3
    errors = [each for each in ended.document["findings"] if each["severity"] == "error"]
    broken = [each for each in errors if each["rule"] != "account-changed"]
    assert {each["account"] for each in broken} == {B}
    assert (len(errors) > len(broken)) == ("protected" in of_base)
    assert all("still in force because the base file has it" in each["message"] for each in broken)
    assert findings(ended.document, "environment-dropped") == []


def test_keys_that_do_not_stay_behind_are_not_said_to(local: Accounts) -> None:
    move_b_to_account_a(local, unmanaged="delete")
    document = local("plan", "--base", "old.yaml", "--format", "json").document
    assert [change for change in shown_changes(document) if change[1] == "delete"] == [(B, "delete", None)] * 2
    (moved,) = findings(document, "account-changed")
    assert moved["message"] == (
        "environment b has moved to the account of NAGA_A; 2 live keys of it stay behind, unmanaged, in the account of "
        "NAGA_B, and the file says to delete such keys"
    )
    (only,) = findings(
        local("plan", "--base", "old.yaml", "--only", "[bc]/*", "--format", "json").document, moved["rule"]
    )
    assert only["message"].endswith("in the account of NAGA_B"), "such a plan deletes nothing that is unmanaged"


def test_keys_that_are_not_looked_at_are_not_counted(local: Accounts) -> None:
    move_b_to_account_a(local, unmanaged="ignore")
    (moved,) = findings(local("plan", "--base", "old.yaml", "--format", "json").document, "account-changed")
    assert "; its keys stay behind, unmanaged, in the account of NAGA_B" in moved["message"]


@pytest.mark.parametrize("unmanaged", ["report", "delete"])
def test_a_move_is_planned_without_the_accounts_as_it_is_with_them(local: Accounts, unmanaged: str) -> None:
    move_b_to_account_a(local, unmanaged=unmanaged)
    asked, offline = (
        local("plan", "--base", "old.yaml", "--format", "json", *more).document for more in ((), ("--offline",))
    )
    assert shown_changes(offline) == shown_changes(asked)
    assert (A, "create", "b/x") in shown_changes(offline)
    assert findings(offline, "account-changed") == findings(asked, "account-changed")


def test_an_environment_dropped_with_its_account_is_told(local: Accounts) -> None:
    local.declare_both("{x: {}}", "{x: {}}")
    Path("old.yaml").write_text(Path("keys.yaml").read_text())
    local.write(
        "".join(line + "\n" for line in Path("keys.yaml").read_text().splitlines() if not line.startswith("  b:"))
    )
    document = local("plan", "--base", "old.yaml", "--format", "json").document
    (dropped,) = findings(document, "environment-dropped")
    assert dropped["message"] == (
        "environment b is no longer declared, nor is its account; its keys stay behind, unmanaged, in the account of "
        "NAGA_B"
    )
    read = local("plan", "--base", "old.yaml", "-e", "b", "--format", "json").document
    assert read["changes"] == []


def test_a_protection_follows_its_environment_into_another_account(local: Accounts) -> None:
    """Else a change could take it away by naming a variable that holds the same key."""
    local.declare_both("{x: {}}", "{x: {}}")
    text = Path("keys.yaml").read_text()
    Path("old.yaml").write_text(text.replace("keys: {x: {}}}", "guardrails: {max_deletions: 0}, keys: {x: {}}}"))
    local.states[A].create_key("b/x", Decimal(1))
    local.write(text.replace("NAGA_B", "NAGA_A").replace('as: "B_{KEY}"}], keys: {x: {}}', 'as: "B_{KEY}"}], keys: {}'))
    ended = local("plan", "--base", "old.yaml", "--format", "json")
    assert ended.code == 3


def test_three_accounts_of_which_one_is_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with beside_each_other(tmp_path, monkeypatch, (A, C)) as accounts:
        accounts.write(
            """
            version: 1
            defaults: {credit_limit: 1, deliver: [{to: local, as: "{ENVIRONMENT}_{KEY}"}]}
            destinations: {local: {type: dotenv, path: secrets.env}}
            environments:
              a: {provisioning_key_env: NAGA_A, keys: {x: {}}}
              b: {keys: {x: {}}}
              c: {provisioning_key_env: NAGA_C, keys: {x: {}}}
            """
        )
        assert accounts("apply", "--auto-approve").code == 0
        assert (accounts.names_of(A), accounts.names_of(C)) == (["a/x"], ["c/x"])
        assert Path("sim.db").exists()
