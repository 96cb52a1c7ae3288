"""Goal: have `apply --reviewed` take a plan for reviewed that nobody has reviewed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from reconciler.github.threads import PlanMarker
from support.github.discussions import Pull
from support.github.job import HEAD, MERGED, NUMBER, SELECTION, job_environment
from support.github.workplace import Workplace

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Front


@pytest.fixture
def place(tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    made = Workplace(tmp_path, front.declare("{a: {credit_limit: 1}}"), monkeypatch)
    made.discussions.branches["main"] = MERGED
    made.discussions.pulls[MERGED] = [Pull(NUMBER, HEAD, MERGED)]
    made.enter(job_environment())
    made.monkeypatch.delenv("GITHUB_EVENT_PATH")
    return made


def test_a_comment_by_anybody_else_is_no_review(place: Workplace) -> None:
    digest = re.findall(r"sha256:[0-9a-f]{64}", place.front("plan", "--format", "markdown").out)[0]
    place.discussions.say(NUMBER, "mallory", f"{PlanMarker(SELECTION, HEAD, digest)}\n### No changes\n")
    assert place.front("apply", "--auto-approve", "--reviewed").code == 4
    assert place.front.names() == []
