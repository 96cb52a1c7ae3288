"""The account client on real sockets: connections, TLS, proxies, and servers that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from reconciler.account.client import Account, connect
from reconciler.errors import AccountError, AmbiguousCreate, ConnectionFailed, UnexpectedAnswer
from reconciler.http.exchange import Timeouts
from reconciler.http.retry import RetryPolicy
from reconciler.model import NewKey
from reconciler.secret import Secret
from support.account import CREDENTIAL, ISSUED, FakeTime, created_json, key_json
from support.raw_server import (
    RawServer,
    connect_proxy,
    hang,
    http,
    raw_server,
    reset,
    say,
    say_and_close,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.raw_server import Turn

QUICK = Timeouts(connect=2.0, read=0.3, whole=2.0)
PATIENT = Timeouts(connect=5.0, read=5.0, whole=10.0)
BALANCE = http(200, b'{"balance": "125.50"}')
ONCE = RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


def tls_for(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def account_at(base_url: str, **options: Any) -> Account:
    values = {"timeouts": PATIENT, "timing": FakeTime().timing, **options}
    return connect(Secret(CREDENTIAL), base_url=base_url, **values)


def create(account: Account) -> Awaitable[Any]:
    return account.create_key(NewKey("ci/tests", None, None))


def against(
    do: Callable[[Account], Awaitable[Any]],
    *turns: Turn,
    timeouts: Timeouts = PATIENT,
    retry: RetryPolicy | None = None,
) -> tuple[Any, RawServer]:
    """Do something against a plain server on this machine; gives the result, or what was raised, and the server."""

    async def run() -> tuple[Any, RawServer]:
        async with raw_server(*turns) as server:
            base_url = f"http://127.0.0.1:{server.port}/v1"
            async with account_at(base_url, timeouts=timeouts, retry=retry or RetryPolicy()) as account:
                try:
                    return await do(account), server
                except AccountError as error:
                    return error, server

    return asyncio.run(run())


def test_a_connection_is_used_again() -> None:
    async def do(account: Account) -> list[str]:
        return [str(await account.balance()) for _ in range(3)]

    result, server = against(do, *[say(BALANCE)] * 3)
    assert result == ["125.50"] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /v1/account/balance HTTP/1.1\r\n")
    assert f"Authorization: Bearer {CREDENTIAL}".encode() in server.requests[0]


def test_requests_that_run_at_the_same_time_have_a_connection_each_and_keep_it() -> None:
    async def do(account: Account) -> None:
        for _ in range(2):
            await asyncio.gather(*(account.balance() for _ in range(4)))

    _, server = against(do, *[say(BALANCE)] * 8)
    assert len(server.requests) == 8
    assert server.connections <= 4


def test_a_connection_that_the_server_closed_in_between_is_replaced_even_for_a_create() -> None:
    async def run() -> tuple[Any, RawServer]:
        async with (
            raw_server(say_and_close(BALANCE), say(http(201, json.dumps(created_json()).encode()))) as server,
            account_at(f"http://127.0.0.1:{server.port}/v1") as account,
        ):
            await account.balance()
            await server.closed.wait()
            return await create(account), server

    created, server = asyncio.run(run())
    assert created.secret == Secret(ISSUED)
    assert server.connections == 2


@pytest.mark.parametrize(
    "trouble",
    [
        reset(),
        reset(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
        say_and_close(b""),
        say_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
        say_and_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhunter2"),
        say_and_close(b"SSH-2.0-OpenSSH_9.2\r\n"),
        say_and_close(b"\x00\xff" * 100),
    ],
    ids=["reset", "reset in mid-answer", "closed", "closed in mid-answer", "bad chunks", "another protocol", "noise"],
)
class TestAServerThatBreaksOff:
    def test_a_read_is_repeated(self, trouble: Turn) -> None:
        result, server = against(lambda account: account.balance(), trouble, say(BALANCE))
        assert str(result) == "125.50"
        assert len(server.requests) == 2

    def test_a_create_is_not(self, trouble: Turn) -> None:
        result, server = against(create, trouble, say(BALANCE))
        assert isinstance(result, AmbiguousCreate)
        assert "hunter2" not in str(result)
        assert len(server.requests) == 1


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
def test_a_server_that_falls_silent_is_given_up(said: bytes) -> None:
    # More than one answer, since one that takes longer than the limit is given up like no answer.
    result, server = against(lambda account: account.balance(), hang(said), *[say(BALANCE)] * 5, timeouts=QUICK)
    assert str(result) == "125.50"
    assert server.connections >= 2


def test_a_create_whose_answer_does_not_come_is_ambiguous() -> None:
    result, _ = against(create, hang(), timeouts=QUICK)
    assert isinstance(result, AmbiguousCreate)
    assert "no answer within 0.3 s" in str(result)


def test_an_answer_that_drips_for_ever_is_given_up_too() -> None:
    async def drip(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)
        return False

    timeouts = Timeouts(connect=2.0, read=2.0, whole=0.05)
    result, _ = against(lambda account: account.balance(), drip, timeouts=timeouts, retry=ONCE)
    assert isinstance(result, ConnectionFailed)
    assert "no complete answer within 0.05 s" in str(result)


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(json.dumps({"keys": [key_json()]}).encode())
    snapshot, _ = against(lambda account: account.list_keys(), say(http(200, body, "Content-Encoding: gzip")))
    assert [key.name for key in snapshot.keys] == ["ci/tests"]


def test_a_bomb_is_refused() -> None:
    body = gzip.compress(b" " * 70_000_000, compresslevel=1)
    error, server = against(lambda account: account.list_keys(), say(http(200, body, "Content-Encoding: gzip")))
    assert isinstance(error, UnexpectedAnswer)
    assert str(error) == "GET /v1/account/keys: 200: the answer is larger than 32 MiB"
    assert len(server.requests) == 1


def test_a_redirect_goes_nowhere() -> None:
    async def run() -> tuple[list[bytes], str]:
        async with raw_server() as elsewhere, raw_server() as server:
            server.turns.append(say(http(307, b"", f"Location: http://127.0.0.1:{elsewhere.port}/stolen")))
            async with account_at(f"http://127.0.0.1:{server.port}/v1") as account:
                with pytest.raises(UnexpectedAnswer) as caught:
                    await account.list_keys()
            return elsewhere.requests, str(caught.value)

    requests, message = asyncio.run(run())
    assert requests == []
    assert "127.0.0.1" in message


def test_nobody_listening_is_connection_refused() -> None:
    async def run() -> str:
        async with raw_server() as server:
            port = server.port
        async with account_at(f"http://localhost:{port}", retry=RetryPolicy(attempts=2)) as account:
            with pytest.raises(ConnectionFailed) as caught:
                await account.balance()
            return str(caught.value).replace(str(port), "PORT")

    assert asyncio.run(run()) == "GET /account/balance: localhost:PORT: connection refused (tried 2 times)"


def test_a_name_that_nobody_has_cannot_be_resolved() -> None:
    async def run() -> str:
        async with account_at("https://naga.invalid/v1", retry=ONCE) as account:
            with pytest.raises(ConnectionFailed) as caught:
                await account.balance()
            return str(caught.value)

    assert asyncio.run(run()) == "GET /v1/account/balance: naga.invalid: the host name cannot be resolved"


def test_the_provisioning_key_does_not_pass_through_a_proxy_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[bytes]:
        async with raw_server(say(BALANCE)) as server, connect_proxy(server.port) as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            async with account_at(f"http://127.0.0.1:{server.port}/v1") as account:
                await account.balance()
            return proxy.asked

    assert asyncio.run(run()) == []


# --- TLS --------------------------------------------------------------------------------------------------------------


def over_tls(authority: trustme.CA, name: str = "localhost", retry: RetryPolicy | None = None) -> Any:
    async def run() -> Any:
        async with (
            raw_server(say(BALANCE), tls=tls_for(authority, name)) as server,
            account_at(f"https://localhost:{server.port}/v1", retry=retry or RetryPolicy()) as account,
        ):
            return await account.balance()

    return asyncio.run(run())


@pytest.mark.usefixtures("trusted")
def test_an_authority_of_ones_own_is_trusted_through_ssl_cert_file(authority: trustme.CA) -> None:
    assert str(over_tls(authority)) == "125.50"


def test_an_unknown_authority_is_refused_once_with_the_way_out(authority: trustme.CA) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        over_tls(authority)
    assert "its certificate is not trusted (" in str(caught.value)
    assert "SSL_CERT_FILE" in str(caught.value)
    assert "tried" not in str(caught.value)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    with pytest.raises(ConnectionFailed, match="not trusted"):
        over_tls(authority, "naga.test")


def without_tls(said: bytes, timeouts: Timeouts) -> str:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        await closing.wait()
        writer.close()

    async def run() -> str:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, account_at(f"https://localhost:{port}/v1", retry=ONCE, timeouts=timeouts) as account:
            with pytest.raises(ConnectionFailed) as caught:
                await create(account)
            closing.set()
        return str(caught.value).replace(str(port), "PORT")

    closing = asyncio.Event()
    return asyncio.run(run())


def test_a_server_that_speaks_no_tls_says_so_and_a_create_did_not_happen() -> None:
    message = without_tls(http(400), PATIENT)
    assert message.startswith("POST /v1/account/keys: localhost:PORT: no TLS connection (")


def test_a_server_that_never_shakes_hands_is_given_up_and_a_create_did_not_happen() -> None:
    message = without_tls(b"", Timeouts(connect=0.03))
    assert message == "POST /v1/account/keys: localhost:PORT: no connection within 0.03 s"


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
def test_https_proxy_is_honoured_and_sees_no_credential(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> tuple[str, list[bytes], bytes]:
        tls = tls_for(authority, "naga.test")
        async with raw_server(say(BALANCE), tls=tls) as server, connect_proxy(server.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            async with account_at("https://naga.test/v1") as account:
                return str(await account.balance()), proxy.asked, server.requests[0]

    balance, asked, request = asyncio.run(run())
    assert balance == "125.50"
    assert len(asked) == 1
    assert asked[0].startswith(b"CONNECT naga.test:443 ")
    assert CREDENTIAL.encode() not in asked[0]
    assert CREDENTIAL.encode() in request


@pytest.mark.usefixtures("trusted")
def test_no_proxy_is_honoured(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[bytes]:
        tls = tls_for(authority, "localhost")
        async with raw_server(say(BALANCE), tls=tls) as server, connect_proxy(server.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("NO_PROXY", "localhost")
            async with account_at(f"https://localhost:{server.port}/v1") as account:
                await account.balance()
            return proxy.asked

    assert asyncio.run(run()) == []


def test_a_proxy_that_refuses_is_told_and_a_create_through_it_did_not_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> str:
        async with connect_proxy(0, http(407)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
            async with account_at("https://naga.test/v1", retry=RetryPolicy(attempts=2)) as account:
                with pytest.raises(ConnectionFailed) as caught:
                    await create(account)
                return str(caught.value)

    assert asyncio.run(run()) == "POST /v1/account/keys: naga.test: the proxy answered 407 (tried 2 times)"
