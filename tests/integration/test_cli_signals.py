"""Signals sent to a real process, as a person and a cancelled workflow send them, over a real socket."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from decimal import Decimal
from typing import IO, TYPE_CHECKING

import pytest

from reconciler.cli import help as help_pages
from reconciler.cli.help import explain
from reconciler.cli.main import cli, run
from reconciler.engine.applying import LEAVING_SECONDS
from reconciler.execution.executor import GRACE_SECONDS
from support.command import Front, answers_come_after, call, on_a_file, on_a_socket, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

THREE = "{a: {credit_limit: 9}, b: {credit_limit: 9}, c: {credit_limit: 9}}"
# A cancelled GitHub workflow sends SIGINT, SIGTERM 7.5 s later, and SIGKILL 2.5 s after that.
SIGTERM_AFTER, SIGKILL_AFTER = 7.5, 10.0
KEYS_ARE_SLOW = ("GET /v1/account/keys latency=10s skip=1", "GET /v1/account/keys status=503 times=1")


def prepare(front: Front) -> None:
    for key in "abc":
        front.state.create_key(f"ci/{key}", Decimal(1))
    front.declare(THREE)


@contextmanager
def simulated(fault: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve the account of sim.db by the command that is there for it."""
    with started("simulate", "--state", "sim.db", "--fault", fault) as server:
        assert server.stdout
        monkeypatch.setenv("NAGA_BASE_URL", server.stdout.readline().strip())
        monkeypatch.setenv("NAGA_PROVISIONING_KEY", "simulator")
        yield


def stderr(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stderr
    return process.stderr


def limits(front: Front) -> list[Decimal | None]:
    return [key.credit_limit for key in front.state.keys()]  # noqa: SIM118  # a method, not a mapping's


def test_the_grace_fits_into_what_a_cancelled_workflow_leaves() -> None:
    assert GRACE_SECONDS < SIGTERM_AFTER
    assert GRACE_SECONDS + LEAVING_SECONDS < SIGKILL_AFTER


@pytest.mark.proof  # it waits as long as GitHub does
def test_a_cancelled_workflow_is_told_where_things_stand_before_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_file(tmp_path, monkeypatch) as front, simulated("PATCH /v1/account/keys/2 latency=60s", monkeypatch):
        prepare(front)
        words = ("apply", "--auto-approve", "--parallelism", "1", "--format", "json")
        with started(*words, **account()) as process:
            wait_for(process, "[1/3] update ci/a done")
            process.send_signal(signal.SIGINT)
            cancelled = time.monotonic()
            wait_for(process, "Stopping: finishing what is under way, starting nothing new.")
            while process.poll() is None and time.monotonic() < cancelled + SIGTERM_AFTER:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        document = json.loads(out)
        assert [change["status"] for change in document["changes"]] == ["done", "failed", "not_attempted"]
        assert document["changes"][1]["message"].startswith("stopped before its end")
        assert document["interrupted"] is True
        assert "Traceback" not in err
        assert front.names() == ["ci/a", "ci/b", "ci/c"]
        assert limits(front) == [Decimal(9), Decimal(1), Decimal(1)]


def account() -> dict[str, str]:
    """Give the account of this process's environment to another."""
    return {name: os.environ[name] for name in ("NAGA_BASE_URL", "NAGA_PROVISIONING_KEY")}


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read stderr up to a line that holds this."""
    seen = ""
    for line in stderr(process):
        seen += line
        if text in line:
            return
    raise AssertionError(seen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_under_way_finishes_and_nothing_new_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    heard = answers_come_after(monkeypatch)
    with on_a_socket(tmp_path, monkeypatch, "PATCH /v1/account/keys/2 latency=1s") as front:
        prepare(front)
        with started("apply", "--auto-approve", "--parallelism", "1", **account()) as process:
            wait_for(process, "[1/3] update ci/a done")
            process.send_signal(number)
            wait_for(process, "Stopping: finishing what is under way, starting nothing new.")
            heard.set()
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "[2/3] update ci/b done" in err
        assert "Not attempted\n  ~ update  ci/c\n" in out
        assert "The run was interrupted; the next apply goes on from here." in out
        assert front.names() == ["ci/a", "ci/b", "ci/c"]
        assert call("apply", "--auto-approve").code == 0
        assert limits(front) == [Decimal(9)] * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [("plan",), ("apply", "--auto-approve")], ids=lambda words: words[0])
def test_while_it_only_reads_it_just_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, words: tuple[str, ...]
) -> None:
    with on_a_socket(tmp_path, monkeypatch, *KEYS_ARE_SLOW) as front:
        prepare(front)
        with started("-v", *words, **account()) as process:
            wait_for(process, "GET /v1/account/keys: 503")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "")
        assert err.splitlines()[-1] == "Interrupted."
        assert "Traceback" not in err
        assert front.names() == ["ci/a", "ci/b", "ci/c"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_end_is_explained_changes_nothing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """`timeout` sends two at once, and a person may press Ctrl-C twice."""

    def explain_and_meet(error: BaseException, *, verbose: bool) -> int:
        signal.raise_signal(number)
        return explain(error, verbose=verbose)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(number)
    monkeypatch.setattr(help_pages, "explain", explain_and_meet)
    monkeypatch.setattr(cli, "invoke", interrupt)
    assert run(["plan"]) == 130
    assert signal.getsignal(number) == before
