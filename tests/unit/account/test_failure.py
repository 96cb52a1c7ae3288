"""What people read when a request fails: one harmless line that says what to do."""

from __future__ import annotations

import pytest

from reconciler.account.client import failure
from reconciler.errors import ConnectionFailed, RefusedByService, UnexpectedAnswer
from reconciler.http.exchange import Answer, NoAnswer, Request
from reconciler.secret import Secret
from support.account import CREDENTIAL, DATE, ISSUED

KEY = Secret(CREDENTIAL)
POST = Request("POST", "https://api.naga.ac/v1/account/keys", "/v1/account/keys", KEY, b"{}")


def says(status: int, body: bytes = b"", attempts: int = 1, **fields: str) -> str:
    return str(failure(POST, Answer(status, body, **fields), attempts, (KEY,)))  # type: ignore[arg-type]  # only texts


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            b'{"error": {"type": "invalid_request_error", "message": "name is too long"}}',
            "400 invalid_request_error: name is too long",
        ),
        (400, b'{"error": {"type": "invalid_request_error"}}', "400 invalid_request_error"),
        (400, b'{"error": {"type": 5, "message": "name is too long"}}', "400 name is too long"),
        (422, b'{"detail": [{"loc": ["name"]}]}', '422 {"detail": [{"loc": ["name"]}]}'),
        (422, b'{"detail": "Not so"}', "422 Not so"),
        (422, b'{"detail": ""}', '422 {"detail": ""}'),
        (422, b'{"detail": {"a": 1}}', '422 {"detail": {"a": 1}}'),
        (
            422,
            (
                b'{"detail": [{"type": "x", "loc": ["body", "name"], "msg": "Field required", "input": {"k": "v"}}, 5,'
                b' {"loc": ["query", "days", 0, null], "msg": "too large"}, {"loc": "x", "msg": "odd"}]}'
            ),
            "422 name: Field required; query.days.0: too large; odd",
        ),
        (400, b'{"error": "no"}', '400 {"error": "no"}'),
        (400, b'{"error": {"code": 5}}', '400 {"error": {"code": 5}}'),
        (400, b"[1]", "400 [1]"),
        (500, b"", "500"),
        (502, b"<html>\r\n <body>\tBad\n\nGateway</body>\n", "502 <html> <body> Bad Gateway</body>"),
        (500, b"\xff\xfe", "500 \ufffd\ufffd"),
        (500, b"[" * 100_000, "500 " + "[" * 299 + "…"),
    ],
)
def test_an_error_says_method_path_status_and_what_the_service_said(status: int, body: bytes, expected: str) -> None:
    assert says(status, body) == f"POST /v1/account/keys: {expected}"


DOCUMENTED = b'{"error": {"type": "t", "message": "m"}}'
EXPIRY = b'{"error": {"type": "t", "message": "expires_at must be in the future"}}'


def hint(status: int, body: bytes = DOCUMENTED, path: str = "/v1/account/keys", **fields: object) -> str:
    request = Request("POST", f"https://api.naga.ac{path}", path, KEY, b'{"expires_at": "2027-01-01T00:00:00Z"}')
    return str(failure(request, Answer(status, body, **fields), 1, (KEY,))).partition("; ")[2]  # type: ignore[arg-type]  # what a test gives


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (401, DOCUMENTED, "https://naga.ac/dashboard/provisioning-keys"),
        (401, b"", "https://naga.ac/dashboard/provisioning-keys"),
        (401, DOCUMENTED, "NAGA_PROVISIONING_KEY"),
        (403, b'{"error": {"type": "invalid_provisioning_key", "message": "m"}}', "dashboard/provisioning-keys"),
        (402, DOCUMENTED, "credits"),
        (403, DOCUMENTED, "provisioning key"),
        (403, b"<html>", "proxy"),
        (429, DOCUMENTED, "--parallelism"),
        (404, DOCUMENTED, "NAGA_BASE_URL"),
        (400, EXPIRY, "clock"),
        (422, b"", "clock"),
    ],
)
def test_an_error_that_people_can_do_something_about_says_what(status: int, body: bytes, word: str) -> None:
    assert word in hint(status, body)


def test_a_hint_is_given_where_it_helps_only() -> None:
    assert "proxy" not in hint(403, DOCUMENTED)
    assert hint(400, EXPIRY, headers={"date": DATE}) == ""
    assert hint(400, DOCUMENTED) == ""
    assert hint(500, EXPIRY) == ""
    assert hint(404, path="/v1/account/keys/12") == ""
    for path in ("/account/keys", "/account/activity?days=30", "/models"):
        assert "/v1" in hint(404, path=path).partition(";")[0]
        assert "/v1" not in hint(404, path=f"/v1{path}").partition(";")[0].replace("api.naga.ac/v1", "")
    assert "{variable}" not in hint(401)


def test_an_error_keeps_its_status_and_tells_how_often_it_was_tried() -> None:
    error = failure(POST, Answer(503), 6, ())
    assert isinstance(error, RefusedByService)
    assert error.status == 503
    assert str(error) == "POST /v1/account/keys: 503 (tried 6 times)"


def test_no_answer_names_the_host_and_the_cause() -> None:
    error = failure(POST, NoAnswer("connection refused", sent=False), 6, ())
    assert isinstance(error, ConnectionFailed)
    assert str(error) == "POST /v1/account/keys: api.naga.ac: connection refused (tried 6 times)"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://evil.example/steal?key=1", " to evil.example"),
        ("/elsewhere", ""),
        (None, ""),
        ("http://[", ""),
    ],
)
def test_a_redirect_names_the_host_it_wanted_and_no_more(location: str | None, target: str) -> None:
    error = failure(POST, Answer(302, b"secret", {"location": location} if location else {}), 1, ())
    assert isinstance(error, UnexpectedAnswer)
    assert str(error).endswith(f": 302, a redirect{target}, which is never followed; check NAGA_BASE_URL")


def test_a_success_that_cannot_be_used_is_never_quoted() -> None:
    assert says(200, ISSUED.encode(), spoilt="the answer cannot be decompressed").endswith(
        ": 200: the answer cannot be decompressed"
    )
    assert says(199).endswith(": 199: no answer to this request")
