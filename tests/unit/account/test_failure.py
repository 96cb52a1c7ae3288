"""What people read when a request fails: one harmless line that says what to do."""

from __future__ import annotations

import pytest

from reconciler.account.client import failure
from reconciler.errors import ConnectionFailed, RefusedByService, UnexpectedAnswer
from reconciler.http.exchange import Answer, NoAnswer, Request
from reconciler.secret import Secret
from support.account import CREDENTIAL, ISSUED

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


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "; NAGA_PROVISIONING_KEY must hold a provisioning key of the account, not an inference key"),
        (402, "; the account is out of credits"),
        (403, "; this provisioning key may not do that, or a proxy in between filters the request"),
        (429, "; the service wants fewer requests: lower --parallelism, or try again later"),
    ],
)
def test_an_error_that_people_can_do_something_about_says_what(status: int, advice: str) -> None:
    assert says(status, b'{"error": {"type": "t", "message": "m"}}').endswith(f"{status} t: m{advice}")


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
    error = failure(POST, Answer(302, b"secret", location=location), 1, ())
    assert isinstance(error, UnexpectedAnswer)
    assert str(error).endswith(f": 302, a redirect{target}, which is never followed; check NAGA_BASE_URL")


def test_a_success_that_cannot_be_used_is_never_quoted() -> None:
    assert says(200, ISSUED.encode(), spoilt="the answer cannot be decompressed").endswith(
        ": 200: the answer cannot be decompressed"
    )
    assert says(199).endswith(": 199: no answer to this request")
