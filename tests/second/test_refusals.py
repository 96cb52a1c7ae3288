"""What nobody can make work ends in an error, soon, and with nothing lost: half a list, strict rules, altered names."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest

from support.second_server import Silence
from support.second_world import Here

if TYPE_CHECKING:
    from pathlib import Path

    from support.second_server import Request, Trouble

A, B, C = "credit_limit: 5, rotation_overlap: 1d", "credit_limit: 80.25", "credit_limit: null"
MOST_LOCKS: Final = 5
HINTED: Final = [Silence(page_size=2, hint=hint) for hint in ("has_more", "next", "next_cursor", "total")]
COMMANDS: Final = [
    ["plan"],
    ["apply", "--auto-approve"],
    ["apply", "--auto-approve", "--no-lock"],
    ["apply", "--auto-approve", "--rotate", "ci/a"],
    ["list"],
    ["import", "--file", "-", "--keep-names"],
    ["check"],
]


def settled_world(folder: Path, monkeypatch: pytest.MonkeyPatch, **keys: str) -> Here:
    """Have three keys in place that a service as documented has issued."""
    world = Here(folder, monkeypatch, Silence())
    world.declare(**(keys or {"a": A, "b": B, "c": C}))
    assert world.apply().code == 0
    return world


def is_lock(request: Request) -> bool:
    return request.method == "POST" and str(request.body["name"]).startswith("reconciler")


def test_list_that_says_that_it_goes_on_stops_every_command_before_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    for words in COMMANDS[-4:]:
        assert world.run(*words).code == 0, words
    before, count, held = world.server.keys, len(world.server.writes()), (tmp_path / "secrets.env").read_bytes()
    for silence in HINTED:
        for newest_first in (False, True):
            world.server.silence = replace(silence, newest_first=newest_first)
            for words in COMMANDS:
                done = world.run(*words)
                assert done.code == 1, f"{silence.hint} {words}: {done}"
    assert world.server.keys == before
    assert len(world.server.writes()) == count
    assert (tmp_path / "secrets.env").read_bytes() == held


@pytest.mark.parametrize("parallelism", [pytest.param("1", marks=pytest.mark.proof), "16"])
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("lock", [[], ["--no-lock"]], ids=["locked", "not locked"])
def test_list_that_goes_on_without_saying_so_makes_no_key_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: list[str], parallelism: str, *, newest_first: bool
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    before, count, held = world.server.keys, len(world.server.writes()), (tmp_path / "secrets.env").read_bytes()
    world.server.spend = {key.id: Decimal(1) for key in before.values()}
    world.pass_time(0.01)  # what was used is told five minutes late
    world.server.silence = Silence(page_size=2, newest_first=newest_first)
    done = world.apply("--parallelism", parallelism, *lock)
    assert done.code == 1, done
    assert world.server.keys == before
    assert all(is_lock(request) for request in world.server.writes()[count:] if request.method == "POST")
    assert (tmp_path / "secrets.env").read_bytes() == held
    assert world.broken == []


ALTERED: Final = {
    "no tilde": Silence(rename=lambda name: name.replace("~", "-")),
    "no dot": Silence(rename=lambda name: name.replace(".", "")),
    "cut": Silence(rename=lambda name: name[:14]),
    "capitals": Silence(rename=str.upper),
    "prefixed": Silence(rename=lambda name: f"key {name}"),
    "no slash": Silence(rename=lambda name: name.replace("/", "_")),
    "tilde refused": Silence(refused_in_names="~"),
    "limit of 0 refused": Silence(least_limit=Decimal("0.01")),
    "short expiry refused": Silence(shortest_expiry=1800),
    "no more keys": Silence(most_keys=3),
}


@pytest.mark.parametrize("parallelism", [pytest.param("1", marks=pytest.mark.proof), "16"])
@pytest.mark.parametrize("silence", ALTERED.values(), ids=ALTERED)
def test_strict_service_is_told_of_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: Silence, parallelism: str
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    before, count = world.settled(), len(world.server.writes())
    world.declare(a=A, b="credit_limit: 6", c=C, d=A)
    world.server.silence = silence
    done = world.apply("--parallelism", parallelism, "--rotate", "ci/a")
    assert done.code != 0, done
    assert world.broken == []
    locks = [request for request in world.server.writes()[count:] if is_lock(request)]
    assert len(locks) <= MOST_LOCKS
    for name in before:
        held = world.held(name)
        assert held
        assert world.server.works(held)
    lasting = [key for key in world.server.keys.values() if key.expires_at is None and key.name not in world.declared]
    assert lasting == []
    world.server.silence = Silence()
    world.pass_time(2)
    assert world.apply().code == 0
    world.check_quiet("ci/a", "ci/b", "ci/c", "ci/d")


@pytest.mark.parametrize("chat", [400, 422])
@pytest.mark.parametrize("models", ["asks", "anyone", 402, 404, 503])
def test_key_that_the_service_refuses_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: str | int, chat: int
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    before, held = world.server.keys, world.held("ci/a")
    world.server.silence = Silence(models=models, chat=chat, stillborn=True)  # type: ignore[arg-type] # one of both kinds
    asked: set[str] = set()

    def first_answer_of_each_is_lost(request: Request) -> Trouble:
        trials = {request.path} & {"/v1/models", "/v1/chat/completions"} - asked
        asked.update(trials)
        return "lost" if trials else ""

    world.server.trouble = first_answer_of_each_is_lost
    done = world.apply("--rotate", "ci/a")
    assert done.code != 0, done
    assert world.server.keys == before
    assert world.held("ci/a") == held
    assert world.broken == []


@pytest.mark.parametrize("patched", ["key", "nothing", "message", "before"])
def test_limit_that_null_does_not_remove_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patched: str
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    world.declare(a=A, b=C, c=C)
    world.server.silence = Silence(null_limit="leaves", patched=patched)  # type: ignore[arg-type] # one of those
    done = world.apply()
    assert done.code != 0, done
    assert world.settled()["ci/b"].credit_limit == Decimal("80.25")
    assert world.broken == []


def test_deletion_that_is_answered_by_an_error_and_not_done_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    world.declare(a=A, b=B)
    assert world.apply().code == 0
    world.pass_time(3)
    world.server.silence = Silence(deleted="error, kept")
    done = world.apply()
    assert done.code != 0, done
    assert world.names() == ["ci/a", "ci/b", "ci/c~gone", "reconciler~lock"]
    world.server.silence = Silence()
    world.pass_time(1)
    assert world.apply().code == 0
    assert world.names() == ["ci/a", "ci/b"]
    assert world.broken == []


def test_trial_that_refuses_every_key_replaces_nothing_unless_it_is_waived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = settled_world(tmp_path, monkeypatch)
    before, held = world.server.keys, world.held("ci/a")
    world.server.silence = Silence(models=401)
    assert world.apply("--rotate", "ci/a").code != 0
    assert world.server.keys == before
    world.declare(a=f"{A}, verify: false", b=B, c=C)
    assert world.apply("--rotate", "ci/a").code == 0
    assert world.held("ci/a") != held
    world.check_quiet("ci/a", "ci/b", "ci/c")


def test_two_rotations_in_one_second_find_a_name_each_for_the_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = settled_world(tmp_path, monkeypatch, a=A)
    world.server.silence = Silence(unique_names=True)
    codes = []
    for _ in range(3):
        world.at(86400)
        codes.append(world.apply("--rotate", "ci/a").code)
    assert codes == [0, 0, 1]
    assert world.names() == ["ci/a", "ci/a~next", "ci/a~old", "ci/a~old"]
    assert world.apply().code == 0  # takes over, another second having come
    world.check_quiet("ci/a")
