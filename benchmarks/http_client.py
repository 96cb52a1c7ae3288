"""Measures ways to send many POSTs at once: wall time against the ideal, CPU time a request; prints a Markdown table.

The server (serve.py) runs on this machine and answers after a given latency. What is not installed is left out:

    .venv/bin/python benchmarks/http_client.py
    .venv/bin/python benchmarks/http_client.py --requests 1000 --latency 50 --parallelism 10 16 32 64 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from reconciler.account.client import connect
from reconciler.model import NewKey
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Post = Callable[[], Awaitable[object]]
    Prepare = Callable[[AsyncExitStack, str, int], Awaitable[list[Post]]]

HERE: Final = Path(__file__).parent
BODY: Final = json.dumps({"name": "ci/tests", "credit_limit": 5, "expires_at": None}).encode()
HEADERS: Final = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}


def posting(client: httpx.AsyncClient, url: str) -> Post:
    """Give what sends one POST with a client."""

    async def post() -> None:
        answer = await client.post(f"{url}/account/keys", content=BODY, headers=HEADERS)
        answer.raise_for_status()

    return post


async def sockets(stack: AsyncExitStack, url: str, workers: int) -> list[Post]:
    """Bare sockets: the floor, no client at all."""
    parts = httpx.URL(url)
    request = (
        f"POST {parts.path}/account/keys HTTP/1.1\r\nHost: {parts.host}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
        + BODY
    )

    async def worker() -> Post:
        reader, writer = await asyncio.open_connection(parts.host, parts.port)
        stack.callback(writer.close)

        async def post() -> None:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))

        return post

    return [await worker() for _ in range(workers)]


async def shared(stack: AsyncExitStack, url: str, workers: int) -> list[Post]:
    """One httpx.AsyncClient that all workers share."""
    limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, verify=False, limits=limits))  # noqa: S501  # plain http
    return [posting(client, url)] * workers


async def one_each(stack: AsyncExitStack, url: str, workers: int) -> list[Post]:
    """One httpx.AsyncClient a worker."""
    clients = [httpx.AsyncClient(trust_env=False, verify=False) for _ in range(workers)]  # noqa: S501  # plain http
    return [posting(await stack.enter_async_context(client), url) for client in clients]


async def aiohttp(stack: AsyncExitStack, url: str, workers: int) -> list[Post]:
    """One httpx.AsyncClient a worker, with aiohttp underneath."""
    transport = importlib.import_module("httpx_aiohttp").AiohttpTransport
    clients = [httpx.AsyncClient(transport=transport()) for _ in range(workers)]
    return [posting(await stack.enter_async_context(client), url) for client in clients]


async def account(stack: AsyncExitStack, url: str, workers: int) -> list[Post]:
    """This project's client: a pool, retries, the gate for 429s, exact money, checked answers."""
    ours = await stack.enter_async_context(connect(Secret("benchmark"), base_url=url, parallelism=workers))

    def post() -> Awaitable[object]:
        return ours.create_key(NewKey("ci/tests", Decimal(5), None))

    return [post] * workers


async def run(prepare: Prepare, url: str, workers: int, requests: int) -> tuple[float, float]:
    """Send the requests with so many workers; gives wall and CPU seconds."""
    left = iter(range(requests))

    async def work(post: Post) -> None:
        for _ in left:
            await post()

    async with AsyncExitStack() as stack:
        posts = await prepare(stack, url, workers)
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(post) for post in posts))
        return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def server(latency: float) -> Iterator[str]:
    """Serve an empty account with so many milliseconds of latency; gives its base URL."""
    with tempfile.TemporaryDirectory() as folder:
        live = Path(folder) / "live.json"
        live.write_text('{"keys": []}')
        arguments = [sys.executable, str(HERE / "serve.py"), str(live), str(latency)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.kill()
            process.communicate()


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1000, help="how many POSTs to send")
    parser.add_argument("--parallelism", type=int, nargs="+", default=[10, 16, 32, 64], help="how many at a time")
    parser.add_argument("--latency", type=float, default=50, metavar="MS", help="of every answer")
    parser.add_argument("--rounds", type=int, default=3, help="runs of which the median is shown")
    return parser.parse_args()


def main() -> None:
    """Measure everything and print the table."""
    chosen = options()
    ways: dict[str, Prepare] = {
        "bare sockets": sockets,
        "httpx, one client shared": shared,
        "httpx, a client a worker": one_each,
        "httpx over aiohttp, a client a worker": aiohttp,
        "reconciler's Account": account,
    }
    if importlib.util.find_spec("httpx_aiohttp") is None:
        del ways["httpx over aiohttp, a client a worker"]
    sniffio = "with" if importlib.util.find_spec("sniffio") else "without"
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs,"
    )
    print(f"httpx {httpx.__version__} {sniffio} sniffio, {chosen.requests} POSTs at {chosen.latency:g} ms,", end=" ")
    print(f"median of {chosen.rounds}\n")
    print("| Client | At a time | Wall s | Wall / ideal | CPU ms a request |\n|---|---:|---:|---:|---:|")
    with server(chosen.latency) as url:
        for name, prepare in ways.items():
            for workers in chosen.parallelism:
                costs = [asyncio.run(run(prepare, url, workers, chosen.requests)) for _ in range(chosen.rounds)]
                wall = statistics.median(cost[0] for cost in costs)
                cpu = statistics.median(cost[1] for cost in costs) / chosen.requests * 1000
                ideal = math.ceil(chosen.requests / workers) * chosen.latency / 1000
                print(f"| {name} | {workers} | {wall:.2f} | {wall / ideal:.2f} | {cpu:.1f} |", flush=True)


if __name__ == "__main__":
    main()
