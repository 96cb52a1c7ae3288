from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from reconciler.diagnostic import Severity
from reconciler.model import Usage
from reconciler.planning.accounts import merge_results, replaced, whole
from reconciler.planning.actions import (
    AccountPlan,
    ApplyResult,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Finding,
    Outcome,
    Status,
    cut_short,
    untouched,
)
from reconciler.planning.planfile import digest
from support.builders import NOW, declared, live

WARNING = Finding("not-read", Severity.WARNING, "the balance could not be read")
STRANGER = Delete(None, live(1, "stranger"), DeleteReason.UNMANAGED, None)


def plan(
    account: str | None, *actions: Create | Delete, findings: tuple[Finding, ...] = (), balance: str | None = "10"
) -> AccountPlan:
    credit = Credit(Decimal(1), Decimal(2), 3, 4, None if balance is None else Decimal(balance))
    made = AccountPlan(NOW, actions, findings, credit, unchanged=5, unmanaged=(live(9, "x"),))
    return made.named(account)


A = plan("NAGA_A", Create(declared("z/a")), STRANGER)
B = plan("NAGA_B", Create(declared("b/a")), STRANGER)


def test_actions_stand_in_the_order_of_every_plan_and_say_whose_they_are() -> None:
    both = whole([B, A])
    assert [(str(action.address), action.account) for action in both.actions] == [
        ("b/a", "NAGA_B"),
        ("z/a", "NAGA_A"),
        ("None", "NAGA_A"),
        ("None", "NAGA_B"),
    ]
    assert both == whole([A, B])
    assert both.accounts == (A, B)


def test_a_plan_of_one_account_says_just_what_that_has_to_say() -> None:
    alone = plan(None, Create(declared("z/a")), STRANGER, findings=(WARNING, WARNING))
    found = whole([alone])
    assert (found.actions, found.findings, found.credit) == (alone.actions, (WARNING,), alone.credit)
    assert digest(found) == digest(alone)


def test_what_can_be_added_up_is() -> None:
    both = whole([A, B])
    assert both.credit == Credit(Decimal(2), Decimal(4), 6, 8, Decimal(20))
    assert (both.unchanged, len(both.unmanaged)) == (10, 2)


def test_a_balance_that_is_not_known_makes_the_sum_unknown() -> None:
    assert whole([A, plan("NAGA_B", balance=None)]).credit.balance is None


def test_use_is_told_apart_where_two_accounts_have_a_key_of_one_id() -> None:
    used = replace(plan("NAGA_A", STRANGER), usage={1: Usage(30, Decimal(7), 9)})
    both = whole([used, B])
    assert {each.account: both.usage_of(each) for each in both.actions if isinstance(each, Delete)} == {
        "NAGA_A": Usage(30, Decimal(7), 9),
        "NAGA_B": None,
    }
    assert (both.tells_usage, whole([A, B]).tells_usage) == (True, False)


def test_whose_a_key_is_counts_in_the_digest() -> None:
    assert len({digest(whole([plan(account, STRANGER)])) for account in ("NAGA_A", "NAGA_B", None)}) == 3


def test_what_all_accounts_have_to_say_is_said_once() -> None:
    told, also = plan("NAGA_A", findings=(WARNING,)), plan("NAGA_B", findings=(WARNING,))
    assert whole([told, also]).findings == (WARNING,)
    assert whole([told, B]).findings == (replace(WARNING, account="NAGA_A"),)
    assert whole([told]).findings == (replace(WARNING, account="NAGA_A"),)


def test_an_account_is_replaced_and_what_is_said_of_all_stays() -> None:
    general = Finding("account-unread", Severity.ERROR, "it is down", account="NAGA_C")
    both = whole([plan("NAGA_A", findings=(WARNING,)), B], [general])
    assert replaced(both, []) is both
    assert replaced(both, [A]) == whole([A, B], [general])
    assert replaced(whole([plan(None, STRANGER)]), [plan(None)]) == whole([plan(None)])


def test_results_are_put_together() -> None:
    outcomes = (Outcome(A.actions[0], Status.DONE), Outcome(A.actions[1], Status.FAILED))
    done = ApplyResult(outcomes, remaining=whole([A]), note="a note")
    merged = merge_results({"NAGA_A": done, "NAGA_B": untouched(whole([B]))}, {})
    assert [outcome.action.account for outcome in merged.outcomes] == ["NAGA_B", "NAGA_A", "NAGA_A", "NAGA_B"]
    assert merged.remaining == whole([A, B])
    assert (merged.note, merged.unreached, merged.interrupted) == ("NAGA_A: a note", (), False)
    assert merge_results({"NAGA_A": done}, {}) == done


def test_an_account_that_was_not_reached_leaves_it_open_whether_all_is_in_sync() -> None:
    merged = merge_results({"NAGA_A": ApplyResult((), remaining=whole([A]))}, {"NAGA_B": "it is\ndown"})
    assert (merged.in_sync, merged.unreached, merged.note) == (None, ("NAGA_B",), "NAGA_B: it is down")


def test_what_was_interrupted_in_one_account_was_interrupted() -> None:
    results = {"NAGA_A": cut_short(whole([A]), (), interrupted=True), "NAGA_B": ApplyResult(())}
    merged = merge_results(results, {})
    assert (merged.interrupted, merged.in_sync) == (True, None)
