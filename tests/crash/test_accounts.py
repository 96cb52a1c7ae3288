"""A run is killed while it applies two accounts, and one ordinary, unattended apply makes both good.

What becomes of one account is shown step by step in `test_kills`. Here two are under way at the same time and write to
one file, so where each of them is at the moment of the kill is up to chance.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest
from dotenv import dotenv_values

from reconciler.simulator import State
from support.crash_scenarios import QUARTER
from support.crash_world import ALL_TIMES, COMMENT, LOCK_LEASE
from support.runs import Job
from support.sabotage import AFTER, BEFORE, HALF, Blow
from support.several import SEVERAL, A, B, Together, bearer_of
from support.simulation import Service as Account
from support.watched_service import Strike

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.runs import Done, Forks
    from support.watched_service import Service

KILLED: Final = -9
KEYS: Final = "{new: {}, changed: {credit_limit: 9}, due: {rotate_every: 90d, rotation_overlap: 1d}}"
DECLARED: Final = ("new", "changed", "due")
READING: Final = 6
ALL: Final = 40
"""How many requests a run takes that nobody kills, of which the first are those of reading both accounts."""
WRITES: Final = 2
"""How many secrets each account has for the file; those that are ready at the same time are written together."""


class Accounts:
    """Two accounts with a key to create, one to change, one to rotate, one to delete and one of somebody else each."""

    def __init__(self, service: Service, url: str, folder: Path, states: dict[str, State]) -> None:
        self._service = service
        self._url = url
        self._folder = folder
        self.states = states
        self._env = folder / "secrets.env"
        self._env.write_text(f"{COMMENT}\n")
        for variable, state in states.items():
            name = variable[-1].lower()
            for key in ("due", "changed", "removed"):
                _, secret = state.create_key(f"{name}/{key}", Decimal(1))
                with self._env.open("a") as file:
                    file.write(f"{name.upper()}_{key.upper()}='{secret.reveal()}'\n")
            state.create_key("somebody's own", Decimal(7))
            state.travel(QUARTER)
        (folder / "keys.yaml").write_text(SEVERAL % (KEYS, KEYS))
        bearers = {v: frozenset({bearer_of(v)}) for v in states}
        service.open(Together({v: Account(state, provisioning_keys=bearers[v]) for v, state in states.items()}))

    def apply(self, forks: Forks, *, strike: Strike | None = None, blow: Blow | None = None) -> Done:
        self._service.expect(strike)
        environment = {"NAGA_BASE_URL": self._url, **{variable: bearer_of(variable) for variable in self.states}}
        arguments = ("apply", "--auto-approve", "--parallelism", "1")
        run = forks.start(Job(self._folder, arguments, environment, blow))
        self._service.watch(run.pid)
        done = run.wait()
        self._service.rest()
        return done

    def check(self, *, at_the_end: bool) -> None:
        """See that both are as declared, each secret where it belongs; at the end nothing of the engine is left."""
        secrets = dotenv_values(self._env)
        assert COMMENT in self._env.read_text()
        assert [path.name for path in self._folder.glob("*secrets.env*")] == ["secrets.env"]
        for variable, state in self.states.items():
            name = variable[-1].lower()
            live = list(state.keys())
            names = sorted(key.name for key in live if at_the_end or "~" not in key.name)
            assert names == sorted([*(f"{name}/{key}" for key in DECLARED), "somebody's own"])
            for key in live:
                if "~" not in key.name and key.name != "somebody's own":
                    secret = secrets[f"{name.upper()}_{key.name.partition('/')[2].upper()}"]
                    assert secret is not None
                    assert state._holder(secret) == key.id, key

    def prove_recovery(self, forks: Forks, killed: Done) -> None:
        """See that one ordinary apply makes both good, and that what it leaves to its time goes with the next."""
        assert killed.code == KILLED, killed
        for at_the_end, passed in ((False, LOCK_LEASE), (True, ALL_TIMES)):
            for state in self.states.values():
                state.travel(passed)
            recovery = self.apply(forks)
            assert recovery.code == 0, f"{recovery}\n\nthe killed run: {killed}"
            self.check(at_the_end=at_the_end)


@pytest.fixture
def accounts(served_service: tuple[Service, str], tmp_path: Path) -> Iterator[Accounts]:
    with State(":memory:") as a, State(":memory:") as b:
        yield Accounts(*served_service, tmp_path, {A: a, B: b})


def test_a_run_that_nobody_kills_takes_so_many_steps(
    accounts: Accounts, forks: Forks, served_service: tuple[Service, str]
) -> None:
    done = accounts.apply(forks)
    assert done.code == 0, done
    assert len(served_service[0].requests) == ALL
    assert all("keys/" not in label and not label.startswith("POST") for label in served_service[0].requests[:READING])
    accounts.check(at_the_end=False)


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize("number", range(READING + 1, ALL + 1, 3))
def test_a_run_over_two_accounts_killed_beside_a_request(
    accounts: Accounts, forks: Forks, number: int, moment: str
) -> None:
    accounts.prove_recovery(forks, accounts.apply(forks, strike=Strike(number, moment)))


@pytest.mark.parametrize("moment", [BEFORE, HALF, AFTER])
@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_a_run_over_two_accounts_killed_beside_a_write_to_the_file_they_share(
    accounts: Accounts, forks: Forks, number: int, moment: str
) -> None:
    accounts.prove_recovery(forks, accounts.apply(forks, blow=Blow(number, moment, "write")))
