"""Whatever the other side answers: only our own errors, and no secret in anything that can be shown."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import AccountError
from reconciler.http.retry import RetryPolicy
from reconciler.model import NewKey
from reconciler.secret import Secret
from support.account import CREDENTIAL, ISSUED, Step, created_json, key_json, talk
from support.builders import NOW
from support.leaks import everything_shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from reconciler.account.client import Account

CALLS: list[Callable[[Account], Awaitable[Any]]] = [
    lambda account: account.list_keys(),
    lambda account: account.get_key(1),
    lambda account: account.create_key(NewKey("ci/tests", Decimal(5), NOW)),
    lambda account: account.update_key(1, {"is_enabled": False}),
    lambda account: account.delete_key(1),
    lambda account: account.balance(),
    lambda account: account.try_key(Secret(ISSUED), Secret("ng-wrong")),
]
MOST_REQUESTS = 10
"""The most that one call sends when each of them is tried twice: a change is looked at four times."""
ONCE = RetryPolicy(attempts=2, rate_limit_attempts=2)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ISSUED, CREDENTIAL])
names = st.text() | st.sampled_from(["keys", "key", "id", "name", "error", "type", "message", "balance", "created_at"])
shapes = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=12)
keys = st.builds(lambda changed: {**created_json(), **changed}, st.dictionaries(names, scalars, max_size=3))
documents = (shapes | keys | st.builds(lambda key: {"keys": [key_json(), key]}, keys)).map(
    lambda x: json.dumps(x).encode()
)
hostile = st.builds(lambda a, b: a + ISSUED.encode() + CREDENTIAL.encode() + b, st.binary(), st.binary())
bodies = documents | hostile | st.binary()
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.sampled_from([CREDENTIAL, "5", "gzip"])
headers = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "Location", "Content-Type", "Content-Encoding", "Set-Cookie"]), header_text
)
statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 422, 429, 500, 503]) | st.integers(100, 999)
answers = st.builds(
    lambda status, body, named: lambda: httpx.Response(status, headers=named, stream=httpx.ByteStream(body)),
    statuses,
    bodies,
    headers,
)
troubles = st.sampled_from([httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, httpx.ProxyError]).flatmap(
    lambda kind: st.builds(partial, st.just(kind), st.text() | st.just(CREDENTIAL + ISSUED))
)


class Kept(logging.Handler):
    """Keeps everything logged, formatted with its exception."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(record.args))


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    root, handler = logging.getLogger(), Kept()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def shown_by(error: Exception) -> str:
    """Give all that an error can show from the account's code on; the test's own frames hold the secrets anyway."""
    frames = error.__traceback__
    while frames is not None and "/reconciler/" not in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    assert frames is not None
    return everything_shown(error.with_traceback(frames))


@given(call=st.sampled_from(CALLS), makers=st.lists(answers | troubles, min_size=3, max_size=3))
def test_whatever_is_answered_only_our_errors_come_and_no_secret_is_shown(
    kept: Kept, call: Callable[[Account], Awaitable[Any]], makers: list[Callable[[], Step]]
) -> None:
    kept.lines.clear()
    came = talk(call, *(make() for make in makers * MOST_REQUESTS), retry=ONCE)
    shown = "\n".join(kept.lines)
    if came.raised is not None:
        assert isinstance(came.raised, AccountError), repr(came.raised)
        assert came.complaint.isprintable()
        shown += shown_by(came.raised)
    assert CREDENTIAL not in shown
    assert ISSUED not in shown


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
def test_a_service_that_repeats_every_secret_does_not_get_it_shown(
    kept: Kept, call: Callable[[Account], Awaitable[Any]], status: int
) -> None:
    kept.lines.clear()
    said = f"{CREDENTIAL} {ISSUED}"
    body = json.dumps({"key": said, "error": {"type": said, "message": f"key {said} is bad"}}).encode()
    headers = {"Location": f"https://{ISSUED}/"}
    steps = [httpx.Response(status, content=body, headers=headers) for _ in range(MOST_REQUESTS)]
    came = talk(call, *steps, retry=ONCE)
    shown = "\n".join(kept.lines) + ("" if came.raised is None else shown_by(came.raised))
    assert CREDENTIAL not in shown
    assert ISSUED not in shown
