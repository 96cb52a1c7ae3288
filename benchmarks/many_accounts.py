"""Measures plan and apply over many accounts: in one process over one file, and in a process an account.

Everything runs on this machine: generated declarations, and a server that answers for all accounts after a given
latency and tells them apart by their provisioning keys. Start it with the Python of the environment that reconciler is
installed in:

    .venv/bin/python benchmarks/many_accounts.py
    .venv/bin/python benchmarks/many_accounts.py --accounts 20 --keys 50 --jobs 2 --latency 0

Prints a page of Markdown; results/many_accounts.md is one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # for the other scripts of this folder

from benchmarks.plan_and_apply import Cost, measure  # noqa: E402  # after the path is set
from benchmarks.serve import Account, Server  # noqa: E402  # the same

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHANGED: Final = 100
"""One key in so many has another limit than declared, and as many are not there yet."""

_HEAD: Final = """\
version: 1
destinations:
  local: {type: dotenv, path: "out/{environment}.env"}
environments:
"""


# --- what is declared and what is live --------------------------------------------------------------------------------


def environment(account: int) -> str:
    """Give the name of the environment that lives in an account."""
    return f"team-{account:03d}"


def variable(account: int) -> str:
    """Give the variable with an account's provisioning key."""
    return f"NAGA_TEAM_{account:03d}"


def declared(account: int, keys: int, *, own_file: bool) -> str:
    """Write an environment of so many keys; in a file of its own its account is the usual one."""
    home = "" if own_file else f"    provisioning_key_env: {variable(account)}\n"
    lines = [f"      customer-{number:05d}: {{credit_limit: {10 + number % 500}}}" for number in range(keys)]
    deliver = '    deliver: [{to: local, as: "NAGA_{KEY}"}]\n'
    return f"  {environment(account)}:\n{home}{deliver}    keys:\n" + "\n".join(lines) + "\n"


def live(account: int, keys: int, *, differs: bool) -> list[dict[str, object]]:
    """Give the keys of an account as declared, or so that some have to be changed and some to be created."""
    return [
        {
            "id": number + 1,
            "name": f"{environment(account)}/customer-{number:05d}",
            "created_at": "2026-03-31T10:00:00Z",
            "expires_at": None,
            "is_enabled": True,
            "credit_limit": 10 + number % 500 + (differs and number % CHANGED == 1),
        }
        for number in range(keys)
        if not (differs and number % CHANGED == 0)
    ]


# --- the service ------------------------------------------------------------------------------------------------------


class ManyAccounts(Server):
    """Answers for every account to whoever sends its key, and counts the requests; unknown keys may ask for the sum."""

    def __init__(self, accounts: dict[bytes, Account], latency: float) -> None:
        """Begin with no requests; `latency` in seconds."""
        self._count = 0
        super().__init__(_Sum(self), latency)
        self._accounts = accounts

    @property
    def count(self) -> int:
        """How many requests the accounts have answered."""
        return self._count

    def account(self, headers: list[bytes]) -> Account:
        """Tell by the bearer which account is meant."""
        bearer = next((each for each in headers if each.startswith(b"authorization:")), b"").rpartition(b" ")[2]
        found = self._accounts.get(bearer)
        if found is None:
            return super().account(headers)
        self._count += 1
        return found


class _Sum(Account):
    """Answers how many requests there were, and inference keys that are tried."""

    def __init__(self, server: ManyAccounts) -> None:
        super().__init__([])
        self._server = server

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return (200, str(self._server.count).encode()) if path == "/count" else super().answer(method, path, body)


async def serve(accounts: int, keys: int, *, differs: bool, latency: float) -> None:
    """Serve so many accounts on a free port, until killed."""
    held = {variable(n).lower().encode(): Account(live(n, keys, differs=differs)) for n in range(accounts)}
    server = ManyAccounts(held, latency)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


@contextmanager
def served(chosen: argparse.Namespace, *, differs: bool) -> Iterator[str]:
    """Serve the accounts in a process of their own, and give its address."""
    sizes = [str(chosen.accounts), str(chosen.keys), str(chosen.latency)]
    arguments = [sys.executable, str(Path(__file__)), "--serve", "differs" if differs else "same", *sizes]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.kill()
        process.communicate()


# --- the runs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """What all processes of a run took together: seconds, seconds, bytes of the largest one, requests."""

    wall: float
    cpu: float
    memory: int
    requests: int


def one_process(words: Sequence[str], folder: Path, url: str, accounts: int) -> list[Cost]:
    """Run a command over one file that declares every account."""
    keys = {variable(account): variable(account).lower() for account in range(accounts)}
    return [measure([*words, "-f", str(folder / "all.yaml")], {"NAGA_BASE_URL": f"{url}/v1", **keys})]


def process_an_account(words: Sequence[str], folder: Path, url: str, accounts: int, jobs: int) -> list[Cost]:
    """Run a command over a file for every account, so many at a time, as CI jobs do."""

    def run(account: int) -> Cost:
        credential = {"NAGA_BASE_URL": f"{url}/v1", "NAGA_PROVISIONING_KEY": variable(account).lower()}
        return measure([*words, "-f", str(folder / f"{environment(account)}.yaml")], credential)

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(run, range(accounts)))


def measured(name: str, chosen: argparse.Namespace, words: Sequence[str], *, differs: bool) -> Run:
    """Measure one way to run one command."""
    with tempfile.TemporaryDirectory() as made, served(chosen, differs=differs) as url:
        folder = Path(made)
        # In a process of its own: the peak memory that the system reports of a child begins at that of its parent.
        sizes = [str(chosen.accounts), str(chosen.keys)]
        subprocess.run([sys.executable, str(Path(__file__)), "--write", made, *sizes], check=True)
        begun = time.perf_counter()
        if name == "one process":
            costs = one_process(words, folder, url, chosen.accounts)
        else:
            costs = process_an_account(words, folder, url, chosen.accounts, chosen.jobs)
        wall = time.perf_counter() - begun
        with urllib.request.urlopen(f"{url}/count") as answer:  # noqa: S310  # this machine's own server
            requests = int(answer.read())
    return Run(wall, sum(cost.cpu for cost in costs), max(cost.memory for cost in costs), requests)


def write(folder: Path, accounts: int, keys: int) -> None:
    """Write all.yaml, and a file for each account."""
    with (folder / "all.yaml").open("w") as together:
        together.write(_HEAD)
        for account in range(accounts):
            together.write(declared(account, keys, own_file=False))
            own = folder / f"{environment(account)}.yaml"
            own.write_text(_HEAD + declared(account, keys, own_file=True))


SCENARIOS: Final = (
    ("plan, nothing to do", ("plan",), False),
    ("plan, 2 % to change", ("plan",), True),
    ("apply of that", ("apply", "--auto-approve"), True),
)


def page(chosen: argparse.Namespace) -> None:
    """Measure everything and print the page."""
    words = f"--accounts {chosen.accounts} --keys {chosen.keys} --jobs {chosen.jobs} --latency {chosen.latency:g}"
    cores = f"{os.cpu_count()} shared cores"
    print(f"# {chosen.accounts} accounts of {chosen.keys} keys\n\n`python benchmarks/many_accounts.py {words}`,")
    print(f"{cores}, {platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}.\n")
    print(f"Every answer takes {chosen.latency:g} ms. One key in {CHANGED} has another limit than declared, and one in")
    print(f"{CHANGED} is created; its secret goes to a dotenv file. Peak memory is that of the largest process.\n")
    print("| Command | Run as | Wall s | CPU s | Peak MB | Requests | of them an account |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    for label, command, differs in SCENARIOS[chosen.first - 1 :]:
        for name in ("one process", f"a process an account, {chosen.jobs} at a time"):
            run = measured(name, chosen, command, differs=differs)
            share = run.requests / chosen.accounts
            figures = f"{run.wall:.1f} | {run.cpu:.1f} | {run.memory / 1e6:.0f} | {run.requests:,} | {share:g}"
            print(f"| {label} | {name} | {figures} |", flush=True)


def main() -> None:
    """Do what the command line asks for."""
    if sys.argv[1:2] == ["--serve"]:
        _, _, state, accounts, keys, latency = sys.argv
        asyncio.run(serve(int(accounts), int(keys), differs=state == "differs", latency=float(latency) / 1000))
    elif sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
        parser.add_argument("--accounts", type=int, default=200)
        parser.add_argument("--keys", type=int, default=500, help="in each account")
        parser.add_argument("--jobs", type=int, default=4, help="processes at a time, of those that take one account")
        parser.add_argument(
            "--first", type=int, default=1, metavar="N", help="begin with the Nth of the three commands"
        )
        parser.add_argument("--latency", type=float, default=20, metavar="MS", help="of every answer")
        page(parser.parse_args())


if __name__ == "__main__":
    main()
