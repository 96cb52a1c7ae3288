"""Guardrails, recent use and selections, on the simulator."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import GuardrailRefused
from reconciler.planning.actions import Options, PlanInputs, windows
from reconciler.planning.planner import make_plan
from reconciler.simulator.state import Usage
from support.builders import declaration, environment, rails
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import Declaration
    from reconciler.planning.actions import AccountPlan

WEEK = timedelta(days=7)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def judged(world: World, wanted: Declaration) -> AccountPlan:
    """Plan as the command does, with everything read that the guardrails want to know."""

    async def read() -> AccountPlan:
        async with world.account() as account:
            activity = tuple([await account.activity(days) for days in windows(wanted)])
            snapshot = await account.list_keys()
            return make_plan(wanted, snapshot, inputs=PlanInputs(await account.balance(), activity))

    return asyncio.run(read())


def use(world: World, name: str, days_ago: int) -> None:
    (key,) = (key for key in world.live() if key.name == name)
    day = world.state.now().date() - timedelta(days=days_ago)
    world.state.record([Usage(day, key.id, "gpt-4o", 892, 1, 1, 28_340_000)])


def test_nothing_is_written_when_a_guardrail_is_violated(world: World) -> None:
    world.apply(declaration([world.key("ci/a"), world.key("ci/b")]))
    wanted = declaration([world.key("ci/b", "9"), world.key("ci/c")], [environment("ci", protected=True)])
    before = world.live()
    with pytest.raises(GuardrailRefused):
        world.apply(wanted)
    assert world.live() == before
    result = world.apply(wanted, options=Options(allow=("ci/a",)))
    assert result.in_sync
    assert world.names() == ["ci/b", "ci/c"]


@pytest.mark.parametrize(("days_ago", "refused"), [(0, True), (6, True), (7, True), (8, False), (29, False)])
def test_a_key_that_was_used_lately_is_not_deleted(world: World, days_ago: int, refused: bool) -> None:  # noqa: FBT001  # a parameter of the test
    world.apply(declaration([world.key("ci/a")]))
    use(world, "ci/a", days_ago)
    plan = judged(world, declaration([], [environment("ci", protect_active=WEEK)]))
    assert [each.rule for each in plan.errors] == (["protect-active"] if refused else [])
    assert [each.message for each in plan.findings if each.rule == "in-use"] == [
        "still in use: 892 requests, $28.34 in 30 days"
    ]
    assert [usage.cost for usage in plan.usage.values()] == [Decimal("28.34")]


def test_what_the_account_has_is_read_beside_the_keys(world: World) -> None:
    balance = judged(world, declaration([])).credit.balance
    assert balance is not None
    plan = judged(world, declaration([world.key("ci/a", str(balance + 1))], guardrails=rails(max_deletions=0)))
    assert [each.rule for each in plan.findings] == ["over-balance"]


def test_a_run_about_one_environment_ends_in_sync_whatever_the_others_need(world: World) -> None:
    wanted = declaration([world.key("ci/a"), world.key("production/a")])
    result = world.apply(wanted, options=Options(environments=frozenset({"ci"})))
    assert result.in_sync
    assert world.names() == ["ci/a"]
