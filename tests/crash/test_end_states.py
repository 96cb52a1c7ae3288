"""What goes wrong around a run, and where each such run has to end: its exit code, its words, and what is there then.

After each of them, once the trouble is over, one ordinary apply makes everything good.
"""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from support.crash_scenarios import CREATE, CROWD, LEAK, ROTATE, UPDATE, Scenario
from support.crash_world import ALL_TIMES, LOCK_LEASE, NO_LEASE
from support.runs import Forks, Script
from support.sabotage import Blow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.crash_world import CrashWorld
    from support.runs import Done
    from support.watched_service import Hook

    MakeWorld = Callable[[Scenario], CrashWorld]

FAILED, PARTLY = 1, 5
DAY: Final = timedelta(days=1)
# As root, a folder is writable whatever its mode says, unless root leaves that power behind.
AS_ANYBODY: Final = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A run in trouble, and its end.

    `says` are pieces of what it says, `engine` the kinds of the engine's own keys that it leaves to their time;
    `complete` means that nothing is left to do.
    """

    name: str
    scenario: Scenario
    code: int
    says: tuple[str, ...]
    faults: tuple[str, ...] = ()
    blow: Blow | None = None
    before: Callable[[CrashWorld], None] = lambda _: None
    hook: Callable[[CrashWorld], Hook] | None = None
    arguments: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()
    complete: bool = False
    renews_often: bool = False


def full(call: str, number: int = 1) -> Blow:
    """Have a disk that is full from a call on."""
    return Blow(number, call=call, errno=errno.ENOSPC, lasts=True)


def second_post(happens: Callable[[CrashWorld], object]) -> Callable[[CrashWorld], Hook]:
    """Have something happen between the creation of a key and the answer to it; the first POST is that of the lock."""

    def hook(world: CrashWorld) -> Hook:
        def watch(_: int, label: str) -> None:
            if label == "POST keys" and world.service.requests.count(label) == 2:
                happens(world)

        return watch

    return hook


def lock_deleted_at(post: int) -> Callable[[CrashWorld], Hook]:
    """Have somebody delete the lock on the dashboard while a key is created; the answer waits until the run says so."""

    def hook(world: CrashWorld) -> Hook:
        locks: list[int] = []
        noticed = asyncio.Event()

        async def hold_back() -> None:
            locks.extend(key.id for key in world.keys().values() if "~lock." in key.name)
            world.state.delete_key(locks[0])
            await noticed.wait()
            while not any(said.stat().st_size for said in world.folder.glob(".run-*/errors")):  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.01)

        def watch(_: int, label: str) -> Awaitable[None] | None:
            if locks and label == f"PATCH keys/{locks[0]}":
                noticed.set()
            return hold_back() if label == "POST keys" and world.service.requests.count(label) == post else None

        return watch

    return hook


def a_file_in_the_way(world: CrashWorld) -> None:
    (world.folder / "two").write_text("")


def another_holds_the_lock(world: CrashWorld) -> None:
    world.state.create_key("reconciler~lock.rival", None, world.state.now() + timedelta(minutes=1))


SECRET_REMOVED: Final = "the key 4 was removed again"
TROUBLES: Final = (
    # --- a full disk ---
    *(
        Trouble(
            f"full-disk-at-{call}-{scenario.name}",
            scenario,
            FAILED,
            ("not delivered to one as API: API was not written to ", "No space left on device", removed),
            blow=full(call),
        )
        for call in ("open", "write", "fsync", "rename", "fsync folder")
        for scenario, removed in ((CREATE, SECRET_REMOVED), (ROTATE, "the key 6 was removed again"))
    ),
    *(
        Trouble(
            f"full-disk-after-the-first-of-two-places-{scenario.name}",
            scenario,
            FAILED,
            ("not delivered to two as API", f"one as API holds the secret of key {key}, which ends with its lease"),
            blow=full("write", 2),
            engine=(left,),
        )
        for scenario, key, left in ((CREATE, 4, "new"), (ROTATE, 6, "sent"))
    ),
    Trouble(
        "full-disk-among-sixteen",
        CROWD,
        PARTLY,
        ("Applied 10 of 16 changes: 6 failed", "No space left on device"),
        blow=full("write"),
        engine=("old", "gone"),
    ),
    # --- a folder that cannot be written, a destination that refuses ---
    Trouble(
        "folder-becomes-read-only",
        ROTATE,
        FAILED,
        ("not delivered to one as API", "Read-only file system", "the key 6 was removed again"),
        blow=Blow(1, call="open", errno=errno.EROFS, lasts=True),
    ),
    Trouble(
        "destination-refuses-beforehand",
        CREATE,
        FAILED,
        ("two is a file where a folder is needed",),
        before=a_file_in_the_way,
    ),
    # --- a service that ignores or alters what it was sent ---
    Trouble(
        "limit-ignored-at-creation",
        CREATE,
        FAILED,
        ("the service created the key with credit_limit null where 5 was asked", SECRET_REMOVED),
        faults=("POST * ignore=credit_limit skip=1",),
    ),
    Trouble(
        "lease-ignored-at-creation",
        CREATE,
        FAILED,
        ("the service created the key with expires_at null where ", SECRET_REMOVED),
        faults=("POST * ignore=expires_at skip=1",),
    ),
    Trouble(
        "lease-of-the-lock-ignored",
        CREATE,
        0,
        ("Applied 1 change.",),
        faults=("POST * ignore=expires_at times=1",),
        complete=True,
    ),
    Trouble(
        "name-ignored-at-the-end",
        CREATE,
        FAILED,
        ("the service left key 4 with name ci/api~new.", "the secret of key 4 is delivered, but", "apply again"),
        faults=("PATCH * ignore=name",),
        engine=("new", NO_LEASE),
    ),
    Trouble(
        "end-of-the-lease-ignored",
        CREATE,
        FAILED,
        ("the service left key 4 with expires_at ", "where null was asked", "apply again"),
        faults=("PATCH * ignore=expires_at",),
    ),
    Trouble(
        "limit-ignored-at-a-change",
        UPDATE,
        FAILED,
        ("the service left key 4 with credit_limit 5 where 9 was asked",),
        faults=("PATCH * ignore=credit_limit",),
    ),
    Trouble(
        "taking-over-ignored",
        ROTATE,
        FAILED,
        ("the service left key 6 with name ci/api~next where ci/api was asked",),
        faults=("PATCH * ignore=name skip=3",),
        engine=("next", "old"),
    ),
    Trouble(
        "new-key-refused",
        ROTATE,
        FAILED,
        ("the service refuses the new key, so the old one stays; the key 6 was removed again",),
        faults=("GET /v1/models status=401",),
    ),
    # --- clocks ---
    *(
        Trouble(
            f"clock-wrong-by-a-day-{direction}-{scenario.name}",
            scenario,
            0,
            ("this machine's clock and the service's differ by ", "; the service's counts"),
            before=lambda world, by=by: world.state.travel(by),  # type: ignore[misc]  # mypy takes `by` for the loop's
            engine=("old",),
            complete=True,
        )
        for direction, by in (("ahead", DAY), ("behind", -DAY))
        for scenario in (CREATE, LEAK)
    ),
    Trouble(
        "lease-runs-out-while-a-key-is-created",
        CREATE,
        0,
        ("Applied 1 change.",),
        hook=second_post(lambda world: world.state.travel(DAY + timedelta(hours=1))),
        complete=True,
    ),
    Trouble(
        "lease-runs-out-while-a-key-is-rotated",
        ROTATE,
        FAILED,
        ("the service refuses the new key, so the old one stays; the key 6 was removed again",),
        hook=second_post(lambda world: world.state.travel(DAY + timedelta(hours=1))),
    ),
    # --- the lock ---
    Trouble(
        "lock-held-by-another",
        CREATE,
        FAILED,
        ("key 3 (reconciler~lock.rival) has locked the account since ",),
        before=another_holds_the_lock,
        arguments=("--lock-timeout", "1s"),
        engine=("lock",),
    ),
    Trouble(
        "lock-lost-at-the-first-change",
        CREATE,
        FAILED,
        ("the lock on the account could not be renewed", "the key 4 could not be removed", "ends with its lease"),
        hook=lock_deleted_at(2),
        renews_often=True,
        engine=("new",),
    ),
    Trouble(
        "lock-lost-in-the-middle",
        CROWD,
        PARTLY,
        ("the lock on the account could not be renewed", "Applied 1 of 16 changes: 1 failed, 14 not attempted"),
        hook=lock_deleted_at(3),
        renews_often=True,
        arguments=("--parallelism", "1"),
        engine=("new", "old"),
    ),
)


def said(done: Done) -> str:
    """What a run has said, in one line."""
    return " ".join(f"{done.output}\n{done.errors}".split())


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_a_run_in_trouble_ends_well_defined(make_world: MakeWorld, forks: Forks, trouble: Trouble) -> None:
    world = make_world(trouble.scenario)
    trouble.before(world)
    world.break_with(*trouble.faults)
    before = None if trouble.complete else world.keys()
    hook = {"hook": trouble.hook(world)} if trouble.hook else {}
    arguments = (*trouble.scenario.arguments, *trouble.arguments)
    done = world.apply(forks, *arguments, blow=trouble.blow, renews_often=trouble.renews_often, **hook)
    assert done.code == trouble.code, done
    assert [piece for piece in trouble.says if piece not in said(done)] == [], done
    world.break_with()
    world.check(engine=trouble.engine, as_before=before)
    kept = tuple(kind for kind in trouble.engine if kind == NO_LEASE)
    assert_good_after_the_next(world, (*trouble.scenario.engine, *kept), forks)


def assert_good_after_the_next(world: CrashWorld, engine: tuple[str, ...], forks: Forks) -> None:
    if (world.folder / "two").is_file():
        (world.folder / "two").unlink()
    world.state.travel(LOCK_LEASE)
    next_one = world.apply(forks)
    assert next_one.code == 0, next_one
    world.check(engine=engine)
    world.state.travel(ALL_TIMES)
    last = world.apply(forks)
    assert last.code == 0, last
    world.check()
    assert world.plan().actions == ()


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_change(
    make_world: MakeWorld, forks: Forks
) -> None:
    world = make_world(ROTATE)
    before = world.keys()
    folder = world.folder / "two"
    folder.chmod(0o500)
    done = world.apply(Script(AS_ANYBODY))
    folder.chmod(0o700)
    assert done.code == FAILED, done
    assert f"the folder {folder} is not writable" in said(done)
    assert world.keys() == before
    assert_good_after_the_next(world, ROTATE.engine, forks)
