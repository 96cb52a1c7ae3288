from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import UsageError
from reconciler.forge.reviews import Job, PullRequest, read_job
from support.github.job import HEAD, MERGED, NUMBER, event_of, job_environment, pull_request_event

if TYPE_CHECKING:
    from pathlib import Path


def test_a_job_is_what_the_runner_says(tmp_path: Path) -> None:
    assert read_job(job_environment(pull_request_event(tmp_path)), "--comment") == Job(
        "acme/api",
        MERGED,
        "octocat",
        "https://github.com/acme/api/actions/runs/42",
        PullRequest(NUMBER, HEAD, "pull request #7"),
    )


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"schedule": "0 6 * * *"},
        {"pull_request": None},
        {"pull_request": {"number": "7", "head": {"sha": HEAD}}},
        {"pull_request": {"number": True, "head": {"sha": HEAD}}},
        {"pull_request": {"number": -7, "head": {"sha": HEAD}}},
        {"pull_request": {"number": 7, "head": {"sha": "main"}}},
        {"pull_request": {"number": 7}},
        {"issue": {"number": 7}},
    ],
)
def test_an_event_without_a_pull_request_has_none(tmp_path: Path, payload: dict[str, Any]) -> None:
    assert read_job(job_environment(event_of(tmp_path, **payload)), "--comment").pull_request is None
    assert read_job(job_environment(), "--comment").pull_request is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_REPOSITORY", ""),
        ("GITHUB_REPOSITORY", "acme"),
        ("GITHUB_REPOSITORY", "acme/.."),
        ("GITHUB_REPOSITORY", "acme/api/issues/1/comments?x="),
        ("GITHUB_REPOSITORY", "acme/api\n"),
        ("GITHUB_SHA", ""),
        ("GITHUB_SHA", "main"),
        ("GITHUB_SHA", MERGED[:7]),
    ],
)
def test_outside_of_a_job_it_says_what_is_missing(name: str, value: str) -> None:
    with pytest.raises(UsageError, match="--comment works in a job of a GitHub workflow"):
        read_job(job_environment(**{name: value}), "--comment")


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[" * 100_000])
def test_an_event_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "event.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="GITHUB_EVENT_PATH names no event that can be read"):
        read_job(job_environment(str(file)), "--comment")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_SERVER_URL", ""),
        ("GITHUB_SERVER_URL", "javascript:alert(1)"),
        ("GITHUB_SERVER_URL", "https://a.bc/) [x](https://d.ef"),
        ("GITHUB_RUN_ID", ""),
        ("GITHUB_RUN_ID", "1)"),
    ],
)
def test_a_run_that_has_no_proper_address_has_none(name: str, value: str) -> None:
    assert read_job(job_environment(**{name: value}), "--comment").run is None
