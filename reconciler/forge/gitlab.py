"""GitLab: its API, asked with the token of the environment, and a project there; nothing of the way is in a file.

What is told here stands in the REST documentation: https://docs.gitlab.com/api/rest/.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reconciler.errors import ForgeError, UsageError
from reconciler.forge.reviews import Job, PullRequest
from reconciler.forge.threads import checked, create, was_there
from reconciler.http.address import unencrypted
from reconciler.http.connection import open_client
from reconciler.http.reply import Api, Manners, Reply
from reconciler.http.retry import Timing
from reconciler.http.sender import Sender
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from reconciler.forge.threads import Find, Item

DEFAULT_URL: Final = "https://gitlab.com"
URLS: Final = ("GITLAB_URL", "CI_SERVER_URL")
"""The variables that may say where GitLab is; a job of GitLab has the second one."""

TOKEN: Final = "GITLAB_TOKEN"  # noqa: S105  # the name of a variable
CONNECTIONS: Final = 8
PAGE: Final = 100
MOST_PAGES: Final = 100
LARGEST_ANSWER: Final = 32 * 1024 * 1024

_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)
_DONE: Final = {
    "GET": frozenset({HTTPStatus.OK}),
    "PUT": frozenset({HTTPStatus.OK}),
    "POST": frozenset({HTTPStatus.CREATED}),
    "DELETE": frozenset({HTTPStatus.NO_CONTENT}),
}


def base_url(environment: Mapping[str, str]) -> str:
    """Return the address of GitLab, without a slash at its end; raises ForgeError where no token may be sent there."""
    name, url = next(((each, said) for each in URLS if (said := environment.get(each, "").strip())), ("", DEFAULT_URL))
    if not _URL.fullmatch(url) or unencrypted(url):
        msg = f"{name} must be an https address, as in https://gitlab.example.com"
        raise ForgeError(msg)
    return url.rstrip("/")


def find_token(environment: Mapping[str, str]) -> Secret:
    """Return the token of the environment; raises UsageError where there is none, and says which one is needed."""
    token = environment.get(TOKEN, "").strip()
    if not token:
        msg = (
            f"{TOKEN} is not set: it takes an access token of the project or group with the scope api, "
            "as a masked variable; the CI_JOB_TOKEN that GitLab gives every job may not do this"
        )
        raise UsageError(msg)
    if not _TOKEN.fullmatch(token):
        msg = f"{TOKEN} holds characters that no token has"
        raise UsageError(msg)
    return Secret(token)


class Client:
    """Asks the API until nothing that may pass stands in the way; never raises for what the other side does."""

    def __init__(self, environment: Mapping[str, str], timing: Timing) -> None:
        """Take the address and the token of the environment; nothing is sent yet.

        Raises:
            UsageError: the token is missing or none.
            ForgeError: the address, or a variable about the way there, cannot be used.
        """
        url = base_url(environment)
        self.host = url.partition("://")[2]
        self._token = find_token(environment)
        try:
            connections = open_client(url)
        except UsageError as error:
            raise ForgeError(str(error)) from None
        sender = Sender(connections, timing, parallelism=CONNECTIONS)
        moved = f": it was renamed or moved, or {URLS[0]} is wrong"
        self._api = Api(f"{url}/api/v4", sender, Manners("GitLab", _complaint, LARGEST_ANSWER, moved, done=_DONE))

    async def ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, repeatable: bool = True
    ) -> Reply:
        """Ask for something below /api/v4, or change it; secrets stand in the body as such."""
        return await self._api.persist(
            lambda: self._api.ask(method, path, body, bearer=self._token), repeatable=repeatable
        )

    async def every(self, path: str) -> Reply:
        """Ask for all pages of a list; gives the first reply that is no success, else all items in one."""
        found: list[Mapping[str, Any]] = []
        sign = "&" if "?" in path else "?"
        for page in range(1, MOST_PAGES + 1):
            asked = f"{path}{sign}per_page={PAGE}&page={page}"
            reply = await self._api.persist(lambda asked=asked: self._page(asked))  # type: ignore[misc]  # bound at once
            if not reply.ok:
                return reply
            found += reply.items
            if len(reply.items) < PAGE:
                return Reply(reply.status, items=tuple(found))
        return Reply(0, said=f"there are more than {MOST_PAGES * PAGE}: too many to look through")

    async def _page(self, path: str) -> Reply:
        return await self._api.ask("GET", path, bearer=self._token, lists=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


# One project, as comments and reviews need it.


class Project:
    """Asks and changes; what changes something is done once, however often an answer is lost. It is a `Forge`."""

    kind = "merge request"

    def __init__(self, name: str, client: Client, timing: Timing) -> None:
        """Take a project by its path, like acme/api, and the way to it; nothing is sent yet."""
        self.name = name
        self.timing = timing
        self._client = client
        self._home = f"projects/{quote(name, safe='')}"
        self._viewer: str | None = None
        self._project: Mapping[str, Any] | None = None

    def called(self, number: int) -> str:
        """Return what people call a merge request."""
        return f"merge request !{number}"

    async def viewer(self) -> str:
        """Return the name of the account whose token this is; raises ForgeError."""
        if self._viewer is None:
            self._viewer = str(checked(await self._client.ask("GET", "user")).body.get("username"))
        return self._viewer

    async def planner(self) -> None:
        """Believe what anybody has sealed: the token of apply, which may do more, is not the one of plan."""

    async def edited_by_another(self, comment: Item) -> bool:  # noqa: ARG002  # a Forge may have to look
        """Leave it to the seal, which no edited note keeps: GitLab does not tell who has edited one."""
        return False

    async def comments(self, number: int) -> list[Item]:
        """Return the notes on a merge request; raises ForgeError."""
        return [_comment(each) for each in await self._every(f"merge_requests/{number}/notes?sort=asc")]

    async def add_comment(self, number: int, find: Find, body: str) -> list[Item]:
        """Write a note that `find` does not find, and give what it finds then; see `create`."""

        async def post() -> Reply:
            path = f"{self._home}/merge_requests/{number}/notes"
            reply = await self._client.ask("POST", path, {"body": body}, repeatable=False)
            return replace(reply, body=_comment(reply.body))

        return await create(post, find, self.timing)

    async def change_comment(self, number: int, comment: int, body: str) -> bool:
        """Change a note; False when it is not there any more. Raises ForgeError."""
        return was_there(await self._client.ask("PUT", self._note(number, comment), {"body": body}))

    async def delete_comment(self, number: int, comment: int) -> bool:
        """Delete a note; False when it is not there any more. Raises ForgeError."""
        return was_there(await self._client.ask("DELETE", self._note(number, comment)))

    async def default_branch(self) -> str:
        """Return the name of the branch that merges go to; raises ForgeError."""
        branch = (await self._itself()).get("default_branch")
        if not isinstance(branch, str) or not branch:
            msg = f"GitLab does not say which the default branch of {self.name} is"
            raise ForgeError(msg)
        return branch

    async def tip(self, branch: str) -> str:
        """Return the commit that a branch ends with now; raises ForgeError."""
        found = checked(await self._client.ask("GET", f"{self._home}/repository/branches/{quote(branch, safe='')}"))
        match found.body:
            case {"commit": {"id": str(commit)}}:
                return commit
            case _:
                msg = f"GitLab does not say where {branch} ends"
                raise ForgeError(msg)

    async def pull_requests(self, commit: str) -> list[Item]:
        """Return the merge requests that a commit belongs to, as one of their own, of a squash or of a merge."""
        itself = (await self._itself()).get("id")
        listed = await self._every(f"repository/commits/{commit}/merge_requests")
        return [
            {
                "number": each.get("iid"),
                "merged_at": each.get("merged_at"),
                "merge_commit_sha": each.get("merge_commit_sha") or each.get("squash_commit_sha"),
                "head": {"sha": each.get("sha")},
                "base": {"ref": each.get("target_branch"), "repo": {"full_name": self.name}},
            }
            for each in listed
            if each.get("target_project_id") == itself
        ]

    async def _itself(self) -> Mapping[str, Any]:
        if self._project is None:
            self._project = checked(await self._client.ask("GET", self._home)).body
        return self._project

    async def _every(self, path: str) -> tuple[Item, ...]:
        return checked(await self._client.every(f"{self._home}/{path}")).items

    def _note(self, number: int, comment: int) -> str:
        return f"{self._home}/merge_requests/{number}/notes/{comment}"


def _comment(note: Mapping[str, Any]) -> Item:
    """Return a note as `Forge` has comments; one that GitLab has written itself is nobody's."""
    author = note.get("author")
    login = author.get("username") if isinstance(author, dict) and not note.get("system") else None
    return {**note, "user": {"login": login}}


@asynccontextmanager
async def open_project(
    environment: Mapping[str, str], name: str, timing: Timing | None = None
) -> AsyncIterator[Project]:
    """Connect to a project with GITLAB_TOKEN; raises UsageError and ForgeError as `Client` does."""
    clocks = timing or Timing()
    client = Client(environment, clocks)
    try:
        yield Project(name, client, clocks)
    finally:
        await client.aclose()


# The job of a pipeline that this process runs in, as GitLab's runner describes it in the environment.

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_PROJECT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def read_job(environment: Mapping[str, str], flag: str) -> Job:
    """Read what the runner says; `flag` is the option that asks for it.

    Raises:
        UsageError: this is no job of a GitLab pipeline, or it says what cannot be.
    """
    # Of a fork's pipeline, the merge request is in another project than the job.
    project = environment.get("CI_MERGE_REQUEST_PROJECT_PATH") or environment.get("CI_PROJECT_PATH", "")
    commit, number = environment.get("CI_COMMIT_SHA", ""), environment.get("CI_MERGE_REQUEST_IID", "")
    if not _PROJECT.fullmatch(project) or not _COMMIT.fullmatch(commit) or (number and not _NUMBER.fullmatch(number)):
        msg = f"{flag} works in a job of a GitLab pipeline, where CI_PROJECT_PATH and CI_COMMIT_SHA are set"
        raise UsageError(msg)
    # A pipeline for merged results runs on a commit that will never be on a branch.
    head = environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or commit
    request = PullRequest(int(number), head, f"merge request !{number}") if number and _COMMIT.fullmatch(head) else None
    run = environment.get("CI_JOB_URL", "")
    return Job(project, commit, environment.get("GITLAB_USER_LOGIN", ""), run if _URL.fullmatch(run) else None, request)


def _complaint(body: Mapping[str, Any]) -> str:
    """Read why something was refused: a text, or by field what is wrong with each."""
    said = body.get("message", body.get("error_description", body.get("error", "")))
    if isinstance(said, dict):
        return "; ".join(f"{field} {_words(why)}" for field, why in said.items())
    return _words(said)


def _words(said: object) -> str:
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said)
