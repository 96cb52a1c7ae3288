"""`reconciler activity --from`: what `record` kept, by month, team and key."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.formatting.history import write_history
from reconciler.insight.history import History, KeyDay, ModelDay, Span
from reconciler.model import Tally
from reconciler.render.focus import COLUMNS
from support.command import Ended, call

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

A: Final = "NAGA_PROVISIONING_KEY"
MANDATORY: Final = """
    BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory
    ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName
    ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName
"""
OTHERS: Final = """
    AvailabilityZone BillingAccountType CapacityReservationId CapacityReservationStatus ChargeFrequency
    CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity
    CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit
    ContractedUnitPrice InvoiceId ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
    PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice RegionId RegionName ResourceId ResourceName ResourceType
    ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags
"""
"""The columns of FOCUS 1.2 as they are published (specification/columns at the tag v1.2, 57 in all):
https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec
"""


def day(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()


def line(  # noqa: PLR0913  # what a line says
    text: str, address: str, team: str, key_id: int | None, cost: str, *, name: str = "", of: str = A
) -> KeyDay:
    environment = address.partition("/")[0]
    return KeyDay(day(text), of, address, environment, team, key_id, name or address, Tally(1, Decimal(cost), 2, 3))


USAGE: Final = (
    line("2026-10-01", "ci/tests", "core", 1, "0.0000001"),
    line("2026-10-01", "production/api", "web", 2, "5"),
    line("2026-10-31", "production/api", "web", 2, "6"),
    line("2026-10-31", "production/old", "", 3, "1"),
    line("2026-10-31", "", "", 9, "2", name="=x,\n1"),
    line("2026-10-31", "", "", 10, "1", name="reconciler~lock.a"),
    line("2026-10-31", "", "", None, "-0.5"),
    line("2026-11-03", "production/gone", "web", None, "0.25"),
    line("2026-11-02", "production/api", "core", 2, "7"),
    line("2026-11-02", "b/x", "web", 20, "8", of="NAGA_B"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    spans = {
        A: (Span(day("2026-09-28"), day("2026-10-10")), Span(day("2026-10-12"), day("2026-11-05"))),
        "NAGA_B": (Span(day("2026-11-01"), day("2026-11-05")),),
    }
    models = (
        ModelDay(day("2026-10-01"), A, "gpt", Tally(2, Decimal("5.0000001"), 4, 6)),
        ModelDay(day("2026-10-31"), A, "gpt", Tally(1, Decimal(2), 1, 1)),
        ModelDay(day("2026-10-31"), A, "", Tally(4, Decimal("7.5"), 9, 14)),
    )
    write_history(tmp_path / "history", History(spans, (), USAGE, models), {})
    return tmp_path / "history"


def shown(*words: str) -> Ended:
    ended = call("activity", "--from", "history", *words)
    assert ended.code == 0, ended.err
    return ended


OCTOBER: Final = ("--month", "2026-10")


@pytest.mark.parametrize(
    ("by", "words", "expected"),
    [
        (
            "team",
            (),
            {
                "web": "11",
                "no team None": "1",
                "core": "0.0000001",
                "unmanaged": "2",
                "lock": "1",
                "difference": "-0.5",
            },
        ),
        ("environment", ("-e", "ci"), {"ci": "0.0000001", "rest": "15", "difference": "-0.5"}),
        (
            "key",
            (),
            {
                "production/api": "11",
                "production/old": "1",
                "ci/tests": "0.0000001",
                "=x,\n1": "2",
                "reconciler~lock.a": "1",
                "difference": "-0.5",
            },
        ),
        ("model", (), {"gpt": "7.0000001", "difference": "7.5"}),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_month_is_shown_by_what_was_asked(by: str, words: tuple[str, ...], expected: dict[str, str]) -> None:
    document = shown(*OCTOBER, "--by", by, "--daily", "--format", "json", *words).document
    assert (document["since"], document["until"], document["total"]["cost"]) == (
        "2026-10-01",
        "2026-10-31",
        "14.5000001",
    )
    found = {each["name"] or each["kind"]: each["cost"] for each in document["lines"]}
    assert found == {name.removesuffix(" None"): cost for name, cost in expected.items()}
    assert all(
        sum(Decimal(day["cost"]) for day in each["daily"]) == Decimal(each["cost"]) for each in document["lines"]
    )


@pytest.mark.usefixtures("folder")
def test_days_are_those_that_were_recorded() -> None:
    ended = shown("--since", "2026-10-09", "--until", "2026-10-13", "--format", "json")
    assert [each["name"] for each in ended.document["lines"]] == [
        "2026-10-09",
        "2026-10-10",
        "2026-10-12",
        "2026-10-13",
    ]
    assert "2026-10-11 to 2026-10-11 is not recorded" in ended.err
    assert "account of NAGA_B: 2026-10-09 to 2026-10-13 is not recorded" in ended.err
    for how in ("table", "markdown"):
        assert (
            "from 2026-10-09 to 2026-10-13"
            in shown("--since", "2026-10-09", "--until", "2026-10-13", "--by", "key", "--format", how).out
        )


@pytest.mark.usefixtures("folder")
def test_all_accounts_and_all_days_are_the_default() -> None:
    document = shown("--by", "team", "--format", "json").document
    assert (document["since"], document["until"], document["total"]["cost"]) == (
        "2026-09-28",
        "2026-11-05",
        "29.7500001",
    )
    assert [each["account"] for each in document["accounts"]] == ["NAGA_B", A]
    assert "as recorded" in shown("--by", "team", "--daily").out
    records = [*csv.DictReader(io.StringIO(shown("--by", "team", "--format", "csv").out, newline=""))]
    assert {(each["since"], each["until"]) for each in records} == {("2026-09-28", "2026-11-05")}


@pytest.mark.usefixtures("folder")
def test_focus_has_the_published_columns() -> None:
    records = [*csv.DictReader(io.StringIO(shown(*OCTOBER, "--format", "focus").out, newline=""), strict=True)]
    assert {*MANDATORY.split()} <= {*COLUMNS} == {*records[0]}
    assert [name for name in COLUMNS if name not in {*MANDATORY.split(), *OTHERS.split()}] == [
        "x_InputTokens",
        "x_OutputTokens",
    ]
    assert len({*MANDATORY.split(), *OTHERS.split()}) == 57
    assert sum(Decimal(each["BilledCost"]) for each in records) == Decimal("14.5000001")
    api = next(each for each in records if each["ResourceName"] == "production/api")
    assert {
        name: api[name] for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodEnd", "SubAccountId")
    } == {
        "BillingPeriodStart": "2026-10-01T00:00:00Z",
        "BillingPeriodEnd": "2026-11-01T00:00:00Z",
        "ChargePeriodEnd": "2026-10-02T00:00:00Z",
        "SubAccountId": "production",
    }
    assert json.loads(api["Tags"]) == {"team": "web"}
    assert {each["ResourceType"] for each in records if not each["ResourceName"]} == {""}
    # Nor is there a name without an id, or a type of what is not there.
    every = [*csv.DictReader(io.StringIO(shown("--format", "focus").out, newline=""), strict=True)]
    assert {each["ResourceId"] for each in every if each["ResourceName"] == "production/gone"} == {"production/gone"}
    for one, other in (
        ("ResourceId", "ResourceName"),
        ("ResourceId", "ResourceType"),
        ("SubAccountId", "SubAccountType"),
    ):
        assert all(each[one] for each in every if each[other])
    # What the specification wants filled in, is.
    filled = {*MANDATORY.split()} - {"ChargeClass"}
    assert all(each[name] for each in records for name in filled)


@pytest.mark.parametrize(
    "words",
    [
        ("--month", "2026-08"),
        ("--month", "2026-13"),
        ("--month", "9999-12"),
        ("--month", "2026-10-01"),
        ("--since", "yesterday"),
        ("--since", "20261001"),
        ("--since", "2026-10-02", "--until", "2026-10-01"),
        ("--since", "2027-01-01"),
        ("--month", "2026-10", "--since", "2026-10-01"),
        ("--month", "2026-10", "--until", "2026-10-01"),
        ("--days", "7"),
        ("--by", "day", "--daily"),
        ("--by", "day", "-e", "ci"),
        ("--by", "key", "-e", "ci", "--format", "focus"),
        ("--by", "key", "-e", "co"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_not_there_is_an_error(words: tuple[str, ...]) -> None:
    ended = call("activity", "--from", "history", *words)
    assert (ended.code, ended.out, len(ended.err.splitlines()) > 0) == (1, "", True)


@pytest.mark.parametrize(
    "words", [("--month", "2026-10"), ("--since", "2026-10-01"), ("--until", "2026-10-01"), ("--format", "focus")]
)
def test_periods_are_those_of_a_history(words: tuple[str, ...]) -> None:
    ended = call("activity", *words)
    assert (ended.code, "--from" in ended.err) == (1, True)


def test_a_folder_without_history_or_without_days_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("activity", "--from", "history").code == 1
    (tmp_path / "history").mkdir()
    assert call("activity", "--from", "history").code == 1
    write_history(tmp_path / "history", History(), {})
    assert "nothing is recorded yet" in call("activity", "--from", "history").err
    (tmp_path / "history" / "history.json").unlink()
    assert "is not a history" in call("activity", "--from", "history").err


def test_a_day_without_use_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = day("2026-10-01")
    write_history(tmp_path / "history", History({A: (Span(first, first + timedelta(days=1)),)}), {})
    assert "Nothing was used from 2026-10-01 to 2026-10-02" in shown("--by", "key").out
