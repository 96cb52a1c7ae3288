"""Sends requests to the account API and turns what comes back into values or errors.

Every request goes through the gate (a 429 slows the whole run) and is repeated as `retry` decides. A POST is repeated
only when the service certainly did not carry it out. What an answer to a PATCH or DELETE leaves open is settled by
reading the key, and a list can be waited for until it shows what was written.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import urlsplit

from reconciler.account import wire
from reconciler.account.wire import altered_fields, same_key, same_state
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
from reconciler.http.connection import open_connections
from reconciler.http.exchange import Answer, NoAnswer, Request, Timeouts
from reconciler.http.redact import quote, redirect
from reconciler.http.retry import RetryPolicy, Timing
from reconciler.http.sender import Sender
from reconciler.model import KEY_VARIABLE, LONGEST_DAYS, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime, timedelta
    from decimal import Decimal
    from types import TracebackType

    import httpx

    from reconciler.http.sender import Conclusion
    from reconciler.model import Activity, CreatedKey, KeyPatch, LiveKey, NewKey, Statistics
    from reconciler.secret import Secret


# What came of a request, as an error in one harmless line.
#
# Text from the other side is data: secrets are taken out of it, control characters and marks that turn the reading
# direction are made visible, and it is trimmed. The answer to a success is never quoted: it may hold a secret.

DASHBOARD: Final = "https://naga.ac/dashboard/provisioning-keys"

_WRONG_KEY: Final = (
    "{variable} must hold a provisioning key of the account, not an inference key; provisioning keys are made at "
    + DASHBOARD
)
_HINTS: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: _WRONG_KEY,
    HTTPStatus.PAYMENT_REQUIRED: "the account is out of credits",
    HTTPStatus.FORBIDDEN: "this provisioning key may not do that",
    HTTPStatus.TOO_MANY_REQUESTS: "the service wants fewer requests: lower --parallelism, or try again later",
}
_MAYBE_A_PROXY: Final = ", or a proxy in between filters the request"
_CLOCK: Final = (
    "the service tells no time (no Date header), so this machine's clock decided what is in the future: check it"
)
_ABOUT_TIME: Final = re.compile(r"expir|future|past|date", re.IGNORECASE)
# What there always is, unlike a key: where it is not found, the address is wrong.
_ALWAYS_THERE: Final = re.compile(r"/account/(keys|balance|activity)$|/models$", re.ASCII)


def failure(
    request: Request,
    outcome: Answer | NoAnswer,
    attempts: int,
    secrets: Iterable[Secret],
    variable: str = KEY_VARIABLE,
) -> AccountError:
    """Return the error for an outcome that is no success; the credential came from `variable`.

    ConnectionFailed without an answer, RefusedByService for 4xx and 5xx, UnexpectedAnswer for anything else.
    """
    tried = f" (tried {attempts} times)" if attempts > 1 else ""
    if isinstance(outcome, NoAnswer):
        return ConnectionFailed(f"{request}: {urlsplit(request.url).netloc}: {outcome.words()}{tried}")
    if outcome.status >= HTTPStatus.BAD_REQUEST:
        parts = _explained(outcome.body)
        said = quote(outcome.body.decode(errors="replace") if parts is None else ": ".join(parts), secrets)
        hint = _hint(request, outcome, parts, said).format(variable=variable)
        message = f"{request}: {outcome.status}{said and ' ' + said}{tried}{'; ' + hint if hint else ''}"
        return RefusedByService(message, status=outcome.status)
    if outcome.status >= HTTPStatus.MULTIPLE_CHOICES:
        return UnexpectedAnswer(f"{request}: {redirect(outcome, secrets)}; check NAGA_BASE_URL")
    return UnexpectedAnswer(f"{request}: {outcome.status}: {outcome.spoilt or 'no answer to this request'}")


def _hint(request: Request, answer: Answer, parts: list[str] | None, said: str) -> str:
    """Return what can be done about an error; `parts` is what the service says of it, None for what it does not."""
    if parts and parts[0] == "invalid_provisioning_key":
        return _WRONG_KEY
    if answer.status == HTTPStatus.FORBIDDEN and parts is None:
        return _HINTS[answer.status] + _MAYBE_A_PROXY
    if answer.status == HTTPStatus.NOT_FOUND and _ALWAYS_THERE.search(request.label.partition("?")[0]):
        lacks = "" if "/v1/" in request.label else "it lacks /v1 at its end; "
        return f"check NAGA_BASE_URL: {lacks}it is usually {DEFAULT_BASE_URL}"
    refused = answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY) and answer.date is None
    if refused and b'"expires_at": "' in (request.body or b"") and (not said or _ABOUT_TIME.search(said)):
        return _CLOCK
    return _HINTS.get(answer.status, "")


def _explained(body: bytes) -> list[str] | None:
    """Return what an error's body says, in the documented shape or as FastAPI has it; None for any other body."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    error = raw.get("error")
    if isinstance(error, dict):
        return [part for part in (error.get("type"), error.get("message")) if isinstance(part, str) and part] or None
    detail = raw.get("detail")
    if isinstance(detail, str):
        return [detail] if detail else None
    if isinstance(detail, list):
        said = "; ".join(filter(None, map(_of_a_field, detail)))
        return [said] if said else None
    return None


def _of_a_field(entry: object) -> str:
    """Return what is wrong with a field, of an entry like `{"loc": ["body", "name"], "msg": "too long"}`."""
    if not isinstance(entry, dict) or not isinstance(entry.get("msg"), str):
        return ""
    where = entry.get("loc")
    named = [str(part) for part in where if isinstance(part, str | int)] if isinstance(where, list) else []
    field = ".".join(named[1:] if named[:1] == ["body"] else named)
    return f"{field}: {entry['msg']}" if field else str(entry["msg"])


DEFAULT_RETRY: Final = RetryPolicy()
DEFAULT_TIMEOUTS: Final = Timeouts()
REAL_TIMING: Final = Timing()
SETTLING_PAUSES: Final = (0.5, 1.0, 2.0)
"""The seconds between one look at a key and the next, when the service says of a change that it was made."""

_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# Answers that say nothing of the key that was sent: it may not even have been looked at.
_BESIDE_THE_POINT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

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
    connections = open_connections(base_url, transport)
    sender = Sender(connections, timing, parallelism=parallelism, policy=retry, timeouts=timeouts, label=label)
    return Account(credential, base_url, sender, variable)


class Trial(Enum):
    """What came of trying an issued key; `UNPROVEN` where the service answers a wrong key just the same."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNPROVEN = "unproven"


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
        self._record = Record()
        self._proving = asyncio.Lock()
        self._proofs: dict[str, bool] = {}

    async def __aenter__(self) -> Self:
        """Return the account itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._sender.aclose()

    def now(self) -> datetime:
        """Return the service's time in UTC; this machine's before the first answer."""
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
        if conclusion.status in _GONE:
            return None
        return _decode(request, self._expect(request, conclusion), wire.decode_key)

    async def read_back(self) -> Snapshot:
        """Read all keys as soon as the list shows what was written through this account, which may take 30 s.

        A key whose POST was given up and that has come all the same is deleted: nobody has its secret. Raises
        IncompleteList when the list still shows something else at the end of that time, and nobody else wrote that.
        """
        pauses = iter(PAUSES)
        while True:
            snapshot = await self.list_keys()
            differing = self._record.differing(snapshot.keys)
            pause = next(pauses, None) if differing else None
            if differing and pause is None:
                differing = await self._really_differing(differing, snapshot)
            if not differing:
                return await self._without_lost(snapshot)
            if pause is None:
                msg = (
                    f"the list of keys is not complete, or lags behind by more than {sum(PAUSES):.0f} s: "
                    f"{self._record.expects(differing[0])}"
                )
                raise IncompleteList(msg)
            await self._sender.timing.sleep(pause)

    async def refuse_partial(self, snapshot: Snapshot, suspects: Iterable[int]) -> frozenset[int]:
        """Raise IncompleteList when a key that a list lacks is there all the same; gives the ids that were asked for.

        Args:
            snapshot: the list.
            suspects: ids of keys that it may lack, such as those that activity or an earlier list names; those that it
                has are left out, and at most 20 of the others are asked for.
        """
        listed = {key.id for key in snapshot.keys}
        missing = spread({key_id for key_id in suspects if key_id not in listed})
        found = [key for key in await asyncio.gather(*map(self._find, missing)) if key is not None]
        if found:
            msg = (
                f"the list of keys is not complete, or lags: it does not show {found[0]}, which is there; what it "
                "lacks would be created again, so nothing was written"
            )
            raise IncompleteList(msg)
        return frozenset(missing)

    async def create_key(self, new: NewKey) -> CreatedKey:
        """Create a key (`POST /account/keys`); its secret is in this answer and nowhere else.

        Repeated only after a 429 or when no connection came about. Raises AmbiguousCreate when the key may exist:
        list the keys, look for its name.
        """
        request = self._request("POST", "/account/keys", wire.encode_new(new))
        self._record.lost.add(new.name)  # until its answer is here
        conclusion = await self._sender.perform(request, creates=True)
        outcome = conclusion.outcome
        if isinstance(outcome, Answer) and outcome.ok:
            try:
                created = _decode(request, outcome, wire.decode_created)
            except UnexpectedAnswer as error:
                # Its words only: the error would hold this frame, and with it the answer, until both are collected.
                reason = str(error)
            else:
                self.found(created.key, new.name)
                return created
        else:
            failed = self._failure(request, conclusion)
            if _is_refusal(conclusion):
                self._record.lost.discard(new.name)
                raise failed
            reason = str(failed)
        msg = f"{reason}; the key may have been created all the same"
        raise AmbiguousCreate(msg)

    def found(self, key: LiveKey, name: str) -> None:
        """Take in that a key is the one that was asked for under this name, also where the answer to that was lost."""
        self._record.wrote(key)
        self._record.lost.discard(name)

    def lost(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of these names whose POST got no answer that can be used."""
        return frozenset(self._record.lost.intersection(names))

    async def update_key(self, key_id: int, patch: KeyPatch) -> LiveKey:
        """Change the fields of a patch (`PATCH /account/keys/{key_id}`) and give the key as it is then.

        Where the answer is lost, cannot be read or shows something else than was asked, the key is read: what it is
        then decides. Raises AccountError when it is not as it was asked to be.
        """
        request = self._request("PATCH", f"/account/keys/{key_id}", wire.encode_patch(patch))
        conclusion = await self._sender.perform(request)
        key = _answered(conclusion, key_id)
        if key is None or altered_fields(patch, key):
            key = await self._settled(
                request, conclusion, key_id, lambda now: now is not None and not altered_fields(patch, now)
            )
            if key is None:
                msg = f"{request}: the service said {conclusion.status}, but has no key {key_id} any more"
                raise RefusedByService(msg, status=HTTPStatus.NOT_FOUND)
            if altered := altered_fields(patch, key):
                msg = f"the service left key {key_id} with {altered}"
                raise AccountError(msg)
        self._record.wrote(key)
        return key

    async def delete_key(self, key_id: int) -> bool:
        """Delete a key for good (`DELETE /account/keys/{key_id}`); False when it was already gone.

        A 404 after an attempt whose answer was lost is our own success: True. Any other answer than the documented 204
        is settled by reading the key. Raises AccountError when it is still there.
        """
        request = self._request("DELETE", f"/account/keys/{key_id}")
        conclusion = await self._sender.perform(request)
        deleted = conclusion.status == HTTPStatus.NO_CONTENT
        if conclusion.status in _GONE:
            deleted = conclusion.maybe_done
        elif not deleted:
            if await self._settled(request, conclusion, key_id, lambda now: now is None) is not None:
                msg = f"{request}: the service said {conclusion.status}, but key {key_id} is still there"
                raise UnexpectedAnswer(msg)
            deleted = True
        self._record.deleted(key_id)
        return deleted

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

    async def try_key(self, secret: Secret, wrong: Secret) -> Trial:
        """Find out whether the service accepts an issued key, by requests that cost nothing.

        `GET /models` counts only where the service refuses the `wrong` key there, since it is said to answer without
        any. Else `POST /chat/completions` with an empty body is asked, which is refused with 401 or 403 for the key
        and with another status for the body. Raises AccountError when neither was answered.
        """
        ways = [
            self._request("GET", "/models", bearer=secret),
            self._request("POST", "/chat/completions", b"{}", bearer=secret),
        ]
        if not _fits_header(secret):
            msg = f"{ways[0]}: the issued key holds characters that cannot be sent in a header"
            raise UnexpectedAnswer(msg)
        conclusions = []
        for request in ways:
            conclusion = await self._sender.perform(request)
            conclusions.append(conclusion)
            if conclusion.status in _REFUSED:
                return Trial.REFUSED
            if _looked_at_the_key(conclusion) and await self._refuses(wrong, request):
                return Trial.ACCEPTED
        self._expect(ways[0], conclusions[0])
        return Trial.UNPROVEN

    async def _refuses(self, wrong: Secret, like: Request) -> bool:
        """Return whether a key that is surely wrong is refused where another is tried; found out once for each way."""
        async with self._proving:
            if like.label not in self._proofs:
                conclusion = await self._sender.perform(replace(like, bearer=wrong))
                if not _looked_at_the_key(conclusion):
                    return False  # nothing was found out
                self._proofs[like.label] = conclusion.status in _REFUSED
            return self._proofs[like.label]

    async def _settled(
        self, request: Request, conclusion: Conclusion, key_id: int, done: Callable[[LiveKey | None], bool]
    ) -> LiveKey | None:
        """Read a key after a write whose answer leaves open what came of it; raises what the answer was if not done."""
        said_done = isinstance(conclusion.outcome, Answer) and conclusion.outcome.ok
        if not said_done and _is_refusal(conclusion):
            raise self._failure(request, conclusion)
        # Said to be done, it may take a moment to show; else the attempts have taken longer than that.
        pauses = iter(SETTLING_PAUSES if said_done else ())
        while True:
            try:
                now = await self.get_key(key_id)
            except AccountError as error:
                if not said_done:
                    raise self._failure(request, conclusion) from None
                msg = f"{request}: what came of it could not be found out: {error}"
                raise UnexpectedAnswer(msg) from None
            if done(now):
                return now
            pause = next(pauses, None)
            if pause is None:
                break
            await self._sender.timing.sleep(pause)
        if not said_done:
            raise self._failure(request, conclusion)
        return now

    async def _find(self, key_id: int) -> LiveKey | None:
        """Read a key; None also where the service does not let single keys be read."""
        try:
            return await self.get_key(key_id)
        except (RefusedByService, UnexpectedAnswer):
            return None

    async def _really_differing(self, ids: Iterable[int], snapshot: Snapshot) -> list[int]:
        """Leave out the keys that somebody else has changed, so that the list is right about them."""
        shown = {key.id: key for key in snapshot.keys}
        return [key_id for key_id in ids if not self._record.settle(key_id, shown, await self._find(key_id))]

    async def _without_lost(self, snapshot: Snapshot) -> Snapshot:
        late = {key.id for key in snapshot.keys if key.name in self._record.lost}
        for key_id in late:
            with suppress(AccountError):
                await self.delete_key(key_id)
        return replace(snapshot, keys=tuple(key for key in snapshot.keys if key.id not in late)) if late else snapshot

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
        secrets = (self._credential, *request.secrets)
        return failure(request, conclusion.outcome, conclusion.attempts, secrets, self._variable)


def _decode(request: Request, answer: Answer, read: Callable[[bytes], _Decoded]) -> _Decoded:
    why = answer.spoilt
    if why is None:
        try:
            return wire.redacted(read(answer.body), request.secrets)
        except IncompleteList as error:
            msg = f"{request}: {answer.status}: {error}"
            raise IncompleteList(msg) from None
        except UnexpectedAnswer as error:
            why = str(error)
    msg = f"{request}: {answer.status}: {why}"
    raise UnexpectedAnswer(msg)


def _is_refusal(conclusion: Conclusion) -> bool:
    """Return whether a write was certainly not carried out: a clear refusal, or nothing was sent."""
    if conclusion.maybe_done:
        return False
    if isinstance(conclusion.outcome, NoAnswer):
        return not conclusion.outcome.sent
    refused = HTTPStatus.BAD_REQUEST <= conclusion.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return refused and conclusion.status != HTTPStatus.REQUEST_TIMEOUT


def _looked_at_the_key(conclusion: Conclusion) -> bool:
    """Return whether an answer depends on the key that was sent, as far as can be seen from outside."""
    final = HTTPStatus.OK <= conclusion.status < HTTPStatus.INTERNAL_SERVER_ERROR
    redirect = HTTPStatus.MULTIPLE_CHOICES <= conclusion.status < HTTPStatus.BAD_REQUEST
    return final and not redirect and conclusion.status not in _BESIDE_THE_POINT


def _answered(conclusion: Conclusion, key_id: int) -> LiveKey | None:
    """Read the key that a PATCH answers with; None for an answer that is anything else."""
    outcome = conclusion.outcome
    if not isinstance(outcome, Answer) or not outcome.ok or outcome.spoilt is not None:
        return None
    try:
        key = wire.decode_key(outcome.body)
    except UnexpectedAnswer:
        return None
    return key if key.id == key_id else None


def _fits_header(secret: Secret) -> bool:
    text = secret.reveal()
    return text.isascii() and text.isprintable() and " " not in text


# What a run has done to the keys of an account, to tell a list that shows it from one that is older or incomplete.

PAUSES: Final = (0.2, 0.3, 0.5, 1.0, *[2.0] * 14)
"""The seconds between one look at an answer that lags and the next: 30 in all."""

MOST_QUESTIONS: Final = 20
"""How many keys are asked for one by one to find out whether a list lacks them."""


class Record:
    """The keys that a run created, changed or deleted, each as the service confirmed it.

    `lost` holds the names of keys whose POST got no answer that can be used: one that appears belongs to nobody.
    """

    def __init__(self) -> None:
        """Begin with nothing done."""
        self._keys: dict[int, LiveKey | None] = {}
        self.lost: set[str] = set()

    def wrote(self, key: LiveKey) -> None:
        """Take in a key as it is after it was created or changed."""
        self._keys[key.id] = key

    def deleted(self, key_id: int) -> None:
        """Take in that a key is gone."""
        self._keys[key_id] = None

    def differing(self, keys: Iterable[LiveKey]) -> list[int]:
        """Return the ids of the keys that a list shows otherwise than this run left them."""
        shown = {key.id: key for key in keys}
        return [key_id for key_id, left in self._keys.items() if not _shows(shown.get(key_id), left)]

    def expects(self, key_id: int) -> str:
        """Return what a list would have to show of a key that it shows otherwise."""
        left = self._keys[key_id]
        return f"key {key_id}, which this run deleted, is still in it" if left is None else f"it does not show {left}"

    def settle(self, key_id: int, shown: Mapping[int, LiveKey], now: LiveKey | None) -> bool:
        """Take in what the service says of a single key; True when the list is right, since somebody changed it."""
        listed = shown.get(key_id)
        agrees = (listed is None and now is None) or (listed is not None and now is not None and same_key(listed, now))
        if agrees:
            del self._keys[key_id]
        return agrees


def _shows(shown: LiveKey | None, left: LiveKey | None) -> bool:
    if shown is None or left is None:
        return shown is left
    return same_state(shown, left)


def spread(ids: Collection[int], most: int = MOST_QUESTIONS) -> list[int]:
    """Choose at most so many ids, from the lowest to the highest: a list that comes in pages lacks one end of them."""
    ordered = sorted(ids)
    if len(ordered) <= most:
        return ordered
    return [ordered[position * (len(ordered) - 1) // (most - 1)] for position in range(most)]
