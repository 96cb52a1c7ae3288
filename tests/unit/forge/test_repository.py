from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ForgeError, UsageError
from reconciler.forge.github import find_token, open_repository
from reconciler.secret import Secret
from support.github.fake import JOB_TOKEN
from support.github.job import MERGED, GitHubJob, job_environment
from support.github.transport import Mishap

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> GitHubJob:
    made = GitHubJob(monkeypatch)
    made.discussions.branches["main"] = MERGED
    return made


def tip(job: GitHubJob, environment: Mapping[str, str]) -> str:
    async def work() -> str:
        async with open_repository(environment, "acme/api") as repository:
            return await repository.tip(await repository.default_branch())

    return job.alone(work())


def who(job: GitHubJob, environment: Mapping[str, str]) -> str:
    async def work() -> str:
        async with open_repository(environment, "acme/api") as repository:
            return await repository.viewer()

    return job.alone(work())


def test_the_job_asks_with_its_own_token(job: GitHubJob) -> None:
    assert tip(job, job_environment()) == MERGED
    assert {each.headers["authorization"] for each in job.way.asked} == {f"Bearer {JOB_TOKEN}"}
    assert {each.url.host for each in job.way.asked} == {"api.github.com"}
    assert job.way.closed == 1


def test_a_server_of_ones_own_has_both_interfaces_below_a_folder(job: GitHubJob) -> None:
    job.way.base = "/api/v3"
    environment = job_environment(GITHUB_API_URL="https://github.example.com/api/v3")
    assert tip(job, environment) == MERGED
    assert who(job, environment) == "github-actions[bot]"
    assert {each.url.host for each in job.way.asked} == {"github.example.com"}
    assert job.way.asked[-1].url.path == "/api/graphql"


def test_who_asks_is_asked_once(job: GitHubJob) -> None:
    async def work() -> None:
        async with open_repository(job_environment(), "acme/api") as repository:
            assert await repository.viewer() == await repository.viewer() == "github-actions[bot]"
            assert await repository.default_branch() == await repository.default_branch() == "main"

    job.alone(work())
    assert len(job.way.asked) == 2


@pytest.mark.parametrize(
    "url", ["http://evil.example.com", "https://user:pass@evil.example.com", "https://evil.example.com?", "ftp://x"]
)
def test_the_token_is_sent_nowhere_else(job: GitHubJob, url: str) -> None:
    with pytest.raises(ForgeError, match="GITHUB_API_URL must be an https address"):
        tip(job, job_environment(GITHUB_API_URL=url))
    assert job.way.asked == []


def test_a_redirect_is_not_followed(job: GitHubJob) -> None:
    job.way.expect("acme/api", Mishap(301, {"Location": "https://evil.example.com/"}))
    with pytest.raises(ForgeError, match=r"\b301\b.*evil\.example\.com"):
        tip(job, job_environment())
    assert {each.url.host for each in job.way.asked} == {"api.github.com"}


def test_a_token_that_is_quoted_back_is_not_shown(job: GitHubJob) -> None:
    job.way.expect("acme/api", Mishap(403, content=f'{{"message": "no {JOB_TOKEN}"}}'))
    with pytest.raises(ForgeError, match="403 no <secret>"):
        tip(job, job_environment())


def test_without_a_token_it_says_how_to_give_one() -> None:
    assert find_token({"GITHUB_TOKEN": " ghs_1\n"}) == Secret("ghs_1")
    with pytest.raises(UsageError, match="GITHUB_TOKEN is not set; give it to the step"):
        find_token({})
    with pytest.raises(UsageError, match="GITHUB_TOKEN holds characters that no token has"):
        find_token({"GITHUB_TOKEN": "two words"})


@pytest.mark.parametrize("content", ["{}", "[", '"x"', ""])
def test_a_list_that_is_none_is_an_error(job: GitHubJob, content: str) -> None:
    job.way.expect("/comments", Mishap(200, content=content))
    with pytest.raises(ForgeError, match="200, but no answer that GitHub gives"):
        job.run(lambda repository: repository.every("/issues/7/comments"))


def test_what_is_no_object_in_a_list_is_passed_over(job: GitHubJob) -> None:
    job.way.expect("/comments", Mishap(200, content='[1, null, "x", {"id": 2}]'))
    assert job.run(lambda repository: repository.every("/issues/7/comments")) == [{"id": 2}]


def test_deleting_what_is_gone_is_no_error(job: GitHubJob) -> None:
    assert job.run(lambda repository: repository.delete("/issues/comments/1")) is False
