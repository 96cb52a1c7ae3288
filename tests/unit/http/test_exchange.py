"""What can become of one request, as values."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.http.connection import open_connections
from reconciler.http.exchange import LARGEST_ANSWER, Answer, NoAnswer, Request, Timeouts, exchange
from reconciler.secret import Secret
from support.account import CREDENTIAL, DATE, Script, Step, answer
from support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUTS = Timeouts()
GET = Request("GET", "https://naga.test/v1/x", "/v1/x", Secret(CREDENTIAL))
POST = Request("POST", "https://naga.test/v1/x", "/v1/x", Secret(CREDENTIAL), b"{}")


def comes_of(step: Step, request: Request = GET, most: int = LARGEST_ANSWER) -> Answer | NoAnswer:
    async def run() -> Answer | NoAnswer:
        return await exchange(open_connections(request.url, Script([step])), request, TIMEOUTS, most)

    return asyncio.run(run())


def caused_by(reason: BaseException) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = reason
    return error


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def test_an_answer_keeps_what_matters_and_shows_no_body() -> None:
    came = comes_of(answer(200, b"body", Date=DATE, Retry_After="5", Location="https://x.test/"))
    assert isinstance(came, Answer)
    assert (came.status, came.body, came.date, came.location) == (200, b"body", NOW, "https://x.test/")
    assert came.retry_after(NOW) == 5.0
    assert came.ok
    assert "body" not in repr(came)


@pytest.mark.parametrize(
    ("status", "link", "goes_on"),
    [
        (200, '<https://naga.test/v1/x?page=2>; rel="next"', True),
        (200, "<https://naga.test/v1/x?page=1>; rel=prev, <https://naga.test/v1/x?page=3>; REL = next", True),
        (206, "", True),
        (200, '<https://naga.test/docs>; rel="help"', False),
        (200, "", False),
    ],
)
def test_a_header_or_a_status_may_say_that_there_is_more(status: int, link: str, *, goes_on: bool) -> None:
    came = comes_of(answer(status, b"{}", Link=link))
    assert isinstance(came, Answer)
    assert bool(came.goes_on) == goes_on


def test_a_request_shows_neither_credential_nor_body() -> None:
    assert CREDENTIAL not in repr(POST)
    assert "{}" not in repr(POST)
    assert str(POST) == "POST /v1/x"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectTimeout(""), NoAnswer("no connection within 5 s", sent=False)),
        (httpx.PoolTimeout(""), NoAnswer("no connection within 5 s", sent=False)),
        (httpx.ProxyError("407 Proxy Authentication Required"), NoAnswer("the proxy answered 407", sent=False)),
        (httpx.ProxyError("\x1b[31m"), NoAnswer("the proxy refused", sent=False)),
        (httpx.ReadTimeout(""), NoAnswer("no answer within 30 s", sent=True)),
        (httpx.WriteTimeout(""), NoAnswer("the request could not be sent within 30 s", sent=True)),
        (TimeoutError(), NoAnswer("no complete answer within 120 s", sent=True)),
        (
            httpx.RemoteProtocolError("illegal chunk header: secret"),
            NoAnswer("the connection was closed early, or the answer is not HTTP", sent=True),
        ),
        (httpx.ReadError(""), NoAnswer("the connection broke off", sent=True)),
        (ssl.SSLError(1, "alert"), NoAnswer("the connection broke off", sent=True)),
        (httpx.ConnectError("?"), NoAnswer("no connection", sent=False)),
        (caused_by(ConnectionRefusedError(111, "refused")), NoAnswer("connection refused", sent=False)),
        (
            caused_by(ExceptionGroup("both", [OSError(), ConnectionRefusedError(111, "refused")])),
            NoAnswer("connection refused", sent=False),
        ),
        (caused_by(OSError(113, "No route to host")), NoAnswer("no route to host", sent=False)),
        (
            caused_by(OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 101] x")),
            NoAnswer("connection refused", sent=False),
        ),
        (caused_by(socket.gaierror(-2, "Name")), NoAnswer("the host name cannot be resolved", sent=False)),
        (caused_by(ssl.SSLError()), NoAnswer("no TLS connection (it was closed)", sent=False)),
    ],
)
def test_every_trouble_of_the_network_has_a_cause_and_says_whether_something_was_sent(
    error: Exception, expected: NoAnswer
) -> None:
    assert comes_of(error) == expected


def test_a_certificate_that_is_not_trusted_says_what_to_do_and_is_final() -> None:
    came = comes_of(caused_by(untrusted()))
    assert isinstance(came, NoAnswer)
    assert came.cause == "its certificate is not trusted (self-signed certificate)"
    assert "SSL_CERT_FILE" in came.words()
    assert "VAULT_CACERT" in came.words("VAULT_CACERT")
    assert came.lasting
    assert not came.sent


def coded(coding: str, *chunks: bytes, status: int = 200, most: int = LARGEST_ANSWER) -> Answer:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    came = comes_of(httpx.Response(status, headers={"Content-Encoding": coding}, content=stream()), most=most)
    assert isinstance(came, Answer)
    return came


PACKED = gzip.compress(b"{" + b" " * 3_000 + b"}", mtime=0)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("coding", ["gzip", " GZIP ", "x-gzip"])
def test_the_one_coding_that_is_asked_for_is_taken_as_it_comes(coding: str, size: int) -> None:
    chunks = [PACKED[at : at + size] for at in range(0, len(PACKED), size)]
    came = coded(coding, *chunks)
    assert (came.body, came.spoilt) == (b"{" + b" " * 3_000 + b"}", None)


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", b"\x1f\x8b not gzip at all"),
        ("gzip", PACKED[:-9]),
        ("gzip", b""),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0)),
        ("br", b"{}"),
        ("zstd", b"{}"),
        ("deflate", b"{}"),
        (f"x {CREDENTIAL}", b"{}"),
    ],
)
def test_an_answer_that_cannot_be_decoded_keeps_its_status(coding: str, content: bytes) -> None:
    came = coded(coding, content)
    assert (came.status, came.body) == (200, b"")
    assert came.spoilt is not None
    assert CREDENTIAL not in came.spoilt


def test_what_unpacks_to_too_much_is_unpacked_no_further() -> None:
    assert coded("gzip", PACKED, most=1000).spoilt == "the answer is larger than 0 MiB"
    # What unpacks to nothing counts too.
    assert coded("gzip", *[gzip.compress(b"")[:10]], *[b"\0\0\0\xff\xff"] * 400, most=1000).spoilt is not None


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_of_a_complaint_only_the_beginning_is_read(coding: str) -> None:
    said = b"x" * 200_000
    came = coded(coding, said if coding == "identity" else gzip.compress(said), status=503)
    assert (len(came.body), came.spoilt) == (64 * 1024, None)
    assert coded(coding, said[:9] if coding == "identity" else gzip.compress(said[:9]), status=503).body == said[:9]


@pytest.mark.parametrize(("size", "spoilt"), [(1000, None), (1001, "the answer is larger than 0 MiB")])
def test_an_answer_that_is_too_large_is_not_kept(size: int, spoilt: str | None) -> None:
    came = comes_of(answer(200, b"x" * size), most=1000)
    assert isinstance(came, Answer)
    assert came.spoilt == spoilt
    assert len(came.body) == (0 if spoilt else size)


def test_a_transport_that_breaks_off_in_mid_answer_is_a_broken_connection() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"{"
        msg = "gone"
        raise httpx.ReadError(msg)

    assert comes_of(httpx.Response(200, content=stream())) == NoAnswer("the connection broke off", sent=True)


def test_a_defect_of_ours_is_no_network_trouble() -> None:
    with pytest.raises(ZeroDivisionError):
        comes_of(ZeroDivisionError())
