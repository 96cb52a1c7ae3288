from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import httpx
import pytest

from reconciler.cli.simulate import _announce
from reconciler.errors import UsageError
from reconciler.simulator import State
from reconciler.simulator.faults import GRAMMAR
from reconciler.simulator.serve import Server, _url
from support.command import call
from support.simulation import Service, names, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEARER = {"Authorization": "Bearer simulator"}
COMMAND = [sys.executable, "-c", "from reconciler.cli.main import main; main()", "simulate"]


def text(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@contextmanager
def simulate(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        yield process, text(process.stdout).readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    with simulate("--state", str(tmp_path / "sim.db")) as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
        created = httpx.post(f"{url}/account/keys", headers=BEARER, json={"name": "a", "credit_limit": 0.1})
        assert created.status_code == 201
        assert httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {created.json()['key']}"}).is_success
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""
    assert err == f"export NAGA_BASE_URL={url}\nexport NAGA_PROVISIONING_KEY=simulator\n"
    with State(tmp_path / "sim.db") as state:
        assert names(state) == ["a"]


def test_the_command_takes_faults_usage_and_keys(tmp_path: Path) -> None:
    with State(tmp_path / "sim.db") as state:
        state.create_key("a")
    options = ["--state", str(tmp_path / "sim.db"), "--usage", "--seed", "3", "--provisioning-key", "secret-key"]
    with simulate(*options, "--fault", "GET /v1/account/balance status=503") as (process, url):
        allowed = {"Authorization": "Bearer secret-key"}
        assert httpx.get(f"{url}/account/keys", headers=BEARER).status_code == 401
        assert httpx.get(f"{url}/account/balance", headers=allowed).status_code == 503
        assert len(httpx.get(f"{url}/account/activity", headers=allowed).json()["daily_stats"]) == 30
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert "secret-key" not in err
    assert "export NAGA_PROVISIONING_KEY=…  # one of those given with --provisioning-key\n" in err


def test_a_wrong_fault_ends_the_command_at_once() -> None:
    done = subprocess.run([*COMMAND, "--fault", "GET * status=1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert 'fault "GET * status=1": status= must be from 400 to 599' in done.stderr


def test_the_help_explains_every_word_of_a_fault_unbroken() -> None:
    shown = {line.strip() for line in call("simulate", "--help").out.splitlines()}
    assert {line.strip() for line in GRAMMAR.splitlines()} <= shown


def test_a_lost_answer_is_a_connection_that_ends_without_one() -> None:
    with State(":memory:") as state:
        app = Service(state, "POST * lose=after times=1", "PATCH * lose=before times=1").app
        with served(app) as url, httpx.Client(headers=BEARER) as client:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                client.post(f"{url}/account/keys", json={"name": "a"})
            assert [key["name"] for key in client.get(f"{url}/account/keys").json()["keys"]] == ["a"]
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                client.patch(f"{url}/account/keys/1", json={"name": "b"})
            assert client.get(f"{url}/account/keys/1").json()["name"] == "a"
            assert client.patch(f"{url}/account/keys/1", json={"name": "b"}).json()["name"] == "b"


def test_not_a_byte_of_a_lost_answer_is_sent() -> None:
    with State(":memory:") as state, served(Service(state, "* * lose=after").app) as url:
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=60) as connection:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                received = connection.recv(1)
            except ConnectionResetError:
                received = b""
        assert received == b""


def test_an_answer_has_one_date_and_it_is_the_accounts() -> None:
    with State(":memory:") as state, served(Service(state, with_control=True).app) as url:
        door = url.removesuffix("/v1") + "/_simulator/travel"
        moved = httpx.post(door, json={"seconds": 10 * 365 * 86_400})
        dates = httpx.get(f"{url}/models").headers.get_list("Date")
        assert len(dates) == 1
        assert dates[0][12:16] == json.loads(moved.content)["now"][12:16] == str(state.now().year)


def test_a_port_that_is_taken_is_a_usage_error() -> None:
    with State(":memory:") as state, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1, port {port}: Address already in use"):
            Server(Service(state).app, port=port)


def test_no_part_of_an_answer_waits_until_the_one_before_is_acknowledged() -> None:
    with State(":memory:") as state:
        server = Server(Service(state).app)
        with server._socket as listener, socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80/v1"), ("localhost", "http://localhost:80/v1"), ("::1", "http://[::1]:80/v1")],
)
def test_an_address_is_written_as_urls_have_it(host: str, url: str) -> None:
    assert _url(host, 80) == url


def test_an_address_that_others_reach_gets_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0"):  # noqa: S104  # nothing listens on it here
        _announce("http://somewhere/v1", host, restricted=False)
    assert capsys.readouterr().err.count("warning") == 1
