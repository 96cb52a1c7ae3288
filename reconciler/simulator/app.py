"""The service itself: the documented endpoints over a simulated account."""

from __future__ import annotations

import hmac
import re
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.simulator import answers, control, fields
from reconciler.simulator.faults import Faults
from reconciler.simulator.front import Counting, DateHeader, FaultInjection, http_date
from reconciler.simulator.quirks import AS_DOCUMENTED
from reconciler.simulator.refusal import Refusal, bad_request, error_body, no_such_key, unauthenticated
from reconciler.simulator.usage import LONGEST_DAYS, MODELS

if TYPE_CHECKING:
    from starlette.requests import Request

    from reconciler.simulator.quirks import Quirks
    from reconciler.simulator.state import Key, State

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
            *(control.ROUTES if with_control else ()),
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
        return _json(answers.models(model.name for model in MODELS))


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
        """Tell the balance."""
        return _json(answers.balance(_managed(request).balance()))


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
            answer = answers.activity(account, int(text))
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
        answer = _json(answers.key_list(keys, quirks, offset))
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
        return _json(answers.created_key(_seen(request, key), secret, quirks), status=201)


class OneKey(HTTPEndpoint):
    """GET, PATCH and DELETE /v1/account/keys/{key_id}."""

    async def get(self, request: Request) -> Response:
        """Show a key, without its secret."""
        account, quirks = _managed(request), _quirks(request)
        key_id = _key_id(request)
        past = account.keys(ago=timedelta(seconds=quirks.lag)) if quirks.lag else ()
        key = next((key for key in past if key.id == key_id), None) if quirks.lag else account.key(key_id)
        return _json(answers.one_key(_seen(request, key), quirks))

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
                return _json(answers.one_key(shown, quirks))

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
    """Give the account to a bearer that may manage it."""
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
    """Give a key as a request for it alone shows it."""
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
