"""Finds what was reviewed on GitHub or GitLab, and whether it is still the newest."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from reconciler.errors import ForgeError, StalePlan, UsageError
from reconciler.forge.github import REPOSITORY
from reconciler.forge.threads import is_sealed, plan_prefix, planned_comments, read_plan_marker
from reconciler.units import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from reconciler.forge.threads import Forge, Item

_WAY_OUT: Final = (
    "plan, review that, and apply with --expect-digest and its digest, or leave out --reviewed to apply whatever is due"
)
_LOOKS: Final = 4
_PAUSE_SECONDS: Final = 2.0
"""A forge takes a moment to know which pull request a commit came from."""


async def reviewed_digest(forge: Forge, commits: Iterable[str], selection: str, key: bytes | None) -> str:
    """Return the digest that our comment shows on the pull request which a commit of the default branch came from.

    Of several commits, the first whose pull request has such a comment counts, and of several comments the first that
    was sealed with `key`: who has the token but not the provisioning key can write comments that look like ours.

    Raises:
        StalePlan: there is none that could have been reviewed; it says what to do.
        ForgeError: the forge cannot be asked; NotPermitted where the token does not suffice.
    """
    reasons = []
    for commit in commits:
        pull_request = await _merged(forge, commit)
        if pull_request is None:
            branch = await forge.default_branch()
            reasons.append(f"no {forge.kind} that was merged to {branch} is known for commit {commit}")
            continue
        ours = await planned_comments(forge, pull_request["number"], plan_prefix(selection))
        if ours:
            return await _read_digest(forge, pull_request, ours, selection, key)
        where = forge.called(pull_request["number"])
        reasons.append(f"{where} has no comment by `plan --comment` for what is to be applied here")
    return _refuse(", and ".join(dict.fromkeys(reasons)))


async def _read_digest(forge: Forge, pull_request: Item, ours: list[Item], selection: str, key: bytes | None) -> str:
    """Return the digest of our comment on a pull request, if it is a review of what was merged."""
    head, where = pull_request["head"]["sha"], forge.called(pull_request["number"])
    thread = (forge.name, pull_request["number"])

    def sealed(item: Item) -> bool:
        marker = read_plan_marker(selection, item["body"])
        return marker is not None and is_sealed(marker, item["body"], thread, key)

    comment = next(filter(sealed, ours), ours[0])
    marker = read_plan_marker(selection, comment["body"])
    if marker is None or await forge.edited_by_another(comment):
        _refuse(f"the comment on {where} was edited by somebody else than the token's account")
    if _instant(comment.get("updated_at")) > _instant(pull_request["merged_at"]):
        _refuse(f"the comment on {where} was written after the merge, not before it")
    if marker.head != head:
        _refuse(f"the comment on {where} is of commit {marker.head}, and {head} was merged")
    if marker.digest is None:
        _refuse(f"the plan on {where} was refused, failed, or was made offline, so it cannot be applied")
    if not sealed(comment):
        why = "was not written with the provisioning key that is used here, or not as it stands there now"
        _refuse(f"the comment on {where} {why}, so it may be forged")
    return marker.digest


async def refuse_superseded(forge: Forge, commit: str) -> None:
    """Refuse a commit that the default branch does not end with any more.

    Raises:
        StalePlan: it does not; both commits are named.
        ForgeError: the forge cannot be asked; NotPermitted where the token does not suffice.
    """
    branch = await forge.default_branch()
    tip = await forge.tip(branch)
    if tip != commit:
        way_out = "apply the newest, which its own run does, or one that is started by hand"
        msg = f"{branch} is at {tip}, and this is {commit}, so nothing was changed; {way_out}"
        raise StalePlan(msg)


async def _merged(forge: Forge, commit: str) -> Item | None:
    """Return the pull request by which a commit came to the default branch, merged, squashed or rebased, or None."""
    branch = await forge.default_branch()
    for look in range(_LOOKS):
        if look:
            await forge.timing.sleep(_PAUSE_SECONDS)
        listed = await forge.pull_requests(commit)
        merged = [each for each in listed if _came_by(each, forge.name, branch)]
        if merged:
            break
    else:
        return None
    last = [each for each in merged if each.get("merge_commit_sha") == commit]
    found, *others = last or merged
    if others:
        numbers = ", ".join(forge.called(each["number"]) for each in (found, *others))
        _refuse(f"commit {commit} belongs to several: {numbers}")
    return found


def _came_by(pull_request: Item, repository: str, branch: str) -> bool:
    match pull_request:
        case {
            "number": int(),
            "merged_at": str(),
            "head": {"sha": str()},
            "base": {"ref": str(base), "repo": {"full_name": str(name)}},
        }:
            return base == branch and name.lower() == repository.lower()
        case _:
            return False


def _instant(text: object) -> datetime:
    try:
        return parse_instant(str(text))
    except ValueError:
        msg = "it is not told when a pull request was merged, or when its comment was written"
        raise ForgeError(msg) from None


def _refuse(why: str) -> NoReturn:
    msg = f"{why}, so nothing was changed; {_WAY_OUT}"
    raise StalePlan(msg)


# The job of a workflow that this process runs in, as GitHub's runner describes it in the environment.

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_SERVER: Final = re.compile(r"https?://[A-Za-z0-9.:-]+", re.ASCII)
_RUN: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_LARGEST_EVENT: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What a job is about: its number, the commit at the head of its branch, and what people call it."""

    number: int
    head: str
    called: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of the job: of what, on which commit and for whom it runs, and where it can be watched."""

    repository: str
    commit: str
    actor: str
    run: str | None
    pull_request: PullRequest | None


def read_job(environment: Mapping[str, str], flag: str) -> Job:
    """Read what the runner says; `flag` is the option that asks for it.

    Raises:
        UsageError: this is no job of a GitHub workflow, or it says what cannot be.
    """
    repository, commit = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_SHA", "")
    if not REPOSITORY.fullmatch(repository) or not _COMMIT.fullmatch(commit):
        msg = f"{flag} works in a job of a GitHub workflow, where GITHUB_REPOSITORY and GITHUB_SHA are set"
        raise UsageError(msg)
    return Job(
        repository,
        commit,
        environment.get("GITHUB_ACTOR", ""),
        _run(environment, repository),
        _pull_request(environment.get("GITHUB_EVENT_PATH", "")),
    )


def _run(environment: Mapping[str, str], repository: str) -> str | None:
    server, run = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_RUN_ID", "")
    if not _SERVER.fullmatch(server) or not _RUN.fullmatch(run):
        return None
    return f"{server}/{repository}/actions/runs/{run}"


def _pull_request(path: str) -> PullRequest | None:
    """Read which pull request the event is about; None when it is about none."""
    if not path:
        return None
    match _read_event(path):
        case {"pull_request": {"number": int(number), "head": {"sha": str(head)}}} if _COMMIT.fullmatch(head):
            # A boolean is an int to Python, and no number of a pull request.
            if number < 1 or isinstance(number, bool):
                return None
            return PullRequest(number, head, f"pull request #{number}")
        case _:
            return None


def _read_event(path: str) -> Any:  # noqa: ANN401  # any JSON
    try:
        with Path(path).open("rb") as file:
            return json.loads(file.read(_LARGEST_EVENT))
    except (OSError, ValueError, RecursionError):
        msg = "GITHUB_EVENT_PATH names no event that can be read"
        raise UsageError(msg) from None
