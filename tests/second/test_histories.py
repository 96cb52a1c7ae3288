"""Random histories: edits, rotations, time and applies, on services that fill the silence at random and lose answers.

Each number is a history that happens again in the same way. To hunt for more, say how many:

    RECONCILER_HUNT=500 pytest tests/second/test_histories.py
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.second_server import Silence
from support.second_world import Here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.second_server import Request, Trouble

HISTORIES: Final = int(os.environ.get("RECONCILER_HUNT", "30"))
IN_THE_GATE: Final = 8
STEPS: Final = 5
WAYS: Final[dict[str, tuple[Any, ...]]] = {
    "newest_first": (True,),
    "hint": ("has_more", "next", "next_cursor", "total"),
    "lag": (0.3, 2, 5),
    "lag_of_new": (0.5, 4),
    "lag_of_one": (0.3, 2),
    "unique_names": (True,),
    "expired": ("disabled", "delisted"),
    "strict_fields": (True,),
    "fine_list": (True,),
    "fine_one": (True,),
    "zone": (False,),
    "omits_no_expiry": (True,),
    "amounts": ("text", "sixteen", "noise"),
    "more_fields": (True,),
    "created": (200, 202),
    "patched": ("nothing", "message", "before"),
    "deleted": ("message", "error"),
    "models": ("anyone", 402, 404, 503),
    "chat": (422,),
    "errors": ("detail", "empty", "html"),
    "date": (False,),
    "retry_after": (1, 30),
}
TROUBLES: Final[dict[str, tuple[Trouble, ...]]] = {
    # Not among them: a PATCH or DELETE that is carried out long after its answer was given up. Nothing in the API could
    # keep it from that.
    "GET": ("lost", "503", "429", "garbled"),
    "POST": ("lost", "dropped", "late", "503", "503 done", "429", "garbled"),
    "PATCH": ("lost", "dropped", "503", "503 done", "429", "garbled"),
    "DELETE": ("lost", "dropped", "503", "503 done", "429", "garbled"),
}
NAMES: Final = ("a", "b", "c", "d")
LIMITS: Final = ("5", "80.25", "0.1", "null", "0")


def troubled(chance: random.Random, share: float) -> Callable[[Request], Trouble]:
    """Meet this share of the requests with some trouble."""

    def meet(request: Request) -> Trouble:
        return chance.choice(TROUBLES[request.method]) if chance.random() < share else ""

    return meet


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=[pytest.mark.proof] * (number >= IN_THE_GATE)) for number in range(HISTORIES)]
)
def test_history_ends_well_whatever_the_service_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    chance = random.Random(number)  # noqa: S311 # repeatable on purpose
    ways = {name: chance.choice(values) for name, values in WAYS.items() if chance.random() < 0.25}
    world = Here(tmp_path, monkeypatch, replace(Silence(), **ways))
    parallelism = chance.choice(["1", "16"])
    told = [f"{ways}"]
    names: list[str] = []
    for _ in range(STEPS):
        names = chance.sample(NAMES, chance.randint(1, len(NAMES)))
        world.declare(**{name: f"credit_limit: {chance.choice(LIMITS)}, rotation_overlap: 1d" for name in names})
        live = [name for name in world.settled() if name.removeprefix("ci/") in names]
        rotated = ["--rotate", chance.choice(live)] if live and chance.random() < 0.4 else []
        world.server.trouble = troubled(chance, chance.choice([0, 0.05, 0.2]))
        done = world.apply("--parallelism", parallelism, *rotated)
        told.append(f"{names} {rotated}: {done}")
        assert world.broken == [], "\n".join(told)
        world.pass_time(chance.choice([0.0001, 0.002, 1.1, 2.5]))
    world.server.trouble = lambda _: ""
    ends: list[int] = []
    while 0 not in ends and len(ends) < len(("waits for a lock", "heals", "is done")):
        done = world.apply("--parallelism", parallelism)
        told.append(f"at the end: {done}")
        ends.append(done.code)
        world.pass_time(0.002)
    assert 0 in ends, "\n".join(told)
    assert world.broken == [], "\n".join(told)
    world.check_quiet(*(f"ci/{name}" for name in names))
