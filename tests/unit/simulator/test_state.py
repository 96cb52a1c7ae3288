from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.simulator import State
from reconciler.simulator.state import Key, Total, Usage
from support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state() -> Iterator[State]:
    with State(":memory:", clock=lambda: NOW) as opened:
        yield opened


def test_a_new_key_is_as_it_was_asked_for(state: State) -> None:
    expiry = datetime(2027, 1, 1, tzinfo=UTC)
    key, _ = state.create_key("production/api", Decimal("12.50"), expiry)
    assert key == Key(1, "production/api", NOW, expiry, is_enabled=True, credit_limit=Decimal("12.5"))
    assert state.keys() == (key,)
    assert state.key(1) == key


def test_a_new_key_has_neither_limit_nor_expiry_unless_asked_for(state: State) -> None:
    key, _ = state.create_key("a", is_enabled=False)
    assert key == Key(1, "a", NOW, None, is_enabled=False, credit_limit=None)
    assert state.key(1) == key


def test_created_at_has_no_fraction_of_a_second() -> None:
    with State(":memory:", clock=lambda: NOW.replace(microsecond=999_999)) as state:
        assert state.create_key("a")[0].created_at == NOW


def test_names_need_not_be_unique_and_ids_grow_by_one_even_after_a_deletion(state: State) -> None:
    assert [state.create_key("same")[0].id for _ in range(3)] == [1, 2, 3]
    assert state.delete_key(3)
    assert state.create_key("same")[0].id == 4
    assert ids(state) == [1, 2, 4]


def test_secrets_look_like_the_services_and_differ(state: State) -> None:
    secrets = {state.create_key("a")[1].reveal() for _ in range(20)}
    assert len(secrets) == 20
    assert all(re.fullmatch(r"ng-[0-9A-Za-z]{32}", secret) for secret in secrets)


def test_a_secret_is_never_in_the_file(tmp_path: Path) -> None:
    with State(tmp_path / "sim.db") as state:
        secret = state.create_key("a")[1].reveal()
        state.delete_key(1)
    assert secret.encode() not in (tmp_path / "sim.db").read_bytes()


def test_an_update_changes_what_it_names_and_nothing_else(state: State) -> None:
    expiry = NOW + timedelta(days=1)
    key, _ = state.create_key("a", Decimal(5), expiry)
    assert state.update_key(1, name="b", is_enabled=False) == Key(
        1, "b", NOW, expiry, is_enabled=False, credit_limit=Decimal(5)
    )
    assert state.update_key(1, credit_limit=None, expires_at=None, name="a", is_enabled=True) == Key(
        1, "a", NOW, None, is_enabled=True, credit_limit=None
    )
    assert key.name == "a"


def test_what_does_not_exist_is_neither_found_nor_changed_nor_deleted(state: State) -> None:
    state.create_key("a")
    assert state.delete_key(1)
    assert state.key(1) is None
    assert state.update_key(1, name="b") is None
    assert not state.delete_key(1)


def test_a_secret_opens_while_its_key_exists_is_enabled_and_has_not_expired(state: State) -> None:
    _, secret = state.create_key("a", expires_at=NOW + timedelta(hours=1))
    assert state.opens(secret.reveal())
    state.update_key(1, is_enabled=False)
    assert not state.opens(secret.reveal())
    state.update_key(1, is_enabled=True)
    state.travel(timedelta(minutes=59, seconds=59))
    assert state.opens(secret.reveal())
    state.travel(timedelta(seconds=1))
    assert not state.opens(secret.reveal())
    state.update_key(1, expires_at=None)
    assert state.opens(secret.reveal())
    state.delete_key(1)
    assert not state.opens(secret.reveal())
    assert state.is_issued(secret.reveal())


def test_a_secret_that_was_never_issued_opens_nothing(state: State) -> None:
    assert not state.opens("ng-" + "0" * 32)
    assert not state.is_issued("ng-" + "0" * 32)


def test_the_clock_travels_both_ways_and_all_users_of_a_file_see_it(tmp_path: Path) -> None:
    with State(tmp_path / "a", clock=lambda: NOW) as one, State(tmp_path / "a", clock=lambda: NOW) as other:
        one.travel(timedelta(days=400, microseconds=1))
        assert other.now() == NOW + timedelta(days=400, microseconds=1)
        other.travel(timedelta(days=-500))
        assert one.now() == NOW + timedelta(days=-100, microseconds=1)


def test_the_clock_is_the_real_one_until_it_travels() -> None:
    with State(":memory:") as state:
        assert abs(state.now() - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("days", [3_000_000, -800_000, 999_999_999])
def test_the_clock_cannot_leave_the_calendar(state: State, days: int) -> None:
    with pytest.raises(ValueError, match="the account's clock cannot leave the years 1 to 9000"):
        state.travel(timedelta(days=days))
    assert state.now() == NOW


def test_the_balance_is_kept_exactly(state: State) -> None:
    assert state.balance() == Decimal(100)
    state.set_balance(Decimal("0.100000000000000000001"))
    assert state.balance() == Decimal("0.100000000000000000001")


def test_usage_is_summed_up_over_the_days_asked_for(state: State) -> None:
    state.create_key("a")
    state.create_key("b")
    days = [date(2026, 11, day) for day in (20, 21, 22)]
    state.record(Usage(day, key, "m1", 1, 10, 100, 1_000) for day in days for key in (1, 2))
    state.record([Usage(days[2], 2, "m2", 5, 50, 500, 9_000)])
    assert state.totals("day", days[1], days[2]) == [
        Total(0, "2026-11-21", 2, 20, 200, 2_000),
        Total(0, "2026-11-22", 7, 70, 700, 11_000),
    ]
    assert state.totals("model", days[1], days[2]) == [
        Total(0, "m2", 5, 50, 500, 9_000),
        Total(0, "m1", 4, 40, 400, 4_000),
    ]
    assert state.totals("key", days[1], days[2]) == [
        Total(2, "b", 7, 70, 700, 11_000),
        Total(1, "a", 2, 20, 200, 2_000),
    ]


def test_a_deleted_keys_usage_keeps_its_name(state: State) -> None:
    state.create_key("gone")
    state.record([Usage(NOW.date(), 1, "m", 1, 1, 1, 1)])
    state.delete_key(1)
    assert state.totals("key", NOW.date(), NOW.date()) == [Total(1, "gone", 1, 1, 1, 1)]


def test_a_second_row_for_the_same_day_key_and_model_replaces_the_first(state: State) -> None:
    state.create_key("a")
    for requests in (1, 2):
        state.record([Usage(NOW.date(), 1, "m", requests, 1, 1, 1)])
    assert state.totals("day", NOW.date(), NOW.date()) == [Total(0, "2026-11-22", 2, 1, 1, 1)]


def test_nothing_is_kept_of_a_change_that_fails_half_way(state: State) -> None:
    def rows() -> Iterator[Usage]:
        yield Usage(NOW.date(), 1, "m", 1, 1, 1, 1)
        raise RuntimeError

    state.create_key("a")
    with pytest.raises(RuntimeError):
        state.record(rows())
    assert state.totals("day", NOW.date(), NOW.date()) == []
    state.create_key("b")


def ids(state: State) -> list[int]:
    live = state.keys()
    return [key.id for key in live]


_CREATE_SOME = """
import sys
from reconciler.simulator import State
with State(sys.argv[1]) as state:
    for _ in range(20):
        state.create_key("a")
"""


def test_several_processes_share_one_account_from_its_first_moment(tmp_path: Path) -> None:
    path = str(tmp_path / "sim.db")
    workers = [subprocess.Popen([sys.executable, "-c", _CREATE_SOME, path]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    with State(path) as state:
        assert ids(state) == list(range(1, 61))
