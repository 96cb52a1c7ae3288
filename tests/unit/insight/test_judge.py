from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostic import Severity
from reconciler.insight.alerts import Alert, AlertRule, Unread, Verdict, judge, percent, standard_alerts, unjudged
from reconciler.model import Alerts, Delivery, LiveKey, Target, Unmanaged
from reconciler.planning.actions import Finding
from support.builders import NOW, SOMEWHERE, activity, address, declaration, declared, live
from support.evidence import DAY, alerts, evidence, runway, standing
from support.search import examples

API = declared("production/api", "100")
WANTED = declaration([API])
SETTLED = live(1, "production/api", "100")


def fired(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(each.rule.value, each.severity.value, each.subject) for each in verdict.alerts]


def the_one(verdict: Verdict) -> Alert:
    (alert,) = verdict.alerts
    assert not verdict.unjudged
    return alert


def test_without_alerts_nothing_is_judged() -> None:
    assert judge(Alerts(), evidence(balance=Decimal(0))) == Verdict()


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_balance_below_the_least_is_an_error_at_the_line_of_the_alert() -> None:
    alert = the_one(judge(alerts(7, balance_below=Decimal(20)), evidence(balance=Decimal("12.5"))))
    assert (alert.rule, alert.severity, alert.subject) == (AlertRule.BALANCE_BELOW, Severity.ERROR, "account")
    assert alert.message == "the balance of $12.50 is below $20"
    assert alert.command == "reconciler balance"
    assert alert.source
    assert alert.source.line == 7


def test_a_balance_that_is_just_enough_is_fine() -> None:
    assert judge(alerts(balance_below=Decimal(20)), evidence(balance=Decimal(20))) == Verdict()


@pytest.mark.parametrize(("cost", "shown"), [("43.161398", "$6.17"), ("0.007", "$0.001"), ("7", "$1")])
def test_a_pace_is_told_in_cents_unless_it_is_less_than_one(cost: str, shown: str) -> None:
    alert = the_one(judge(alerts(runway_below=14 * DAY), evidence(runway=runway("5.2", cost))))
    assert f"({shown} a day over 7 days)" in alert.message


def test_a_balance_that_ends_too_soon_is_a_warning_with_its_pace() -> None:
    alert = the_one(judge(alerts(runway_below=14 * DAY), evidence(runway=runway("5.2", "16.8"))))
    assert alert.message == "the balance lasts 5.2 days ($2.40 a day over 7 days), which is less than 14d"
    assert (alert.severity, alert.command) == (Severity.WARNING, "reconciler activity --days 7 --by key")


@pytest.mark.parametrize("days", ["14", "400", None])
def test_a_balance_that_lasts_is_fine(days: str | None) -> None:
    assert judge(alerts(runway_below=14 * DAY), evidence(runway=runway(days))) == Verdict()


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "severity"), [("80", None), ("80.01", "warning"), ("99.99", "warning"), ("100", "error"), ("140", "error")]
)
def test_a_key_that_has_spent_too_much_of_its_limit(cost: str, severity: str | None) -> None:
    known = standing([SETTLED], WANTED, [activity({1: (cost, 5)})])
    verdict = judge(alerts(key_spend_above=(Decimal("0.8"),)), evidence(standing=known))
    assert fired(verdict) == ([] if severity is None else [("key_spend_above", severity, "production/api")])


@pytest.mark.parametrize(
    ("cost", "severity", "share"),
    [("80", None, ""), ("81", "warning", "80 %"), ("95", "warning", "80 %"), ("96", "error", "95 %")],
)
def test_of_several_shares_the_last_is_an_error(cost: str, severity: str | None, share: str) -> None:
    known = standing([SETTLED], WANTED, [activity({1: (cost, 5)})])
    verdict = judge(alerts(key_spend_above=(Decimal("0.8"), Decimal("0.95"))), evidence(standing=known))
    assert fired(verdict) == ([] if severity is None else [("key_spend_above", severity, "production/api")])
    assert all(alert.message.endswith(f"more than {share}") for alert in verdict.alerts)


def test_says_what_a_key_has_spent_and_where_it_is_declared() -> None:
    old = live(1, "production/api", "100", created_at=NOW - 90 * DAY)
    known = standing([old], WANTED, [activity({1: ("92.04", 5)})])
    alert = the_one(judge(alerts(key_spend_above=(Decimal("0.8"),)), evidence(standing=known)))
    assert alert.message == "has spent at least $92.04 of its limit of $100 (92 %), more than 80 %"
    assert (alert.source, alert.command) == (API.source, "reconciler show production/api")


def test_a_key_that_was_rotated_out_and_still_works_is_named() -> None:
    old = live(2, "production/api~old.20261201T000000Z", "100")
    known = standing([SETTLED, old], WANTED, [activity({2: ("100", 5)})])
    alert = the_one(judge(alerts(key_spend_above=(Decimal("0.8"),)), evidence(standing=known)))
    assert alert.message.startswith("key 2 (production/api~old.20261201T000000Z), which is old, has spent $100")


@pytest.mark.parametrize("suffix", ["", "~next", "~old.20261201T000000Z"])
def test_a_key_may_spend_too_much_wherever_it_works_in_its_life(suffix: str) -> None:
    known = standing([live(1, f"production/api{suffix}", "100")], WANTED, [activity({1: ("100", 5)})])
    verdict = judge(alerts(key_spend_above=(Decimal("0.8"),)), evidence(standing=known))
    assert fired(verdict) == [("key_spend_above", "error", "production/api")]


@pytest.mark.parametrize(
    "key",
    [
        live(1, "production/api", "100", is_enabled=False),
        live(1, "production/api~old.20261201T000000Z", "100", is_enabled=False),
        live(1, "production/api", None),
        live(1, "production/other", "100"),
        live(1, "somebody's", "100"),
        live(1, "production/api~gone.20261201T000000Z", "100"),
    ],
)
def test_what_a_key_spent_that_does_not_work_or_is_not_declared_is_nobodys_alert(key: LiveKey) -> None:
    known = standing([key], WANTED, [activity({1: ("100", 5)})])
    assert judge(alerts(key_spend_above=(Decimal("0.8"),)), evidence(standing=known)) == Verdict()


@pytest.mark.parametrize(
    ("days", "severity"), [(-3, "error"), (0, "error"), (1, "warning"), (14, "warning"), (15, None)]
)
def test_a_key_that_expires_soon_or_has_expired(days: int, severity: str | None) -> None:
    known = standing([live(1, "production/api", "100", expires_at=NOW + days * DAY)], WANTED)
    verdict = judge(alerts(expiring_within=14 * DAY), evidence(standing=known))
    assert fired(verdict) == ([] if severity is None else [("expiring_within", severity, "production/api")])


@pytest.mark.parametrize(
    "key",
    [
        live(1, "production/api", "100"),
        live(1, "production/api", "100", expires_at=NOW + DAY, is_enabled=False),
        live(1, "production/api~new.abc", "100", expires_at=NOW + DAY),
        live(1, "production/api~old.20261201T000000Z", "100", expires_at=NOW + DAY),
        live(1, "somebody's", "100", expires_at=NOW + DAY),
        live(1, "production/other", "100", expires_at=NOW + DAY),
    ],
)
def test_what_is_to_expire_or_nobodys_is_no_alert(key: LiveKey) -> None:
    verdict = judge(alerts(expiring_within=14 * DAY), evidence(standing=standing([key], WANTED)))
    assert verdict == Verdict()


@pytest.mark.parametrize(("age", "fires"), [(89, False), (90, True), (120, True)])
def test_a_key_that_is_older_than_its_rotation_allows(age: int, *, fires: bool) -> None:
    wanted = declaration([declared("production/api", "100", rotate_every=90 * DAY)])
    known = standing([live(1, "production/api", "100", created_at=NOW - age * DAY)], wanted)
    wants = alerts(rotation_overdue=True, drift=True)
    verdict = judge(wants, evidence(standing=known))
    assert fired(verdict) == ([("rotation_overdue", "warning", "production/api")] if fires else [])


# --- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((), "is declared and not live"),
        ((live(1, "production/api", "7"),), "key 1 (production/api) is not as declared: credit_limit"),
        (
            (live(1, "production/api~gone.20261201T000000Z", "100", is_enabled=False),),
            "is declared, and key 1 (production/api~gone.20261201T000000Z) was retired",
        ),
        (
            (live(1, "production/api", "100"), live(2, "production/x", "1")),
            "key 2 (production/x) is live, and has to go: no longer declared",
        ),
        (
            (live(1, "production/api", "100"), live(2, "production/api~next", "100")),
            "has a rotation that was interrupted",
        ),
        (
            (
                live(1, "production/api", "100", created_at=NOW - DAY),
                live(2, "production/api~sent.abc", "100", expires_at=NOW + DAY),
            ),
            "needs a new key: an earlier rotation was interrupted while the secret was delivered",
        ),
    ],
)
def test_an_account_that_is_not_as_declared(keys: tuple[LiveKey, ...], message: str) -> None:
    alert = the_one(judge(alerts(drift=True), evidence(standing=standing(keys, WANTED))))
    assert (alert.message, alert.severity) == (message, Severity.WARNING)
    assert alert.command == f"reconciler plan --only {alert.address}"
    assert alert.source


def test_an_account_that_is_as_declared_has_not_drifted() -> None:
    assert judge(alerts(drift=True), evidence(standing=standing([SETTLED], WANTED))) == Verdict()


def test_live_keys_that_do_not_fit_the_file_are_an_error_with_all_ids() -> None:
    known = standing([SETTLED, live(2, "production/api", "100")], WANTED)
    alert = the_one(judge(alerts(drift=True), evidence(standing=known)))
    assert alert.severity is Severity.ERROR
    assert "ids 1 and 2" in alert.message


def test_violated_guardrails_are_the_business_of_the_plan() -> None:
    budget = Finding("credit-budget", Severity.ERROR, "too much", address("production/api"), SOMEWHERE)
    known = standing([SETTLED], WANTED)
    refused = replace(known, plan=replace(known.plan, findings=(budget,)))
    assert judge(alerts(drift=True), evidence(standing=refused)) == Verdict()


# --- unmanaged, undelivered -------------------------------------------------------------------------------------------

STRANGER = live(9, "somebody's laptop")


def test_a_key_that_no_environment_owns() -> None:
    known = standing([SETTLED, STRANGER], WANTED)
    alert = the_one(judge(alerts(unmanaged=True, drift=True), evidence(standing=known)))
    assert alert.message == "key 9 (somebody's laptop) belongs to no declared environment"
    assert (alert.subject, alert.command) == ("somebody's laptop", "reconciler list --state unmanaged")


@pytest.mark.parametrize("policy", [Unmanaged.ERROR, Unmanaged.DELETE])
def test_a_key_that_no_environment_owns_is_told_once(policy: Unmanaged) -> None:
    known = standing([SETTLED, STRANGER], declaration([API], unmanaged=policy))
    assert [each.rule.value for each in judge(alerts(unmanaged=True, drift=True), evidence(standing=known)).alerts] == [
        "unmanaged"
    ]
    assert [each.rule.value for each in judge(alerts(drift=True), evidence(standing=known)).alerts] == ["drift"]


def test_a_key_to_be_deleted_for_being_unmanaged_is_called_by_its_name() -> None:
    known = standing([SETTLED, STRANGER], declaration([API], unmanaged=Unmanaged.DELETE))
    alert = the_one(judge(alerts(drift=True), evidence(standing=known)))
    assert (alert.subject, alert.command) == ("somebody's laptop", "reconciler plan")


def test_keys_that_the_file_ignores_are_no_alert() -> None:
    known = standing([SETTLED, STRANGER], declaration([API], ignore=("somebody's *",)))
    assert judge(alerts(unmanaged=True), evidence(standing=known)) == Verdict()


def test_what_destinations_lack() -> None:
    lacks = Finding("undelivered", Severity.WARNING, "destination vault lacks it", address("ci/a"), SOMEWHERE)
    alert = the_one(judge(alerts(undelivered=True), evidence(findings=(lacks,))))
    assert (alert.message, alert.source) == ("destination vault lacks it", SOMEWHERE)
    assert alert.command == "reconciler apply --rotate ci/a"


def test_what_a_command_has_to_take_needs_a_word_more() -> None:
    deliver = (Delivery(Target("store", "exec", ()), "KEY", SOMEWHERE),)
    key = declared("ci/a", rotate_every=DAY, deliver=deliver)
    known = standing([live(1, "ci/a", created_at=NOW - 2 * DAY)], declaration([key]))
    lacks = Finding("undelivered", Severity.WARNING, "destination store lacks it", address("ci/a"), SOMEWHERE)
    wanted = alerts(undelivered=True, rotation_overdue=True)
    verdict = judge(wanted, evidence(standing=known, findings=(lacks,)))
    assert [each.command for each in verdict.alerts] == [
        "reconciler apply --only ci/a --allow-exec",
        "reconciler apply --rotate ci/a --allow-exec",
    ]


def test_a_destination_that_could_not_be_asked_leaves_the_alert_unjudged_and_one_that_cannot_tell_is_only_noted() -> (
    None
):
    failed = Finding("not-checked", Severity.WARNING, "vault is sealed", source=SOMEWHERE)
    silent = Finding("not-checked", Severity.NOTE, "dotenv cannot tell")
    verdict = judge(alerts(undelivered=True), evidence(findings=(failed, silent)))
    assert [(each.rule.value, each.reason) for each in verdict.unjudged] == [("undelivered", "vault is sealed")]
    assert verdict.remarks == ("dotenv cannot tell",)
    assert verdict.alerts == ()


# --- what is not known ------------------------------------------------------------------------------------------------

EVERY = alerts(
    balance_below=Decimal(1),
    runway_below=DAY,
    key_spend_above=(Decimal("0.5"),),
    expiring_within=DAY,
    rotation_overdue=True,
    drift=True,
    unmanaged=True,
    undelivered=True,
)


@pytest.mark.parametrize(
    ("unread", "rules"),
    [
        ({"balance": Unread("why")}, ["balance_below"]),
        ({"runway": Unread("why")}, ["runway_below"]),
        ({"spend": Unread("why")}, ["key_spend_above"]),
        ({"findings": None}, ["undelivered"]),
        (
            {"standing": Unread("why")},
            ["key_spend_above", "expiring_within", "rotation_overdue", "drift", "unmanaged", "undelivered"],
        ),
    ],
)
def test_what_was_not_read_is_not_judged_and_does_not_hold_up_the_rest(
    unread: dict[str, object], rules: list[str]
) -> None:
    verdict = judge(EVERY, evidence(**{"findings": (), **unread}))
    assert [each.rule.value for each in verdict.unjudged] == rules
    assert verdict.alerts == ()
    # Whoever did not ask for an alert does not hear that it was not judged either.
    assert judge(Alerts(), evidence(**{"findings": (), **unread})) == Verdict()


def test_an_account_that_does_not_answer_is_not_judged_at_all() -> None:
    verdict = unjudged(alerts(balance_below=Decimal(1), drift=True), "NAGA_X", "it is down")
    assert [(each.rule.value, each.account, each.reason) for each in verdict.unjudged] == [
        ("balance_below", "NAGA_X", "it is down"),
        ("drift", "NAGA_X", "it is down"),
    ]


def test_the_usual_alerts_find_an_empty_account_and_a_missing_key() -> None:
    usual = standard_alerts(SOMEWHERE)
    verdict = judge(usual, evidence(balance=Decimal(0), runway=runway("0"), standing=standing([], WANTED)))
    assert {each.rule.value for each in verdict.alerts} == {"balance_below", "runway_below", "drift"}


def test_a_budget_that_waits_for_its_renewal_is_drift() -> None:
    key = live(1, "production/api~per.20261001.0", "100", created_at=NOW - 90 * DAY)
    monthly = declaration([declared("production/api", "100", renew="month")])
    spent = [activity({1: ("50", 5)}), activity({1: ("20", 2)}, days=NOW.day)]
    assert fired(judge(alerts(drift=True), evidence(standing=standing([key], monthly, spent)))) == [
        ("drift", "warning", "production/api")
    ]


# --- order, and promises ----------------------------------------------------------------------------------------------


def test_verdicts_on_several_accounts_are_one_with_the_worst_first() -> None:
    one = judge(alerts(runway_below=DAY), evidence(account="NAGA_A", runway=runway("0")))
    other = judge(alerts(balance_below=Decimal(1)), evidence(account="NAGA_B", balance=Decimal(0)))
    both = one + other
    assert [each.account for each in both.alerts] == ["NAGA_B", "NAGA_A"]
    assert both == other + one


def test_remarks_on_several_accounts_are_made_once() -> None:
    assert (Verdict(remarks=("a",)) + Verdict(remarks=("a", "b"))).remarks == ("a", "b")


@pytest.mark.parametrize(("share", "text"), [("0.92", "92 %"), ("0.9999", "99.9 %"), ("0", "0 %"), ("1.5", "150 %")])
def test_percents_are_never_more_than_they_are(share: str, text: str) -> None:
    assert percent(Decimal(share)) == text


def test_an_alert_is_the_same_though_its_amounts_have_moved() -> None:
    rules = alerts(balance_below=Decimal(20))
    first, second = (the_one(judge(rules, evidence(balance=Decimal(amount)))) for amount in (19, 18))
    assert first.identity == second.identity
    assert first.message != second.message


def test_a_key_whose_name_looks_like_an_address_is_another_alert() -> None:
    by_address = Alert(AlertRule.DRIFT, Severity.ERROR, "", "", "", "A", address=address("ci/a"))
    by_name = Alert(AlertRule.DRIFT, Severity.ERROR, "", "", "", "A", name="ci/a")
    account = Alert(AlertRule.DRIFT, Severity.ERROR, "", "", "", "A")
    assert len({by_address.identity, by_name.identity, account.identity}) == 3


money = st.decimals(0, 1000, places=6)
periods = st.integers(1, 100).map(lambda days: timedelta(days=days))


@given(money, money)
def test_a_balance_alert_never_fires_on_the_safe_side(balance: Decimal, least: Decimal) -> None:
    verdict = judge(alerts(balance_below=least), evidence(balance=balance))
    assert bool(verdict.alerts) == (balance < least)


@given(money, money, money)
def test_raising_a_threshold_never_ends_a_balance_alert(balance: Decimal, least: Decimal, more: Decimal) -> None:
    if judge(alerts(balance_below=least), evidence(balance=balance)).alerts:
        assert judge(alerts(balance_below=least + more), evidence(balance=balance)).alerts


@given(st.decimals(0, 1000, places=1), periods)
def test_a_runway_alert_never_fires_on_the_safe_side(days: Decimal, least: timedelta) -> None:
    verdict = judge(alerts(runway_below=least), evidence(runway=runway(str(days))))
    assert bool(verdict.alerts) == (days < least.days)


@settings(max_examples=examples(50))
@given(st.decimals(0, 200, places=2), st.decimals(0, 1, places=2))
def test_a_spend_alert_never_fires_on_the_safe_side(cost: Decimal, share: Decimal) -> None:
    known = standing([SETTLED], WANTED, [activity({1: (str(cost), 1)})])
    verdict = judge(alerts(key_spend_above=(share,)), evidence(standing=known))
    assert bool(verdict.alerts) == (cost > share * 100)


@settings(max_examples=examples(50))
@given(st.integers(-100, 100), periods)
def test_an_expiry_alert_never_fires_on_the_safe_side(days: int, ahead: timedelta) -> None:
    known = standing([live(1, "production/api", "100", expires_at=NOW + days * DAY)], WANTED)
    assert bool(judge(alerts(expiring_within=ahead), evidence(standing=known)).alerts) == (days <= ahead.days)


@settings(max_examples=examples(50))
@given(st.permutations([SETTLED, STRANGER, live(3, "production/x"), live(4, "production/y~next"), live(5, "zz")]))
def test_the_order_of_what_fires_is_always_the_same(keys: list[LiveKey]) -> None:
    verdict = judge(EVERY, evidence(standing=standing(keys, WANTED), findings=()))
    assert [each.subject for each in verdict.alerts] == [
        "production/x",
        "production/y",
        "somebody's laptop",
        "zz",
    ]
