from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from reconciler.cli.reading import check_clock
from reconciler.engine.accounts import open_account
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.account.client import Account


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


class _Skewed:
    def __init__(self, minutes: float) -> None:
        self.clock_skew = timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("minutes", "warning"),
    [
        (0, ""),
        (5, ""),
        (-5, ""),
        (6, "warning: this machine's clock and the service's differ by 6m; the service's counts\n"),
        (-90.01, "warning: this machine's clock and the service's differ by 90m; the service's counts\n"),
    ],
)
def test_a_clock_that_is_far_off_is_a_warning(capsys: pytest.CaptureFixture[str], minutes: float, warning: str) -> None:
    check_clock(cast("Account", _Skewed(minutes)))
    assert capsys.readouterr() == ("", warning)
