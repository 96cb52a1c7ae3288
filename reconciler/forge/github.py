"""GitHub: its API, asked a few requests at a time and never while it wants to be left alone, and a repository there."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reconciler.errors import ForgeError, UsageError
from reconciler.forge.threads import checked, create, was_there
from reconciler.http.address import unencrypted
from reconciler.http.connection import open_client
from reconciler.http.exchange import Answer
from reconciler.http.reply import Api, Manners, Reply
from reconciler.http.retry import RetryPolicy, Setback, Timing, judge
from reconciler.http.sender import Sender
from reconciler.secret import Secret
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from reconciler.forge.threads import Find, Item
    from reconciler.http.exchange import NoAnswer

LARGEST_ANSWER: Final = 4 * 1024 * 1024
LARGEST_LIST: Final = 32 * 1024 * 1024
"""Bytes of fifty comments as long as GitHub takes them, each character of which is escaped."""

SECONDARY_LIMIT_SECONDS: Final = 60.0
"""How long GitHub asks to be left alone where it gives no time itself."""

CONNECTIONS: Final = 8
"""GitHub answers more of them at a time with its secondary limits."""

PATIENCE: Final = 300.0
"""The seconds that a limit may take to be waited for."""

_POLICY: Final = RetryPolicy(longest_retry_after=PATIENCE, patience=PATIENCE)
_MOVED: Final = ": it was renamed or moved, or GITHUB_API_URL is wrong"
_DONE: Final = {
    "GET": frozenset({HTTPStatus.OK}),
    "PUT": frozenset({HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}),
    "POST": frozenset({HTTPStatus.OK, HTTPStatus.CREATED}),
    "PATCH": frozenset({HTTPStatus.OK}),
    "DELETE": frozenset({HTTPStatus.NO_CONTENT}),
}
_HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_NUMBER: Final = re.compile(r"\d{1,12}", re.ASCII)


class Client:
    """Sends requests to the API at a URL, whoever's tokens they carry."""

    def __init__(self, url: str, timing: Timing) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ForgeError: a proxy or certificate variable of the environment cannot be used.
        """
        try:
            connections = open_client(url)
        except UsageError as error:
            raise ForgeError(str(error)) from None
        sender = Sender(connections, timing, parallelism=CONNECTIONS, policy=_POLICY, judge=_judge)
        self._api = Api(url, sender, Manners("GitHub", _complaint, LARGEST_ANSWER, _MOVED, done=_DONE))
        self._timing = timing
        self._refusal = Reply(0)
        self._refused_until = 0.0

    async def send(
        self, method: str, path: str, bearer: Secret, body: Mapping[str, object] | None = None, *, lists: bool = False
    ) -> Reply:
        """Send a request when there is a slot for it; `lists` when a list is expected.

        A limit that takes longer than anybody waits here is the answer to all that comes before its end.
        """
        if self._timing.monotonic() < self._refused_until:
            return self._refusal
        largest = LARGEST_LIST if lists else LARGEST_ANSWER
        reply = await self._api.ask(method, path, body, bearer=bearer, headers=_HEADERS, lists=lists, largest=largest)
        now = self._api.sender.clock.now()
        wait = _limit(reply.status, reply.headers, reply.said, now)
        if wait is None:
            return reply
        if wait <= PATIENCE:
            return replace(reply, status=HTTPStatus.TOO_MANY_REQUESTS)
        until = format_instant(datetime.fromtimestamp(round(now.timestamp() + wait), UTC))
        self._refusal = Reply(HTTPStatus.TOO_MANY_REQUESTS, said=f"{reply.said}; not before {until}")
        self._refused_until = self._timing.monotonic() + wait
        return self._refusal

    async def send_at_once(self, method: str, path: str, bearer: Secret) -> Reply:
        """Send a request without waiting for anything: on the way out there is no time for it."""
        return await self._api.ask(method, path, bearer=bearer, headers=_HEADERS, at_once=True)

    async def persist(self, ask: Callable[[], Awaitable[Reply]], *, repeatable: bool = True) -> Reply:
        """Ask until nothing that may pass stands in the way; see `Api.persist`."""
        return await self._api.persist(ask, repeatable=repeatable)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def scopes(reply: Reply) -> frozenset[str] | None:
    """Read the scopes of a classic token; other tokens say nothing, in one way or the other."""
    found = frozenset(each.strip() for each in reply.headers.get("x-oauth-scopes", "").split(","))
    return None if found == {""} else found


def _complaint(body: Mapping[str, Any]) -> str:
    return str(body.get("message", ""))


def _judge(outcome: Answer | NoAnswer, now: datetime) -> Setback | None:
    """Judge as for anybody, except that a limit is not always a 429, and may take too long to wait for."""
    if isinstance(outcome, Answer):
        said = outcome.body.decode(errors="replace")
        wait = _limit(outcome.status, outcome.headers, said, now)
        if wait is not None:
            status = str(HTTPStatus.TOO_MANY_REQUESTS.value)
            return Setback(status, maybe_done=False, limited=True, wait=wait) if wait <= PATIENCE else None
    return judge(outcome, now)


def _limit(status: int, headers: Mapping[str, str], said: str, now: datetime) -> float | None:
    """Return a limit from a refusal, GitHub answers 403 to both: gives how many seconds it lasts; None for no limit."""
    if status not in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        return None
    spent = headers.get("x-ratelimit-remaining") == "0"
    limited = status == HTTPStatus.TOO_MANY_REQUESTS or "retry-after" in headers or spent
    if not limited and "rate limit" not in said.lower():
        return None
    answer = Answer(status, headers=headers)
    asked = answer.retry_after(now)
    if asked is not None:
        return asked
    reset = headers.get("x-ratelimit-reset", "")
    if spent and _NUMBER.fullmatch(reset):
        return max(1.0, float(reset) - (answer.date or now).timestamp())
    return SECONDARY_LIMIT_SECONDS


# Where GitHub's API is: as the environment says, never a file.

DEFAULT_URL: Final = "https://api.github.com"
REPOSITORY: Final = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,100}", re.ASCII)
"""A repository like acme/api, which is nothing else in a path."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)


def base_url(environment: Mapping[str, str]) -> str:
    """Return the address of the API: GITHUB_API_URL where there is one, as on a GitHub Enterprise server.

    Raises:
        ForgeError: a token must not be sent there.
    """
    url = environment.get("GITHUB_API_URL", "").strip() or DEFAULT_URL
    if not _URL.fullmatch(url) or unencrypted(url):
        msg = "GITHUB_API_URL must be an https address, as in https://github.example.com/api/v3"
        raise ForgeError(msg)
    return url.rstrip("/")


def is_token(text: str) -> bool:
    """Return whether a text can stand in a header as a token does."""
    return _TOKEN.fullmatch(text) is not None


# One repository, asked with the token of the job: what it answers, or an error in words.

PAGE: Final = 50
"""How many to ask for at a time; what a page holds at most is read whole."""

_MOST_PAGES: Final = 60
_VIEWER: Final = "query { viewer { login } }"
_EDITOR: Final = "query($id: ID!) { node(id: $id) { ... on IssueComment { id editor { __typename login } } } }"


class Repository:
    """Asks and changes; what changes something is done once, however often an answer is lost. It is a `Forge`."""

    kind = "pull request"

    def __init__(self, name: str, token: Secret, url: str, timing: Timing) -> None:
        """Take a repository like acme/api, and the way to it; nothing is sent yet.

        Raises:
            ForgeError: a variable of the environment about the way cannot be used.
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

    def called(self, number: int) -> str:
        """Return what people call a pull request."""
        return f"pull request #{number}"

    async def comments(self, number: int) -> list[Item]:
        """Return the comments on a pull request; raises ForgeError like `ask`."""
        return await self.every(f"/issues/{number}/comments")

    async def add_comment(self, number: int, find: Find, body: str) -> list[Item]:
        """Write a comment that `find` does not find, and give what it finds then; see `threads.create`."""
        return await self.create(f"/issues/{number}/comments", find, body=body)

    async def change_comment(self, _number: int, comment: int, body: str) -> bool:
        """Change a comment; False when it is not there any more. Raises ForgeError like `ask`."""
        return await self.change(f"/issues/comments/{comment}", body=body)

    async def delete_comment(self, _number: int, comment: int) -> bool:
        """Delete a comment; False when it is not there any more. Raises ForgeError like `ask`."""
        return await self.delete(f"/issues/comments/{comment}")

    async def pull_requests(self, commit: str) -> list[Item]:
        """Return the pull requests that a commit belongs to; raises ForgeError like `ask`."""
        return await self.every(f"/commits/{commit}/pulls")

    async def planner(self) -> str:
        """Return whose comments on a plan may be believed: those of our own account alone; raises ForgeError."""
        return await self.viewer()

    async def viewer(self) -> str:
        """Return the name that what we write has as its author, like github-actions[bot]; raises ForgeError."""
        if self._viewer is None:
            data = await self._query(_VIEWER)
            match data:
                case {"viewer": {"login": str(login)}} if login:
                    self._viewer = login
                case _:
                    msg = "GitHub does not say whose the token is"
                    raise ForgeError(msg)
        return self._viewer

    async def edited_by_another(self, comment: Item) -> bool:
        """Return whether somebody else has edited a comment of ours since we did: its author stays the same then.

        Raises ForgeError like `ask`, also when that is not to be known.
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
                raise ForgeError(msg)

    async def default_branch(self) -> str:
        """Return the name of the branch that merges go to; raises ForgeError like `ask`."""
        if self._branch is None:
            branch = (await self.ask("")).get("default_branch")
            if not isinstance(branch, str) or not branch:
                msg = f"GitHub does not say which the default branch of {self.name} is"
                raise ForgeError(msg)
            self._branch = branch
        return self._branch

    async def tip(self, branch: str) -> str:
        """Return the commit that a branch ends with now; raises ForgeError like `ask`."""
        match await self.ask(f"/git/ref/{quote(f'heads/{branch}', safe='')}"):
            case {"object": {"sha": str(commit)}}:
                return commit
            case _:
                msg = f"GitHub does not say where {branch} ends"
                raise ForgeError(msg)

    async def ask(self, path: str) -> Item:
        """Ask for something below the repository.

        Raises:
            ForgeError: it cannot be had; NotPermitted where the token does not suffice.
        """
        return checked(await self._persist("GET", path)).body

    async def every(self, path: str) -> list[Item]:
        """Ask for all pages of a list; `path` may have a query. Raises ForgeError like `ask`."""
        found: list[Item] = []
        sign = "&" if "?" in path else "?"
        for page in range(1, _MOST_PAGES + 1):
            reply = checked(await self._persist("GET", f"{path}{sign}per_page={PAGE}&page={page}", lists=True))
            found += reply.items
            if len(reply.items) < PAGE:
                return found
        msg = f"{self.name}{path.partition('?')[0]} holds more than {_MOST_PAGES * PAGE}: too many to look through"
        raise ForgeError(msg)

    async def change(self, path: str, **fields: object) -> bool:
        """Change something; False when it is not there any more. Raises ForgeError like `ask`."""
        return was_there(await self._persist("PATCH", path, fields))

    async def delete(self, path: str) -> bool:
        """Delete something; False when it is not there any more. Raises ForgeError like `ask`."""
        return was_there(await self._persist("DELETE", path))

    async def create(self, path: str, find: Find, **fields: object) -> list[Item]:
        """Create what `find` does not find, and give what it finds then; see `threads.create`."""
        # Twice would be two: whether it has arrived is looked up before it is sent again.
        return await create(lambda: self._persist("POST", path, fields, repeatable=False), find, self.timing)

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
        return checked(await self._persist("POST", self._graphql, body)).body.get("data")


@asynccontextmanager
async def open_repository(
    environment: Mapping[str, str], name: str, timing: Timing | None = None
) -> AsyncIterator[Repository]:
    """Connect to a repository with GITHUB_TOKEN.

    Raises:
        UsageError: the token is missing or none.
        ForgeError: GITHUB_API_URL or another variable about the way cannot be used.
    """
    repository = Repository(name, find_token(environment), base_url(environment), timing or Timing())
    try:
        yield repository
    finally:
        await repository.aclose()


def find_token(environment: Mapping[str, str]) -> Secret:
    """Return the token of the job; raises UsageError where there is none."""
    token = environment.get("GITHUB_TOKEN", "").strip()
    if not token:
        msg = 'GITHUB_TOKEN is not set; give it to the step: env: {GITHUB_TOKEN: "${{ github.token }}"}'
        raise UsageError(msg)
    if not is_token(token):
        msg = "GITHUB_TOKEN holds characters that no token has"
        raise UsageError(msg)
    return Secret(token)
