"""Promises of the planner, over random declarations and accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Declaration, Environment, LiveKey, Snapshot, Unmanaged
from reconciler.planning.actions import (
    Create,
    Finish,
    Options,
    Rotate,
)
from reconciler.planning.names import Naming
from reconciler.planning.planfile import digest
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, declaration, declared, rails, snapshot
from support.carried_out import carried_out

if TYPE_CHECKING:
    import random

LIMITS = st.none() | st.decimals(0, 10_000, places=2)
EXPIRIES = st.sampled_from([None, NOW + timedelta(days=1), NOW + timedelta(days=2)])
BIRTHS = st.sampled_from([NOW, NOW - timedelta(hours=1), NOW - timedelta(days=2)])
ADDRESSES = [f"{environment}/{key}" for environment in ("ci", "production") for key in ("a", "b", "c", "d")]
EARLIER = [f"earlier-{text}" for text in ADDRESSES]
ENGINE = [
    address + suffix
    for address in ("ci/a", "ci/b", "production/a", "production/b")
    for suffix in (
        "~new.00ff",
        "~next",
        "~old.20270101T000000Z",
        "~old.20200101T000000Z",
        "~gone.20270101T000000Z",
        "~gone.20200101T000000Z",
    )
]
STRANGERS = ["stranger", "staging/a", "ci/~", "", "ci/a~mine"]


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    keys = [
        replace(
            declared(text),
            credit_limit=draw(LIMITS),
            is_enabled=draw(st.booleans()),
            expires_at=draw(EXPIRIES),
            renamed_from=draw(st.sampled_from([(), (f"earlier-{text}",)])),
            rotate_every=draw(st.sampled_from([None, timedelta(days=1)])),
        )
        for text in draw(st.sets(st.sampled_from(ADDRESSES)))
    ]
    graceful = Environment("production", SOMEWHERE, deletion_grace=timedelta(days=7))
    unbounded = rails(max_deletions=None)
    return declaration(keys, ["ci", graceful], unmanaged=draw(st.sampled_from(Unmanaged)), guardrails=unbounded)


@st.composite
def accounts(draw: st.DrawFn) -> Snapshot:
    names = draw(st.lists(st.sampled_from([*ADDRESSES, *EARLIER, *ENGINE, *STRANGERS]), unique=True))
    return snapshot(
        *(
            LiveKey(number, name, draw(BIRTHS), draw(EXPIRIES), draw(st.booleans()), draw(LIMITS))
            for number, name in enumerate(names, start=1)
        )
    )


@given(declarations(), accounts())
def test_after_a_plan_is_carried_out_there_is_nothing_left_to_do(wanted: Declaration, account: Snapshot) -> None:
    plan = make_plan(wanted, account)
    if wanted.unmanaged is not Unmanaged.ERROR:
        assert plan.errors == ()
    account = carried_out(plan, account)
    after = make_plan(wanted, account, Options(by_age=False))
    # A pending key newer than one that waits to take over comes from a POST that was carried out late, or from a run
    # without the lock. Only the one who takes over can be rotated because of it, so that takes a run more.
    finished = {action.live.id for action in plan.actions if isinstance(action, Finish)}
    if [action for action in after.actions if isinstance(action, Rotate) and action.live.id in finished]:
        account = carried_out(after, account)
        after = make_plan(wanted, account, Options(by_age=False))
    assert after.actions == ()
    assert after.unchanged == len(wanted.keys)
    assert after.credit.limits_before == after.credit.limits_after


@given(declarations(), accounts(), st.randoms(use_true_random=False))
def test_the_order_of_what_comes_in_never_matters(
    wanted: Declaration, account: Snapshot, shuffler: random.Random
) -> None:
    keys = [*account.keys]
    shuffler.shuffle(keys)
    plan, shuffled = make_plan(wanted, account), make_plan(wanted, Snapshot(tuple(keys), account.now))
    assert plan == shuffled
    assert digest(plan) == digest(shuffled)


@given(declarations(), accounts())
def test_a_live_key_gets_one_action_at_most(wanted: Declaration, account: Snapshot) -> None:
    touched = [action.live.id for action in make_plan(wanted, account).actions if not isinstance(action, Create)]
    touched += [
        action.old.id for action in make_plan(wanted, account).actions if isinstance(action, Finish) and action.old
    ]
    assert len(touched) == len(set(touched))


@given(declarations(), accounts())
def test_what_nobody_declared_is_not_touched_unless_the_file_says_so(wanted: Declaration, account: Snapshot) -> None:
    wanted = replace(wanted, unmanaged=Unmanaged.REPORT, keys=tuple(replace(k, renamed_from=()) for k in wanted.keys))
    naming = Naming(wanted.naming, wanted.environments)
    for action in make_plan(wanted, account).actions:
        if not isinstance(action, Create):
            assert naming.parse(action.live.name) is not None
