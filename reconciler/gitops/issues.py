"""The one issue about the drift of a selection: opened, kept up to date, closed, and opened again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from reconciler.gitops.comments import is_own
from reconciler.gitops.marker import DriftMarker, drift_prefix, read_drift_marker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.gitops.repository import Repository

    Item = Mapping[str, Any]

LABEL: Final = "drift"


class Done(StrEnum):
    """What has become of the issue."""

    OPENED = "opened"
    REOPENED = "reopened"
    UPDATED = "updated"
    UNCHANGED = "left as it is"
    LEFT_CLOSED = "left closed: somebody closed it, and nothing has changed since"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Drift:
    """What there is to show: a title, a page in Markdown, and a fingerprint that changes with what matters in it."""

    title: str
    page: str
    shows: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was done with which issue."""

    number: int
    done: Done


async def keep_issue(repository: Repository, selection: str, drift: Drift) -> Report:
    """Have one open issue show this drift; one that was closed is opened again.

    An issue that somebody has closed stays closed for as long as the drift is the one that it shows.

    Raises:
        GitHubError: it cannot be written; NotPermitted where the token does not suffice.
    """
    body = f"{DriftMarker(selection, drift.shows)}\n{drift.page}"

    async def find(made: Sequence[Item]) -> list[Item]:
        return await _own_issues(repository, selection, made)

    ours = await find([])
    if not ours:
        ours = await repository.create("/issues", find, title=drift.title, body=body, labels=[LABEL])
        await _close(repository, ours[1:])
        return Report(ours[0]["number"], Done.OPENED)
    open_ones = [each for each in ours if each.get("state") == "open"]
    await _close(repository, open_ones[1:])
    kept, done = (open_ones[0], Done.UPDATED) if open_ones else (ours[-1], Done.REOPENED)
    number: int = kept["number"]
    marker = read_drift_marker(selection, kept["body"])
    if marker is not None and marker.shows == drift.shows:
        return Report(number, Done.UNCHANGED if open_ones else Done.LEFT_CLOSED)
    await repository.change(f"/issues/{number}", title=drift.title, body=body, state="open")
    return Report(number, done)


async def close_issues(repository: Repository, selection: str, page: str, word: str) -> list[Report]:
    """Close what is open about a selection, with a word: there is no drift any more.

    Raises:
        GitHubError: it cannot be written; NotPermitted where the token does not suffice.
    """
    reports = []
    for each in await _own_issues(repository, selection, ()):
        if each.get("state") == "open":
            number = each["number"]
            body = f"{DriftMarker(selection, None)}\n{page}"
            # First of all: cut off between the two, the next run has nothing to close, rather than a word to repeat.
            await repository.change(f"/issues/{number}", body=body, state="closed", state_reason="completed")
            await _say(repository, number, word)
            reports.append(Report(number, Done.CLOSED))
    return reports


async def _close(repository: Repository, doubles: Sequence[Item]) -> None:
    """Close what runs that began at the same time have left beside each other."""
    for each in doubles:
        await repository.change(f"/issues/{each['number']}", state="closed", state_reason="not_planned")


async def _say(repository: Repository, number: int, word: str) -> None:
    async def find(made: Sequence[Item]) -> list[Item]:
        author = await repository.viewer()
        listed = await repository.every(f"/issues/{number}/comments")
        return [each for each in (*made, *listed) if is_own(each, author, word)]

    await repository.create(f"/issues/{number}/comments", find, body=word)


async def _own_issues(repository: Repository, selection: str, made: Sequence[Item]) -> list[Item]:
    """Give our issues on a selection, the oldest first; pull requests, which GitHub lists as well, are none."""
    listed = await repository.every(f"/issues?labels={LABEL}&state=all")
    author, prefix = await repository.viewer(), drift_prefix(selection)
    ours = {
        each["number"]: each
        for each in (*made, *listed)
        if isinstance(each.get("number"), int) and "pull_request" not in each and is_own(each, author, prefix)
    }
    return [ours[number] for number in sorted(ours)]
