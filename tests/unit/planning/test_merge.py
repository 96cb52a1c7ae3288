from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from reconciler.diagnostic import Severity
from reconciler.model import Usage
from reconciler.planning.accounts import merge, merge_results, of_account, replaced
from reconciler.planning.actions import (
    ApplyResult,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Finding,
    Outcome,
    Plan,
    Status,
    cut_short,
    untouched,
)
from reconciler.planning.planfile import digest
from support.builders import NOW, declared, live

WARNING = Finding("not-read", Severity.WARNING, "the balance could not be read")
STRANGER = Delete(None, live(1, "stranger"), DeleteReason.UNMANAGED, None)


def plan(*actions: Create | Delete, findings: tuple[Finding, ...] = (), balance: str | None = "10") -> Plan:
    credit = Credit(Decimal(1), Decimal(2), 3, 4, None if balance is None else Decimal(balance))
    return Plan(NOW, actions, findings, credit, unchanged=5, unmanaged=(live(9, "x"),))


A = of_account(plan(Create(declared("z/a")), STRANGER), "NAGA_A")
B = of_account(plan(Create(declared("b/a")), STRANGER), "NAGA_B")


def test_actions_stand_in_the_order_of_every_plan_and_say_whose_they_are() -> None:
    merged = merge({"NAGA_B": B, "NAGA_A": A})
    assert [(str(action.address), action.account) for action in merged.actions] == [
        ("b/a", "NAGA_B"),
        ("z/a", "NAGA_A"),
        ("None", "NAGA_A"),
        ("None", "NAGA_B"),
    ]
    assert merged == merge({"NAGA_A": A, "NAGA_B": B})
    assert list(merged.parts) == ["NAGA_A", "NAGA_B"]


def test_what_can_be_added_up_is() -> None:
    merged = merge({"NAGA_A": A, "NAGA_B": B})
    assert merged.credit == Credit(Decimal(2), Decimal(4), 6, 8, Decimal(20))
    assert (merged.unchanged, len(merged.unmanaged)) == (10, 2)


def test_a_balance_that_is_not_known_makes_the_sum_unknown() -> None:
    assert merge({"NAGA_A": A, "NAGA_B": of_account(plan(balance=None), "NAGA_B")}).credit.balance is None


def test_use_is_told_apart_where_two_accounts_have_a_key_of_one_id() -> None:
    used = of_account(replace(plan(STRANGER), usage={1: Usage(30, Decimal(7), 9)}), "NAGA_A")
    assert merge({"NAGA_A": used, "NAGA_B": B}).usage == {("NAGA_A", 1): Usage(30, Decimal(7), 9)}


def test_whose_a_key_is_counts_in_the_digest() -> None:
    one, other = of_account(plan(STRANGER), "NAGA_A"), of_account(plan(STRANGER), "NAGA_B")
    assert len({digest(merge({"NAGA_A": one})), digest(merge({"NAGA_B": other})), digest(plan(STRANGER))}) == 3


def test_what_all_accounts_have_to_say_is_said_once() -> None:
    told = of_account(plan(findings=(WARNING,)), "NAGA_A")
    also = of_account(plan(findings=(WARNING,)), "NAGA_B")
    assert merge({"NAGA_A": told, "NAGA_B": also}).findings == (WARNING,)
    assert merge({"NAGA_A": told, "NAGA_B": B}).findings == (replace(WARNING, account="NAGA_A"),)
    assert merge({"NAGA_A": told}).findings == (replace(WARNING, account="NAGA_A"),)


def test_a_part_is_replaced_and_what_is_said_of_all_stays() -> None:
    general = Finding("account-unread", Severity.ERROR, "it is down", account="NAGA_C")
    told = of_account(plan(findings=(WARNING,)), "NAGA_A")
    merged = merge({"NAGA_A": told, "NAGA_B": B}, [general])
    assert replaced(merged, {}) is merged
    assert replaced(merged, {"NAGA_A": A}) == merge({"NAGA_A": A, "NAGA_B": B}, [general])
    alone = plan(STRANGER)
    assert replaced(alone, {"NAGA_PROVISIONING_KEY": plan()}) == plan()


def test_results_are_put_together() -> None:
    done = ApplyResult(
        (Outcome(A.actions[0], Status.DONE), Outcome(A.actions[1], Status.FAILED)), remaining=A, note="a note"
    )
    merged = merge_results({"NAGA_A": done, "NAGA_B": untouched(B)}, {})
    assert [outcome.action.account for outcome in merged.outcomes] == ["NAGA_B", "NAGA_A", "NAGA_A", "NAGA_B"]
    assert merged.remaining == merge({"NAGA_A": A, "NAGA_B": B})
    assert (merged.note, merged.unreached, merged.interrupted) == ("NAGA_A: a note", (), False)


def test_an_account_that_was_not_reached_leaves_it_open_whether_all_is_in_sync() -> None:
    merged = merge_results({"NAGA_A": ApplyResult((), remaining=plan())}, {"NAGA_B": "it is\ndown"})
    assert (merged.in_sync, merged.unreached, merged.note) == (None, ("NAGA_B",), "NAGA_B: it is down")


def test_what_was_interrupted_in_one_account_was_interrupted() -> None:
    results = {"NAGA_A": cut_short(A, (), interrupted=True), "NAGA_B": ApplyResult(())}
    merged = merge_results(results, {})
    assert (merged.interrupted, merged.in_sync) == (True, None)
