"""The account as other rooms see it, against a service that answers by script."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from reconciler.account.client import PAUSES, Account, Trial, connect
from reconciler.errors import (
    AmbiguousCreate,
    ConnectionFailed,
    IncompleteList,
    RefusedByService,
    UnexpectedAnswer,
    UsageError,
)
from reconciler.model import Activity, LiveKey, NewKey
from reconciler.secret import Secret
from reconciler.units import parse_instant
from support.account import (
    CREDENTIAL,
    DATE,
    ISSUED,
    FakeTime,
    Script,
    Step,
    answer,
    created_json,
    error,
    key_json,
    talk,
)
from support.builders import NOW, live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.model import CreatedKey, KeyPatch, Snapshot

WRONG = "ng-wrong0123456789abcdefghijklmnop"
KEY_PATH = "/v1/account/keys/1"
MADE = parse_instant("2026-03-31T10:00:00Z")
KEY = live(1, "ci/tests", created_at=MADE)
PATCH: KeyPatch = {"credit_limit": Decimal(5)}


def list_keys(account: Account) -> Awaitable[Snapshot]:
    return account.list_keys()


def get_key(account: Account) -> Awaitable[LiveKey | None]:
    return account.get_key(1)


def create_key(account: Account) -> Awaitable[CreatedKey]:
    return account.create_key(NewKey("ci/tests", Decimal("0.1"), NOW))


def update_key(account: Account) -> Awaitable[LiveKey]:
    return account.update_key(1, PATCH)


def delete_key(account: Account) -> Awaitable[bool]:
    return account.delete_key(1)


def balance(account: Account) -> Awaitable[Decimal]:
    return account.balance()


def activity(account: Account) -> Awaitable[Activity]:
    return account.activity()


def try_key(account: Account) -> Awaitable[Trial]:
    return account.try_key(Secret(ISSUED), Secret(WRONG))


REPEATABLE = [list_keys, get_key, update_key, delete_key, balance, activity]


def good(do: Callable[[Account], Awaitable[Any]]) -> httpx.Response:
    """Give the answer that the documentation promises."""
    if do is delete_key:
        return answer(204)
    bodies: dict[Any, object] = {
        list_keys: {"keys": [key_json()]},
        get_key: key_json(),
        create_key: created_json(),
        update_key: key_json(),
        balance: {"balance": "125.50"},
        activity: {"period_days": 30, "api_key_usage": []},
    }
    return answer(200, bodies[do])


# --- what each call sends and gives back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "call", "result"),
    [
        (get_key, "GET /v1/account/keys/1", KEY),
        (update_key, "PATCH /v1/account/keys/1", KEY),
        (delete_key, "DELETE /v1/account/keys/1", True),
        (balance, "GET /v1/account/balance", Decimal("125.50")),
        (activity, "GET /v1/account/activity", Activity(30, {})),
    ],
)
def test_each_call_has_its_method_path_and_result(do: Any, call: str, result: object) -> None:
    came = talk(do, good(do))
    assert came.raised is None
    assert came.script.calls == [call]
    assert came.result == result


@pytest.mark.parametrize("days", [1, 8, 30])
def test_activity_is_asked_for_as_many_days_as_wanted(days: int) -> None:
    came = talk(lambda account: account.activity(days), answer(200, {"period_days": days, "api_key_usage": []}))
    assert came.result == Activity(days, {})
    assert str(came.script.requests[0].url).endswith(f"/account/activity?days={days}")


@pytest.mark.parametrize("days", [-1, 0, 31])
def test_activity_is_not_asked_for_where_the_service_has_none(days: int) -> None:
    came = talk(lambda account: account.activity(days))
    assert isinstance(came.raised, ValueError)
    assert came.complaint == f"activity goes back 1 to 30 days, not {days}"
    assert came.script.calls == []


def test_listing_gives_all_keys_and_the_services_time() -> None:
    came = talk(list_keys, answer(200, {"keys": [key_json(), key_json(2, "x")]}, Date="Sun, 22 Nov 2026 13:00:00 GMT"))
    assert came.script.calls == ["GET /v1/account/keys"]
    assert came.result.keys == (KEY, live(2, "x", created_at=MADE))
    assert came.result.now == NOW + timedelta(hours=1)
    assert came.account.now() == NOW + timedelta(hours=1)
    assert came.account.clock_skew == timedelta(hours=1)


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_without_a_readable_date_it_is_this_machines_time(headers: dict[str, str]) -> None:
    came = talk(list_keys, answer(200, {"keys": []}, **headers))
    assert came.result.now == NOW
    assert came.account.now() == NOW
    assert came.account.clock_skew == timedelta(0)


@pytest.mark.parametrize("status", [200, 201])
def test_a_created_key_comes_with_its_secret(status: int) -> None:
    came = talk(create_key, answer(status, created_json()))
    assert came.result.key == KEY
    assert came.result.secret == Secret(ISSUED)
    [request] = came.script.requests
    assert request.content == b'{"name": "ci/tests", "credit_limit": 0.1, "expires_at": "2026-11-22T12:00:00Z"}'
    assert request.headers["Content-Type"] == "application/json"


def test_a_patch_sends_its_fields() -> None:
    came = talk(update_key, good(update_key))
    assert json.loads(came.script.requests[0].content) == {"credit_limit": 5}


def test_every_request_carries_the_provisioning_key_but_the_trial_of_an_issued_one() -> None:
    for do in [*REPEATABLE, create_key]:
        [request] = talk(do, good(do)).script.requests
        assert request.headers["Authorization"] == f"Bearer {CREDENTIAL}"
        assert CREDENTIAL not in str(request.url)
    trial = talk(try_key, answer(200), error(401)).script.requests
    assert [request.headers["Authorization"] for request in trial] == [f"Bearer {ISSUED}", f"Bearer {WRONG}"]


def test_cookies_are_not_carried_from_one_credential_to_another() -> None:
    async def do(account: Account) -> None:
        await account.balance()
        await try_key(account)

    came = talk(do, answer(200, {"balance": "1"}, Set_Cookie="session=provisioner; Path=/"), error(401))
    assert "Cookie" not in came.script.requests[1].headers


@pytest.mark.parametrize("status", [404, 410])
def test_a_key_that_is_not_there_is_none(status: int) -> None:
    assert talk(get_key, error(status)).result is None


# --- the trial of an issued key ---------------------------------------------------------------------------------------

MODELS, CHAT = "GET /v1/models", "POST /v1/chat/completions"


@pytest.mark.parametrize(
    ("steps", "found", "calls"),
    [
        # what each key is answered, the issued one first: at GET /models, then at POST /chat/completions
        ([error(401)], Trial.REFUSED, [MODELS]),
        ([error(403)], Trial.REFUSED, [MODELS]),
        ([answer(200), error(401)], Trial.ACCEPTED, [MODELS] * 2),
        ([error(402), error(403)], Trial.ACCEPTED, [MODELS] * 2),
        ([error(404), error(401)], Trial.ACCEPTED, [MODELS] * 2),
        ([answer(200), answer(200), error(400), error(401)], Trial.ACCEPTED, [MODELS] * 2 + [CHAT] * 2),
        ([answer(200), answer(200), error(422), error(403)], Trial.ACCEPTED, [MODELS] * 2 + [CHAT] * 2),
        ([answer(200), answer(200), error(401)], Trial.REFUSED, [MODELS] * 2 + [CHAT]),
        ([answer(200), answer(200), error(400), error(400)], Trial.UNPROVEN, [MODELS] * 2 + [CHAT] * 2),
        ([answer(200), answer(200), *[error(503)] * 6], Trial.UNPROVEN, [MODELS] * 2 + [CHAT] * 6),
        ([answer(200), answer(200), httpx.ReadError(""), error(401)], Trial.REFUSED, [MODELS] * 2 + [CHAT] * 2),
        ([*[error(503)] * 6, error(400), error(401)], Trial.ACCEPTED, [MODELS] * 6 + [CHAT] * 2),
        ([answer(302, Location="https://x.test/"), error(422), error(401)], Trial.ACCEPTED, [MODELS] + [CHAT] * 2),
        ([error(408), error(400), error(401)], Trial.ACCEPTED, [MODELS] + [CHAT] * 2),
        ([answer(200), *[error(503)] * 6, error(400), error(401)], Trial.ACCEPTED, [MODELS] * 7 + [CHAT] * 2),
    ],
)
def test_a_trial_counts_where_a_wrong_key_fails_it(steps: list[Step], found: Trial, calls: list[str]) -> None:
    came = talk(try_key, *steps)
    assert (came.result, came.script.calls) == (found, calls)


@pytest.mark.parametrize("status", [402, 404])
def test_a_trial_that_tells_nothing_because_nothing_is_answered_is_an_error(status: int) -> None:
    came = talk(try_key, *[error(status)] * 4)
    assert isinstance(came.raised, RefusedByService)
    assert came.raised.status == status


def test_an_error_of_a_trial_that_echoes_the_new_key_does_not_tell_it() -> None:
    odd = "open-sesame-and-be-quick-my-friend"  # nothing shows that it is a key

    def do(account: Account) -> Awaitable[Trial]:
        return account.try_key(Secret(odd), Secret(WRONG))

    came = talk(do, *[error(402, f"no credit for {odd}")] * 4)
    assert isinstance(came.raised, RefusedByService)
    assert came.raised.status == 402
    assert odd not in came.complaint


def test_the_wrong_key_is_tried_once_for_all_trials_of_a_run() -> None:
    async def do(account: Account) -> list[Trial]:
        return await asyncio.gather(*(try_key(account) for _ in range(3)))

    tried: list[str] = []

    def discern(request: httpx.Request) -> httpx.Response:
        tried.append(request.headers["Authorization"])
        return error(401) if WRONG in tried[-1] else answer(200)

    account = connect(Secret(CREDENTIAL), transport=httpx.MockTransport(discern))
    assert asyncio.run(do(account)) == [Trial.ACCEPTED] * 3
    assert Counter(tried) == {f"Bearer {ISSUED}": 3, f"Bearer {WRONG}": 1}


def test_an_issued_key_that_fits_no_header_is_not_sent() -> None:
    came = talk(lambda account: account.try_key(Secret("ng-\n"), Secret(WRONG)))
    assert came.complaint == "GET /v1/models: the issued key holds characters that cannot be sent in a header"
    assert came.script.requests == []


# --- answers to changes that leave open what came of them -------------------------------------------------------------

DONE, UNDONE = key_json(), key_json(credit_limit=4)
READ, TOLD = [f"GET {KEY_PATH}"], [f"PATCH {KEY_PATH}"]


@pytest.mark.parametrize(
    "odd",
    [
        answer(204),
        answer(200),
        answer(202, "OK"),
        answer(200, {"success": True}),
        answer(200, {"error": {"type": "server_error", "message": "no"}}),
        answer(200, UNDONE),
        answer(200, key_json(2)),
        httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b garbage")),
    ],
)
def test_a_patch_whose_answer_is_odd_is_done_when_the_key_says_so(odd: httpx.Response) -> None:
    came = talk(update_key, odd, answer(200, DONE))
    assert (came.result, came.script.calls) == (KEY, TOLD + READ)


@pytest.mark.parametrize(
    "failing", [[httpx.ReadError("")] * 6, [error(503)] * 6, [httpx.ReadError(""), error(409)], [error(408)]]
)
def test_a_patch_whose_answer_is_lost_is_done_when_the_key_says_so(failing: list[Step]) -> None:
    came = talk(update_key, *failing, answer(200, DONE))
    assert (came.result, came.script.calls) == (KEY, TOLD * len(failing) + READ)


def test_a_patch_shows_after_a_while_where_reading_lags() -> None:
    came = talk(update_key, answer(204), answer(200, UNDONE), answer(200, UNDONE), answer(200, DONE))
    assert (came.result, came.time.naps) == (KEY, [0.5, 1.0])


def test_a_patch_that_the_service_did_not_carry_out_is_told_by_its_fields() -> None:
    came = talk(update_key, answer(204), *[answer(200, UNDONE)] * 4)
    assert came.complaint == "the service left key 1 with credit_limit 4 where 5 was asked"


def test_a_patch_of_a_key_that_is_gone_is_told_as_that() -> None:
    came = talk(update_key, answer(204), *[error(404)] * 4)
    assert isinstance(came.raised, RefusedByService)
    assert came.raised.status == 404


@pytest.mark.parametrize("reading", [[answer(200, UNDONE)], [error(403)]])
def test_a_patch_that_failed_and_is_not_done_is_told_as_it_failed(reading: list[Step]) -> None:
    came = talk(update_key, *[error(503, "server_error", "down")] * 6, *reading)
    assert came.complaint == f"PATCH {KEY_PATH}: 503 server_error: down (tried 6 times)"


def test_a_patch_that_cannot_be_checked_is_an_error() -> None:
    came = talk(update_key, answer(204), error(403))
    assert isinstance(came.raised, UnexpectedAnswer)
    assert "what came of it could not be found out" in came.complaint


@pytest.mark.parametrize("odd", [answer(200), answer(200, {"deleted": True}), answer(202), [error(503)] * 6])
def test_a_delete_whose_answer_is_odd_is_done_when_the_key_is_gone(odd: Any) -> None:
    assert talk(delete_key, *(odd if isinstance(odd, list) else [odd]), error(404)).result is True


def test_a_delete_that_says_it_is_done_and_is_not_is_an_error() -> None:
    came = talk(delete_key, error(200), *[answer(200, DONE)] * 4)
    assert isinstance(came.raised, UnexpectedAnswer)
    assert came.complaint == f"DELETE {KEY_PATH}: the service said 200, but key 1 is still there"


# --- lists that lag, or are a part ------------------------------------------------------------------------------------


def listed(*keys: dict[str, Any]) -> httpx.Response:
    return answer(200, {"keys": list(keys)})


async def write_and_read_back(account: Account) -> Snapshot:
    await account.create_key(NewKey("ci/tests", Decimal(5), None))
    await account.update_key(2, {"credit_limit": Decimal(4)})
    await account.delete_key(3)
    return await account.read_back()


WRITTEN = (answer(201, created_json()), answer(200, key_json(2, "b", credit_limit=4)), answer(204))
CREATED, CHANGED, STALE = key_json(), key_json(2, "b", credit_limit=4), key_json(2, "b")


def test_a_list_is_read_again_until_it_shows_what_was_written() -> None:
    lists = [
        listed(CHANGED),
        listed(CREATED, STALE),
        listed(CREATED, CHANGED, key_json(3, "c")),
        listed(CREATED, CHANGED),
    ]
    came = talk(write_and_read_back, *WRITTEN, *lists)
    assert [key.id for key in came.result.keys] == [1, 2]
    assert came.time.naps == [0.2, 0.3, 0.5]


@pytest.mark.parametrize(
    ("list_", "key", "says"),
    [
        (listed(CHANGED), answer(200, CREATED), "it does not show key 1 (ci/tests)"),
        (listed(CREATED, STALE), answer(200, CHANGED), "it does not show key 2 (b)"),
        (
            listed(CREATED, CHANGED, key_json(3, "c")),
            error(404),
            "key 3, which this run deleted, is still in it",
        ),
    ],
)
def test_a_list_that_never_shows_what_was_written_is_an_error(
    list_: httpx.Response, key: httpx.Response, says: str
) -> None:
    looks = len(PAUSES) + 1
    came = talk(write_and_read_back, *WRITTEN, *[list_] * looks, key)
    assert isinstance(came.raised, IncompleteList)
    assert came.complaint.endswith(says)
    assert sum(came.time.naps) == 30


def test_a_list_is_right_about_a_key_that_somebody_else_has_changed_since() -> None:
    looks = len(PAUSES) + 1
    came = talk(write_and_read_back, *WRITTEN, *[listed(STALE)] * looks, error(404), answer(200, STALE))
    assert [key.id for key in came.result.keys] == [2]


def test_a_key_that_was_given_up_and_came_all_the_same_is_deleted() -> None:
    async def do(account: Account) -> Snapshot:
        with suppress(AmbiguousCreate):
            await account.create_key(NewKey("ci/tests", Decimal(5), None))
        assert account.lost(["ci/tests", "other"]) == {"ci/tests"}
        return await account.read_back()

    came = talk(do, httpx.ReadError(""), listed(key_json(1, "ci/tests"), key_json(2, "x")), answer(204))
    assert [key.id for key in came.result.keys] == [2]
    assert came.script.calls[-1] == f"DELETE {KEY_PATH}"


def test_a_list_that_lacks_a_key_which_is_there_is_found_out_by_few_questions() -> None:
    async def do(account: Account) -> None:
        await account.refuse_partial(await account.list_keys(), range(1, 1001))

    came = talk(do, listed(key_json(1000)), *[error(404)] * 19, answer(200, key_json(999)))
    assert isinstance(came.raised, IncompleteList)
    asked = [int(call.rpartition("/")[2]) for call in came.script.calls[1:]]
    assert (len(asked), min(asked), max(asked)) == (20, 1, 999)


@pytest.mark.parametrize("cannot_tell", [error(404), error(405), answer(200, "null")])
def test_a_list_is_taken_for_whole_where_nothing_speaks_against_it(cannot_tell: httpx.Response) -> None:
    async def do(account: Account) -> None:
        await account.refuse_partial(await account.list_keys(), [1, 2])

    assert talk(do, listed(key_json(1)), cannot_tell).raised is None


# --- deleting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "deleted"),
    [
        ([answer(204)], True),
        ([error(404)], False),
        ([httpx.ReadError(""), error(404)], True),
        ([error(500), error(404)], True),
        ([error(500), error(429), error(404)], True),
        ([error(429), error(404)], False),
        ([httpx.ConnectError(""), error(404)], False),
    ],
)
def test_a_key_gone_after_a_lost_answer_was_deleted_by_us(steps: list[Step], *, deleted: bool) -> None:
    assert talk(delete_key, *steps).result is deleted


# --- trying again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", REPEATABLE)
@pytest.mark.parametrize(
    "trouble", [error(429), error(500), error(502), error(503), error(504), httpx.ReadError(""), httpx.ConnectError("")]
)
def test_passing_troubles_are_overcome(do: Any, trouble: Step) -> None:
    came = talk(do, trouble, good(do))
    assert came.raised is None
    assert len(came.script.requests) == 2
    assert len(came.time.naps) >= 1


@pytest.mark.parametrize("do", REPEATABLE)
@pytest.mark.parametrize("status", [400, 402, 422])
def test_a_clear_refusal_is_final(do: Any, status: int) -> None:
    came = talk(do, error(status, "some_error", "because"))
    assert isinstance(came.raised, RefusedByService)
    assert came.raised.status == status
    assert f": {status} some_error: because" in came.complaint


def test_after_six_attempts_the_last_trouble_is_told() -> None:
    came = talk(balance, *[error(500)] * 5, error(503, "server_error", "overloaded"))
    assert came.complaint == "GET /v1/account/balance: 503 server_error: overloaded (tried 6 times)"
    assert came.time.naps == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_after_six_broken_connections_the_cause_is_told() -> None:
    came = talk(balance, *[httpx.ConnectTimeout("")] * 6)
    assert isinstance(came.raised, ConnectionFailed)
    assert came.complaint == ("GET /v1/account/balance: api.naga.ac: no connection within 5 s (tried 6 times)")


def test_retry_after_is_waited_for_in_seconds_and_as_a_date() -> None:
    came = talk(
        balance,
        error(503, Retry_After="7"),
        error(503, Retry_After="Sun, 22 Nov 2026 12:00:11 GMT", Date=DATE),
        error(503, Retry_After="86400"),
        good(balance),
    )
    assert came.time.naps == [7.0, 11.0, 60.0]


def test_a_429_holds_back_every_request_of_the_account() -> None:
    async def do(account: Account) -> None:
        first = asyncio.create_task(account.balance())
        for _ in range(20):  # long enough for the 429 to be there; the pause that it causes is not over before 9 s
            await asyncio.sleep(0)
        await asyncio.gather(first, account.balance(), account.balance())

    came = talk(do, error(429, Retry_After="9"), *[answer(200, {"balance": "1"}) for _ in range(3)])
    assert came.script.sent_at[0] == 1000.0
    assert len(came.script.sent_at) == 4
    assert min(came.script.sent_at[1:]) == 1009.0


def test_429s_may_go_on_for_longer_than_other_troubles() -> None:
    came = talk(balance, *[error(429)] * 11, good(balance))
    assert came.result == Decimal("125.50")


# --- a POST is never repeated blindly ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [error(429), httpx.ConnectError(""), httpx.ConnectTimeout(""), httpx.PoolTimeout(""), httpx.ProxyError("502")],
)
def test_a_create_that_certainly_did_not_happen_is_tried_again(trouble: Step) -> None:
    came = talk(create_key, trouble, answer(201, created_json()))
    assert came.result.secret == Secret(ISSUED)
    bodies = {request.content for request in came.script.requests}
    assert len(came.script.requests) == 2
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (httpx.ReadError(""), "api.naga.ac: the connection broke off"),
        (httpx.ReadTimeout(""), "api.naga.ac: no answer within 30 s"),
        (httpx.WriteError(""), "api.naga.ac: the connection broke off"),
        (httpx.RemoteProtocolError(""), "api.naga.ac: the connection was closed early, or the answer is not HTTP"),
        (error(500), "500 server_error: it hurts"),
        (error(503), "503 server_error: it hurts"),
        (answer(501), "501"),
        (
            answer(303, Location="https://x.test/"),
            "303, a redirect to x.test, which is never followed; check NAGA_BASE_URL",
        ),
        (answer(200, "<html>"), "200: the answer is not JSON"),
        (answer(201), "201: the answer is not JSON"),
        (answer(204), "204: the answer is not JSON"),
        (answer(200, key_json()), "200: the answer: key must be the secret as text, but is missing"),
        (answer(200, created_json(key="")), "200: the answer: key must be the secret, but is no usable text"),
        (answer(200, created_json(id="1")), "200: a key of the answer: id must be an integer, not this text"),
    ],
)
def test_a_create_that_may_have_happened_is_ambiguous(trouble: Step, why: str) -> None:
    came = talk(create_key, trouble)
    assert isinstance(came.raised, AmbiguousCreate)
    assert came.complaint == f"POST /v1/account/keys: {why}; the key may have been created all the same"
    assert len(came.script.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422])
def test_a_create_that_is_refused_did_not_happen(status: int) -> None:
    came = talk(create_key, error(status))
    assert isinstance(came.raised, RefusedByService)
    assert came.raised.status == status


def test_a_create_that_is_never_let_in_did_not_happen() -> None:
    came = talk(create_key, *[error(429)] * 12)
    assert isinstance(came.raised, RefusedByService)
    assert came.raised.status == 429


def test_a_create_that_never_got_a_connection_did_not_happen() -> None:
    assert isinstance(talk(create_key, *[httpx.ConnectError("")] * 6).raised, ConnectionFailed)


# --- answers nobody promised ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", [list_keys, get_key, balance])
def test_a_success_that_is_not_what_was_promised_is_named_but_not_quoted(do: Any) -> None:
    came = talk(do, answer(200, "hunter2"))
    assert isinstance(came.raised, UnexpectedAnswer)
    assert came.complaint == f"{came.script.calls[0]}: 200: the answer is not JSON"


def test_a_wrong_field_is_told_with_the_request() -> None:
    came = talk(list_keys, answer(200, {"keys": [key_json(7, is_enabled="yes")]}))
    assert came.complaint == "GET /v1/account/keys: 200: key 7: is_enabled must be true or false, not this text"


def test_a_redirect_is_not_followed() -> None:
    came = talk(list_keys, answer(307, Location="https://evil.example/keys?token=hunter2"))
    assert isinstance(came.raised, UnexpectedAnswer)
    assert "evil.example" in came.complaint
    assert "hunter2" not in came.complaint
    assert len(came.script.requests) == 1


def test_an_answer_that_cannot_be_decompressed_is_unexpected() -> None:
    garbled = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b garbage"))
    assert talk(list_keys, garbled).complaint == "GET /v1/account/keys: 200: the answer cannot be decompressed"


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_every_attempt_is_logged_in_one_line_without_headers_or_bodies(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="reconciler.http")
    talk(create_key, error(429), httpx.ConnectError(""), answer(201, created_json()))
    lines = [record for record in caplog.records if record.name == "reconciler.http"]
    assert [line.getMessage() for line in lines] == [
        "POST /v1/account/keys: 429 in 0 ms",
        "POST /v1/account/keys: no connection in 0 ms",
        "POST /v1/account/keys: 201 in 0 ms",
    ]
    assert [line.levelno for line in lines] == [logging.INFO, logging.INFO, logging.DEBUG]


@pytest.mark.parametrize("key", ["ng-\n", "ng- x", "ng-\x00", "ng-ä"])
def test_a_credential_that_fits_no_header_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(Secret(key), transport=Script([]))
    assert str(caught.value).startswith("NAGA_PROVISIONING_KEY holds a space")
    assert key not in str(caught.value)


def test_a_base_url_that_would_leak_the_credential_is_refused() -> None:
    with pytest.raises(UsageError, match="unencrypted"):
        connect(Secret(CREDENTIAL), base_url="http://api.naga.ac/v1")


def test_a_transport_takes_any_base_url_and_is_closed_with_the_account() -> None:
    script = Script([answer(200, {"balance": "1"})])

    async def run() -> Decimal:
        async with connect(Secret(CREDENTIAL), base_url="http://simulator/v1/", transport=script) as account:
            return await account.balance()

    assert asyncio.run(run()) == 1
    assert str(script.requests[0].url) == "http://simulator/v1/account/balance"
    assert script.closed == 1


@pytest.mark.parametrize("parallelism", [1, 3])
def test_no_more_requests_run_at_a_time_than_asked_for(parallelism: int) -> None:
    running = most = 0

    class Busy(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return httpx.Response(200, json={"balance": "1"}, request=request)

    async def run() -> None:
        async with connect(Secret(CREDENTIAL), transport=Busy(), parallelism=parallelism) as account:
            await asyncio.gather(*(account.balance() for _ in range(10)))

    asyncio.run(run())
    assert most == parallelism


def test_a_run_that_is_cancelled_leaves_the_account_usable() -> None:
    async def do(account: Account) -> Decimal:
        first = asyncio.create_task(account.balance())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await account.balance()

    assert talk(do, *[good(balance)] * 2, parallelism=1, time=FakeTime()).result == Decimal("125.50")


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (error(503, Retry_After="7"), ["GET /v1/account/balance did not succeed yet (503): trying again in 7 s."]),
        (error(429, Retry_After="30"), ["The service asks to be left alone (429): all requests wait for 30 s."]),
        (error(503), []),
    ],
)
def test_who_watches_is_told_of_a_long_wait_without_asking(
    caplog: pytest.LogCaptureFixture, trouble: httpx.Response, expected: list[str]
) -> None:
    talk(balance, trouble, good(balance))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == expected
