"""Sends requests to the account API and turns what comes back into values or errors.

Every request goes through the gate (a 429 slows the whole run) and is repeated as `retry` decides. A POST is repeated
only when the service certainly did not carry it out.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import urlsplit

from reconciler.account import wire
from reconciler.errors import (
    AccountError,
    AmbiguousCreate,
    ConnectionFailed,
    IncompleteList,
    RefusedByService,
    UnexpectedAnswer,
    UsageError,
)
from reconciler.http.address import DEFAULT_BASE_URL, check_base_url
from reconciler.http.exchange import Answer, NoAnswer, Request, ServiceClock, Timeouts, exchange
from reconciler.http.limits import WORTH_TELLING, Gate, client_pool
from reconciler.http.redact import quote
from reconciler.http.retry import Attempts, RetryPolicy, Timing, retry_after
from reconciler.model import KEY_VARIABLE, LONGEST_DAYS, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime, timedelta
    from decimal import Decimal
    from types import TracebackType

    import httpx

    from reconciler.http.limits import ClientPool
    from reconciler.model import Activity, CreatedKey, KeyPatch, LiveKey, NewKey, Statistics
    from reconciler.secret import Secret


# Sends a request, through the gate and with a client of the pool, until `retry` takes the outcome for final.

_log = logging.getLogger("reconciler.account")


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The last outcome of a request; `maybe_done` when an earlier attempt may have been carried out."""

    outcome: Answer | NoAnswer
    attempts: int
    maybe_done: bool

    @property
    def status(self) -> int:
        """The status, 0 without an answer."""
        return self.outcome.status if isinstance(self.outcome, Answer) else 0


def _nothing() -> None:
    """Let every write go out."""


class Sender:
    """Shares one gate, one pool and one clock among all requests of an account.

    `before_write` is called right before anything but a GET is sent; what it raises keeps the request from going out.
    """

    def __init__(
        self,
        pool: ClientPool,
        parallelism: int,
        policy: RetryPolicy,
        timeouts: Timeouts,
        timing: Timing,
        label: str = "",
    ) -> None:
        """Let at most `parallelism` requests run at a time; what is logged begins with `label`."""
        self._pool = pool
        self._label = label
        self._gate = Gate(parallelism, policy, timing, label)
        self._policy = policy
        self._timeouts = timeouts
        self._timing = timing
        self.clock = ServiceClock(timing.machine, timing.monotonic)
        self.before_write: Callable[[], None] = _nothing

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def perform(self, request: Request) -> Conclusion:
        """Send until the outcome is final; a POST again only when it was certainly not carried out."""
        attempts = Attempts(self._policy, self._timing, repeatable=request.method != "POST")
        number = 1
        while True:
            outcome, delay = await self._attempt(request, attempts, number)
            if delay is None:
                return Conclusion(outcome, number, attempts.maybe_done)
            await self._timing.sleep(delay)
            number += 1

    async def _attempt(
        self, request: Request, attempts: Attempts, number: int
    ) -> tuple[Answer | NoAnswer, float | None]:
        async with self._gate.passage() as seen:
            if request.method != "GET":
                self.before_write()  # at the last moment: getting here may have taken long
            started = self._timing.monotonic()
            client = self._pool.take()
            try:
                outcome = await exchange(client, request, self._timeouts)
            finally:
                self._pool.give_back(client)
            asked = self._take_in(outcome, seen)
        took = self._timing.monotonic() - started
        delay = attempts.delay(outcome, started, asked)
        said = outcome.status if isinstance(outcome, Answer) else outcome.cause
        level = logging.DEBUG if isinstance(outcome, Answer) and outcome.ok else logging.INFO
        _log.log(level, "%s%s: %s in %d ms, attempt %d", self._label, request, said, round(took * 1000), number)
        if delay is not None and took + delay >= WORTH_TELLING:
            what = "%s%s did not succeed yet (%s): trying again in %d s."
            _log.warning(what, self._label, request, said, round(delay))
        return outcome, delay

    def _take_in(self, outcome: Answer | NoAnswer, seen: int) -> float:
        """Let the clock and the gate know about an outcome; gives what Retry-After asks for, in seconds."""
        if isinstance(outcome, NoAnswer):
            return 0.0
        self.clock.hear(outcome.date)
        asked = retry_after(outcome, self.clock.now())
        if outcome.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._gate.slow_down(seen, asked)
        elif outcome.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._gate.went_well(seen)
        return asked


# What came of a request, as an error in one harmless line.
#
# Text from the other side is data: secrets are taken out of it, control characters and marks that turn the reading
# direction are made visible, and it is trimmed. The answer to a success is never quoted: it may hold a secret.

_HINTS: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "{variable} must hold a provisioning key of the account, not an inference key",
    HTTPStatus.PAYMENT_REQUIRED: "the account is out of credits",
    HTTPStatus.FORBIDDEN: "this provisioning key may not do that, or a proxy in between filters the request",
    HTTPStatus.TOO_MANY_REQUESTS: "the service wants fewer requests: lower --parallelism, or try again later",
}


def failure(
    request: Request,
    outcome: Answer | NoAnswer,
    attempts: int,
    secrets: Iterable[Secret],
    variable: str = KEY_VARIABLE,
) -> AccountError:
    """Give the error for an outcome that is no success; the credential came from `variable`.

    ConnectionFailed without an answer, RefusedByService for 4xx and 5xx, UnexpectedAnswer for anything else.
    """
    tried = f" (tried {attempts} times)" if attempts > 1 else ""
    if isinstance(outcome, NoAnswer):
        return ConnectionFailed(f"{request}: {urlsplit(request.url).netloc}: {outcome.cause}{tried}")
    if outcome.status >= HTTPStatus.BAD_REQUEST:
        said = _complaint(outcome.body, secrets)
        hint = _HINTS.get(outcome.status, "").format(variable=variable)
        message = f"{request}: {outcome.status}{said and ' ' + said}{tried}{'; ' + hint if hint else ''}"
        return RefusedByService(message, status=outcome.status)
    if outcome.status >= HTTPStatus.MULTIPLE_CHOICES:
        target = _redirect_host(outcome.location, secrets)
        why = f"{outcome.status}, a redirect{target}, which is never followed; check NAGA_BASE_URL"
        return UnexpectedAnswer(f"{request}: {why}")
    return UnexpectedAnswer(f"{request}: {outcome.status}: {outcome.spoilt or 'no answer to this request'}")


def _complaint(body: bytes, secrets: Iterable[Secret]) -> str:
    """Give what an error's body says: `type: message` in the documented shape, else the body itself."""
    error = _documented(body)
    if error is None:
        return quote(body.decode(errors="replace"), secrets)
    return quote(": ".join(error), secrets)


def _documented(body: bytes) -> list[str] | None:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = raw.get("error") if isinstance(raw, dict) else None
    if not isinstance(error, dict):
        return None
    parts = [part for part in (error.get("type"), error.get("message")) if isinstance(part, str) and part]
    return parts or None


def _redirect_host(location: str | None, secrets: Iterable[Secret]) -> str:
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return f" to {quote(host, secrets)}" if host else ""


DEFAULT_RETRY: Final = RetryPolicy()
DEFAULT_TIMEOUTS: Final = Timeouts()
REAL_TIMING: Final = Timing()

_Decoded = TypeVar("_Decoded")


def connect(  # noqa: PLR0913  # by keyword, each with a default
    credential: Secret,
    *,
    base_url: str = DEFAULT_BASE_URL,
    parallelism: int = 16,
    transport: httpx.AsyncBaseTransport | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    timing: Timing = REAL_TIMING,
    variable: str = KEY_VARIABLE,
    label: str = "",
) -> Account:
    """Prepare to talk to an account; nothing is sent yet.

    At most `parallelism` requests (1 or more) run at a time. A `transport` answers in place of the network, takes any
    base URL, and is closed with the account. Complaints about the credential name the `variable` that it came from;
    what is logged begins with `label`.
    Raises UsageError when the base URL, the credential, or what the environment says about certificates and proxies
    cannot be used.
    """
    if not _fits_header(credential):
        msg = f"{variable} holds a space, a line break or another character that no key has"
        raise UsageError(msg)
    base_url = check_base_url(base_url) if transport is None else base_url.rstrip("/")
    pool = client_pool(base_url, transport, timeouts)
    return Account(credential, base_url, Sender(pool, parallelism, retry, timeouts, timing, label), variable)


class Account:
    """An account at the service; an async context manager, built by `connect()`.

    Every method raises ConnectionFailed, RefusedByService or UnexpectedAnswer when there is no getting through.
    """

    def __init__(self, credential: Secret, base_url: str, sender: Sender, variable: str = KEY_VARIABLE) -> None:
        """Put the parts together; the credential came from `variable`."""
        self._credential = credential
        self._base_url = base_url
        self._sender = sender
        self._variable = variable

    async def __aenter__(self) -> Self:
        """Give the account itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._sender.aclose()

    def now(self) -> datetime:
        """Tell the service's time in UTC; this machine's before the first answer."""
        return self._sender.clock.now()

    @property
    def clock_skew(self) -> timedelta:
        """The service's time minus this machine's; zero before the first answer."""
        return self._sender.clock.skew

    @contextmanager
    def writing_while(self, check: Callable[[], None]) -> Iterator[None]:
        """Have `check` called right before every write; what it raises keeps the write from going out."""
        self._sender.before_write, before = check, self._sender.before_write
        try:
            yield
        finally:
            self._sender.before_write = before

    def check_writing(self) -> None:
        """Raise what a write would raise now, for what is written elsewhere under the same condition."""
        self._sender.before_write()

    async def list_keys(self) -> Snapshot:
        """Read all keys (`GET /account/keys`); `now` is the answer's Date, or this machine's time without one.

        Raises IncompleteList when the answer says that there are more.
        """
        request = self._request("GET", "/account/keys")
        answer = self._expect(request, await self._sender.perform(request))
        if answer.goes_on:
            msg = f"{request}: {answer.status}: {wire.not_whole(answer.goes_on)}"
            raise IncompleteList(msg)
        return Snapshot(_decode(request, answer, wire.decode_keys), answer.date or self._sender.clock.machine())

    async def get_key(self, key_id: int) -> LiveKey | None:
        """Read one key (`GET /account/keys/{key_id}`); None when there is no such key."""
        request = self._request("GET", f"/account/keys/{key_id}")
        conclusion = await self._sender.perform(request)
        if conclusion.status == HTTPStatus.NOT_FOUND:
            return None
        return _decode(request, self._expect(request, conclusion), wire.decode_key)

    async def create_key(self, new: NewKey) -> CreatedKey:
        """Create a key (`POST /account/keys`); its secret is in this answer and nowhere else.

        Repeated only after a 429 or when no connection came about. Raises AmbiguousCreate when the key may exist:
        list the keys, look for its name.
        """
        request = self._request("POST", "/account/keys", wire.encode_new(new))
        conclusion = await self._sender.perform(request)
        outcome = conclusion.outcome
        if isinstance(outcome, Answer) and outcome.ok:
            try:
                return _decode(request, outcome, wire.decode_created)
            except UnexpectedAnswer as error:
                # Its words only: the error would hold this frame, and with it the answer, until both are collected.
                reason = str(error)
        else:
            failed = self._failure(request, conclusion)
            if HTTPStatus.BAD_REQUEST <= conclusion.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise failed
            if isinstance(outcome, NoAnswer) and not outcome.sent:
                raise failed
            reason = str(failed)
        msg = f"{reason}; the key may have been created all the same"
        raise AmbiguousCreate(msg)

    async def update_key(self, key_id: int, patch: KeyPatch) -> LiveKey:
        """Change the fields of a patch (`PATCH /account/keys/{key_id}`) and give the key as it is now."""
        request = self._request("PATCH", f"/account/keys/{key_id}", wire.encode_patch(patch))
        return _decode(request, self._expect(request, await self._sender.perform(request)), wire.decode_key)

    async def delete_key(self, key_id: int) -> bool:
        """Delete a key for good (`DELETE /account/keys/{key_id}`); False when it was already gone.

        A 404 after an attempt whose answer was lost is our own success: True.
        """
        request = self._request("DELETE", f"/account/keys/{key_id}")
        conclusion = await self._sender.perform(request)
        if conclusion.status == HTTPStatus.NOT_FOUND:
            return conclusion.maybe_done
        self._expect(request, conclusion)
        return True

    async def balance(self) -> Decimal:
        """Read the balance in USD (`GET /account/balance`)."""
        request = self._request("GET", "/account/balance")
        return _decode(request, self._expect(request, await self._sender.perform(request)), wire.decode_balance)

    async def activity(self, days: int = LONGEST_DAYS) -> Activity:
        """Read what the keys were used for in the last `days` days, 1 to 30 (`GET /account/activity`).

        The service counts whole days and may answer as of five minutes ago.
        """
        return await self._activity(days, wire.decode_activity)

    async def statistics(self, days: int = LONGEST_DAYS) -> Statistics:
        """Read all that the service tells of the last `days` days, 1 to 30 (`GET /account/activity`).

        The last of the days is today, which is not over; see `activity`.
        """
        from reconciler.account.wire import decode_statistics

        return await self._activity(days, decode_statistics)

    async def try_key(self, secret: Secret) -> bool:
        """Tell whether the service accepts an issued key (`GET /models` with it, which costs nothing)."""
        request = self._request("GET", "/models", bearer=secret)
        if not _fits_header(secret):
            msg = f"{request}: the issued key holds characters that cannot be sent in a header"
            raise UnexpectedAnswer(msg)
        conclusion = await self._sender.perform(request)
        if conclusion.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return False
        self._expect(request, conclusion)
        return True

    async def _activity(self, days: int, read: Callable[[bytes, int], _Decoded]) -> _Decoded:
        if not 1 <= days <= LONGEST_DAYS:
            msg = f"activity goes back 1 to {LONGEST_DAYS} days, not {days}"
            raise ValueError(msg)
        request = self._request("GET", f"/account/activity?days={days}")
        answer = self._expect(request, await self._sender.perform(request))
        return _decode(request, answer, lambda body: read(body, days))

    def _request(self, method: str, path: str, body: bytes | None = None, bearer: Secret | None = None) -> Request:
        url = self._base_url + path
        return Request(method, url, urlsplit(url).path, bearer or self._credential, body)

    def _expect(self, request: Request, conclusion: Conclusion) -> Answer:
        if isinstance(conclusion.outcome, Answer) and conclusion.outcome.ok:
            return conclusion.outcome
        raise self._failure(request, conclusion)

    def _failure(self, request: Request, conclusion: Conclusion) -> AccountError:
        secrets = (self._credential, request.bearer)
        return failure(request, conclusion.outcome, conclusion.attempts, secrets, self._variable)


def _decode(request: Request, answer: Answer, read: Callable[[bytes], _Decoded]) -> _Decoded:
    why = answer.spoilt
    if why is None:
        try:
            return read(answer.body)
        except IncompleteList as error:
            msg = f"{request}: {answer.status}: {error}"
            raise IncompleteList(msg) from None
        except UnexpectedAnswer as error:
            why = str(error)
    msg = f"{request}: {answer.status}: {why}"
    raise UnexpectedAnswer(msg)


def _fits_header(secret: Secret) -> bool:
    text = secret.reveal()
    return text.isascii() and text.isprintable() and " " not in text
