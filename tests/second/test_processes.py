"""Processes of the command on the second server's socket: killed beside each of their writes, and two at once."""

from __future__ import annotations

import itertools
import os
import signal
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import pytest

from support.runs import Forks
from support.second_server import Clock, SecondServer, Silence
from support.second_world import Elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.runs import Running
    from support.second_server import Request, Trouble

KILLED: Final = -9
LOCK_LEASE, DAY = 121.0, 86400.0
A, B = "credit_limit: 5, rotation_overlap: 1d", "credit_limit: 80.25"
KEYS: Final = {"a": A, "b": B}
MIXED: Final = Silence(newest_first=True, hint="total", more_fields=True, strict_fields=True, unique_names=True)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


def killed_at(number: int, moment: str, run: SimpleQueue[Running]) -> Callable[[Request], Trouble]:
    """Kill a run beside its write of this number: before the service has done what it asks for, or after."""
    writes = itertools.count(1)

    def meet(request: Request) -> Trouble:
        if request.method == "GET" or next(writes) != number:
            return ""
        os.kill(run.get().pid, signal.SIGKILL)
        return "dropped" if moment == "before" else "lost"

    return meet


def prepared(world: Elsewhere, what: str) -> tuple[list[str], list[str]]:
    """Lead up to the run that is killed; returns its arguments, and the names that it settles."""
    if what == "create":
        world.declare(**KEYS)
        return [], ["ci/a", "ci/b"]
    world.declare(**KEYS)
    assert world.apply().code == 0
    if what == "rotate":
        return ["--rotate", "ci/a"], ["ci/a", "ci/b"]
    world.declare(a=A)
    return [], ["ci/a"]


@pytest.mark.parametrize("parallelism", [pytest.param("1", marks=pytest.mark.proof), "16"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["create", "rotate", "retire"])
def test_runs_killed_one_after_the_other_each_a_write_later_end_well(
    tmp_path: Path, forks: Forks, what: str, moment: str, parallelism: str
) -> None:
    with SecondServer(MIXED) as server:
        world = Elsewhere(tmp_path, server, forks)
        arguments, names = prepared(world, what)
        number, code = 0, KILLED
        while code == KILLED:
            number += 1
            struck: SimpleQueue[Running] = SimpleQueue()
            server.trouble = killed_at(number, moment, struck)
            run = world.start("apply", "--auto-approve", "--parallelism", parallelism, *arguments)
            struck.put(run)
            code = run.wait().code
            server.trouble = lambda _: ""
            server.clock.advance(LOCK_LEASE)
        assert code == 0
        assert number > len(("the lock", "a change", "the lock again"))
        world.check_quiet(*names)
        server.clock.advance(3 * DAY)
        assert world.apply().code == 0
        assert world.names() == names
        assert world.broken == []


@pytest.mark.parametrize("parallelism", [pytest.param("1", marks=pytest.mark.proof), "16"])
@pytest.mark.parametrize("what", ["create", "rotate", "retire"])
def test_two_at_once_do_everything_once(tmp_path: Path, forks: Forks, what: str, parallelism: str) -> None:
    with SecondServer(
        MIXED, clock=Clock(tick=0.2)
    ) as server:  # two rotations within a second would give one name twice
        world = Elsewhere(tmp_path, server, forks)
        arguments, names = prepared(world, what)
        words = ("apply", "--auto-approve", "--parallelism", parallelism, *arguments)
        done = [run.wait() for run in [world.start(*words) for _ in range(2)]]
        assert [each.code for each in done] == [0, 0], "\n".join(map(str, done))
        world.check_quiet(*names)
        assert world.broken == []
