"""`reconciler revoke`: dead first, whatever is broken beside it, then replaced; and no later run brings it back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dotenv import dotenv_values

from reconciler import errors
from reconciler.engine import accounts, revoking
from reconciler.planning import planner, revocation
from reconciler.planning.names import next_name, old_name, pending_name, sent_name
from support.command import Front, hurry, on_a_file
from support.places.gcp import GcpPlace
from support.places.gitlab import GitLabPlace
from support.places.kubernetes import KubernetesPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model import Snapshot
    from support.places.base import Place

TWO = "{a: {credit_limit: 1}, b: {credit_limit: 2}}"
FAULTS = "RECONCILER_SIMULATOR_FAULTS"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        front.declare(TWO)
        yield front


@pytest.fixture
def done(front: Front) -> Front:
    assert front("apply", "--auto-approve").code == 0
    return front


def secret(name: str) -> str:
    return str(dotenv_values("secrets.env")[name])


def of(document: Any) -> list[tuple[str, str]]:
    return [(each["address"], each["status"]) for each in document["replacements"]]


def kinds(front: Front) -> list[str]:
    return [name.partition(".")[0] for name in front.names()]


def id_of(front: Front, name: str) -> str:
    return next(str(key.id) for key in front.state.keys() if key.name == name)  # noqa: SIM118  # a method


def enabled(front: Front, name: str) -> bool:
    return next(key.is_enabled for key in front.state.keys() if key.name.startswith(name))  # noqa: SIM118  # a method


def settles(front: Front) -> None:
    """See that a plan has nothing to do, now and, but for the dead keys, when their time is over."""
    assert front("plan", "--detailed-exitcode").code == 0
    front.state.travel(timedelta(days=2))
    assert front("apply", "--auto-approve").code == 0
    assert front.names() == ["ci/a", "ci/b"]


def test_an_environment_that_is_not_declared_is_an_error_and_kills_nothing(done: Front) -> None:
    ended = done("revoke", "ci/a", "-e", "ic", "--yes")
    assert (ended.code, ended.out) == (1, "")
    assert done.state.opens(secret("KEY_A"))


def test_a_leaked_key_is_dead_and_replaced_and_stays_so(done: Front) -> None:
    leaked, other = secret("KEY_A"), secret("KEY_B")
    ended = done("revoke", "ci/a", "--yes")
    assert ended.code == 0
    assert not done.state.opens(leaked)
    assert done.state.opens(secret("KEY_A"))
    assert (secret("KEY_B"), kinds(done)) == (other, ["ci/a", "ci/a~old", "ci/b"])
    assert leaked not in ended.out + ended.err
    settles(done)
    assert not done.state.opens(leaked)


def test_other_changes_of_the_file_do_not_go_along_and_no_guardrail_asks(done: Front) -> None:
    text = Path("keys.yaml").read_text(encoding="utf-8").replace("credit_limit: 2", "credit_limit: 9")
    done.write(text.replace("keys:", "protected: true\n    credit_budget: 1\n    keys:"))
    ended = done("revoke", "ci/a", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert ended.document["replacements"][0]["places"] == ["local as KEY_A"]
    assert [(each["address"], each["dead"]) for each in ended.document["keys"]] == [("ci/a", True)]
    assert {key.name: key.credit_limit for key in done.state.keys()}["ci/b"] == 2  # noqa: SIM118  # a method


def test_a_broken_destination_does_not_keep_it_alive(done: Front) -> None:
    leaked = secret("KEY_A")
    Path("secrets.env").unlink()
    Path("secrets.env").mkdir()
    ended = done("revoke", "ci/a", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (5, [("ci/a", "failed")])
    assert not done.state.opens(leaked)
    assert "NOT REPLACED" in done("revoke", "ci/a", "--yes").out
    Path("secrets.env").rmdir()
    assert done("revoke", "ci/a", "--yes").code == 0  # what is dead already is only replaced
    assert done.state.opens(secret("KEY_A"))


def test_a_broken_file_does_not_keep_it_alive(done: Front) -> None:
    leaked = secret("KEY_A")
    done.write("version: 1\nenvironments: [")
    ended = done("revoke", "ci/a", "--yes")
    assert ended.code == 5
    assert not done.state.opens(leaked)
    done.declare(TWO)
    assert done("apply", "--auto-approve").code == 0
    settles(done)


def test_without_a_file_an_id_or_a_glob_of_names_is_enough(done: Front) -> None:
    Path("keys.yaml").unlink()
    ended = done("revoke", "ci/*", "--yes", "--format", "json")
    assert (ended.code, of(ended.document), kinds(done)) == (0, [], ["ci/a~old", "ci/b~old"])
    assert ended.err.startswith("warning: ")
    assert [each["dead"] for each in done("revoke", "ci/*", "--yes", "--format", "json").document["keys"]] == [True] * 2


def test_no_replace_only_kills_and_the_next_apply_creates_the_successor(done: Front) -> None:
    leaked = secret("KEY_A")
    ended = done("revoke", "ci/a", "--yes", "--no-replace", "--format", "json")
    assert (ended.code, of(ended.document), kinds(done)) == (0, [], ["ci/a~old", "ci/b"])
    assert done("apply", "--auto-approve").code == 0
    assert done.state.opens(secret("KEY_A"))
    assert not done.state.opens(leaked)
    settles(done)


def test_globs_take_all_keys_of_the_addresses_and_dead_names_never_meet(done: Front) -> None:
    soon = old_name("ci/a", done.state.now() + timedelta(hours=1))
    for name in (
        soon,
        next_name("ci/a"),
        pending_name("ci/a", "0"),
        sent_name("ci/b", "0"),
        "ci/a~gone.20990101T000000Z",
    ):
        done.state.create_key(name, expires_at=done.state.now() + timedelta(hours=20))
    done.state.create_key("other/a")
    ended = done("revoke", "*", "--yes", "--format", "json")
    assert ended.code == 0
    assert len(ended.document["keys"]) == 7
    assert kinds(done) == ["ci/a", *["ci/a~old"] * 5, "ci/b", *["ci/b~old"] * 2, "other/a"]
    assert len(set(done.names())) == 10
    assert sum(key.is_enabled for key in done.state.keys()) == 3  # noqa: SIM118  # a method
    assert done("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("name", [sent_name("ci/a", "0"), next_name("ci/a")])
def test_a_dead_key_of_a_rotation_by_its_id_has_the_one_that_stays_rotated(done: Front, name: str) -> None:
    done.state.create_key(name, expires_at=done.state.now() + timedelta(hours=20))
    before = secret("KEY_A")
    assert done("revoke", id_of(done, name), "--yes", "--no-replace").code == 0
    assert not enabled(done, "ci/a~sent")
    ended = done("revoke", id_of(done, "ci/a"), "--yes", "--format", "json")  # after the other, nothing stays
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert secret("KEY_A") != before
    settles(done)


def test_a_dead_successor_by_its_id_is_replaced_by_a_rotation(done: Front) -> None:
    done.state.create_key(next_name("ci/a"))
    before = secret("KEY_A")
    ended = done("revoke", next_name("ci/a"), "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert secret("KEY_A") != before
    assert done.state.opens(secret("KEY_A"))
    assert done.state.opens(before)  # it has not leaked, and has its overlap
    settles(done)


def test_the_key_that_a_successor_waits_to_replace_leaves_it_the_place(done: Front) -> None:
    done.state.create_key(next_name("ci/a"))
    waiting = id_of(done, next_name("ci/a"))
    ended = done("revoke", id_of(done, "ci/a"), "--yes", "--format", "json")
    assert ended.code == 0
    assert ended.document["replacements"][0]["key_id"] == int(waiting) == int(id_of(done, "ci/a"))


def test_a_retired_key_goes_with_the_settled_one_or_it_would_come_back(done: Front) -> None:
    done.state.create_key("ci/a~gone.20990101T000000Z", is_enabled=False)
    ended = done("revoke", id_of(done, "ci/a"), "--yes", "--format", "json")
    assert (ended.code, len(ended.document["keys"])) == (0, 2)
    assert kinds(done) == ["ci/a", "ci/a~old", "ci/a~old", "ci/b"]
    settles(done)


def test_a_superseded_key_by_its_id_leaves_the_settled_one_in_place(done: Front) -> None:
    name = old_name("ci/a", done.state.now() + timedelta(hours=1))
    _, leaked = done.state.create_key(name)
    ended = done("revoke", id_of(done, name), "--yes", "--format", "json")
    assert (ended.code, ended.document["replacements"][0]["key_id"]) == (0, int(id_of(done, "ci/a")))
    assert not done.state.opens(str(leaked))
    settles(done)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("my laptop", "my laptop~old"),
        ("ci/agent~run.0", "ci/agent~old"),
        ("ci/gone", "ci/gone~old"),
        ("reconciler~lock.0", "reconciler~lock"),
        ("x" * 255, "x" * 234 + "~old"),
        ("other~old.1", "other~old"),
    ],
)
def test_a_key_without_declaration_is_killed_by_its_id(done: Front, name: str, after: str) -> None:
    done.state.create_key(name, expires_at=done.state.now() + timedelta(minutes=1))
    ended = done("revoke", id_of(done, name), "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [])
    assert not enabled(done, after)


def test_an_address_without_destinations_is_only_killed(done: Front) -> None:
    done.write(Path("keys.yaml").read_text(encoding="utf-8").replace("a: {", "a: {deliver: [], "))
    ended = done("revoke", "ci/a", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "not_needed")])
    assert "not replaced" in done("revoke", "ci/a", "--yes").out


def test_where_no_successor_may_be_made_it_says_so(done: Front) -> None:
    text = Path("keys.yaml").read_text(encoding="utf-8")
    done.write(text.replace("a: {", "a: {expires_at: 2020-01-01T00:00:00Z, ").replace("b: {", "b: {id: 99, "))
    ended = done("revoke", "ci/*", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (5, [("ci/a", "failed"), ("ci/b", "failed")])


def test_a_typed_name_that_means_nothing_changes_nothing(done: Front) -> None:
    ended = done("revoke", "ci/b", "ci/x", "--yes")
    assert (ended.code, done.names()) == (1, ["ci/a", "ci/b"])
    assert "ci/x" in ended.err


@pytest.mark.parametrize(("terminal", "answer", "code"), [(False, "", 1), (True, "n\n", 1), (True, "y\n", 0)])
def test_somebody_confirms(done: Front, *, terminal: bool, answer: str, code: int) -> None:
    ended = done("revoke", "ci/*", terminal=terminal, answer=answer)
    assert ended.code == code
    assert len(done.names()) == (2 if code else 4)


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ("PATCH * status=404 times=1", 1),
        ("PATCH * status=404 times=1; GET /v1/account/keys/* status=403", 1),
        ("PATCH * lose=before; GET /v1/account/keys/* status=403", 1),
        ("GET /v1/account/keys status=403 skip=1", 5),
        ("PATCH * status=403 times=1", 1),
        ("PATCH * status=503 times=9", 1),
        ("PATCH * odd-patch=204", 0),
        ("PATCH * lose=after times=1", 0),
        ("POST * status=403", 5),
    ],
)
def test_an_answer_that_leaves_open_whether_it_is_dead_is_settled(
    done: Front, monkeypatch: pytest.MonkeyPatch, faults: str, code: int
) -> None:
    leaked = secret("KEY_A")
    hurry(monkeypatch)
    monkeypatch.setenv(FAULTS, faults)
    ended = done("revoke", "ci/a", "--yes")
    assert ended.code == code, ended
    assert done.state.opens(leaked) == (code == 1)
    assert ("NOT DEAD" in ended.out) == (code == 1)


@pytest.mark.parametrize("ahead", [timedelta(days=91), timedelta(days=-91)])
def test_a_clock_that_is_wrong_here_keeps_nobody_alive(done: Front, ahead: timedelta) -> None:
    done.state.travel(ahead)
    leaked = secret("KEY_A")
    assert done("revoke", "ci/a", "--yes").code == 0
    assert not done.state.opens(leaked)
    assert done("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("refused", ["400", "409", "422"])
@pytest.mark.parametrize(("more", "code"), [("", 0), ("; PATCH * status=403 skip=1 times=1", 1)])
def test_a_service_that_does_not_take_the_end_or_the_name_still_kills(
    done: Front, monkeypatch: pytest.MonkeyPatch, refused: str, more: str, code: int
) -> None:
    leaked = secret("KEY_A")
    monkeypatch.setenv(FAULTS, f"PATCH * status={refused} times=1{more}")
    ended = done("revoke", "ci/a", "--yes", "--no-replace")
    assert (ended.code, done.state.opens(leaked)) == (code, False), ended
    monkeypatch.delenv(FAULTS)
    assert done("revoke", "ci/a", "--yes").code == 0
    assert not done.state.opens(leaked)
    settles(done)


@pytest.mark.parametrize(("fault", "kept"), [("", ["ci/a~sent"]), ("POST * status=403 skip=1", [])])
def test_a_lock_that_stays_holds_up_no_successor_which_is_rotated_again_under_the_lock(
    done: Front, monkeypatch: pytest.MonkeyPatch, fault: str, kept: list[str]
) -> None:
    monkeypatch.setattr(revoking, "LOCK_TIMEOUT", timedelta(0))
    monkeypatch.setenv(FAULTS, fault)
    leaked = secret("KEY_A")
    done.state.create_key("reconciler~lock.0", expires_at=done.state.now() + timedelta(minutes=2))
    ended = done("revoke", "ci/a", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert kinds(done) == ["ci/a", "ci/a~old", *kept, "ci/b", "reconciler~lock"]
    assert done.state.opens(secret("KEY_A"))
    done.state.travel(timedelta(minutes=3))
    monkeypatch.delenv(FAULTS)
    before = secret("KEY_A")
    assert done("apply", "--auto-approve").code == 0
    assert (secret("KEY_A") != before) == bool(kept)
    assert not done.state.opens(leaked)
    settles(done)


def test_a_key_that_is_gone_meanwhile_is_dead(done: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    read = revocation.revocations

    def gone(*given: Any) -> Any:
        done.state.delete_key(int(id_of(done, "ci/a")))
        return read(*given)

    monkeypatch.setattr(revoking, "revocations", gone)
    ended = done("revoke", "ci/a", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("GET /v1/account/keys/2 status=403", 1)])
def test_what_an_apply_beside_it_enables_again_is_killed_again(
    done: Front, monkeypatch: pytest.MonkeyPatch, fault: str, code: int
) -> None:
    leaked = secret("KEY_A")
    key_id = int(id_of(done, "ci/a"))
    plan = planner.make_plan

    def enabling(declared: Any, seen: Snapshot, options: Any) -> Any:
        done.state.update_key(key_id, is_enabled=True)
        return plan(declared, seen, options)

    monkeypatch.setattr(revoking, "make_plan", enabling)
    monkeypatch.setenv(FAULTS, fault.replace("keys/2", f"keys/{key_id}"))
    assert done("revoke", "ci/a", "--yes").code == code
    assert done.state.opens(leaked) == (code == 1)


def test_an_end_before_the_successor_is_completed_by_the_next_apply(
    done: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(revoking, "make_plan", lambda *_: 1 / 0)
        assert done("revoke", "ci/a", "--yes").code == 1
    assert kinds(done) == ["ci/a~old", "ci/b"]
    assert done("apply", "--auto-approve").code == 0
    settles(done)


def test_a_signal_begins_no_successor(done: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planner.make_plan

    def signalled(*given: Any) -> Any:
        stops[0]()
        return plan(*given)

    stops: list[Any] = []
    signals = revoking.revoke

    def listening(request: Any, found: Any, listener: Any, calls: Any) -> Any:
        def calling(react: Any) -> Any:
            stops.append(react)
            return calls(react)

        return signals(request, found, listener, calling)

    monkeypatch.setattr(revoking, "revoke", listening)
    monkeypatch.setattr(revoking, "make_plan", signalled)
    ended = done("revoke", "ci/a", "--yes", "--format", "json")
    assert (ended.code, ended.document["interrupted"], of(ended.document)) == (130, True, [("ci/a", "failed")])
    assert kinds(done) == ["ci/a~old", "ci/b"]


# --- a secret in place of a name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["{}", "'{}'", 'export KEY_A="{}" # the key of a'])
def test_a_leaked_secret_on_standard_input_is_enough(done: Front, line: str) -> None:
    leaked = secret("KEY_A")
    written = line.format(leaked)
    text = (
        Path("secrets.env")
        .read_text(encoding="utf-8")
        .replace(f"KEY_A={leaked}", written if "=" in line else f"KEY_A={written}")
    )
    Path("secrets.env").write_text(text, encoding="utf-8")
    ended = done("revoke", "-", "--yes", "--format", "json", answer=f" {leaked}\n")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert not done.state.opens(leaked)
    assert leaked not in ended.out + ended.err


def test_on_a_terminal_the_secret_is_not_shown(done: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    leaked = secret("KEY_B")
    monkeypatch.setattr("getpass.getpass", lambda _: leaked)
    assert done("revoke", "-", terminal=True, answer="y\n").code == 0
    assert not done.state.opens(leaked)


@pytest.mark.parametrize(
    ("destination", "typed", "says"),
    [
        ("{type: dotenv, path: secrets.env}", "ng-unknown", "no destination that can tell holds this secret; look on"),
        ("{type: dotenv, path: .}", "ng-unknown", "not known of local: .: "),
        ("{type: exec, command: [cat]}", "ng-unknown", "not known of local: it runs a command"),
        ("{type: github-actions, repository: a/b}", "ng-x", "github-actions cannot read back"),
        ("{type: dotenv, path: secrets.env}", " ", "holds no secret"),
    ],
)
def test_where_no_destination_holds_it_the_message_says_where_to_look(
    done: Front, destination: str, typed: str, says: str
) -> None:
    text = Path("keys.yaml").read_text(encoding="utf-8")
    done.write(text.replace("{type: dotenv, path: secrets.env}", destination))
    ended = done("revoke", "-", "--yes", answer=typed)
    assert (ended.code, done.names()) == (1, ["ci/a", "ci/b"])
    assert says in ended.err
    assert "ng-" not in ended.err


@pytest.mark.parametrize("world", [GcpPlace, GitLabPlace, KubernetesPlace])
def test_a_leaked_secret_is_found_by_the_fingerprint_that_a_system_keeps(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Callable[[Path, pytest.MonkeyPatch], Place]
) -> None:
    place = world(tmp_path, monkeypatch)
    local = {"type": place.target.type, **dict(place.target.settings)}
    text = Path("keys.yaml").read_text(encoding="utf-8")
    front.write(text.replace("{type: dotenv, path: secrets.env}", json.dumps(local)))
    assert front("apply", "--auto-approve").code == 0
    leaked = place.held()["KEY_A"]
    ended = front("revoke", "-", "--yes", "--format", "json", answer=leaked)
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert (front.state.opens(leaked), front.state.opens(place.held()["KEY_A"])) == (False, True)
    assert front("revoke", "-", "--yes", answer=leaked).code == 1, "nothing holds it any more"


def test_a_destination_that_breaks_while_it_is_asked_tells_nothing(
    done: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object, *seen: object) -> None:
        raise RuntimeError(seen)

    monkeypatch.setattr("reconciler.destinations.dotenv.Dotenv.holds", broken)
    ended = done("revoke", "-", "--yes", answer="ng-unknown")
    assert (ended.code, "ng-unknown" in ended.err) == (1, False)


def test_without_a_declaration_nobody_can_be_asked(done: Front) -> None:
    Path("keys.yaml").unlink()
    assert done("revoke", "-", "--yes", answer="ng-x").code == 1


@pytest.mark.parametrize("key", ["ng-" + "a1" * 16, "naga_sk_" + "a-1_" * 5])
@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("revoke", "--yes"),
        ("plan", "--only"),
        ("plan", "--format", "json", "-e"),
        ("apply", "--format", "json", "--auto-approve", "--allow"),
        ("plan", "-f"),
        ("plan",),
        ("balance", "--min"),
        (),
    ],
)
def test_a_secret_given_as_an_argument_is_never_repeated(done: Front, words: tuple[str, ...], key: str) -> None:
    ended = done(*words, key)
    assert ended.code == 1
    assert key not in ended.out + ended.err
    assert key not in done(*words, f"--{key}").err
    assert "ci/a" in done("list").out


# --- several accounts -------------------------------------------------------------------------------------------------

ACCOUNTS = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
defaults: {credit_limit: 1}
environments:
  ci: {deliver: [{to: local, as: "KEY_{KEY}"}], keys: {a: {}}}
  qa: {provisioning_key_env: NAGA_QA, deliver: [{to: local, as: "QA_{KEY}"}], keys: {a: {}}}
"""


def test_of_several_accounts_each_kills_its_own(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    front.write(ACCOUNTS)
    assert front("apply", "--auto-approve").code == 0
    twice = id_of(front, "ci/a")
    assert front("revoke", twice, "--yes").code == 1  # both accounts have a key of this id
    before = secret("QA_A")
    ended = front("revoke", twice, "-e", "ci", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced")])
    assert secret("QA_A") == before
    ended = front("revoke", "*", "--yes", "--format", "json")
    assert (ended.code, of(ended.document)) == (0, [("ci/a", "replaced"), ("qa/a", "replaced")])
    monkeypatch.setattr(front, "options", ())
    assert front("revoke", "ci/a", "--yes").code == 1  # no credential at all


def test_an_account_that_cannot_be_read_holds_up_what_is_in_another(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.write(ACCOUNTS)
    assert front("apply", "--auto-approve").code == 0
    read = accounts.read_all

    async def half(variables: Any, *given: Any, **more: Any) -> Any:
        answers = await read(variables, *given, **more)
        return {v: errors.AccountError("down") if v == down else each for v, each in answers.items()}

    monkeypatch.setattr(revoking, "read_all", half)
    down = "NAGA_QA"
    ended = front("revoke", "qa/a", "--yes")
    assert (ended.code, "one was not read: NAGA_QA: down" in ended.err) == (1, True)
    assert front("revoke", "ci/a", "--yes").code == 0

    found = revoking.find

    async def late(request: Any) -> Any:
        nonlocal down
        down = ""
        answer = await found(request)
        down = "NAGA_QA"
        return answer

    monkeypatch.setattr(revoking, "find", late)
    ended = front("revoke", "*/a", "--yes", "--format", "json")
    assert ended.code == 1
    assert [each["dead"] for each in ended.document["keys"]][-1] is False
