"""Answers the account API as cheaply as Python can, so that a benchmark measures the client; prints its base URL.

It keeps what it is sent, so applies can be measured, and checks nothing, so it is no test double.

python benchmarks/serve.py LIVE.json [LATENCY_MS]
"""

from __future__ import annotations

import asyncio
import json
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

_BALANCE: Final = b'{"balance": "125.50"}'
_TALLY: Final = '{"total_requests": 0, "total_cost": "0", "total_input_tokens": 0, "total_output_tokens": 0}'
_ACTIVITY: Final = (
    f'{{"period_days": 30, "total_stats": {_TALLY}, "daily_stats": [], "top_models": [], "api_key_usage": []}}'.encode()
)


class Account:
    """The keys, and the answers about them."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        """Start with these keys."""
        self._keys = {key["id"]: key for key in keys}
        self._next = max(self._keys, default=0) + 1
        self._listing: bytes | None = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Give the status and the body of the answer to a request; the path has its query."""
        path = path.partition("?")[0]
        if path.endswith(("/models", "/account/balance")):
            return 200, _BALANCE
        if path.endswith("/account/activity"):
            return 200, _ACTIVITY
        tail = path.rpartition("/")[2]
        if tail == "keys":
            return self._list() if method == "GET" else self._create(json.loads(body))
        key = self._keys.get(int(tail))
        if key is None:
            return 404, b'{"error": {"type": "not_found", "message": "no such key"}}'
        if method == "GET":
            return 200, json.dumps(key).encode()
        self._listing = None
        if method == "DELETE":
            del self._keys[int(tail)]
            return 204, b""
        key.update(json.loads(body))
        return 200, json.dumps(key).encode()

    def _list(self) -> tuple[int, bytes]:
        if self._listing is None:
            self._listing = json.dumps({"keys": list(self._keys.values())}).encode()
        return 200, self._listing

    def _create(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        self._listing = None
        key = {"id": self._next, "created_at": "2026-03-31T10:00:00Z", "is_enabled": True, "expires_at": None, **asked}
        self._keys[self._next] = key
        self._next += 1
        return 201, json.dumps({**key, "key": f"ng-{key['id']:032d}", "message": ""}).encode()


class Server:
    """Speaks as much HTTP/1.1 as clients need."""

    def __init__(self, account: Account, latency: float) -> None:
        """Answer for an account, every request after `latency` seconds."""
        self._account = account
        self._latency = latency

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until the client closes it."""
        try:
            while True:
                await self._exchange(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def account(self, headers: list[bytes]) -> Account:  # noqa: ARG002  # a server of several accounts looks at them
        """Give the account that a request with these headers, in lower case, is about: here there is one."""
        return self._account

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        sizes = [int(header.partition(b":")[2]) for header in headers if header.startswith(b"content-length:")]
        body = await reader.readexactly(sum(sizes))
        if self._latency:
            await asyncio.sleep(self._latency)
        method, path, _ = request.decode().split(" ")
        status, answer = self.account(headers).answer(method.upper(), path, body)
        head = (
            f"HTTP/1.1 {status} -\r\nDate: {formatdate(usegmt=True)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        )
        writer.write(head.encode() + answer)
        await writer.drain()


async def main(keys: list[dict[str, Any]], latency: float) -> None:
    """Serve an account with these keys on a free port, until killed."""
    server = Server(Account(keys), latency)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(
        main(json.loads(Path(sys.argv[1]).read_bytes())["keys"], float(sys.argv[2]) / 1000 if sys.argv[2:] else 0.0)
    )
