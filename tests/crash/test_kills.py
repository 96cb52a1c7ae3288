"""A run is killed beside every request and every write, and one ordinary, unattended apply makes everything good.

The service is the simulator, served on a real socket by the process of the tests. It knows exactly when a request of a
run arrives and when its effect is kept, and kills the run there with SIGKILL; beside its writes to a destination a run
kills itself. What is killed is the real command, but an interpreter that imports it takes half a second, and there are
some two thousand runs here. So each is a fork of one process that has imported everything (`support.forkserver`), which
makes it a matter of milliseconds. The installed script, with nothing prepared, is killed beside the last change of each
scenario, to see that the shortcut hides nothing. A run that meets the lock of a dead one waits until that has run out,
two minutes by the clock of the service, which travels.

The steps of each scenario stand in `support.crash_scenarios`, and a test sees to it that they are all there are. The
gate kills a run once at each kind of step: after each request that changes something, and at the first system call of
each name. The proof kills it beside every one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.crash_scenarios import CREATE, CROWD, LOCK, ONE_BY_ONE, PLAN, RUN, Scenario
from support.crash_world import ALL_TIMES, LEASES, LOCK_LEASE
from support.runs import Forks, Script
from support.sabotage import AFTER, BEFORE, HALF, Blow
from support.watched_service import Strike

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.crash_world import CrashWorld
    from support.runs import Done, Runner

    MakeWorld = Callable[[Scenario], CrashWorld]

KILLED = -9
SERIAL = ("--parallelism", "1")


def name(scenario: Scenario) -> str:
    return scenario.name


def kill(scenario: Scenario, blow: Strike | Blow, label: str, *, in_the_gate: bool) -> object:
    """Return a case, which only the proof has unless it stands for others."""
    identifier = f"{scenario.name}-{blow.moment}-{label}"
    return pytest.param(scenario, blow, id=identifier, marks=() if in_the_gate else pytest.mark.proof)


def at_requests(*scenarios: Scenario) -> list[object]:
    """Every request of the scenarios, and the two moments beside it; one stands for all while a plan is read."""
    return [
        kill(
            scenario,
            Strike(number, moment),
            f"{number}-{label}",
            in_the_gate=moment == AFTER and is_the_only_one_of_its_kind(scenario, number),
        )
        for scenario in scenarios
        for number, label in enumerate(scenario.requests, 1)
        if number > len(PLAN) or scenario is CREATE
        for moment in (BEFORE, AFTER)
    ]


def is_the_only_one_of_its_kind(scenario: Scenario, number: int) -> bool:
    """True of a change; the lock is taken and given back in the same way in every scenario, so one stands for all."""
    if scenario is CROWD:
        return number == len(CROWD.requests) // 2
    its_own = range(len(PLAN + LOCK) + 1, len(scenario.requests) - 1)
    return (scenario is CREATE or number in its_own) and not scenario.requests[number - 1].startswith("GET")


def at_calls(*scenarios: Scenario) -> list[object]:
    """Every system call of the scenarios, the moments beside it, and the middle of what is written.

    Each is told by its name and its number among those of its name: the order of several under way is up to chance.
    """
    return [
        kill(
            scenario,
            Blow(number, moment, call),
            f"{call}-{number}",
            in_the_gate=moment != BEFORE and number == 1 and (scenario is CREATE or call == "rename"),
        )
        for scenario in scenarios
        for call, count in Counter(scenario.calls).items()
        for number in range(1, count + 1)
        for moment in ((BEFORE, HALF, AFTER) if call == "write" else (BEFORE, AFTER))
    ]


def prove_recovery(
    world: CrashWorld, scenario: Scenario, forks: Forks, killed: Done, *, by: Runner | None = None
) -> None:
    """One ordinary apply makes everything good, and what it leaves to its time is gone with the one after that."""
    assert killed.code == KILLED, killed
    recovery = world.recover(by or forks)
    assert recovery.code == 0, f"{recovery}\n\nthe killed run: {killed}"
    world.check(engine={*scenario.engine, "lock"})
    world.state.travel(ALL_TIMES)
    cleaning = world.apply(forks)
    assert cleaning.code == 0, cleaning
    world.check()
    assert world.plan().actions == ()


@pytest.mark.parametrize("scenario", ONE_BY_ONE, ids=name)
def test_a_run_that_nobody_kills_takes_these_steps(make_world: MakeWorld, forks: Forks, scenario: Scenario) -> None:
    world = make_world(scenario)
    done = world.apply(forks, *SERIAL, *scenario.arguments)
    assert done.code == 0, done
    first, rest = world.service.requests[: len(PLAN)], world.service.requests[len(PLAN) :]
    assert ((*sorted(first), *rest), done.calls) == (scenario.requests, scenario.calls), done
    world.check(engine=set(scenario.engine) - {"new"})
    planned = world.run(forks, "plan", "--detailed-exitcode")
    assert planned.code == 0, planned


def test_sixteen_changes_at_once_take_these_steps_in_some_order(make_world: MakeWorld, forks: Forks) -> None:
    world = make_world(CROWD)
    done = world.apply(forks)
    assert done.code == 0, done
    assert Counter(label.split()[0] for label in world.service.requests) == Counter(CROWD.requests), done
    assert len(done.calls) >= len(CROWD.calls)
    world.check(engine=set(CROWD.engine) - {"new"})


@pytest.mark.parametrize(("scenario", "strike"), at_requests(*ONE_BY_ONE))
def test_a_run_killed_beside_a_request(make_world: MakeWorld, forks: Forks, scenario: Scenario, strike: Strike) -> None:
    world = make_world(scenario)
    killed = world.apply(forks, *SERIAL, *scenario.arguments, strike=strike)
    prove_recovery(world, scenario, forks, killed)


@pytest.mark.parametrize(("scenario", "blow"), at_calls(*ONE_BY_ONE))
def test_a_run_killed_beside_a_write_to_a_destination(
    make_world: MakeWorld, forks: Forks, scenario: Scenario, blow: Blow
) -> None:
    world = make_world(scenario)
    killed = world.apply(forks, *SERIAL, *scenario.arguments, blow=blow)
    prove_recovery(world, scenario, forks, killed)


@pytest.mark.parametrize("moment", [pytest.param(BEFORE, marks=pytest.mark.proof), AFTER])
@pytest.mark.parametrize("number", range(1, len(RUN.requests) + 1))
def test_a_command_with_a_lease_killed_beside_a_request(
    make_world: MakeWorld, forks: Forks, number: int, moment: str
) -> None:
    """Nobody comes back for it: its key ends by itself, plans leave it alone, and the next apply then deletes it."""
    world = make_world(RUN)
    killed = world.run(forks, *RUN.arguments, strike=Strike(number, moment))
    assert killed.code == KILLED, killed
    world.check(engine=RUN.engine)
    assert world.plan().actions == ()
    world.state.travel(LEASES["run"])
    cleaning = world.apply(forks)
    assert cleaning.code == 0, cleaning
    world.check()
    assert world.plan().actions == ()


def test_a_command_with_a_lease_that_nobody_kills_takes_these_steps(make_world: MakeWorld, forks: Forks) -> None:
    world = make_world(RUN)
    done = world.run(forks, *RUN.arguments)
    assert (done.code, tuple(world.service.requests)) == (0, RUN.requests), done
    world.check()


@pytest.mark.parametrize(("scenario", "strike"), at_requests(CROWD))
def test_a_run_killed_beside_a_request_with_sixteen_changes_under_way(
    make_world: MakeWorld, forks: Forks, scenario: Scenario, strike: Strike
) -> None:
    world = make_world(scenario)
    killed = world.apply(forks, strike=strike)
    prove_recovery(world, scenario, forks, killed)


@pytest.mark.parametrize(("scenario", "blow"), at_calls(CROWD))
def test_a_run_killed_beside_a_write_with_sixteen_changes_under_way(
    make_world: MakeWorld, forks: Forks, scenario: Scenario, blow: Blow
) -> None:
    world = make_world(scenario)
    killed = world.apply(forks, blow=blow)
    prove_recovery(world, scenario, forks, killed)


@pytest.mark.proof
@pytest.mark.parametrize("scenario", [*ONE_BY_ONE, CROWD], ids=name)
def test_runs_that_are_killed_one_after_the_other_each_a_step_later(
    make_world: MakeWorld, forks: Forks, scenario: Scenario
) -> None:
    world = make_world(scenario)
    killed: list[Done] = []
    while (done := world.apply(forks, *scenario.arguments, strike=Strike(len(killed) + 1, AFTER))).code == KILLED:
        killed.append(done)
        world.state.travel(LOCK_LEASE)
    assert len(killed) > len(PLAN + LOCK), "some of them were killed while they changed something"
    prove_recovery(world, scenario, forks, killed[-1])


@pytest.mark.proof
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize("scenario", ONE_BY_ONE, ids=name)
def test_the_installed_script_killed_at_its_last_change(
    make_world: MakeWorld, forks: Forks, scenario: Scenario, moment: str
) -> None:
    """The shortcut of forking shows what the command itself does: nothing of it is prepared here."""
    world = make_world(scenario)
    last = len(scenario.requests) - len(("GET keys", "DELETE lock"))
    killed = world.apply(Script(), *SERIAL, *scenario.arguments, strike=Strike(last, moment))
    world.state.travel(LOCK_LEASE)
    prove_recovery(world, scenario, forks, killed, by=Script())


def test_the_installed_script_waits_until_the_lock_of_a_dead_run_has_run_out(make_world: MakeWorld) -> None:
    world = make_world(CREATE)
    killed = world.apply(Script(), strike=Strike(CREATE.requests.index("PATCH keys/4") + 1, BEFORE))
    assert killed.code == KILLED, killed
    recovery = world.recover(Script())
    assert recovery.code == 0, recovery
    assert "Waiting up to 5m for another apply: key 3 (reconciler~lock." in recovery.errors
    world.check(engine=["new"])
