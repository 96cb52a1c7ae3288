from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support.crash_world import CrashWorld
from support.runs import Forks
from support.simulation import served
from support.watched_service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.crash_scenarios import Scenario


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The process that every run of this session but a few is a fork of."""
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def served_service() -> Iterator[tuple[Service, str]]:
    service = Service()
    with served(service) as url:
        yield service, url


@pytest.fixture
def make_world(served_service: tuple[Service, str], tmp_path: Path) -> Iterator[Callable[[Scenario], CrashWorld]]:
    """Makes the world of a scenario."""
    with ExitStack() as worlds:

        def make(scenario: Scenario) -> CrashWorld:
            world = worlds.enter_context(CrashWorld(*served_service, tmp_path, bare=scenario.bare))
            scenario.prepare(world)
            return world

        yield make
