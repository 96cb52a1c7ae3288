"""The secret of a key is gone from memory when the key is done with, whatever has become of it."""

from __future__ import annotations

import asyncio
import gc
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from reconciler.account.lock import Lock
from reconciler.cli.apply import Progress
from reconciler.destinations.dotenv import Dotenv
from reconciler.execution import executor
from reconciler.secret import Secret
from reconciler.simulator import State
from support.command import Front, started
from support.memory import ISSUED, issued_secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Snapshot
    from reconciler.planning.actions import Outcome

THREE = "{a: {credit_limit: 1}, b: {credit_limit: 1}, c: {credit_limit: 1}}"
LIKE_ISSUED = "x" * 31


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Use a service in another process, whose own copies are not found here."""
    monkeypatch.chdir(tmp_path)
    with State(tmp_path / "sim.db") as state, started("simulate", "--state", "sim.db") as process:
        assert process.stdout is not None
        monkeypatch.setenv("NAGA_BASE_URL", process.stdout.readline().strip())
        monkeypatch.setenv("NAGA_PROVISIONING_KEY", "simulator")
        yield Front(state)


@pytest.fixture
def fresh() -> Callable[[], set[bytes]]:
    """Give what tells of the secrets that came into memory since the test began."""
    gc.collect()
    before = issued_secrets()
    return lambda: issued_secrets() - before


def delivering(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Have something happen in every delivery, with the secret in hand."""
    deliver = Dotenv.deliver

    async def and_then(self: Dotenv, secret_delivery: SecretDelivery) -> None:
        then()
        await deliver(self, secret_delivery)

    monkeypatch.setattr(Dotenv, "deliver", and_then)


@pytest.mark.parametrize(
    "hold",
    [
        Secret,
        str,
        str.encode,
        lambda text: bytearray(text, "ascii"),
        lambda text: (text,),
        lambda text: {"key": [text]},
    ],
)
def test_the_search_finds_a_secret_however_it_is_held(
    fresh: Callable[[], set[bytes]], hold: Callable[[str], object]
) -> None:
    held = [hold(f"ng-{LIKE_ISSUED}y")]
    assert len(fresh()) == 1
    del held
    assert fresh() == set()


def test_a_secret_is_in_memory_while_it_is_delivered_and_not_when_that_is_done(
    front: Front, fresh: Callable[[], set[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    report = Progress.report

    def count(self: Progress, outcome: Outcome) -> None:
        report(self, outcome)
        seen.append(len(fresh()))

    delivering(monkeypatch, lambda: seen.append(len(fresh())))
    monkeypatch.setattr(Progress, "report", count)
    assert front.declare(THREE)("apply", "--auto-approve", "--parallelism", "1").code == 0
    assert seen == [1, 0, 1, 0, 1, 0]
    assert fresh() == set()
    assert all(ISSUED.fullmatch(str(value).encode()) for value in dotenv_values("secrets.env").values())


def test_nothing_is_left_of_keys_that_were_delivered_together(front: Front, fresh: Callable[[], set[bytes]]) -> None:
    keys = ", ".join(f"k{number}: {{credit_limit: 1}}" for number in range(20))
    assert front.declare(f"{{{keys}}}")("apply", "--auto-approve").code == 0
    assert fresh() == set()
    assert len(dotenv_values("secrets.env")) == 20


def test_nothing_is_left_of_a_rotation_that_tried_the_new_key(front: Front, fresh: Callable[[], set[bytes]]) -> None:
    front.declare("{a: {credit_limit: 1, rotation_overlap: 1h}}")
    assert front("apply", "--auto-approve").code == 0
    assert front("apply", "--auto-approve", "--rotate", "ci/a").code == 0
    assert fresh() == set()


def test_nothing_is_left_of_a_key_that_was_not_delivered(front: Front, fresh: Callable[[], set[bytes]]) -> None:
    Path("secrets.env").write_text("no line of a dotenv file\n", encoding="utf-8")

    async def nothing(*_: object) -> None:
        """Find nothing wrong beforehand."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dotenv, "preflight", nothing)
        ended = front.declare(THREE)("apply", "--auto-approve")
    assert ended.code != 0
    assert "neither NAME=value nor a comment" in ended.err + ended.out
    assert fresh() == set()


@pytest.mark.parametrize("error", [ValueError, ZeroDivisionError])
def test_nothing_is_left_of_a_key_whose_destination_broke(
    front: Front, fresh: Callable[[], set[bytes]], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def deliver(_: Dotenv, secret_delivery: SecretDelivery) -> None:
        raise error(secret_delivery.secret.reveal())

    monkeypatch.setattr(Dotenv, "deliver", deliver)
    assert front.declare(THREE)("-v", "apply", "--auto-approve").code == 1
    gc.collect()  # the error that holds the secret holds itself
    assert fresh() == set()


def test_nothing_is_left_of_a_key_that_the_service_made_otherwise(
    front: Front, fresh: Callable[[], set[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.execution.issue.altered_fields", lambda *_: "another name")
    assert front.declare(THREE)("apply", "--auto-approve").code == 1
    assert fresh() == set()


def test_nothing_is_left_of_a_key_when_its_delivery_was_cut_off(
    front: Front, fresh: Callable[[], set[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    async def hang(*_: object) -> None:
        seen.append(len(fresh()))
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    monkeypatch.setattr(executor, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(Dotenv, "deliver", hang)
    assert front.declare(THREE)("apply", "--auto-approve", "--parallelism", "1").code == 130
    assert seen == [1]
    assert fresh() == set()


def test_nothing_is_left_of_a_key_when_the_lock_was_lost_meanwhile(
    front: Front, fresh: Callable[[], set[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    lost: list[Callable[[], None]] = []
    hold = Lock.hold

    @asynccontextmanager
    async def watched(self: Lock, lose: Callable[[], None]) -> AsyncIterator[Snapshot]:
        lost.append(lose)
        async with hold(self, lose) as snapshot:
            yield snapshot

    async def hang(*_: object) -> None:
        seen.append(len(fresh()))
        lost[0]()
        await asyncio.Event().wait()

    monkeypatch.setattr(executor, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(Lock, "hold", watched)
    monkeypatch.setattr(Dotenv, "deliver", hang)
    ended = front.declare(THREE)("apply", "--auto-approve", "--parallelism", "1")
    assert ended.code != 0
    assert "the lock on the account could not be renewed" in ended.err
    assert seen == [1]
    assert fresh() == set()


def test_a_destination_that_keeps_the_secret_keeps_nothing(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Secret] = []

    async def keep(_: Dotenv, secret_delivery: SecretDelivery) -> None:
        kept.append(secret_delivery.secret)

    monkeypatch.setattr(Dotenv, "deliver", keep)
    assert front.declare(THREE)("apply", "--auto-approve").code == 0
    assert [secret.wiped for secret in kept] == [True] * 3


def test_a_group_is_written_for_those_who_were_cancelled_and_wiped_after_that(
    tmp_path: Path, fresh: Callable[[], set[bytes]]
) -> None:
    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Address, Target

    async def work() -> None:
        destination = Dotenv(Target("local", "dotenv", (("path", str(tmp_path / "s.env")),)))
        with Secret(f"ng-{LIKE_ISSUED}z") as secret:
            delivery = asyncio.create_task(destination.deliver(SecretDelivery(Address("ci", "a"), 1, "NAME", secret)))
            await asyncio.sleep(0)
            delivery.cancel()
            await asyncio.wait([delivery])
        assert secret.wiped
        # Whoever waited is gone, and the group may still be on its way.
        if under_way := asyncio.all_tasks() - {task for task in (asyncio.current_task(),) if task}:
            await asyncio.wait(under_way)
        assert fresh() == set()

    asyncio.run(work())
    assert dotenv_values(tmp_path / "s.env") == {"NAME": f"ng-{LIKE_ISSUED}z"}
