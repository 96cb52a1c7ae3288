"""Promises about several accounts in one file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine.accounts import PlanRequest
from reconciler.engine.planning import plan_account
from reconciler.model import Declaration, Environment, LiveKey, Snapshot
from reconciler.planning.accounts import whole
from reconciler.planning.actions import NOTHING_READ
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, declaration, declared, snapshot
from support.search import examples

if TYPE_CHECKING:
    from reconciler.planning.actions import AccountPlan, Action, Plan

VARIABLES = ("NAGA_A", "NAGA_B", "NAGA_C")
LIMITS = st.none() | st.integers(0, 9).map(str)
KEYS = st.sets(st.sampled_from("xyz"))
NAMES = [f"{variable[-1].lower()}-{number}/{key}" for variable in VARIABLES for number in (1, 2) for key in "xyz"]


@st.composite
def files(draw: st.DrawFn) -> dict[str, Declaration]:
    """A file for each of two accounts or more."""
    parts = {}
    for variable in draw(st.sets(st.sampled_from(VARIABLES), min_size=2)):
        names = [f"{variable[-1].lower()}-{number}" for number in (1, 2)]
        environments = [Environment(name, SOMEWHERE, provisioning_key_env=variable) for name in names]
        keys = [declared(f"{name}/{key}", draw(LIMITS)) for name in names for key in sorted(draw(KEYS))]
        parts[variable] = declaration(keys, environments)
    return parts


@st.composite
def live_accounts(draw: st.DrawFn) -> Snapshot:
    """Keys of whatever names, also of other accounts; ids count from 1 in each account."""
    names = draw(st.lists(st.sampled_from([*NAMES, "stranger"]), unique=True))
    declared_keys = [declared("any/key", draw(LIMITS)) for _ in names]
    return snapshot(
        *(
            LiveKey(number, name, NOW, None, draw(st.booleans()), key.credit_limit)
            for number, (name, key) in enumerate(zip(names, declared_keys, strict=True), start=1)
        )
    )


def together(parts: dict[str, Declaration]) -> Declaration:
    environments = [each for part in parts.values() for each in part.environments.values()]
    return declaration([key for part in parts.values() for key in part.keys], environments)


def unlabelled(plan: Plan | AccountPlan) -> list[Action]:
    return [replace(action, account=None) for action in plan.actions]


@settings(max_examples=examples(100))
@given(files(), st.data())
def test_accounts_planned_together_are_planned_as_each_alone(
    parts: dict[str, Declaration], data: st.DataObject
) -> None:
    live = {variable: data.draw(live_accounts()) for variable in parts}
    alone = {variable: make_plan(part, live[variable]) for variable, part in parts.items()}
    request = PlanRequest(together(parts))
    assert request.variables() == tuple(sorted(parts))
    plan = whole(plan_account(request, name, live[name], NOTHING_READ) for name in request.variables())
    assert sorted(map(str, unlabelled(plan))) == sorted(
        str(action) for each in alone.values() for action in each.actions
    )
    for variable, each in alone.items():
        (mine,) = (one for one in plan.accounts if one.account == variable)
        assert unlabelled(mine) == list(each.actions)
        assert sum(action.account == variable for action in plan.actions) == len(each.actions)
    assert plan.unchanged == sum(each.unchanged for each in alone.values())
    assert len(plan.unmanaged) == sum(len(each.unmanaged) for each in alone.values())
