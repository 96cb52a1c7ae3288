"""One exchange over real sockets: whatever the other side does, it is told whether the request may have arrived."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import struct
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from reconciler.errors import UsageError
from reconciler.http import connection
from reconciler.http.connection import open_connections
from reconciler.http.exchange import Answer, NoAnswer, Request, Timeouts, exchange
from reconciler.secret import Secret
from support.account import CREDENTIAL
from support.raw_server import connect_proxy, hang, http, raw_server, reset, say, say_and_close

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.raw_server import RawServer, Turn

PATIENT = Timeouts(connect=20.0, read=20.0, whole=30.0)
HUGE = b" " * 5_000_000
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"
WAYS = ["plain", "TLS", "TLS through a proxy", "TLS through a proxy over TLS"]

Outcome = Answer | NoAnswer


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


class Line:
    """The ways to a server that takes turns, as an environment may have them."""

    def __init__(self, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
        self.authority = authority
        self.monkeypatch = monkeypatch

    @asynccontextmanager
    async def to(self, way: str, *turns: Turn) -> AsyncIterator[tuple[RawServer, str]]:
        """Give a server, and the URL that leads to it."""
        async with AsyncExitStack() as stack:
            tls = None if way == "plain" else certified(self.authority)
            server = await stack.enter_async_context(raw_server(*turns, tls=tls))
            if "proxy" in way:
                over = certified(self.authority) if way.endswith("over TLS") else None
                proxy = await stack.enter_async_context(connect_proxy(server.port, tls=over))
                url = f"{'https' if over else 'http'}://user:p%40ss@localhost:{proxy.port}"
                self.monkeypatch.setenv("HTTPS_PROXY", url)
            yield server, f"{'https' if tls else 'http'}://localhost:{server.port}/v1/x"

    def sends(
        self,
        *turns: Turn,
        way: str = "plain",
        bodies: tuple[bytes | None, ...] = (b"{}",),
        timeouts: Timeouts = PATIENT,
    ) -> tuple[list[Outcome], RawServer]:
        """Send requests one after the other; gives what came of them, and the server."""

        async def run() -> tuple[list[Outcome], RawServer]:
            async with self.to(way, *turns) as (server, url):
                connections = open_connections(url)
                try:
                    return [await exchange(connections, asked(url, body), timeouts) for body in bodies], server
                finally:
                    await connections.aclose()

        return asyncio.run(run())


@pytest.fixture
def line(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(authority, monkeypatch)


async def grumble(writer: asyncio.StreamWriter) -> bool:
    """Answer, and say a moment later that nothing has been asked for too long, as servers do before they hang up."""
    writer.write(http(200))
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    await writer.drain()
    return True


def asked(url: str, body: bytes | None = b"{}") -> Request:
    return Request("GET" if body is None else "POST", url, "/v1/x", Secret(CREDENTIAL), body)


def one(outcomes: tuple[list[Outcome], RawServer]) -> Outcome:
    ((outcome,), _) = outcomes
    return outcome


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_every_way_leads_there_and_back_over_one_connection(line: Line, way: str, size: int) -> None:
    body, packed = HUGE[:size], gzip.compress(HUGE[:size], 1)
    turns = [say(http(200, body)), say(http(201, packed, "Content-Encoding: gzip"))]
    (plain, coded), server = line.sends(*turns, way=way, bodies=(HUGE[:size], None))
    assert isinstance(plain, Answer)
    assert isinstance(coded, Answer)
    assert (plain.status, plain.body, coded.status, coded.body) == (200, body, 201, body)
    assert server.connections == 1
    assert server.requests[0].endswith(b"\r\n\r\n" + body)
    assert f"Authorization: Bearer {CREDENTIAL}".encode() in server.requests[1]
    assert b"Content-Length" not in server.requests[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("turn", "cause"),
    [
        (say_and_close(b""), "closed early"),
        (say_and_close(BEGUN), "closed early"),
        (say_and_close(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "not HTTP"),
        (say_and_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "not HTTP"),
        (reset(), ""),
        (reset(BEGUN), ""),
    ],
    ids=["closed", "cut", "junk", "bad chunks", "reset", "reset in mid-answer"],
)
def test_what_breaks_off_may_have_arrived(line: Line, way: str, turn: Turn, cause: str) -> None:
    came = one(line.sends(turn, way=way))
    assert isinstance(came, NoAnswer)
    assert cause in came.cause
    assert (came.sent, came.lasting) == (True, False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [b"", BEGUN], ids=["silent", "silent in mid-answer"])
def test_who_falls_silent_may_have_got_it(line: Line, way: str, said: bytes) -> None:
    came = one(line.sends(hang(said), way=way, timeouts=Timeouts(connect=20.0, read=0.2, whole=20.0)))
    assert came == NoAnswer("no answer within 0.2 s", sent=True)


@pytest.mark.parametrize("way", ["plain", "TLS"])
def test_an_answer_that_takes_too_long_as_a_whole_is_given_up(line: Line, way: str) -> None:
    came = one(line.sends(hang(BEGUN), way=way, timeouts=Timeouts(connect=20.0, read=20.0, whole=0.5)))
    assert came == NoAnswer("no complete answer within 0.5 s", sent=True)


def listening(greet: Callable[[socket.socket], None], timeouts: Timeouts, scheme: str, body: bytes) -> Outcome:
    """Send a request to a socket that says something at once, and reads nothing."""

    async def run() -> Outcome:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/v1/x"
            connections = open_connections(url)
            sending = asyncio.create_task(exchange(connections, asked(url, body), timeouts))
            peer, _ = await asyncio.to_thread(server.accept)
            greet(peer)
            try:
                return await sending
            finally:
                peer.close()
                await connections.aclose()

    return asyncio.run(run())


def test_a_request_that_nobody_reads_may_have_arrived_in_part() -> None:
    came = listening(lambda _: None, Timeouts(connect=20.0, read=0.3), "http", HUGE * 4)
    assert came == NoAnswer("the request could not be sent within 0.3 s", sent=True)


def test_a_handshake_that_does_not_end_has_sent_nothing() -> None:
    came = listening(lambda _: None, Timeouts(connect=0.3), "https", b"{}")
    assert came == NoAnswer("no connection within 0.3 s", sent=False)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["plain HTTP", "hung up"])
def test_who_speaks_no_tls_has_got_nothing(said: bytes) -> None:
    def greet(peer: socket.socket) -> None:
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)

    came = listening(greet, PATIENT, "https", b"{}")
    assert isinstance(came, NoAnswer)
    assert came.cause.startswith("no TLS connection (")
    assert (came.sent, came.lasting) == (False, False)


def test_a_connection_that_is_reset_in_the_handshake_has_sent_nothing() -> None:
    def greet(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    assert listening(greet, PATIENT, "https", b"{}") == NoAnswer("connection reset by peer", sent=False)


def test_who_is_cancelled_in_the_handshake_hangs_up() -> None:
    async def run() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"https://127.0.0.1:{server.getsockname()[1]}/v1/x"
            sending = asyncio.create_task(exchange(open_connections(url), asked(url), PATIENT))
            peer, _ = await asyncio.to_thread(server.accept)
            with peer:
                await asyncio.to_thread(peer.recv, 1)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                rest = await asyncio.to_thread(peer.recv, 65536)
                return rest and await asyncio.to_thread(peer.recv, 65536)

    assert asyncio.run(run()) == b""


def test_a_connection_that_does_not_come_about_in_time_has_sent_nothing(line: Line) -> None:
    came = one(line.sends(timeouts=Timeouts(connect=0.0)))
    assert came == NoAnswer("no connection within 0 s", sent=False)


async def garble(writer: asyncio.StreamWriter) -> bool:
    """Say something below TLS that no key fits."""
    os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    return await hang()(writer)


def test_what_cannot_be_decrypted_may_have_arrived(line: Line) -> None:
    assert one(line.sends(garble, way="TLS")) == NoAnswer("the connection broke off", sent=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_where_nobody_listens_nothing_is_sent(host: str, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"{scheme}://{host}:{port}/v1"

    async def run() -> Outcome:
        return await exchange(open_connections(url), asked(url), PATIENT)

    came = asyncio.run(run())
    assert isinstance(came, NoAnswer)
    assert came.cause in {"connection refused", "cannot assign requested address"}  # where there is no IPv6
    assert (came.sent, came.lasting) == (False, False)


def test_a_name_that_nobody_has_gets_nothing() -> None:
    async def run() -> Outcome:
        url = "http://naga.invalid/v1"
        return await exchange(open_connections(url), asked(url), PATIENT)

    assert asyncio.run(run()) == NoAnswer("the host name cannot be resolved", sent=False)


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_certificate_that_is_not_trusted_gets_nothing_ever(line: Line, way: str) -> None:
    line.monkeypatch.delenv("SSL_CERT_FILE")
    came = one(line.sends(way=way))
    assert isinstance(came, NoAnswer)
    assert came.cause.startswith("its certificate is not trusted (")
    assert (came.sent, came.lasting) == (False, True)


def test_a_server_that_wants_another_client_may_have_got_it(authority: trustme.CA) -> None:
    tls = certified(authority)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED

    async def run() -> Outcome:
        async with raw_server(tls=tls) as server:
            url = f"https://localhost:{server.port}/v1/x"
            connections = open_connections(url)
            try:
                return await exchange(connections, asked(url), PATIENT)
            finally:
                await connections.aclose()

    # In TLS 1.3 the client is done before the server has looked at its certificate.
    came = asyncio.run(run())
    assert isinstance(came, NoAnswer)
    assert came.sent


@pytest.mark.parametrize("refusal", [http(407), http(502), b"HTTP/1.1 \xff"], ids=["407", "502", "junk"])
def test_a_proxy_that_refuses_passes_nothing_on(monkeypatch: pytest.MonkeyPatch, refusal: bytes) -> None:
    async def run() -> tuple[Outcome, list[bytes]]:
        async with connect_proxy(0, refusal) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
            connections = open_connections("https://naga.test/v1")
            try:
                return await exchange(connections, asked("https://naga.test/v1"), PATIENT), proxy.asked
            finally:
                await connections.aclose()

    came, said = asyncio.run(run())
    assert isinstance(came, NoAnswer)
    # Junk from a proxy can't be told from junk of the server: said to be sent rather than not.
    assert came.sent is (refusal[9:10] == b"\xff")
    assert "hunter2" not in came.cause
    assert CREDENTIAL.encode() not in said[0]
    assert b"Proxy-Authorization: Basic" in said[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("between", [say_and_close(http(200)), grumble], ids=["closed", "grumbled"])
def test_a_connection_that_ended_between_two_requests_is_not_used_again(line: Line, way: str, between: Turn) -> None:
    async def run() -> tuple[list[Outcome], int]:
        over = asyncio.Event()

        async def then(writer: asyncio.StreamWriter) -> bool:
            stays = await between(writer)
            over.set()
            return stays

        async with line.to(way, then, say(http(201))) as (server, url):
            connections = open_connections(url)
            try:
                first = await exchange(connections, asked(url), PATIENT)
                await over.wait()
                await asyncio.sleep(0.1)  # until it is there, through a proxy too
                return [first, await exchange(connections, asked(url), PATIENT)], server.connections
            finally:
                await connections.aclose()

    outcomes, connections = asyncio.run(run())
    assert [isinstance(each, Answer) and each.status for each in outcomes] == [200, 201]
    assert connections == 2


def test_a_connection_that_rested_for_long_is_not_used_again(line: Line) -> None:
    line.monkeypatch.setattr(connection, "KEEP_ALIVE", -1.0)
    _, server = line.sends(say(http(200)), say(http(200)), bodies=(b"", b""))
    assert server.connections == 2


@pytest.mark.parametrize("way", WAYS)
def test_who_is_cancelled_leaves_a_connection_that_nobody_takes_for_his(line: Line, way: str) -> None:
    async def run() -> Outcome:
        async with line.to(way, hang(), say(http(204))) as (server, url):
            connections = open_connections(url)
            try:
                sending = asyncio.create_task(exchange(connections, asked(url), PATIENT))
                while not server.requests:  # noqa: ASYNC110  # the server tells nobody
                    await asyncio.sleep(0.001)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                return await exchange(connections, asked(url), PATIENT)
            finally:
                await connections.aclose()

    came = asyncio.run(run())
    assert isinstance(came, Answer)
    assert came.status == 204


@pytest.mark.parametrize(("no_proxy", "asked_it"), [("", True), ("localhost", False), ("*", False), ("example", True)])
def test_no_proxy_says_who_is_reached_without_one(line: Line, no_proxy: str, *, asked_it: bool) -> None:
    line.monkeypatch.setenv("NO_PROXY", no_proxy)

    async def run() -> int:
        async with line.to("TLS", say(http(200))) as (server, url), connect_proxy(server.port) as proxy:
            line.monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
            connections = open_connections(url)
            try:
                assert isinstance(await exchange(connections, asked(url), PATIENT), Answer)
            finally:
                await connections.aclose()
            return len(proxy.asked)

    assert asyncio.run(run()) == asked_it


def test_a_socks_proxy_needs_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hunter2@127.0.0.1:9")
    with pytest.raises(UsageError) as caught:
        open_connections("https://naga.test/v1")
    assert "hunter2" not in str(caught.value)
