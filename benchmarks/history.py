"""Measures the history: a night's `record` of a large account, a month by team out of a year, and the year's size.

Everything runs on this machine: a generated year in the files that `record` writes, and a server that tells what was
used in the last days. Start it with the Python of the environment that reconciler is installed in:

    .venv/bin/python benchmarks/history.py > benchmarks/results/history.md
    .venv/bin/python benchmarks/history.py --keys 1000 --used 100 --days 60 --rounds 1

Prints a page of Markdown; results/history.md is one. Ends with 1 where a night takes more than three requests.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # for the other scripts of this folder

from benchmarks.plan_and_apply import Cost, measure  # noqa: E402  # after the path is set
from benchmarks.serve import Account, Server  # noqa: E402  # the same
from reconciler.formatting.history import write_history  # noqa: E402  # the same
from reconciler.insight.history import History, KeyDay, KnownKey, ModelDay, Span  # noqa: E402  # the same
from reconciler.model import KEY_VARIABLE, LONGEST_DAYS, Tally  # noqa: E402  # the same

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_REQUESTS: Final = 3
"""As many as a night may take."""

_TEAMS: Final = 20
_MODELS: Final = [f"maker-{number}/model-{number}b" for number in range(30)]
_PRICES: Final = [(Decimal("0.15"), Decimal("0.6")), (Decimal("2.5"), Decimal(10)), (Decimal(3), Decimal(15))]
"""USD for a million tokens in and out."""


# --- a year of use ----------------------------------------------------------------------------------------------------


def address(number: int) -> str:
    """Give the address of a key."""
    return f"{('production', 'staging', 'dev')[number % 3]}/service-{number:05d}"


def used_on(day: date, keys: int, used: int) -> dict[int, Tally]:
    """Say what the keys were used for on a day, by number; the same day always gives the same.

    Some 80 % of those that are used are used on the next day too. The n-th has some 15,000 / n requests (as words in
    texts, keys are used by Zipf's law: 110,000 requests a day by 1,000 keys), and a model of its own.
    """
    dice = random.Random(day.toordinal())  # noqa: S311  # a benchmark
    found = {}
    active = min(keys, used * 5 // 4)
    for number in sorted(dice.sample(range(active), used)):
        rank = 1 + number * 7919 % active
        requests = max(1, int(dice.lognormvariate(math.log(15_000 / rank), 0.4)))
        sent, received = requests * dice.randrange(300, 1800), requests * dice.randrange(50, 600)
        price_in, price_out = _PRICES[number % len(_PRICES)]
        cost = (sent * price_in + received * price_out).scaleb(-6)
        found[number] = Tally(requests, cost.quantize(Decimal("0.000001")), sent, received)
    return found


def write(folder: Path, keys: int, used: int, days: int, last: date) -> None:
    """Write the history of so many days, of which `last` is the last, as `record` writes it."""
    known, usage, models = [], [], []
    for number in range(keys):
        place, team = address(number), f"team-{number % _TEAMS:02d}"
        created = "2025-01-01T00:00:00Z"
        known.append(KnownKey(KEY_VARIABLE, number + 1, created, place, place, place.partition("/")[0], team))
    for ago in range(days):
        day = last - timedelta(days=ago)
        by_model: dict[str, Tally] = defaultdict(Tally)
        for number, tally in used_on(day, keys, used).items():
            key = known[number]
            line = (key.address, key.environment, key.team, key.key_id, key.name)
            usage.append(KeyDay(day, KEY_VARIABLE, *line, tally))
            by_model[_MODELS[number % len(_MODELS)]] += tally
        models += [ModelDay(day, KEY_VARIABLE, name, tally) for name, tally in by_model.items()]
    spans = {KEY_VARIABLE: (Span(last - timedelta(days=days - 1), last),)}
    write_history(folder, History(spans, tuple(known), tuple(usage), tuple(models)), {})


# --- the service ------------------------------------------------------------------------------------------------------


class Used(Account):
    """Answers with the keys and what they were used for; counts the requests, and tells how many on /count."""

    def __init__(self, keys: int, used: int, today: date) -> None:
        """Begin with no requests."""
        super().__init__(
            [
                {
                    "id": number + 1,
                    "name": address(number),
                    "created_at": "2025-01-01T00:00:00Z",
                    "expires_at": None,
                    "is_enabled": True,
                    "credit_limit": 500,
                }
                for number in range(keys)
            ]
        )
        self._days = [used_on(today - timedelta(days=ago), keys, used) for ago in range(LONGEST_DAYS)]
        self._today = today
        self._windows: dict[int, bytes] = {}
        self._count = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Give the status and the body of the answer to a request."""
        if path == "/count":
            return 200, str(self._count).encode()
        self._count += 1
        if "/account/activity" not in path:
            return super().answer(method, path, body)
        days = int(path.rpartition("=")[2])
        if days not in self._windows:
            self._windows[days] = json.dumps(self._window(days)).encode()
        return 200, self._windows[days]

    def _window(self, days: int) -> dict[str, Any]:
        by_day = [sum(each.values(), Tally()) for each in self._days[:days]]
        by_key: dict[int, Tally] = defaultdict(Tally)
        by_model: dict[str, Tally] = defaultdict(Tally)
        for each in self._days[:days]:
            for number, tally in each.items():
                by_key[number] += tally
                by_model[_MODELS[number % len(_MODELS)]] += tally
        return {
            "period_days": days,
            "total_stats": _stats(sum(by_day, Tally()), "total_requests"),
            "daily_stats": [
                {"date": str(self._today - timedelta(days=ago)), **_stats(tally, "total_requests")}
                for ago, tally in enumerate(by_day)
            ],
            "top_models": [{"model_name": name, **_stats(tally)} for name, tally in by_model.items()],
            "api_key_usage": [
                {"api_key_id": number + 1, "api_key_name": address(number), **_stats(tally)}
                for number, tally in by_key.items()
            ],
        }


def _stats(tally: Tally, requests: str = "request_count") -> dict[str, object]:
    return {
        requests: tally.requests,
        "total_cost": str(tally.cost),
        "total_input_tokens": tally.input_tokens,
        "total_output_tokens": tally.output_tokens,
    }


async def serve(keys: int, used: int, today: date) -> None:
    """Serve the account on a free port, until killed."""
    listening = await asyncio.start_server(Server(Used(keys, used, today), 0).serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


@contextmanager
def served(*sizes: object) -> Iterator[str]:
    """Serve the account in a process of its own, and give its address."""
    arguments = [sys.executable, str(Path(__file__)), "--serve", *map(str, sizes)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.kill()
        process.communicate()


# --- the runs ---------------------------------------------------------------------------------------------------------


def nights(chosen: argparse.Namespace, today: date) -> tuple[list[Cost], list[int]]:
    """Record the day that is missing, some times over; give what each took, and its requests."""
    costs, requests = [], []
    with served(chosen.keys, chosen.used, today) as url:
        for _ in range(chosen.rounds):
            with tempfile.TemporaryDirectory() as made:
                generate(Path(made), chosen, today - timedelta(days=2))
                before = count(url)
                environment = {"NAGA_BASE_URL": f"{url}/v1", "NAGA_PROVISIONING_KEY": "benchmark"}
                costs.append(measure(["record", "--to", made, "-f", f"{made}/.keys.yaml"], environment))
                requests.append(count(url) - before)
    return costs, requests


def generate(folder: Path, chosen: argparse.Namespace, last: date) -> None:
    """Write the history, and a declaration of its keys beside it.

    In a process of its own: the peak memory that the system reports of a child begins at that of its parent.
    """
    sizes = [str(each) for each in (folder, chosen.keys, chosen.used, chosen.days, last)]
    subprocess.run([sys.executable, str(Path(__file__)), "--write", *sizes], check=True)


def declare(folder: Path, keys: int) -> None:
    """Write .keys.yaml, which declares the keys with their teams."""
    lines = ["version: 1", "destinations: {local: {type: dotenv, path: .env}}", "environments:"]
    for at, environment in enumerate(("production", "staging", "dev")):
        lines += [f"  {environment}:", '    deliver: [{to: local, as: "NAGA_{ENVIRONMENT}_{KEY}"}]', "    keys:"]
        lines += [
            f"      {address(number).partition('/')[2]}: {{credit_limit: 500, team: team-{number % _TEAMS:02d}}}"
            for number in range(at, keys, 3)
        ]
    (folder / ".keys.yaml").write_text("\n".join(lines) + "\n")


def count(url: str) -> int:
    """Give how many requests were answered so far."""
    with urllib.request.urlopen(f"{url}/count") as answer:  # noqa: S310  # this machine's own server
        return int(answer.read())


def row(label: str, costs: list[Cost], requests: int | str) -> None:
    """Print the medians of several runs."""
    wall, cpu = statistics.median(each.wall for each in costs), statistics.median(each.cpu for each in costs)
    memory = statistics.median(each.memory for each in costs) / 1e6
    print(f"| {label} | {wall:.2f} | {cpu:.2f} | {memory:.0f} | {requests} |", flush=True)


def page(chosen: argparse.Namespace) -> bool:
    """Measure everything and print the page; gives whether a night took few enough requests."""
    today = datetime.now(UTC).date()
    words = f"--keys {chosen.keys} --used {chosen.used} --days {chosen.days} --rounds {chosen.rounds}"
    print(f"# The history of {chosen.keys:,} keys, {chosen.used:,} of them used a day, over {chosen.days} days\n")
    print(f"`python benchmarks/history.py {words}`, median of {chosen.rounds}, {os.cpu_count()} shared cores,")
    print(f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}.\n")
    print("| Command | Wall s | CPU s | Peak MB | Requests |\n|---|---:|---:|---:|---:|", flush=True)
    costs, requests = nights(chosen, today)
    row("`record`, a night after another", costs, max(requests))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        generate(folder, chosen, today - timedelta(days=1))
        month = str((today.replace(day=1) - timedelta(days=1)).replace(day=1))[:7]
        for period in (["--month", month], []):
            command = ["activity", "--from", made, *period, "--by", "team", "--format", "csv"]
            label = f"`activity {' '.join(['--from', 'FOLDER', *period, '--by', 'team'])}`"
            row(label, [measure(command, {}) for _ in range(chosen.rounds)], 0)
        files = [each.read_bytes() for each in sorted((folder / "usage").iterdir())]
        lines = sum(each.count(b"\n") for each in files)
        packed = sum(len(gzip.compress(each)) for each in files)
        size = sum(map(len, files)) / 1e6
        print(f"\nThe files of the year have {lines:,} lines: {size:.1f} MB, {packed / 1e6:.1f} MB gzipped one by one.")
    return max(requests) <= MOST_REQUESTS


def main() -> None:
    """Do what the command line asks for."""
    if sys.argv[1:2] == ["--serve"]:
        _, _, keys, used, today = sys.argv
        asyncio.run(serve(int(keys), int(used), date.fromisoformat(today)))
    elif sys.argv[1:2] == ["--write"]:
        _, _, folder, keys, used, days, last = sys.argv
        write(Path(folder), int(keys), int(used), int(days), date.fromisoformat(last))
        declare(Path(folder), int(keys))
    else:
        parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
        parser.add_argument("--keys", type=int, default=10_000, help="in the account")
        parser.add_argument("--used", type=int, default=1_000, help="a day")
        parser.add_argument("--days", type=int, default=365, help="that are recorded")
        parser.add_argument("--rounds", type=int, default=3, help="runs of which the median is shown")
        sys.exit(0 if page(parser.parse_args()) else 1)


if __name__ == "__main__":
    main()
