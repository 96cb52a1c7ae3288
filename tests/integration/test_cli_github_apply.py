"""apply in jobs of GitHub workflows: what was reviewed is what runs, and only while it is the newest."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.engine.planning import read_plan
from reconciler.errors import AccountError
from reconciler.forge.threads import PlanMarker
from support.command import KEYS, on_a_file
from support.github.discussions import Pull
from support.github.fake import READ_ONLY_TOKEN
from support.github.job import (
    HEAD,
    MERGED,
    NUMBER,
    OTHER,
    SELECTION,
    job_environment,
    pull_request_event,
)
from support.github.transport import Mishap
from support.github.workplace import Workplace
from support.repository import commit
from support.several import A, B, beside_each_other

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.engine.accounts import PlanRequest
    from reconciler.engine.planning import Readings
    from support.command import Ended

ONE = "{a: {credit_limit: 1}}"
TWO = "{a: {credit_limit: 1}, b: {credit_limit: 2}}"
APPLY = ("apply", "--auto-approve")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    with on_a_file(tmp_path, monkeypatch) as front:
        made = Workplace(tmp_path, front.declare(ONE), monkeypatch)
        made.discussions.branches["main"] = MERGED
        made.discussions.pulls[MERGED] = [Pull(NUMBER, HEAD, MERGED)]
        yield made


def review(place: Workplace, *options: str) -> None:
    """Plan on the pull request, then be the job that its merge starts."""
    place.enter(job_environment(pull_request_event(place.folder)))
    assert place.front("plan", "--comment", *options).code in {0, 3}
    merge(place)


def merge(place: Workplace) -> None:
    place.enter(job_environment())
    place.monkeypatch.delenv("GITHUB_EVENT_PATH")


def refused(place: Workplace, ended: Ended, words: str) -> None:
    """See that nothing was done, and that it is said why in all places."""
    assert ended.code == 4
    assert words in ended.err
    assert place.front.names() == []
    assert place.outputs == {"exitcode": "4"}
    assert place.summary.startswith("### ❌ Not done\n\n- ")


# --- what was reviewed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pull",
    [
        pytest.param(Pull(NUMBER, HEAD, MERGED), id="a merge commit or a squashed one"),
        pytest.param(Pull(NUMBER, HEAD, OTHER), id="one of the commits of a rebase"),
    ],
)
def test_what_was_reviewed_on_the_pull_request_is_applied(place: Workplace, pull: Pull) -> None:
    place.discussions.pulls[MERGED] = [pull]
    review(place)
    ended = place.front(*APPLY, "--reviewed", "--only-tip")
    assert ended.code == 0, ended.err
    assert place.front.names() == ["ci/a"]
    assert place.outputs == {"exitcode": "0"}
    assert place.summary.startswith("### Applied 1 change")


def test_an_environment_is_applied_by_its_own_comment(place: Workplace) -> None:
    review(place, "-e", "ci")
    refused(place, place.front(*APPLY, "--reviewed"), "pull request #7 has no comment by `plan --comment`")
    merge(place)
    assert place.front(*APPLY, "--reviewed", "-e", "ci").code == 0


@pytest.mark.parametrize("options", [(), ("-e", "ci")], ids=["another plan was reviewed", "none was"])
def test_where_there_is_nothing_to_do_no_review_is_needed(place: Workplace, options: tuple[str, ...]) -> None:
    review(place, *options)
    assert place.front(*APPLY).code == 0
    merge(place)
    assert place.front(*APPLY, "--reviewed").code == 0
    assert place.outputs == {"exitcode": "0"}
    assert "### No changes" in place.summary


def test_an_account_that_cannot_be_read_is_not_taken_for_one_without_changes(place: Workplace) -> None:
    review(place)
    assert place.front(*APPLY).code == 0
    merge(place)

    async def read_with_another(request: PlanRequest, *, sweeps: bool) -> Readings:
        assert not sweeps
        return replace(await read_plan(request), unread={"NAGA_OTHER": AccountError("the account sleeps")})

    place.monkeypatch.setattr("reconciler.engine.planning.read_plan", read_with_another)
    ended = place.front(*APPLY, "--reviewed")
    assert (ended.code, place.outputs) == (1, {"exitcode": "1"})
    assert "NAGA_OTHER: the account sleeps" in ended.err


def test_a_plan_that_is_forbidden_says_so_rather_than_that_it_was_not_reviewed(place: Workplace) -> None:
    place.front(*APPLY)
    place.front.write((KEYS % "{b: {credit_limit: 1}}").replace("  ci:\n", "  ci:\n    protected: true\n"))
    review(place)
    ended = place.front(*APPLY, "--reviewed")
    assert (ended.code, place.front.names()) == (3, ["ci/a"])


def test_a_merge_of_something_else_takes_no_review_away(place: Workplace) -> None:
    (place.folder / ".gitignore").write_text("*.env\n")
    declared = commit("Declare a key")
    place.discussions.pulls = {declared: [Pull(NUMBER, HEAD, declared)]}
    review(place)
    (place.folder / "README.md").write_text("# hello\n")
    newest = commit("Say hello")
    place.discussions.pulls[newest] = [Pull(8, OTHER, newest)]
    place.discussions.branches["main"] = newest
    place.enter(job_environment(GITHUB_SHA=newest))
    place.monkeypatch.delenv("GITHUB_EVENT_PATH")
    ended = place.front(*APPLY, "--reviewed", "--only-tip")
    assert (ended.code, place.front.names()) == (0, ["ci/a"]), ended.err


def test_a_plan_that_has_moved_since_the_review_is_refused_and_shown(place: Workplace) -> None:
    review(place)
    place.front.declare(TWO)
    ended = place.front(*APPLY, "--reviewed")
    refused(place, ended, "error: ")
    assert "+ create  b" in ended.out
    assert "### Plan: 2 to create" in place.summary


def test_a_digest_that_is_given_goes_before_the_comment(place: Workplace) -> None:
    review(place)
    place.front.declare(TWO)
    digest = re.findall(r"sha256:[0-9a-f]{64}", place.front("plan", "--format", "markdown").out)[0]
    assert place.front(*APPLY, "--reviewed", "--expect-digest", digest).code == 0
    assert place.front.names() == ["ci/a", "ci/b"]


def test_an_empty_digest_is_none(place: Workplace) -> None:
    review(place)
    place.front.declare(TWO)
    refused(place, place.front(*APPLY, "--reviewed", "--expect-digest", ""), "is not the one that was reviewed")


def test_a_push_without_a_pull_request_is_refused_with_what_to_do(place: Workplace) -> None:
    review(place)
    place.discussions.pulls.clear()
    place.monkeypatch.setattr("reconciler.forge.reviews._PAUSE_SECONDS", 0.001)
    ended = place.front(*APPLY, "--reviewed")
    refused(place, ended, f"no pull request that was merged to main is known for commit {MERGED}")
    assert "apply with --expect-digest and its digest, or leave out --reviewed" in ended.err


def test_a_forged_comment_is_no_review(place: Workplace) -> None:
    merge(place)
    digest = re.findall(r"sha256:[0-9a-f]{64}", place.front("plan", "--format", "markdown").out)[0]
    place.discussions.say(NUMBER, "mallory", f"{PlanMarker(SELECTION, HEAD, digest)}\n### No changes\n")
    refused(place, place.front(*APPLY, "--reviewed"), "pull request #7 has no comment by `plan --comment`")


def test_our_comment_that_somebody_else_edited_is_no_review(place: Workplace) -> None:
    review(place)
    place.discussions.on(NUMBER)[0].editor = "mallory"
    refused(place, place.front(*APPLY, "--reviewed"), "was edited by somebody else")


def test_a_plan_of_an_earlier_commit_of_the_branch_is_no_review(place: Workplace) -> None:
    review(place)
    place.discussions.pulls[MERGED] = [Pull(NUMBER, OTHER, MERGED)]
    refused(place, place.front(*APPLY, "--reviewed"), f"is of commit {HEAD}, and {OTHER} was merged")


def test_an_offline_plan_is_no_review(place: Workplace) -> None:
    (place.folder / "old.yaml").write_text(KEYS % "{}")
    review(place, "--offline", "--base", "old.yaml")
    refused(place, place.front(*APPLY, "--reviewed"), "was made offline")


def test_a_saved_plan_does_not_go_with_it(place: Workplace) -> None:
    review(place)
    ended = place.front(*APPLY, "--reviewed", "plan.json")
    assert ended.code == 1
    assert "a saved plan does not go with it" in ended.err


@pytest.mark.parametrize("flag", ["--reviewed", "--only-tip"])
def test_when_github_cannot_be_asked_nothing_is_done(place: Workplace, flag: str) -> None:
    review(place)
    place.way.broken = Mishap(400, content='{"message": "no"}')
    ended = place.front(*APPLY, flag)
    assert (ended.code, ended.err) == (1, "error: 400 no\n")
    assert place.front.names() == []
    assert place.outputs == {"exitcode": "1"}


@pytest.mark.parametrize("flag", ["--reviewed", "--only-tip"])
def test_outside_of_a_job_it_says_what_is_missing(place: Workplace, flag: str) -> None:
    merge(place)
    place.monkeypatch.delenv("GITHUB_SHA")
    ended = place.front(*APPLY, flag)
    assert ended.code == 1
    assert f"{flag} works in a job of a GitHub workflow" in ended.err


# --- the newest commit ------------------------------------------------------------------------------------------------


def test_a_commit_that_was_superseded_is_refused(place: Workplace) -> None:
    merge(place)
    place.discussions.branches["main"] = OTHER
    ended = place.front(*APPLY, "--only-tip")
    refused(place, ended, f"main is at {OTHER}, and this is {MERGED}")
    assert ended.out == ""


def superseded_after_the_first_look(place: Workplace) -> list[str]:
    """Have the branch move on once it was looked at; gives the commits that are looked for, as they are."""
    from reconciler.forge import reviews

    original, looks = reviews.refuse_superseded, []

    async def moving(repository: object, commit: str) -> None:
        looks.append(commit)
        await original(repository, commit)  # type: ignore[arg-type]  # the repository itself
        place.discussions.branches["main"] = OTHER

    place.monkeypatch.setattr(reviews, "refuse_superseded", moving)
    return looks


def test_a_commit_that_is_superseded_while_waiting_for_the_lock_is_refused_before_the_first_write(
    place: Workplace,
) -> None:
    merge(place)
    looks = superseded_after_the_first_look(place)
    ended = place.front(*APPLY, "--only-tip")
    assert ended.code == 4
    assert f"main is at {OTHER}" in ended.err
    assert len(looks) == 2
    assert place.front.names() == []  # and the lock is gone, too


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_several_accounts_are_left_alone_when_the_commit_is_superseded_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_format: str
) -> None:
    with beside_each_other(tmp_path, monkeypatch) as accounts:
        place = Workplace(tmp_path, accounts.declare_both("{x: {}}", "{x: {}}"), monkeypatch)
        place.discussions.branches["main"] = MERGED
        merge(place)
        looks = superseded_after_the_first_look(place)
        ended = place.front(*APPLY, "--only-tip", "--format", output_format)
        assert (ended.code, len(looks)) == (4, 3), "one look at first, and one in each account"
        assert ended.err.count("error: main is at") == 1
        assert (accounts.names_of(A), accounts.names_of(B)) == ([], [])
        assert place.outputs == {"exitcode": "4"}
        if output_format == "json":
            assert [each["status"] for each in ended.document["changes"]] == ["not_attempted"] * 2


def test_several_accounts_are_applied_at_the_tip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with beside_each_other(tmp_path, monkeypatch) as accounts:
        place = Workplace(tmp_path, accounts.declare_both("{x: {}}", "{x: {}}"), monkeypatch)
        place.discussions.branches["main"] = MERGED
        merge(place)
        assert place.front(*APPLY, "--only-tip").code == 0
        assert (accounts.names_of(A), accounts.names_of(B)) == (["a/x"], ["b/x"])


# --- the step ---------------------------------------------------------------------------------------------------------


def test_an_apply_without_changes_tells_the_step(place: Workplace) -> None:
    merge(place)
    place.front(*APPLY)
    merge(place)
    assert place.front(*APPLY).code == 0
    assert place.outputs == {"exitcode": "0"}
    assert "### No changes" in place.summary


def test_an_apply_that_is_refused_by_a_guardrail_tells_the_step(place: Workplace) -> None:
    merge(place)
    place.front(*APPLY)
    merge(place)
    place.front.write((KEYS % "{b: {credit_limit: 1}}").replace("  ci:\n", "  ci:\n    protected: true\n"))
    ended = place.front(*APPLY)
    assert ended.code == 3
    assert place.outputs == {"exitcode": "3"}
    assert "refused: 1 finding" in place.summary
    assert "❌ **error**" in place.summary


def test_an_invalid_file_tells_the_step(place: Workplace) -> None:
    merge(place)
    place.front.declare("{a: {nonsense: 1}}")(*APPLY)
    assert place.outputs == {"exitcode": "1"}
    assert "### ❌ The file is not valid" in place.summary


def test_an_apply_that_is_interrupted_tells_the_step(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    merge(place)
    monkeypatch.setattr("reconciler.engine.planning.read_plan", interrupted)
    assert place.front(*APPLY).code == 130
    assert place.outputs == {"exitcode": "130"}
    assert "### ❌ Interrupted" in place.summary


def test_outside_of_a_job_no_step_is_told(place: Workplace) -> None:
    merge(place)
    place.monkeypatch.delenv("GITHUB_ACTIONS")
    place.front(*APPLY)
    assert (place.summary, place.outputs) == ("", {})


# --- the issue --------------------------------------------------------------------------------------------------------


def test_what_was_done_is_told_in_the_issue_about_drift_and_nothing_is_not_told(place: Workplace) -> None:
    merge(place)
    assert place.front(*APPLY, "--issue").code == 0
    (issue,) = place.discussions.issues.values()
    assert (issue.state, issue.labels) == ("closed", ["drift"])
    (told,) = place.bodies(issue.number)
    assert "ci/a" in told
    assert "runs/42" in told
    assert place.front(*APPLY, "--issue").code == 0
    assert place.bodies(issue.number) == [told]

    place.front.declare(TWO)("plan", "--issue")
    assert issue.state == "open"
    place.front(*APPLY, "--issue")
    assert len(place.bodies(issue.number)) == 2
    place.front("plan", "--issue")
    assert issue.state == "closed"
    assert len(place.discussions.issues) == 1


def test_what_cannot_be_told_is_an_error_of_its_own(place: Workplace) -> None:
    merge(place)
    place.monkeypatch.setenv("GITHUB_TOKEN", READ_ONLY_TOKEN)
    ended = place.front(*APPLY, "--issue")
    assert (ended.code, place.front.names()) == (1, ["ci/a"])
    assert "issues: write" in ended.err


def test_the_issue_needs_a_job(place: Workplace) -> None:
    place.monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    place.monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    ended = place.front(*APPLY, "--issue")
    assert (ended.code, place.front.names()) == (1, [])
