from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.insight.metrics import gauges
from reconciler.insight.report import UnreadAccount
from support.builders import NOW, declaration, declared, live
from support.reviews import review, usual

if TYPE_CHECKING:
    from reconciler.insight.report import Account

ACCOUNT = "NAGA_PROVISIONING_KEY"
DAY = timedelta(days=1)


def values(*accounts: Account, most_keys: int = 100) -> dict[str, dict[tuple[str, ...], Decimal]]:
    found = gauges(accounts, version="1.2.3", most_keys=most_keys)
    assert len({gauge.name for gauge in found}) == len(found)
    for gauge in found:
        assert all(len(sample.labels) == len(gauge.labels) for sample in gauge.samples)
        assert len({sample.labels for sample in gauge.samples}) == len(gauge.samples)
    return {gauge.name: {sample.labels: sample.value for sample in gauge.samples} for gauge in found}


def test_an_account_tells_its_money() -> None:
    found = values(usual())

    assert found["naga_exporter_build_info"] == {("1.2.3",): 1}
    assert found["naga_up"] == {(ACCOUNT,): 1}
    assert found["naga_balance_usd"] == {(ACCOUNT,): 100}
    assert found["naga_limits_usd"] == {(ACCOUNT,): 625}
    assert found["naga_limits_left_usd"] == {(ACCOUNT,): Decimal("407.154322") + 1 + Decimal("22.5")}
    assert found["naga_unlimited_keys"] == {(ACCOUNT,): 1}
    assert found["naga_spend_30d_usd"] == {(ACCOUNT,): Decimal("202.345803")}
    assert found["naga_requests_30d"] == {(ACCOUNT,): 70}
    assert found["naga_last_success_timestamp_seconds"] == {(ACCOUNT,): int(NOW.timestamp())}
    assert found["naga_unread_parts"] == {(ACCOUNT,): 0}


def test_spend_by_environment_and_by_team_comes_to_what_was_spent() -> None:
    found = values(usual())

    assert found["naga_environment_spend_30d_usd"] == {
        (ACCOUNT, "production", "environment"): Decimal("191.845678"),
        (ACCOUNT, "ci", "environment"): Decimal("9.5"),
        (ACCOUNT, "", "unmanaged"): Decimal("0.000125"),
        (ACCOUNT, "", "deleted"): 1,
    }
    for name in ("naga_environment_spend_30d_usd", "naga_team_spend_30d_usd"):
        assert sum(found[name].values()) == found["naga_spend_30d_usd"][ACCOUNT,]


def test_a_declared_key_tells_its_limit_spend_and_dates() -> None:
    found = values(usual())
    api, tests = (ACCOUNT, "production", "api", "platform"), (ACCOUNT, "ci", "tests", "")

    assert found["naga_key_enabled"][api] == 1
    assert found["naga_key_limit_usd"][api] == 500
    assert found["naga_key_spend_30d_usd"][api] == Decimal("92.845678")
    assert found["naga_key_limit_used_ratio"][api] == Decimal("0.185691356")
    assert found["naga_key_created_timestamp_seconds"][api] == int((NOW - 55 * DAY).timestamp())
    assert found["naga_key_rotation_due_timestamp_seconds"] == {api: int((NOW + 5 * DAY).timestamp())}
    assert found["naga_key_expiry_timestamp_seconds"] == {tests: int((NOW + 10 * DAY).timestamp())}


def test_a_key_that_does_not_work_is_not_enabled_and_one_without_a_limit_has_none() -> None:
    wanted = declaration([declared("ci/off", None, is_enabled=False)])

    found = values(review([live(1, "ci/off", None, is_enabled=False)], file=wanted))

    assert found["naga_key_enabled"] == {(ACCOUNT, "ci", "off", ""): 0}
    assert "naga_key_limit_usd" not in found


def test_keys_that_nobody_declared_are_counted_only() -> None:
    wanted = declaration([declared("ci/api"), declared("ci/gone")])
    keys = [
        live(1, "ci/api"),
        live(2, "ci/api~old.20270101T000000Z"),
        live(3, "ci/left-over"),
        *(live(number, f"x{number}") for number in range(4, 9)),
    ]

    found = values(review(keys, file=wanted))

    assert list(found["naga_key_enabled"]) == [(ACCOUNT, "ci", "api", "")]
    counted = {labels[1]: count for labels, count in found["naga_keys"].items() if count}
    assert counted == {"settled": 1, "missing": 1, "old": 1, "undeclared": 1, "unmanaged": 5}


def test_two_live_keys_of_one_declared_name_are_counted_and_told_apart_by_nothing() -> None:
    found = values(review([live(1, "ci/api"), live(2, "ci/api")], file=declaration([declared("ci/api")])))

    assert found["naga_keys"][ACCOUNT, "unclear"] == 2
    assert "naga_key_enabled" not in found


def test_without_a_file_no_name_becomes_a_series() -> None:
    found = values(review([live(1, "ci/api")], [(1, "ci/api", 0, "3")]))

    assert found["naga_spend_30d_usd"] == {(ACCOUNT,): 3}
    assert not {name for name in found if name.startswith(("naga_key_", "naga_environment", "naga_team"))}
    assert not {"naga_changes_pending", "naga_findings", "naga_alerts_firing"} & found.keys()


@pytest.mark.parametrize(("most", "kept"), [(0, 0), (2, 2), (3, 3), (9, 3)])
def test_so_many_keys_have_series_and_the_others_are_counted(most: int, kept: int) -> None:
    found = values(usual(), most_keys=most)

    assert [labels[1:3] for labels in found.get("naga_key_enabled", {})] == [
        ("ci", "tests"),
        ("production", "api"),
        ("production", "worker"),
    ][:kept]
    assert found["naga_keys_left_out"] == {(ACCOUNT,): 3 - kept}


def test_what_was_not_read_is_left_out_and_counted() -> None:
    unread = ("the balance could not be read: 503", "the activity of 30 days could not be read: 503")
    found = values(
        review([live(1, "ci/api")], file=declaration([declared("ci/api")]), balance=None, windows={}, unread=unread)
    )

    assert found["naga_unread_parts"] == {(ACCOUNT,): 2}
    assert (
        not {"naga_last_success_timestamp_seconds", "naga_balance_usd", "naga_runway_seconds", "naga_spend_30d_usd"}
        & found.keys()
    )
    assert not {"naga_limits_left_usd", "naga_key_spend_30d_usd", "naga_environment_spend_30d_usd"} & found.keys()
    judged = {labels[1] for labels in found["naga_alerts_firing"]}
    assert "balance_below" not in judged
    assert "drift" in judged


def test_limits_that_are_not_known_have_no_value() -> None:
    account = usual()

    found = values(replace(account, balance=replace(account.balance, limits=None)))

    assert not {"naga_limits_usd", "naga_limits_left_usd", "naga_unlimited_keys"} & found.keys()


def test_an_account_that_could_not_be_read_is_down_and_the_others_are_not() -> None:
    found = values(UnreadAccount("NAGA_CI_KEY", ("ci",), "no answer"), usual())

    assert found["naga_up"] == {("NAGA_CI_KEY",): 0, (ACCOUNT,): 1}
    assert [*found["naga_balance_usd"]] == [(ACCOUNT,)]


def test_a_balance_that_nothing_is_spent_of_lasts_for_ever() -> None:
    found = values(review([live(1, "ci/api", created_at=NOW - 40 * DAY)], file=declaration([declared("ci/api")])))

    assert set(found["naga_runway_seconds"].values()) == {Decimal("Infinity")}


def test_a_balance_lasts_so_many_seconds_at_the_pace_of_so_many_days() -> None:
    spent = [(1, "ci/api", ago, "10") for ago in range(1, 30)]

    found = values(review([live(1, "ci/api", created_at=NOW - 40 * DAY)], spent))

    assert found["naga_runway_seconds"] == {(ACCOUNT, "7"): 864_000, (ACCOUNT, "30"): 864_000}


def test_what_apply_would_do_and_what_check_finds_is_counted_by_kind() -> None:
    wanted = declaration([declared("ci/api", "7"), declared("ci/more")])

    found = values(review([live(1, "ci/api", "5")], file=wanted, balance="1"))

    assert {labels[1]: count for labels, count in found["naga_changes_pending"].items() if count} == {
        "create": 1,
        "update": 1,
    }
    firing = {labels[1:]: count for labels, count in found["naga_alerts_firing"].items() if count}
    assert firing == {("balance_below", "error"): 1, ("drift", "warning"): 2}
    assert len(found["naga_findings"]) == 3
