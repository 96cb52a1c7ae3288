"""What no plan may do: a table for each guardrail, and who can lift it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostic import Severity
from reconciler.model import Environment, Lease, Unmanaged
from reconciler.planning.actions import Options, PlanInputs
from reconciler.planning.planner import make_plan
from support.builders import (
    NOW,
    SOMEWHERE,
    activity,
    address,
    declaration,
    declared,
    environment,
    live,
    rails,
    snapshot,
)

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey, LiveKey
    from reconciler.planning.actions import AccountPlan, Finding

DAY = timedelta(days=1)
PAST = NOW - 40 * DAY
NO_USE = PlanInputs(activity=(activity({}),))


def found(plan: AccountPlan, rule: str) -> list[Finding]:
    return [finding for finding in plan.findings if finding.rule == rule]


def messages(plan: AccountPlan, rule: str) -> list[str]:
    return [f"{finding.severity} {finding.address or '-'}: {finding.message}" for finding in found(plan, rule)]


def of_rules(plan: AccountPlan) -> list[str]:
    return [f"{finding.severity} {finding.rule} {finding.address or '-'}" for finding in plan.findings]


# --- protected --------------------------------------------------------------------------------------------------------

GUARDED = [
    pytest.param(None, live(1, "ci/a"), "delete it", id="delete"),
    pytest.param(declared("ci/a", is_enabled=False), live(1, "ci/a"), "disable it", id="disable"),
    pytest.param(declared("ci/a", "4"), live(1, "ci/a"), "lower its limit from $5 to $4", id="a lower limit"),
    pytest.param(
        declared("ci/a", "4"), live(1, "ci/a", None), "lower its limit from no limit to $4", id="a limit at all"
    ),
    pytest.param(
        declared("ci/a", "4.50", is_enabled=False),
        live(1, "ci/a"),
        "disable it and lower its limit from $5 to $4.50",
        id="two of them at once",
    ),
    pytest.param(
        declared("ci/a", "1", renamed_from=("b",)),
        live(1, "b"),
        "lower its limit from $5 to $1",
        id="a lower limit under a new name",
    ),
    pytest.param(
        declared("ci/a", "4", rotate_every=DAY),
        live(1, "ci/a", created_at=PAST),
        "lower its limit from $5 to $4",
        id="a lower limit for the next key",
    ),
    pytest.param(
        declared("ci/a", expires_at=NOW + DAY),
        live(1, "ci/a"),
        "let it expire at 2026-11-23T12:00:00Z instead of never",
        id="a first expiry",
    ),
    pytest.param(
        declared("ci/a", expires_at=NOW + DAY),
        live(1, "ci/a", expires_at=NOW + 2 * DAY),
        "let it expire at 2026-11-23T12:00:00Z instead of 2026-11-24T12:00:00Z",
        id="an earlier expiry",
    ),
    pytest.param(
        declared("ci/a", expires_at=NOW + DAY, rotate_every=DAY),
        live(1, "ci/a", created_at=PAST),
        "let it expire at 2026-11-23T12:00:00Z instead of never",
        id="an expiry for the next key",
    ),
    pytest.param(
        declared("ci/a", expires_at=NOW + DAY),
        live(1, "ci/a~gone.20270101T000000Z", is_enabled=False),
        "let it expire at 2026-11-23T12:00:00Z instead of never",
        id="an expiry for a key that comes back",
    ),
    pytest.param(
        declared("ci/a", rotate_every=DAY, rotation_overlap=timedelta(minutes=59)),
        live(1, "ci/a", created_at=PAST),
        "rotate it with an overlap of 59m only",
        id="a short overlap",
    ),
    pytest.param(None, live(1, "ci/a~old.20200101T000000Z"), "delete it", id="a key that only looks rotated out"),
    pytest.param(None, live(1, "ci/a~gone.20200101T000000Z"), "delete it", id="a key that only looks retired"),
    pytest.param(None, live(1, "ci/a~new.00ff", created_at=PAST), "delete it", id="a key that only looks abandoned"),
]
FREE = [
    pytest.param([declared("ci/a")], [], id="create"),
    pytest.param([declared("ci/a")], [live(1, "ci/a")], id="nothing"),
    pytest.param([declared("ci/a", "6")], [live(1, "ci/a")], id="a higher limit"),
    pytest.param([declared("ci/a", None)], [live(1, "ci/a")], id="no limit any more"),
    pytest.param(
        [declared("ci/a", expires_at=NOW + 2 * DAY)], [live(1, "ci/a", expires_at=NOW + DAY)], id="a later expiry"
    ),
    pytest.param([declared("ci/a")], [live(1, "ci/a", expires_at=NOW + DAY)], id="no expiry any more"),
    pytest.param(
        [declared("ci/a", rotate_every=DAY, rotation_overlap=timedelta(hours=1))],
        [live(1, "ci/a", created_at=PAST)],
        id="rotate with an overlap of an hour",
    ),
    pytest.param([declared("ci/a")], [live(1, "ci/a", is_enabled=False)], id="enable"),
    pytest.param([declared("ci/a", renamed_from=("b",))], [live(1, "b")], id="rename"),
    pytest.param([declared("ci/a", rotate_every=DAY)], [live(1, "ci/a", created_at=PAST)], id="rotate with overlap"),
    pytest.param([declared("ci/a")], [live(1, "ci/a~next"), live(2, "ci/a")], id="finish with overlap"),
    pytest.param([declared("ci/a")], [live(1, "ci/a~gone.20270101T000000Z", is_enabled=False)], id="restore"),
    pytest.param(
        [],
        [
            live(1, "ci/a~old.20200101T000000Z", expires_at=PAST),
            live(2, "ci/a~gone.20200101T000000Z", is_enabled=False),
            live(4, "ci/a~old.20261122T120000Z", expires_at=NOW + timedelta(seconds=59)),
            live(3, "ci/a~new.00ff", expires_at=NOW),
        ],
        id="clean up",
    ),
]


@pytest.mark.parametrize("protection", ["account", "environment", "key"])
@pytest.mark.parametrize(("key", "account", "deed"), GUARDED)
def test_a_protected_key_is_not_hurt(key: DeclaredKey | None, account: LiveKey, deed: str, protection: str) -> None:
    if key is None and protection == "key":
        return  # a key that left the file has no say any more
    keys = [] if key is None else [replace(key, protected=protection == "key")]
    wanted = declaration(keys, [environment("ci", 7, protected=True) if protection == "environment" else "ci"])
    wanted = replace(wanted, guardrails=rails(7, protected=True)) if protection == "account" else wanted
    plan = make_plan(wanted, snapshot(account), inputs=NO_USE)
    assert messages(plan, "protected") == [
        f"error ci/a: the key is protected, and this plan would {deed}; allow it once with --allow ci/a"
    ]
    assert [finding.source and finding.source.line for finding in plan.errors] == [1 if protection == "key" else 7]


@pytest.mark.parametrize(("keys", "account"), FREE)
def test_what_hurts_nobody_is_free_for_protected_keys(keys: list[DeclaredKey], account: list[LiveKey]) -> None:
    wanted = declaration(keys, [environment("ci", protected=True, protect_active=DAY, max_deletions=0)])
    assert make_plan(wanted, snapshot(*account)).errors == ()


def test_a_protected_key_is_not_retired() -> None:
    guarded = Environment("ci", SOMEWHERE, deletion_grace=DAY, guardrails=rails(protected=True))
    plan = make_plan(declaration([], [guarded]), snapshot(live(1, "ci/a")))
    assert messages(plan, "protected") == [
        "error ci/a: the key is protected, and this plan would retire it; allow it once with --allow ci/a"
    ]


@pytest.mark.parametrize(
    "account",
    [
        pytest.param([live(1, "ci/a")], id="rotate"),
        pytest.param([live(2, "ci/a~next"), live(1, "ci/a")], id="finish"),
    ],
)
@pytest.mark.parametrize(
    ("overlap", "expected"), [(False, ["rotate it without overlap"]), (True, [])], ids=["without", "with"]
)
def test_a_protected_key_is_not_rotated_without_overlap(
    account: list[LiveKey],
    overlap: bool,  # noqa: FBT001  # a parameter of the test
    expected: list[str],
) -> None:
    wanted = declaration([declared("ci/a", protected=True)])
    plan = make_plan(wanted, snapshot(*account), Options(frozenset({address("ci/a")}), overlap=overlap))
    told = [finding.message for finding in found(plan, "protected")]
    assert told == [
        f"the key is protected, and this plan would {deed}; allow it once with --allow ci/a" for deed in expected
    ]


def test_a_retired_key_that_works_again_is_disabled_not_deleted() -> None:
    rules: dict[str, Any] = {"protected": True, "max_deletions": 0}
    plan = make_plan(declaration([], [environment("ci", **rules)]), snapshot(live(1, "ci/a~gone.20270101T000000Z")))
    assert [each.message for each in plan.errors] == [
        "the key is protected, and this plan would disable it; allow it once with --allow ci/a"
    ]


def test_to_finish_a_rotation_whose_old_key_is_gone_takes_no_key_from_anybody() -> None:
    wanted = declaration([declared("ci/a", protected=True)])
    leaked = Options(frozenset({address("ci/a")}), overlap=False)
    assert make_plan(wanted, snapshot(live(1, "ci/a~next")), leaked).errors == ()


AWAY = [
    pytest.param(declared("ci/a", renamed_from=("production/a",)), live(1, "production/a"), id="by renamed_from"),
    pytest.param(declared("ci/a", id=1), live(1, "production/a"), id="by its id"),
    pytest.param(
        declared("ci/a", renamed_from=("production/a",), rotate_every=DAY),
        live(1, "production/a", created_at=PAST),
        id="by a rotation",
    ),
    pytest.param(
        declared("ci/a", renamed_from=("production/a",)),
        live(1, "production/a~gone.20270101T000000Z", is_enabled=False),
        id="after it was retired",
    ),
    pytest.param(
        declared("ci/a", renamed_from=("production/a",)),
        live(1, "production/a~next"),
        id="during a rotation",
    ),
]


@pytest.mark.parametrize("protection", ["now", "in the base", "of the key"])
@pytest.mark.parametrize(("key", "account"), AWAY)
def test_a_key_is_not_moved_out_of_its_protection(key: DeclaredKey, account: LiveKey, protection: str) -> None:
    guarded = environment("production", protected=True)
    wanted = declaration([key], [guarded if protection == "now" else "production"])
    base = declaration([declared("production/a", protected=True)], ["ci"])
    base = declaration([], ["ci", guarded]) if protection == "in the base" else base
    known = replace(NO_USE, base=None if protection == "now" else base)
    plan = make_plan(wanted, snapshot(account), inputs=known)
    assert "error protected ci/a" in of_rules(plan)
    (message,) = messages(plan, "protected")
    assert "production/a" in message


@pytest.mark.parametrize(
    ("key", "rules"), [(declared("ci/a", protected=True), {}), (declared("ci/a"), {"protected": True})]
)
def test_a_key_may_move_to_where_it_is_protected_too(key: DeclaredKey, rules: dict[str, bool]) -> None:
    wanted = [environment("production", protected=True), environment("ci", **rules)]
    moved = declaration([replace(key, renamed_from=("production/a",))], wanted)
    assert make_plan(moved, snapshot(live(1, "production/a")), inputs=NO_USE).errors == ()


def test_a_protected_account_protects_keys_that_nobody_manages_too() -> None:
    wanted = declaration([], unmanaged=Unmanaged.DELETE, guardrails=rails(protected=True))
    plan = make_plan(wanted, snapshot(live(4, "laptop")))
    assert messages(plan, "protected") == [
        "error -: key 4 (laptop): the key is protected, and this plan would delete it"
    ]
    allowed = make_plan(wanted, snapshot(live(4, "laptop")), Options(allow=("laptop",)))
    assert allowed.errors == ()


# --- protect_active and recent use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "days", "usage", "expected"),
    [
        pytest.param(7 * DAY, 8, ("0.5", 3), "used within 7d: 3 requests, $0.50 in 8 days", id="used"),
        pytest.param(7 * DAY, 8, ("0", 1), "used within 7d: 1 request, $0 in 8 days", id="used for nothing"),
        pytest.param(7 * DAY, 8, ("0", 0), None, id="not used"),
        pytest.param(timedelta(hours=1), 2, ("1", 1), "used within 1h: 1 request, $1 in 2 days", id="not a whole day"),
        pytest.param(25 * timedelta(hours=1), 3, ("1", 1), "used within 25h: 1 request, $1 in 3 days", id="part days"),
        pytest.param(30 * DAY, 30, ("1", 1), "used within 30d: 1 request, $1 in 30 days", id="as far as is known"),
    ],
)
def test_a_key_in_use_is_not_taken_away(
    period: timedelta, days: int, usage: tuple[str, int], expected: str | None
) -> None:
    wanted = declaration([], [environment("ci", 7, protect_active=period)])
    plan = make_plan(wanted, snapshot(live(1, "ci/a")), inputs=PlanInputs(activity=(activity({1: usage}, days),)))
    start = "error ci/a: this plan would delete it, and protect_active keeps what was "
    way_out = "; allow it once with --allow ci/a"
    assert messages(plan, "protect-active") == ([] if expected is None else [start + expected + way_out])


UNKNOWN = (
    "error ci/a: this plan would delete it, and whether it was used within 7d (protect_active) is not known;"
    " allow it once with --allow ci/a"
)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param(PlanInputs(), [UNKNOWN], id="nothing read"),
        pytest.param(PlanInputs(activity=(activity({1: ("1", 1)}),)), [UNKNOWN], id="used in 30 days, who knows when"),
        pytest.param(PlanInputs(activity=(activity({2: ("1", 1)}),)), [], id="not used in 30 days"),
        pytest.param(PlanInputs(activity=(activity({}, 8),)), [], id="not used in 8 days, the rest is not known"),
    ],
)
def test_what_is_not_known_about_a_guarded_key_counts_against_the_plan(inputs: PlanInputs, expected: list[str]) -> None:
    wanted = declaration([], [environment("ci", protect_active=7 * DAY)])
    assert messages(make_plan(wanted, snapshot(live(1, "ci/a")), inputs=inputs), "protect-active") == expected


def test_without_an_account_to_ask_it_is_a_warning_that_use_is_not_known() -> None:
    wanted = declaration([], [environment("ci", protect_active=7 * DAY)])
    offline = PlanInputs(base=declaration([declared("ci/a")]), offline=True)
    plan = make_plan(wanted, snapshot(live(-1, "ci/a")), inputs=offline)
    assert messages(plan, "protect-active") == [
        "warning ci/a: this plan would delete it, and whether it was used within 7d (protect_active) is not known"
    ]


@pytest.mark.parametrize(
    "keys",
    [[declared("ci/a", is_enabled=False)], [declared("ci/b"), declared("ci/a", is_enabled=False, rotate_every=DAY)]],
)
def test_a_key_in_use_is_not_disabled(keys: list[DeclaredKey]) -> None:
    wanted = declaration(keys, [environment("ci", protect_active=30 * DAY)])
    inputs = PlanInputs(activity=(activity({1: ("1", 1)}),))
    plan = make_plan(wanted, snapshot(live(1, "ci/a"), live(2, "ci/b")), inputs=inputs)
    assert of_rules(plan) == ["warning in-use ci/a", "error protect-active ci/a"]


def test_of_an_interrupted_rotation_the_old_key_is_the_one_in_use() -> None:
    wanted = declaration([declared("ci/a", is_enabled=False)], [environment("ci", protect_active=30 * DAY)])
    account = snapshot(live(1, "ci/a"), live(2, "ci/a~next"))
    used = make_plan(wanted, account, inputs=PlanInputs(activity=(activity({1: ("1", 1)}),)))
    assert of_rules(used) == ["warning in-use ci/a", "note interrupted ci/a", "error protect-active ci/a"]
    unused = make_plan(wanted, account, inputs=PlanInputs(activity=(activity({2: ("1", 1)}),)))
    assert of_rules(unused) == ["note interrupted ci/a"]


@pytest.mark.parametrize(
    ("keys", "account", "expected"),
    [
        ([], [live(1, "ci/a")], ["warning ci/a: still in use: 892 requests, $28.34 in 30 days"]),
        (
            [declared("ci/a", is_enabled=False)],
            [live(1, "ci/a")],
            ["warning ci/a: still in use: 892 requests, $28.34 in 30 days"],
        ),
        ([declared("ci/a", is_enabled=False)], [live(1, "ci/a", is_enabled=False)], []),
        ([declared("ci/a", "9")], [live(1, "ci/a")], []),
        ([], [live(2, "ci/a")], []),
        ([], [live(1, "ci/a~old.20200101T000000Z", expires_at=PAST)], []),
        (
            [],
            [live(1, "ci/a~old.20200101T000000Z")],
            ["warning ci/a: still in use: 892 requests, $28.34 in 30 days"],
        ),
        (
            [declared("ci/a", expires_at=NOW + DAY)],
            [live(1, "ci/a")],
            ["warning ci/a: still in use: 892 requests, $28.34 in 30 days"],
        ),
        (
            [declared("ci/a", rotate_every=DAY, rotation_overlap=timedelta(seconds=1))],
            [live(1, "ci/a", created_at=PAST)],
            ["warning ci/a: still in use: 892 requests, $28.34 in 30 days"],
        ),
    ],
)
def test_who_still_uses_a_key_that_goes_is_told(
    keys: list[DeclaredKey], account: list[LiveKey], expected: list[str]
) -> None:
    inputs = PlanInputs(activity=(activity({1: ("28.34", 892)}),))
    assert messages(make_plan(declaration(keys, ["ci"]), snapshot(*account), inputs=inputs), "in-use") == expected


def test_an_unmanaged_key_in_use_is_called_by_its_name() -> None:
    wanted = declaration([], unmanaged=Unmanaged.DELETE)
    plan = make_plan(wanted, snapshot(live(1, "laptop")), inputs=PlanInputs(activity=(activity({1: ("1", 1)}),)))
    assert messages(plan, "in-use") == ["warning -: key 1 (laptop): still in use: 1 request, $1 in 30 days"]


# --- limit_below_spend ------------------------------------------------------------------------------------------------

BELOW = (
    "error limit-below-spend: the new limit of $20 is below what it has spent, which stops it at once:"
    " 892 requests, $28.34 in 30 days; allow it once with --allow ci/a"
)
SPENT = (
    "warning already-spent: the new limit of {} is spent already, which stops it at once:"
    " 892 requests, $28.34 in 30 days"
)
NOT_KNOWN = (
    "error limit-below-spend: whether the new limit of $20 is spent already (limit_below_spend) is not known;"
    " allow it once with --allow ci/a"
)
SPEND = activity({1: ("28.34", 892)})


@pytest.mark.parametrize(
    ("limit", "account", "guarded", "known", "expected"),
    [
        pytest.param("20", live(1, "ci/a", "40"), True, True, [BELOW], id="below"),
        pytest.param("20", live(1, "ci/a", "10"), True, True, [BELOW], id="higher, and not high enough"),
        pytest.param("28.34", live(1, "ci/a", "40"), True, True, [SPENT.format("$28.34")], id="just what was spent"),
        pytest.param("28.35", live(1, "ci/a", "40"), True, True, [], id="above"),
        pytest.param(None, live(1, "ci/a", "40"), True, True, [], id="no limit"),
        pytest.param("20", live(1, "ci/a", "20"), True, True, [], id="the limit it has"),
        pytest.param("20", live(1, "ci/a", "40"), False, True, [SPENT.format("$20")], id="below, and not guarded"),
        pytest.param("0", live(2, "ci/a", "40"), False, True, [], id="nothing for a key that spends nothing"),
        pytest.param("20", live(1, "ci/a", "40"), True, False, [NOT_KNOWN], id="lower, and nobody knows"),
        pytest.param("20", live(1, "ci/a", None), True, False, [NOT_KNOWN], id="a limit, and nobody knows"),
        pytest.param("20", live(1, "ci/a", "10"), True, False, [], id="higher, and nobody knows"),
        pytest.param("20", live(1, "ci/a", "40"), False, False, [], id="nobody knows, nobody asked"),
        pytest.param("20", live(1, "old", "40"), True, True, [BELOW], id="under a new name"),
        pytest.param("20", live(1, "ci/a~gone.20270101T000000Z", "40"), True, True, [BELOW], id="on its return"),
        pytest.param("20", live(1, "ci/a~next", "40"), True, True, [BELOW], id="at the end of a rotation"),
    ],
)
def test_a_new_limit_that_is_spent_already_stops_a_key(
    limit: str | None,
    account: LiveKey,
    guarded: bool,  # noqa: FBT001  # a parameter of the test
    known: bool,  # noqa: FBT001  # a parameter of the test
    expected: list[str],
) -> None:
    rules = {"limit_below_spend": True} if guarded else {}
    wanted = declaration([declared("ci/a", limit, renamed_from=("old",))], [environment("ci", **rules)])
    plan = make_plan(wanted, snapshot(account), inputs=PlanInputs(activity=(SPEND,) if known else ()))
    told = [f"{each.severity} {each.rule}: {each.message}" for each in plan.findings]
    assert [text for text in told if "spent" in text] == expected


def test_the_key_that_a_rotation_makes_has_spent_nothing() -> None:
    wanted = declaration([declared("ci/a", "20", rotate_every=DAY)], [environment("ci", limit_below_spend=True)])
    plan = make_plan(wanted, snapshot(live(1, "ci/a", "40", created_at=PAST)), inputs=PlanInputs(activity=(SPEND,)))
    assert plan.findings == ()


# --- max_deletions ----------------------------------------------------------------------------------------------------

FOUR = [live(number, f"ci/{key}") for number, key in enumerate("abcd", start=1)]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (
            0,
            (
                "this plan would delete 4 keys{}, and max_deletions allows 0: ci/a, ci/b, ci/c, ci/d;"
                " what --allow names does not count"
            ),
        ),
        (
            3,
            (
                "this plan would delete 4 keys{}, and max_deletions allows 3: ci/a, ci/b, ci/c, ci/d;"
                " what --allow names does not count"
            ),
        ),
        (4, None),
        (5, None),
    ],
)
@pytest.mark.parametrize("grace", [None, DAY])
@pytest.mark.parametrize("scope", ["account", "environment"])
def test_no_plan_deletes_more_keys_than_it_may(
    most: int, expected: str | None, grace: timedelta | None, scope: str
) -> None:
    own = rails(7, max_deletions=most) if scope == "environment" else rails()
    wanted = declaration([], [Environment("ci", SOMEWHERE, deletion_grace=grace, guardrails=own)])
    wanted = replace(wanted, guardrails=rails(7, max_deletions=most)) if scope == "account" else wanted
    plan = make_plan(wanted, snapshot(*FOUR, live(9, "ci/e~old.20200101T000000Z", expires_at=PAST)))
    assert [(each.message, each.source and each.source.line) for each in found(plan, "max-deletions")] == (
        [] if expected is None else [(expected.format("" if scope == "account" else " of ci"), 7)]
    )


def test_each_environment_counts_for_itself_and_the_account_for_all() -> None:
    wanted = declaration([], [environment("ci", max_deletions=1), environment("production", max_deletions=1)])
    wanted = replace(wanted, guardrails=rails(max_deletions=1), unmanaged=Unmanaged.DELETE)
    plan = make_plan(wanted, snapshot(live(1, "ci/a"), live(2, "production/a"), live(3, "laptop")))
    assert [each.message for each in found(plan, "max-deletions")] == [
        (
            "this plan would delete 3 keys, and max_deletions allows 1: ci/a, production/a, laptop;"
            " what --allow names does not count"
        )
    ]


SIX = [live(number, f"ci/{key}") for number, key in enumerate("abcdef", start=1)]


@pytest.mark.parametrize(
    ("account", "own", "refusals"),
    [
        pytest.param(
            {}, {}, ["6 keys, and max_deletions allows 5, where the file says nothing"], id="nothing declared"
        ),
        pytest.param({"max_deletions": None}, {}, [], id="no limit, said on purpose"),
        pytest.param({"max_deletions": 9}, {}, [], id="more, said for the account"),
        pytest.param(
            {"max_deletions": 2}, {}, ["6 keys, and max_deletions allows 2:"], id="less, said for the account"
        ),
        pytest.param({}, {"max_deletions": 9}, [], id="more, said for the environment"),
        pytest.param({}, {"max_deletions": None}, [], id="no limit, said for the environment"),
        pytest.param({"max_deletions": 5}, {"max_deletions": None}, ["allows 5:"], id="an environment loosens nothing"),
        pytest.param({}, {"max_deletions": 2}, ["6 keys of ci, and max_deletions allows 2:"], id="less, for it alone"),
    ],
)
def test_a_plan_that_empties_an_account_needs_somebody_who_says_so(
    account: dict[str, Any], own: dict[str, Any], refusals: list[str]
) -> None:
    wanted = declaration([], [environment("ci", **own)], guardrails=rails(**account))
    messages = [each.message for each in found(make_plan(wanted, snapshot(*SIX)), "max-deletions")]
    assert len(messages) == len(refusals)
    assert all(refusal in message for refusal, message in zip(refusals, messages, strict=True))


def test_what_environments_count_themselves_is_not_counted_again_by_default() -> None:
    wanted = declaration([], [environment("ci", max_deletions=9), "dev"])
    dev = [live(number, f"dev/{key}") for number, key in enumerate("abcdef", start=11)]
    assert make_plan(wanted, snapshot(*SIX, *dev[:5])).errors == ()
    (refusal,) = make_plan(wanted, snapshot(*SIX, *dev)).errors
    assert "6 keys, and max_deletions allows 5, where the file says nothing: dev/a" in refusal.message


def test_many_deletions_are_not_all_named() -> None:
    keys = [live(number, f"ci/k{number}") for number in range(1, 9)]
    plan = make_plan(declaration([], ["ci"], guardrails=rails(max_deletions=2)), snapshot(*keys))
    assert "8 keys, and max_deletions allows 2: ci/k1, ci/k2, ci/k3, ci/k4, ci/k5 and 3 more;" in (
        plan.errors[0].message
    )


def test_deletions_that_are_allowed_do_not_count() -> None:
    wanted = declaration([], [environment("ci", max_deletions=2)])
    assert make_plan(wanted, snapshot(*FOUR), Options(allow=("ci/a",))).errors != ()
    allowed = make_plan(wanted, snapshot(*FOUR), Options(allow=("ci/a", "ci/b")))
    assert of_rules(allowed) == ["note max-deletions -"]
    assert [each.lifts for each in allowed.findings if each.lifts] == [("ci/a", "ci/b")]
    assert make_plan(wanted, snapshot(*FOUR), Options(allow=("ci/*",))).errors == ()


# --- what declared keys must be ---------------------------------------------------------------------------------------

HUNDRED = NOW + 100 * DAY


@pytest.mark.parametrize(
    ("rule", "key", "expected"),
    [
        ({"max_credit_limit": Decimal(5)}, declared("ci/a"), None),
        (
            {"max_credit_limit": Decimal("4.5")},
            declared("ci/a"),
            "max-credit-limit: its limit of $5 is too high: the highest that max_credit_limit allows is $4.50",
        ),
        (
            {"max_credit_limit": Decimal(5)},
            declared("ci/a", None),
            "max-credit-limit: it has no limit: the highest that max_credit_limit allows is $5",
        ),
        ({"require_limit": True}, declared("ci/a", "0"), None),
        (
            {"require_limit": True},
            declared("ci/a", None),
            "require-limit: it has no limit, and require_limit wants one for every key",
        ),
        ({"max_lifetime": 100 * DAY}, declared("ci/a", expires_at=HUNDRED), None),
        ({"max_lifetime": 100 * DAY}, declared("ci/a", expires_at=PAST), None),
        (
            {"max_lifetime": 99 * DAY},
            declared("ci/a", expires_at=HUNDRED),
            "max-lifetime: it expires at 2027-03-02T12:00:00Z: by max_lifetime it must expire within 99d",
        ),
        (
            {"max_lifetime": 99 * DAY},
            declared("ci/a"),
            "max-lifetime: it never expires: by max_lifetime it must expire within 99d",
        ),
        ({"require_rotation": True}, declared("ci/a", rotate_every=DAY), None),
        (
            {"require_rotation": True},
            declared("ci/a"),
            "require-rotation: it has no rotate_every, and require_rotation wants every key to be rotated",
        ),
    ],
)
@pytest.mark.parametrize("exists", [True, False], ids=["live", "new"])
@pytest.mark.parametrize("scope", ["account", "environment"])
def test_every_declared_key_is_as_the_guardrails_want_it(
    rule: dict[str, Any],
    key: DeclaredKey,
    expected: str | None,
    exists: bool,  # noqa: FBT001  # a parameter of the test
    scope: str,
) -> None:
    wanted = declaration([key], [environment("ci", 7, **rule) if scope == "environment" else "ci"])
    wanted = replace(wanted, guardrails=rails(7, **rule)) if scope == "account" else wanted
    limit = None if key.credit_limit is None else str(key.credit_limit)
    account = [live(1, "ci/a", limit, expires_at=key.expires_at)] if exists else []
    errors = [each for each in make_plan(wanted, snapshot(*account)).errors if each.rule != "expiry-passed"]
    assert [f"{each.rule}: {each.message}" for each in errors] == ([] if expected is None else [expected])
    assert all(each.address == key.address and each.source and each.source.line == 7 for each in errors)


def test_an_environment_tightens_what_holds_for_the_account_and_never_loosens_it() -> None:
    keys = [declared(text, "50") for text in ("strict/a", "lax/a", "silent/a")]
    strict, lax = (
        environment("strict", 1, max_credit_limit=Decimal(10)),
        environment("lax", 2, max_credit_limit=Decimal(100)),
    )
    wanted = declaration(keys, [strict, lax, "silent"], guardrails=rails(3, max_credit_limit=Decimal(20)))
    plan = make_plan(wanted, snapshot())
    assert [(str(each.address), each.source and each.source.line) for each in plan.errors] == [
        ("lax/a", 3),
        ("silent/a", 3),
        ("strict/a", 1),
    ]


def test_all_violations_come_at_once_in_order() -> None:
    rules: dict[str, Any] = {
        "max_deletions": 0,
        "protected": True,
        "protect_active": DAY,
        "credit_budget": Decimal(1),
        "max_credit_limit": Decimal(1),
        "require_limit": True,
        "max_lifetime": DAY,
        "require_rotation": True,
        "limit_below_spend": True,
    }
    keys = [declared("ci/a", "2"), declared("ci/b", None)]
    account = snapshot(live(1, "ci/a", "9"), live(2, "ci/c"))
    inputs = PlanInputs(activity=(activity({1: ("3", 1), 2: ("1", 1)}), activity({2: ("1", 1)}, 2)))
    plan = make_plan(declaration(keys, ["ci"], guardrails=rails(**rules)), account, inputs=inputs)
    assert of_rules(plan) == [
        "error limit-below-spend ci/a",
        "error max-credit-limit ci/a",
        "error max-lifetime ci/a",
        "error protected ci/a",
        "error require-rotation ci/a",
        "error credit-budget ci/b",
        "error max-credit-limit ci/b",
        "error max-lifetime ci/b",
        "error require-limit ci/b",
        "error require-rotation ci/b",
        "warning in-use ci/c",
        "error protect-active ci/c",
        "error protected ci/c",
        "error max-deletions -",
    ]


# --- credit_budget ----------------------------------------------------------------------------------------------------

BUDGET = "{} of limits is over the budget of environment ci, $10, by {}"


def told(plan: AccountPlan) -> list[tuple[str, str]]:
    return [(str(each.address or "-"), each.message) for each in found(plan, "credit-budget")]


@pytest.mark.parametrize(
    ("keys", "account", "expected"),
    [
        pytest.param([declared("ci/a", "10")], [], [], id="just the budget"),
        pytest.param(
            [declared("ci/a", "10.000001")], [], [("ci/a", BUDGET.format("$10.000001", "$0.000001"))], id="over"
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", "7")],
            [live(1, "ci/a", "5"), live(2, "ci/b", "1")],
            [("ci/b", BUDGET.format("$13", "$3"))],
            id="the change that raises most",
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", "7")],
            [live(1, "ci/a", "5")],
            [("ci/b", BUDGET.format("$13", "$3"))],
            id="a new key raises by its limit",
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", "6")],
            [live(1, "ci/a", "5"), live(2, "ci/b", "5")],
            [("ci/a", BUDGET.format("$12", "$2"))],
            id="the first of equals",
        ),
        pytest.param(
            [declared("ci/a", "20"), declared("ci/b", "7")],
            [live(1, "ci/a", "20"), live(2, "ci/b", "7")],
            [("-", BUDGET.format("$27", "$17"))],
            id="nothing changes",
        ),
        pytest.param(
            [declared("ci/a", "20"), declared("ci/b", "7")],
            [live(1, "ci/a", "21"), live(2, "ci/b", None)],
            [("-", BUDGET.format("$27", "$17"))],
            id="lowered, and not enough",
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", "7", renamed_from=("b",))],
            [live(1, "ci/a", "5"), live(2, "b", "7")],
            [("ci/b", BUDGET.format("$13", "$3"))],
            id="a key that comes from elsewhere",
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", "7", renamed_from=("ci/c",))],
            [live(1, "ci/a", "5"), live(2, "ci/c", "7")],
            [("ci/a", BUDGET.format("$13", "$3"))],
            id="a key that only changes its name",
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", "7")],
            [live(1, "ci/a", "5"), live(2, "ci/b~gone.20270101T000000Z", "7", is_enabled=False)],
            [("ci/b", BUDGET.format("$13", "$3"))],
            id="a key that comes back",
        ),
        pytest.param(
            [declared("ci/a", "6"), declared("ci/b", None)],
            [live(1, "ci/a", "5"), live(2, "ci/b", "7")],
            [
                (
                    "ci/b",
                    (
                        "1 key without a limit would break the budget of environment ci, $10: ci/b;"
                        " the other limits add up to $6"
                    ),
                )
            ],
            id="no limit is over every budget",
        ),
        pytest.param(
            [declared("ci/a", None), declared("ci/b", None)],
            [live(1, "ci/a", None), live(2, "ci/b", None)],
            [
                (
                    "-",
                    (
                        "2 keys without a limit would break the budget of environment ci, $10: ci/a, ci/b;"
                        " the other limits add up to $0"
                    ),
                )
            ],
            id="no limits as ever",
        ),
        pytest.param([declared("x/a", "50")], [], [], id="another environment"),
        pytest.param([declared("ci/a", "7")], [live(1, "ci/b", "90")], [], id="what goes does not count"),
    ],
)
def test_the_limits_of_an_environment_stay_within_its_budget(
    keys: list[DeclaredKey], account: list[LiveKey], expected: list[tuple[str, str]]
) -> None:
    wanted = declaration(keys, [environment("ci", 7, credit_budget=Decimal(10))])
    plan = make_plan(wanted, snapshot(*account))
    assert told(plan) == expected
    assert all(each.source and each.source.line == 7 for each in plan.errors)


def test_the_account_has_a_budget_for_all_environments_together() -> None:
    keys = [declared("ci/a", "6"), declared("production/a", "7")]
    wanted = declaration(
        keys, [environment("ci", credit_budget=Decimal(6))], guardrails=rails(credit_budget=Decimal(12))
    )
    plan = make_plan(wanted, snapshot(live(1, "ci/a")))
    assert told(plan) == [("production/a", "$13 of limits is over the budget, $12, by $1")]


def lease(text: str, limit: str | None = "2", **fields: Any) -> Lease:
    values: dict[str, Any] = {"ttl": timedelta(minutes=15), "max_open": 3, **fields}
    credit_limit = None if limit is None else Decimal(limit)
    return Lease(address(text), text, credit_limit=credit_limit, source=SOMEWHERE, **values)


@pytest.mark.parametrize(
    ("leases", "rule", "expected"),
    [
        pytest.param([lease("ci/agent", "3")], {"credit_budget": Decimal(9)}, [], id="three of three"),
        pytest.param(
            [lease("ci/agent", "3")], {"credit_budget": Decimal(8)}, ["credit-budget -"], id="over the budget"
        ),
        pytest.param(
            [lease("ci/agent", None)],
            {"credit_budget": Decimal(8)},
            ["credit-budget -"],
            id="no limit, over the budget",
        ),
        pytest.param([lease("ci/agent", "3")], {"max_credit_limit": Decimal(3)}, [], id="the highest limit"),
        pytest.param(
            [lease("ci/agent"), lease("ci/b", "3")],
            {"max_credit_limit": Decimal(2)},
            ["max-credit-limit ci/b"],
            id="above",
        ),
        pytest.param(
            [lease("ci/agent", None)],
            {"require_limit": True},
            ["require-limit ci/agent"],
            id="no limit",
        ),
        pytest.param([lease("ci/agent")], {"max_lifetime": timedelta(minutes=15)}, [], id="as long as may be"),
        pytest.param(
            [lease("ci/agent")], {"max_lifetime": timedelta(minutes=14)}, ["max-lifetime ci/agent"], id="outlives it"
        ),
        pytest.param([lease("ci/agent")], {"require_rotation": True}, [], id="is never rotated"),
    ],
)
@pytest.mark.parametrize("where", ["account", "environment"])
def test_guardrails_hold_for_leases(leases: list[Lease], rule: dict[str, Any], expected: list[str], where: str) -> None:
    environments = [environment("ci", **(rule if where == "environment" else {}))]
    own = {"guardrails": rails(**rule)} if where == "account" else {}
    plan = make_plan(declaration([], environments, leases=tuple(leases), **own), snapshot())
    assert [f"{each.rule} {each.address or '-'}" for each in plan.errors] == expected


def test_a_lease_that_the_run_is_not_about_is_not_judged() -> None:
    wanted = declaration([], [environment("ci", max_credit_limit=Decimal(1))], leases=(lease("ci/agent"),))
    assert not make_plan(wanted, snapshot(), Options(only=("ci/other",))).errors


# --- what lifts a guardrail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "errors", "notes"),
    [
        ((), ["ci/a", "ci/b", "production/a"], []),
        (("ci/a",), ["ci/b", "production/a"], ["ci/a"]),
        (("ci/*",), ["production/a"], ["ci/a", "ci/b"]),
        (("*/a",), ["ci/b"], ["ci/a", "production/a"]),
        (("c",), ["ci/a", "ci/b", "production/a"], []),
        (("CI/A",), ["ci/a", "ci/b", "production/a"], []),
        (("ci/b", "production/?"), ["ci/a"], ["ci/b", "production/a"]),
    ],
)
def test_allow_lifts_what_guards_the_addresses_it_names(
    allow: tuple[str, ...], errors: list[str], notes: list[str]
) -> None:
    wanted = declaration([], ["ci", "production"], guardrails=rails(protected=True))
    account = snapshot(live(1, "ci/a"), live(2, "ci/b"), live(3, "production/a"))
    plan = make_plan(wanted, account, Options(allow=allow))
    assert [str(each.address) for each in plan.errors] == errors
    lifted = [each for each in plan.findings if each.severity is Severity.NOTE]
    assert [str(each.address) for each in lifted] == notes
    assert {each.message for each in lifted} <= {
        "the key is protected, and this plan would delete it (allowed for this run)"
    }


def test_allow_lifts_every_guardrail_of_an_address() -> None:
    rules: dict[str, Any] = {
        "protected": True,
        "protect_active": DAY,
        "credit_budget": Decimal(1),
        "max_credit_limit": Decimal(1),
        "limit_below_spend": True,
        "require_rotation": True,
    }
    wanted = declaration([declared("ci/a", "7"), declared("ci/c", "2")], guardrails=rails(**rules))
    account = snapshot(live(1, "ci/a", "9"), live(2, "ci/b"))
    plan = make_plan(wanted, account, Options(allow=("ci/*",)))
    assert plan.errors == ()
    assert [each.rule for each in plan.findings] == [
        "limit-below-spend",
        "max-credit-limit",
        "protected",
        "require-rotation",
        "protect-active",
        "protected",
        "credit-budget",
        "max-credit-limit",
        "require-rotation",
    ]


def test_a_finding_about_no_address_is_not_lifted() -> None:
    wanted = declaration([declared("ci/a", "7")], guardrails=rails(credit_budget=Decimal(1)))
    assert len(make_plan(wanted, snapshot(live(1, "ci/a", "7")), Options(allow=("*",))).errors) == 1


@pytest.mark.parametrize(
    ("wanted", "account", "rule"),
    [
        (declaration([declared("ci/a")]), [live(1, "ci/a"), live(2, "ci/a")], "duplicate-name"),
        (declaration([declared("ci/a", id=7)]), [], "wrong-id"),
        (
            declaration([declared("ci/a", id=7), declared("ci/b", renamed_from=("x",))]),
            [live(7, "x")],
            "ambiguous-key",
        ),
        (declaration([declared("ci/a", expires_at=PAST)]), [], "expiry-passed"),
        (declaration([], unmanaged=Unmanaged.ERROR), [live(1, "ci/a")], "unmanaged"),
    ],
)
def test_what_is_wrong_in_itself_is_not_lifted(wanted: Declaration, account: list[LiveKey], rule: str) -> None:
    plan = make_plan(wanted, snapshot(*account), Options(allow=("*", "*/*")))
    assert {each.rule for each in plan.errors} == {rule}


def test_a_rotation_without_overlap_takes_a_key_away_from_who_uses_it() -> None:
    wanted = declaration([declared("ci/a")], [environment("ci", protect_active=7 * DAY)])
    used = tuple(activity({1: ("1", 9)}, days=days) for days in (8, 30))
    options = Options(frozenset({address("ci/a")}), overlap=False)
    plan = make_plan(wanted, snapshot(live(1, "ci/a")), options, PlanInputs(activity=used))
    (message,) = messages(plan, "protect-active")
    assert message.startswith("error ci/a: this plan would rotate it without overlap, and protect_active keeps")
