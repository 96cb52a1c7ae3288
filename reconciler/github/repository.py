"""One repository on GitHub, asked with the token of the job: what it answers, or an error in words."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reconciler.errors import GitHubError, NotPermitted, UsageError
from reconciler.github.client import Client, base_url, is_token
from reconciler.http.reply import Reply
from reconciler.http.retry import Timing
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    Item = Mapping[str, Any]
    Find = Callable[[Sequence[Item]], Awaitable[list[Item]]]

PAGE: Final = 50
"""How many to ask for at a time; what a page holds at most is read whole."""

_MOST_PAGES: Final = 60
_CREATIONS: Final = 3
_PAUSE_SECONDS: Final = 2.0
_REFUSALS: Final = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_VIEWER: Final = "query { viewer { login } }"
_EDITOR: Final = "query($id: ID!) { node(id: $id) { ... on IssueComment { id editor { __typename login } } } }"


class Repository:
    """Asks and changes; what changes something is done once, however often an answer is lost."""

    def __init__(self, name: str, token: Secret, url: str, timing: Timing) -> None:
        """Take a repository like acme/api, and the way to it; nothing is sent yet.

        Raises:
            GitHubError: a variable of the environment about the way cannot be used.
        """
        self.name = name
        self.timing = timing
        self._token = token
        self._client = Client(url, timing)
        # On a server of one's own the two interfaces lie beside each other.
        self._graphql = f"{url.removesuffix('/v3')}/graphql"
        self._viewer: str | None = None
        self._branch: str | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def viewer(self) -> str:
        """Give the name that what we write has as its author, like github-actions[bot]; raises GitHubError."""
        if self._viewer is None:
            data = await self._query(_VIEWER)
            match data:
                case {"viewer": {"login": str(login)}} if login:
                    self._viewer = login
                case _:
                    msg = "GitHub does not say whose the token is"
                    raise GitHubError(msg)
        return self._viewer

    async def edited_by_another(self, comment: Item) -> bool:
        """Tell whether somebody else has edited a comment of ours since we did: its author stays the same then.

        Raises GitHubError like `ask`, also when that is not to be known.
        """
        data = await self._query(_EDITOR, id=str(comment.get("node_id")))
        match data:
            case {"node": {"id": str(), "editor": None}}:
                return False
            case {"node": {"id": str(), "editor": {"__typename": str(kind), "login": str(login)}}}:
                name = f"{login.removesuffix('[bot]')}[bot]" if kind == "Bot" else login
                return name != await self.viewer()
            case _:
                msg = "GitHub does not say who has edited the comment"
                raise GitHubError(msg)

    async def default_branch(self) -> str:
        """Give the name of the branch that merges go to; raises GitHubError like `ask`."""
        if self._branch is None:
            branch = (await self.ask("")).get("default_branch")
            if not isinstance(branch, str) or not branch:
                msg = f"GitHub does not say which the default branch of {self.name} is"
                raise GitHubError(msg)
            self._branch = branch
        return self._branch

    async def tip(self, branch: str) -> str:
        """Give the commit that a branch ends with now; raises GitHubError like `ask`."""
        match await self.ask(f"/git/ref/{quote(f'heads/{branch}', safe='')}"):
            case {"object": {"sha": str(commit)}}:
                return commit
            case _:
                msg = f"GitHub does not say where {branch} ends"
                raise GitHubError(msg)

    async def ask(self, path: str) -> Item:
        """Ask for something below the repository.

        Raises:
            GitHubError: it cannot be had; NotPermitted where the token does not suffice.
        """
        return _checked(await self._persist("GET", path)).body

    async def every(self, path: str) -> list[Item]:
        """Ask for all pages of a list; `path` may have a query. Raises GitHubError like `ask`."""
        found: list[Item] = []
        sign = "&" if "?" in path else "?"
        for page in range(1, _MOST_PAGES + 1):
            reply = _checked(await self._persist("GET", f"{path}{sign}per_page={PAGE}&page={page}", lists=True))
            found += reply.items
            if len(reply.items) < PAGE:
                return found
        msg = f"{self.name}{path.partition('?')[0]} holds more than {_MOST_PAGES * PAGE}: too many to look through"
        raise GitHubError(msg)

    async def change(self, path: str, **fields: object) -> bool:
        """Change something; False when it is not there any more. Raises GitHubError like `ask`."""
        return _was_there(await self._persist("PATCH", path, fields))

    async def delete(self, path: str) -> bool:
        """Delete something; False when it is not there any more. Raises GitHubError like `ask`."""
        return _was_there(await self._persist("DELETE", path))

    async def create(self, path: str, find: Find, **fields: object) -> list[Item]:
        """Create what `find` does not find, and give what it finds then.

        An answer may be lost, another run may do the same at the same time, and lists lag behind: so it is looked for
        again after each attempt, `find` being handed what is known to be there. Raises GitHubError like `ask`.
        """
        reply = Reply(0)
        for _ in range(_CREATIONS):
            # Twice would be two: whether it has arrived is looked up before it is sent again.
            reply = await self._persist("POST", path, fields, repeatable=False)
            found = await find([reply.body] if reply.ok else [])
            if found:
                return found
            if not reply.maybe_done:
                break
            await self.timing.sleep(_PAUSE_SECONDS)
        _checked(reply)
        msg = "GitHub does not show what it says it has stored"
        raise GitHubError(msg)

    async def _persist(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        lists: bool = False,
        repeatable: bool = True,
    ) -> Reply:
        whole = path if path == self._graphql else f"repos/{self.name}{path}"
        return await self._client.persist(
            lambda: self._client.send(method, whole, self._token, body, lists=lists), repeatable=repeatable
        )

    async def _query(self, query: str, **variables: str) -> object:
        """Ask what only the GraphQL interface tells; gives the data, None when there is none."""
        body = {"query": query, "variables": variables}
        return _checked(await self._persist("POST", self._graphql, body)).body.get("data")


@asynccontextmanager
async def open_repository(
    environment: Mapping[str, str], name: str, timing: Timing | None = None
) -> AsyncIterator[Repository]:
    """Connect to a repository with GITHUB_TOKEN.

    Raises:
        UsageError: the token is missing or none.
        GitHubError: GITHUB_API_URL or another variable about the way cannot be used.
    """
    repository = Repository(name, find_token(environment), base_url(environment), timing or Timing())
    try:
        yield repository
    finally:
        await repository.aclose()


def find_token(environment: Mapping[str, str]) -> Secret:
    """Give the token of the job; raises UsageError where there is none."""
    token = environment.get("GITHUB_TOKEN", "").strip()
    if not token:
        msg = 'GITHUB_TOKEN is not set; give it to the step: env: {GITHUB_TOKEN: "${{ github.token }}"}'
        raise UsageError(msg)
    if not is_token(token):
        msg = "GITHUB_TOKEN holds characters that no token has"
        raise UsageError(msg)
    return Secret(token)


def _was_there(reply: Reply) -> bool:
    if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return False
    _checked(reply)
    return True


def _checked(reply: Reply) -> Reply:
    if reply.ok:
        return reply
    raise (NotPermitted if reply.status in _REFUSALS else GitHubError)(reply.said)
