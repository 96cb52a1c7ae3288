"""A revocation is killed, loses an answer, or meets an apply at every step: the dead stay dead, and an apply heals.

What a person does instead, revoking once more, heals as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from support.crash_scenarios import (
    DELIVERY,
    FINISH,
    GRACE,
    LEAK,
    LOCK,
    RENAME,
    RESTORE,
    ROTATE,
    STEADY,
    UPDATE,
    WEEK,
    Scenario,
    environment,
    key,
)
from support.crash_world import ALL_TIMES, LOCK_LEASE
from support.sabotage import AFTER, BEFORE, HALF, Blow
from support.watched_service import Strike

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.crash_world import CrashWorld
    from support.runs import Done, Forks
    from support.watched_service import Hook

    MakeWorld = Callable[[Scenario], CrashWorld]

KILLED: Final = -9
AT_THE_END: Final = (12, 13)
"""The requests of a rotation by which the old key retires and the new one takes over."""
ENGINE: Final = ("new", "sent", "old", "gone", "lock")


@dataclass(frozen=True, slots=True)
class Revocation:
    """What is revoked where, and every step of it."""

    scenario: Scenario
    target: str
    requests: tuple[str, ...]
    calls: tuple[str, ...] = DELIVERY * 2


def _retired(world: CrashWorld) -> None:
    LEAK.prepare(world)
    world.live(f"ci/api~gone.{world.until(WEEK)}", is_enabled=False)
    world.declare(environment("ci", key("api", "API") + STEADY, GRACE))


RETIRED: Final = Scenario("retired", _retired, requests=())
REVOCATIONS: Final = (
    Revocation(
        LEAK, "ci/api", ("GET keys", "PATCH keys/4", *LOCK, "POST keys", "PATCH keys/6", "DELETE keys/5", "GET keys/4")
    ),
    Revocation(
        RETIRED,
        "ci/api",
        (
            *("GET keys", "PATCH keys/5", "PATCH keys/4", *LOCK, "POST keys", "PATCH keys/7", "DELETE keys/6"),
            *("GET keys/5", "GET keys/4"),
        ),
    ),
    Revocation(
        FINISH,
        "ci/api",
        (
            *("GET keys", "PATCH keys/4", "PATCH keys/5", *LOCK, "POST keys", "PATCH keys/7", "DELETE keys/6"),
            *("GET keys/4", "GET keys/5"),
        ),
    ),
    Revocation(
        FINISH,
        "ci/api~next",
        (
            *("GET keys", "PATCH keys/5", *LOCK, "POST keys", "GET models", "GET models", "PATCH keys/7"),
            *("PATCH keys/7", "PATCH keys/4", "PATCH keys/7", "DELETE keys/6", "GET keys/5"),
        ),
    ),
)


def revoke(world: CrashWorld, forks: Forks, target: str, **happening: object) -> Done:
    return world.run(forks, "revoke", target, "--yes", **happening)  # type: ignore[arg-type]  # a strike or a blow


def the_dead(world: CrashWorld) -> set[int]:
    """Return the ids of the keys that a revocation has killed so far."""
    return {each.id for each in world.keys().values() if not each.is_enabled and "~gone." not in each.name}


def prove_recovery(world: CrashWorld, forks: Forks, ended: Done, dead: set[int]) -> None:
    """Two ordinary applies make everything good, and nobody who died lives again."""
    for _ in range(2):
        recovery = world.recover(forks)
        assert recovery.code == 0, f"{recovery}\n\nthe run before: {ended}"
    for passed in (LOCK_LEASE, ALL_TIMES):
        world.check(engine=ENGINE)
        assert not {each.id for each in world.keys().values() if each.is_enabled} & dead, (world.keys(), ended)
        assert world.plan().actions == ()
        world.state.travel(passed)
        assert world.apply(forks).code == 0
    world.check()


def name(revocation: Revocation) -> str:
    return f"{revocation.scenario.name}-{revocation.target.partition('/')[2]}"


@pytest.mark.parametrize("revocation", REVOCATIONS, ids=name)
def test_a_revocation_that_nobody_kills_takes_these_steps(
    make_world: MakeWorld, forks: Forks, revocation: Revocation
) -> None:
    world = make_world(revocation.scenario)
    done = revoke(world, forks, revocation.target)
    assert done.code == 0, done
    assert (tuple(world.service.requests), done.calls) == (revocation.requests, revocation.calls), done
    prove_recovery(world, forks, done, the_dead(world))


def case(revocation: Revocation, what: object, label: str, *, in_the_gate: bool) -> object:
    """Return a case, which only the proof has unless it stands for others."""
    marks = () if in_the_gate and revocation is REVOCATIONS[0] else pytest.mark.proof
    return pytest.param(revocation, what, id=f"{name(revocation)}-{label}", marks=marks)


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.proof)], ids=["apply", "revoke-again"])
@pytest.mark.parametrize(
    ("revocation", "strike"),
    [
        case(
            revocation,
            Strike(number, moment),
            f"{moment}-{number}-{label}",
            in_the_gate=moment == AFTER and label.startswith("P"),
        )
        for revocation in REVOCATIONS
        for number, label in enumerate(revocation.requests, 1)
        for moment in (BEFORE, AFTER)
    ],
)
def test_a_revocation_killed_beside_a_request(
    make_world: MakeWorld, forks: Forks, revocation: Revocation, strike: Strike, *, again: bool
) -> None:
    world = make_world(revocation.scenario)
    killed = revoke(world, forks, revocation.target, strike=strike)
    assert killed.code == KILLED, killed
    dead = the_dead(world)
    if again:
        repeated = revoke(world, forks, "ci/api")
        assert repeated.code == 0, repeated
        dead |= the_dead(world)
        assert 4 in dead, "the key that was settled at first is dead"
    prove_recovery(world, forks, killed, dead)


@pytest.mark.parametrize(
    ("revocation", "blow"),
    [
        case(
            revocation,
            Blow(number, moment, call),
            f"{moment}-{call}-{number}",
            in_the_gate=(moment, call, number) == (AFTER, "rename", 1),
        )
        for revocation in (REVOCATIONS[0], REVOCATIONS[-1])
        for call, count in Counter(revocation.calls).items()
        for number in range(1, count + 1)
        for moment in ((BEFORE, HALF, AFTER) if call == "write" else (BEFORE, AFTER))
    ],
)
def test_a_revocation_killed_beside_a_write_to_a_destination(
    make_world: MakeWorld, forks: Forks, revocation: Revocation, blow: Blow
) -> None:
    world = make_world(revocation.scenario)
    killed = revoke(world, forks, revocation.target, blow=blow)
    assert killed.code == KILLED, killed
    prove_recovery(world, forks, killed, the_dead(world))


@pytest.mark.parametrize(
    ("revocation", "fault"),
    [
        case(
            revocation,
            f"{answer} skip={number - 1}",
            f"{answer}-{number}-{label}",
            in_the_gate=answer == "lose=after" and label.startswith("P"),
        )
        for revocation in REVOCATIONS
        for number, label in enumerate(revocation.requests, 1)
        if not label.startswith("GET")
        for answer in ("status=403", "lose=before", "lose=after")
    ],
)
def test_a_revocation_that_gets_no_answer(
    make_world: MakeWorld, forks: Forks, revocation: Revocation, fault: str
) -> None:
    """An exit of 1 says that it is not dead; then only may it live."""
    world = make_world(revocation.scenario)
    world.break_with(f"* * {fault} times=1")
    ended = revoke(world, forks, revocation.target)
    world.break_with()
    dead = the_dead(world)
    assert ended.code in {0, 1, 5}, ended
    assert ended.code == 1 or (5 if revocation.target.endswith("~next") else 4) in dead, ended
    prove_recovery(world, forks, ended, dead)


def revoked_at(
    world: CrashWorld, forks: Forks, number: int, target: str, done: list[Done], *, to_the_end: bool
) -> Hook:
    """Have the answer to a request of an apply wait until a revocation has killed, or has come to its end."""
    killed = asyncio.Event()

    def ended(ending: asyncio.Task[Done]) -> None:
        done.append(ending.result())
        killed.set()

    async def revocation() -> None:
        running = world.launch(forks, "revoke", target, "--yes")
        ending = asyncio.create_task(asyncio.to_thread(running.wait))
        ending.add_done_callback(ended)
        await (ending if to_the_end else killed.wait())

    def watch(arrived: int, label: str) -> Awaitable[object] | None:
        if arrived > number and label.startswith("PATCH"):
            killed.set()
        return revocation() if arrived == number else None

    return watch


@pytest.mark.parametrize("to_the_end", [True, False], ids=["behind-its-lock", "while-it-goes-on"])
@pytest.mark.parametrize(
    ("scenario", "number"),
    [
        pytest.param(
            scenario,
            number,
            id=f"{scenario.name}-{number}-{label}",
            marks=() if scenario is ROTATE and number in AT_THE_END else pytest.mark.proof,
        )
        for scenario in (ROTATE, LEAK, FINISH, RESTORE, UPDATE, RENAME)
        for number, label in enumerate(scenario.requests, 1)
        if number > scenario.requests.index("POST keys") and not label.startswith("DELETE")  # under its lock
    ],
)
def test_a_revocation_beside_an_apply_of_the_same_key(
    make_world: MakeWorld, forks: Forks, scenario: Scenario, number: int, *, to_the_end: bool
) -> None:
    world = make_world(scenario)
    revoked: list[Done] = []
    hook = revoked_at(world, forks, number, "ci/*", revoked, to_the_end=to_the_end)
    applied = world.apply(forks, *scenario.arguments, "--parallelism", "1", hook=hook)
    while not revoked:
        asyncio.run(asyncio.sleep(0.01))
    world.state.strange.clear()  # the apply renames a dead key before it learns of its death, and takes that back
    assert revoked[0].code in {0, 5}, (applied, revoked)
    prove_recovery(world, forks, applied, the_dead(world))
