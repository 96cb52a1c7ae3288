"""Keeps one comment on a pull request, or merge request, and one issue about drift up to date.

Only what the token's own account has written, beginning with our marker, is ours: what anybody else writes is neither
believed nor touched. `Forge` is what that asks of GitHub and of GitLab.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from reconciler.errors import ForgeError, NotPermitted
from reconciler.http.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from reconciler.forge.github import Repository
    from reconciler.http.retry import Timing

    Item = Mapping[str, Any]
    Find = Callable[[Sequence[Item]], Awaitable[list[Item]]]


class Forge(Protocol):
    """A repository at GitHub or a project at GitLab. What is asked of it raises ForgeError where it cannot be had.

    Comments, pull requests and what has to be found are as GitHub's API has them: `id`, `body`, `user.login`,
    `updated_at`; `number`, `merged_at`, `merge_commit_sha`, `head.sha`, `base.ref`, `base.repo.full_name`. `kind` is
    what people call a request to merge, pull request or merge request.
    """

    kind: str
    name: str
    timing: Timing

    def called(self, number: int) -> str:
        """Return what people call one of a number, like pull request #7."""
        ...

    async def viewer(self) -> str:
        """Return the name that what we write has as its author."""
        ...

    async def planner(self) -> str | None:
        """Return whose comments on a plan may be believed, if they are sealed; None for anybody's."""
        ...

    async def comments(self, number: int) -> list[Item]:
        """Return the comments on a pull request."""
        ...

    async def add_comment(self, number: int, find: Find, body: str) -> list[Item]:
        """Write a comment that `find` does not find, and give what it finds then; see `create`."""
        ...

    async def change_comment(self, number: int, comment: int, body: str) -> bool:
        """Change a comment; False when it is not there any more."""
        ...

    async def delete_comment(self, number: int, comment: int) -> bool:
        """Delete a comment; False when it is not there any more."""
        ...

    async def edited_by_another(self, comment: Item) -> bool:
        """Return whether somebody else has edited a comment of ours since we did, as far as a seal does not tell it."""
        ...

    async def default_branch(self) -> str:
        """Return the name of the branch that merges go to."""
        ...

    async def tip(self, branch: str) -> str:
        """Return the commit that a branch ends with now."""
        ...

    async def pull_requests(self, commit: str) -> list[Item]:
        """Return the pull requests that a commit belongs to."""
        ...


_CREATIONS: Final = 3
_PAUSE_SECONDS: Final = 2.0
_GONE: Final = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_REFUSALS: Final = {*_GONE, HTTPStatus.FORBIDDEN}


async def create(post: Callable[[], Awaitable[Reply]], find: Find, timing: Timing) -> list[Item]:
    """Create what `find` does not find, and give what it finds then; `post` is asked again only if it was not done.

    An answer may be lost, another run may do the same at the same time, and lists lag behind: so it is looked for
    again after each attempt, `find` being handed what is known to be there. Raises ForgeError like `checked`.
    """
    reply = Reply(0)
    for _ in range(_CREATIONS):
        reply = await post()
        found = await find([reply.body] if reply.ok else [])
        if found:
            return found
        if not reply.maybe_done:
            break
        await timing.sleep(_PAUSE_SECONDS)
    checked(reply)
    msg = "what was stored, as the answer said, is not to be seen"
    raise ForgeError(msg)


def checked(reply: Reply) -> Reply:
    """Let a success through; raises ForgeError otherwise, NotPermitted where the token does not suffice."""
    if reply.ok:
        return reply
    raise (NotPermitted if reply.status in _REFUSALS else ForgeError)(reply.said)


def was_there(reply: Reply) -> bool:
    """Return whether there was something to change; raises ForgeError like `checked` for anything else."""
    if reply.status in _GONE:
        return False
    checked(reply)
    return True


async def keep_comment(forge: Forge, number: int, prefix: str, body: str) -> None:
    """Have a pull request hold one comment of ours that begins with `prefix`, and let it be `body`.

    Of several, which runs that began at the same time may have left, the oldest stays: people have linked to it.

    Raises:
        ForgeError: it cannot be written; NotPermitted where the token does not suffice.
    """

    async def find(made: Sequence[Item]) -> list[Item]:
        return await own_comments(forge, number, prefix, made)

    found = await find([])
    for ours in (found, []):
        oldest, *younger = ours or await forge.add_comment(number, find, body)
        for each in younger:
            await forge.delete_comment(number, each["id"])
        if _as_kept(oldest["body"]) == _as_kept(body) or await forge.change_comment(number, oldest["id"], body):
            return
    msg = "somebody deletes the comment as soon as it is written"
    raise ForgeError(msg)


async def own_comments(forge: Forge, number: int, prefix: str, made: Sequence[Item] = ()) -> list[Item]:
    """Return our comments that begin with `prefix`, the oldest first; `made` are some that the list may lack yet."""
    listed = await forge.comments(number)
    return _beginning([*made, *listed], prefix, await forge.viewer())


async def planned_comments(forge: Forge, number: int, prefix: str) -> list[Item]:
    """Return the comments that begin with `prefix` and may be believed if they are sealed, the oldest first."""
    return _beginning(await forge.comments(number), prefix, await forge.planner())


def _beginning(comments: Iterable[Item], prefix: str, author: str | None) -> list[Item]:
    ours = {each["id"]: each for each in comments if is_own(each, author, prefix)}
    return [ours[each] for each in sorted(ours)]


def is_own(item: Item, author: str | None, prefix: str) -> bool:
    """Return whether a comment or an issue was written by `author`, None for anybody, and begins with `prefix`."""
    match item:
        case {"id": int(), "body": str(body), "user": {"login": str(login)}}:
            return author in (None, login) and body.startswith(prefix)
        case _:
            return False


# The hidden first line of what we write: by it we find our own again, and read back what it was about.
#
# What follows it is made of escaped names, which cannot begin such a line; and only text that begins with one counts.

_NONE: Final = "none"
_PLAN: Final = re.compile(
    r"<!-- reconciler:plan [0-9a-f]{32} head=(?P<head>[0-9a-f]{40}|[0-9a-f]{64}) "
    r"digest=(?P<digest>none|sha256:[0-9a-f]{64}) seal=(?P<seal>none|[0-9a-f]{64}) -->(?=\r?\n|\Z)",
    re.ASCII,
)
_DRIFT: Final = re.compile(
    r"<!-- reconciler:drift [0-9a-f]{32} shows=(?P<shows>none|[0-9a-f]{64}) -->(?=\r?\n|\Z)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class PlanMarker:
    """What a comment is about: a selection, planned for the commit `head`.

    `digest` is that of a plan which can be applied; None when the plan was refused, failed or was made offline. `seal`
    is what only somebody with the provisioning keys can make: an HMAC of the comment; None where there are none.
    """

    selection: str
    head: str
    digest: str | None
    seal: str | None = None

    def __str__(self) -> str:
        """Write the line, without its end."""
        digest, seal = self.digest or _NONE, self.seal or _NONE
        return f"{plan_prefix(self.selection)}head={self.head} digest={digest} seal={seal} -->"


@dataclass(frozen=True, slots=True)
class DriftMarker:
    """What an issue is about: a selection, and the fingerprint of the drift that it shows; None when it shows none."""

    selection: str
    shows: str | None

    def __str__(self) -> str:
        """Write the line, without its end."""
        return f"{drift_prefix(self.selection)}shows={self.shows or _NONE} -->"


def plan_comment(marker: PlanMarker, page: str, thread: tuple[str, int], key: bytes | None) -> str:
    """Write a comment on a plan.

    Args:
        marker: what it is about; its seal is made here.
        page: what people read of it, in Markdown.
        thread: the repository (owner/name) and the number of the pull request that it stands on.
        key: what it is sealed with, see `engine.accounts.seal_key`; None leaves it without a seal.
    """
    seal = None if key is None else _seal(marker, page, thread, key)
    return f"{replace(marker, seal=seal)}\n{page}"


def is_sealed(marker: PlanMarker, body: str, thread: tuple[str, int], key: bytes | None) -> bool:
    """True when somebody with this key wrote the whole of a comment for this pull request."""
    if key is None or marker.seal is None:
        return False
    return hmac.compare_digest(marker.seal, _seal(marker, body.partition("\n")[2], thread, key))


def _seal(marker: PlanMarker, page: str, thread: tuple[str, int], key: bytes) -> str:
    repository, number = thread
    covered = json.dumps([repository.lower(), number, marker.selection, marker.head, marker.digest, _as_kept(page)])
    return hmac.new(key, covered.encode(), hashlib.sha256).hexdigest()


def _as_kept(text: str) -> str:
    """Undo what a forge may do to a text: give line ends back in another form, take away what is blank at the end."""
    return text.replace("\r\n", "\n").rstrip()


def selection(file: str, environments: Iterable[str], only: Iterable[str] = ()) -> str:
    """Name what -e and --only select of a file, as 32 hexadecimal digits."""
    parts = [file, sorted({*environments}), sorted({*only})]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def plan_prefix(selected: str) -> str:
    """Return how comments on the plan of a selection begin."""
    return f"<!-- reconciler:plan {selected} "


def drift_prefix(selected: str) -> str:
    """Return how issues on the drift of a selection begin."""
    return f"<!-- reconciler:drift {selected} "


def read_plan_marker(selected: str, body: str) -> PlanMarker | None:
    """Read the first line of a comment; None when it is not one of ours on this selection."""
    found = _PLAN.match(body) if body.startswith(plan_prefix(selected)) else None
    return found and PlanMarker(selected, found["head"], _known(found["digest"]), _known(found["seal"]))


def read_drift_marker(selected: str, body: str) -> DriftMarker | None:
    """Read the first line of an issue; None when it is not one of ours on this selection."""
    found = _DRIFT.match(body) if body.startswith(drift_prefix(selected)) else None
    return found and DriftMarker(selected, _known(found["shows"]))


def _known(text: str) -> str | None:
    return None if text == _NONE else text


# The one issue about the drift of a selection: opened, kept up to date, closed, and opened again.

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
        ForgeError: it cannot be written; NotPermitted where the token does not suffice.
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
        ForgeError: it cannot be written; NotPermitted where the token does not suffice.
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


async def add_to_issue(repository: Repository, selection: str, title: str, page: str) -> int:
    """Add a comment to the issue about a selection, open or closed; gives its number.

    Where there is none yet, one is begun and closed: there is something to know, and no drift.

    Raises:
        ForgeError: it cannot be written; NotPermitted where the token does not suffice.
    """
    ours = await _own_issues(repository, selection, ())
    if ours:
        number: int = next((each for each in ours if each.get("state") == "open"), ours[-1])["number"]
        await _say(repository, number, page)
        return number

    async def find(made: Sequence[Item]) -> list[Item]:
        return await _own_issues(repository, selection, made)

    body = f"{DriftMarker(selection, None)}\nThis issue is opened when the account does not match the file."
    begun, *doubles = await repository.create("/issues", find, title=title, body=body, labels=[LABEL])
    await _close(repository, doubles)
    await _say(repository, begun["number"], page)
    await repository.change(f"/issues/{begun['number']}", state="closed", state_reason="completed")
    return int(begun["number"])


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
    """Return our issues on a selection, the oldest first; pull requests, which GitHub lists as well, are none."""
    listed = await repository.every(f"/issues?labels={LABEL}&state=all")
    author, prefix = await repository.viewer(), drift_prefix(selection)
    ours = {
        each["number"]: each
        for each in (*made, *listed)
        if isinstance(each.get("number"), int) and "pull_request" not in each and is_own(each, author, prefix)
    }
    return [ours[number] for number in sorted(ours)]
