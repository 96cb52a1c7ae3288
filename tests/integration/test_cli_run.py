"""A command with a key of its own, as people run it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

import reconciler
from reconciler.cli.run import _Forwarding
from reconciler.errors import GuardrailRefused, UsageError
from support.command import COMMAND, Ended, Front, Terminal, call, environment, on_a_file, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE = """\
version: 1
environments:
  ci:
    provisioning_key_env: NAGA_CI
    keys: {}
    leases:
      agent: {credit_limit: 2, ttl: 15m, max_open: 2, team: bots}
"""
SHOW = "import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    monkeypatch.chdir(tmp_path)
    from reconciler.simulator import State

    with on_a_file(tmp_path, monkeypatch) as front, State(tmp_path / "sim.naga_ci.db") as account:
        front.state = account
        yield front.write(FILE)


def run(front: Front, *words: str) -> Ended:
    """Run it with the options before what belongs to the command."""
    return call("run", *front.options, *words)


def python(code: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", code)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_secret_is_in_the_environment_and_no_provisioning_key_is(
    front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NAGA_CI", "NAGA_PROVISIONING_KEY", "COPY_OF_IT"):
        monkeypatch.setenv(name, "provisioning")
    ended = run(front, "ci/agent", "--as", "OPENAI_API_KEY", *python(SHOW))
    seen = json.loads((tmp_path / "seen.json").read_text("utf-8"))
    assert ended.code == 0
    assert seen["OPENAI_API_KEY"].startswith("ng-")
    assert "provisioning" not in seen.values()
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["OPENAI_API_KEY"] not in ended.out + ended.err
    assert front.names() == []


def test_the_key_lives_while_the_command_runs_with_the_lower_limit(front: Front) -> None:
    look = f"import subprocess, sys; subprocess.run({[*COMMAND, 'list', '--format', 'json', *front.options]!r}, stdout=open('list.json', 'w'), check=True)"  # noqa: E501
    assert run(front, "ci/agent", "--limit", "0.5", *python(look)).code == 0
    with open("list.json", encoding="utf-8") as file:  # noqa: PTH123  # a file of the working folder
        rows = json.load(file)["keys"]
    (row,) = [row for row in rows if row["state"] == "run"]
    assert (row["address"], row["credit_limit"], row["team"]) == ("ci/agent", "0.5", "bots")


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(7)", 7), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL)],
)
def test_the_exit_code_is_that_of_the_command(front: Front, code: str, expected: int) -> None:
    assert run(front, "ci/agent", *python(code)).code == expected
    assert front.names() == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ci/agent", "--", "no-such-program"], 127),
        (["ci/agent", "--", "./keys.yaml"], 126),
        (["ci/agent", "--", "."], 126),
        (["ci/agent", "--", "./"], 126),
        (["ci/agent"], 1),
        (["ci/agent", "--"], 1),
        (["--", "true"], 1),
        (["--limit", "1", "--min-balance", "1", "--", "true"], 1),
        (["agent", "--", "true"], 1),
        (["ci/nobody", "--", "true"], 1),
        (["ci/agent/x", "--", "true"], 1),
        (["ci/agent", "--limit", "3", "--", "true"], 1),
        (["ci/agent", "--as", "A B", "--", "true"], 1),
        (["ci/agent", "--as", "PATH", "--", "true"], 1),
        (["ci/agent", "--as", "NAGA_CI", "--", "true"], 1),
        (["ci/agent", "--min-balance", "1000000", "--", "true"], 3),
        (["--min-balance", "0", "--", "true"], 0),
        (["--min-balance", "0", "--", "sh", "-c", "exit 9"], 9),
    ],
    ids=str,
)
def test_what_cannot_run_costs_no_key(front: Front, words: list[str], code: int) -> None:
    assert run(front, *words).code == code
    assert front.names() == []


def test_a_program_that_goes_between_the_look_and_the_start_leaves_no_key(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.cli.run._unstartable", lambda _: None)
    assert run(front, "ci/agent", "--", "./gone").code == 127
    assert run(front, "ci/agent", "--", "./keys.yaml").code == 126
    assert front.names() == []


def test_more_than_max_open_are_refused_with_3(front: Front) -> None:
    for nonce in ("x", "y"):
        front.state.create_key(f"ci/agent~run.{nonce}", Decimal(2))
    assert run(front, "ci/agent", "--", "true").code == 3
    assert front.names() == ["ci/agent~run.x", "ci/agent~run.y"]


def test_plan_leaves_open_leases_alone_counts_them_and_deletes_those_that_ran_out(front: Front) -> None:
    from datetime import timedelta

    front.state.create_key("ci/agent~run.open", Decimal(2), front.state.now() + timedelta(days=2))
    front.state.create_key("ci/agent~run.over", Decimal(2), front.state.now() + timedelta(hours=1))
    front.state.travel(timedelta(hours=2))
    plan = front("plan", "--format", "json").document
    assert plan["summary"]["leased"] == 1
    (deleted,) = [change["before"]["name"] for change in plan["changes"] if change["action"] == "delete"]
    assert deleted == "ci/agent~run.over"


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(each, marks=pytest.mark.proof) for each in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT)),
    ],
)
def test_signals_reach_the_command_and_the_key_ends_with_it(front: Front, number: signal.Signals) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(60)"
    )
    before = signal.signal(number, signal.SIG_DFL)  # who runs these tests in the background ignores Ctrl-C
    try:
        starting = started("run", "ci/agent", *front.options, *python(code))
        process = starting.__enter__()
    finally:
        signal.signal(number, before)
    with contextlib.ExitStack() as stack:
        stack.push(starting)
        wait_until(lambda: os.path.exists("ready"))  # noqa: PTH110  # a file of the working folder
        process.send_signal(number)
        assert process.wait(60) == 42
    assert front.names() == []


@pytest.mark.proof
def test_what_the_caller_ignores_the_command_ignores_too(front: Front) -> None:
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    words = [*COMMAND, "run", "ci/agent", *front.options, *python(code)]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert subprocess.run(words, env=environment(), check=False).returncode == 1
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.proof
def test_after_a_kill_the_key_ends_by_itself_within_its_ttl(front: Front) -> None:
    from datetime import timedelta

    with started(
        "run", "ci/agent", *front.options, *python("open('ready', 'w').close(); import time; time.sleep(9)")
    ) as process:
        wait_until(lambda: os.path.exists("ready"))  # noqa: PTH110  # a file of the working folder
        process.kill()
        process.wait()
    (key,) = front.state.keys()
    assert key.expires_at is not None
    assert key.expires_at - key.created_at <= timedelta(minutes=15)


def test_ctrl_c_on_a_terminal_reaches_the_command_once_and_takes_the_key_away(front: Front) -> None:
    code = (
        "import signal, sys, time\n"
        "times = []\n"
        "signal.signal(signal.SIGINT, lambda *_: times.append(1))\n"
        "print('ready', sys.stdin.isatty(), flush=True)\n"
        "while not times: time.sleep(0.05)\n"
        "time.sleep(0.5)\n"
        "sys.exit(40 + len(times))"
    )
    with Terminal("run", "ci/agent", *front.options, *python(code)) as terminal:
        terminal.wait_for("ready True")
        terminal.type("\x03")
        assert terminal.end() == 41
    assert front.names() == []


def test_a_command_is_stopped_when_the_balance_is_too_low(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.engine.leasing.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("reconciler.cli.run.GRACE_SECONDS", 0.1)
    stubborn = (
        "import signal, sqlite3, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "from reconciler.simulator import State\n"
        "from decimal import Decimal\n"
        "State('sim.naga_ci.db').set_balance(Decimal(1))\n"
        "time.sleep(60)"
    )
    front.state.set_balance(Decimal(100))
    assert run(front, "ci/agent", "--min-balance", "20", *python(stubborn)).code == 3
    assert front.names() == []
    front.state.set_balance(Decimal(100))
    assert run(front, "ci/agent", "--min-balance", "20", *python("raise SystemExit(5)")).code == 5


def test_a_program_holds_a_key_in_a_block(front: Front) -> None:
    with reconciler.lease("ci/agent", simulator="sim.db") as secret:
        assert secret.reveal().startswith("ng-")
        assert [name.partition("~")[0] for name in front.names()] == ["ci/agent"]
    assert secret.wiped
    assert front.names() == []


def test_a_block_that_fails_leaves_no_key_and_too_many_get_none(front: Front) -> None:
    lease = reconciler.lease("ci/agent", reconciler.load(), simulator="sim.db")
    with pytest.raises(ZeroDivisionError), lease:
        raise ZeroDivisionError
    with lease, lease, pytest.raises(GuardrailRefused), lease:
        pass
    assert front.names() == []
    with pytest.raises(UsageError):
        reconciler.lease(reconciler.Address("ci", "nobody"), simulator="sim.db")


def test_a_program_with_an_event_loop_holds_one_too(front: Front) -> None:
    import asyncio

    async def work() -> None:
        async with reconciler.lease("ci/agent", limit=Decimal(1), simulator="sim.db") as secret:
            assert secret.reveal()
            assert [key.credit_limit for key in front.state.keys()] == [1]  # noqa: SIM118  # a method

    asyncio.run(work())
    assert front.names() == []


class Process:
    """What of a process signals are sent to; one that is gone does not take them."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.heard: list[int] = []

    def send_signal(self, number: int) -> None:
        if self.gone:
            raise ProcessLookupError
        self.heard.append(number)


def test_signals_before_the_start_reach_the_command_and_those_after_the_end_nobody() -> None:
    forwarding, process = _Forwarding(), Process()
    forwarding.handle(signal.SIGTERM, None)
    forwarding(cast("Any", process))
    assert process.heard == [signal.SIGTERM]
    process.gone = True
    forwarding.handle(signal.SIGTERM, None)
    assert process.heard == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("group", "heard"),
    [("own", []), ("another", [signal.SIGINT]), ("none", [signal.SIGINT]), ("no terminal", [signal.SIGINT])],
)
def test_what_the_keyboard_sends_to_all_in_the_foreground_is_not_sent_again(
    group: str, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def group_of(_: int) -> int:
        if group == "none":
            raise OSError
        return os.getpgrp() + (group == "another")

    terminal = "/nowhere" if group == "no terminal" else os.devnull
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, *how: opened(terminal if path == "/dev/tty" else path, *how))
    monkeypatch.setattr(os, "tcgetpgrp", group_of)
    forwarding, process = _Forwarding(), Process()
    forwarding(cast("Any", process))
    forwarding.handle(signal.SIGINT, None)
    assert process.heard == heard
