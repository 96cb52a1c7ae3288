"""`-e` and `--only`: what they leave out is neither changed nor judged."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model import Unmanaged
from reconciler.planning.actions import Credit, Options
from reconciler.planning.planner import make_plan
from support.builders import address, declaration, declared, environment, live, rails, snapshot

CI = Options(environments=frozenset({"ci"}))


@pytest.mark.parametrize(
    ("options", "covered"),
    [
        (Options(), ["ci/a", "ci/b", "production/a"]),
        (CI, ["ci/a", "ci/b"]),
        (Options(environments=frozenset({"ci", "production"})), ["ci/a", "ci/b", "production/a"]),
        (Options(only=("*/a",)), ["ci/a", "production/a"]),
        (Options(only=("ci/b", "production/*")), ["ci/b", "production/a"]),
        (Options(environments=frozenset({"ci"}), only=("*/a",)), ["ci/a"]),
        (Options(only=("a",)), []),
    ],
)
def test_a_run_is_about_the_addresses_that_both_choose(options: Options, covered: list[str]) -> None:
    covers = options.selector()
    assert [text for text in ("ci/a", "ci/b", "production/a") if covers(address(text))] == covered


KEYS = [declared("ci/a"), declared("ci/b"), declared("production/a"), declared("production/b")]
ACCOUNT = snapshot(
    live(1, "ci/a", "4"),
    live(2, "ci/b"),
    live(3, "production/a", "4"),
    live(4, "production/b"),
    live(5, "ci/c", "3"),
    live(6, "production/c", "2"),
    live(7, "production/d~old.20200101T000000Z"),
    live(8, "laptop"),
)


def test_what_is_left_out_is_neither_changed_nor_counted() -> None:
    plan = make_plan(declaration(KEYS), ACCOUNT, CI)
    assert [f"{each.kind} {each.address}" for each in plan.actions] == ["update ci/a", "delete ci/c"]
    assert plan.unchanged == 1
    assert [key.name for key in plan.unmanaged] == ["laptop"]
    assert plan.options == CI


def test_the_limits_of_what_is_left_out_stay_as_they_are() -> None:
    assert make_plan(declaration(KEYS), ACCOUNT, CI).credit == Credit(Decimal(23), Decimal(21), 0, 0)
    assert make_plan(declaration(KEYS), ACCOUNT).credit == Credit(Decimal(23), Decimal(20), 0, 0)


@pytest.mark.parametrize("policy", Unmanaged)
def test_a_run_about_some_addresses_leaves_keys_without_one_alone(policy: Unmanaged) -> None:
    plan = make_plan(declaration(KEYS, unmanaged=policy), ACCOUNT, CI)
    assert [str(each.address) for each in plan.actions] == ["ci/a", "ci/c"]
    assert plan.findings == ()


def test_what_is_wrong_elsewhere_does_not_stop_the_run() -> None:
    keys = [*KEYS, declared("production/x", id=99)]
    account = snapshot(*ACCOUNT.keys, live(9, "production/b"), live(10, "ci/b"))
    assert [each.rule for each in make_plan(declaration(keys), account).errors] == [
        "duplicate-name",
        "duplicate-name",
        "wrong-id",
    ]
    assert [str(each.address) for each in make_plan(declaration(keys), account, CI).errors] == ["ci/b"]


def test_keys_are_judged_by_themselves_and_budgets_by_whole_environments() -> None:
    rules: dict[str, Any] = {"max_credit_limit": Decimal(1), "credit_budget": Decimal(9), "max_deletions": 0}
    both = [environment("ci", **rules), environment("production", **rules)]
    plan = make_plan(declaration(KEYS, both), ACCOUNT, Options(only=("ci/a",)))
    assert [f"{each.rule} {each.address}" for each in plan.errors] == ["credit-budget ci/a", "max-credit-limit ci/a"]
    assert "$10 of limits is over the budget of environment ci, $9" in plan.errors[0].message
    everything = replace(declaration(KEYS), guardrails=rails(credit_budget=Decimal(19)))
    assert len(make_plan(everything, ACCOUNT, Options(only=("nothing",))).errors) == 1
