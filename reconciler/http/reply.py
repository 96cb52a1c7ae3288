"""Asks an API that speaks JSON, and judges what it says: replies as values, with words that are fit to be shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from reconciler.http.exchange import NoAnswer, Request, too_many_parts
from reconciler.http.redact import quote, redirect, without
from reconciler.http.retry import persist
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from reconciler.http.exchange import Answer
    from reconciler.http.retry import Setback
    from reconciler.http.sender import Sender

_DONE: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT})
# What is shorter may be a word, which hiding it everywhere would garble.
_NO_WORD: Final = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request; its status is 0 when no answer arrived that can be used.

    It holds an object in `body`, or the objects of a list in `items`. `said` is why it is none or no success, fit to be
    shown; `maybe_done` that the other side may have done as it was asked although it does not say so; `setback` what
    stood in the way and may pass.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    items: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    said: str = ""
    maybe_done: bool = False
    setback: Setback | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the other side did as it was asked."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def wait(self) -> float:
        """How many seconds the other side asks to be left alone."""
        return 0.0 if self.setback is None else self.setback.wait

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a mapping of the body, empty when there is none."""
        value = self.body.get(name)
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Manners:
    """What sets an API apart from others.

    `name` is who answers, `complaint` reads an error's body, `moved` is what to say of a redirect, `trust` the variable
    that names an authority, `largest` how many bytes of an answer are read. `done` has by method with which statuses it
    says that something is done; any of 200, 201 and 204 where it does not say.
    """

    name: str
    complaint: Callable[[Mapping[str, Any]], str]
    largest: int
    moved: str = ""
    trust: str = "SSL_CERT_FILE"
    done: Mapping[str, frozenset[int]] = field(default_factory=dict)


class Api:
    """One API of one server, asked a few requests at a time."""

    def __init__(self, base: str, sender: Sender, manners: Manners) -> None:
        """Take the address that paths begin at, without a slash at its end, and the way there."""
        self.base = base
        self.sender = sender
        self._manners = manners

    async def ask(  # noqa: PLR0913  # what a request is made of
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        bearer: Secret | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        hidden: Sequence[Secret] = (),
        lists: bool = False,
        largest: int | None = None,
        at_once: bool = False,
    ) -> Reply:
        """Send one request once; a body goes as JSON, secrets stand in it as such. `lists` when a list is expected.

        What the reply says holds none of the secrets that are sent, nor those that are to be `hidden` besides.
        `path` may be a whole address at the same server. On the way out, where there is no time to wait for other
        requests, one goes `at_once`. Never raises for what the network or the server does.
        """
        content, secrets = _written(body)
        url = path if path.startswith(self.base.partition("//")[0]) else f"{self.base}/{path}"
        request = Request(method, url, path.partition("?")[0], bearer, content, headers or {})
        try:
            send = self.sender.at_once if at_once else self.sender.once
            outcome, setback, _ = await send(request, largest or self._manners.largest)
        except Exception as error:  # noqa: BLE001  # whatever it is, it may hold the request
            return Reply(0, said=f"unexpected {type(error).__name__}", maybe_done=True)
        return self._reply(request, outcome, (*request.secrets, *secrets, *hidden), lists=lists, setback=setback)

    async def persist(self, ask: Callable[[], Awaitable[Reply]], *, repeatable: bool = True) -> Reply:
        """Ask until nothing that may pass stands in the way; the last reply says whether any may have done something.

        What is not `repeatable` is not asked again once it may have been done.
        """

        async def attempt() -> tuple[Reply, Setback | None, float]:
            started = self.sender.timing.monotonic()
            reply = await ask()
            return reply, reply.setback, started

        tried = await persist(attempt, self.sender.timing, repeatable=repeatable)
        last = tried.result
        said = f"{last.said} (tried {tried.attempts} times)" if tried.attempts > 1 and not last.ok else last.said
        return replace(last, said=said, maybe_done=last.maybe_done or tried.maybe_done)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.sender.aclose()

    def _reply(
        self,
        request: Request,
        outcome: Answer | NoAnswer,
        secrets: Sequence[Secret],
        *,
        lists: bool,
        setback: Setback | None,
    ) -> Reply:
        if isinstance(outcome, NoAnswer):
            said = outcome.words(self._manners.trust)
            return Reply(0, said=said, maybe_done=outcome.sent, setback=setback)
        status, content = outcome.status, outcome.body
        for secret in secrets:
            if len(secret.reveal()) >= _NO_WORD:
                content = without(content, secret)
        parsed = _parsed(content)
        if outcome.ok:
            awaited = list if lists else dict
            empty = request.method != "GET" and not content
            done = self._manners.done.get(request.method, _DONE)
            if outcome.spoilt or status not in done or not (empty or isinstance(parsed, awaited)):
                why = outcome.spoilt or f"no answer that {self._manners.name} gives"
                return Reply(0, said=f"{status}, but {why}", maybe_done=True)
            items = tuple(each for each in parsed if isinstance(each, dict)) if isinstance(parsed, list) else ()
            return Reply(status, parsed if isinstance(parsed, dict) else {}, items, headers=outcome.headers)
        if status < HTTPStatus.BAD_REQUEST:
            return Reply(status, said=f"{redirect(outcome, secrets)}{self._manners.moved}")
        body = parsed if isinstance(parsed, dict) else None
        complaint = content.decode(errors="replace") if body is None else self._manners.complaint(body)
        return Reply(
            status,
            body or {},
            said=f"{status} {quote(outcome.spoilt or complaint, secrets)}".strip(),
            maybe_done=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            setback=setback,
            headers=outcome.headers,
        )


def _written(body: object) -> tuple[bytes | None, list[Secret]]:
    """Write a body as JSON; gives also the secrets that stand in it, for the answer to be searched for."""
    revealed: list[Secret] = []

    def reveal(value: object) -> str:
        if not isinstance(value, Secret):
            msg = f"{type(value).__name__} is nothing for JSON"
            raise TypeError(msg)
        revealed.append(value)
        return value.reveal()

    return None if body is None else json.dumps(body, default=reveal).encode(), revealed


def _parsed(content: bytes) -> object:
    try:
        return None if too_many_parts(content) else json.loads(content)
    except (ValueError, RecursionError):
        return None
