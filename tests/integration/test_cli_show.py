"""`show` at the command line: one key with all that is known of it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.simulator import State
from support.command import Front, on_a_file, on_a_socket
from support.several import A, B, at_a_service
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = timedelta(days=1)
FILE = """\
version: 1
destinations: {local: {type: dotenv, path: secrets.env}}
environments:
  ci:
    keys:
      a:
        credit_limit: 10
        team: web
        description: "all builds"
        rotate_every: 90d
        deliver: [{to: local, as: KEY_A}]
      b: {credit_limit: 5}
"""


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front.write(FILE)


def facts(out: str) -> dict[str, str]:
    """Read what is said of the key."""
    lines = out.partition("\n\n")[0].splitlines()[1:]
    return {title: text for line in lines for title, text in [line.strip().split("  ", 1)]}


def test_shows_what_is_live_what_is_declared_and_what_a_plan_would_do(front: Front) -> None:
    key, _ = front.state.create_key("ci/a", Decimal(8))
    spend(front.state, key.id, 2, 7)
    ended = front("show", "ci/a")
    assert (ended.code, ended.err) == (0, "")
    shown = {title: text.strip() for title, text in facts(ended.out).items()}
    assert shown["State"] == "settled"
    assert shown["Id"] == str(key.id)
    assert shown["Limit"] == "$8"
    assert shown["Spend"] == "7 requests, $2 in 30 days, 25 % of its limit"
    assert shown["Last used"] == "within 1 day"
    assert shown["Declared at"] == "keys.yaml:6"
    assert (shown["Team"], shown["Description"]) == ("web", "all builds")
    assert shown["Rotation"].startswith("every 90d, due on 20")
    assert shown["Goes to"] == "local (dotenv) as KEY_A, keys.yaml:11"
    assert ended.out.endswith("What a plan would do\n  ~ update  ci/a  credit_limit $8 → $10\n")


@pytest.mark.parametrize("name", ["ci/a", "1", "01"])
def test_a_key_is_found_by_its_address_and_its_id(name: str, front: Front) -> None:
    front.state.create_key("ci/a", Decimal(10))
    assert front("show", name, "--format", "json").document["key_id"] == 1


def test_a_key_without_an_address_is_found_by_its_live_name(front: Front) -> None:
    front.state.create_key("somebody's laptop")
    ended = front("show", "somebody's laptop")
    assert ended.code == 0
    assert ended.out.startswith('"somebody\'s laptop"\n  State      unmanaged\n')
    assert ended.out.endswith("What a plan would do\n  nothing\n")


def test_the_share_of_an_older_key_is_the_least_it_can_be(front: Front) -> None:
    key, _ = front.state.create_key("ci/b", Decimal(5))
    front.state.travel(40 * DAY)
    spend(front.state, key.id, 4)
    assert "≥ 80 % of its limit; a limit is on all that it ever spends" in front("show", "ci/b").out


def test_shows_the_other_keys_of_an_address(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(10))
    front.state.create_key("ci/a~old.20991231T000000Z", Decimal(10), front.state.now() + 30 * DAY)
    front.state.create_key("ci/a~new.abc", Decimal(10))
    ended = front("show", "ci/a")
    assert "Other keys of this address\n" in ended.out
    assert "id 2  old until 2099-12-31  ci/a~old.20991231T000000Z, created " in ended.out
    document = front("show", "ci/a", "--format", "json").document
    assert [(each["key_id"], each["state"]) for each in document["relatives"]] == [(3, "new"), (2, "old")]


def test_a_key_that_is_declared_and_not_live_is_shown_with_what_would_create_it(front: Front) -> None:
    front.state.create_key("ci/b~gone.20991231T000000Z", Decimal(5))
    ended = front("show", "ci/b")
    assert ended.code == 0
    assert {title: text.strip() for title, text in facts(ended.out).items()} == {
        "State": "missing",
        "Account": "NAGA_PROVISIONING_KEY",
        "Declared at": "keys.yaml:12",
        "Goes to": "no destination",
    }
    assert "+ restore" in ended.out
    gone = front("show", "1")
    assert "missing" in gone.out.partition("Other keys of this address")[2]


def test_writes_json_for_programs(front: Front) -> None:
    document = front("show", "ci/a", "--format", "json").document
    assert document["state"] == "missing"
    assert document["declared"]["deliver"] == [{"to": "local", "type": "dotenv", "as": "KEY_A"}]
    assert [(each["action"], each["address"]) for each in document["changes"]] == [("create", "ci/a")]
    assert document["findings"] == []


def test_findings_of_a_plan_are_shown_with_the_key(front: Front) -> None:
    ended = front("show", "ci/b")
    assert "no-destination" in ended.out


def test_without_a_file_a_key_is_shown_as_it_is(front: Front) -> None:
    Path("keys.yaml").unlink()
    front.state.create_key("ci/a", None)
    ended = front("show", "ci/a")
    assert "there is no keys.yaml" in ended.err
    assert "What a plan would do" not in ended.out
    document = front("show", "ci/a", "--format", "json").document
    assert (document["declared"], document["changes"], document["findings"]) == (None, None, None)


@pytest.mark.parametrize(("name", "near"), [("ci/aa", "ci/a"), ("ci/b~olt", "ci/b~old.20991231T000000Z")])
def test_a_key_that_is_not_there_is_an_error_with_the_one_that_may_be_meant(name: str, near: str, front: Front) -> None:
    front.state.create_key("ci/b~old.20991231T000000Z")
    ended = front("show", name)
    assert (ended.code, ended.out) == (1, "")
    assert name in ended.err
    assert near.partition("~")[0] in ended.err.replace(name, "")


def test_an_address_that_means_two_keys_is_an_error_with_both_ids(front: Front) -> None:
    for _ in range(2):
        front.state.create_key("ci/b", Decimal(5))
    ended = front("show", "ci/b")
    assert ended.code == 1
    assert "ci/b means 2 keys: id 1, id 2; show one by its id" in ended.err
    assert front("show", "2", "--format", "json").document["state"] == "unclear"


def test_an_id_of_two_accounts_is_an_error_with_both(front: Front) -> None:
    with State(Path("sim.naga_eu.db")) as other:
        other.create_key("eu/k")
    front.state.create_key("ci/a", Decimal(10))
    front.write(FILE + "  eu: {provisioning_key_env: NAGA_EU, keys: {}}\n")
    ended = front("show", "1")
    assert ended.code == 1
    assert "id 1 in the account of NAGA_EU, id 1 in the account of NAGA_PROVISIONING_KEY" in ended.err
    assert "eu/k" in front("show", "1", "-e", "eu").out


def test_a_declared_key_that_is_not_live_anywhere_is_named_missing_among_several(front: Front) -> None:
    with State(Path("sim.naga_eu.db")) as other:
        other.create_key("ci/a")
    front.write(FILE + "  eu: {provisioning_key_env: NAGA_EU, keys: {}}\n")
    ended = front("show", "ci/a")
    assert ended.code == 1
    assert "missing in the account of NAGA_PROVISIONING_KEY" in ended.err


def test_an_address_is_looked_for_in_its_own_account_and_elsewhere_only_if_it_is_not_live_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_a_service(tmp_path, monkeypatch) as accounts:
        accounts.declare_both("{x: {}}", "{x: {}}")
        accounts.states[A].create_key("a/x", Decimal(1))
        monkeypatch.delenv(B)
        ended = accounts("show", "a/x")
        assert (ended.code, ended.err) == (0, "")
        assert facts(ended.out)["Account"].strip() == A
        for name in ("1", "a/y", "c/x"):
            assert B in accounts("show", name).err
        refused = accounts("show", "b/x")
    assert (refused.code, refused.out) == (1, "")
    assert B in refused.err


def test_a_key_is_not_said_to_be_missing_where_its_account_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_a_socket(tmp_path, monkeypatch) as front:
        front.write(FILE + "  eu: {provisioning_key_env: NAGA_EU, keys: {}}\n")
        ended = front("show", "mine")
    assert ended.code == 1
    assert [word in ended.err for word in ("NAGA_EU", "accounts that were read", "?")] == [True, True, False]


def test_what_was_read_a_moment_ago_is_read_again_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys/* status=404") as front:
        front.write(FILE)
        front.state.create_key("ci/a", Decimal(10))
        ended = front("show", "ci/a")
        assert (ended.code, "missing" in ended.out) == (0, True)
        front.state.create_key("else")
        assert front("show", "else").code == 1


def test_what_cannot_be_read_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=400") as front:
        front.write(FILE)
        front.state.create_key("ci/a", Decimal(10))
        ended = front("show", "ci/a")
    assert "Spend        not known" in ended.out
    assert "Last used    not known" in ended.out
    assert "warning: " in ended.err
    assert "GET /v1/account/activity" in ended.err
