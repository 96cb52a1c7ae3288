"""The simulated service: the documented endpoints, over HTTP or in this process."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import httpx
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.simulator import fields, front
from reconciler.simulator.faults import Faults
from reconciler.simulator.fields import (
    LONGEST_DAYS,
    MODELS,
    Refusal,
    bad_request,
    error_body,
    no_such_key,
    unauthenticated,
)
from reconciler.simulator.front import Counting, DateHeader, FaultInjection, http_date
from reconciler.simulator.quirks import AS_DOCUMENTED, next_page
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from reconciler.secret import Secret
    from reconciler.simulator.quirks import Pages, Quirks
    from reconciler.simulator.state import Key, State, Total


# What the service answers, as JSON text; money as the documentation has it, exactly.

_MICROS: Final = Decimal(1_000_000)
_CREATED: Final = "API key created. This is the only time that it is shown, so store it now."


def key_list(keys: Iterable[Key], quirks: Quirks = AS_DOCUMENTED, offset: int = 0) -> str:
    """Answer GET /account/keys; where it comes in pages, with those after the first `offset`."""
    shown, name, says = list(keys), "keys", ""
    if quirks.pages:
        total, end = len(shown), offset + quirks.pages.size
        shown = (shown if "oldest" in quirks.pages.says else shown[::-1])[offset:end]
        says, name = _said_of_pages(quirks.pages, end, total)
    return f'{{"{name}": [' + ", ".join(one_key(key, quirks) for key in shown) + f"]{says}}}"


def one_key(key: Key, quirks: Quirks = AS_DOCUMENTED) -> str:
    """Answer GET and PATCH /account/keys/{key_id}."""
    return "{" + _members(key, quirks) + "}"


def created_key(key: Key, secret: Secret, quirks: Quirks = AS_DOCUMENTED) -> str:
    """Answer POST /account/keys: the only answer that ever holds a secret."""
    secret_and_message = f'"key": {json.dumps(secret.reveal())}, "message": {json.dumps(_CREATED)}'
    return f"{{{_members(key, quirks)}, {secret_and_message}}}"


def balance(amount: Decimal) -> str:
    """Answer GET /account/balance."""
    return json.dumps({"balance": _usd(amount)})


def activity(state: State, days: int) -> str:
    """Answer GET /account/activity for the last `days` days, today included; days without requests are left out."""
    until = state.now().date()
    since = until - timedelta(days=days - 1)
    by_day = state.totals("day", since, until)
    return json.dumps(
        {
            "period_days": days,
            "total_stats": {
                "total_requests": sum(total.requests for total in by_day),
                "total_cost": _usd(sum(total.cost_micros for total in by_day) / _MICROS),
                "total_input_tokens": sum(total.input_tokens for total in by_day),
                "total_output_tokens": sum(total.output_tokens for total in by_day),
            },
            "daily_stats": [{"date": t.name, "total_requests": t.requests} | _spent(t) for t in by_day],
            "top_models": [
                {"model_name": t.name, "request_count": t.requests} | _spent(t)
                for t in state.totals("model", since, until)
            ],
            "api_key_usage": [
                {"api_key_id": t.key_id, "api_key_name": t.name, "request_count": t.requests} | _spent(t)
                for t in state.totals("key", since, until)
            ],
        }
    )


def models(names: Iterable[str]) -> str:
    """Answer GET /models."""
    return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


def _members(key: Key, quirks: Quirks) -> str:
    # By hand, because json can write a float or a string but not a Decimal as the number that it is.
    limit = "null" if key.credit_limit is None else quirks.amount(format_money(key.credit_limit))
    expires_at = "null" if key.expires_at is None else f'"{quirks.instant(format_instant(key.expires_at))}"'
    created_at = quirks.instant(format_instant(key.created_at))
    return (
        f'"id": {key.id}, "name": {json.dumps(key.name)}, "created_at": "{created_at}",'
        f' "expires_at": {expires_at}, "is_enabled": {"true" if key.is_enabled else "false"}, "credit_limit": {limit}'
    )


def _said_of_pages(pages: Pages, end: int, total: int) -> tuple[str, str]:
    """Return what an answer says of there being more, and the name of its list."""
    more = end < total
    following = json.dumps(next_page(end) if more else None)
    says = {
        "has_more": f', "has_more": {"true" if more else "false"}',
        "next": f', "next": {following}',
        "cursor": f', "next_cursor": {json.dumps(str(end) if more else None)}',
        "total": f', "total": {total}',
    }
    return "".join(
        text for name, text in says.items() if name in pages.says
    ), "data" if "data" in pages.says else "keys"


def _spent(total: Total) -> dict[str, Any]:
    return {
        "total_cost": _usd(total.cost_micros / _MICROS),
        "total_input_tokens": total.input_tokens,
        "total_output_tokens": total.output_tokens,
    }


def _usd(amount: Decimal) -> str:
    """Write an amount with the two decimals that the documentation shows, or as many more as it has."""
    whole, _, fraction = format_money(amount).partition(".")
    return f"{whole}.{fraction:0<2}"


# The service itself: the documented endpoints over a simulated account.

_NO_CONTENT: Final = 204
_FAILED: Final = 500
_ACTIVITY_CACHED: Final = timedelta(minutes=5)


def create_app(
    state: State,
    *,
    faults: Faults | None = None,
    provisioning_keys: frozenset[str] = frozenset(),
    with_control: bool = False,
) -> Starlette:
    """Make the service of one account, as an ASGI application with its paths under `/v1/`.

    Without `provisioning_keys` every bearer but the account's own inference keys may manage it. `with_control` adds
    `/_simulator/*`, which lets whoever reaches it change the account, and `/openapi.json`.
    """
    faults = faults or Faults()
    requests: Counter[tuple[str, str]] = Counter()
    app = Starlette(
        routes=[
            Route("/v1/models", Models),
            Route("/v1/chat/completions", Chat),
            Route("/v1/account/balance", Balance),
            Route("/v1/account/activity", Activity),
            Route("/v1/account/keys", Keys),
            Route("/v1/account/keys/{key_id}", OneKey),
            *(front.ROUTES if with_control else ()),
        ],
        middleware=[
            Middleware(DateHeader, account=state),
            Middleware(Counting, counter=requests),
            Middleware(FaultInjection, faults=faults),
        ],
        exception_handlers={
            Refusal: _refuse,  # type: ignore[dict-item]  # a handler meets only its own class
            HTTPException: _refuse_route,  # type: ignore[dict-item]  # the same
            Exception: _fail,
        },
    )
    app.router.redirect_slashes = False
    app.state.account = state
    app.state.provisioning_keys = provisioning_keys
    app.state.activity_cache = {}
    app.state.faults = faults
    app.state.requests = requests
    return app


class Models(HTTPEndpoint):
    """GET /v1/models: anonymously, or with a key that works."""

    async def get(self, request: Request) -> Response:
        """List the models."""
        if "authorization" in request.headers and not _quirks(request).blind_models:
            _check_inference_key(request)
        return _json(models(model.name for model in MODELS))


class Chat(HTTPEndpoint):
    """POST /v1/chat/completions: only as far as it costs nothing."""

    async def post(self, request: Request) -> Response:
        """Refuse a key that does not work, and then whatever is asked: no model runs here."""
        if not _quirks(request).blind_chat:
            _check_inference_key(request)
        body = await _sent(request)
        bad_request("model and messages are required" if not body else "the simulator has no models that answer")


class Balance(HTTPEndpoint):
    """GET /v1/account/balance."""

    async def get(self, request: Request) -> Response:
        """Return the balance."""
        return _json(balance(_managed(request).balance()))


class Activity(HTTPEndpoint):
    """GET /v1/account/activity: cached for five minutes, as the service does."""

    async def get(self, request: Request) -> Response:
        """Sum up what was spent."""
        account = _managed(request)
        text = request.query_params.get("days", str(LONGEST_DAYS))
        if not re.fullmatch(r"[1-9]|[12][0-9]|30", text):
            bad_request(f"days must be a whole number from 1 to {LONGEST_DAYS}")
        now = account.now()
        cache: dict[str, tuple[datetime, str]] = request.app.state.activity_cache
        made_at, answer = cache.get(text, (now, None))
        if answer is None or not timedelta(0) <= now - made_at < _ACTIVITY_CACHED:
            answer = activity(account, int(text))
            cache[text] = (now, answer)
        return _json(answer)


class Keys(HTTPEndpoint):
    """GET and POST /v1/account/keys."""

    async def get(self, request: Request) -> Response:
        """List all keys, without their secrets."""
        account, quirks = _managed(request), _quirks(request)
        keys = account.keys(ago=timedelta(seconds=quirks.lag))
        if quirks is not AS_DOCUMENTED:
            now = account.now()
            keys = tuple(seen for key in keys if (seen := quirks.seen(key, now, in_list=True)))
        offset = _offset(request)
        answer = _json(key_list(keys, quirks, offset))
        if quirks.pages:
            answer.headers.update(quirks.pages.link(offset + quirks.pages.size, len(keys)))
        return answer

    async def post(self, request: Request) -> Response:
        """Issue a key."""
        account, quirks = _managed(request), _quirks(request)
        name, credit_limit, expires_at = fields.read_new_key(await _sent(request), account.now())
        taken = quirks.take({"name": name, "credit_limit": credit_limit, "expires_at": expires_at}, account.now())
        if quirks.late is not None:
            account.create_key_late(timedelta(seconds=quirks.late), taken["name"], credit_limit, expires_at)
            return Response(status_code=202)
        key, secret = account.create_key(taken["name"], credit_limit, expires_at)
        return _json(created_key(_seen(request, key), secret, quirks), status=201)


class OneKey(HTTPEndpoint):
    """GET, PATCH and DELETE /v1/account/keys/{key_id}."""

    async def get(self, request: Request) -> Response:
        """Show a key, without its secret."""
        account, quirks = _managed(request), _quirks(request)
        key_id = _key_id(request)
        past = account.keys(ago=timedelta(seconds=quirks.lag)) if quirks.lag else ()
        key = next((key for key in past if key.id == key_id), None) if quirks.lag else account.key(key_id)
        return _json(one_key(_seen(request, key), quirks))

    async def patch(self, request: Request) -> Response:
        """Change a key."""
        account, quirks, key_id = _managed(request), _quirks(request), _key_id(request)
        changes = quirks.take(fields.read_changes(await _sent(request), account.now()), account.now())
        before, key = account.key(key_id), account.update_key(key_id, **changes)
        shown = _seen(request, before if quirks.odd_patch == "old" else key)
        match quirks.odd_patch:
            case "204":
                return Response(status_code=_NO_CONTENT)
            case "junk":
                return Response("OK")
            case "other":
                return _json('{"success": true, "message": "API key updated"}')
            case _:
                return _json(one_key(shown, quirks))

    async def delete(self, request: Request) -> Response:
        """Delete a key for good."""
        account, quirks, key_id = _managed(request), _quirks(request), _key_id(request)
        if quirks.odd_delete == "error" and account.key(key_id) is not None:
            return JSONResponse(error_body(_FAILED, "the key could not be deleted"))
        if not account.delete_key(key_id):
            no_such_key()
        match quirks.odd_delete:
            case "body":
                return _json('{"message": "API key deleted"}')
            case "202":
                return Response(status_code=202)
            case _:
                return Response(status_code=_NO_CONTENT)


def _account(request: Request) -> State:
    account: State = request.app.state.account
    return account


def _managed(request: Request) -> State:
    """Return the account to a bearer that may manage it."""
    account = _account(request)
    bearer = _bearer(request)
    if account.is_issued(bearer):
        unauthenticated("this is an inference key; the account API needs a provisioning key")
    allowed: frozenset[str] = request.app.state.provisioning_keys
    if allowed and not any(hmac.compare_digest(bearer.encode(), key.encode()) for key in allowed):
        unauthenticated("this provisioning key does not exist")
    return account


def _quirks(request: Request) -> Quirks:
    quirks: Quirks = getattr(request.state, "quirks", AS_DOCUMENTED)
    return quirks


def _seen(request: Request, key: Key | None) -> Key:
    """Return a key as a request for it alone shows it."""
    seen = None if key is None else _quirks(request).seen(key, _account(request).now(), in_list=False)
    return seen or no_such_key()


def _offset(request: Request) -> int:
    text = request.query_params.get("offset") or request.query_params.get("cursor") or ""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _check_inference_key(request: Request) -> None:
    if not _account(request).opens(_bearer(request)):
        unauthenticated("this API key does not exist, is disabled or has expired")


def _bearer(request: Request) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        unauthenticated("send Authorization: Bearer and a key")
    return credential.strip()


def _key_id(request: Request) -> int:
    text = request.path_params["key_id"]
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        no_such_key()
    return int(text)


async def _sent(request: Request) -> dict[str, object]:
    return fields.read_object(await request.body(), getattr(request.state, "ignored_fields", ()))


def _json(content: str, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


async def _refuse(_request: Request, refusal: Refusal) -> Response:
    return JSONResponse(error_body(refusal.status, refusal.message), refusal.status, refusal.headers)


async def _refuse_route(_request: Request, error: HTTPException) -> Response:
    """Answer a path or a method that the service does not know."""
    return JSONResponse(error_body(error.status_code, error.detail), error.status_code, error.headers)


async def _fail(request: Request, _error: Exception) -> Response:
    """Answer what should not happen; the error itself goes on to whoever runs the application."""
    headers = {"Date": http_date(_account(request))}
    return JSONResponse(error_body(500, "the simulator failed"), 500, headers)


# The service in this process, behind an httpx transport.


def _nothing() -> None:
    """Do nothing: the account belongs to whoever opened it."""


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Carry requests to an ASGI application in this process, and fail as a network does.

    A client's read time-out counts, and the service goes on with a request whose client gave up, as a real one would:
    what it commits late is there.
    """

    def __init__(self, app: Any, on_close: Callable[[], None] = _nothing) -> None:  # noqa: ANN401  # as httpx has it
        """Carry requests to `app`; `on_close` is called when the transport is closed, once."""
        self._inner = httpx.ASGITransport(app)
        self._on_close = on_close
        self._late: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises httpx.ReadTimeout, or httpx.ReadError for an answer that a fault has lost."""
        task = asyncio.create_task(self._inner.handle_async_request(request))
        self._late.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=request.extensions.get("timeout", {}).get("read"))
        if not done:
            msg = "the simulator did not answer in time"
            raise httpx.ReadTimeout(msg)
        return task.result()

    async def aclose(self) -> None:
        """Stop what is still going on, and let go of the account."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        on_close, self._on_close = self._on_close, _nothing
        on_close()

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain about one that nobody waits for any more
