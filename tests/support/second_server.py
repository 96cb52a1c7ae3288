"""A second server of the NagaAI account API, written from the service's documentation alone.

It knows nothing of the simulator, of the client or of the names that reconciler uses. What the documentation leaves
open is an option in `Silence`; what a network does to an answer is decided, request by request, by
`SecondServer.trouble`. `keys` and `secrets` are the truth, whatever the list says.
"""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = dict[str, Any]
Trouble = Literal["", "lost", "dropped", "late", "503", "503 done", "429", "garbled"]
"""What happens to a request: nothing; done, its answer lost; lost before it is done; its connection lost, done later;
503 or 429, not done; done, but 503; done, but answered by a page of HTML."""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """One way to fill the silence of the documentation. The defaults are what its reader would expect."""

    page_size: int | None = None  # the list holds so many keys and no more
    newest_first: bool = False
    hint: Literal["", "has_more", "next", "next_cursor", "total"] = ""  # how a page says that it is one
    lag: float = 0  # seconds by which the list is behind
    lag_of_new: float = 0  # seconds until the list knows a new key; changes of a known one are seen at once
    lag_of_one: float = 0  # seconds by which the reading of one key is behind
    rename: Callable[[str], str] = str  # what becomes of a name
    unique_names: bool = False
    refused_in_names: str = ""  # characters
    most_keys: int | None = None
    least_limit: Decimal = Decimal(0)
    shortest_expiry: float = 0  # seconds
    expired: Literal["listed", "disabled", "delisted"] = "listed"
    strict_fields: bool = False  # refuses a field that it does not know
    fine_list: bool = False  # microseconds in the list
    fine_one: bool = False  # microseconds in the answers about one key
    zone: bool = True
    omits_no_expiry: bool = False  # as on older pages
    amounts: Literal["number", "text", "sixteen", "noise"] = "number"
    more_fields: bool = False
    created: int = 201
    stillborn: bool = False  # what is created over the API does not open
    patched: Literal["key", "nothing", "message", "before"] = "key"
    null_limit: Literal["removes", "leaves"] = "removes"
    deleted: Literal["nothing", "message", "error", "error, kept"] = "nothing"
    models: Literal["asks", "anyone"] | int = "asks"  # a status: whoever asks gets it
    chat: int = 400  # the status of an empty body
    chat_asks: bool = True  # looks at the key before the body
    errors: Literal["documented", "detail", "empty", "html"] = "documented"
    date: bool = True
    retry_after: int | None = None


@dataclass(frozen=True, kw_only=True)
class Key:
    """What the service knows of a key, apart from its secret. Instants are UTC, amounts USD."""

    id: int
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    is_enabled: bool = True
    credit_limit: Decimal | None = None


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    body: Json
    token: str


@dataclass(frozen=True)
class Answer:
    """An answer as it goes out. Its body is JSON, the text of a page, or nothing."""

    status: int
    body: Json | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body in bytes."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return b"" if self.body is None else text.encode()


class Refusal(Exception):
    """The service says no."""

    def __init__(self, status: int, kind: str, message: str, field_name: str = "") -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.field_name = status, kind, message, field_name


class Clock:
    """The service's time. It stands still but for `tick` seconds a request, and for what a test adds."""

    def __init__(self, *, tick: float = 0.01) -> None:
        self.tick, self.now = tick, datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class SecondServer:
    """The server, its account, and the truth about it."""

    provisioning_key = "ng-provisioning-0123456789abcdef"

    def __init__(self, silence: Silence | None = None, *, clock: Clock | None = None, late: float = 3) -> None:
        self.silence, self.clock, self.late = silence or Silence(), clock or Clock(), late
        self.trouble: Callable[[Request], Trouble] = lambda _: ""
        self.watch: Callable[[SecondServer], None] = lambda _: None  # called after each change, before its answer
        self.keys: dict[int, Key] = {}
        self.secrets: dict[int, str] = {}  # of all keys that ever were
        self.requests: list[tuple[Request, int]] = []  # with the status of the answer, 0 for none
        self.dead: set[int] = set()
        self.spend: dict[int, Decimal] = {}
        self._history: list[tuple[datetime, dict[int, Key]]] = []
        self._postponed: list[tuple[datetime, Request]] = []
        self._activity: dict[str, tuple[datetime, Json]] = {}
        self._lock = threading.RLock()

    def add(self, name: str, **fields: Any) -> Key:
        """Create a key as a person does on the dashboard."""
        with self._lock:
            key = Key(id=len(self.secrets) + 1, name=name, created_at=self.clock.now, **fields)
            self.secrets[key.id] = f"ng-{key.id:032d}"
            self._store(key.id, key)
            return key

    def works(self, secret: str) -> bool:
        """True when somebody who has this secret can use the service with it."""
        keys = [key for key in self.keys.values() if self.secrets[key.id] == secret]
        return any(key.is_enabled and not self._expired(key) and key.id not in self.dead for key in keys)

    def headers(self, answer: Answer) -> dict[str, str]:
        """Return the headers of an answer that goes out now."""
        kind = "text/html" if isinstance(answer.body, str) else "application/json"
        date = {"Date": format_datetime(self.clock.now, usegmt=True)} if self.silence.date else {}
        return {"Content-Type": kind, **date, **answer.headers}

    def writes(self) -> list[Request]:
        """Return the requests that may have changed the account, in their order."""
        return [request for request, _ in self.requests if request.method != "GET" and "/keys" in request.path]

    def answer(self, request: Request) -> Answer | None:
        """Return the answer, or None for a connection that ends without one."""
        with self._lock:
            self.clock.advance(self.clock.tick)
            for at, late in [entry for entry in self._postponed if entry[0] <= self.clock.now]:
                self._postponed.remove((at, late))
                self._done(late)
            answer = self._troubled(request, self.trouble(request))
            self.requests.append((request, answer.status if answer else 0))
            return answer

    def _troubled(self, request: Request, trouble: Trouble) -> Answer | None:
        unavailable = self._error(Refusal(503, "server_error", "Service unavailable"))
        if trouble == "late":
            self._postponed.append((self.clock.now + timedelta(seconds=self.late), request))
        if trouble in ("late", "dropped"):
            return None
        if trouble == "503":
            return unavailable
        if trouble == "429":
            seconds = self.silence.retry_after
            headers = {} if seconds is None else {"Retry-After": str(seconds)}
            return replace(self._error(Refusal(429, "rate_limit_exceeded", "Too many requests")), headers=headers)
        done = self._done(request)
        page = Answer(200, "<html><body>One moment, please</body></html>")
        return {"": done, "lost": None, "503 done": unavailable, "garbled": page}[trouble]

    def _done(self, request: Request) -> Answer:
        try:
            return self._dispatch(request, request.path.removeprefix("/v1/").split("/"))
        except Refusal as refusal:
            return self._error(refusal)

    def _dispatch(self, request: Request, parts: list[str]) -> Answer:
        wrong_key = Refusal(401, "authentication_error", "Incorrect API key provided")
        if request.method == "GET" and parts == ["models"]:
            if isinstance(self.silence.models, int):
                raise Refusal(self.silence.models, "server_error", "No models today")
            if self.silence.models == "asks" and not self.works(request.token):
                raise wrong_key
            return Answer(200, {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]})
        if request.method == "POST" and parts == ["chat", "completions"]:
            if self.silence.chat_asks and not self.works(request.token):
                raise wrong_key
            raise Refusal(self.silence.chat, "invalid_request_error", "model: field required", "model")
        if parts[0] != "account":
            raise Refusal(404, "not_found", "Not Found")
        if request.token != self.provisioning_key:
            raise Refusal(401, "invalid_provisioning_key", "A provisioning key is needed here")
        return self._account(request, parts[1:])

    def _account(self, request: Request, parts: list[str]) -> Answer:
        match request.method, parts:
            case "GET", ["balance"]:
                return Answer(200, {"balance": "125.5000000000000000"})
            case "GET", ["activity"]:
                return Answer(200, self._used(request.query.get("days", ["30"])[0]))
            case "GET", ["keys"]:
                return Answer(200, self._list())
            case "POST", ["keys"]:
                return self._create(request.body)
            case "GET", ["keys", number]:
                return Answer(200, self._shown(self._find(self._seen(self.silence.lag_of_one), number), one=True))
            case "PATCH", ["keys", number]:
                return self._change(self._find(self.keys, number), request.body)
            case "DELETE", ["keys", number]:
                return self._delete(self._find(self.keys, number))
            case _:
                raise Refusal(405, "invalid_request_error", "Method Not Allowed")

    def listed(self, lag: float = 0) -> list[Key]:
        """Return the keys of a whole list, as they were so many seconds ago."""
        keys = self._seen(lag).values()
        return [key for key in keys if self.silence.expired != "delisted" or not self._expired(key)]

    def _list(self) -> Json:
        silence, known = self.silence, self._seen(self.silence.lag_of_new)
        keys = [key for key in self.listed(silence.lag) if key.id in known]
        keys.sort(key=lambda key: key.id, reverse=silence.newest_first)
        page = keys[: silence.page_size]
        more = len(page) < len(keys)
        hints = {"has_more": more, "next": "/v1/account/keys?offset=2" if more else None, "total": len(keys)}
        hints |= {"next_cursor": "b3BhcXVl" if more else None}
        said = {silence.hint: hints[silence.hint]} if silence.hint else {}
        return said | {"keys": [self._shown(key, one=False) for key in page]}

    def _create(self, body: Json) -> Answer:
        changes = {"name": self._checked_name(body, None)} | self._checked(body)
        if self.silence.most_keys is not None and len(self.keys) >= self.silence.most_keys:
            raise Refusal(400, "invalid_request_error", "The number of keys is limited")
        key = self.add(**changes)
        if self.silence.stillborn:
            self.dead.add(key.id)
        told = {"key": self.secrets[key.id], "message": "API key created successfully"}
        return Answer(self.silence.created, self._shown(key, one=True) | told)

    def _change(self, key: Key, body: Json) -> Answer:
        changes = self._checked(body)
        if "name" in body:
            changes["name"] = self._checked_name(body, key)
        if "is_enabled" in body:
            _need(isinstance(body["is_enabled"], bool), "is_enabled", "a boolean is needed")
            changes["is_enabled"] = body["is_enabled"]
        if self.silence.null_limit == "leaves" and body.get("credit_limit", 0) is None:
            del changes["credit_limit"]
        changed = replace(key, **changes)
        self._store(key.id, changed)
        message = {"message": "API key updated successfully"}
        bodies = {"message": message, "before": self._shown(key, one=True), "key": self._shown(changed, one=True)}
        return Answer(204) if self.silence.patched == "nothing" else Answer(200, bodies[self.silence.patched])

    def _delete(self, key: Key) -> Answer:
        if self.silence.deleted != "error, kept":
            self._store(key.id, None)
        if self.silence.deleted == "message":
            return Answer(200, {"message": "API key deleted successfully"})
        failed = {"error": {"type": "server_error", "message": "Something went wrong"}}
        return Answer(204) if self.silence.deleted == "nothing" else Answer(200, failed)

    def _checked_name(self, body: Json, key: Key | None) -> str:
        name, others = body.get("name"), {other.name for other in self.keys.values() if other != key}
        if not isinstance(name, str) or not 1 <= len(name) <= 255:
            raise Refusal(400, "invalid_request_error", "name: 1 to 255 characters are needed", "name")
        _need(not set(name) & set(self.silence.refused_in_names), "name", "holds characters that are not allowed")
        if self.silence.unique_names and self.silence.rename(name) in others:
            raise Refusal(409, "conflict", "A key of this name exists")
        return self.silence.rename(name)

    def _checked(self, body: Json) -> Json:
        if self.silence.strict_fields:
            _need(set(body) <= {"name", "credit_limit", "expires_at", "is_enabled"}, "body", "unknown fields")
        changes: Json = {name: body[name] for name in ("credit_limit", "expires_at") if name in body}
        if changes.get("credit_limit") is not None:
            _need(isinstance(changes["credit_limit"], int | Decimal), "credit_limit", "a number is needed")
            changes["credit_limit"] = Decimal(changes["credit_limit"])
            _need(changes["credit_limit"] >= self.silence.least_limit, "credit_limit", "is too small")
        if changes.get("expires_at") is not None:
            changes["expires_at"] = datetime.fromisoformat(changes["expires_at"]).astimezone(UTC)
            soonest = self.clock.now + timedelta(seconds=self.silence.shortest_expiry)
            _need(changes["expires_at"] > soonest, "expires_at", "must be in the future")
        return changes

    def _store(self, number: int, key: Key | None) -> None:
        self.keys = {kept.id: kept for kept in self.keys.values() if kept.id != number} | ({number: key} if key else {})
        self._history.append((self.clock.now, self.keys))
        self.watch(self)

    def _seen(self, lag: float) -> dict[int, Key]:
        at = self.clock.now - timedelta(seconds=lag)
        return next((keys for since, keys in reversed(self._history) if since <= at), {})

    def _find(self, keys: dict[int, Key], number: str) -> Key:
        key = keys.get(int(number))
        if key is None or (self.silence.expired == "delisted" and self._expired(key)):
            raise Refusal(404, "not_found", "API key not found")
        return key

    def _expired(self, key: Key) -> bool:
        return key.expires_at is not None and key.expires_at <= self.clock.now

    def _shown(self, key: Key, *, one: bool) -> Json:
        fine = self.silence.fine_one if one else self.silence.fine_list
        body: Json = {
            "id": key.id,
            "name": key.name,
            "created_at": self._instant(key.created_at, fine=fine),
            "expires_at": key.expires_at and self._instant(key.expires_at, fine=fine),
            "is_enabled": key.is_enabled and not (self.silence.expired == "disabled" and self._expired(key)),
            "credit_limit": None if key.credit_limit is None else self._amount(key.credit_limit),
        }
        if self.silence.omits_no_expiry and key.expires_at is None:
            del body["expires_at"]
        return body | ({"owner": {"id": 7}, "last_used_at": None, "usage": 0} if self.silence.more_fields else {})

    def _instant(self, instant: datetime, *, fine: bool) -> str:
        text = instant.strftime("%Y-%m-%dT%H:%M:%S") + (f".{instant.microsecond:06d}" if fine else "")
        return text + ("Z" if self.silence.zone else "")

    def _amount(self, amount: Decimal) -> object:
        plain = int(amount) if amount == int(amount) else float(amount)
        noise = math.nextafter(float(amount), 0) if amount else 1e-17
        text = format(amount, "f") if amount else "0E-10"
        return {"number": plain, "text": text, "sixteen": f"{amount:.16f}", "noise": noise}[self.silence.amounts]

    def _used(self, days: str) -> Json:
        _need(days.isdigit() and 1 <= int(days) <= 30, "days", "1 to 30")
        kept = self._activity.get(days)
        if kept is not None and self.clock.now - kept[0] < timedelta(minutes=5):
            return kept[1]

        def used(cost: Decimal, count: str) -> Json:
            shown = f"{cost:.10f}" if cost else "0E-10"
            return {count: int(bool(cost)), "total_cost": shown, "total_input_tokens": 0, "total_output_tokens": 0}

        names = {key.id: key.name for _, keys in self._history for key in keys.values()}
        total = sum(self.spend.values(), Decimal(0))
        day = f"{self.clock.now.date()}" + ("T00:00:00" if self.silence.more_fields else "")
        body: Json = {
            "period_days": int(days),
            "total_stats": used(total, "total_requests"),
            "daily_stats": [{"date": day} | used(total, "total_requests")] if total else [],
            "top_models": [{"model_name": "gpt-4o"} | used(total, "request_count")] if total else [],
            "api_key_usage": [
                {"api_key_id": number, "api_key_name": names[number]} | used(cost, "request_count")
                for number, cost in sorted(self.spend.items())
            ],
        }
        self._activity[days] = (self.clock.now, body)
        return body

    def _error(self, refusal: Refusal) -> Answer:
        status, message = refusal.status, refusal.message
        if self.silence.errors == "detail" and refusal.field_name:
            where = {"loc": ["body", refusal.field_name], "msg": message, "type": "value_error"}
            return Answer(422, {"detail": [where]})
        documented = {"error": {"type": refusal.kind, "message": message}}
        page = f"<html><h1>{status}</h1></html>"
        detail = {"detail": message}
        bodies: dict[str, Json | str | None] = {"documented": documented, "detail": detail, "empty": None, "html": page}
        return Answer(status, bodies[self.silence.errors])

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"account": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def _need(holds: bool, field_name: str, message: str) -> None:  # noqa: FBT001 # it reads as an assertion
    if not holds:
        raise Refusal(400, "invalid_request_error", f"{field_name}: {message}", field_name)


class _Handler(BaseHTTPRequestHandler):
    account: SecondServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        url = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(text, parse_float=Decimal) if text else {}
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        answer = self.account.answer(Request(self.command, url.path, parse_qs(url.query), body, token))
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        headers = self.account.headers(answer)
        if answer.status != 204:
            headers["Content-Length"] = str(len(answer.content))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 # the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""
