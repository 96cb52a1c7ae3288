"""Answers that are lost, late, refused or unreadable, one for each key and kind of request: one apply survives all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from support.second_server import Silence
from support.second_world import LENIENT, STRICT, Here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.second_server import Request, Trouble

A, B = "credit_limit: 5, rotation_overlap: 1d", "credit_limit: 80.25"
TROUBLES: Final = [
    *(
        (method, trouble)
        for method in ("POST", "PATCH", "DELETE")
        for trouble in ("lost", "dropped", "503", "503 done")
    ),
    *((method, "garbled") for method in ("POST", "PATCH", "DELETE")),
    *((method, "429") for method in ("GET", "POST", "PATCH", "DELETE")),
    ("GET", "dropped"),
    ("POST", "late"),
]


def once_for_each_key(method: str, trouble: Trouble) -> Callable[[Request], Trouble]:
    """Meet the first request of a method about each name, or each id where it names none."""
    met: set[str] = set()

    def meet(request: Request) -> Trouble:
        which = str(request.body.get("name", request.path)).partition(".")[0]
        if request.method != method or which in met:
            return ""
        met.add(which)
        return trouble

    return meet


@pytest.mark.parametrize(
    ("silence", "parallelism"),
    [(Silence(), "1"), (LENIENT, "16"), pytest.param(STRICT, "16", marks=pytest.mark.proof)],
    ids=["as documented", "slow and lenient", "quick and strict"],
)
@pytest.mark.parametrize(("method", "trouble"), TROUBLES)
def test_one_answer_in_trouble_for_each_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, trouble: Trouble, silence: Silence, parallelism: str
) -> None:
    world = Here(tmp_path, monkeypatch, silence)

    def apply(*names: str, arguments: tuple[str, ...] = ()) -> None:
        world.server.trouble = once_for_each_key(method, trouble)
        done = world.apply("--parallelism", parallelism, *arguments)
        assert done.code == 0, done
        world.server.trouble = lambda _: ""
        world.pass_time(0.001)
        assert world.apply().code == 0
        world.check_in_place(*names)

    world.declare(a=A, b=B)
    apply("ci/a", "ci/b")
    first, other = world.held("ci/a"), world.held("ci/b")
    apply("ci/a", "ci/b", arguments=("--rotate", "ci/a"))
    assert world.held("ci/b") == other
    assert first
    assert world.held("ci/a") != first
    assert world.server.works(first)
    world.declare(a=A)
    world.pass_time(2)
    apply("ci/a")
    world.declare(a=A, b=B)
    apply("ci/a", "ci/b")
    assert world.held("ci/b") == other
    world.check_quiet("ci/a", "ci/b")
