"""An account to test against: canned answers, a clock that only moves when someone sleeps."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from reconciler.account.client import Account, connect
from reconciler.http.retry import RetryPolicy, Timing
from reconciler.secret import Secret
from support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

CREDENTIAL = "ng-provisioning-0123456789abcdefghij"
ISSUED = "ng-1234567890abcdefghijklmnopqrstuv"
DATE = "Sun, 22 Nov 2026 12:00:00 GMT"

Step = httpx.Response | Exception


@dataclass
class FakeTime:
    """Time that passes only in `sleep`; `naps` holds how long every sleep was."""

    seconds: float = 1000.0
    naps: list[float] = field(default_factory=list)
    chance: float = 0.5

    @property
    def timing(self) -> Timing:
        return Timing(self.sleep, lambda: self.chance, lambda: self.seconds, self.machine)

    async def sleep(self, seconds: float) -> None:
        self.naps.append(round(seconds, 6))
        self.seconds += seconds
        await asyncio.sleep(0)

    def machine(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000.0)


class Script(httpx.AsyncBaseTransport):
    """Gives its steps in order, an exception by raising it; keeps the requests and when they came, counts closings."""

    def __init__(self, steps: Iterable[Step], time: FakeTime | None = None) -> None:
        self.steps = list(steps)
        self.time = time or FakeTime()
        self.sent_at: list[float] = []
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        self.requests.append(request)
        self.sent_at.append(self.time.seconds)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def calls(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


def answer(status: int, body: object = None, **headers: str) -> httpx.Response:
    """Make an answer: bytes and text as they are, anything else as JSON; `Retry_After="5"` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else (body or "") if isinstance(body, str | None) else json.dumps(body)
    return httpx.Response(status, content=content, headers=named)


def error(status: int, kind: str = "server_error", message: str = "it hurts", **headers: str) -> httpx.Response:
    return answer(status, {"error": {"type": kind, "message": message}}, **headers)


def key_json(id: int = 1, name: str = "ci/tests", **fields: Any) -> dict[str, Any]:  # noqa: A002  # the API's word
    values = {"created_at": "2026-03-31T10:00:00Z", "expires_at": None, "is_enabled": True, "credit_limit": 5}
    return {"id": id, "name": name, **values, **fields}


def created_json(**fields: Any) -> dict[str, Any]:
    return key_json(**{"key": ISSUED, "message": "Store this key", **fields})


@dataclass
class Talk:
    """What came of a conversation with a script: the result or what was raised, the requests, the time it took."""

    script: Script
    time: FakeTime
    account: Account
    result: Any = None
    raised: Exception | None = None

    @property
    def complaint(self) -> str:
        assert self.raised is not None, f"nothing was raised, but {self.result!r} returned"
        return str(self.raised)


def talk(
    do: Callable[[Account], Awaitable[Any]],
    *steps: Step,
    retry: RetryPolicy | None = None,
    time: FakeTime | None = None,
    parallelism: int = 4,
) -> Talk:
    """Do something with an account whose service answers the steps in order; no time passes for real."""
    time = time or FakeTime()
    script = Script(steps, time)
    account = connect(
        Secret(CREDENTIAL),
        transport=script,
        retry=retry or RetryPolicy(),
        timing=time.timing,
        parallelism=parallelism,
    )
    came = Talk(script, time, account)

    async def run() -> None:
        async with account:
            came.result = await do(account)

    try:
        asyncio.run(run())
    except Exception as caught:  # noqa: BLE001  # whatever it is, the test looks at it
        came.raised = caught
    return came
