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
from reconciler.simulator.refusal import Refusal, bad_request, error_body, no_such_key, unauthenticated
from reconciler.simulator.usage import LONGEST_DAYS, MODELS

if TYPE_CHECKING:
    from starlette.requests import Request

    from reconciler.simulator.state import State

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
        if "authorization" in request.headers and not _account(request).opens(_bearer(request)):
            unauthenticated("this API key does not exist, is disabled or has expired")
        return _json(answers.models(model.name for model in MODELS))


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
        return _json(answers.key_list(_managed(request).keys()))

    async def post(self, request: Request) -> Response:
        """Issue a key."""
        account = _managed(request)
        name, credit_limit, expires_at = fields.read_new_key(await _sent(request), account.now())
        return _json(answers.created_key(*account.create_key(name, credit_limit, expires_at)), status=201)


class OneKey(HTTPEndpoint):
    """GET, PATCH and DELETE /v1/account/keys/{key_id}."""

    async def get(self, request: Request) -> Response:
        """Show a key, without its secret."""
        key = _managed(request).key(_key_id(request))
        if key is None:
            no_such_key()
        return _json(answers.one_key(key))

    async def patch(self, request: Request) -> Response:
        """Change a key."""
        account = _managed(request)
        key = account.update_key(_key_id(request), **fields.read_changes(await _sent(request), account.now()))
        if key is None:
            no_such_key()
        return _json(answers.one_key(key))

    async def delete(self, request: Request) -> Response:
        """Delete a key for good."""
        if not _managed(request).delete_key(_key_id(request)):
            no_such_key()
        return Response(status_code=204)


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
