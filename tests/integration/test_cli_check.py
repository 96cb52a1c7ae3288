"""`check` at the command line: what it finds, in every format, how it ends, and who is told of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.account.wire import decode_statistics
from reconciler.destinations.base import Held
from reconciler.destinations.registry import Registry
from reconciler.errors import DestinationError
from reconciler.installation import installing
from reconciler.simulator import State
from support.command import Front, on_a_file, on_a_socket
from support.fakes import FakeDestination
from support.receiver import TOKEN, Receiver, receiving
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.model import Statistics

FILE = """\
version: 1
destinations: {{local: {{type: dotenv, path: secrets.env}}}}
alerts: {alerts}
environments:
  ci:
    deliver: [{{to: local, as: "KEY_{{KEY}}"}}]
    keys: {keys}
"""
STRANGER = "<!channel> @everyone `rm` [x](https://evil.example)"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("RECONCILER_NOTIFY_URLS", receiver.urls)
        yield receiver


def declare(front: Front, alerts: str, keys: str = "{}") -> Front:
    return front.write(FILE.format(alerts=alerts, keys=keys))


# --- what it finds ----------------------------------------------------------------------------------------------------


def test_an_account_that_is_as_it_should_be_is_well(front: Front) -> None:
    declare(front, "{balance_below: 1, drift: true}")
    ended = front("check")
    assert (ended.code, ended.out, ended.err) == (0, "All is well: no alert fired.\n", "")


def test_what_fires_says_what_to_do_next(front: Front) -> None:
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    ended = front("check")
    assert ended.code == 3
    assert "ci/a  is declared and not live  drift, keys.yaml:7" in ended.out
    assert "reconciler plan --only ci/a --simulator sim.db" in ended.out
    assert ended.out.endswith("1 alert: 1 warning.\n")


def test_what_is_proposed_names_the_file_as_it_was_named(front: Front) -> None:
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    Path("keys.yaml").rename("our keys.yaml")
    ended = front("check", "-f", "our keys.yaml", "--format", "json")
    (alert,) = ended.document["alerts"]
    assert alert["command"] == "reconciler plan --only ci/a -f 'our keys.yaml' --simulator sim.db"


CASES = {
    "balance_below": ("1000000", "{}"),
    "runway_below": ("3000d", "{a: {credit_limit: 5}}"),
    "key_spend_above": ("0.5", "{a: {credit_limit: 5}}"),
    "expiring_within": ("30d", "{b: {credit_limit: 5, expires_at: %s}}"),
    "rotation_overdue": ("true", "{a: {credit_limit: 5, rotate_every: 1d}}"),
    "drift": ("true", "{a: {credit_limit: 6}}"),
    "unmanaged": ("true", "{}"),
}


@pytest.mark.parametrize("output_format", ["text", "json", "markdown", "github"])
@pytest.mark.parametrize("rule", CASES)
def test_every_alert_fires_in_every_format(rule: str, output_format: str, front: Front) -> None:
    threshold, keys = CASES[rule]
    soon = (front.state.now() + timedelta(days=3)).replace(microsecond=0)
    if "%s" in keys:
        keys %= f"{soon:%Y-%m-%dT%H:%M:%SZ}"
    front.state.create_key("ci/b", Decimal(5), soon)
    key, _ = front.state.create_key("ci/a", Decimal(5))
    spend(front.state, key.id, 4, days_ago=1)
    front.state.create_key("somebody's")
    front.state.travel(timedelta(days=2))
    declare(front, f"{{{rule}: {threshold}}}", keys)
    ended = front("check", "--format", output_format)
    assert (ended.code, rule in ended.out) == (3, True), ended


def test_without_alerts_in_the_file_the_usual_ones_are_judged_and_said_to_be(front: Front) -> None:
    front.declare("{a: {credit_limit: 5}}")
    ended = front("check", "--format", "json")
    assert ended.code == 3
    assert ended.document["standard"] is True
    assert [each["rule"] for each in ended.document["alerts"]] == ["drift"]
    assert "declares no alerts, so the usual ones are judged" in ended.err


def test_only_the_alerts_of_the_file_are_judged(front: Front) -> None:
    declare(front, "{balance_below: 1}", "{a: {credit_limit: 5}}")
    ended = front("check", "--format", "json")
    assert (ended.code, ended.document["standard"], ended.document["alerts"]) == (0, False, [])


def test_annotates_what_is_wrong_with_the_file(front: Front) -> None:
    front.write("version: 2\n")
    ended = front("check", "--format", "github")
    assert ended.code == 1
    assert ended.out.startswith("::error file=keys.yaml")


def test_destinations_are_asked_only_where_that_is_wanted(front: Front) -> None:
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    front("apply", "--auto-approve")
    assert "Note:" not in front("check").out
    ended = front("check", "--check-destinations")
    assert ended.code == 0
    assert "Note: not looked at, because they cannot tell whose secrets they hold: destinations local" in ended.out
    declare(front, "{undelivered: true}", "{a: {credit_limit: 5}}")
    assert "Note: not looked at" in front("check", "--format", "markdown").out


class Teller(FakeDestination):
    """Tells whose secrets it holds, or that it cannot."""

    def __init__(self, **held: Held) -> None:
        super().__init__()
        self._told = held

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        if not self._told:
            msg = "it is sealed"
            raise DestinationError(msg)
        return {name: self._told[name] for name in names if name in self._told}


def test_a_destination_that_lacks_a_secret_or_holds_another_keys_is_an_alert(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "open", lambda *_: Teller(KEY_A=Held(1, None), KEY_B=Held(99, None)))
    for key in "abc":
        front.state.create_key(f"ci/{key}", Decimal(1))
    declare(front, "{undelivered: true}", "{a: {credit_limit: 1}, b: {credit_limit: 1}, c: {credit_limit: 1}}")
    ended = front("check", "--format", "json")
    assert ended.code == 3
    assert [(each["rule"], each["address"], each["command"]) for each in ended.document["alerts"]] == [
        ("undelivered", "ci/b", "reconciler apply --rotate ci/b --simulator sim.db"),
        ("undelivered", "ci/c", "reconciler apply --rotate ci/c --simulator sim.db"),
    ]


def test_a_destination_that_fails_to_tell_leaves_the_alert_unjudged(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "open", lambda *_: Teller())
    front.state.create_key("ci/a", Decimal(1))
    declare(front, "{drift: true}", "{a: {credit_limit: 1}}")
    ended = front("check", "--check-destinations", "--format", "json")
    assert ended.code == 1
    (unjudged,) = ended.document["not_judged"]
    assert unjudged["rule"] == "undelivered"
    assert "it is sealed" in unjudged["reason"]


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "unjudged"),
    [
        ("GET /v1/account/balance status=400", ["balance_below", "runway_below"]),
        ("GET /v1/account/activity status=400", ["runway_below", "key_spend_above"]),
        ("GET /v1/account/keys status=400", ["runway_below", "key_spend_above", "drift"]),
        ("GET * status=400", ["balance_below", "runway_below", "key_spend_above", "drift"]),
    ],
)
def test_what_cannot_be_read_is_not_judged(
    fault: str, unjudged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch, fault) as front:
        declare(front, "{balance_below: 1, runway_below: 1d, key_spend_above: 0.5, drift: true}")
        ended = front("check", "--format", "json")
        assert ended.code == 1
        assert [each["rule"] for each in ended.document["not_judged"]] == unjudged
        assert "Not judged" in front("check").out
        assert "Not judged" in front("check", "--format", "markdown").out
        assert "not judged" in front("check", "--format", "github").out


def test_what_fires_counts_for_more_than_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=400") as front:
        declare(front, "{key_spend_above: 0.5, drift: true}", "{a: {credit_limit: 5}}")
        ended = front("check")
        assert ended.code == 3
        assert ended.out.endswith("1 alert: 1 warning; 1 not judged.\n")


def without_ids(answer: bytes, days: int) -> Statistics:
    told = decode_statistics(answer, days)
    return replace(told, by_key=tuple(replace(usage, id=None) for usage in told.by_key))


def test_use_that_is_told_by_live_names_alone_counts_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.account.wire.decode_statistics", without_ids)
    with on_a_file(tmp_path, monkeypatch) as front:
        key, _ = front.state.create_key("ci/a", Decimal(5))
        spend(front.state, key.id, 5)
        declare(front, "{key_spend_above: 0.5}", "{a: {credit_limit: 5}}")
        assert "ci/a  has spent $5 of its limit of $5 (100 %)" in front("check").out
        assert front("list", "--format", "json").document["keys"][0]["spend"] == "5"
        assert "spent of these limits: $5.00; left: $0.00" in front("balance").out
        assert "ci/a " in front("activity", "--by", "key").out


def test_statistics_without_what_single_keys_spent_leave_their_alert_unjudged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.engine.inspect.key_activity", lambda _: None)
    with on_a_file(tmp_path, monkeypatch) as front:
        declare(front, "{key_spend_above: 0.5}")
        ended = front("check")
    assert ended.code == 1
    assert "the activity of 30 days does not tell what single keys were used for" in ended.out


def test_statistics_without_days_leave_the_runway_unjudged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.engine.review.runways", lambda *_: ())
    with on_a_file(tmp_path, monkeypatch) as front:
        declare(front, "{runway_below: 1d}")
        ended = front("check")
    assert ended.code == 1
    assert "the service does not tell what was spent on which day" in ended.out


# --- several accounts -------------------------------------------------------------------------------------------------

TWO = """\
version: 1
destinations: {local: {type: dotenv, path: secrets.env}}
alerts: {drift: true}
environments:
  ci: {deliver: [{to: local, as: "CI_{KEY}"}], keys: {a: {credit_limit: 5}}}
  eu:
    provisioning_key_env: NAGA_EU
    deliver: [{to: local, as: "EU_{KEY}"}]
    keys: {a: {credit_limit: 5}}
"""


def test_every_account_is_judged_and_named(front: Front) -> None:
    front.write(TWO)
    ended = front("check")
    assert ended.code == 3
    assert "drift, keys.yaml:5, NAGA_PROVISIONING_KEY" in ended.out
    assert "drift, keys.yaml:9, NAGA_EU" in ended.out
    assert "NAGA_EU" in front("check", "--format", "markdown").out


def test_an_account_that_cannot_be_read_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NAGA_EU", raising=False)
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.write(TWO)
        ended = front("check", "--format", "json")
        assert ended.code == 3
        assert [each["address"] for each in ended.document["alerts"]] == ["ci/a"]
        (unjudged,) = ended.document["not_judged"]
        assert (unjudged["rule"], unjudged["account"]) == ("drift", "NAGA_EU")
        assert "NAGA_EU" in unjudged["reason"]
        assert "NAGA_EU" in front("check").out
        assert "`NAGA_EU`" in front("check", "--format", "markdown").out


def test_without_any_credential_there_is_nothing_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        monkeypatch.delenv("NAGA_PROVISIONING_KEY")
        front.declare("{}")
        ended = front("check")
    assert (ended.code, ended.out) == (1, "")
    assert "NAGA_PROVISIONING_KEY" in ended.err


# --- telling somebody -------------------------------------------------------------------------------------------------


def test_one_message_tells_all_that_fires(front: Front, receiver: Receiver) -> None:
    declare(front, "{balance_below: 1000000, drift: true}", "{a: {credit_limit: 5}}")
    ended = front("check", "--notify")
    assert (ended.code, ended.err) == (3, "")
    (message,) = receiver.messages
    assert (message["title"], message["type"]) == ("reconciler: 2 alerts: 1 error, 1 warning", "failure")
    assert "is below" in message["message"]
    assert "- ⚠️ `ci/a`: is declared and not live (`keys.yaml:7`)" in message["message"]
    assert "reconciler plan --only ci/a" in message["message"]
    assert TOKEN not in json.dumps(message)


def test_who_remembers_nothing_is_told_each_time_and_not_that_all_is_well(front: Front, receiver: Receiver) -> None:
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    for _ in range(2):
        assert front("check", "--notify").code == 3
    declare(front, "{drift: true}")
    assert front("check", "--notify").code == 0
    assert len(receiver.messages) == 2


def test_with_a_state_only_changes_are_told_and_once_that_all_is_well_again(front: Front, receiver: Receiver) -> None:
    tell = ("check", "--notify", "--state", "state/alerts.json")

    def titles() -> list[str]:
        return [each["title"] for each in receiver.messages]

    declare(front, "{drift: true}")
    assert front(*tell).code == 0
    assert titles() == []
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    for _ in range(2):
        assert front(*tell).code == 3
    assert titles() == ["reconciler: 1 alert: 1 warning"]
    declare(front, "{drift: true}", "{a: {credit_limit: 5}, b: {credit_limit: 5}}")
    front(*tell)
    assert "new: `ci/b" in receiver.last["message"]
    assert "new: `ci/a" not in receiver.last["message"]
    declare(front, "{drift: true}", "{b: {credit_limit: 5}}")
    front(*tell)
    assert "No longer:\n\n- ✅ drift: address `ci/a`" in receiver.last["message"]
    declare(front, "{drift: true}")
    for _ in range(2):
        assert front(*tell).code == 0
    assert (titles()[3:], receiver.last["type"]) == (["reconciler: all is well again"], "success")
    assert Path("state/alerts.json").stat().st_mode & 0o777 == 0o600


def test_a_damaged_state_is_said_and_all_is_told_again(front: Front, receiver: Receiver) -> None:
    state = Path("alerts.json")
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    for damage in (
        b"{",
        b"\xff",
        b"[]",
        b'{"format_version": 1}',
        b'{"format_version": 1, "told": [[1]]}',
        b"[" * 99999,
    ):
        state.write_bytes(damage)
        ended = front("check", "--notify", "--state", "alerts.json")
        assert (ended.code, "warning: --state alerts.json cannot be used" in ended.err) == (3, True)
    assert len(receiver.messages) == 6
    assert front("check", "--notify", "--state", "alerts.json").err == ""
    assert len(receiver.messages) == 6


def test_a_damaged_state_is_replaced_where_there_is_nothing_to_tell(front: Front, receiver: Receiver) -> None:
    Path("alerts.json").write_text("{", "utf-8")
    declare(front, "{drift: true}")
    assert "warning" in front("check", "--notify", "--state", "alerts.json").err
    assert front("check", "--notify", "--state", "alerts.json").err == ""
    assert receiver.messages == []


def test_a_message_that_is_not_taken_fails_the_run_after_it_has_shown_what_fires(
    front: Front, receiver: Receiver
) -> None:
    receiver.status = 500
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    ended = front("check", "--notify", "--state", "alerts.json")
    assert ended.code == 1
    assert "ci/a" in ended.out
    assert "the message was not taken by URL 1 of 1 (JSON) of RECONCILER_NOTIFY_URLS" in ended.err
    assert TOKEN not in ended.out + ended.err
    receiver.status = 200
    assert front("check", "--notify", "--state", "alerts.json").code == 3
    assert len(receiver.messages) == 2


def test_who_can_be_told_is_told_though_another_cannot(
    front: Front, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_NOTIFY_URLS", f"json://127.0.0.1:1/{TOKEN}\n{receiver.urls}, {receiver.urls}")
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    ended = front("check", "--notify")
    assert ended.code == 1
    assert "URL 1 of 3 (JSON)" in ended.err
    assert "URL 2" not in ended.err
    assert len(receiver.messages) == 2


def test_a_message_goes_nowhere_else_than_it_was_meant_to_go(front: Front, receiver: Receiver) -> None:
    with receiving() as other:
        receiver.status, receiver.location = 307, other.urls.replace("json://", "http://")
        declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
        assert front("check", "--notify").code == 1
        assert (len(receiver.messages), other.messages) == (1, [])


def test_what_a_service_raises_is_shown_to_nobody(
    front: Front, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError(receiver.urls)

    monkeypatch.setattr(apprise.Apprise, "notify", broken)
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    ended = front("check", "--notify")
    assert ended.code == 1
    assert TOKEN not in ended.out + ended.err


@pytest.mark.parametrize("urls", ["nosuch://%s", "json://", "%s", "json://a/%s garbage"])
def test_a_url_that_is_none_is_refused_before_anything_is_read_and_not_shown(
    urls: str, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_NOTIFY_URLS", urls.replace("%s", TOKEN))
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    ended = front("-v", "check", "--notify")
    assert (ended.code, ended.out) == (1, "")
    assert "is none that Apprise can use" in ended.err
    assert TOKEN not in ended.err


@pytest.mark.parametrize("urls", ["", " \n,, "])
def test_without_a_url_there_is_nobody_to_tell(urls: str, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_NOTIFY_URLS", urls)
    front.declare("{}")
    ended = front("check", "--notify")
    assert ended.code == 1
    assert "--notify needs RECONCILER_NOTIFY_URLS" in ended.err


def test_without_the_extra_it_is_named(front: Front, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    front.declare("{}")
    ended = front("check", "--notify")
    assert ended.code == 1
    assert installing("notify") in ended.err
    assert receiver.messages == []


def test_a_state_is_for_messages(front: Front) -> None:
    front.declare("{}")
    ended = front("check", "--state", "alerts.json")
    assert ended.code == 1
    assert "add --notify" in ended.err


def test_a_state_that_cannot_be_kept_is_refused_before_anybody_is_told(front: Front, receiver: Receiver) -> None:
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    Path("file").touch()
    ended = front("check", "--notify", "--state", "file/alerts.json")
    assert ended.code == 1
    assert "--state file/alerts.json cannot be kept: " in ended.err
    assert receiver.messages == []


def test_a_state_that_is_a_folder_is_refused_before_anything_is_sent(front: Front, receiver: Receiver) -> None:
    Path("state").mkdir()
    declare(front, "{drift: true}", "{a: {credit_limit: 5}}")
    ended = front("check", "--notify", "--state", "state")
    assert (ended.code, receiver.messages) == (1, [])
    assert "--state state is a folder" in ended.err


def test_names_from_the_account_act_on_nobody(front: Front, receiver: Receiver) -> None:
    front.state.create_key(STRANGER)
    declare(front, "{unmanaged: true}")
    assert front("check", "--notify").code == 3
    text = receiver.last["message"]
    assert "@" not in text
    assert "<" not in text
    assert "\\x40everyone" in text


def test_of_many_alerts_a_message_shows_some_and_counts_the_rest(front: Front, receiver: Receiver) -> None:
    keys = ", ".join(f"k{number}: {{credit_limit: 1}}" for number in range(25))
    tell = ("check", "--notify", "--state", "alerts.json")
    declare(front, "{drift: true}", f"{{{keys}}}")
    front(*tell)
    assert "… and 5 more" in receiver.last["message"]
    declare(front, "{drift: true}")
    front(*tell)
    assert receiver.last["message"].count("✅") == 20
    assert "… and 5 more" in receiver.last["message"]


def test_several_accounts_are_told_apart_in_a_message(front: Front, receiver: Receiver) -> None:
    front.write(TWO)
    tell = ("check", "--notify", "--state", "alerts.json")
    front(*tell)
    assert "`NAGA_EU`" in receiver.last["message"]
    front.write(TWO.replace("keys: {a: {credit_limit: 5}}", "keys: {}"))
    front(*tell)
    assert "NAGA_EU" in receiver.last["message"]


def test_that_some_alerts_are_over_is_told_though_others_cannot_be_judged(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_file(tmp_path, monkeypatch) as front:
        declare(front, "{balance_below: 1000000, drift: true}", "{a: {credit_limit: 5}}")
        front("check", "--notify", "--state", "alerts.json")
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys status=400") as front:
        declare(front, "{balance_below: 1, drift: true}", "{a: {credit_limit: 5}}")
        assert front("check", "--notify", "--state", "alerts.json").code == 1
    assert receiver.last["title"] == "reconciler: some alerts are over"
    assert [each[1] for each in json.loads(Path("alerts.json").read_text("utf-8"))["told"]] == ["drift"]


def test_a_page_shows_some_of_very_many_alerts_and_counts_the_rest(front: Front) -> None:
    with State(Path("sim.db")) as state:
        for number in range(203):
            state.create_key(f"somebody's {number}")
    declare(front, "{unmanaged: true}")
    page = front("check", "--format", "markdown").out
    assert page.startswith("### 203 alerts: 203 warnings\n")
    assert "… and 3 more" in page
