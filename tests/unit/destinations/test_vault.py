"""The `vault` destination against a real OpenBao server, with what networks do to it in between."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import threading
import urllib.parse
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest
import trustme

from reconciler.destinations import vault_server
from reconciler.destinations.base import Closing, Describing, Held, SecretDelivery, fingerprint
from reconciler.destinations.vault import MOST_NOTES, Vault
from reconciler.errors import DestinationError
from reconciler.http.exchange import Timeouts
from reconciler.http.retry import POLICY, Timing
from reconciler.http.sender import Sender
from reconciler.model import Address, Target
from reconciler.secret import Secret
from support.jwt import Issuer
from support.leaks import everything_shown
from support.meddler import Cut, Meddler, Say
from support.servers import ROOT, OpenBao, empty_openbao, openbao

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from pathlib import Path

    from support.meddler import Seen, Verdict

_Result = TypeVar("_Result")
LEAK = "ng-THISMUSTNEVERBESHOWN0000000000000"
GZIP = {"Content-Encoding": "gzip"}
ENOUGH = (
    "secret/data/+/* => create, patch, update",
    "secret/metadata/+/* => read, patch",
    "secret/subkeys/+/* => read",
)


@pytest.fixture(scope="module")
def bao() -> OpenBao:
    return openbao()


@pytest.fixture(autouse=True)
def front(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meddler]:
    """What stands at VAULT_ADDR: the server, seen through a meddler."""
    meddler = Meddler()
    meddler.reset(bao.url)
    for name in ("VAULT_NAMESPACE", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_JWT", "VAULT_CACERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAULT_ADDR", meddler.url)
    monkeypatch.setenv("VAULT_TOKEN", ROOT)
    yield meddler
    meddler.close()
    OPENED.clear()


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A secret of the test's own."""
    return f"naga/{abs(hash(request.node.nodeid)):x}"


class Clock:
    """Time that passes only in waits."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    @property
    def timing(self) -> Timing:
        return Timing(sleep=self.sleep, random=lambda: 0.0, monotonic=lambda: self.now)


def vault(path: str, settings: Mapping[str, str] | None = None, clock: Clock | None = None) -> Vault:
    target = Target("vault", "vault", tuple({"path": path, **(settings or {})}.items()))
    place = Vault(target, (clock or Clock()).timing)
    OPENED[threading.get_ident()].append(place)
    return place


OPENED: defaultdict[int, list[Vault]] = defaultdict(list)


def secret_delivery(name: str = "NAGA_API", secret: str = LEAK, key_id: int = 7) -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), key_id, name, Secret(secret))


def run(*steps: Coroutine[object, object, object], closing: Sequence[Vault] = ()) -> object:
    """Run steps one after the other; gives what the last one gives."""

    async def all_of_them() -> object:
        result: object = None
        for step in steps:
            result = await step
        for each in closing:
            await each.aclose()
        return result

    return hung_up(all_of_them())


def hung_up(work: Coroutine[object, object, _Result]) -> _Result:
    """Run work, and close the connections as the end of a process does: without a word to the server."""

    async def to_the_end() -> _Result:
        try:
            return await work
        finally:
            for place in OPENED[threading.get_ident()]:
                server, place._server = place._server, None
                if server is not None:
                    await server._api.aclose()

    return asyncio.run(to_the_end())


def failure(work: Coroutine[object, object, object]) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        run(work)
    assert "\n" not in str(caught.value)
    return caught.value


def is_write(seen: Seen) -> bool:
    return seen.method in {"POST", "PATCH"} and "/data/" in seen.path


def once(verdict: Verdict, wanted: Callable[[Seen], bool] = is_write) -> Callable[[Seen], Verdict]:
    """Do something to the first such request."""
    left = [verdict]
    return lambda seen: left.pop() if left and wanted(seen) else None


def always(verdict: Verdict, wanted: Callable[[Seen], bool] = is_write) -> Callable[[Seen], Verdict]:
    return lambda seen: verdict if wanted(seen) else None


# --- what is written ------------------------------------------------------------------------------------------------


def test_a_login_that_cannot_read_any_secret_is_enough(
    bao: OpenBao, front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", bao.token(*ENOUGH))
    bao.ask("POST", f"secret/data/{path}", {"data": {"OTHER": "kept"}})
    place = vault(path)
    described = run(
        place.preflight(["NAGA_API"]),
        place.deliver(secret_delivery(secret="ng-1")),
        place.describe(["NAGA_API", "OTHER", "NAGA_JOBS"]),
        closing=[place],
    )
    assert bao.secret(path) == {"OTHER": "kept", "NAGA_API": "ng-1"}
    assert isinstance(described, dict)
    assert described.keys() == {"NAGA_API", "OTHER"}
    assert described["NAGA_API"].key_id == 7
    assert abs(described["NAGA_API"].since - datetime.now(UTC)) < timedelta(minutes=5)
    assert described["OTHER"] == Held(None, None)
    assert not [seen for seen in front.seen if seen.method == "GET" and "/data/" in seen.path]


def test_the_destination_describes_and_closes() -> None:
    assert isinstance(vault("naga/x"), Describing)
    assert isinstance(vault("naga/x"), Closing)


def test_the_custom_metadata_notes_the_key_beside_what_others_have_noted(
    bao: OpenBao, front: Meddler, path: str
) -> None:
    bao.ask("POST", f"secret/metadata/{path}", {"custom_metadata": {"owner": "platform"}})
    run(vault(path).deliver(secret_delivery()))
    notes = bao.metadata(path)["custom_metadata"]
    written = bao.metadata(path)["versions"]["1"]["created_time"][:19]
    known = f"key_id=7 since={written}Z sha256={fingerprint(secret_delivery().secret)} address=production/api"
    assert notes == {"owner": "platform", "naga.NAGA_API": known}
    assert len(front.seen) == 3


def test_a_rotation_is_a_new_version_and_a_new_note(bao: OpenBao, front: Meddler, path: str) -> None:
    place = vault(path)
    described = run(
        place.deliver(secret_delivery(secret="ng-1")),
        place.deliver(secret_delivery(secret="ng-2", key_id=8)),
        place.describe(["NAGA_API"]),
    )
    assert isinstance(described, dict)
    assert described["NAGA_API"].key_id == 8
    old = bao.ask("GET", f"secret/data/{path}?version=1")["data"]["data"]
    assert (old, bao.secret(path)) == ({"NAGA_API": "ng-1"}, {"NAGA_API": "ng-2"})
    assert len(front.seen) == 8


def test_a_deleted_secret_is_written_again_and_holds_nothing_until_then(bao: OpenBao, path: str) -> None:
    place = vault(path)
    run(place.deliver(secret_delivery(secret="ng-1")))
    bao.ask("DELETE", f"secret/data/{path}")
    assert run(place.describe(["NAGA_API"])) == {}
    run(place.deliver(secret_delivery(secret="ng-2")))
    assert bao.secret(path) == {"NAGA_API": "ng-2"}


def test_a_field_that_somebody_has_dropped_is_not_described(bao: OpenBao, path: str) -> None:
    place = vault(path)
    run(place.deliver(secret_delivery()))
    bao.ask("POST", f"secret/data/{path}", {"data": {"OTHER": "x"}})
    assert run(place.describe(["NAGA_API"])) == {}


@pytest.mark.parametrize("note", ["key_id=x", "key_id=7 since=yesterday address=production/api"])
def test_a_note_that_cannot_be_read_says_no_more_than_it_does(bao: OpenBao, path: str, note: str) -> None:
    place = vault(path)
    run(place.deliver(secret_delivery()))
    bao.ask("POST", f"secret/metadata/{path}", {"custom_metadata": {"naga.NAGA_API": note}})
    assert run(place.describe(["NAGA_API"])) == {"NAGA_API": Held(7 if "=7" in note else None, None)}


def test_describing_a_secret_that_may_not_be_looked_at_says_so(
    bao: OpenBao, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", bao.token("secret/data/* => create"))
    assert f"secret/subkeys/{path} cannot be read: 403" in str(failure(vault(path).describe(["NAGA_API"])))


def test_deliveries_that_come_together_are_written_together(bao: OpenBao, front: Meddler, path: str) -> None:
    place = vault(path)

    async def deliver() -> None:
        await asyncio.gather(*(place.deliver(secret_delivery(f"NAGA_{i}", f"ng-{i}")) for i in range(40)))

    run(deliver())
    assert bao.secret(path) == {f"NAGA_{i}": f"ng-{i}" for i in range(40)}
    assert len([seen for seen in front.seen if is_write(seen)]) == 1


def test_two_secrets_of_one_name_at_a_time_are_refused(path: str) -> None:
    place = vault(path)

    async def deliver() -> list[object]:
        both = (place.deliver(secret_delivery(secret=secret)) for secret in ("ng-1", "ng-2"))
        return list(await asyncio.gather(*both, return_exceptions=True))

    assert "another secret of this name" in str(run(deliver()))


@pytest.mark.parametrize("name", ["NAGA API", "NAGA/API", "", "N" * 101])
def test_a_name_that_cannot_be_noted_is_refused(front: Meddler, path: str, name: str) -> None:
    error = failure(vault(path).deliver(secret_delivery(name)))
    assert "is no name for a field" in str(error)
    assert not error.uncertain
    assert f"{name!r} is no name for a field" in str(failure(vault(path).preflight([name])))
    assert not [seen for seen in front.seen if is_write(seen)]


def test_a_secret_that_is_no_text_is_refused(front: Meddler, path: str) -> None:
    error = failure(vault(path).deliver(secret_delivery(secret=f"{LEAK}\udc80")))
    assert "no text" in str(error)
    assert not error.uncertain
    assert LEAK not in everything_shown(error)
    assert not front.seen


# --- with others at the same place ----------------------------------------------------------------------------------


def test_a_write_by_somebody_else_in_between_is_kept(bao: OpenBao, front: Meddler, path: str) -> None:
    bao.ask("POST", f"secret/data/{path}", {"data": {"FIRST": "1"}})
    left = [1]

    def rule(seen: Seen) -> Verdict:
        if is_write(seen) and left:
            bao.ask("POST", f"secret/data/{path}", {"data": {"FIRST": "1", "SECOND": str(left.pop())}})
        return None

    front.rule = rule
    clock = Clock()
    run(vault(path, clock=clock).deliver(secret_delivery(secret="ng-1")))
    assert bao.secret(path) == {"FIRST": "1", "SECOND": "1", "NAGA_API": "ng-1"}
    assert len(clock.waits) == 1


def test_somebody_who_never_stops_writing_is_told_of(bao: OpenBao, front: Meddler, path: str) -> None:
    def rule(seen: Seen) -> Verdict:
        if is_write(seen):
            bao.ask("POST", f"secret/data/{path}", {"data": {"FIRST": "1"}})
        return None

    front.rule = rule
    error = failure(vault(path).deliver(secret_delivery()))
    assert "somebody else keeps writing" in str(error)
    assert not error.uncertain
    assert len([seen for seen in front.seen if is_write(seen)]) == POLICY.attempts


def test_two_runs_at_one_secret_lose_nothing(bao: OpenBao, path: str) -> None:
    def deliver(prefix: str) -> None:
        place = vault(path)
        run(*(place.deliver(secret_delivery(f"{prefix}_{i}", f"ng-{i}")) for i in range(5)))

    threads = [threading.Thread(target=deliver, args=(prefix,)) for prefix in ("A", "B")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bao.secret(path) == {f"{prefix}_{i}": f"ng-{i}" for prefix in "AB" for i in range(5)}


# --- answers that get lost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Cut(after=True), Cut(after=False), Say(503), Say(500), Say(429)])
def test_what_fails_in_passing_is_tried_again_and_told_of_by_nobody(
    bao: OpenBao, front: Meddler, path: str, verdict: Verdict
) -> None:
    front.rule = once(verdict)
    place = vault(path)
    described = run(place.deliver(secret_delivery(secret="ng-1")), place.describe(["NAGA_API"]))
    assert bao.secret(path) == {"NAGA_API": "ng-1"}
    assert isinstance(described, dict)
    assert described["NAGA_API"].key_id == 7


@pytest.mark.parametrize(
    ("verdict", "says", "uncertain"),
    [
        (Cut(after=True), "the connection was closed early", True),
        (Cut(after=False), "the connection was closed early", True),
        (Say(500, b'{"errors": ["disk full"]}'), "500 disk full", True),
        (Say(502, b"<h1>Bad gateway</h1>"), "502 <h1>Bad gateway</h1>", True),
        (Say(200, b"<h1>Sign in</h1>"), "200, but no answer that Vault gives", True),
        (Say(429, b"{}"), "429", False),
        (Say(403, b'{"errors": ["permission denied"]}'), "403 permission denied", False),
        (Say(400, b'{"errors": 1}'), "400", False),
        (Say(405, b"[]"), "405", False),
        (Say(307, b"", {"Location": "https://user:pw@other.example:8200/v1"}), "a redirect to other.example", False),
        (Say(307, b""), "307, a redirect, which is never followed", False),
        (Say(307, b"", {"Location": "https://[/"}), "307, a redirect, which is never followed", False),
    ],
    ids=str,
)
def test_an_error_says_whether_the_secret_may_be_there(
    front: Meddler, path: str, verdict: Verdict, says: str, *, uncertain: bool
) -> None:
    front.rule = always(verdict)
    error = failure(vault(path).deliver(secret_delivery()))
    assert says in str(error)
    assert error.uncertain is uncertain
    assert ("may not be in" in str(error)) is uncertain


def test_a_doubt_outlives_a_clear_refusal(front: Meddler, path: str) -> None:
    doubt = [Cut(after=True)]
    front.rule = lambda seen: (doubt.pop() if doubt else Say(403)) if is_write(seen) else None
    error = failure(vault(path).deliver(secret_delivery()))
    assert "403" in str(error)
    assert error.uncertain


def test_a_secret_that_arrived_without_its_note_is_told_of_as_there(bao: OpenBao, front: Meddler, path: str) -> None:
    front.rule = always(Say(403), lambda seen: seen.method == "PATCH" and "/metadata/" in seen.path)
    error = failure(vault(path).deliver(secret_delivery(secret="ng-1")))
    assert "it is there, but not what it is: 403" in str(error)
    assert error.uncertain
    assert bao.secret(path) == {"NAGA_API": "ng-1"}


def test_a_note_that_is_late_makes_no_second_version(bao: OpenBao, front: Meddler, path: str) -> None:
    front.rule = once(Say(503), lambda seen: seen.method == "PATCH" and "/metadata/" in seen.path)
    run(vault(path).deliver(secret_delivery(secret="ng-1")))
    assert bao.metadata(path)["current_version"] == 1


def test_a_server_that_asks_to_wait_is_waited_for(front: Meddler, path: str) -> None:
    front.rule = once(Say(429, b"{}", {"Retry-After": "7"}))
    clock = Clock()
    run(vault(path, clock=clock).deliver(secret_delivery()))
    assert clock.waits == [7.0]


def test_a_server_that_is_not_there_leaves_no_doubt(path: str, front: Meddler) -> None:
    front.close()
    error = failure(vault(path).deliver(secret_delivery()))
    assert "connection refused" in str(error)
    assert not error.uncertain


@pytest.mark.parametrize(
    ("short", "says"),
    [(Timeouts(whole=0.05), "no complete answer within 0.05 s"), (Timeouts(read=0.05), "no answer within 0.05 s")],
)
def test_a_server_that_falls_silent_is_given_up(
    front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch, short: Timeouts, says: str
) -> None:
    place, end = vault(path), threading.Event()

    def hang(seen: Seen) -> Verdict:
        # From now on, which is after the limit of this very request was set: the next one is the write.
        assert place._server is not None
        monkeypatch.setattr(place._server._api.sender, "_timeouts", short)
        if is_write(seen):
            end.wait(60)
        return None

    front.rule = hang
    try:
        error = failure(place.deliver(secret_delivery()))
    finally:
        end.set()
    assert says in str(error)
    assert error.uncertain


# --- preflight ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        (["secret/data/naga/* => read"], "the login lacks create and patch and update on secret/data/naga/"),
        (["secret/data/naga/* => create, patch, update"], "lacks patch and read on secret/metadata/naga/"),
        (["secret/data/naga/* => create, update", ENOUGH[1]], "the login lacks patch on secret/data/naga/"),
        (["cubbyhole/* => read"], "no secrets engine is mounted at secret/, or this login has no access"),
    ],
)
def test_a_read_only_login_is_found(
    bao: OpenBao, front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch, rules: list[str], lacking: str
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", bao.token(*rules))
    assert lacking in str(failure(vault(path).preflight(["NAGA_API"])))
    assert not [seen for seen in front.seen if is_write(seen)]


def test_a_token_that_the_server_does_not_know_is_found(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "s.nobody")
    assert "the token is refused" in str(failure(vault(path).preflight(["NAGA_API"])))


@pytest.mark.parametrize(
    ("mount", "finding"),
    [
        ("kv1", "the mount kv1/ is not KV version 2"),
        ("cubbyhole", "the mount cubbyhole/ is not KV version 2"),
        ("secret/naga", "secret/naga/ is no mount, but lies in secret/; `mount` is the one, `path` the rest"),
        ("nowhere", "no secrets engine is mounted at nowhere/"),
    ],
)
def test_a_mount_that_takes_no_secrets_is_found(bao: OpenBao, mount: str, finding: str) -> None:
    if mount == "kv1" and "kv1/" not in bao.ask("GET", "sys/mounts")["data"]:
        bao.ask("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
    assert finding in str(failure(vault("naga/x", {"mount": mount}).preflight(["NAGA_API"])))


def test_a_server_without_keys_and_a_sealed_one_are_found(front: Meddler) -> None:
    empty = empty_openbao()
    front.upstream = empty.url
    if not empty.ask("GET", "sys/init")["initialized"]:
        assert "it is not initialised" in str(failure(vault("naga/x").preflight(["NAGA_API"])))
        empty.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    clock = Clock()
    assert "it is sealed" in str(failure(vault("naga/x", clock=clock).preflight(["NAGA_API"])))
    assert clock.waits == []
    assert "503 Vault is sealed" in str(failure(vault("naga/x").deliver(secret_delivery())))


@pytest.mark.parametrize(
    ("wanted", "verdict", "finding"),
    [
        ("sys/health", Say(472, b"{}"), "472"),
        ("sys/health", Say(404, b'{"errors": ["no handler"]}'), "404 no handler"),
        ("sys/health", Cut(after=True), "the connection was closed early"),
        ("sys/capabilities-self", Cut(after=True), "the connection was closed early"),
        ("sys/capabilities-self", Say(400, b"{}"), "what the login may do cannot be found out: 400"),
        ("sys/internal", Cut(after=True), "the connection was closed early"),
        ("sys/internal", Say(400, b"{}"), "the mount secret/ cannot be looked at: 400"),
        ("sys/internal", Say(200, b'{"data": {"path": "secret/", "type": "kv", "options": null}}'), "not KV version 2"),
        ("metadata/", Say(400, b"{}"), "cannot be read: 400"),
    ],
    ids=str,
)
def test_what_cannot_be_found_out_before_is_a_finding_too(
    front: Meddler, path: str, wanted: str, verdict: Verdict, finding: str
) -> None:
    front.rule = always(verdict, lambda seen: wanted in seen.path)
    assert finding in str(failure(vault(path).preflight(["NAGA_API"])))


def test_more_fields_than_can_be_noted_are_found(bao: OpenBao, path: str) -> None:
    bao.ask("POST", f"secret/metadata/{path}", {"custom_metadata": {"owner": "platform"}})
    names = [f"NAGA_{i}" for i in range(MOST_NOTES)]
    assert f"{MOST_NOTES + 1} fields are too many" in str(failure(vault(path).preflight(names)))
    run(vault(path).preflight(names[1:]))


@pytest.mark.parametrize(
    ("variables", "finding"),
    [
        ({"VAULT_ADDR": ""}, "VAULT_ADDR must hold the server's address"),
        ({"VAULT_ADDR": "http://vault.example.com:8200"}, "https (or http to this machine)"),
        ({"VAULT_ADDR": "https://[vault"}, "VAULT_ADDR must hold the server's address"),
        ({"VAULT_TOKEN": ""}, "there is nothing to log in with: set VAULT_TOKEN"),
        ({"VAULT_TOKEN": f"{LEAK}\n{LEAK}"}, "VAULT_TOKEN holds characters that have no place there"),
        ({"VAULT_TOKEN": f"{LEAK}ü"}, "VAULT_TOKEN holds characters that have no place there"),
    ],
)
def test_an_environment_that_leads_nowhere_is_a_finding(
    front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], finding: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for work in (vault(path).preflight(["NAGA_API"]), vault(path).deliver(secret_delivery())):
        error = failure(work)
        assert finding in str(error)
        assert LEAK not in everything_shown(error)
    assert not front.seen


@pytest.mark.parametrize(
    "settings",
    [
        {"path": ""},
        {"path": "naga/../root"},
        {"path": "naga/."},
        {"path": "naga//x"},
        {"path": "naga/x?version=1"},
        {"path": "naga/x", "mount": "se cret"},
        {"path": "naga/x", "namespace": "a/../b"},
        {"path": "naga/x", "auth_mount": "jwt/login?x"},
    ],
)
def test_a_place_that_cannot_be_is_refused_when_it_is_opened(settings: dict[str, str]) -> None:
    with pytest.raises(DestinationError, match="must be a path of"):
        Vault(Target("vault", "vault", tuple(settings.items())))


# --- logging in -----------------------------------------------------------------------------------------------------


@pytest.fixture
def approle(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> OpenBao:
    """An AppRole that may deliver, in the environment."""
    if "approle/" not in bao.ask("GET", "sys/auth")["data"]:
        bao.ask("POST", "sys/auth/approle", {"type": "approle"})
    bao.ask("POST", "auth/approle/role/ci", {"token_policies": [bao.policy(*ENOUGH)], "token_ttl": "1h"})
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_ROLE_ID", bao.ask("GET", "auth/approle/role/ci/role-id")["data"]["role_id"])
    monkeypatch.setenv("VAULT_SECRET_ID", bao.ask("POST", "auth/approle/role/ci/secret-id")["data"]["secret_id"])
    return bao


def logins(front: Meddler) -> int:
    return len([seen for seen in front.seen if seen.path.endswith("/login")])


def test_a_thousand_keys_log_in_once_over_few_connections_and_log_out(
    approle: OpenBao, front: Meddler, path: str
) -> None:
    places = [vault(f"{path}/{i}") for i in range(60)]

    async def deliver() -> None:
        await asyncio.gather(*(place.preflight(["NAGA_API"]) for place in places))
        await asyncio.gather(*(place.deliver(secret_delivery(secret=f"ng-{i}")) for i, place in enumerate(places)))

    run(deliver(), closing=places)
    assert [approle.secret(f"{path}/{i}")["NAGA_API"] for i in range(60)] == [f"ng-{i}" for i in range(60)]
    asked = [urllib.parse.urlsplit(seen.path).path for seen in front.seen]
    assert (logins(front), asked.count("/v1/sys/health"), asked.count("/v1/sys/internal/ui/mounts/secret")) == (1, 1, 1)
    assert asked.count("/v1/auth/token/revoke-self") == 1
    assert 1 < front.most_at_once <= vault_server.CONNECTIONS


def test_a_login_that_ends_during_the_run_is_renewed(approle: OpenBao, front: Meddler, path: str) -> None:
    clock = Clock()
    place = vault(path, clock=clock)

    async def deliver() -> None:
        await place.deliver(secret_delivery("A"))
        clock.now += 3_000
        await place.deliver(secret_delivery("B"))
        assert logins(front) == 1
        clock.now += 300
        await place.deliver(secret_delivery("C"))

    run(deliver())
    assert logins(front) == 2
    assert approle.secret(path).keys() == {"A", "B", "C"}


@pytest.mark.usefixtures("approle")
def test_a_wrong_secret_id_is_a_finding_and_tried_once(
    front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_SECRET_ID", LEAK)
    places = [vault(f"{path}/{i}") for i in range(20)]

    async def ask() -> list[BaseException | None]:
        return await asyncio.gather(*(place.preflight(["NAGA_API"]) for place in places), return_exceptions=True)

    found = hung_up(ask())
    assert all("the login at auth/approle is refused: 400 invalid" in str(error) for error in found)
    assert logins(front) == 1
    assert LEAK not in everything_shown(next(error for error in found if error))


def test_a_role_without_secret_ids_logs_in_by_its_id_alone(
    approle: OpenBao, front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_role = {"token_policies": [approle.policy(*ENOUGH)], "bind_secret_id": False, "token_bound_cidrs": "127.0.0.1"}
    approle.ask("POST", "auth/approle/role/open", open_role)
    monkeypatch.setenv("VAULT_ROLE_ID", approle.ask("GET", "auth/approle/role/open/role-id")["data"]["role_id"])
    monkeypatch.delenv("VAULT_SECRET_ID")
    run(vault(path).deliver(secret_delivery(secret="ng-1")))
    assert approle.secret(path) == {"NAGA_API": "ng-1"}
    assert logins(front) == 1


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Cut(after=False), "the connection was closed early"),
        (Say(200, b'{"auth": {"client_token": 1}}'), "the login at auth/approle is refused: the answer holds no token"),
    ],
    ids=str,
)
def test_a_login_that_comes_to_nothing_leaves_no_doubt_about_the_secret(
    approle: OpenBao, front: Meddler, path: str, verdict: Verdict, says: str
) -> None:
    front.rule = always(verdict, lambda seen: seen.path.endswith("/login"))
    error = failure(vault(path).deliver(secret_delivery()))
    assert says in str(error)
    assert not error.uncertain
    assert approle.secret(path) == {}


def test_a_server_that_hangs_does_not_keep_the_run_from_its_end(
    approle: OpenBao, front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_server, "CLOSING_SECONDS", 0.05)
    end = threading.Event()

    def hang(seen: Seen) -> Verdict:
        if seen.path.endswith("/revoke-self"):
            end.wait(60)
        return None

    front.rule = hang
    place = vault(path)
    try:
        run(place.deliver(secret_delivery()), closing=[place, place])
    finally:
        end.set()
    assert approle.secret(path)


def test_nothing_is_sent_once_the_run_has_ended(front: Meddler, path: str) -> None:
    place, other = vault(path), vault(path)

    async def deliver() -> DestinationError:
        await place.deliver(secret_delivery(secret="ng-1"))
        await other.deliver(secret_delivery(secret="ng-2"))
        await place.aclose()
        front.reset(front.upstream)
        with pytest.raises(DestinationError, match="the run has ended") as caught:
            await other.deliver(secret_delivery())
        return caught.value

    assert not hung_up(deliver()).uncertain
    assert not front.seen


@pytest.fixture
def issuer(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """GitHub as far as Vault can tell: the server trusts its key, for one repository and one audience."""
    issuer = Issuer()
    if "github/" not in bao.ask("GET", "sys/auth")["data"]:
        bao.ask("POST", "sys/auth/github", {"type": "jwt"})
    bao.ask("POST", "auth/github/config", {"jwt_validation_pubkeys": [issuer.public_key], "bound_issuer": issuer.name})
    role = {
        "role_type": "jwt",
        "user_claim": "repository",
        "bound_audiences": ["https://vault.example.com"],
        "bound_claims": {"repository": "acme/api", "ref": "refs/heads/main"},
        "token_policies": [bao.policy(*ENOUGH)],
    }
    bao.ask("POST", "auth/github/role/reconciler", role)
    monkeypatch.delenv("VAULT_TOKEN")
    return issuer


CLAIMS = {"repository": "acme/api", "ref": "refs/heads/main", "aud": "https://vault.example.com"}
JWT_SETTINGS = {"role": "reconciler", "auth_mount": "github"}


def test_a_signed_token_of_the_environment_logs_in(
    bao: OpenBao, issuer: Issuer, front: Meddler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_JWT", issuer.sign(CLAIMS))
    place = vault(path, JWT_SETTINGS)
    run(place.preflight(["NAGA_API"]), place.deliver(secret_delivery(secret="ng-1")), closing=[place])
    assert bao.secret(path) == {"NAGA_API": "ng-1"}
    assert logins(front) == 1


@pytest.mark.parametrize("claim", [{"repository": "mallory/api"}, {"ref": "refs/heads/x"}, {"aud": "https://other"}])
def test_a_signed_token_for_another_job_is_refused(
    issuer: Issuer, path: str, monkeypatch: pytest.MonkeyPatch, claim: dict[str, str]
) -> None:
    jwt = issuer.sign({**CLAIMS, **claim})
    monkeypatch.setenv("VAULT_JWT", jwt)
    error = failure(vault(path, JWT_SETTINGS).preflight(["NAGA_API"]))
    assert "the login at auth/github is refused: 400" in str(error)
    assert jwt not in everything_shown(error)


@pytest.fixture
def github(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meddler]:
    """What signs tokens for a job, for whatever audience it asks."""
    meddler = Meddler()

    def sign(seen: Seen) -> Verdict:
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(seen.path).query))
        claims = {**CLAIMS, "aud": asked.get("audience", "https://github.com/acme")}
        return Say(200, json.dumps({"value": issuer.sign(claims)}).encode())

    meddler.rule = sign
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{meddler.url}/token?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", LEAK)
    yield meddler
    meddler.close()


def test_a_github_job_logs_in_by_the_token_that_github_signs_for_it(
    bao: OpenBao, github: Meddler, front: Meddler, path: str
) -> None:
    place = vault(path, {"audience": "https://vault.example.com", **JWT_SETTINGS})
    run(place.preflight(["NAGA_API"]), place.deliver(secret_delivery(secret="ng-1")), closing=[place])
    assert bao.secret(path) == {"NAGA_API": "ng-1"}
    (asked,) = github.seen
    assert asked.path == "/token?api-version=2.0&audience=https%3A%2F%2Fvault.example.com"
    assert asked.headers["authorization"] == f"Bearer {LEAK}"
    assert logins(front) == 1


def test_without_an_audience_github_chooses_one_that_the_role_may_refuse(github: Meddler, path: str) -> None:
    error = failure(vault(path, JWT_SETTINGS).preflight(["NAGA_API"]))
    assert "the login at auth/github is refused: 400" in str(error)
    assert github.seen[0].path == "/token?api-version=2.0"


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Say(403, f'{{"message": "{LEAK}"}}'.encode()), "GitHub gives no OIDC token: 403"),
        (Say(200, b"{}"), "GitHub gives no OIDC token: the answer holds none"),
        (Cut(after=False), "the connection was closed early"),
    ],
    ids=["refused", "empty", "cut"],
)
def test_a_github_that_gives_no_token_is_a_finding(github: Meddler, path: str, verdict: Verdict, says: str) -> None:
    github.rule = always(verdict, lambda _: True)
    error = failure(vault(path, JWT_SETTINGS).preflight(["NAGA_API"]))
    assert says in str(error)
    assert LEAK not in everything_shown(error)


def test_the_token_of_a_job_is_sent_to_nobody_in_the_clear(
    github: Meddler, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://actions.example.com/token")
    error = failure(vault(path, JWT_SETTINGS).preflight(["NAGA_API"]))
    assert "ACTIONS_ID_TOKEN_REQUEST_URL is no https address" in str(error)
    assert not github.seen


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_namespace_comes_from_the_file_or_the_environment(
    bao: OpenBao, path: str, monkeypatch: pytest.MonkeyPatch, *, by_setting: bool
) -> None:
    if not any(key == "team/" for key in _namespaces(bao)):
        bao.ask("POST", "sys/namespaces/team")
        bao.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, namespace="team")
    monkeypatch.setenv("VAULT_NAMESPACE", "elsewhere" if by_setting else "team/")
    place = vault(path, {"namespace": "team"} if by_setting else {})
    run(place.preflight(["NAGA_API"]), place.deliver(secret_delivery(secret="ng-1")))
    assert (bao.secret(path, namespace="team"), bao.secret(path)) == ({"NAGA_API": "ng-1"}, {})


def _namespaces(bao: OpenBao) -> list[str]:
    try:
        return [str(key) for key in bao.ask("LIST", "sys/namespaces")["data"]["keys"]]
    except OSError as error:
        error.close()  # type: ignore[attr-defined]  # it is an HTTPError
        return []


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted(bao: OpenBao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meddler]:
    """A server with a certificate; `tmp_path` holds its authority's and those of a client."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = authority.issue_cert("reconciler.example.com")
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    meddler = Meddler(context)
    meddler.reset(bao.url)
    monkeypatch.setenv("VAULT_ADDR", meddler.url)
    yield meddler
    meddler.close()


@pytest.mark.parametrize(
    "files",
    [
        {"VAULT_CACERT": "ca.pem"},
        {"VAULT_CACERT": "ca.pem", "VAULT_CLIENT_CERT": "client.pem", "VAULT_CLIENT_KEY": "client.key"},
        {"VAULT_CACERT": "ca.pem", "VAULT_CLIENT_CERT": "both.pem"},
    ],
    ids=str,
)
def test_the_authority_and_the_client_certificate_come_from_the_environment(
    encrypted: Meddler, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    for variable, file in files.items():
        monkeypatch.setenv(variable, str(tmp_path / file))
    run(vault(path).deliver(secret_delivery(secret="ng-1")))
    assert openbao().secret(path) == {"NAGA_API": "ng-1"}
    assert encrypted.seen


def test_a_certificate_that_nobody_vouches_for_is_not_tried_twice(encrypted: Meddler, path: str) -> None:
    clock = Clock()
    error = failure(vault(path, clock=clock).deliver(secret_delivery()))
    assert "VAULT_CACERT" in str(error)
    assert not error.uncertain
    assert clock.waits == []
    assert not encrypted.seen


def test_a_missing_certificate_file_is_said(encrypted: Meddler, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_CACERT", "/nowhere/ca.pem")
    assert "VAULT_CACERT or VAULT_CAPATH" in str(failure(vault(path).deliver(secret_delivery())))
    assert not encrypted.seen


# --- nothing leaks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict",
    [
        *(
            Say(status, json.dumps({"errors": [f"cannot take {LEAK} of root-{LEAK}"]}).encode())
            for status in (400, 500)
        ),
        Say(502, LEAK.encode()),
        Say(200, LEAK.encode()),
        Say(307, b"", {"Location": f"https://{LEAK}/"}),
        Cut(after=True),
        Cut(after=False),
    ],
    ids=str,
)
def test_no_failure_shows_a_secret_anywhere(
    front: Meddler, path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    caplog.set_level(logging.DEBUG)
    token = f"root-{LEAK}"
    monkeypatch.setenv("VAULT_TOKEN", token)
    front.rule = lambda seen: verdict if is_write(seen) else Say(404)
    error = failure(vault(path).deliver(secret_delivery()))
    for shown in (everything_shown(error), caplog.text, repr([vars(record) for record in caplog.records])):
        assert LEAK not in shown
    assert any(record.name == "reconciler.http" for record in caplog.records)


def test_what_was_never_thought_of_shows_no_secret_either(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*arguments: object, **named: object) -> None:
        msg = f"unexpected {arguments} {named}"
        raise RuntimeError(msg)

    monkeypatch.setattr(Sender, "once", explode)
    error = failure(vault(path).deliver(secret_delivery()))
    assert "unexpected RuntimeError" in str(error)
    assert LEAK not in everything_shown(error)


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Say(200, gzip.compress(bytes(vault_server.LARGEST_ANSWER + 1)), GZIP), "200, but the answer is larger than"),
        (Say(200, b'{"a": [' + b"1," * 1_000_001 + b"1]}"), "200, but no answer that Vault gives"),
        (Say(200, b"{}", {"Content-Encoding": "br"}), "200, but the answer comes in another coding than gzip"),
        (
            Say(307, gzip.compress(bytes(vault_server.LARGEST_ANSWER + 1)), {**GZIP, "Location": "/v1/x"}),
            "307, a redirect",
        ),
        (Say(403, gzip.compress(b"a" * vault_server.LARGEST_ANSWER), GZIP), "403 aaa"),
    ],
    ids=["bomb", "values", "coding", "redirect", "refusal"],
)
def test_no_answer_takes_more_than_it_may(front: Meddler, path: str, verdict: Verdict, says: str) -> None:
    front.rule = always(verdict)
    error = failure(vault(path).deliver(secret_delivery()))
    assert says in str(error)
    assert len(str(error)) < 1_000


def test_answers_are_asked_for_in_the_one_coding_that_is_read(front: Meddler, path: str) -> None:
    front.rule = once(Say(403, gzip.compress(b'{"errors": ["no, said in gzip"]}'), GZIP))
    assert "403 no, said in gzip" in str(failure(vault(path).deliver(secret_delivery())))
    assert {seen.headers["accept-encoding"] for seen in front.seen} == {"gzip"}


def test_a_token_in_a_good_answer_is_not_repeated(front: Meddler, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("VAULT_TOKEN", LEAK)
    mount = Say(200, json.dumps({"data": {"path": f"{LEAK}/"}}).encode())
    front.rule = lambda seen: mount if "/mounts/" in seen.path else Say(200)
    error = failure(vault(path).preflight(["NAGA_API"]))
    assert "is no mount, but lies in" in str(error)
    assert LEAK not in everything_shown(error)
