"""A service on a real socket that says exactly the bytes it is told to, politely or not."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Turn = Callable[[asyncio.StreamWriter], Awaitable[bool]]


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Write a whole answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def say(data: bytes) -> Turn:
    """Answer and keep the connection."""

    async def turn(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return True

    return turn


def say_and_close(data: bytes) -> Turn:
    """Say something, perhaps only half an answer, and close the connection in the ordinary way."""

    async def turn(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return False

    return turn


def reset(data: bytes = b"") -> Turn:
    """Say something and tear the connection down."""

    async def turn(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    return turn


def hang(data: bytes = b"") -> Turn:
    """Say something and then nothing more, until the other side gives up."""

    async def turn(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        await writer.wait_closed()
        return False

    return turn


class RawServer:
    """Takes one turn after another, a request each, over all connections; keeps what it was sent."""

    def __init__(self, turns: tuple[Turn, ...]) -> None:
        self.turns = list(turns)
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _request(reader):
                self.requests.append(request)
                if not await self.turns.pop(0)(writer):
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.closed.set()


async def _request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + await reader.readexactly(int(lengths[0]) if lengths else 0)
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def raw_server(*turns: Turn, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve the turns on a free port of this machine."""
    raw = RawServer(turns)
    async with _listening(raw.serve, tls) as raw.port:
        yield raw


class ConnectProxy:
    """A proxy that only tunnels, to one port whatever the name; keeps the names it was asked for."""

    def __init__(self, target: int, refusal: bytes) -> None:
        self.target = target
        self.refusal = refusal
        self.asked: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if self.refusal or not head.startswith(b"CONNECT "):
            writer.write(self.refusal or http(405))
            writer.close()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, upstream_writer), _pump(upstream_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def connect_proxy(
    target: int, refusal: bytes = b"", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ConnectProxy]:
    """Run a tunnelling proxy on a free port; with a `refusal` it answers that instead of tunnelling."""
    proxy = ConnectProxy(target, refusal)
    async with _listening(proxy.serve, tls) as proxy.port:
        yield proxy


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()
    transports: list[asyncio.WriteTransport] = []

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        transports.append(writer.transport)
        task.add_done_callback(tasks.discard)
        await serve(reader, writer)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0)  # which lets them close their sockets before the loop ends
        await server.wait_closed()
