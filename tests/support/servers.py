"""Real servers that destinations are held against: started when first asked for, ended with the process."""

from __future__ import annotations

import atexit
import functools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.message import Message

ROOT = "root"
_PATIENCE = 60.0


class OpenBao:
    """An OpenBao server, asked as its administrator."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: object = None, *, namespace: str = "") -> Any:
        """Ask for something; a refusal is an error, an answer without a body is {}."""
        headers = {"X-Vault-Token": ROOT, "X-Vault-Namespace": namespace, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", content, headers, method=method)  # noqa: S310  # http
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # http
            return json.loads(answer.read() or b"{}")

    def secret(self, path: str, *, namespace: str = "") -> dict[str, str]:
        """Give the fields at a path of the mount `secret`; none when there is no such secret."""
        try:
            data = self.ask("GET", f"secret/data/{path}", namespace=namespace)["data"]["data"]
        except urllib.error.HTTPError as error:
            error.close()
            return {}
        return {str(name): str(value) for name, value in data.items()}

    def metadata(self, path: str) -> dict[str, Any]:
        """Give what the mount `secret` knows of a path; nothing when there is no such secret."""
        try:
            return dict(self.ask("GET", f"secret/metadata/{path}")["data"])
        except urllib.error.HTTPError as error:
            error.close()
            return {}

    def token(self, *rules: str) -> str:
        """Make a token that may do what the rules of a policy (`path => capabilities`) say."""
        return str(self.ask("POST", "auth/token/create", {"policies": [self.policy(*rules)]})["auth"]["client_token"])

    def policy(self, *rules: str) -> str:
        """Make a policy of rules `path => capability, capability`; gives its name."""
        text = ""
        for rule in rules:
            path, _, capabilities = rule.partition(" => ")
            text += f'path "{path}" {{ capabilities = {json.dumps(capabilities.split(", "))} }}\n'
        name = f"test-{abs(hash(text)):x}"
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name


@functools.cache
def openbao() -> OpenBao:
    """Start a server that is ready for use, with KV version 2 at secret/ and `root` as its root token."""
    port = _free_port()
    listen = f"-dev-listen-address=127.0.0.1:{port}"
    _start(port, "bao", "server", "-dev", f"-dev-root-token-id={ROOT}", "-dev-no-store-token", listen)
    server = OpenBao(port)
    _wait(f"{server.url}/v1/sys/health")
    _wait(f"{server.url}/v1/secret/config", {"X-Vault-Token": ROOT})  # mounted a moment later
    return server


@functools.cache
def empty_openbao() -> OpenBao:
    """Start a server that nobody has initialised yet."""
    port = _free_port()
    folder = Path(tempfile.mkdtemp(prefix="bao-"))
    configuration = folder / "bao.hcl"
    listener = f'listener "tcp" {{\n address = "127.0.0.1:{port}"\n tls_disable = true\n}}\n'
    configuration.write_text(f'storage "inmem" {{}}\n{listener}', encoding="utf-8")
    _start(port, "bao", "server", f"-config={configuration}")
    server = OpenBao(port)
    _wait(f"{server.url}/v1/sys/health?uninitcode=200")
    return server


@functools.cache
def moto() -> str:
    """Start moto's AWS; gives its address."""
    port = _free_port()
    _start(port, sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    url = f"http://127.0.0.1:{port}"
    _wait(f"{url}/moto-api/data.json")
    return url


@functools.cache
def drongo() -> str:
    """Start drongo's Google Cloud; gives its address."""
    port = _free_port()
    _start(port, "drongo", "server", "--host", "127.0.0.1", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    _wait(f"{url}/v1/projects/nobody/secrets")
    return url


Answer = tuple[int, bytes, Mapping[str, str]]
"""A status, a body of JSON, and headers."""


@contextmanager
def answering(answer: Callable[[str, str, Message, bytes], Answer]) -> Iterator[str]:
    """Let other processes ask a fake: by method, path with query, headers and content; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body, headers = answer(self.command, self.path, self.headers, content)
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            if status != HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815  # the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature is http.server's
            """Keep the tests' output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int, program: str, *arguments: str) -> None:
    path = program if "/" in program else str(Path(sys.executable).with_name(program))
    log = Path(tempfile.gettempdir()) / f"reconciler-test-server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([path, *arguments], stdout=output, stderr=output)

    def stop() -> None:
        process.kill()
        process.wait()
        log.unlink(missing_ok=True)

    atexit.register(stop)


def _wait(url: str, headers: dict[str, str] | None = None) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=60).close()  # noqa: S310
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
