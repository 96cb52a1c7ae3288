"""The three-way view: the file as it was, the file as it is, the account."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model import Environment, Lease, Unmanaged
from reconciler.planning.actions import Delete, DeleteReason, Options, PlanInputs, Retire
from reconciler.planning.base_review import snapshot_of
from reconciler.planning.planner import make_plan
from support.builders import (
    NOW,
    SOMEWHERE,
    activity,
    address,
    declaration,
    declared,
    dotenv,
    environment,
    live,
    rails,
    snapshot,
)

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey, Guardrails, LiveKey
    from reconciler.planning.actions import AccountPlan

DAY = timedelta(days=1)


def three_way(
    base: Declaration, wanted: Declaration, *account: LiveKey, options: Options | None = None, **inputs: Any
) -> AccountPlan:
    return make_plan(wanted, snapshot(*account), options or Options(), PlanInputs(base=base, **inputs))


def messages(plan: AccountPlan, rule: str) -> list[str]:
    return [f"{each.severity} {each.address or '-'}: {each.message}" for each in plan.findings if each.rule == rule]


# --- what goes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [None, DAY])
def test_a_key_that_the_change_removes_is_told_from_one_that_no_file_declared(grace: timedelta | None) -> None:
    ci = Environment("ci", SOMEWHERE, deletion_grace=grace)
    base = declaration([declared("ci/a"), declared("ci/b")])
    stray, old = live(2, "ci/stray"), live(3, "ci/b~old.20200101T000000Z")
    plan = three_way(base, declaration([declared("ci/b")], [ci]), live(1, "ci/a"), stray, old, live(4, "ci/b"))
    reasons = {action.live.name: action.reason for action in plan.actions if isinstance(action, Delete | Retire)}
    assert reasons == {
        "ci/a": DeleteReason.REMOVED,
        "ci/stray": DeleteReason.LIVE_ONLY,
        "ci/b~old.20200101T000000Z": DeleteReason.OVERLAP_OVER,
    }


@pytest.mark.parametrize("lifted", [rails(max_deletions=None), rails(max_deletions=40)])
def test_the_default_too_holds_in_the_change_that_lifts_it(lifted: Guardrails) -> None:
    keys = [live(number, f"ci/k{number}") for number in range(1, 7)]
    base = declaration([declared(key.name) for key in keys])
    plan = three_way(base, declaration([], ["ci"], guardrails=lifted), *keys)
    assert [each.rule for each in plan.errors] == ["max-deletions"]
    assert "guardrail-loosened" in {each.rule for each in plan.findings}


def test_both_count_as_deletions() -> None:
    wanted = declaration([], [environment("ci", max_deletions=1)])
    plan = three_way(declaration([declared("ci/a")]), wanted, live(1, "ci/a"), live(2, "ci/stray"))
    assert [each.rule for each in plan.errors] == ["max-deletions"]


# --- environments that are dropped ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unmanaged", "account", "expected"),
    [
        pytest.param(
            Unmanaged.REPORT,
            [live(1, "ci/a"), live(2, "ci/b~old.20200101T000000Z"), live(3, "x")],
            ", which leaves 2 live keys unmanaged; to delete what it has, declare it with `keys: {}`",
            id="keys that stay",
        ),
        pytest.param(
            Unmanaged.IGNORE,
            [live(1, "ci/a")],
            ", which leaves 1 live key unmanaged; to delete what it has, declare it with `keys: {}`",
            id="keys that nobody hears of",
        ),
        pytest.param(
            Unmanaged.DELETE,
            [live(1, "ci/a"), live(2, "ci/b")],
            ", which leaves 2 live keys unmanaged, and the file says to delete such keys",
            id="keys that go",
        ),
        pytest.param(Unmanaged.REPORT, [live(1, "x/a")], "; it has no live keys", id="no keys"),
    ],
)
def test_an_environment_that_is_dropped_leaves_keys_that_nobody_owns(
    unmanaged: Unmanaged, account: list[LiveKey], expected: str
) -> None:
    base = declaration([declared("ci/a")], [Environment("ci", replace(SOMEWHERE, line=9))])
    plan = three_way(base, declaration([], ["x"], unmanaged=unmanaged), *account)
    assert messages(plan, "environment-dropped") == [f"warning -: environment ci is no longer declared{expected}"]
    assert {each.source and each.source.line for each in plan.findings if each.rule == "environment-dropped"} == {9}


def test_environments_that_are_still_there_are_not_dropped() -> None:
    assert three_way(declaration([declared("ci/a")]), declaration([], ["ci"])).findings == ()


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        (Options(environments=frozenset({"ci"})), ["ci"]),
        (Options(only=("x/*", "ci/a")), ["ci"]),
        (Options(environments=frozenset({"x"})), []),
        (Options(only=("ci/nothing",)), []),
    ],
)
def test_a_run_that_is_not_about_an_environment_says_nothing_of_its_end(options: Options, dropped: list[str]) -> None:
    base = declaration([declared("ci/a")])
    plan = three_way(base, declaration([], ["x"]), live(1, "ci/a"), options=options)
    assert [each.message.split()[1] for each in plan.findings if each.rule == "environment-dropped"] == dropped


def test_dropping_a_protected_environment_does_not_unprotect_its_keys() -> None:
    base = declaration([declared("ci/a")], [environment("ci", 9, protected=True, max_deletions=0)])
    wanted = declaration([], unmanaged=Unmanaged.DELETE)
    plan = three_way(base, wanted, live(1, "ci/a"), live(2, "laptop"))
    kept = "; this guardrail is still in force because the base file has it"
    assert messages(plan, "protected") == [
        f"error ci/a: the key is protected, and this plan would delete it{kept}; allow it once with --allow ci/a"
    ]
    assert messages(plan, "max-deletions") == [
        (
            "error -: this plan would delete 1 key of ci, and max_deletions allows 0: ci/a;"
            f" what --allow names does not count{kept}"
        )
    ]
    allowed = three_way(base, wanted, live(1, "ci/a"), options=Options(allow=("ci/a",)))
    assert allowed.errors == ()


# --- guardrails that the change removes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"protected": True}, {"protected": True}, [], id="the same"),
        pytest.param({}, {"protected": True}, [], id="a new one"),
        pytest.param({"protected": True}, {}, ["removes protected (true)"], id="gone"),
        pytest.param({"max_deletions": 2}, {"max_deletions": 3}, ["loosens, to 3, max_deletions (2)"], id="a count"),
        pytest.param({"max_deletions": 2}, {"max_deletions": 1}, [], id="a tighter count"),
        pytest.param(
            {"max_deletions": 2}, {"max_deletions": None}, ["loosens, to no limit, max_deletions (2)"], id="no count"
        ),
        pytest.param(
            {"protect_active": 7 * DAY}, {"protect_active": DAY}, ["loosens, to 1d, protect_active (7d)"], id="a time"
        ),
        pytest.param({"protect_active": DAY}, {"protect_active": 7 * DAY}, [], id="a longer time"),
        pytest.param(
            {"max_lifetime": DAY}, {"max_lifetime": 7 * DAY}, ["loosens, to 7d, max_lifetime (1d)"], id="a life"
        ),
        pytest.param(
            {"credit_budget": Decimal(7)},
            {"credit_budget": Decimal("7.50")},
            ["loosens, to $7.50, credit_budget ($7)"],
            id="money",
        ),
        pytest.param(
            {"require_limit": True, "require_rotation": True},
            {},
            ["removes require_limit (true)", "removes require_rotation (true)"],
            id="two",
        ),
    ],
)
@pytest.mark.parametrize("scope", ["account", "environment"])
def test_a_change_that_loosens_a_guardrail_is_told(
    before: dict[str, Any], after: dict[str, Any], expected: list[str], scope: str
) -> None:
    if scope == "account":
        base = declaration([], ["ci"], guardrails=rails(1, **before))
        wanted, whom = declaration([], ["ci"], guardrails=rails(2, **after)), "for the account"
    else:
        base = declaration([], [environment("ci", 1, **before)])
        wanted, whom = declaration([], [environment("ci", 2, **after)]), "for environment ci"
    plan = three_way(base, wanted)
    assert messages(plan, "guardrail-loosened") == [
        f"warning -: this change {each} {whom}; it still holds for this plan" for each in expected
    ]
    assert [each.source and each.source.line for each in plan.findings] == [2 if after else 1 for _ in expected]


def test_what_an_environment_leaves_to_the_account_is_not_loosened() -> None:
    base = declaration([], [environment("ci", max_credit_limit=Decimal(5), max_deletions=1)])
    wanted = declaration([], ["ci"], guardrails=rails(max_credit_limit=Decimal(5), max_deletions=1))
    assert messages(three_way(base, wanted), "guardrail-loosened") == [
        "warning -: this change removes max_deletions (1) for environment ci; it still holds for this plan"
    ]


def test_a_run_about_other_environments_says_nothing_of_this_one() -> None:
    base = declaration([declared("x/a")], [environment("ci", protected=True)])
    options = Options(environments=frozenset({"x"}))
    assert three_way(base, declaration([declared("x/a")], ["ci"]), live(1, "x/a"), options=options).findings == ()


@pytest.mark.parametrize(
    ("key", "rules", "only", "expected"),
    [
        (declared("ci/a"), {}, (), ["ci/a"]),
        (declared("ci/a", protected=True), {}, (), []),
        (declared("ci/a"), {"protected": True}, (), []),
        (declared("ci/a"), {}, ("ci/b",), []),
    ],
)
def test_a_key_that_loses_its_own_protection_is_told(
    key: DeclaredKey, rules: dict[str, Any], only: tuple[str, ...], expected: list[str]
) -> None:
    base = declaration([declared("ci/a", protected=True), declared("ci/b")])
    wanted = declaration([key, declared("ci/b"), declared("ci/c")], [environment("ci", **rules)])
    plan = three_way(base, wanted, options=Options(only=only))
    told = [each for each in plan.findings if each.rule == "guardrail-loosened"]
    assert [str(each.address) for each in told] == expected


def test_a_key_protected_by_its_environment_loses_that_once() -> None:
    base = declaration([declared("ci/a", protected=True)], [environment("ci", protected=True)])
    assert messages(three_way(base, declaration([declared("ci/a")])), "guardrail-loosened") == [
        "warning -: this change removes protected (true) for environment ci; it still holds for this plan"
    ]


@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        pytest.param(
            declaration([declared("ci/a", protected=True)]), declaration([], ["ci"]), id="a protected key is removed"
        ),
        pytest.param(
            declaration([declared("ci/a", protected=True)]),
            declaration([declared("ci/a", "1")]),
            id="unprotected and lowered",
        ),
        pytest.param(
            declaration([declared("ci/a", protected=True)]),
            declaration([declared("ci/b", "1", renamed_from=("ci/a",))]),
            id="renamed and lowered",
        ),
        pytest.param(
            declaration([declared("ci/a")], [environment("ci", protected=True)]),
            declaration([declared("x/a", "1", renamed_from=("ci/a",))]),
            id="moved out of an environment that is dropped",
        ),
        pytest.param(
            declaration([declared("ci/a")], guardrails=rails(protected=True)),
            declaration([], ["ci"]),
            id="an account that is no longer protected",
        ),
        pytest.param(
            declaration([declared("ci/a", name="prod-ci-a", protected=True)], naming="prod-{environment}-{key}"),
            declaration([declared("ci/b", "1", id=1)]),
            id="named otherwise",
        ),
    ],
)
def test_what_the_base_protects_stays_protected(base: Declaration, wanted: Declaration) -> None:
    name = base.keys[0].name
    plan = three_way(base, wanted, live(1, name))
    errors = [each for each in plan.errors if each.rule == "protected"]
    assert len(errors) == 1
    assert "; this guardrail is still in force because the base file has it; allow it once" in errors[0].message
    assert [each for each in make_plan(wanted, snapshot(live(1, name))).errors if each.rule == "protected"] == []


def test_a_guardrail_that_is_loosened_still_counts_and_a_new_one_counts_already() -> None:
    keys = [declared("ci/a", "50"), declared("x/a", "50")]
    base = declaration(keys, [environment("ci", 1, max_credit_limit=Decimal(10))])
    wanted = declaration(
        keys, [environment("ci", 2, max_credit_limit=Decimal(100))], guardrails=rails(3, max_credit_limit=Decimal(20))
    )
    errors = three_way(base, wanted).errors
    assert [(str(each.address), each.source and each.source.line) for each in errors] == [("ci/a", 1), ("x/a", 3)]
    assert "in force because the base file has it" in errors[0].message
    assert "base" not in errors[1].message


def test_activity_is_judged_in_the_longer_of_two_windows() -> None:
    base = declaration([declared("ci/a")], [environment("ci", protect_active=7 * DAY)])
    wanted = declaration([], [environment("ci", protect_active=DAY)])
    read = (activity({1: ("1", 1)}), activity({1: ("1", 1)}, 8), activity({}, 2))
    plan = three_way(base, wanted, live(1, "ci/a"), activity=read)
    assert [each.rule for each in plan.errors] == ["protect-active"]


# --- destinations that are added --------------------------------------------------------------------------------------

ONE, OTHER = dotenv("one.env", "KEY"), dotenv("other.env", "KEY")
AS_IT_IS = replace(ONE, target=replace(ONE.target, resolved=ONE.target.settings))
DETOUR = replace(AS_IT_IS, target=replace(AS_IT_IS.target, settings=(("path", "x/../one.env"),)))
LINKED = replace(AS_IT_IS, target=replace(AS_IT_IS.target, resolved=(("path", "elsewhere.env"),)))
RENAMED = replace(ONE, target=replace(ONE.target, destination="loc2"))
ADDED = (
    "warning ci/a: destination local (KEY) does not receive the secret of this key, which exists already and cannot be"
    " read again; pass --rotate ci/a to deliver a new one everywhere"
)


@pytest.mark.parametrize(
    ("before", "after", "account", "expected"),
    [
        pytest.param((ONE,), (ONE, OTHER), [live(1, "ci/a")], [ADDED], id="added"),
        pytest.param((), (ONE,), [live(1, "ci/a", "7")], [ADDED], id="the first one, and another limit"),
        pytest.param((ONE,), (OTHER,), [live(1, "ci/a")], [ADDED], id="another place"),
        pytest.param((dotenv("one.env", "OLD"),), (ONE,), [live(1, "ci/a")], [ADDED], id="another name"),
        pytest.param((ONE,), (ONE, OTHER), [live(1, "ci/a~next")], [ADDED], id="at the end of a rotation"),
        pytest.param((ONE,), (ONE, OTHER), [live(1, "ci/a~gone.20270101T000000Z")], [ADDED], id="on its return"),
        pytest.param((ONE, OTHER), (OTHER, ONE), [live(1, "ci/a")], [], id="the same in another order"),
        pytest.param((ONE, OTHER), (ONE,), [live(1, "ci/a")], [], id="one less"),
        pytest.param((ONE,), (RENAMED,), [live(1, "ci/a")], [], id="another name of the destination"),
        pytest.param((AS_IT_IS,), (DETOUR,), [live(1, "ci/a")], [], id="the same file, by another path"),
        pytest.param((AS_IT_IS,), (LINKED,), [live(1, "ci/a")], [ADDED], id="another file, by the same path"),
        pytest.param(
            (ONE,), (replace(ONE, source=replace(SOMEWHERE, line=7)),), [live(1, "ci/a")], [], id="moved down"
        ),
        pytest.param((ONE,), (ONE, OTHER), [], [], id="a key that is created now"),
        pytest.param((ONE,), (ONE, OTHER), [live(1, "ci/a", created_at=NOW - 9 * DAY)], [], id="a key that is rotated"),
        pytest.param((ONE,), (ONE, OTHER), [live(1, "ci/a"), live(2, "ci/a")], [], id="a key that is unclear"),
    ],
)
def test_a_destination_added_to_an_existing_key_does_not_receive_its_secret(
    before: tuple[Any, ...], after: tuple[Any, ...], account: list[LiveKey], expected: list[str]
) -> None:
    base = declaration([declared("ci/a", deliver=before)])
    wanted = declaration([declared("ci/a", deliver=after, rotate_every=8 * DAY), declared("ci/new")])
    assert messages(three_way(base, wanted, *account), "not-delivered") == expected


def test_a_key_that_is_rotated_on_request_delivers_everywhere() -> None:
    base, wanted = (
        declaration([declared("ci/a", deliver=(ONE,))]),
        declaration([declared("ci/a", deliver=(ONE, OTHER))]),
    )
    rotated = Options(rotate=frozenset({address("ci/a")}))
    assert messages(three_way(base, wanted, live(1, "ci/a"), options=rotated), "not-delivered") == []
    elsewhere = Options(only=("ci/b",))
    assert messages(three_way(base, wanted, live(1, "ci/a"), options=elsewhere), "not-delivered") == []


def test_of_a_key_that_is_renamed_it_is_said_once() -> None:
    base = declaration([declared("ci/a", deliver=(ONE,)), declared("ci/b", deliver=(ONE,))])
    wanted = declaration([declared("ci/b", deliver=(OTHER,), renamed_from=("ci/a",))])
    assert len(messages(three_way(base, wanted, live(1, "ci/a")), "not-delivered")) == 1


# --- the base in place of the account ---------------------------------------------------------------------------------


def offline(base: Declaration, wanted: Declaration, **options: Any) -> AccountPlan:
    return make_plan(wanted, snapshot_of(base, NOW), Options(**options), PlanInputs(base=base, offline=True))


FULL = declaration(
    [
        declared("ci/a", None, expires_at=NOW + DAY, rotate_every=DAY),
        declared("ci/b", "7.5", is_enabled=False),
        declared("ci/c", id=12),
    ]
)


def test_a_base_stands_for_an_account_that_is_just_as_declared() -> None:
    stand_in = snapshot_of(FULL, NOW)
    assert [key.state for key in stand_in.keys] == [key.state for key in FULL.keys]
    assert [key.id for key in stand_in.keys] == [-1, -2, -3]
    assert offline(FULL, FULL).actions == ()
    assert offline(FULL, FULL).unchanged == 3


def test_a_plan_without_the_account_says_so() -> None:
    assert messages(offline(FULL, FULL), "offline") == [
        "note -: made without the account, as if the base file were live: drift, recent use and money are not known"
    ]


def test_a_plan_without_the_account_shows_what_the_change_does() -> None:
    wanted = declaration([declared("ci/a", "5", expires_at=NOW + DAY, rotate_every=DAY), declared("ci/d")])
    plan = offline(FULL, wanted)
    assert [f"{each.kind} {each.address}" for each in plan.actions] == [
        "update ci/a",
        "delete ci/b",
        "delete ci/c",
        "create ci/d",
    ]
    assert plan.credit.balance is None
    assert plan.usage == {}


def test_an_id_that_only_the_account_knows_is_left_for_later() -> None:
    base = declaration([declared("ci/a"), declared("ci/c", id=12)])
    wanted = declaration([declared("ci/a", "6", id=7), declared("ci/b", id=8), declared("ci/c", id=12)])
    plan = offline(base, wanted)
    assert [f"{each.kind} {each.address}" for each in plan.actions] == ["update ci/a", "create ci/b"]
    assert messages(plan, "unknown-id") == [
        f"warning ci/{key}: id {number} is not in the base file, so this plan is made as if it were not here either"
        for key, number in (("a", 7), ("b", 8))
    ]
    assert plan.errors == ()


def test_no_message_names_an_id_that_no_key_has() -> None:
    base = declaration([declared("ci/a"), declared("old/a"), declared("x/a")])
    both = [declared("ci/b", renamed_from=("ci/a",)), declared("ci/c", renamed_from=("ci/a",))]
    plan = offline(base, declaration(both, ["x"], unmanaged=Unmanaged.ERROR, guardrails=rails(protect_active=DAY)))
    text = " ".join(each.message for each in plan.findings)
    assert "key ci/a is also claimed by ci/c" in text
    assert "key old/a is not declared" in text
    assert "-1" not in text
    assert "-2" not in text


@pytest.mark.parametrize(
    ("base", "wanted", "expected"),
    [
        pytest.param(
            [declared("ci/a", id=12), declared("ci/b")],
            [declared("ci/b", id=12)],
            "wrong-id: its id belongs to ci/a, but ci/b is another; correct the id or remove it",
            id="an id that is another's",
        ),
        pytest.param(
            [declared("ci/a", id=12)],
            [declared("ci/a"), declared("ci/b", id=12)],
            "wrong-id: its id belongs to ci/a, which is not free to be adopted; correct the id or remove it",
            id="an id that is taken",
        ),
        pytest.param(
            [declared("ci/a"), declared("ci/b")],
            [declared("ci/c", renamed_from=("ci/a", "ci/b"))],
            "duplicate-name: 2 live keys have names that renamed_from lists: ci/a and ci/b;"
            " delete or rename all but one of them, then plan again",
            id="two earlier names",
        ),
    ],
)
def test_what_is_wrong_is_wrong_without_an_account_too(
    base: list[DeclaredKey], wanted: list[DeclaredKey], expected: str
) -> None:
    plan = offline(declaration(base), declaration(wanted))
    assert [f"{each.rule}: {each.message}" for each in plan.errors] == [expected]


def test_a_key_is_found_by_its_id_without_an_account_too() -> None:
    plan = offline(declaration([declared("ci/a", id=12)]), declaration([declared("ci/b", id=12)]))
    assert [f"{each.kind} {each.address}" for each in plan.actions] == ["rename ci/b"]


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        ("{environment}/{key}", []),
        (
            "{environment}:{key}",
            [
                (
                    "warning -: naming has changed, which leaves 1 live key unmanaged under the earlier names; "
                    "to keep them, list these names in renamed_from"
                )
            ],
        ),
    ],
)
def test_a_change_of_naming_says_whom_it_leaves_behind(naming: str, expected: list[str]) -> None:
    keys = [declared("ci/a", name=naming.format(environment="ci", key="a"))]
    plan = three_way(declaration([declared("ci/a")]), declaration(keys, naming=naming), live(1, "ci/a"))
    assert messages(plan, "naming-changed") == expected


def test_a_change_of_naming_that_leaves_nobody_behind_says_nothing() -> None:
    plan = three_way(declaration([declared("ci/a")]), declaration([], ["ci"], naming="{environment}:{key}"))
    assert messages(plan, "naming-changed") == []


# --- leases -----------------------------------------------------------------------------------------------------------


def leased(limit: str | None, most: int, where: str = "ci/z") -> Lease:
    return Lease(address(where), where, None if limit is None else Decimal(limit), DAY, most, SOMEWHERE)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (None, leased("1", 10), True),
        (leased("1", 10), leased("1", 10), False),
        (leased("1", 10), leased("2", 5), False),
        (leased("1", 10), leased("1", 11), True),
        (leased("1", 10), leased("1.1", 10), True),
        (leased("1", 10), leased(None, 1), True),
        (leased(None, 10), leased(None, 11), True),
        (leased(None, 10), leased("5", 10), False),
    ],
)
def test_a_lease_that_the_change_makes_worth_more_is_a_warning(before: Lease | None, after: Lease, found: bool) -> None:  # noqa: FBT001  # a table
    base = declaration([declared("ci/b")], leases=() if before is None else (before,))
    wanted = declaration([declared("ci/b")], leases=(after,))
    plan = three_way(base, wanted, live(4, "ci/b"))
    assert [(each.address, each.severity) for each in plan.findings if each.rule == "more-leased"] == (
        [(after.address, "warning")] if found else []
    )
    assert not messages(three_way(base, wanted, live(4, "ci/b"), options=Options(only=("ci/b",))), "more-leased")
