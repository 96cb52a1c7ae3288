from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import NotPermitted
from reconciler.forge.threads import Done, Drift, DriftMarker, Report, close_issues, keep_issue, selection
from support.github.discussions import BOT
from support.github.fake import READ_ONLY_TOKEN
from support.github.job import SELECTION, GitHubJob
from support.github.transport import Mishap

if TYPE_CHECKING:
    from reconciler.forge.github import Repository
    from support.github.discussions import Issue

DRIFT = Drift("Drift: the account does not match keys.yaml", "### Plan: 1 to create\n", "0" * 64)
MORE = replace(DRIFT, page="### Plan: 2 to create\n", shows="1" * 64)
WORD = "No drift any more."


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> GitHubJob:
    return GitHubJob(monkeypatch)


def keep(job: GitHubJob, drift: Drift = DRIFT, selected: str = SELECTION) -> Report:
    return job.run(lambda repository: keep_issue(repository, selected, drift))


def close(job: GitHubJob, selected: str = SELECTION) -> list[Report]:
    return job.run(lambda repository: close_issues(repository, selected, "### No drift\n", WORD))


def only(job: GitHubJob) -> Issue:
    (issue,) = job.discussions.issues.values()
    return issue


def writes(job: GitHubJob) -> list[str]:
    return [each for each in job.fake.asked if not each.startswith("GET") and "graphql" not in each]


def test_drift_opens_an_issue_with_the_label(job: GitHubJob) -> None:
    report = keep(job)
    issue = only(job)
    assert report == Report(issue.number, Done.OPENED)
    assert (issue.title, issue.labels, issue.state, issue.author) == (DRIFT.title, ["drift"], "open", BOT)
    assert issue.body == f"{DriftMarker(SELECTION, DRIFT.shows)}\n{DRIFT.page}"


def test_the_same_drift_leaves_the_issue_alone(job: GitHubJob) -> None:
    number = keep(job).number
    before = writes(job)
    assert keep(job, replace(DRIFT, page="### the same, with other amounts\n")) == Report(number, Done.UNCHANGED)
    assert writes(job) == before


def test_other_drift_is_shown_in_the_same_issue(job: GitHubJob) -> None:
    number = keep(job).number
    assert keep(job, MORE) == Report(number, Done.UPDATED)
    assert only(job).body.endswith(MORE.page)


def test_the_issue_is_closed_with_a_word_when_there_is_no_drift_any_more(job: GitHubJob) -> None:
    number = keep(job).number
    assert close(job) == [Report(number, Done.CLOSED)]
    issue = only(job)
    assert (issue.state, issue.state_reason) == ("closed", "completed")
    assert issue.body == f"{DriftMarker(SELECTION, None)}\n### No drift\n"
    assert job.bodies(number) == [WORD]


def test_without_drift_and_without_an_issue_nothing_is_written(job: GitHubJob) -> None:
    assert close(job) == []
    keep(job)
    close(job)
    before = writes(job)
    assert close(job) == []
    assert writes(job) == before


def test_drift_that_comes_back_opens_the_issue_again(job: GitHubJob) -> None:
    number = keep(job).number
    close(job)
    assert keep(job) == Report(number, Done.REOPENED)
    assert (only(job).state, only(job).state_reason) == ("open", None)
    assert only(job).body.endswith(DRIFT.page)


def test_an_issue_that_somebody_closed_stays_closed_until_something_changes(job: GitHubJob) -> None:
    number = keep(job).number
    only(job).state = "closed"
    assert keep(job) == Report(number, Done.LEFT_CLOSED)
    assert only(job).state == "closed"
    assert close(job) == []
    assert keep(job, MORE) == Report(number, Done.REOPENED)


def test_each_selection_has_an_issue_of_its_own(job: GitHubJob) -> None:
    other = selection("keys.yaml", ["production"])
    keep(job)
    assert keep(job, selected=other).done is Done.OPENED
    assert len(job.discussions.issues) == 2
    assert len(close(job, other)) == 1
    assert sorted(each.state for each in job.discussions.issues.values()) == ["closed", "open"]


def test_somebody_elses_look_alike_is_neither_believed_nor_touched(job: GitHubJob) -> None:
    forged = job.discussions.open_issue("mallory", "Drift", f"{DriftMarker(SELECTION, DRIFT.shows)}\nforged", "drift")
    assert keep(job).done is Done.OPENED
    assert len(close(job)) == 1
    assert (forged.state, forged.body.endswith("forged")) == ("open", True)


def test_a_pull_request_that_looks_alike_is_no_issue(job: GitHubJob) -> None:
    alike = {"id": 1, "number": 9, "state": "open", "user": {"login": BOT}, "body": f"{DriftMarker(SELECTION, None)}"}
    job.way.expect("labels=drift", Mishap(200, content=json.dumps([{**alike, "pull_request": {}}])))
    assert close(job) == []


def test_an_issue_of_ours_whose_marker_was_spoilt_is_mended(job: GitHubJob) -> None:
    number = keep(job).number
    only(job).body = only(job).body.replace("shows=", "shows-")
    assert keep(job) == Report(number, Done.UPDATED)


def test_doubles_of_runs_at_the_same_time_are_closed(job: GitHubJob) -> None:
    async def both(repository: Repository) -> list[Report]:
        return [*await asyncio.gather(*(keep_issue(repository, SELECTION, DRIFT) for _ in range(2)))]

    job.run(both)
    assert [each.state for each in job.discussions.issues.values()] == ["open", "closed"]
    body = f"{DriftMarker(SELECTION, DRIFT.shows)}\n{DRIFT.page}"
    third = job.discussions.open_issue(BOT, "Drift", body, "drift")
    keep(job)
    assert (third.state, third.state_reason) == ("closed", "not_planned")


def test_a_lost_answer_causes_no_second_issue(job: GitHubJob) -> None:
    job.way.expect("POST https://api.github.com/repos", Mishap(502, after=True))
    keep(job)
    assert len(job.discussions.issues) == 1


def test_a_token_that_may_only_read_is_refused_in_a_way_to_tell(job: GitHubJob) -> None:
    with pytest.raises(NotPermitted, match="403 Resource not accessible by integration"):
        job.run(lambda repository: keep_issue(repository, SELECTION, DRIFT), READ_ONLY_TOKEN)
