"""The main promises, each on a service that fills one gap of its documentation in another way, and on mixtures.

A story: keys are created, changed, rotated, removed, restored and deleted, by the command itself. At each write the
destination has to hold a working secret of each key that stands under its name; after each apply there is nothing left
to do, and the next apply writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from support.second_server import Silence
from support.second_world import LENIENT, STRICT, Here

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = "credit_limit: 5, rotation_overlap: 1d", "credit_limit: 80.25", "credit_limit: null"

SILENCES: Final = {
    "as documented": Silence(),
    "newest first": Silence(newest_first=True),
    "has_more false": Silence(hint="has_more"),
    "next null": Silence(hint="next"),
    "next_cursor null": Silence(hint="next_cursor"),
    "total": Silence(hint="total"),
    "unique names": Silence(unique_names=True),
    "expired become disabled": Silence(expired="disabled"),
    "expired are not listed": Silence(expired="delisted"),
    "strict fields": Silence(strict_fields=True),
    "microseconds in the list": Silence(fine_list=True),
    "microseconds of one": Silence(fine_one=True),
    "microseconds everywhere": Silence(fine_one=True, fine_list=True),
    "no zone": Silence(zone=False),
    "no expires_at": Silence(omits_no_expiry=True),
    "amounts as text": Silence(amounts="text"),
    "sixteen decimals": Silence(amounts="sixteen"),
    "float noise": Silence(amounts="noise"),
    "more fields": Silence(more_fields=True),
    "200 on POST": Silence(created=200),
    "202 on POST": Silence(created=202),
    "204 on PATCH": Silence(patched="nothing"),
    "message on PATCH": Silence(patched="message"),
    "stale key on PATCH": Silence(patched="before"),
    "message on DELETE": Silence(deleted="message"),
    "error on DELETE": Silence(deleted="error"),
    "models for anyone": Silence(models="anyone"),
    "models for anyone, chat 422": Silence(models="anyone", chat=422),
    "models 402": Silence(models=402),
    "models 404": Silence(models=404),
    "models 503": Silence(models=503),
    "nothing proves a key": Silence(models="anyone", chat=422, chat_asks=False),
    "detail": Silence(errors="detail"),
    "empty errors": Silence(errors="empty"),
    "html errors": Silence(errors="html"),
    "no date": Silence(date=False),
    "list lags": Silence(lag=0.3),
    "list lags for seconds": Silence(lag=4),
    "new keys lag": Silence(lag_of_new=2),
    "one lags": Silence(lag_of_one=2),
    "all lag": Silence(lag=2, lag_of_one=2),
    "slow and lenient": LENIENT,
    "quick and strict": STRICT,
}


@pytest.mark.parametrize("parallelism", [pytest.param("1", marks=pytest.mark.proof), "16"])
@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES)
def test_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: Silence, parallelism: str) -> None:
    world = Here(tmp_path, monkeypatch, silence)

    def apply(*names: str, arguments: tuple[str, ...] = ()) -> None:
        done = world.apply("--parallelism", parallelism, *arguments)
        assert done.code == 0, done
        world.check_in_place(*names)

    world.declare(a=A, b=B, c=C)
    apply("ci/a", "ci/b", "ci/c")
    world.check_quiet("ci/a", "ci/b", "ci/c")
    first, removed = world.held("ci/a"), world.held("ci/c")
    assert first
    assert removed
    world.declare(a=A, b="credit_limit: 90.1")
    apply("ci/a", "ci/b", arguments=("--rotate", "ci/a"))
    world.check_quiet("ci/a", "ci/b")
    assert world.held("ci/a") != first
    assert world.server.works(first)
    assert not world.server.works(removed)
    world.pass_time(1.5)
    world.declare(a=A, c=C)
    apply("ci/a", "ci/c")
    assert world.held("ci/c") == removed
    assert world.names() == ["ci/a", "ci/b~gone", "ci/c"]
    world.pass_time(3)
    apply("ci/a", "ci/c")
    assert world.names() == ["ci/a", "ci/c"]
    world.check_quiet("ci/a", "ci/c")
