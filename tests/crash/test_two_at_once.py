"""Two real processes apply to one account at the same time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import pytest

from support.crash_scenarios import CREATE, CROWD, DELETE, LOCK, PLAN, RENEW, RETIRE, ROTATE, TWO_FILES, Scenario
from support.crash_world import ALL_TIMES, LOCK_LEASE
from support.runs import LONGEST, Forks, Script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.crash_world import CrashWorld
    from support.runs import Done, Runner, Running
    from support.watched_service import Hook

    MakeWorld = Callable[[Scenario], CrashWorld]

SAME: Final = ("keys.yaml", "keys.yaml")
APART: Final = ("keys.yaml", "others.yaml")


def meeting_at_the_lock() -> Hook:
    """Have both look for a lock before either posts one: each reads the keys twice before that, and the other waits."""
    together = asyncio.Barrier(2)
    read: list[str] = []

    def watch(_: int, label: str) -> Awaitable[object] | None:
        if label != "GET keys" or len(read) == 4:
            return None
        read.append(label)
        return together.wait()

    return watch


def as_it_comes() -> Hook:
    return lambda _, __: None


def apply_twice(world: CrashWorld, runner: Runner, files: tuple[str, str], hook: Hook) -> list[Done]:
    world.service.expect(hook=hook)
    runs = [world.launch(runner, "apply", "--auto-approve", "-f", file) for file in files]
    dones = [run.wait() for run in runs]
    world.service.rest()
    return dones


@pytest.mark.parametrize("attempt", [0, *(pytest.param(number, marks=pytest.mark.proof) for number in (1, 2))])
@pytest.mark.parametrize("files", [SAME, APART], ids=["same-work", "other-work"])
@pytest.mark.parametrize("hook", [meeting_at_the_lock, as_it_comes], ids=lambda hook: hook.__name__)
def test_two_applies_at_once_leave_one_set_of_keys(
    make_world: MakeWorld, forks: Forks, files: tuple[str, str], hook: Callable[[], Hook], attempt: int
) -> None:
    world = make_world(TWO_FILES)
    dones = apply_twice(world, forks, files, hook())
    assert [done.code for done in dones] == [0, 0], "\n\n".join(map(str, dones))
    if files == SAME:
        assert world.apply(forks, "-f", "others.yaml").code == 0
    world.check()
    assert world.plan().actions == (), attempt


@pytest.mark.parametrize("scenario", [ROTATE, RENEW, CROWD], ids=lambda scenario: scenario.name)
def test_two_applies_of_everything_there_is_do_it_once(make_world: MakeWorld, forks: Forks, scenario: Scenario) -> None:
    world = make_world(scenario)
    dones = apply_twice(world, forks, SAME, meeting_at_the_lock())
    assert [done.code for done in dones] == [0, 0], "\n\n".join(map(str, dones))
    world.check(engine=set(scenario.engine) - {"new"})


@pytest.mark.parametrize(
    ("scenario", "number"),
    [
        pytest.param(
            scenario,
            number,
            id=f"{scenario.name}-{number}-{label}",
            marks=() if scenario is ROTATE else pytest.mark.proof,
        )
        for scenario in (CREATE, ROTATE, RETIRE, DELETE)
        for number, label in enumerate(scenario.requests, 1)
        if number > len(PLAN + LOCK[:1])  # its lock is posted
    ],
)
def test_a_run_that_slept_through_another_one_writes_nothing_more(
    make_world: MakeWorld, forks: Forks, scenario: Scenario, number: int
) -> None:
    """As on a laptop whose lid is closed for as long as the lock lasts, and opened when another run has been there."""
    world = make_world(scenario)
    asleep = threading.Event()
    sleeper: list[Running] = []

    def sleep(arrived: int, _: str) -> None:
        if arrived == number:
            os.kill(sleeper[0].pid, signal.SIGSTOP)
            asleep.set()

    world.service.expect(hook=sleep)
    sleeper.append(world.launch(forks, "apply", "--auto-approve"))
    assert asleep.wait(LONGEST)
    world.state.travel(LOCK_LEASE)
    try:
        other = world.apply(forks)
    finally:
        sleeper[0].clock.write_text(str(LOCK_LEASE.total_seconds()))
        os.kill(sleeper[0].pid, signal.SIGCONT)
    woken = sleeper[0].wait()
    assert other.code == 0, other
    world.check(engine=scenario.engine)
    assert woken.code == 0 or "the lock on the account" in woken.errors, woken
    world.state.travel(ALL_TIMES)
    last = world.apply(forks)
    assert last.code == 0, last
    world.check()


@pytest.mark.proof
@pytest.mark.parametrize("files", [SAME, APART], ids=["same-work", "other-work"])
def test_the_installed_script_twice_at_once(make_world: MakeWorld, files: tuple[str, str]) -> None:
    """With the real pauses between looking for a lock and looking again."""
    world = make_world(TWO_FILES)
    dones = apply_twice(world, Script(), files, meeting_at_the_lock())
    assert [done.code for done in dones] == [0, 0], "\n\n".join(map(str, dones))
    if files == SAME:
        assert world.apply(Script(), "-f", "others.yaml").code == 0
    world.check()
