"""What a repository of the fake holds besides secrets: branches, pull requests, issues, and comments on both."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response

from support.github import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Query = Mapping[str, str]

LONGEST_BODY: Final = 65_536
BOT: Final = "github-actions[bot]"


@dataclass
class Comment:
    """A comment on a pull request or an issue; `editor` is who has edited it last."""

    id: int
    number: int
    author: str
    body: str
    updated: str
    editor: str | None = None


@dataclass
class Issue:
    """An issue."""

    number: int
    author: str
    title: str
    body: str
    labels: list[str] = field(default_factory=list)
    state: str = "open"
    state_reason: str | None = None


@dataclass
class Pull:
    """A pull request, and how it was merged if it was."""

    number: int
    head: str
    merge_commit_sha: str | None = None
    merged_at: str | None = "2026-11-22T12:00:00Z"
    base: str = "main"
    repository: str = "acme/api"


class Discussions:
    """Lies open, to be set up and looked at; `hidden` comments are there, and lists do not show them yet."""

    def __init__(self) -> None:
        self.branches: dict[str, str] = {}
        self.pulls: dict[str, list[Pull]] = {}
        """By the commits that belong to them."""
        self.comments: dict[int, Comment] = {}
        self.issues: dict[int, Issue] = {}
        self.hidden: set[int] = set()
        self.now: Callable[[], str] = lambda: "2026-11-22T11:00:00Z"
        self.lags = False
        """Whether lists show only what was there before."""
        self._ids = itertools.count(1001)
        self._numbers = itertools.count(101)

    def say(self, number: int, author: str, body: str) -> Comment:
        """Let somebody write a comment."""
        comment = Comment(next(self._ids), number, author, body, self.now())
        self.comments[comment.id] = comment
        if self.lags:
            self.hidden.add(comment.id)
        return comment

    def open_issue(self, author: str, title: str, body: str, *labels: str) -> Issue:
        """Let somebody open an issue."""
        issue = Issue(next(self._numbers), author, title, body, [*labels])
        self.issues[issue.number] = issue
        return issue

    def on(self, number: int) -> list[Comment]:
        """Give the comments on a pull request or an issue."""
        return [each for each in self.comments.values() if each.number == number]

    def answer(self, method: str, rest: list[str], query: Query, body: dict[str, Any], who: str) -> Response:
        """Answer a request below the repository."""
        match method, rest:
            case "GET", ["git", "ref", ref]:
                return self._ref(unquote(ref))
            case "GET", ["commits", commit, "pulls"]:
                return JSONResponse(_page([_pull(each) for each in self.pulls.get(commit, [])], query))
            case "GET", ["issues", number, "comments"]:
                shown = [each for each in self.on(int(number)) if each.id not in self.hidden]
                return JSONResponse(_page([comment(each) for each in shown], query))
            case "POST", ["issues", number, "comments"]:
                refuse_long(body["body"])
                return JSONResponse(comment(self.say(int(number), who, body["body"])), 201)
            case (("PATCH" | "DELETE"), ["issues", "comments", id]):
                return self._on_comment(method, int(id), body, who)
            case _, ["issues", *number]:
                return self._on_issue(method, number, query, body, who)
            case _:
                raise NotFound

    def _ref(self, ref: str) -> Response:
        branch = ref.removeprefix("heads/")
        if branch not in self.branches:
            raise NotFound
        example = described.example("git-ref")
        target = {**example["object"], "sha": self.branches[branch]}
        return JSONResponse({**example, "ref": f"refs/heads/{branch}", "object": target})

    def _on_comment(self, method: str, id: int, body: dict[str, Any], who: str) -> Response:  # noqa: A002  # GitHub's word
        if id not in self.comments:
            raise NotFound
        if method == "DELETE":
            del self.comments[id]
            return Response(status_code=204)
        refuse_long(body["body"])
        found = self.comments[id]
        found.body, found.editor, found.updated = body["body"], who, self.now()
        return JSONResponse(comment(found))

    def _on_issue(self, method: str, number: list[str], query: Query, body: dict[str, Any], who: str) -> Response:
        match method, number:
            case "GET", []:
                wanted = {query["labels"]}
                states = {"open", "closed"} if query["state"] == "all" else {query["state"]}
                found = [each for each in self.issues.values() if wanted <= {*each.labels} and each.state in states]
                return JSONResponse(_page([issue(each) for each in reversed(found)], query))
            case "POST", []:
                refuse_long(body["body"])
                return JSONResponse(issue(self.open_issue(who, body["title"], body["body"], *body["labels"])), 201)
            case "PATCH", [text] if int(text) in self.issues:
                found_one = self.issues[int(text)]
                for name, value in body.items():
                    setattr(found_one, name, value)
                if found_one.state == "open":
                    found_one.state_reason = None
                return JSONResponse(issue(found_one))
            case _:
                raise NotFound


class NotFound(Exception):
    """There is no such thing."""


class TooLong(Exception):
    """GitHub takes no text of this length."""


def refuse_long(body: str) -> None:
    if len(body) > LONGEST_BODY:
        raise TooLong


def user(login: str) -> dict[str, Any]:
    example: dict[str, Any] = described.example("issue-comment")["user"]
    return {**example, "login": login, "type": "Bot" if login.endswith("[bot]") else "User"}


def comment(held: Comment) -> dict[str, Any]:
    example = described.example("issue-comment")
    fields = {"id": held.id, "node_id": f"IC_{held.id}", "body": held.body, "updated_at": held.updated}
    return {**example, **fields, "user": user(held.author)}


def issue(held: Issue) -> dict[str, Any]:
    example = described.example("issue")
    labels = [{**example["labels"][0], "name": each} for each in held.labels]
    fields = {"number": held.number, "title": held.title, "body": held.body, "state": held.state, "labels": labels}
    about = {**example, **fields, "id": 5000 + held.number, "user": user(held.author)}
    for name in ("pull_request", "state_reason"):
        about.pop(name, None)
    # The description lets it be null and lists the values it may have, without null.
    reason = {} if held.state_reason is None else {"state_reason": held.state_reason}
    return {**about, **reason}


def _pull(held: Pull) -> dict[str, Any]:
    example: dict[str, Any] = dict(
        described.document()["components"]["examples"]["pull-request-simple-items"]["value"][0]
    )
    repository = {**example["base"]["repo"], "full_name": held.repository}
    return {
        **example,
        "requested_teams": [],  # the example lacks what its schema asks for
        "number": held.number,
        "merged_at": held.merged_at,
        "merge_commit_sha": held.merge_commit_sha,
        "head": {**example["head"], "sha": held.head},
        "base": {**example["base"], "ref": held.base, "repo": repository},
    }


def _page(items: list[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    page, size = int(query.get("page", 1)), int(query.get("per_page", 30))
    return items[(page - 1) * size : page * size]


def asked_of_graphql(discussions: Discussions, body: dict[str, Any], viewer: str) -> Iterator[tuple[str, Any]]:
    """Answer the two queries there are: who asks, and who has edited a comment last."""
    if "viewer" in body["query"]:
        yield "viewer", {"login": viewer}
    if "node(id: $id)" in body["query"]:
        found = discussions.comments[int(body["variables"]["id"].removeprefix("IC_"))]
        editor = found.editor and {
            "__typename": "Bot" if found.editor.endswith("[bot]") else "User",
            "login": found.editor.removesuffix("[bot]"),
        }
        yield "node", {"id": f"IC_{found.id}", "editor": editor}
