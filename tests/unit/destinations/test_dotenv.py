from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from reconciler.destinations import dotenv as module
from reconciler.destinations import files
from reconciler.destinations.base import SecretDelivery
from reconciler.destinations.dotenv import Dotenv
from reconciler.errors import DestinationError
from reconciler.model import Address, Setting, Target
from reconciler.secret import Secret
from support.leaks import everything_shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LEAK = "ng-THISMUSTNEVERBESHOWN0000000000000"


def dotenv(path: Path) -> Dotenv:
    return Dotenv(Target("local", "dotenv", (("path", str(path)),)))


def secret_delivery(name: str, secret: str = LEAK) -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), 7, name, Secret(secret))


def refusal(destination: Dotenv, *names: str) -> str:
    with pytest.raises(DestinationError) as caught:
        asyncio.run(destination.preflight(names))
    return str(caught.value)


def failure(destination: Dotenv) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        asyncio.run(destination.deliver(secret_delivery("NAGA_API")))
    return caught.value


class Slow:
    """Holds up the first write until it is let go, and counts all of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.writes = 0
        self._real = files.replace
        monkeypatch.setattr(files, "replace", self._replace)

    def _replace(self, folder: int, name: str, content: bytes, before: bytes | None) -> None:
        self.writes += 1
        self.begun.set()
        assert self.let_go.wait(timeout=60)
        self._real(folder, name, content, before)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "production.env"


@pytest.mark.parametrize("settings", [(), (("path", ""),), (("path", 5),), (("path", "a\0b"),)])
def test_it_needs_a_path(settings: tuple[tuple[str, Setting], ...]) -> None:
    with pytest.raises(DestinationError, match="the dotenv destination 'local' needs the path of a file"):
        Dotenv(Target("local", "dotenv", settings))


# --- preflight --------------------------------------------------------------------------------------------------------


def test_preflight_says_everything_at_once(path: Path) -> None:
    path.write_bytes(b"A=1\nfi done\n")
    assert refusal(dotenv(path), "NAGA_API", "9", "A-B", "NAGA_API") == (
        f"{path}: '9' is no name for a variable (letters, digits and _, no digit first); "
        "'A-B' is no name for a variable (letters, digits and _, no digit first); "
        "2 keys would be delivered as NAGA_API; line 2 is neither NAME=value nor a comment"
    )


def test_preflight_finds_a_file_that_cannot_be_replaced(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    assert refusal(dotenv(path), "A") == f"{path}: it is a folder, not a regular file"
    (tmp_path / "binary.env").write_bytes(b"\xff" + LEAK.encode())
    assert refusal(dotenv(tmp_path / "binary.env"), "A") == f"{tmp_path}/binary.env: it is not UTF-8 text"
    long = tmp_path / ("x" * 300)
    assert refusal(dotenv(long), "A") == f"{long}: File name too long"


def test_what_a_path_or_a_name_holds_does_not_break_the_line(tmp_path: Path) -> None:
    destination = dotenv(tmp_path / "a\nb")
    (tmp_path / "a\nb").mkdir()
    assert refusal(destination, "X\n") == (
        f"{tmp_path}/a\\nb: 'X\\n' is no name for a variable (letters, digits and _, no digit first); "
        "it is a folder, not a regular file"
    )
    with pytest.raises(DestinationError) as caught:
        asyncio.run(destination.deliver(secret_delivery("X\x1b")))
    assert str(caught.value) == f"X\\x1b was not written to {tmp_path}/a\\nb: it is no name for a variable"


def in_a_tree(tmp_path: Path, path: str, *ignored: str, **settings: Setting) -> Dotenv:
    """Give the destination of a file in a git repository that ignores these."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)  # noqa: S607  # the git of the machine
    (tmp_path / ".gitignore").write_text("\n".join(ignored))
    values: dict[str, Setting] = {"path": str(tmp_path / path), **settings}
    return Dotenv(Target("local", "dotenv", tuple(values.items()), root=os.path.realpath(tmp_path)))


def test_nothing_is_written_where_git_would_take_it(tmp_path: Path) -> None:
    for path in ("a.env", "x/b.env"):
        assert "line /" in refusal(in_a_tree(tmp_path, path), "A")
    asyncio.run(in_a_tree(tmp_path, "a.env", "*.env").preflight(["A"]))
    asyncio.run(in_a_tree(tmp_path, "a.env", tracked=True).preflight(["A"]))


def test_git_is_asked_once_about_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(paths: Iterable[str]) -> dict[str, str]:
        asked.append(list(paths))
        return {}

    monkeypatch.setattr(module, "not_ignored", ask)
    destinations = [in_a_tree(tmp_path, f"{number}.env") for number in range(20)]

    async def preflight() -> None:
        await asyncio.gather(*(each.preflight(["A"]) for each in destinations))

    asyncio.run(preflight())
    assert [len(each) for each in asked] == [20]


@pytest.mark.parametrize("path", [".git/config", ".github/x.env", "../x.env", "link/x.env"])
def test_a_place_that_is_not_fit_is_refused_before_and_while_it_is_written(tmp_path: Path, path: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path)
    destination = in_a_tree(tmp_path / "tree", path, "*")
    before = sorted(tmp_path.rglob("*"))
    assert str(tmp_path) in refusal(destination, "A")
    assert "was not written" in str(failure(destination))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_variable_that_programs_act_on_is_refused(path: Path) -> None:
    assert "PATH is a variable that programs act on" in refusal(dotenv(path), "PATH", "NAGA_API")
    with pytest.raises(DestinationError, match="programs act on"):
        asyncio.run(dotenv(path).deliver(secret_delivery("LD_PRELOAD")))
    assert not path.exists()


# --- deliver ----------------------------------------------------------------------------------------------------------


def test_the_rest_of_the_file_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"# mine\r\nA='x\ny'\r\n\nexport NAGA_API=old\nB=2")
    path.chmod(0o644)
    asyncio.run(dotenv(path).deliver(secret_delivery("NAGA_API", "ng new")))
    assert path.read_bytes() == b"# mine\r\nA='x\ny'\r\n\nexport NAGA_API='ng new'\nB=2"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_others_write_between_two_deliveries_stays(path: Path) -> None:
    destination = dotenv(path)

    async def deliver() -> None:
        await destination.deliver(secret_delivery("ONE", "ng-1"))
        with path.open("a") as file:
            file.write("MINE=5\n")
        await destination.deliver(secret_delivery("TWO", "ng-2"))
        os.unlink(path)  # noqa: PTH108  # nothing else runs here that could be kept waiting
        await destination.deliver(secret_delivery("THREE", "ng-3"))

    asyncio.run(deliver())
    assert path.read_text() == "THREE=ng-3\n"


def test_what_others_append_is_not_overwritten(path: Path) -> None:
    destination = dotenv(path)
    asyncio.run(destination.deliver(secret_delivery("ONE", "ng-1")))
    with path.open("a") as file:
        file.write("MINE=5\n")
    asyncio.run(destination.deliver(secret_delivery("TWO", "ng-2")))
    assert path.read_text() == "ONE=ng-1\nMINE=5\nTWO=ng-2\n"


def test_deliveries_that_wait_for_a_write_are_written_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    destination = dotenv(path)

    async def deliver() -> None:
        first = asyncio.create_task(destination.deliver(secret_delivery("FIRST")))
        await slow.has_begun()
        others = [asyncio.create_task(destination.deliver(secret_delivery(f"NAGA_{n}"))) for n in range(15)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *others))
        slow.let_go.set()
        await asyncio.gather(first, *others)

    asyncio.run(deliver())
    assert slow.writes == 2
    assert len(dotenv_values(path)) == 16


def test_a_write_that_fails_fails_all_who_waited_for_it_and_no_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = dotenv(path)

    async def deliver() -> list[BaseException | None]:
        with monkeypatch.context() as broken:
            broken.setattr(os, "replace", lambda *_, **__: os.stat("/nowhere"))  # noqa: PTH116  # any OSError will do
            failed = await asyncio.gather(
                *(destination.deliver(secret_delivery(f"NAGA_{number}")) for number in range(5)), return_exceptions=True
            )
        await destination.deliver(secret_delivery("NAGA_5", "ng-5"))
        return failed

    errors = asyncio.run(deliver())
    assert [str(error) for error in errors] == [
        f"NAGA_{number} was not written to {path}: No such file or directory" for number in range(5)
    ]
    assert not any(LEAK in everything_shown(error) for error in errors if error)
    assert path.read_text() == "NAGA_5=ng-5\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(f"X={LEAK}\nif {LEAK} x\n", "line 2 is neither NAME=value nor a comment"), ("X=\udcff", "it is not UTF-8 text")],
)
def test_a_file_that_cannot_be_understood_is_left_alone(path: Path, content: str, reason: str) -> None:
    before = content.encode(errors="surrogateescape")
    path.write_bytes(before)
    error = failure(dotenv(path))
    assert str(error) == f"NAGA_API was not written to {path}: {reason}"
    assert LEAK not in everything_shown(error)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["\n", "\0", "'$", "\ud800", "${A}", "\\"])
def test_a_secret_that_cannot_be_read_back_is_refused_before_writing(path: Path, suffix: str) -> None:
    with pytest.raises(DestinationError, match="no quoting makes both sh and python-dotenv read back") as caught:
        asyncio.run(dotenv(path).deliver(secret_delivery("NAGA_API", LEAK + suffix)))
    assert LEAK not in everything_shown(caught.value)
    assert not path.exists()


def test_two_secrets_of_one_name_at_once_are_not_mixed_up(path: Path) -> None:
    destination = dotenv(path)

    async def deliver() -> list[BaseException | None]:
        both = (destination.deliver(secret_delivery("NAGA_API", secret)) for secret in ("ng-1", "ng-2"))
        return await asyncio.gather(*both, return_exceptions=True)

    first, second = asyncio.run(deliver())
    assert first is None
    assert "another secret of this name is being delivered at the same time" in str(second)
    assert path.read_text() == "NAGA_API=ng-1\n"


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_a_delivery_cancelled_while_it_is_written_holds_up_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    destination = dotenv(path)

    async def deliver() -> None:
        first = asyncio.create_task(destination.deliver(secret_delivery("FIRST", "ng-1")))
        await slow.has_begun()
        waiting = asyncio.create_task(destination.deliver(secret_delivery("SECOND", "ng-2")))
        await asyncio.sleep(0)
        for task in (first, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        slow.let_go.set()
        await destination.deliver(secret_delivery("THIRD", "ng-3"))

    asyncio.run(deliver())
    assert dotenv_values(path) == {"FIRST": "ng-1", "SECOND": "ng-2", "THIRD": "ng-3"}


def test_a_group_cancelled_before_it_began_is_written_with_the_next(path: Path) -> None:
    destination = dotenv(path)

    async def deliver() -> None:
        task = asyncio.create_task(destination.deliver(secret_delivery("FIRST", "ng-1")))
        await asyncio.sleep(0)
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await destination.deliver(secret_delivery("SECOND", "ng-2"))

    asyncio.run(deliver())
    assert path.read_text() == "FIRST=ng-1\nSECOND=ng-2\n"


def test_a_run_that_ends_in_the_middle_leaves_a_whole_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    destination = dotenv(path)

    async def run() -> None:
        asyncio.get_running_loop().call_later(0.02, slow.let_go.set)
        delivery = asyncio.create_task(destination.deliver(secret_delivery("FIRST", "ng-1")))
        await slow.has_begun()
        delivery.cancel()

    asyncio.run(run())
    slow.let_go.set()
    asyncio.run(destination.deliver(secret_delivery("SECOND", "ng-2")))
    assert dotenv_values(path) == {"FIRST": "ng-1", "SECOND": "ng-2"}


# --- several processes, and the end of one ----------------------------------------------------------------------------

DELIVER = """
import asyncio, os, signal, sys
from reconciler.destinations.base import SecretDelivery
from reconciler.destinations.dotenv import Dotenv
from reconciler.model import Address, Target
from reconciler.secret import Secret

path, prefix, rounds, call, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
calls = 0


def die(real):
    def patched(*arguments, **options):
        global calls
        calls += 1
        if calls == when:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return patched


if call:
    setattr(os, call, die(getattr(os, call)))


async def main():
    destination = Dotenv(Target("local", "dotenv", (("path", path),)))
    print("ready", flush=True)
    for number in range(rounds):
        names = [f"{prefix}_{letter}" for letter in "ABCD"]
        await asyncio.gather(*(
            destination.deliver(SecretDelivery(Address("e", "k"), 1, name, Secret(f"{name} {number}")))
            for name in names
        ))


asyncio.run(main())
"""


def start(path: Path, prefix: str, rounds: int, call: str = "", when: int = 0) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", DELIVER, str(path), prefix, str(rounds), call, str(when)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE)


def test_several_processes_do_not_undo_each_others_writes(path: Path) -> None:
    processes = [start(path, prefix, 10) for prefix in ("P", "Q", "R")]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert dotenv_values(path) == {f"{p}_{letter}": f"{p}_{letter} 9" for p in "PQR" for letter in "ABCD"}


@pytest.mark.parametrize("when", [1, 2, 3])
@pytest.mark.parametrize("call", ["write", "fsync", "replace", "close"])
def test_a_process_killed_at_any_step_leaves_the_old_or_the_new_file(path: Path, call: str, when: int) -> None:
    path.write_bytes(b"MINE='x y'\n")
    process = start(path, "K", 50, call, when)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert_whole(path)
    asyncio.run(dotenv(path).deliver(secret_delivery("NEXT", "ng-1")))
    assert list(path.parent.iterdir()) == [path], "what the killed one left is gone"


@pytest.mark.proof  # a moment that nobody chose
def test_a_process_killed_at_random_leaves_the_old_or_the_new_file(path: Path) -> None:
    path.write_bytes(b"MINE='x y'\n")
    for _ in range(6):
        process = start(path, "K", 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.05))  # noqa: S311  # any moment will do
        process.kill()
        process.communicate(timeout=60)
        assert_whole(path)


def assert_whole(path: Path) -> None:
    held = dotenv_values(path)
    assert held.pop("MINE") == "x y"
    rounds = {(value or "").removeprefix(f"{name} ") for name, value in held.items()}
    assert len(rounds) <= 1, "all of a group or nothing of it"
    assert all(each.isdigit() for each in rounds)
    assert stat.S_IMODE(path.stat().st_mode) == (0o600 if held else 0o644)


def test_a_secret_that_may_be_in_the_file_all_the_same_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsettled(*_: object) -> None:
        raise files.Unsettled(5, "it may not last")

    destination = Dotenv(Target("local", "dotenv", (("path", str(tmp_path / "a.env")),)))
    monkeypatch.setattr(files, "replace", unsettled)
    with pytest.raises(DestinationError, match="it may not last") as caught:
        asyncio.run(destination.deliver(SecretDelivery(Address("ci", "a"), 1, "A", Secret("ng-1"))))
    assert caught.value.uncertain
