"""What `--due` promises: it does what time alone asks for, all of it, and leaves whatever people have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Activity, Environment, LiveKey, Raise, Snapshot
from reconciler.planning.actions import Delete, Finish, Options, PlanInputs, Rotate
from reconciler.planning.names import next_name, sent_name
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, address, declaration, declared, rails
from support.carried_out import born, carried_out, rotated_out

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey
    from reconciler.planning.actions import AccountPlan, Action

Draw = Callable[[st.SearchStrategy[Any]], Any]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADDRESSES: Final = [f"{environment}/{key}" for environment in ("ci", "production") for key in ("a", "b", "c")]
NOTHING_USED: Final = PlanInputs(activity=tuple(Activity(days, {}) for days in range(1, 31)))
DUE: Final = Options(due=True)
GRACE: Final = {"ci": None, "production": 7 * DAY}

LEFTOVERS: Final = ("ci/a~new.00ff", "production/b~new.00ff", "ci/agent~run.00ff", "stranger")


def file_of(keys: dict[str, DeclaredKey]) -> Declaration:
    environments = [Environment(name, SOMEWHERE, deletion_grace=grace) for name, grace in GRACE.items()]
    return declaration([keys[name] for name in sorted(keys)], environments, guardrails=rails(max_deletions=None))


def planned(keys: dict[str, DeclaredKey], account: Snapshot, options: Options = DUE) -> AccountPlan:
    return make_plan(file_of(keys), account, options, NOTHING_USED)


@st.composite
def keys_of_a_file(draw: st.DrawFn) -> dict[str, DeclaredKey]:
    found = {}
    for text in sorted(draw(st.sets(st.sampled_from(ADDRESSES), min_size=1))):
        until = draw(st.none() | st.integers(1, 20).map(lambda days: NOW + days * DAY))
        found[text] = replace(
            declared(text, "50"),
            renew=draw(st.sampled_from([None, "month", "week", "day", "14d"])),
            raised=None if until is None else Raise(Decimal(70), until),
            rotate_every=draw(st.sampled_from([None, 5 * DAY, 20 * DAY])),
            rotation_overlap=draw(st.sampled_from([None, timedelta(0), 3 * DAY])),
            expires_at=draw(st.sampled_from([None, None, NOW + 9 * DAY])),
            is_enabled=draw(st.sampled_from([True, True, False])),
        )
    return found


@dataclass(frozen=True, slots=True)
class Story:
    """An account right after a full apply of a file, and how it stands some time later."""

    keys: dict[str, DeclaredKey]
    account: Snapshot


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Apply a file in full, take keys away from it, apply it again; then time passes, and a job does what is due."""
    keys = draw(keys_of_a_file())
    lease = NOW + HOUR
    leftovers = draw(st.sets(st.sampled_from(LEFTOVERS)))
    made = [LiveKey(n, name, NOW, lease, True, Decimal(50)) for n, name in enumerate(sorted(leftovers), 1)]  # noqa: FBT003  # as the API has it
    account = Snapshot(tuple(made), NOW)
    account = carried_out(planned(keys, account, Options()), account)
    keys = {name: keys[name] for name in sorted(keys) if draw(st.sampled_from([True, True, False]))}
    account = later(account, draw(st.integers(0, 3)))
    account = carried_out(planned(keys, account, Options()), account)
    for days in draw(st.lists(st.integers(1, 12), max_size=2)):
        account = later(account, days)
        account = carried_out(planned(keys, account), account)
    return Story(keys, later(account, draw(st.integers(0, 40))))


def later(account: Snapshot, days: int) -> Snapshot:
    return replace(account, now=account.now + days * DAY)


def deeds(plan: AccountPlan) -> set[tuple[str, int]]:
    return {(str(action.kind), id_of(action)) for action in plan.actions}


def id_of(action: Action) -> int:
    live = getattr(action, "live", None)
    return live.id if isinstance(live, LiveKey) else 0


@given(stories())
def test_after_a_full_apply_all_that_time_asks_for_is_due(story: Story) -> None:
    full, due = planned(story.keys, story.account, Options()), planned(story.keys, story.account)
    assert due.actions == full.actions
    assert [finding.rule for finding in due.findings if finding.rule == "not-due"] == []
    account = carried_out(due, story.account)
    assert planned(story.keys, account, Options(by_age=False)).actions == ()


# --- what people change -----------------------------------------------------------------------------------------------


def by_hand(draw: Draw, account: Snapshot) -> Snapshot:
    """Change, make or delete a key on the dashboard."""
    keys = {key.id: key for key in account.keys}
    what = draw(st.sampled_from(["limit", "enabled", "expiry", "rename", "delete", "make"]))
    if what == "make" or not keys:
        number = max([0, *keys]) + 1
        name = draw(st.sampled_from([*ADDRESSES, "production/new", "by-hand"]))
        return replace(account, keys=(*account.keys, LiveKey(number, name, account.now, None, True, Decimal(3))))  # noqa: FBT003  # as the API has it
    key = keys[draw(st.sampled_from(sorted(keys)))]
    match what:
        case "delete":
            del keys[key.id]
        case "limit":
            keys[key.id] = replace(key, credit_limit=draw(st.sampled_from([None, Decimal(3), Decimal(990)])))
        case "enabled":
            keys[key.id] = replace(key, is_enabled=not key.is_enabled)
        case "expiry":
            keys[key.id] = replace(key, expires_at=account.now + draw(st.sampled_from([HOUR, 400 * DAY])))
        case _:
            keys[key.id] = replace(key, name=f"renamed-{key.id}")
    return replace(account, keys=tuple(keys.values()))


def in_the_file(draw: Draw, keys: dict[str, DeclaredKey], before_edits: dict[str, DeclaredKey]) -> None:
    """Change, add, remove or rename a key of the file; of a raise, the limit after it is taken by its word."""
    name = draw(st.sampled_from(ADDRESSES))
    before = keys.pop(name, None)
    if before is None:
        keys[name] = declared(name, "50", renew=draw(st.sampled_from([None, "month"])))
        return
    what = draw(st.sampled_from(["limit", "enabled", "expiry", "remove", "rename", "renew", "raise"]))
    match what:
        case "limit":
            keys[name] = replace(before, credit_limit=Decimal(80), raised=None)
        case "enabled":
            keys[name] = replace(before, is_enabled=not before.is_enabled)
        case "expiry":
            keys[name] = replace(before, expires_at=NOW + 900 * DAY)
        case "renew":
            other = {None: "month", "month": "week", "week": "month"}.get(before.renew)
            keys[name] = replace(before, renew=other)
        case "raise":
            keys[name] = replace(before, raised=Raise(Decimal(90), NOW + 900 * DAY))
        case "rename":
            # Where another key was declared, the new one might be rotated by an age that was another's before.
            free = [each for each in ADDRESSES if each not in before_edits and each not in keys]
            if free:
                to = draw(st.sampled_from(free))
                keys[to] = replace(before, address=address(to), name=to, renamed_from=(name,))
        case _:
            pass


@given(stories(), st.data())
def test_what_people_change_by_hand_or_in_the_file_stays_as_it_is(story: Story, data: st.DataObject) -> None:
    account, keys = story.account, {**story.keys}
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            account = by_hand(data.draw, account)
        else:
            in_the_file(data.draw, keys, story.keys)
    # What was changed and changed back is as it was.
    names = {name for name in ADDRESSES if keys.get(name) != story.keys.get(name)}
    ids = {key.id for key in {*account.keys} ^ {*story.account.keys}}
    allowed = deeds(planned(story.keys, story.account))
    plan = planned(keys, account)
    assert deeds(plan) <= allowed
    for action in plan.actions:
        if isinstance(action, Delete):
            assert not action.live.is_enabled or (action.live.expires_at or account.now + DAY) <= account.now
        else:
            assert str(action.address) not in names
            assert id_of(action) not in ids


# --- a job that is killed ---------------------------------------------------------------------------------------------


LAST: Final = 2
"""The last of the points at which the job is killed: the old key has its end, the new one waits to take over."""


@given(stories(), st.integers(0, LAST))
def test_a_job_that_is_killed_in_a_rotation_is_completed_by_the_next_one(story: Story, point: int) -> None:
    plan = planned(story.keys, story.account)
    account = story.account
    for number, action in enumerate((each for each in plan.actions if isinstance(each, Rotate)), 5000):
        wanted, old = action.declared, action.live
        new = replace(born(number, wanted, account.now), created_at=account.now + HOUR)
        if point == 0:
            new = replace(new, name=sent_name(wanted.name, "00ff"), expires_at=account.now + DAY)
        else:
            new = replace(new, name=next_name(wanted.name))
        if point == LAST:
            old = rotated_out(old, wanted, account.now, action.overlap)
        kept = [key for key in account.keys if key.id != old.id]
        account = replace(account, keys=(*kept, new, old))
    account = replace(account, now=account.now + 2 * HOUR)
    again = planned(story.keys, account)
    rotated = {each.address for each in plan.actions if isinstance(each, Rotate)}
    assert {each.address for each in again.actions if isinstance(each, Rotate | Finish)} >= rotated
    assert planned(story.keys, carried_out(again, account), Options(by_age=False)).actions == ()
