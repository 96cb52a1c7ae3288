"""Goal: have `apply --reviewed` take a plan for reviewed that nobody has reviewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.engine.accounts import PlanRequest, seal_key
from reconciler.forge.threads import PlanMarker
from reconciler.model import Environment
from reconciler.planning.actions import AS_THE_FILE_SAYS, Options
from support.builders import SOMEWHERE, declaration
from support.github.discussions import BOT, Pull
from support.github.job import HEAD, MERGED, NUMBER, SELECTION, job_environment
from support.github.workplace import Workplace

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Front


APPLY = ("apply", "--auto-approve", "--reviewed")


@pytest.fixture
def place(tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    made = Workplace(tmp_path, front.declare("{a: {credit_limit: 1}}"), monkeypatch)
    made.discussions.branches["main"] = MERGED
    made.discussions.pulls[MERGED] = [Pull(NUMBER, HEAD, MERGED)]
    return made


def review(place: Workplace) -> None:
    assert place.front("plan", "--comment").code == 0
    merge(place)


def merge(place: Workplace) -> None:
    place.enter(job_environment())
    place.monkeypatch.delenv("GITHUB_EVENT_PATH")


def digest_of(place: Workplace) -> str:
    return str(place.front("plan", "--format", "json").document["digest"])


def refused(place: Workplace) -> None:
    ended = place.front(*APPLY)
    assert (ended.code, place.front.names()) == (4, []), ended.err


def test_what_was_reviewed_is_applied(place: Workplace) -> None:
    review(place)
    assert place.front(*APPLY).code == 0
    assert place.front.names() == ["ci/a"]


def test_a_comment_by_anybody_else_is_no_review(place: Workplace) -> None:
    merge(place)
    place.discussions.say(NUMBER, "mallory", f"{PlanMarker(SELECTION, HEAD, digest_of(place))}\n### No changes\n")
    refused(place)


@pytest.mark.parametrize("seal", [None, "0" * 64])
def test_a_comment_by_another_workflow_of_the_same_bot_is_no_review(place: Workplace, seal: str | None) -> None:
    merge(place)
    marker = PlanMarker(SELECTION, HEAD, digest_of(place), seal)
    place.discussions.say(NUMBER, BOT, f"{marker}\n### No changes\n")
    refused(place)


def test_another_workflow_does_not_change_what_people_read_above_a_good_digest(place: Workplace) -> None:
    review(place)
    (ours,) = place.discussions.on(NUMBER)
    ours.body = ours.body.replace("1 to create", "No changes")
    refused(place)


def test_a_comment_is_not_copied_from_another_pull_request(place: Workplace) -> None:
    review(place)
    (ours,) = place.discussions.on(NUMBER)
    place.discussions.pulls[MERGED] = [Pull(NUMBER + 1, HEAD, MERGED)]
    place.discussions.say(NUMBER + 1, BOT, ours.body)
    refused(place)


def test_who_holds_another_accounts_key_seals_nothing_for_this_one(place: Workplace) -> None:
    review(place)
    place.monkeypatch.setattr("reconciler.engine.accounts._SIMULATOR_KEY", "another")
    refused(place)


def test_a_seal_is_made_of_the_keys_of_all_accounts_that_a_plan_is_about() -> None:
    file = declaration(
        environments=[Environment(each, SOMEWHERE, provisioning_key_env=f"NAGA_{each}") for each in "AB"]
    )

    def key(options: Options = AS_THE_FILE_SAYS, **credentials: str) -> bytes | None:
        return seal_key(PlanRequest(file, options=options, credentials=credentials))

    both, other = key(NAGA_A="ng-a", NAGA_B="ng-b"), key(NAGA_A="ng-a", NAGA_B="ng-c")
    assert None not in {both, other}
    assert both != other
    assert key(NAGA_A="ng-a") is None
    one = Options(environments=frozenset({"A"}))
    assert key(one, NAGA_A="ng-a") == key(one, NAGA_A="ng-a", NAGA_B="ng-b") != both
