"""What docs/protocol.md says of each point at which a run can die is what the planner does there."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model import Environment, Snapshot
from reconciler.planning.matching import LEASE
from reconciler.planning.names import LIFE, STAGES, STEPS, Move, Naming, Role, Tail, next_move
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, declaration, declared, dotenv, live
from support.packages import ROOT

if TYPE_CHECKING:
    from reconciler.model import LiveKey
    from reconciler.planning.names import Stage


def described() -> Any:
    spec = importlib.util.spec_from_file_location("protocol", ROOT / "docs/generator/protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for the names in annotations
    spec.loader.exec_module(module)
    return module


PROTOCOLS = described().ALL
POINTS = [pytest.param(each, crash, id=crash.mark) for each in PROTOCOLS for crash in each.crashes]


def the_key(number: int, shown: str) -> LiveKey:
    """Make the key that the page shows: the first of an address is old, what came after it is an hour old."""
    name, _, remark = shown.partition(" ")
    name = name.replace("<nonce>", "0a").replace("<until>", "20300101T000000Z").replace("<past>", "20200101T000000Z")
    fresh = number > 0 or "~new" in name
    created = NOW - (timedelta(hours=1) if fresh else timedelta(days=100))
    key = live(number + 1, name, created_at=created, is_enabled="~gone" not in name)
    if "~new" in name or "~sent" in name:
        end = NOW if remark == "(lease over)" else created + LEASE
        return replace(key, expires_at=end)
    return replace(key, credit_limit=Decimal(400)) if remark == "(limit 400)" else key


@pytest.mark.parametrize(("protocol", "crash"), POINTS)
def test_the_next_plan_is_the_one_that_the_page_says(protocol: Any, crash: Any) -> None:
    delivering = any("~sent" in name for name in crash.live)
    every = timedelta(days=90) if protocol.rotate_every and not delivering else None
    wanted = [declared("production/api", "5", rotate_every=every, deliver=(dotenv(),))] if protocol.declared else []
    grace = timedelta(days=7) if protocol.grace else None
    file = declaration(wanted, environments=[Environment("production", SOMEWHERE, grace)])
    account = Snapshot(tuple(itertools.starmap(the_key, enumerate(crash.live))), NOW)
    plan = make_plan(file, account)
    assert [f"{action.kind} {action.address}" for action in plan.actions] == (
        [] if crash.next_plan == "nothing" else [f"{crash.next_plan} production/api"]
    )
    assert plan.errors == ()
    heals = crash.mark in {"C2", "C3", "R2", "R3", "R4", "R5"}
    assert [finding.rule for finding in plan.findings] == ["interrupted"] * heals


# Every line of the table of stages.

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAST, AHEAD = "20200101T000000Z", "20300101T000000Z"
OF_KEYS = [stage for stage in LIFE if stage.role not in {Role.LOCK, Role.LEASED}]
ENDING = [stage for stage in LIFE if stage.end]


def written(stage: Stage, *, over: bool = False) -> str:
    tails = {
        Tail.NOTHING: "",
        Tail.NONCE: ".0a1b",
        Tail.UNTIL: f".{PAST if over else AHEAD}",
        Tail.PERIOD: f".{NOW.replace(day=1):%Y%m%d}.0",
    }
    whose = "reconciler" if stage.role is Role.LOCK else "production/api"
    return f"{whose}~{stage.sign}{tails[stage.tail]}" if stage.sign else whose


def in_stage(stage: Stage, number: int, *, over: bool = False) -> LiveKey:
    """Make a key in a stage, younger than those of a smaller number."""
    expires = {Tail.NONCE: NOW if over else NOW + HOUR}.get(stage.tail)
    created = NOW - DAY + number * HOUR
    return live(number, written(stage, over=over), "4", created_at=created, expires_at=expires, is_enabled=False)


def planned(*keys: LiveKey, wanted: bool = True, grace: timedelta | None = None) -> list[str]:
    environments = [Environment("production", SOMEWHERE, grace)]
    renew = "month" if any("~per" in key.name for key in keys) else None
    file = declaration([declared("production/api", "5", renew=renew)] if wanted else [], environments)
    return [str(action.kind) for action in make_plan(file, Snapshot(keys, NOW)).actions]


def done_by(move: Move, otherwise: list[str]) -> list[str]:
    return {Move.NOTHING: otherwise, Move.COMPARE: ["update"]}.get(move, [str(move)])


@pytest.mark.parametrize("stage", LIFE, ids=lambda stage: stage.suffix)
def test_a_name_of_each_stage_is_read_as_that_stage(stage: Stage) -> None:
    parsed = Naming("{environment}/{key}", ["production"]).parse(written(stage))
    assert (parsed and parsed.role) == (None if stage.role is Role.LOCK else stage.role)
    assert (parsed is not None and parsed.until is not None) == (stage.tail is Tail.UNTIL)


@pytest.mark.parametrize("stage", OF_KEYS, ids=lambda stage: stage.suffix)
def test_a_key_alone_does_what_its_line_says(stage: Stage) -> None:
    assert planned(in_stage(stage, 1)) == done_by(stage.alone, ["create"])


@pytest.mark.parametrize("older", [Role.SETTLED, Role.RETIRED])
@pytest.mark.parametrize("stage", OF_KEYS, ids=lambda stage: stage.suffix)
def test_a_key_beside_an_older_one_does_what_its_line_says(stage: Stage, older: Role) -> None:
    if stage.role in {Role.SETTLED, Role.RETIRED}:
        older = Role.RETIRED
    there = STAGES[older]
    otherwise = planned(in_stage(there, 1))
    expected = done_by(stage.beside, otherwise)
    assert planned(in_stage(there, 1), in_stage(stage, 2)) == (expected if stage.role is not older else ["restore"])


@pytest.mark.parametrize("stage", ENDING, ids=lambda stage: stage.suffix)
def test_a_key_whose_time_is_over_is_deleted(stage: Stage) -> None:
    key = in_stage(stage, 1, over=True)
    if stage.role is Role.LOCK:
        assert planned(key, wanted=False) == []  # an apply that locks the account takes it away
        return
    assert planned(key, wanted=False) == ["delete"]
    assert planned(in_stage(stage, 1), wanted=False, grace=DAY) == []


@pytest.mark.parametrize("grace", [None, DAY])
@pytest.mark.parametrize("stage", OF_KEYS, ids=lambda stage: stage.suffix)
def test_a_key_whose_address_leaves_the_file_does_what_its_line_says(stage: Stage, grace: timedelta | None) -> None:
    assert planned(in_stage(stage, 1), wanted=False, grace=grace) == done_by(stage.leaves[grace is not None], [])


def test_of_all_stages_at_once_the_first_leads() -> None:
    roles = {stage.role for stage in OF_KEYS}
    order = []
    while roles:
        order.append(next_move(roles))
        roles -= {next(stage.role for stage in LIFE if stage.role in roles)}
    assert order == [Move.FINISH, Move.ROTATE, Move.COMPARE, Move.RESTORE, Move.CREATE, Move.CREATE]


def test_every_stage_is_reached_and_left_by_a_step() -> None:
    reached, left = {step.after for step in STEPS}, {step.before for step in STEPS}
    assert {*Role, None} == reached == left


def test_every_kind_of_change_has_its_crash_points_and_every_point_its_own_mark() -> None:
    marks = [crash.mark for each in PROTOCOLS for crash in each.crashes]
    assert len(set(marks)) == len(marks)
    said = {crash.next_plan for each in PROTOCOLS for crash in each.crashes}
    assert said == {"nothing", "create", "rotate", "finish", "update", "retire", "restore", "delete"}


def test_the_numbers_of_the_page_are_those_of_the_program() -> None:
    from reconciler.account import lock
    from reconciler.execution import executor, issue

    page = " ".join((ROOT / "docs/protocol.md").read_text("utf-8").split())
    assert timedelta(hours=24) == LEASE
    assert timedelta(minutes=2) == lock.LEASE
    assert issue.ATTEMPTS == 3
    for number in (
        f"renews the lease every {lock.RENEW_EVERY:.0f} seconds",
        f"tried every {lock.RETRY_RENEWAL_EVERY:.0f} seconds",
        f"From {lock.MARGIN.total_seconds():.0f} seconds before",
        f"({lock.SHORTEST_PAUSE} to {lock.SHORTEST_PAUSE + lock.LONGEST_PAUSE} seconds)",
        f"has {executor.GRACE_SECONDS:.0f} seconds",
        f"{issue.ATTEMPTS} times within {sum(issue.PAUSES):.0f} seconds".replace(
            "3 times within 4", "three times within four"
        ),
    ):
        assert re.search(re.escape(number), page), number
