from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ForgeError, NotPermitted
from reconciler.forge import github as repository_module
from reconciler.forge.threads import is_own, keep_comment, own_comments, plan_prefix, selection
from support.github.discussions import BOT
from support.github.fake import READ_ONLY_TOKEN
from support.github.job import MARKER, NUMBER, SELECTION, GitHubJob
from support.github.transport import Mishap
from support.search import examples

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.forge.github import Repository

PREFIX = plan_prefix(SELECTION)
OLD = f"{MARKER}\nwhat was planned before"
NEW = f"{MARKER}\nwhat is planned now"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> GitHubJob:
    return GitHubJob(monkeypatch)


def keeping(body: str, prefix: str = PREFIX) -> Callable[[Repository], Awaitable[None]]:
    return lambda repository: keep_comment(repository, NUMBER, prefix, body)


def test_two_runs_give_one_comment_with_what_the_second_said(job: GitHubJob) -> None:
    job.run(keeping(OLD))
    (before,) = job.discussions.on(NUMBER)
    job.run(keeping(NEW))
    (after,) = job.discussions.on(NUMBER)
    assert (after.id, after.body, after.author) == (before.id, NEW, BOT)


def test_the_same_again_changes_nothing(job: GitHubJob) -> None:
    job.run(keeping(NEW))
    job.fake.asked.clear()
    job.run(keeping(NEW))
    assert [each.partition(" ")[0] for each in job.fake.asked if "graphql" not in each] == ["GET"]


def test_two_runs_at_the_same_time_give_one_comment(job: GitHubJob) -> None:
    async def both(repository: Repository) -> None:
        await asyncio.gather(*(keep_comment(repository, NUMBER, PREFIX, each) for each in (OLD, NEW)))

    job.run(both)
    (kept,) = job.bodies()
    assert kept in {OLD, NEW}


def test_each_selection_has_a_comment_of_its_own(job: GitHubJob) -> None:
    production = plan_prefix(selection("keys.yaml", ["production"]))
    job.run(keeping(NEW))
    job.run(keeping(f"{production}production", production))
    job.run(keeping(f"{production}production again", production))
    assert job.bodies() == [NEW, f"{production}production again"]


def test_of_several_the_oldest_stays_and_is_what_it_should_be(job: GitHubJob) -> None:
    first, *_ = (job.discussions.say(NUMBER, BOT, f"{OLD} {number}") for number in range(3))
    job.run(keeping(NEW))
    assert job.discussions.on(NUMBER) == [first]
    assert first.body == NEW


@pytest.mark.parametrize("author", ["mallory", "github-actions", "Github-Actions[bot]", "dependabot[bot]"])
def test_what_somebody_else_writes_is_neither_believed_nor_touched(job: GitHubJob, author: str) -> None:
    forged = job.discussions.say(NUMBER, author, OLD)
    job.run(keeping(NEW))
    assert forged.body == OLD
    assert job.bodies() == [OLD, NEW]


@pytest.mark.parametrize("body", [f" {OLD}", f"> {OLD}", f"look:\n{OLD}", "", PREFIX.upper()])
def test_a_comment_of_the_same_account_about_something_else_is_left_alone(job: GitHubJob, body: str) -> None:
    other = job.discussions.say(NUMBER, BOT, body)
    job.run(keeping(NEW))
    assert other.body == body
    assert len(job.discussions.on(NUMBER)) == 2


def test_our_comment_is_found_behind_hundreds(job: GitHubJob) -> None:
    for number in range(130):
        job.discussions.say(NUMBER, "octocat", f"comment {number}")
    ours = job.discussions.say(NUMBER, BOT, OLD)
    job.run(keeping(NEW))
    assert ours.body == NEW
    assert len(job.discussions.on(NUMBER)) == 131


def test_a_list_that_lags_behind_causes_no_second_comment(job: GitHubJob) -> None:
    job.discussions.lags = True
    job.run(keeping(NEW))
    assert job.bodies() == [NEW]


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("lost", [Mishap(502), Mishap(error=httpx.ReadError("x"))])
def test_a_lost_answer_causes_no_second_comment(job: GitHubJob, lost: Mishap, *, arrived: bool) -> None:
    job.way.expect("POST https://api.github.com/repos", Mishap(lost.status, error=lost.error, after=arrived))
    job.run(keeping(NEW))
    assert job.bodies() == [NEW]


def test_a_refused_connection_is_tried_again_at_once(job: GitHubJob) -> None:
    job.way.expect("POST https://api.github.com/repos", Mishap(error=httpx.ConnectError("x")))
    job.run(keeping(NEW))
    assert job.bodies() == [NEW]


def test_a_server_that_never_stores_it_is_an_error(job: GitHubJob) -> None:
    job.way.expect("POST https://api.github.com/repos", *[Mishap(502)] * 3)
    with pytest.raises(ForgeError, match="502"):
        job.run(keeping(NEW))
    assert job.bodies() == []


def test_an_answer_that_is_none_of_ours_is_an_error(job: GitHubJob) -> None:
    job.way.expect("POST https://api.github.com/repos", *[Mishap(201, content="{}")] * 3)
    with pytest.raises(ForgeError, match="is not to be seen"):
        job.run(keeping(NEW))


def test_one_that_is_deleted_meanwhile_is_written_anew(job: GitHubJob) -> None:
    ours = job.discussions.say(NUMBER, BOT, OLD)

    async def work(repository: Repository) -> None:
        change = repository.change

        async def too_late(path: str, **fields: object) -> bool:
            job.discussions.comments.pop(ours.id, None)
            return await change(path, **fields)

        repository.change = too_late  # type: ignore[method-assign]  # somebody is quicker
        await keep_comment(repository, NUMBER, PREFIX, NEW)

    job.run(work)
    assert job.bodies() == [NEW]


def test_one_that_is_deleted_again_and_again_is_an_error(job: GitHubJob) -> None:
    job.discussions.say(NUMBER, BOT, OLD)
    job.way.expect("PATCH", Mishap(404), Mishap(404))
    with pytest.raises(ForgeError, match="somebody deletes the comment as soon as it is written"):
        job.run(keeping(NEW))


def test_a_token_that_may_only_read_is_refused_in_a_way_to_tell(job: GitHubJob) -> None:
    with pytest.raises(NotPermitted, match="403 Resource not accessible by integration"):
        job.run(keeping(NEW), READ_ONLY_TOKEN)


def test_a_revoked_token_is_an_error_of_another_kind(job: GitHubJob) -> None:
    with pytest.raises(ForgeError, match="401 Bad credentials") as caught:
        job.run(keeping(NEW), "ghs_REVOKED")
    assert not isinstance(caught.value, NotPermitted)


def test_too_long_a_comment_is_an_error_of_github(job: GitHubJob) -> None:
    with pytest.raises(ForgeError, match="422"):
        job.run(keeping(PREFIX + "x" * 65_536))


def test_a_flood_of_comments_ends_the_search(job: GitHubJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module, "_MOST_PAGES", 2)
    for number in range(101):
        job.discussions.say(NUMBER, "mallory", str(number))
    with pytest.raises(ForgeError, match="acme/api/issues/7/comments holds more than 100"):
        job.run(keeping(NEW))


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"id": 1, "body": None, "user": {"login": BOT}},
        {"id": 1, "body": OLD, "user": None},
        {"id": "1", "body": OLD, "user": {"login": BOT}},
    ],
)
def test_what_github_shows_without_an_author_or_a_text_is_nobodys(item: dict[str, object]) -> None:
    assert not is_own(item, BOT, PREFIX)


def test_our_comments_are_given_oldest_first(job: GitHubJob) -> None:
    for _ in range(3):
        job.discussions.say(NUMBER, BOT, OLD)
    found = job.run(lambda repository: own_comments(repository, NUMBER, PREFIX))
    assert [each["id"] for each in found] == [1001, 1002, 1003]


MISHAPS = st.sampled_from([(502, False), (502, True), (0, False), (0, True)])


@settings(max_examples=examples(12))
@given(st.lists(st.lists(MISHAPS, max_size=3), max_size=4))
def test_whatever_answers_are_lost_one_comment_is_left(runs: list[list[tuple[int, bool]]]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        job = GitHubJob(patched)
        for number, mishaps in enumerate(runs):
            for status, after in mishaps:
                error = None if status else httpx.ReadError("x")
                job.way.expect("https://api.github.com/repos", Mishap(status, error=error, after=after))
            with suppress(ForgeError):
                job.run(keeping(f"{MARKER}\nrun {number}"))
            assert len(job.bodies()) <= 1
            job.way.mishaps.clear()
        job.run(keeping(NEW))
        assert job.bodies() == [NEW]
