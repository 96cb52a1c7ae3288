"""The commands in jobs of GitLab: one note kept up to date, what was reviewed is what runs, and reports for widgets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.forge.threads import PlanMarker, selection
from support.command import KEYS, Ended, Front, on_a_file
from support.places.gitlab import TOKEN, FakeGitLab, Grant, MergeRequest, lead_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = "{a: {credit_limit: 1}}"
TWO = "{a: {credit_limit: 1}, b: {credit_limit: 2}}"
HEAD, MERGED, SQUASHED, OTHER = ("abcd"[number] * 40 for number in range(4))
SELECTION = selection("keys.yaml", ())
REPORTER_TOKEN, BOT, MAINTAINER_BOT = "glpat-of-plans", "project_11_bot_1", "project_11_bot_2"
PLAN = ("plan", "--format", "gitlab", "--comment")
APPLY = ("apply", "--auto-approve")


class Pipelines:
    """Jobs of a project on the fake, with a folder and a simulated account."""

    def __init__(self, folder: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
        self.front, self.monkeypatch, self.gitlab = front, monkeypatch, FakeGitLab()
        lead_to(self.gitlab, monkeypatch)
        self.gitlab.grants = {REPORTER_TOKEN: Grant(20, username=BOT), TOKEN: Grant(username=MAINTAINER_BOT)}
        self.project = self.gitlab.homes["projects/acme/api"]
        self.request = MergeRequest(7, HEAD)
        self.project.merge_requests[7] = self.request
        self.project.tips["main"] = MERGED
        for name, value in {
            "GITLAB_CI": "true",
            "CI_PROJECT_PATH": "acme/api",
            "CI_PROJECT_DIR": str(folder),
            "CI_JOB_URL": "https://gitlab.example.com/acme/api/-/jobs/5",
            "GITLAB_USER_LOGIN": "anna",
        }.items():
            monkeypatch.setenv(name, value)
        self.of_merge_request()

    def of_merge_request(self, **variables: str) -> None:
        numbers = {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_PATH": "acme/api"}
        for name, value in {"CI_COMMIT_SHA": HEAD, "GITLAB_TOKEN": REPORTER_TOKEN, **numbers, **variables}.items():
            self.monkeypatch.setenv(name, value)

    def merge(self, **fields: str) -> None:
        """Merge the request, and be the pipeline of the push that this is."""
        for name, value in ({"merge_commit_sha": MERGED} | fields).items():
            setattr(self.request, name, value)
        self.request.merged_at = "2026-11-28T10:30:00.000Z"
        for name in ("CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_PROJECT_PATH"):
            self.monkeypatch.delenv(name)
        self.monkeypatch.setenv("CI_COMMIT_SHA", MERGED)
        self.monkeypatch.setenv("GITLAB_TOKEN", TOKEN)

    def review(self, *options: str) -> None:
        assert self.front("plan", "--comment", *options).code in {0, 3}
        self.merge()

    @property
    def notes(self) -> list[dict[str, Any]]:
        return self.request.notes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipelines]:
    monkeypatch.setattr("reconciler.forge.reviews._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("reconciler.forge.threads._PAUSE_SECONDS", 0.0)
    with on_a_file(tmp_path, monkeypatch) as front:
        yield Pipelines(tmp_path, front.declare(ONE), monkeypatch)


def refused(place: Pipelines, words: str, *options: str) -> Ended:
    """See that nothing was done, and that it is said why."""
    ended = place.front(*APPLY, *(options or ("--reviewed",)))
    assert (ended.code, place.front.names()) == (4, []), ended.err
    assert words in ended.err
    return ended


# --- the note ---------------------------------------------------------------------------------------------------------


def test_one_note_is_kept_up_to_date_and_others_stay(place: Pipelines) -> None:
    theirs = place.gitlab.say(place.notes, "anna", "Looks good")
    place.gitlab.say(place.notes, BOT, f"{PlanMarker(SELECTION, HEAD, None)}\nassigned", system=True)
    planned = place.front(*PLAN)
    assert (planned.code, planned.document) == (0, {"create": 1, "update": 0, "delete": 0})
    assert "ci/a" in planned.err
    ours = place.notes[-1]
    assert (ours["author"]["username"], "1 to create" in ours["body"]) == (BOT, True)
    assert (
        "planned by `anna` on commit `aaaaaaaaaaaa`, [run](https://gitlab.example.com/acme/api/-/jobs/5)"
        in (ours["body"])
    )
    place.front.declare(TWO)
    assert place.front(*PLAN).code == 0
    assert place.front(*PLAN).code == 0
    assert [note["id"] for note in place.notes] == [1, 2, ours["id"]]
    assert "2 to create" in ours["body"]
    assert theirs["body"] == "Looks good"
    assert place.gitlab.changed[2:] == ["POST note 3", "PUT note 3"], "what is the same is not written again"


def test_of_several_notes_of_ours_the_oldest_stays(place: Pipelines) -> None:
    for _ in range(3):
        place.gitlab.say(place.notes, BOT, f"{PlanMarker(SELECTION, OTHER, None)}\nold")
    place.gitlab.say(place.notes, "mallory", f"{PlanMarker(SELECTION, OTHER, None)}\ntheirs")
    assert place.front(*PLAN).code == 0
    assert [note["id"] for note in place.notes] == [1, 4]
    assert HEAD in place.notes[0]["body"]


def test_a_lost_answer_leaves_one_note(place: Pipelines) -> None:
    lost: list[Exception] = [httpx.ReadTimeout("")]
    place.gitlab.mishap = lambda method, _: lost.pop() if method == "POST" and lost else None
    assert place.front(*PLAN).code == 0
    assert len(place.notes) == 1


def test_a_pipeline_for_merged_results_is_about_the_head_of_the_branch(place: Pipelines) -> None:
    place.of_merge_request(CI_COMMIT_SHA=OTHER, CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=HEAD)
    place.review()
    assert place.front(*APPLY, "--reviewed").code == 0


def test_a_file_that_is_wrong_has_a_note_and_no_counts(place: Pipelines) -> None:
    planned = place.front.write("version: 1\n")(*PLAN)
    assert (planned.code, planned.out) == (1, "")
    assert "The file is not valid" in place.notes[0]["body"]


def test_no_line_of_a_note_is_a_quick_action_whatever_keys_are_called(place: Pipelines) -> None:
    for name in ("/close", "\n/merge", "x\n\n/approve", "ci/z\r/close"):
        place.front.state.create_key(name)
    place.front.write(KEYS % ONE + "unmanaged: error\n")
    place.front(*PLAN)
    (note,) = place.notes
    assert "/close" in note["body"]
    assert [line for line in note["body"].splitlines() if line.lstrip(" >-*").startswith("/")] == []


@pytest.mark.parametrize(
    ("grant", "code", "words"),
    [
        (Grant(10), 0, "the CI_JOB_TOKEN of a job cannot write notes"),
        (Grant(40, ("read_api",)), 0, "the scope api"),
        (None, 1, "401"),
    ],
)
def test_a_token_that_cannot_write_is_told(place: Pipelines, grant: Grant | None, code: int, words: str) -> None:
    place.gitlab.grants = {} if grant is None else {REPORTER_TOKEN: grant}
    planned = place.front(*PLAN)
    assert (planned.code, place.notes) == (code, [])
    assert words in planned.err


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("GITLAB_TOKEN", "", "GITLAB_TOKEN is not set: it takes an access token"),
        ("GITLAB_URL", "http://gitlab.example.com", "GITLAB_URL must be an https address"),
        ("CI_MERGE_REQUEST_PROJECT_PATH", "../x", "works in a job of a GitLab pipeline"),
        ("CI_MERGE_REQUEST_IID", "7/notes", "works in a job of a GitLab pipeline"),
        ("CI_COMMIT_SHA", "main", "works in a job of a GitLab pipeline"),
    ],
)
def test_what_is_missing_is_told_before_the_account_is_asked(
    place: Pipelines, variable: str, value: str, words: str
) -> None:
    place.monkeypatch.setenv(variable, value)
    ended = place.front(*PLAN)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err


def test_a_pipeline_of_a_branch_has_nothing_to_comment_on(place: Pipelines) -> None:
    place.merge()
    planned = place.front(*PLAN)
    assert (planned.code, place.notes) == (0, [])
    assert "no pull request or merge request" in planned.err


@pytest.mark.parametrize("words", [("plan", "--issue"), (*APPLY, "--issue")])
def test_an_issue_is_kept_on_github_alone(place: Pipelines, words: tuple[str, ...]) -> None:
    ended = place.front(*words)
    assert (ended.code, place.front.names()) == (1, [])
    assert "--detailed-exitcode" in ended.err


def test_a_note_that_vanishes_again_and_again_is_an_error(place: Pipelines) -> None:
    place.front(*PLAN)
    place.front.declare(TWO)
    place.gitlab.mishap = lambda method, _: 404 if method == "PUT" else None
    ended = place.front(*PLAN)
    assert ended.code == 1
    assert "could not be written" in ended.err


# --- what was reviewed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "merged",
    [
        pytest.param({"merge_commit_sha": MERGED}, id="a merge commit"),
        pytest.param({"merge_commit_sha": MERGED, "squash_commit_sha": SQUASHED}, id="a merge commit of a squash"),
        pytest.param({"merge_commit_sha": "", "squash_commit_sha": MERGED}, id="a squash, fast-forward"),
    ],
)
def test_what_was_reviewed_on_the_merge_request_is_applied_by_another_token(
    place: Pipelines, merged: dict[str, str]
) -> None:
    place.front("plan", "--comment")
    place.merge(**merged)
    ended = place.front(*APPLY, "--reviewed", "--only-tip")
    assert (ended.code, place.front.names()) == (0, ["ci/a"]), ended.err


def test_a_fast_forward_is_found_by_its_own_commit(place: Pipelines) -> None:
    place.request.sha = MERGED
    place.of_merge_request(CI_COMMIT_SHA=MERGED)
    place.front("plan", "--comment")
    place.merge(merge_commit_sha="")
    assert place.front(*APPLY, "--reviewed").code == 0


def test_a_plan_that_has_moved_since_the_review_is_refused(place: Pipelines) -> None:
    place.review()
    place.front.declare(TWO)
    refused(place, "is not the one that was reviewed")


def test_a_note_without_the_seal_is_no_review(place: Pipelines) -> None:
    place.merge()
    digest = re.findall(r"sha256:[0-9a-f]{64}", place.front("plan", "--format", "markdown").out)[0]
    place.gitlab.say(place.notes, BOT, f"{PlanMarker(SELECTION, HEAD, digest)}\n### No changes\n")
    refused(place, "merge request !7 was not written with the provisioning key")


def test_a_note_that_somebody_edited_is_no_review(place: Pipelines) -> None:
    place.review()
    place.notes[0]["body"] += "\nfine"
    refused(place, "it may be forged")


def test_a_note_of_another_commit_or_time_is_no_review(place: Pipelines) -> None:
    place.review()
    place.request.sha = OTHER
    refused(place, f"is of commit {HEAD}, and {OTHER} was merged")
    place.request.sha, place.notes[0]["updated_at"] = HEAD, "2026-11-28T11:00:00.000Z"
    refused(place, "was written after the merge")


@pytest.mark.parametrize(
    "fields", [{"target_project_id": 12}, {"target_branch": "other"}, {"merged_at": None}, {"merge_commit_sha": OTHER}]
)
def test_a_commit_that_came_by_no_merge_request_is_refused(place: Pipelines, fields: dict[str, Any]) -> None:
    place.review()
    for name, value in fields.items():
        setattr(place.request, name, value)
    refused(place, f"no merge request that was merged to main is known for commit {MERGED}")


def test_a_commit_that_was_superseded_is_refused(place: Pipelines) -> None:
    place.review()
    place.project.tips["main"] = OTHER
    refused(place, f"main is at {OTHER}, and this is {MERGED}", "--only-tip")


@pytest.mark.parametrize("attribute", ["branch", "tips"])
def test_what_gitlab_does_not_say_stops_an_apply(place: Pipelines, attribute: str) -> None:
    place.review()
    setattr(place.project, attribute, None if attribute == "branch" else {"main": None})
    ended = place.front(*APPLY, "--only-tip")
    assert (ended.code, place.front.names()) == (1, [])


# --- reports ----------------------------------------------------------------------------------------------------------


def test_the_widget_gets_the_counts_and_the_log_the_plan(place: Pipelines) -> None:
    front = place.front.declare("{a: {credit_limit: 1}, b: {credit_limit: 2}, c: {credit_limit: 3}}")
    assert front(*APPLY).code == 0
    front.declare("{a: {credit_limit: 9}, c: {credit_limit: 3}, d: {credit_limit: 4}}")
    planned = front("plan", "--format", "gitlab")
    assert planned.document == {"create": 1, "update": 1, "delete": 1}
    assert "ci/a" in planned.err
