"""Measures validate, plan and apply as whole processes: wall time, CPU time, peak memory; prints a Markdown table.

Everything runs on this machine: a generated declaration, and a server (serve.py) that answers after a given latency.
Start it with the Python of the environment that reconciler is installed in:

    .venv/bin/python benchmarks/plan_and_apply.py
    .venv/bin/python benchmarks/plan_and_apply.py --keys 10 100000 --creates 100 --latency 20 --rounds 5
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE: Final = Path(__file__).parent
COMMAND: Final = str(Path(sys.executable).with_name("reconciler"))
MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: seconds, seconds, bytes."""

    wall: float
    cpu: float
    memory: int


def measure(arguments: Sequence[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end and give what it cost; end the benchmark when it fails."""
    with tempfile.TemporaryFile() as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [COMMAND, *arguments], env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"reconciler {' '.join(arguments)} ended with {process.returncode}:\n{output.read().decode()}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT)


@contextmanager
def server(live: Path, latency: float) -> Iterator[dict[str, str]]:
    """Serve an account with so many milliseconds of latency; give the environment that leads a command there."""
    arguments = [sys.executable, str(HERE / "serve.py"), str(live), str(latency)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip() if process.stdout else ""
        yield {"NAGA_BASE_URL": url, "NAGA_PROVISIONING_KEY": "benchmark"}
    finally:
        process.kill()
        process.communicate()


def generate(count: int, folder: Path) -> tuple[Path, Path]:
    """Generate a declaration and its account.

    In a process of its own: the peak memory that the system reports of a child begins at that of its parent.
    """
    subprocess.run([sys.executable, str(HERE / "generate.py"), str(count), str(folder)], check=True)
    return folder / f"keys_{count}.yaml", folder / f"live_{count}.json"


def apply_all(count: int, latency: float, parallelism: int) -> Cost:
    """Create all keys of a declaration in an empty account, and make sure that every secret arrived."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys, live = generate(count, folder)
        live.write_text('{"keys": []}')
        with server(live, latency) as environment:
            arguments = ["apply", "-f", str(keys), "--auto-approve", "--parallelism", str(parallelism)]
            cost = measure(arguments, environment)
        delivered = sum(len(file.read_text().splitlines()) for file in (folder / "out").iterdir())
        if delivered != count:
            sys.exit(f"{delivered} of {count} secrets arrived")
    return cost


def row(label: str, count: int, rounds: int, run: Callable[[], Cost], ideal: float | None = None) -> None:
    """Print the medians of several runs; `ideal` is the time in seconds that the latency alone takes."""
    costs = [run() for _ in range(rounds)]
    wall = statistics.median(cost.wall for cost in costs)
    cpu = statistics.median(cost.cpu for cost in costs)
    memory = statistics.median(cost.memory for cost in costs) / 1e6
    ratio = "" if ideal is None else f"{wall / ideal:.2f}"
    print(f"| {label} | {count:,} | {wall:.2f} | {cpu:.2f} | {memory:.0f} | {ratio} |", flush=True)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, nargs="*", default=[10, 1000, 10_000], help="sizes for validate and plan")
    parser.add_argument("--creates", type=int, nargs="*", default=[100, 1000], help="numbers of keys to create")
    parser.add_argument("--parallelism", type=int, nargs="+", default=[16, 32], help="for apply")
    parser.add_argument("--latency", type=float, default=50, metavar="MS", help="of every answer to apply")
    parser.add_argument("--rounds", type=int, default=3, help="runs of which the median is shown")
    return parser.parse_args()


def main() -> None:
    """Measure everything and print the table."""
    chosen = options()
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}, ", end="")
    print(f"{os.cpu_count()} CPUs, median of {chosen.rounds}, apply with {chosen.latency:g} ms a request\n")
    print("| Command | Keys | Wall s | CPU s | Peak MB | Wall / ideal |\n|---|---:|---:|---:|---:|---:|")
    row("--version", 0, chosen.rounds, partial(measure, ["--version"], {}))
    with tempfile.TemporaryDirectory() as name:
        for count in chosen.keys:
            keys, live = generate(count, Path(name))
            row("validate", count, chosen.rounds, partial(measure, ["validate", "-f", str(keys)], {}))
            with server(live, 0) as environment:
                row("plan", count, chosen.rounds, partial(measure, ["plan", "-f", str(keys)], environment))
    for count in chosen.creates:
        for parallelism in chosen.parallelism:
            # A create is a POST and a PATCH; reading the account before and after is left out of the ideal.
            ideal = 2 * math.ceil(count / parallelism) * chosen.latency / 1000
            label = f"apply --parallelism {parallelism}"
            row(label, count, chosen.rounds, partial(apply_all, count, chosen.latency, parallelism), ideal)


if __name__ == "__main__":
    main()
