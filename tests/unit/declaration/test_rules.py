from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.diagnostic import Location
from reconciler.errors import DeclarationError
from reconciler.model import Alerts, Guardrails, Rule, SpendSpike
from support.declarations import errors, keys_file, loaded

EVERY = """\
version: 1
guardrails:
  max_deletions: 0
  protected: true
  protect_active: 36h
  credit_budget: 700.5
  max_credit_limit: 500
  require_limit: true
  max_lifetime: 90d
  require_rotation: true
  limit_below_spend: true
environments: {}
"""


def test_no_limit_of_deletions_is_said_on_purpose_and_is_not_the_same_as_nothing() -> None:
    said = loaded("version: 1\nguardrails: {max_deletions: null}\nenvironments: {}\n")
    assert said.guardrails.max_deletions == Rule(None, Location("0.yaml", 2, 14))
    assert loaded("version: 1\nenvironments: {}\n").guardrails.max_deletions is None


def at(line: int, column: int = 3) -> Location:
    return Location("0.yaml", line, column)


def test_every_guardrail_is_read_with_its_place() -> None:
    assert loaded(EVERY).guardrails == Guardrails(
        max_deletions=Rule(0, at(3)),
        protected=Rule(value=True, source=at(4)),
        protect_active=Rule(timedelta(hours=36), at(5)),
        credit_budget=Rule(Decimal("700.5"), at(6)),
        max_credit_limit=Rule(Decimal(500), at(7)),
        require_limit=Rule(value=True, source=at(8)),
        max_lifetime=Rule(timedelta(days=90), at(9)),
        require_rotation=Rule(value=True, source=at(10)),
        limit_below_spend=Rule(value=True, source=at(11)),
    )


@pytest.mark.parametrize("name", ["protected", "require_limit", "require_rotation", "limit_below_spend"])
def test_a_guardrail_that_is_false_is_none(name: str) -> None:
    assert loaded(keys_file("{}", top=f"guardrails: {{{name}: false}}")).guardrails == Guardrails()


def test_without_guardrails_there_are_none() -> None:
    declaration = loaded(keys_file("{}"))
    assert declaration.guardrails == declaration.environments["e"].guardrails == Guardrails()


def test_an_environment_has_its_own_and_may_say_two_of_them_for_itself() -> None:
    declaration = loaded(
        keys_file("{}", environment="protected: true\ncredit_budget: 7\nguardrails: {max_deletions: 1}")
    )
    assert declaration.guardrails == Guardrails()
    assert declaration.environments["e"].guardrails == Guardrails(
        protected=Rule(value=True, source=at(6, 5)),
        credit_budget=Rule(Decimal(7), at(7, 5)),
        max_deletions=Rule(1, at(8, 18)),
    )


def test_an_environment_that_says_it_is_not_protected_is_not() -> None:
    declaration = loaded(keys_file("{}", environment="protected: false"))
    assert declaration.environments["e"].guardrails == Guardrails()


@pytest.mark.parametrize("name", ["protected: true", "credit_budget: 7"])
def test_an_environment_says_each_of_them_once(name: str) -> None:
    field = name.partition(":")[0]
    assert errors(keys_file("{}", environment=f"{name}\nguardrails: {{{name}}}")) == [
        f"6:5 {field} stands in guardrails too, at 0.yaml:7:18; keep one"
    ]


def test_a_guardrail_of_no_use_does_not_hide_that_it_stands_twice() -> None:
    assert errors(keys_file("{}", environment="protected: 1\nguardrails: {protected: 2}")) == [
        "6:5 protected stands in guardrails too, at 0.yaml:7:18; keep one",
        "6:16 protected must be true or false, not the number 1",
        "7:29 protected must be true or false, not the number 2",
    ]


def test_several_files_may_each_say_some_but_none_twice() -> None:
    first = "version: 1\nguardrails: {max_deletions: 1}\nenvironments: {}\n"
    second = "version: 1\nguardrails: {require_limit: true}\nenvironments: {}\n"
    found = loaded(first, second).guardrails
    assert found.max_deletions == Rule(1, Location("0.yaml", 2, 14))
    assert found.require_limit == Rule(value=True, source=Location("1.yaml", 2, 14))
    assert errors(first, first) == ["1.yaml:2:14 max_deletions stands twice, first at 0.yaml:2:14; keep one"]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (
            "protect_active: 31d",
            "must be at most 30d, because the service tells no more of the past, not the text '31d'",
        ),
        ("protect_active: 0d", "must be longer than nothing; leave it out where nothing is to be guarded"),
        ("max_lifetime: 0s", "must be longer than nothing; leave it out where nothing is to be guarded"),
        ("max_credit_limit: 0.0000001", "must have at most 6 decimals, not the number 0.0000001"),
    ],
)
def test_a_guardrail_that_makes_no_sense_is_an_error_where_it_stands(rule: str, complaint: str) -> None:
    found = errors(keys_file("{}", top=f"guardrails: {{{rule}}}"))
    name = rule.partition(":")[0]
    assert found == [f"2:{16 + len(name)} {name} {complaint}"]


def test_every_alert_is_read_with_its_place() -> None:
    alerts = loaded(
        """\
version: 1
alerts:
  balance_below: 20.5
  runway_below: 14d
  key_spend_above: 0.85
  expiring_within: 2w
  rotation_overdue: true
  drift: true
  unmanaged: true
  undelivered: false
environments: {}
"""
    ).alerts
    assert alerts == Alerts(
        balance_below=Rule(Decimal("20.5"), at(3)),
        runway_below=Rule(timedelta(days=14), at(4)),
        key_spend_above=Rule((Decimal("0.85"),), at(5)),
        expiring_within=Rule(timedelta(days=14), at(6)),
        rotation_overdue=Rule(value=True, source=at(7)),
        drift=Rule(value=True, source=at(8)),
        unmanaged=Rule(value=True, source=at(9)),
    )


def test_shares_may_be_several_in_rising_order() -> None:
    text = "version: 1\nalerts: {key_spend_above: %s}\nenvironments: {}\n"
    rule = loaded(text % "[0.8, 0.95]").alerts.key_spend_above
    assert rule is not None
    assert rule.value == (Decimal("0.8"), Decimal("0.95"))
    for wrong in ("[0.9, 0.8]", "[0.8, 0.8]", "[]", "[80]", "[high]", "high", "[0.8, 1.1]", "{}"):
        with pytest.raises(DeclarationError, match="key_spend_above"):
            loaded(text % wrong)


def test_without_alerts_there_are_none() -> None:
    assert loaded(keys_file("{}")).alerts == Alerts()


def test_a_spike_has_a_factor_days_and_an_amount() -> None:
    text = "version: 1\nalerts: {spend_spike: %s}\nenvironments: {}\n"
    for given, expected in (
        ("{factor: 3, over: 14d}", SpendSpike(Decimal(3), timedelta(days=14), Decimal(1))),
        ("{factor: 1.5, over: 4w, at_least: 0.25}", SpendSpike(Decimal("1.5"), timedelta(days=28), Decimal("0.25"))),
        ("{factor: 2, over: 72h, at_least: 0}", SpendSpike(Decimal(2), timedelta(days=3), Decimal(0))),
    ):
        assert loaded(text % given).alerts.spend_spike == Rule(expected, at(2, 10))
    for wrong in (
        *("3", "14d", "true", "[]", "{}", "{factor: 3}", "{over: 14d}", "{factor: three, over: 14d}"),
        *("{factor: 1, over: 14d}", "{factor: 0, over: 14d}", "{factor: 3, over: 2d}", "{factor: 3, over: 29d}"),
        *("{factor: 3, over: 100h}", "{factor: 3, over: two weeks}", "{factor: 3, over: 14d, at_least: 0.0000001}"),
        *("{factor: 3, over: 14d, at_least: -1}", "{factor: 3, over: 14d, above: 1}"),
    ):
        with pytest.raises(DeclarationError, match=r"spend_spike|factor|over|at_least|above"):
            loaded(text % wrong)
