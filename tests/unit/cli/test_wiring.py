from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.engine.accounts import clock_warnings, open_account
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_it_says_which_variable_holds_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NAGA_PROVISIONING_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("NAGA_PROVISIONING_KEY", value)
    with pytest.raises(UsageError, match=r"^NAGA_PROVISIONING_KEY is not set; create .*, or try --simulator sim\.db$"):
        open_account(None)


def test_the_simulator_never_gets_the_real_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAGA_PROVISIONING_KEY", "ng-real")

    async def look() -> str:
        async with open_account(tmp_path / "sim.db") as account:
            return account._credential.reveal()

    assert asyncio.run(look()) == "simulator-provisioning-key"


@pytest.mark.parametrize("url", ["http://example.com/v1", "https://user:word@example.com", "ftp://x"])
def test_the_key_goes_to_no_host_that_is_not_safe(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("NAGA_PROVISIONING_KEY", "ng-real")
    monkeypatch.setenv("NAGA_BASE_URL", url)
    with pytest.raises(UsageError, match="NAGA_BASE_URL"):
        open_account(None)


def test_an_empty_base_url_means_the_service_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAGA_PROVISIONING_KEY", " ng-real\n")
    monkeypatch.setenv("NAGA_BASE_URL", "")

    async def look() -> tuple[str, str]:
        async with open_account(None) as account:
            return account._base_url, account._credential.reveal()

    assert asyncio.run(look()) == ("https://api.naga.ac/v1", "ng-real")


@pytest.mark.parametrize(
    ("minutes", "differ_by"), [([], None), ([0], None), ([5, -5], None), ([6, 1], "6m"), ([-90.01], "90m")]
)
def test_a_clock_that_is_far_off_is_a_warning(minutes: list[float], differ_by: str | None) -> None:
    warnings = clock_warnings(timedelta(minutes=each) for each in minutes)
    assert len(warnings) == (differ_by is not None)
    assert all(f" {differ_by};" in warning for warning in warnings)
