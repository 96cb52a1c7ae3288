"""Promises of the guardrails, over random declarations, accounts and rules."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostic import Location, Severity
from reconciler.model import (
    LONGEST_DAYS,
    Activity,
    Address,
    Declaration,
    Environment,
    Guardrails,
    LiveKey,
    Rule,
    Snapshot,
    Unmanaged,
    Usage,
)
from reconciler.planning.actions import Options, PlanInputs, windows
from reconciler.planning.guardrails import kept, rules, tightest
from reconciler.planning.planfile import digest
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, declaration, declared, snapshot
from support.search import examples

if TYPE_CHECKING:
    import random

    from reconciler.planning.actions import AccountPlan, Finding

EXAMPLES = settings(max_examples=examples(60))
DAY = timedelta(days=1)
MONEY = st.sampled_from([Decimal(number) for number in (0, 1, 4, 6, 12)])
LIMITS = st.none() | MONEY
PERIODS = st.sampled_from([timedelta(hours=1), DAY, 7 * DAY, 30 * DAY])
PLACES = st.builds(Location, st.just("keys.yaml"), st.integers(1, 3), st.just(1))
TEXTS = [f"{environment}/{key}" for environment in ("ci", "production") for key in "abc"]
GLOBS = ["ci/a", "ci/*", "*/b", "*", "laptop", "nothing"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "max_deletions": st.none() | st.integers(0, 2),
    "protected": st.just(value=True),
    "protect_active": PERIODS,
    "credit_budget": MONEY,
    "max_credit_limit": MONEY,
    "require_limit": st.just(value=True),
    "max_lifetime": PERIODS,
    "require_rotation": st.just(value=True),
    "limit_below_spend": st.just(value=True),
}


def rule(name: str) -> st.SearchStrategy[Rule[Any]]:
    return st.builds(Rule, VALUES[name], PLACES)


guardrails = st.builds(Guardrails, **{name: st.none() | rule(name) for name in VALUES})
environments = st.builds(
    Environment, st.just("ci"), st.just(SOMEWHERE), st.sampled_from([None, 7 * DAY]), guardrails=guardrails
)
usages = st.builds(Usage, st.just(30), MONEY, st.integers(0, 2))


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    keys = [
        declared(
            text,
            credit_limit=None,
            is_enabled=draw(st.booleans()),
            expires_at=draw(st.sampled_from([None, NOW + DAY, NOW + 60 * DAY])),
            protected=draw(st.booleans()),
            rotate_every=draw(st.sampled_from([None, DAY])),
            renamed_from=draw(st.sampled_from([(), (f"earlier-{text}",)])),
        )
        for text in draw(st.sets(st.sampled_from(TEXTS)))
    ]
    keys = [replace(key, credit_limit=draw(LIMITS)) for key in keys]
    named = [replace(draw(environments), name=name) for name in ("ci", "production") if draw(st.booleans())]
    return declaration(keys, named, guardrails=draw(guardrails), unmanaged=draw(st.sampled_from(Unmanaged)))


@st.composite
def accounts(draw: st.DrawFn) -> Snapshot:
    names = [*TEXTS, "laptop", "earlier-ci/a", "ci/a~next", "ci/b~gone.20270101T000000Z", "ci/c~old.20270101T000000Z"]
    births = st.sampled_from([NOW, NOW - 2 * DAY])
    chosen = draw(st.lists(st.sampled_from(names), unique=True))
    return snapshot(
        *(
            LiveKey(number, name, draw(births), None, draw(st.booleans()), draw(LIMITS))
            for number, name in enumerate(chosen, start=1)
        )
    )


@st.composite
def inputs(draw: st.DrawFn) -> PlanInputs:
    read = st.lists(st.sampled_from([2, 8, LONGEST_DAYS]), unique=True)
    used = st.dictionaries(st.integers(1, 8), usages)
    activity = tuple(
        Activity(days, {key: replace(usage, days=days) for key, usage in draw(used).items()}) for days in draw(read)
    )
    return PlanInputs(draw(LIMITS), activity, draw(st.none() | declarations()))


allows = st.lists(st.sampled_from(GLOBS), max_size=2).map(tuple)
options = st.builds(
    Options,
    overlap=st.booleans(),
    allow=allows,
    environments=st.sampled_from([frozenset(), frozenset({"ci"})]),
    only=st.sampled_from([(), ("*/a",)]),
)


def errors(plan: AccountPlan) -> set[tuple[str, object]]:
    """The violations, without their words: a stricter rule says other numbers."""
    return {(finding.rule, finding.address) for finding in plan.errors}


def with_rule(wanted: Declaration, name: str, added: Rule[Any], where: str) -> Declaration:
    if where in wanted.environments:
        changed = replace(
            wanted.environments[where], guardrails=tighter(wanted.environments[where].guardrails, name, added)
        )
        return replace(wanted, environments={**wanted.environments, where: changed})
    return replace(wanted, guardrails=tighter(wanted.guardrails, name, added))


def tighter(guardrails: Guardrails, name: str, added: Rule[Any]) -> Guardrails:
    return tightest(guardrails, replace(Guardrails(), **{name: added}))


@EXAMPLES
@given(declarations(), accounts(), options, inputs(), st.data())
def test_one_guardrail_more_never_removes_a_violation(
    wanted: Declaration, account: Snapshot, wishes: Options, known: PlanInputs, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([*VALUES]))
    where = data.draw(st.sampled_from(["the account", "ci", "production"]))
    if name == "protect_active":
        known = replace(known, activity=consistent(known.activity))
    stricter = with_rule(wanted, name, data.draw(rule(name)), where)
    assert errors(make_plan(wanted, account, wishes, known)) <= errors(make_plan(stricter, account, wishes, known))


def consistent(read: tuple[Activity, ...]) -> tuple[Activity, ...]:
    """What a service says that does not contradict itself: used in few days is used in many, and all of it is read."""
    used = {key for activity in read for key, usage in activity.by_key.items() if usage}
    return tuple(
        Activity(days, {key: Usage(days, Decimal(1), 1) for key in used}) for days in (2, 8, LONGEST_DAYS) if used
    ) or (Activity(LONGEST_DAYS, {}),)


@EXAMPLES
@given(declarations(), accounts(), options, inputs(), allows)
def test_to_allow_more_never_adds_an_error_and_changes_nothing_else(
    wanted: Declaration, account: Snapshot, wishes: Options, known: PlanInputs, more: tuple[str, ...]
) -> None:
    strict = make_plan(wanted, account, wishes, known)
    lax = make_plan(wanted, account, replace(wishes, allow=(*wishes.allow, *more)), known)
    assert errors(lax) <= errors(strict)
    assert lax.actions == strict.actions
    assert soft(lax) >= soft(strict)


def soft(plan: AccountPlan) -> set[Finding]:
    """Give what is only said; what of it an --allow has lifted is said all the same."""
    return {replace(finding, lifts=()) for finding in plan.findings if finding.severity is not Severity.ERROR}


@EXAMPLES
@given(declarations(), accounts(), options, inputs())
def test_what_is_known_changes_nothing_that_is_done(
    wanted: Declaration, account: Snapshot, wishes: Options, known: PlanInputs
) -> None:
    plain, judged = make_plan(wanted, account, wishes), make_plan(wanted, account, wishes, known)
    assert digest(replace(plain, findings=())) == digest(replace(judged, findings=()))
    assert (plain.unchanged, plain.unmanaged) == (judged.unchanged, judged.unmanaged)


@EXAMPLES
@given(declarations(), accounts(), options, inputs())
def test_a_base_never_removes_a_violation(
    wanted: Declaration, account: Snapshot, wishes: Options, known: PlanInputs
) -> None:
    """A key that the file knows no address for may get one from the base: the violation is about that address then.

    So each rule is violated as often as without a base, unless --allow names such an address.
    """
    known = replace(known, activity=consistent(known.activity))
    plain = make_plan(wanted, account, wishes, replace(known, base=None))
    assert {(rule, address) for rule, address in errors(plain) if address} <= errors(
        make_plan(wanted, account, wishes, known)
    )

    strict = replace(wishes, allow=())
    plain, based = (make_plan(wanted, account, strict, each) for each in (replace(known, base=None), known))
    assert Counter(each.rule for each in plain.errors) <= Counter(each.rule for each in based.errors)


def test_a_violation_by_a_key_that_only_the_base_knows_is_about_its_address_there_and_still_refuses() -> None:
    """What Hypothesis found: the change takes the environment away, and its key is deleted as unmanaged."""
    key = LiveKey(1, "ci/a", NOW - 2 * DAY, None, is_enabled=True, credit_limit=Decimal(1))
    used = Activity(LONGEST_DAYS, {1: Usage(LONGEST_DAYS, Decimal(1), 1)})
    here = replace(used, days=2, by_key={1: Usage(2, Decimal(1), 1)})
    rails = Guardrails(protect_active=Rule(DAY, SOMEWHERE))
    wanted = declaration([], [], guardrails=rails, unmanaged=Unmanaged.DELETE)
    base = declaration([declared("ci/a")])
    plain, based = (
        make_plan(wanted, snapshot(key), Options(), PlanInputs(activity=(used, here), base=each))
        for each in (None, base)
    )
    assert errors(plain) == {("protect-active", None)}
    assert errors(based) == {("protect-active", Address("ci", "a"))}


@EXAMPLES
@given(declarations(), accounts(), options, inputs(), st.randoms(use_true_random=False))
def test_the_order_of_what_comes_in_never_matters(
    wanted: Declaration, account: Snapshot, wishes: Options, known: PlanInputs, shuffler: random.Random
) -> None:
    keys, read = [*account.keys], [*known.activity]
    shuffler.shuffle(keys)
    shuffler.shuffle(read)
    shuffled = replace(wishes, allow=tuple(reversed(wishes.allow)))
    plan = make_plan(wanted, Snapshot(tuple(keys), NOW), shuffled, replace(known, activity=tuple(read)))
    assert plan == replace(make_plan(wanted, account, wishes, known), options=shuffled)


@EXAMPLES
@given(declarations(), accounts(), inputs())
def test_a_run_about_some_addresses_does_what_the_whole_run_would_do_to_them(
    wanted: Declaration, account: Snapshot, known: PlanInputs
) -> None:
    some = Options(environments=frozenset({"ci"}))
    whole, part = make_plan(wanted, account, Options(), known), make_plan(wanted, account, some, known)
    of_ci = [action for action in whole.actions if action.address is not None and action.address.environment == "ci"]
    assert [*part.actions] == of_ci


# --- which rule holds -------------------------------------------------------------------------------------------------


def strength(guardrails: Guardrails) -> dict[str, Any]:
    """The rules as numbers, the stricter the smaller."""
    values = {name: each.value for name, each in rules(guardrails).items()}
    if values.get("max_deletions", 0) is None:
        values["max_deletions"] = math.inf
    return {name: -value if name == "protect_active" else value for name, value in values.items()}


@EXAMPLES
@given(guardrails, guardrails)
def test_the_tightest_is_as_strict_as_each_and_no_stricter_than_one_of_them(one: Guardrails, other: Guardrails) -> None:
    both = tightest(one, other)
    for layer in (one, other):
        assert all(strength(both)[name] <= value for name, value in strength(layer).items())
    assert all(each in {rules(one).get(name), rules(other).get(name)} for name, each in rules(both).items())
    assert strength(both) == strength(tightest(other, one))
    assert tightest(both, one) == both


@EXAMPLES
@given(guardrails, guardrails, guardrails)
def test_it_does_not_matter_how_layers_are_put_together(a: Guardrails, b: Guardrails, c: Guardrails) -> None:
    assert tightest(tightest(a, b), c) == tightest(a, tightest(b, c)) == tightest(a, b, c)


@EXAMPLES
@given(guardrails, guardrails)
def test_a_rule_is_kept_only_where_the_file_is_looser(now: Guardrails, before: Guardrails) -> None:
    held = rules(tightest(now, kept(before)))
    looser = {name for name, value in strength(before).items() if name not in rules(now) or strength(now)[name] > value}
    assert {name for name, each in held.items() if each.kept} == looser


def test_every_guardrail_is_drawn() -> None:
    assert set(VALUES) == {field.name for field in fields(Guardrails)}


@EXAMPLES
@given(declarations(), st.none() | declarations())
def test_30_days_are_always_read(wanted: Declaration, base: Declaration | None) -> None:
    days = windows(wanted, base)
    assert LONGEST_DAYS in days
    assert set(windows(wanted)) <= set(days)
