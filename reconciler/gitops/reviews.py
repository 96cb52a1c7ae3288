"""What was reviewed, and whether it is still the newest: asked before an apply writes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from reconciler.errors import GitHubError, StalePlan
from reconciler.gitops.comments import own_comments
from reconciler.gitops.marker import plan_prefix, read_plan_marker
from reconciler.units import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from reconciler.gitops.repository import Repository

    Item = Mapping[str, Any]

_WAY_OUT: Final = (
    "plan, review that, and apply with --expect-digest and its digest, or leave out --reviewed to apply whatever is due"
)
_LOOKS: Final = 4
_PAUSE_SECONDS: Final = 2.0
"""GitHub takes a moment to know which pull request a commit came from."""


async def reviewed_digest(repository: Repository, commits: Iterable[str], selection: str) -> str:
    """Give the digest that our comment shows on the pull request which a commit of the default branch came from.

    Of several commits, the first whose pull request has such a comment counts.

    Raises:
        StalePlan: there is none that could have been reviewed; it says what to do.
        GitHubError: GitHub cannot be asked; NotPermitted where the token does not suffice.
    """
    reasons = []
    for commit in commits:
        pull_request = await _merged(repository, commit)
        if pull_request is None:
            branch = await repository.default_branch()
            reasons.append(f"no pull request that was merged to {branch} is known for commit {commit}")
            continue
        ours = await own_comments(repository, pull_request["number"], plan_prefix(selection))
        if ours:
            return await _read_digest(repository, pull_request, ours[0], selection)
        where = f"pull request #{pull_request['number']}"
        reasons.append(f"{where} has no comment by `plan --comment` for what is to be applied here")
    return _refuse(", and ".join(dict.fromkeys(reasons)))


async def _read_digest(repository: Repository, pull_request: Item, comment: Item, selection: str) -> str:
    """Give the digest of our comment on a pull request, if it is a review of what was merged."""
    head, where = pull_request["head"]["sha"], f"pull request #{pull_request['number']}"
    marker = read_plan_marker(selection, comment["body"])
    if marker is None or await repository.edited_by_another(comment):
        _refuse(f"the comment on {where} was edited by somebody else than the token's account")
    if _instant(comment.get("updated_at")) > _instant(pull_request["merged_at"]):
        _refuse(f"the comment on {where} was written after the merge, not before it")
    if marker.head != head:
        _refuse(f"the comment on {where} is of commit {marker.head}, and {head} was merged")
    if marker.digest is None:
        _refuse(f"the plan on {where} was refused, failed, or was made offline, so it cannot be applied")
    return marker.digest


async def refuse_superseded(repository: Repository, commit: str) -> None:
    """Refuse a commit that the default branch does not end with any more.

    Raises:
        StalePlan: it does not; both commits are named.
        GitHubError: GitHub cannot be asked; NotPermitted where the token does not suffice.
    """
    branch = await repository.default_branch()
    tip = await repository.tip(branch)
    if tip != commit:
        way_out = "apply the newest, which its own run does, or one that is started by hand"
        msg = f"{branch} is at {tip}, and this is {commit}, so nothing was changed; {way_out}"
        raise StalePlan(msg)


async def _merged(repository: Repository, commit: str) -> Item | None:
    """Give the pull request by which a commit came to the default branch, merged, squashed or rebased; None if none."""
    branch = await repository.default_branch()
    for look in range(_LOOKS):
        if look:
            await repository.timing.sleep(_PAUSE_SECONDS)
        listed = await repository.every(f"/commits/{commit}/pulls")
        merged = [each for each in listed if _came_by(each, repository.name, branch)]
        if merged:
            break
    else:
        return None
    last = [each for each in merged if each.get("merge_commit_sha") == commit]
    found, *others = last or merged
    if others:
        numbers = ", ".join(f"#{each['number']}" for each in (found, *others))
        _refuse(f"commit {commit} belongs to several pull requests: {numbers}")
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
        msg = "GitHub does not say when a pull request was merged, or when its comment was written"
        raise GitHubError(msg) from None


def _refuse(why: str) -> NoReturn:
    msg = f"{why}, so nothing was changed; {_WAY_OUT}"
    raise StalePlan(msg)
