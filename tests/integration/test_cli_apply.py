"""`reconciler apply`: what it shows, what it asks, what it locks, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dotenv import dotenv_values

from reconciler.account import lock
from reconciler.cli import apply
from reconciler.cli.apply import Progress, exit_code
from reconciler.engine import applying
from reconciler.execution import executor
from reconciler.planning.actions import ApplyResult, Outcome, Status
from support.command import Front, Output, answers_come_after, on_a_file, on_a_socket
from support.plans import full_plan, plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from reconciler.model import Snapshot

ONE = "{a: {credit_limit: 1}}"
THREE = "{a: {credit_limit: 1}, b: {credit_limit: 1}, c: {credit_limit: 1}}"
MORE = THREE.replace("1", "9")
NOBODY = "there is nobody to ask, so nothing was changed; pass --auto-approve to apply without asking"


@pytest.fixture(params=["file", "socket"])
def front(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    opened = on_a_file if request.param == "file" else on_a_socket
    with opened(tmp_path, monkeypatch) as front:
        yield front


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def done(front: Front, keys: str = THREE) -> Front:
    """Declare keys and have them applied."""
    assert front.declare(keys)("apply", "--auto-approve").code == 0
    return front


def statuses(document: Any) -> list[str]:
    return [f"{change['action']} {change['address']} {change['status']}" for change in document["changes"]]


def after_each_outcome(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have something happen right after each outcome."""
    report = Progress.report

    def and_then(self: Progress, outcome: Outcome) -> None:
        report(self, outcome)
        do()

    monkeypatch.setattr(Progress, "report", and_then)


# --- when all goes well -----------------------------------------------------------------------------------------------


def test_a_log_shows_the_plan_each_change_and_the_sum(front: Front) -> None:
    ended = front.declare(THREE)("apply", "--auto-approve")
    assert ended.code == 0
    assert "+ create  a  credit_limit $1" in ended.out
    assert "\n\nApplied 3 changes.\n" in ended.out
    assert "Done" not in ended.out
    lines = ended.err.splitlines()
    assert [line.rpartition(" (id")[0].partition("] ")[2] for line in sorted(lines)]
    assert {line.partition("] ")[2].partition(" (")[0] for line in lines} == {f"create ci/{key} done" for key in "abc"}
    assert front.names() == ["ci/a", "ci/b", "ci/c"]
    secrets = dotenv_values("secrets.env")
    assert all(front.state.opens(secrets[f"KEY_{key}"] or "") for key in "ABC")


def test_v_lists_all_that_was_done(front: Front) -> None:
    ended = front.declare(ONE)("-v", "apply", "--auto-approve")
    assert "\nDone\n  + create  ci/a  id " in ended.out
    assert "POST /v1/account/keys: 201 in " in ended.err


def test_as_json_the_result_is_one_document_and_the_plan_stands_beside_it(front: Front) -> None:
    ended = front.declare(THREE)("apply", "--auto-approve", "--format", "json")
    assert ended.code == 0
    assert statuses(ended.document) == [f"create ci/{key} done" for key in "abc"]
    assert (ended.document["in_sync"], ended.document["interrupted"], ended.document["note"]) == (True, False, None)
    assert "Plan: 3 to create." in ended.err


def test_as_markdown_the_result_stands_alone_and_the_plan_beside_it(front: Front) -> None:
    ended = front.declare(THREE)("apply", "--auto-approve", "--format", "markdown")
    assert ended.code == 0
    assert ended.out.startswith("### ")
    assert "3 changes" in ended.out
    assert "+ create" not in ended.out
    assert "Plan: 3 to create." in ended.err


@pytest.mark.parametrize("flags", [(), ("--format", "json"), ("--auto-approve",)])
def test_a_run_that_finds_nothing_to_do_asks_nobody_and_locks_nothing(
    front: Front, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    done(front)
    monkeypatch.setattr(applying, "Lock", None)
    ended = front("apply", *flags)
    assert ended.code == 0
    if "json" in flags:
        assert (ended.document["changes"], ended.document["in_sync"]) == ([], True)
    else:
        assert ended.out.startswith("No changes.")


def test_the_lock_is_gone_afterwards_and_can_be_left_out(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    after_each_outcome(monkeypatch, lambda: seen.append(front.names()))
    done(front, ONE)
    front.declare("{a: {credit_limit: 2}}")
    assert front("apply", "--auto-approve", "--no-lock").code == 0
    with_lock, without = seen
    assert with_lock[0] == "ci/a"
    assert with_lock[1].startswith("reconciler~lock.")
    assert without == front.names() == ["ci/a"]


def test_a_leaked_key_is_replaced_and_disabled_at_once(front: Front) -> None:
    done(front, ONE)
    leaked = dotenv_values("secrets.env")["KEY_A"] or ""
    assert front("apply", "--auto-approve", "--rotate", "ci/a", "--no-overlap").code == 0
    fresh = dotenv_values("secrets.env")["KEY_A"] or ""
    assert (front.state.opens(leaked), front.state.opens(fresh)) == (False, True)


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["y\n", "Y\n", " yes \n"])
def test_yes_at_a_terminal_lets_it_go_on(local: Front, answer: str) -> None:
    ended = local.declare(ONE)("apply", terminal=True, answer=answer)
    assert ended.code == 0
    assert "Make this change? [y/N] " in ended.err
    assert local.names() == ["ci/a"]


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yep\n"])
@pytest.mark.parametrize("output_format", ["text", "json"])
def test_anything_else_leaves_everything_as_it_is(local: Front, answer: str, output_format: str) -> None:
    ended = local.declare(THREE)("apply", "--format", output_format, terminal=True, answer=answer)
    assert ended.code == 1
    assert ended.err.endswith("Make these 3 changes? [y/N] error: not approved; nothing was changed\n")
    assert local.names() == []
    if output_format == "json":
        assert statuses(ended.document) == [f"create ci/{key} not_attempted" for key in "abc"]
        assert (ended.document["note"], ended.document["in_sync"]) == ("not approved; nothing was changed", False)
    else:
        assert ended.out.rstrip("\n").splitlines()[-1].endswith("(+$3); balance: $100")


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_terminal_gets_a_long_plan_summed_up_unless_all_is_asked_for(
    local: Front, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    local.declare(f"{{{', '.join(f'k{number}: {{credit_limit: 1}}' for number in range(41))}}}")

    def listed(*words: str, terminal: bool = True) -> int:
        return local(*words, terminal=terminal, answer="no\n").out.count("+ create")

    assert listed(verb) == 0
    assert listed(verb, "--full") == listed("-v", verb) == listed(verb, terminal=False) == 41


def test_where_nobody_can_answer_it_does_not_ask(local: Front) -> None:
    ended = local.declare(ONE)("apply", "--format", "json")
    assert (ended.code, ended.document["note"]) == (1, NOBODY)
    assert ended.err.endswith(f"error: {NOBODY}\n")
    assert local.names() == []


def test_who_would_not_see_the_question_is_not_asked(monkeypatch: pytest.MonkeyPatch, local: Front) -> None:
    class HalfTerminal(Output):
        def isatty(self) -> bool:
            return self is not sys.stderr

    monkeypatch.setattr("support.command.Output", HalfTerminal)
    ended = local.declare(ONE)("apply", answer="y\n")
    assert (ended.code, ended.err) == (1, f"error: {NOBODY}\n")


def test_what_changed_since_the_question_was_asked_is_not_applied(
    local: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "ask", lambda _: local.state.create_key("ci/stranger"))
    ended = local.declare(ONE)("apply", "--format", "json")
    assert ended.code == 4
    assert statuses(ended.document) == ["create ci/a not_attempted"]
    assert ended.document["note"].startswith("the account changed after the plan was shown")
    assert local.names() == ["ci/stranger"]


def test_unattended_what_changed_meanwhile_is_shown_and_applied(local: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(lock.Lock):
        async def _acquire(self, *how: Any) -> Any:
            local.state.create_key("ci/stranger")
            return await super()._acquire(*how)

    monkeypatch.setattr(applying, "Lock", Late)
    ended = local.declare(ONE)("apply", "--auto-approve")
    assert ended.code == 0
    assert "The account has changed meanwhile; this is the plan now:\n" in ended.err
    assert ended.out.index("Plan: 1 to create.") < ended.out.index("Plan: 1 to create, 1 to delete.")
    assert local.names() == ["ci/a"]


# --- refused before the first write -----------------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_a_finding_refuses_the_plan(front: Front, output_format: str) -> None:
    for _ in range(2):
        front.state.create_key("ci/a")
    ended = front.declare(THREE)("apply", "--auto-approve", "--format", output_format)
    assert ended.code == 3
    assert ended.err.splitlines()[-1].startswith("error: refused: ")
    assert front.names() == ["ci/a", "ci/a"]
    if output_format == "json":
        assert statuses(ended.document) == ["create ci/b not_attempted", "create ci/c not_attempted"]
        assert ended.document["in_sync"] is None
        assert ended.document["note"].startswith("refused: ")
    else:
        assert "This plan cannot be applied: 1 error." in ended.out


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_a_destination_that_would_refuse_stops_everything_before_the_first_write(
    front: Front, output_format: str
) -> None:
    Path("secrets.env").mkdir()
    ended = front.declare(ONE)("apply", "--auto-approve", "--format", output_format)
    assert ended.code == 1
    assert "error: local: " in ended.err
    assert front.names() == []
    if output_format == "json":
        assert statuses(ended.document) == ["create ci/a not_attempted"]
        assert ended.document["note"].startswith("local: ")
    else:
        assert "Not attempted" not in ended.out


@pytest.mark.parametrize(
    ("prepare", "note"),
    [
        (lambda: Path("keys.yaml").unlink(), "there is no file keys.yaml"),
        (lambda: Path("keys.yaml").write_text("version: 2"), "keys.yaml:1:10: error: version must be 1"),
        (lambda: Path("sim.db").write_text("?"), "sim.db"),
    ],
    ids=["no file", "wrong file", "no account"],
)
def test_as_json_even_an_apply_that_cannot_begin_gives_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[], object], note: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Front(None, "--simulator", "sim.db").declare(ONE)  # type: ignore[arg-type]  # nobody looks at the account
    prepare()
    ended = Front(None, "--simulator", "sim.db")("apply", "--format", "json")  # type: ignore[arg-type]  # the same
    assert ended.code == 1
    assert ended.document["changes"] == []
    assert note in ended.document["note"]
    assert (ended.document["in_sync"], ended.document["interrupted"]) == (None, False)


# --- done in part -----------------------------------------------------------------------------------------------------


def test_what_failed_is_told_as_it_happens_and_again_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = "PATCH /v1/account/keys/2 status=400"
    with on_a_socket(tmp_path, monkeypatch, fault) as front:
        for key in "abc":
            front.state.create_key(f"ci/{key}", Decimal(1))
        ended = front.declare(MORE)("apply", "--auto-approve", "--no-lock")
        assert ended.code == 5
        assert "update ci/b failed: PATCH /v1/account/keys/2: 400" in ended.err
        assert "\n\nFailed\n  ~ update  ci/b  PATCH /v1/account/keys/2: 400" in ended.out
        assert "Applied 2 of 3" in ended.out
        again = front("apply", "--auto-approve", "--no-lock", "--format", "json")
    assert (again.code, statuses(again.document)) == (1, ["update ci/b failed"])
    assert again.document["in_sync"] is False


def result(*statuses: Status, **fields: Any) -> ApplyResult:
    actions = full_plan().actions
    return ApplyResult(tuple(map(Outcome, actions, statuses)), **fields)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (result(remaining=plan()), 0),
        (result(Status.DONE, remaining=plan()), 0),
        (result(Status.DONE, remaining=full_plan()), 5),
        (result(Status.DONE, note="not read again"), 1),
        (result(Status.DONE, Status.FAILED, remaining=full_plan()), 5),
        (result(Status.DONE, Status.NOT_ATTEMPTED), 5),
        (result(Status.FAILED, Status.NOT_ATTEMPTED), 1),
        (result(Status.NOT_ATTEMPTED), 1),
        (result(Status.DONE, interrupted=True), 130),
        (result(Status.NOT_ATTEMPTED, interrupted=True), 130),
    ],
)
def test_the_exit_code_says_how_much_was_done(result: ApplyResult, code: int) -> None:
    assert exit_code(result) == code


@pytest.mark.parametrize(
    ("output_format", "attempted"), [("text", True), ("text", False), ("json", True), ("json", False)]
)
def test_a_bug_in_the_middle_does_not_hide_what_was_done(
    local: Front,
    monkeypatch: pytest.MonkeyPatch,
    output_format: str,
    attempted: bool,  # noqa: FBT001  # a column of the table
) -> None:
    execute = executor.execute

    async def stumble(*arguments: Any, **options: Any) -> None:
        if attempted:
            await execute(*arguments, **options)
        msg = "ng-a-secret"
        raise RuntimeError(msg)

    monkeypatch.setattr("reconciler.execution.executor.execute", stumble)
    ended = local.declare(ONE)("apply", "--auto-approve", "--format", output_format)
    assert ended.code == 1
    assert "error: unexpected RuntimeError, a bug" in ended.err
    assert "ng-a-secret" not in ended.out + ended.err
    if output_format == "json":
        assert statuses(ended.document) == [f"create ci/a {'done' if attempted else 'not_attempted'}"]
        assert ended.document["note"] == "unexpected RuntimeError"
    else:
        assert ("Applied 1 change." in ended.out) is attempted
    assert local.names() == (["ci/a"] if attempted else [])


# --- the lock ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for other locks in steps of milliseconds."""
    monkeypatch.setattr(lock, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(lock, "LONGEST_PAUSE", 0.001)


def post_rival(front: Front) -> int:
    key, _ = front.state.create_key("reconciler~lock.rival", Decimal(0), front.state.now() + timedelta(days=1))
    return key.id


@pytest.mark.usefixtures("brisk")
def test_who_waits_for_another_apply_says_for_whom(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    rival = post_rival(front)
    notes: list[str] = []

    def hear(message: str, **_: str) -> None:
        if not notes:
            asyncio.get_running_loop().call_later(0.03, front.state.delete_key, rival)
        notes.append(message)

    monkeypatch.setattr(apply, "note", hear)
    assert front.declare(ONE)("apply", "--auto-approve", "--lock-timeout", "90s").code == 0
    said = notes[0]
    assert said.startswith(f"Waiting up to 90s for another apply: key {rival} (reconciler~lock.rival) has locked the")
    assert front.names() == ["ci/a"]


def test_who_has_waited_long_enough_gives_up(front: Front) -> None:
    post_rival(front)
    ended = front.declare(ONE)("apply", "--auto-approve", "--lock-timeout", "0s", "--format", "json")
    assert ended.code == 1
    assert ended.document["note"].startswith("another apply is running: key 1 (reconciler~lock.rival)")
    assert statuses(ended.document) == ["create ci/a not_attempted"]
    assert front.names() == ["reconciler~lock.rival"]


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("output_format", ["text", "json"])
def test_ctrl_c_while_waiting_for_the_lock_changes_nothing_and_leaves_no_lock(
    front: Front, monkeypatch: pytest.MonkeyPatch, output_format: str
) -> None:
    post_rival(front)
    monkeypatch.setattr(apply, "note", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    ended = front.declare(ONE)("apply", "--auto-approve", "--format", output_format)
    assert ended.code == 130
    assert ended.err.endswith("Interrupted.\n")
    assert front.names() == ["reconciler~lock.rival"]
    if output_format == "json":
        assert statuses(ended.document) == ["create ci/a not_attempted"]
        assert ended.document["interrupted"] is True


def test_ctrl_c_right_after_locking_takes_the_lock_away(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire = lock.Lock._acquire

    async def and_interrupt(self: lock.Lock, *how: Any) -> Any:
        acquired = await acquire(self, *how)
        signal.raise_signal(signal.SIGTERM)
        return acquired

    monkeypatch.setattr(lock.Lock, "_acquire", and_interrupt)
    post_expired(front)
    ended = front.declare(ONE)("apply", "--auto-approve")
    assert ended.code == 130
    assert set(front.names()) <= {"reconciler~lock.dead"}


def post_expired(front: Front) -> None:
    """Leave a lock to sweep, so that a request follows on the locking."""
    front.state.create_key("reconciler~lock.dead", Decimal(0), front.state.now() + timedelta(seconds=1))
    front.state.travel(timedelta(seconds=2))


def test_what_is_left_of_a_dead_runs_lock_goes_even_when_nothing_else_is_to_do(front: Front) -> None:
    done(front, ONE)
    post_expired(front)
    assert front("plan").code == 0
    assert front.names() == ["ci/a", "reconciler~lock.dead"]
    assert front("apply").code == 0
    assert front.names() == ["ci/a"]


class Losing:
    """A lock that is lost at once, or not before a number of changes were made."""

    after = 0

    def __init__(self, account: Any, *_: object, **__: object) -> None:
        self._account = account

    @asynccontextmanager
    async def hold(self, lost: Callable[[], None]) -> AsyncIterator[Snapshot]:
        type(self).lost = staticmethod(lost)
        if self.after == 0:
            lost()
        yield await self._account.list_keys()

    lost: Any


@pytest.mark.parametrize(
    ("after", "code", "outcomes"),
    [
        (0, 1, ["not_attempted", "not_attempted", "not_attempted"]),
        (1, 5, ["done", "not_attempted", "not_attempted"]),
        (3, 1, ["done", "done", "done"]),
    ],
)
def test_a_lost_lock_stops_the_run_with_a_reason(
    local: Front, monkeypatch: pytest.MonkeyPatch, after: int, code: int, outcomes: list[str]
) -> None:
    done(local)
    monkeypatch.setattr(Losing, "after", after)
    monkeypatch.setattr(applying, "Lock", Losing)
    seen: list[int] = []

    def lose() -> None:
        seen.append(1)
        if len(seen) == after:
            Losing.lost()

    after_each_outcome(monkeypatch, lose)
    ended = local.declare(MORE)("apply", "--auto-approve", "--parallelism", "1", "--format", "json")
    assert ended.code == code
    assert [change["status"] for change in ended.document["changes"]] == outcomes
    assert (ended.document["interrupted"], ended.document["note"]) == (False, applying.LOCK_LOST)
    assert "error: the lock on the account could not be renewed, so another apply may start; stopping\n" in ended.err


def test_a_lock_that_someone_deletes_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEW_EVERY", 0.2)
    monkeypatch.setattr(lock, "RETRY_RENEWAL_EVERY", 0.01)
    lost = answers_come_after(monkeypatch)
    lose_lock = applying.Stopping.lose_lock

    def and_answer(self: applying.Stopping) -> None:
        lose_lock(self)
        lost.set()

    monkeypatch.setattr(applying.Stopping, "lose_lock", and_answer)
    with on_a_socket(tmp_path, monkeypatch, "PATCH /v1/account/keys/2 latency=1s") as front:
        for key in "abc":
            front.state.create_key(f"ci/{key}", Decimal(1))

        def delete_locks() -> None:
            for name, key_id in [(key.name, key.id) for key in front.state.keys()]:  # noqa: SIM118  # a method
                if name.startswith("reconciler~lock."):
                    front.state.delete_key(key_id)

        after_each_outcome(monkeypatch, delete_locks)
        ended = front.declare(MORE)("apply", "--auto-approve", "--parallelism", "1")
        assert ended.code == 5
        assert "Not attempted\n  ~ update  ci/c\n" in ended.out
        assert f"Note: {applying.LOCK_LOST}\n" in ended.out
        assert "interrupted" not in ended.out


# --- signals, in this process; test_cli_signals.py sends them to a real one -------------------------------------------


def test_the_first_signal_lets_what_is_under_way_finish(local: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    done(local)
    after_each_outcome(monkeypatch, once(lambda: signal.raise_signal(signal.SIGINT)))
    ended = local.declare(MORE)("apply", "--auto-approve", "--parallelism", "1")
    assert ended.code == 130
    assert "Stopping: finishing what is under way, starting nothing new.\n" in ended.err
    assert "Not attempted\n  ~ update  ci/c\n" in ended.out
    assert "\nThe run was interrupted; the next apply goes on from here.\n" in ended.out
    assert local.names() == ["ci/a", "ci/b", "ci/c"]


def once(do: Callable[[], object]) -> Callable[[], None]:
    left = [do]

    def maybe() -> None:
        if left:
            left.pop()()

    return maybe


def test_a_second_signal_cuts_off_what_is_under_way_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    def interrupt_repeatedly() -> None:
        for _ in range(3):
            loops[0].call_soon_threadsafe(signal.raise_signal, signal.SIGINT)

    after_each_outcome(monkeypatch, lambda: loops.append(asyncio.get_running_loop()))
    over = answers_come_after(monkeypatch, interrupt_repeatedly)
    with on_a_socket(tmp_path, monkeypatch, "PATCH /v1/account/keys/2 latency=1s") as front:
        for key in "abc":
            front.state.create_key(f"ci/{key}", Decimal(1))
        ended = front.declare(MORE)("apply", "--auto-approve", "--parallelism", "1", "--format", "json")
        over.set()
    assert ended.code == 130
    a, b, c = ended.document["changes"]
    assert (a["status"], b["status"], c["status"]) == ("done", "failed", "not_attempted")
    assert b["message"].startswith("stopped before its end")
    assert (ended.document["interrupted"], ended.document["in_sync"]) == (True, None)


def test_a_signal_during_the_last_reading_ends_the_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = answers_come_after(monkeypatch)
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys skip=3 latency=1s") as front:
        after_each_outcome(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
        ended = front.declare(ONE)("apply", "--auto-approve")
        over.set()
        assert ended.code == 130
        assert "Applied 1 change.\nThe run was interrupted" in ended.out
        assert front.names() == ["ci/a"]


def test_a_run_that_was_stopped_does_not_wait_long_for_the_lock_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "LEAVING_SECONDS", 0.05)
    over = answers_come_after(monkeypatch)
    with on_a_socket(tmp_path, monkeypatch, "DELETE * latency=1s") as front:
        after_each_outcome(monkeypatch, lambda: signal.raise_signal(signal.SIGTERM))
        ended = front.declare(ONE)("apply", "--auto-approve", "--format", "json")
        over.set()
        assert ended.code == 130
        assert statuses(ended.document) == ["create ci/a done"]
        assert ended.err.endswith("Interrupted.\n")


def test_ctrl_c_while_the_lock_goes_shortens_that_and_the_result_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "LEAVING_SECONDS", 0.05)
    leave = applying.Stopping.leave

    def and_interrupt(self: Any) -> None:
        leave(self)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(applying.Stopping, "leave", and_interrupt)
    over = answers_come_after(monkeypatch)
    with on_a_socket(tmp_path, monkeypatch, "DELETE * latency=1s") as front:
        ended = front.declare(ONE)("apply", "--auto-approve", "--format", "json")
        over.set()
        assert ended.code == 130
        assert (ended.document["in_sync"], statuses(ended.document)) == (True, ["create ci/a done"])
