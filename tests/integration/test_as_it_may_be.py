"""The command on a simulator that uses what the documentation of the service leaves open.

The promises that hold on any of them are in tests/second, on a server of other authors; here stands what a run finds
out, says, leaves behind, and does not do.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.account import client, lock
from reconciler.execution import issue
from reconciler.simulator import FAULTS_VARIABLE, fields
from support.command import Front, hurry, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.command import Ended

DAY: Final = timedelta(days=1)
MANY: Final = "{" + ", ".join(f"k{number}: {{credit_limit: 5}}" for number in range(8)) + "}"
FEWER: Final = "{k0: {credit_limit: 6}, k1: {credit_limit: 5}, k2: {credit_limit: 5}, k3: {credit_limit: 5}}"
ONE: Final = "{a: {credit_limit: 5}}"
APPLY: Final = ("apply", "--auto-approve")
ROTATE: Final = (*APPLY, "--rotate", "ci/a")


class Account(Front):
    """The command on an account whose service has quirks; waits are short."""

    def __init__(self, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(front.state, *front.options)
        self._monkeypatch = monkeypatch

    def is_served(self, *faults: str) -> Account:
        """Have the service like this from now on."""
        self._monkeypatch.setenv(FAULTS_VARIABLE, ";".join(faults))
        return self

    def apply(self, *words: str) -> Ended:
        """Apply, and see that it was done."""
        ended = self(*APPLY, *words)
        assert ended.code == 0
        return ended

    def works(self) -> bool:
        """Tell whether what was delivered for ci/a opens."""
        held = dict(line.split("=", 1) for line in self._held() if "=" in line)
        return self.state.opens(held["KEY_A"].strip("'"))

    def _held(self) -> list[str]:
        with open("secrets.env", encoding="utf-8") as file:  # noqa: PTH123  # a file of the working folder
            return file.read().splitlines()

    def posted(self) -> int:
        """Count the keys that were ever made: ids are never used again."""
        key, _ = self.state.create_key("count")
        self.state.delete_key(key.id)
        return key.id - 1


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(client, "PAUSES", (0.02, 0.05, 0.1, 0.2, 0.2))
    monkeypatch.setattr(client, "SETTLING_PAUSES", (0.02, 0.1, 0.3))
    monkeypatch.setattr(lock, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(lock, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(issue, "PAUSES", (0.01, 0.01))
    with on_a_file(tmp_path, monkeypatch) as front:
        yield Account(front, monkeypatch)


def kinds(account: Account) -> list[str]:
    return [name.partition(".")[0] for name in account.names()]


# --- lists that are not the whole account -----------------------------------------------------------------------------


@pytest.mark.parametrize("says", ["has_more", "next", "cursor", "total", "data", "link"])
@pytest.mark.parametrize(
    "words",
    [
        ("plan",),
        APPLY,
        (*APPLY, "--no-lock"),
        (*APPLY, "--rotate", "ci/k0"),
        ("import", "-f", "other.yaml"),
        ("list",),
        ("show", "ci/k0"),
    ],
    ids=" ".join,
)
def test_a_list_that_says_that_it_goes_on_ends_every_command(
    account: Account, words: tuple[str, ...], says: str
) -> None:
    account.declare(MANY).apply()
    before = account.state.keys()
    ended = account.is_served(f"pages=3,{says}")(*words)
    assert (ended.code, account.state.keys()) == (1, before)
    assert "not the whole" in ended.err + ended.out


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ("pages=3", ("plan",)),
        ("pages=3", APPLY),
        ("pages=3", (*APPLY, "--no-lock")),
        ("pages=3", (*APPLY, "--rotate", "ci/k7")),
        ("pages=3", ("import", "-f", "other.yaml")),
        ("pages=3,oldest", APPLY),
        ("pages=3,oldest", (*APPLY, "--rotate", "ci/k7")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_list_that_says_nothing_is_found_out_before_the_first_write(
    account: Account, pages: str, words: tuple[str, ...], *, used: bool
) -> None:
    if not used and (words[0] != "apply" or "--no-lock" in words):
        return  # nothing tells it from an account with fewer keys
    account.declare(MANY).apply()
    if used:
        fields.generate(account.state)
    before = account.state.keys()
    ended = account.is_served(pages)(*words)
    assert (ended.code, account.state.keys()) == (1, before)
    assert "the list of keys is not complete, or lags" in ended.err


def test_the_keys_of_a_whole_list_that_are_gone_are_asked_for_and_missed_by_nobody(account: Account) -> None:
    account.declare(MANY).apply()
    fields.generate(account.state)
    account.declare(FEWER).apply()
    account.declare(f"{{fresh: {{credit_limit: 5}}, {FEWER[1:]}").apply()
    assert account.names() == ["ci/fresh", "ci/k0", "ci/k1", "ci/k2", "ci/k3"]


# --- lists that lag ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallelism", ["1", "16"])
@pytest.mark.parametrize("words", [(), ("--no-lock",)], ids=["lock", "no-lock"])
@pytest.mark.parametrize("lag", ["lag=300ms", "* /v1/account/keys* lag=300ms"])
def test_a_list_that_lags_is_waited_for(account: Account, words: tuple[str, ...], lag: str, parallelism: str) -> None:
    account.is_served(lag).declare(MANY)
    for _ in range(2):
        account.apply("--parallelism", parallelism, *words)
    assert account.names() == [f"ci/k{number}" for number in range(8)]
    account.declare(FEWER).apply("--parallelism", parallelism, *words)
    assert account.names() == ["ci/k0", "ci/k1", "ci/k2", "ci/k3"]
    assert account.posted() <= 8 + (0 if words else 3)


def test_a_list_that_never_shows_the_lock_ends_the_run_with_one_lock(account: Account) -> None:
    ended = account.is_served("lag=3600s").declare(ONE)(*APPLY)
    assert (ended.code, account.names(), account.posted()) == (1, [], 1)
    assert "it does not show key 1 (reconciler~lock." in ended.err


def test_a_list_that_never_shows_what_was_done_makes_an_unchecked_result(account: Account) -> None:
    ended = account.is_served("lag=3600s").declare(ONE)(*APPLY, "--no-lock", "--format", "json")
    assert ended.code == 1
    assert (ended.document["in_sync"], account.names()) == (None, ["ci/a"])
    assert "it does not show key 1 (ci/a)" in ended.document["note"]


# --- POSTs whose answer is lost, or that come late --------------------------------------------------------------------

LOCK: Final = "POST /v1/account/keys {} name=reconciler~lock.*"
KEY: Final = "POST /v1/account/keys {} name=ci/*"


@pytest.mark.parametrize("post", [LOCK, KEY], ids=["lock", "key"])
@pytest.mark.parametrize(
    "how", ["lose=before", "lose=after", "status=503", "status=503 when=after", "body=cut", "late=100ms"]
)
def test_a_post_survives_that_its_answer_is_lost(account: Account, post: str, how: str) -> None:
    account.is_served(post.format(how) + " times=2").declare(ONE).apply()
    late = {"ci/a~new", "reconciler~lock"} if "late" in how else set()
    assert "ci/a" in account.names()
    assert {name.partition(".")[0] for name in account.names()} - late == {"ci/a"}
    assert account.works()


def test_a_lock_that_comes_late_serves(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SHORTEST_PAUSE", 0.3)
    account.is_served(LOCK.format("late=100ms")).declare(ONE).apply()
    assert (account.names(), account.posted()) == (["ci/a"], 2)


def test_a_key_that_comes_after_it_was_given_up_moves_no_settled_one(account: Account) -> None:
    account.declare(ONE).apply()
    (before,) = account.state.keys()
    account.is_served(KEY.format("late=3600s"))(*ROTATE)
    assert account.names() == ["ci/a"]
    account.is_served().state.travel(timedelta(hours=2))
    assert kinds(account) == ["ci/a", "ci/a~new", "ci/a~new", "ci/a~new"]
    planned = json.loads(account("plan", "--format", "json").out)
    assert planned["changes"] == []
    account.state.travel(DAY)
    account.apply()
    assert account.state.keys() == (before,)
    assert account.works()


# --- answers to PATCH and DELETE that are odd -------------------------------------------------------------------------


@pytest.mark.parametrize("parallelism", ["1", "16"])
@pytest.mark.parametrize(
    "odd", ["odd-patch", "odd-patch=old", "odd-patch=junk", "odd-patch=204", "odd-delete=body", "odd-delete=202"]
)
def test_what_was_done_is_found_out_whatever_is_answered(account: Account, odd: str, parallelism: str) -> None:
    account.is_served(odd).declare(ONE).apply("--parallelism", parallelism)
    account.apply("--parallelism", parallelism, "--rotate", "ci/a")
    assert kinds(account) == ["ci/a", "ci/a~old"]
    assert account.works()
    account.declare("{b: {credit_limit: 5}}").apply("--parallelism", parallelism)
    assert kinds(account) == ["ci/b"]


def test_a_rotation_that_was_interrupted_is_finished_where_a_patch_answers_nothing(account: Account) -> None:
    account.declare(ONE).apply()
    account.is_served("PATCH * status=403 skip=2")(*ROTATE)
    assert account.names() == ["ci/a", "ci/a~next"]
    account.is_served("odd-patch=204").apply()
    assert kinds(account) == ["ci/a", "ci/a~old"]
    assert account.works()


def test_a_deletion_that_answers_200_with_an_error_is_not_done(account: Account) -> None:
    account.declare(ONE).apply()
    ended = account.is_served("odd-delete=error").declare("{}")(*APPLY, "--no-lock", "--format", "json")
    assert ended.code == 1
    assert [outcome["status"] for outcome in ended.document["changes"]] == ["failed"]
    assert account.names() == ["ci/a"]


# --- the trial of a new key -------------------------------------------------------------------------------------------


def test_a_key_that_is_refused_where_models_answer_anyone_replaces_nothing(account: Account) -> None:
    account.declare(ONE).apply()
    ended = account.is_served("blind-models", "POST /v1/chat/completions status=401")(*ROTATE, "--format", "json")
    assert ended.code == 1
    assert "the service refuses the new key" in ended.document["changes"][0]["message"]
    assert account.names() == ["ci/a"]


@pytest.mark.parametrize(
    ("faults", "says"),
    [(["blind-models"], False), (["blind-models", "blind-chat"], True), (["GET /v1/models status=404"], False)],
)
def test_a_trial_that_proves_nothing_says_so(account: Account, faults: list[str], *, says: bool) -> None:
    account.declare(ONE).apply()
    ended = account.is_served(*faults).apply("--rotate", "ci/a", "--format", "json")
    (outcome,) = ended.document["changes"]
    assert (outcome["message"] == issue.UNPROVEN) is says
    assert kinds(account) == ["ci/a", "ci/a~old"]


@pytest.mark.parametrize("status", [402, 404, 503])
@pytest.mark.parametrize("removable", [True, False])
def test_a_trial_that_is_not_answered_tells_what_becomes_of_the_key(
    account: Account, monkeypatch: pytest.MonkeyPatch, status: int, *, removable: bool
) -> None:
    hurry(monkeypatch)
    account.declare(ONE).apply()
    stuck = [] if removable else ["DELETE /v1/account/keys/4 status=403"]
    ended = account.is_served(f"trial={status}", *stuck)(*ROTATE, "--format", "json")
    (outcome,) = ended.document["changes"]
    assert (ended.code, outcome["status"]) == (1, "failed")
    fate = "the key 4 was removed again" if removable else "the key 4 could not be removed"
    assert fate in outcome["message"]
    assert kinds(account) == (["ci/a"] if removable else ["ci/a", "ci/a~new"])
    planned = json.loads(account.is_served()("plan", "--format", "json").out)
    assert planned["changes"] == []


# --- other ways to show a key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirk", ["micros", "micros=list", "noise", "text-amounts", "zoneless", "expired-disabled"])
def test_what_is_only_shown_otherwise_is_no_change_and_can_be_deleted(account: Account, quirk: str) -> None:
    expiry = (account.state.now() + 2 * DAY).replace(microsecond=0)
    fields = f"credit_limit: 80.25, expires_at: {expiry:%Y-%m-%dT%H:%M:%SZ}"
    account.is_served(quirk).declare(f"{{a: {{{fields}}}, b: {{credit_limit: 0.1}}}}").apply()
    for _ in range(2):
        assert account("plan", "--detailed-exitcode").code == 0
        account.state.travel(3 * DAY)
    account.declare("{b: {credit_limit: 0.1}}").apply()
    assert account.names() == ["ci/b"]


# --- a service that does not take the lock ----------------------------------------------------------------------------


@pytest.mark.parametrize("strict", ["limit", "expiry", "tilde", "limit,expiry,tilde", "dash", "cut"])
def test_a_lock_that_the_service_refuses_or_alters_is_told_as_that(account: Account, strict: str) -> None:
    ended = account.is_served(f"strict-lock={strict}").declare(ONE)(*APPLY)
    assert (ended.code, account.names()) == (1, [])
    assert account.posted() <= 1
    assert "--no-lock" in ended.err


def test_a_lock_whose_end_is_altered_is_told_as_that(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    create = account.state.create_key

    def for_a_day(name: str, limit: Any, expires_at: Any) -> Any:
        return create(name, limit, expires_at and expires_at + DAY)

    monkeypatch.setattr("reconciler.simulator.state.State.create_key", lambda _, *args: for_a_day(*args))
    ended = account.declare(ONE)(*APPLY)
    assert (ended.code, account.names()) == (1, [])
    assert "the end " in ended.err


# --- all at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallelism", ["1", "16"])
def test_everything_at_once_is_survived(account: Account, parallelism: str) -> None:
    account.is_served(
        "* /v1/account/keys* lag=100ms",
        "odd-patch=204",
        "odd-delete=body",
        "blind-models",
        "noise",
        "zoneless",
        "micros",
        "expired-disabled",
        "POST /v1/account/keys lose=after times=2",
    )
    account.declare(MANY).apply("--parallelism", parallelism)
    account.apply("--parallelism", parallelism, "--rotate", "ci/k0")
    account.declare(FEWER).apply("--parallelism", parallelism)
    assert [kind for kind in kinds(account) if kind != "ci/k0~old"] == ["ci/k0", "ci/k1", "ci/k2", "ci/k3"]
    account.apply()
    assert account("plan", "--detailed-exitcode").code == 0
