from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ForgeError, NotPermitted, StalePlan
from reconciler.forge.reviews import refuse_superseded, reviewed_digest
from reconciler.forge.threads import PlanMarker, keep_comment, plan_comment, plan_prefix, read_plan_marker, selection
from support.github.discussions import BOT, Pull
from support.github.fake import READ_ONLY_TOKEN
from support.github.job import DIGEST, HEAD, MARKER, MERGED, NUMBER, OTHER, SELECTION, GitHubJob
from support.github.transport import Mishap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.forge.github import Repository

PAGE = "\n### Plan: 1 to create\n"
KEY = b"made of the provisioning key"
THREAD = ("acme/api", NUMBER)
FORGED = PlanMarker(SELECTION, HEAD, "sha256:" + "66" * 32)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> GitHubJob:
    made = GitHubJob(monkeypatch)
    made.discussions.branches["main"] = MERGED
    made.discussions.pulls[MERGED] = [Pull(NUMBER, HEAD, MERGED)]
    return made


def read(job: GitHubJob, selected: str = SELECTION, commits: Sequence[str] = (MERGED,)) -> str:
    return job.run(lambda repository: reviewed_digest(repository, commits, selected, KEY))


def refusal(job: GitHubJob, selected: str = SELECTION, commits: Sequence[str] = (MERGED,)) -> str:
    with pytest.raises(StalePlan) as caught:
        read(job, selected, commits)
    assert "--expect-digest" in str(caught.value)
    return str(caught.value).partition(", so nothing")[0]


def keep(job: GitHubJob, marker: PlanMarker = MARKER) -> None:
    async def work(repository: Repository) -> None:
        body = plan_comment(marker, PAGE.removeprefix("\n"), THREAD, KEY)
        await keep_comment(repository, NUMBER, plan_prefix(marker.selection), body)

    job.run(work)


@pytest.mark.parametrize(
    "pulls",
    [
        pytest.param([Pull(NUMBER, HEAD, MERGED)], id="a merge commit, or a squashed one"),
        pytest.param([Pull(NUMBER, HEAD, OTHER)], id="one of the commits of a rebase"),
        pytest.param([Pull(6, OTHER, OTHER), Pull(NUMBER, HEAD, MERGED)], id="a pull request within another"),
        pytest.param([Pull(6, OTHER, None, None), Pull(NUMBER, HEAD, MERGED)], id="beside one that is still open"),
        pytest.param([Pull(6, OTHER, MERGED, base="next"), Pull(NUMBER, HEAD, MERGED)], id="beside another branch's"),
        pytest.param(
            [Pull(6, OTHER, MERGED, repository="mallory/api"), Pull(NUMBER, HEAD, MERGED)], id="beside one of a fork"
        ),
        pytest.param([Pull(NUMBER, HEAD, MERGED, repository="Acme/API")], id="however the name is spelt"),
    ],
)
def test_the_digest_is_that_of_the_comment_on_the_pull_request_that_was_merged(
    job: GitHubJob, pulls: list[Pull]
) -> None:
    job.discussions.pulls[MERGED] = pulls
    keep(job)
    assert read(job) == DIGEST


def test_a_commit_that_was_pushed_past_every_pull_request_is_refused(job: GitHubJob) -> None:
    keep(job)
    assert refusal(job, commits=[OTHER]) == f"no pull request that was merged to main is known for commit {OTHER}"
    assert job.clock.seconds == 6


@pytest.mark.parametrize("pulls", [[], [Pull(8, OTHER, OTHER)]], ids=["a push", "a pull request without a plan"])
def test_where_something_else_came_on_top_the_review_of_what_is_below_counts(job: GitHubJob, pulls: list[Pull]) -> None:
    job.discussions.pulls[OTHER] = pulls
    keep(job)
    assert read(job, commits=[OTHER, MERGED]) == DIGEST


def test_where_the_newest_was_reviewed_itself_that_review_counts(job: GitHubJob) -> None:
    job.discussions.pulls[OTHER] = [Pull(8, OTHER, OTHER)]
    keep(job)
    assert "digest=sha256" in job.discussions.on(NUMBER)[0].body
    job.discussions.say(8, BOT, f"{PlanMarker(SELECTION, HEAD, None)}{PAGE}")
    assert refusal(job, commits=[OTHER, MERGED]).startswith("the comment on pull request #8 is of commit")


def test_where_neither_was_reviewed_both_reasons_are_told(job: GitHubJob) -> None:
    missing = "has no comment by `plan --comment` for what is to be applied here"
    job.discussions.pulls[OTHER] = [Pull(8, OTHER, OTHER)]
    assert refusal(job, commits=[OTHER, MERGED]) == f"pull request #8 {missing}, and pull request #{NUMBER} {missing}"


def test_github_takes_a_moment_to_know_the_pull_request(job: GitHubJob) -> None:
    keep(job)
    job.way.expect("/pulls", Mishap(200, content="[]"), Mishap(200, content="[]"))
    assert read(job) == DIGEST


def test_a_commit_of_several_pull_requests_is_refused(job: GitHubJob) -> None:
    job.discussions.pulls[MERGED] = [Pull(6, OTHER, OTHER), Pull(NUMBER, HEAD, OTHER)]
    assert refusal(job) == f"commit {MERGED} belongs to several: pull request #6, pull request #7"


def test_a_pull_request_without_a_comment_is_refused(job: GitHubJob) -> None:
    assert refusal(job) == "pull request #7 has no comment by `plan --comment` for what is to be applied here"


def test_the_comment_of_another_selection_is_not_taken(job: GitHubJob) -> None:
    keep(job)
    assert "has no comment" in refusal(job, selection("keys.yaml", ["production"]))
    assert "has no comment" in refusal(job, selection("other.yaml", []))


@pytest.mark.parametrize("author", ["mallory", "github-actions", "dependabot[bot]"])
def test_a_look_alike_with_a_forged_digest_is_ignored(job: GitHubJob, author: str) -> None:
    job.discussions.say(NUMBER, author, f"{FORGED}{PAGE}")
    assert "has no comment" in refusal(job)
    keep(job)
    job.discussions.say(NUMBER, author, f"{FORGED}{PAGE}")
    assert read(job) == DIGEST


def test_our_comment_that_somebody_else_has_edited_is_refused(job: GitHubJob) -> None:
    keep(job)
    (ours,) = job.discussions.on(NUMBER)
    ours.body, ours.editor = f"{FORGED}{PAGE}", "mallory"
    assert refusal(job) == "the comment on pull request #7 was edited by somebody else than the token's account"
    ours.body = f"{PAGE}{FORGED}"
    assert "has no comment" in refusal(job)
    ours.body = f"{FORGED}".replace("sha256:", "")
    assert "was edited" in refusal(job)


def test_our_comment_that_we_have_edited_is_taken(job: GitHubJob) -> None:
    keep(job, replace(MARKER, head=OTHER))
    keep(job)
    (ours,) = job.discussions.on(NUMBER)
    assert ours.editor == BOT
    assert read(job) == DIGEST


UNSEALED = "the comment on pull request #7 was not written with the provisioning key that is used here"


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(f"{MARKER}{PAGE}", id="without a seal"),
        pytest.param(f"{replace(MARKER, seal='0' * 64)}{PAGE}", id="with any seal"),
        pytest.param(plan_comment(MARKER, PAGE, THREAD, b"another key"), id="sealed with another key"),
        pytest.param(plan_comment(MARKER, PAGE, ("acme/api", 8), KEY), id="of another pull request"),
        pytest.param(plan_comment(MARKER, PAGE, ("acme/web", NUMBER), KEY), id="of another repository"),
        pytest.param(plan_comment(MARKER, PAGE, THREAD, None), id="by a job without a key"),
    ],
)
def test_a_comment_by_another_workflow_of_the_same_bot_is_refused(job: GitHubJob, forged: str) -> None:
    job.discussions.say(NUMBER, BOT, forged)
    assert refusal(job).startswith(UNSEALED)
    keep(job)
    assert read(job) == DIGEST


def sealed(marker: PlanMarker, page: str = PAGE) -> str:
    return plan_comment(marker, page, THREAD, KEY)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda body: body.replace("1 to create", "no changes"), id="the page"),
        pytest.param(lambda body: f"{body}\nIt is fine.", id="something below it"),
        pytest.param(lambda body: body.replace(DIGEST, str(FORGED.digest)), id="the digest"),
        pytest.param(lambda body: body.replace("\n", "\n\n", 1), id="a line more"),
    ],
)
def test_our_comment_that_another_workflow_edited_is_refused(job: GitHubJob, edit: Callable[[str], str]) -> None:
    keep(job)
    (ours,) = job.discussions.on(NUMBER)
    ours.body = edit(ours.body)
    assert refusal(job).startswith(UNSEALED)


def test_a_forged_comment_before_ours_keeps_nobody_from_applying(job: GitHubJob) -> None:
    job.discussions.say(NUMBER, BOT, f"{FORGED}{PAGE}")
    job.discussions.say(NUMBER, BOT, sealed(MARKER))
    assert read(job) == DIGEST


def test_a_seal_does_not_mind_how_github_gives_lines_back(job: GitHubJob) -> None:
    job.discussions.say(NUMBER, BOT, sealed(MARKER, "### Plan\n\nmore\n\n").replace("\n", "\r\n").rstrip())
    assert read(job) == DIGEST


def test_without_a_key_there_is_no_review(job: GitHubJob) -> None:
    job.discussions.say(NUMBER, BOT, sealed(MARKER))
    with pytest.raises(StalePlan, match="so it may be forged"):
        job.run(lambda repository: reviewed_digest(repository, [MERGED], SELECTION, None))


def test_a_seal_is_read_back() -> None:
    marker = read_plan_marker(SELECTION, sealed(MARKER))
    assert marker is not None
    assert marker.seal is not None
    assert replace(marker, seal=None) == MARKER


def test_a_plan_of_another_commit_than_the_merged_head_is_refused(job: GitHubJob) -> None:
    keep(job, replace(MARKER, head=OTHER))
    assert refusal(job) == f"the comment on pull request #7 is of commit {OTHER}, and {HEAD} was merged"


def test_a_plan_that_was_written_after_the_merge_is_refused(job: GitHubJob) -> None:
    job.discussions.now = lambda: "2026-11-22T12:00:01Z"
    keep(job)
    assert refusal(job) == "the comment on pull request #7 was written after the merge, not before it"
    job.discussions.now = lambda: "2026-11-22T12:00:00Z"
    keep(job, replace(MARKER, digest=FORGED.digest))
    assert read(job) == FORGED.digest


def test_it_has_to_be_known_when_the_pull_request_was_merged(job: GitHubJob) -> None:
    keep(job)
    merged = {"number": NUMBER, "merged_at": "yesterday", "head": {"sha": HEAD}}
    base = {"ref": "main", "repo": {"full_name": "acme/api"}}
    job.way.expect("/pulls", Mishap(200, content=json.dumps([{**merged, "base": base}])))
    with pytest.raises(ForgeError, match="not told when a pull request was merged"):
        read(job)


def test_a_plan_that_could_not_be_applied_then_is_refused(job: GitHubJob) -> None:
    keep(job, replace(MARKER, digest=None))
    refused = "the plan on pull request #7 was refused, failed, or was made offline, so it cannot be applied"
    assert refusal(job).startswith(refused.partition(", so")[0])


@pytest.mark.parametrize("data", ["{}", '{"data": null}', '{"data": {"node": {}}}', '{"data": {"node": {"id": 1}}}'])
def test_it_has_to_be_known_who_edited_the_comment(job: GitHubJob, data: str) -> None:
    keep(job)
    job.way.expect("graphql", Mishap(200, content='{"data": {"viewer": {"login": "github-actions[bot]"}}}'))
    job.way.expect("graphql", Mishap(200, content=data))
    with pytest.raises(ForgeError, match="GitHub does not say who has edited the comment"):
        read(job)


@pytest.mark.parametrize("data", ["{}", '{"data": {"viewer": null}}', '{"data": {"viewer": {"login": ""}}}'])
def test_it_has_to_be_known_who_we_are(job: GitHubJob, data: str) -> None:
    job.way.expect("graphql", Mishap(200, content=data))
    with pytest.raises(ForgeError, match="GitHub does not say whose the token is"):
        read(job)


def test_a_token_that_may_only_read_suffices(job: GitHubJob) -> None:
    keep(job)
    assert job.run(lambda each: reviewed_digest(each, [MERGED], SELECTION, KEY), READ_ONLY_TOKEN) == DIGEST


# --- the tip of the branch --------------------------------------------------------------------------------------------


def look(job: GitHubJob, commit: str = MERGED) -> None:
    job.run(lambda repository: refuse_superseded(repository, commit))


def test_the_commit_that_the_default_branch_ends_with_is_taken(job: GitHubJob) -> None:
    look(job)


def test_an_older_commit_is_refused_and_both_are_named(job: GitHubJob) -> None:
    job.discussions.branches["main"] = OTHER
    with pytest.raises(StalePlan, match=f"main is at {OTHER}, and this is {MERGED}"):
        look(job)


def test_a_branch_that_cannot_be_read_is_an_error(job: GitHubJob) -> None:
    del job.discussions.branches["main"]
    with pytest.raises(NotPermitted, match="404 Not Found"):
        look(job)


@pytest.mark.parametrize(
    ("word", "content", "words"),
    [
        ("/acme/api", "{}", "which the default branch of acme/api is"),
        ("/acme/api", '{"default_branch": ""}', "which the default branch"),
        ("/git/ref/", "{}", "does not say where main ends"),
        ("/git/ref/", '{"object": {"sha": 7}}', "does not say where main ends"),
    ],
)
def test_an_answer_without_what_was_asked_for_is_an_error(job: GitHubJob, word: str, content: str, words: str) -> None:
    job.way.expect(word, Mishap(200, content=content))
    with pytest.raises(ForgeError, match=words):
        look(job)


def test_a_branch_may_be_called_anything(job: GitHubJob) -> None:
    job.discussions.branches["release/2026 ä#?"] = OTHER
    assert job.run(lambda repository: repository.tip("release/2026 ä#?")) == OTHER
    assert "GET repos/acme/api/git/ref/heads%2Frelease%2F2026%20%C3%A4%23%3F" in job.fake.asked
