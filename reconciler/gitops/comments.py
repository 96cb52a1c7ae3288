"""The one comment on a pull request that is kept up to date.

Only what the token's own account has written, beginning with our marker, is ours: what anybody else writes is neither
believed nor touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import GitHubError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.gitops.repository import Repository

    Item = Mapping[str, Any]


async def keep_comment(repository: Repository, number: int, prefix: str, body: str) -> None:
    """Have a pull request hold one comment of ours that begins with `prefix`, and let it be `body`.

    Of several, which runs that began at the same time may have left, the oldest stays: people have linked to it.

    Raises:
        GitHubError: it cannot be written; NotPermitted where the token does not suffice.
    """

    async def find(made: Sequence[Item]) -> list[Item]:
        return await own_comments(repository, number, prefix, made)

    found = await find([])
    for ours in (found, []):
        oldest, *younger = ours or await repository.create(f"/issues/{number}/comments", find, body=body)
        for each in younger:
            await repository.delete(f"/issues/comments/{each['id']}")
        if oldest["body"] == body or await repository.change(f"/issues/comments/{oldest['id']}", body=body):
            return
    msg = "somebody deletes the comment as soon as it is written"
    raise GitHubError(msg)


async def own_comments(repository: Repository, number: int, prefix: str, made: Sequence[Item] = ()) -> list[Item]:
    """Give our comments that begin with `prefix`, the oldest first; `made` are some that the list may not have yet."""
    listed = await repository.every(f"/issues/{number}/comments")
    author = await repository.viewer()
    ours = {each["id"]: each for each in (*made, *listed) if is_own(each, author, prefix)}
    return [ours[each] for each in sorted(ours)]


def is_own(item: Item, author: str, prefix: str) -> bool:
    """Tell whether a comment or an issue was written by `author` and begins with `prefix`."""
    match item:
        case {"id": int(), "body": str(body), "user": {"login": str(login)}}:
            return login == author and body.startswith(prefix)
        case _:
            return False
