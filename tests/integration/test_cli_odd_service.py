"""The commands on a service that uses what its documentation leaves open."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from support.command import Front, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READING = [
    ["plan"],
    ["import", "-f", "other.yaml"],
    ["list"],
    ["show", "ci/a"],
    ["check"],
    ["report", "--out", "report.html"],
    ["metrics"],
    ["balance", "--min", "1"],
    ["activity", "--by", "model"],
]
WRITING = [["apply", "--auto-approve"], ["apply", "--auto-approve", "--no-lock"]]


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        front.declare("{a: {credit_limit: 1.5}, b: {credit_limit: 2}}")
        yield front


@pytest.mark.parametrize("says", ["has_more", "next", "cursor", "total", "data", "link", "has_more,oldest"])
@pytest.mark.parametrize("words", READING + WRITING, ids=" ".join)
def test_a_list_that_says_that_it_goes_on_ends_every_command_before_a_write(
    front: Front, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    assert front("apply", "--auto-approve").code == 0
    front.declare("{a: {credit_limit: 2}, c: {credit_limit: 1}}")
    before = front.state.keys()
    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", f"pages=1,{says}")
    ended = front(*words)
    assert ended.code == 1
    assert "GET /v1/account/keys" in ended.out + ended.err
    assert ended.out.startswith("Balance: $100") is (words[0] == "balance")  # which a job may want to know
    assert front.state.keys() == before
    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", f"pages=9,{says}")
    assert (front("plan").code == 0) == (says != "data")


@pytest.mark.parametrize(
    "faults", ["text-amounts", "noise", "zoneless", "micros", "micros=list", "text-amounts noise zoneless micros"]
)
def test_values_that_are_spelt_in_another_way_are_no_change(
    front: Front, monkeypatch: pytest.MonkeyPatch, faults: str
) -> None:
    front.declare("{a: {credit_limit: 80.25, expires_at: 2099-01-01T00:00:00Z}, b: {credit_limit: 0}}")
    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", faults)
    assert front("apply", "--auto-approve").code == 0
    keys = front.state.keys()
    assert {key.name: key.credit_limit for key in keys} == {"ci/a": Decimal("80.25"), "ci/b": Decimal(0)}
    assert front("plan", "--detailed-exitcode").code == 0
    front.declare("{a: {credit_limit: 80.250001, expires_at: 2099-01-01T00:00:00Z}}")
    assert front("plan", "--detailed-exitcode").code == 2
    assert front("apply", "--auto-approve").code == 0
    assert front.names() == ["ci/a"]
