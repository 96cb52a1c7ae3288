from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostic import Severity
from reconciler.model import Environment, Unmanaged
from reconciler.planning.actions import (
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finish,
    Options,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    RotateReason,
    Update,
)
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, address, declaration, declared, live, snapshot

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey, LiveKey
    from reconciler.planning.actions import AccountPlan

LATER = NOW + timedelta(days=30)
EARLIER = NOW - timedelta(days=30)
DAILY = timedelta(days=1)
YESTERDAY = NOW - DAILY
OLD, OVER = "~old.20270102T030405Z", "~old.20261122T120000Z"
GONE, FORGOTTEN = "~gone.20270102T030405Z", "~gone.20261122T120000Z"


def told(plan: AccountPlan) -> list[str]:
    """A plan in short: action, address or name, id, changed fields."""
    lines = []
    for action in plan.actions:
        match action:
            case Create():
                lines.append(f"create {action.address}")
            case Update() | Renew() | Rename() | Rotate() | Finish() | Retire() | Restore():
                fields = ",".join(action.fields)
                lines.append(f"{action.kind} {action.address} #{action.live.id} {fields}".rstrip())
            case Delete():
                lines.append(f"delete {action.address or action.live.name} #{action.live.id}")
    return lines


def findings(plan: AccountPlan) -> list[str]:
    return [f"{finding.severity} {finding.rule} {finding.address or '-'}" for finding in plan.findings]


@pytest.mark.parametrize(
    ("keys", "account", "expected"),
    [
        pytest.param([], [], [], id="nothing declared, nothing live"),
        pytest.param([declared("ci/a")], [], ["create ci/a"], id="declared, not live"),
        pytest.param([declared("ci/a")], [live(1, "ci/a")], [], id="the same"),
        pytest.param([declared("ci/a", "5.00")], [live(1, "ci/a", "5")], [], id="the same amount, written otherwise"),
        pytest.param([declared("ci/a", "6")], [live(1, "ci/a")], ["update ci/a #1 credit_limit"], id="another limit"),
        pytest.param(
            [declared("ci/a", None)], [live(1, "ci/a")], ["update ci/a #1 credit_limit"], id="no limit any more"
        ),
        pytest.param([declared("ci/a", None)], [live(1, "ci/a", None)], [], id="no limit on both sides"),
        pytest.param(
            [declared("ci/a", "0")], [live(1, "ci/a", None)], ["update ci/a #1 credit_limit"], id="zero is a limit"
        ),
        pytest.param(
            [declared("ci/a", is_enabled=False, expires_at=LATER)],
            [live(1, "ci/a", "7")],
            ["update ci/a #1 is_enabled,credit_limit,expires_at"],
            id="everything differs",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a", expires_at=LATER)],
            ["update ci/a #1 expires_at"],
            id="an expiry that is not declared goes",
        ),
        pytest.param(
            [declared("ci/a", expires_at=NOW)],
            [live(1, "ci/a", is_enabled=False, expires_at=NOW)],
            [],
            id="expired as declared, and disabled for that: it works neither way",
        ),
        pytest.param(
            [declared("ci/a", "6", expires_at=NOW)],
            [live(1, "ci/a", is_enabled=False, expires_at=NOW)],
            ["update ci/a #1 credit_limit"],
            id="expired and disabled, with another limit",
        ),
        pytest.param(
            [declared("ci/a", is_enabled=False, expires_at=NOW)],
            [live(1, "ci/a", expires_at=NOW)],
            ["update ci/a #1 is_enabled"],
            id="expired, and disabled on purpose",
        ),
        pytest.param(
            [declared("ci/a", expires_at=LATER)],
            [live(1, "ci/a", is_enabled=False, expires_at=NOW)],
            ["update ci/a #1 is_enabled,expires_at"],
            id="expired and disabled, and to go on",
        ),
        pytest.param(
            [declared("ci/a", expires_at=LATER)],
            [live(1, "ci/a", is_enabled=False, expires_at=LATER)],
            ["update ci/a #1 is_enabled"],
            id="disabled before it expires",
        ),
        pytest.param(
            [declared("ci/a", expires_at=LATER)],
            [live(1, "ci/a", expires_at=LATER + timedelta(microseconds=999_999))],
            [],
            id="an instant in finer digits",
        ),
        pytest.param(
            [declared("ci/a", expires_at=LATER)],
            [live(1, "ci/a", expires_at=LATER + timedelta(seconds=1))],
            ["update ci/a #1 expires_at"],
            id="a second later",
        ),
        pytest.param([], [live(1, "ci/a")], ["delete ci/a #1"], id="live, no longer declared"),
        pytest.param([], [live(1, "ci/a"), live(2, "ci/a")], ["delete ci/a #1", "delete ci/a #2"], id="both twins go"),
        pytest.param(
            [declared("ci/b"), declared("ci/a"), declared("a/z")],
            [live(9, "ci/c")],
            ["create a/z", "create ci/a", "create ci/b", "delete ci/c #9"],
            id="ordered by environment and key",
        ),
    ],
)
def test_what_is_declared_and_what_is_live_make_the_plan(
    keys: list[DeclaredKey], account: list[LiveKey], expected: list[str]
) -> None:
    plan = make_plan(declaration(keys, ["ci"]), snapshot(*account))
    assert told(plan) == expected
    assert [finding for finding in plan.findings if finding.severity is Severity.ERROR] == []


def test_keys_that_need_nothing_are_counted() -> None:
    plan = make_plan(
        declaration([declared("ci/a"), declared("ci/b"), declared("ci/c", "9")]),
        snapshot(live(1, "ci/a"), live(2, "ci/b"), live(3, "ci/c")),
    )
    assert plan.unchanged == 2


# --- keys of the engine itself ----------------------------------------------------------------------------------------


def test_a_pending_key_is_left_to_its_lease_and_its_address_gets_a_new_one() -> None:
    pending = live(1, "ci/a~new.00ff", expires_at=NOW + timedelta(seconds=1))
    assert told(make_plan(declaration([declared("ci/a")]), snapshot(pending))) == ["create ci/a"]


def test_a_pending_key_whose_lease_has_run_out_is_deleted() -> None:
    pending = live(1, "ci/a~new.00ff", expires_at=NOW)
    plan = make_plan(declaration([], ["ci"]), snapshot(pending))
    assert told(plan) == ["delete ci/a #1"]
    assert isinstance(plan.actions[0], Delete)
    assert plan.actions[0].reason is DeleteReason.LEASE_EXPIRED


@pytest.mark.parametrize(("age", "expected"), [(23, []), (24, ["delete ci/a #1"])])
def test_a_pending_key_that_lost_its_lease_lives_a_day(age: int, expected: list[str]) -> None:
    pending = live(1, "ci/a~new.00ff", created_at=NOW - timedelta(hours=age))
    assert told(make_plan(declaration([], ["ci"]), snapshot(pending))) == expected


def test_a_lock_of_another_run_is_neither_touched_nor_counted() -> None:
    plan = make_plan(declaration([], unmanaged=Unmanaged.DELETE), snapshot(live(1, "reconciler~lock.00ff")))
    assert told(plan) == []
    assert plan.unmanaged == ()


# --- unmanaged keys ---------------------------------------------------------------------------------------------------

STRANGERS = (live(3, "old-dashboard-key"), live(4, "legacy-1"), live(5, "staging/api"), live(6, "ci/a~mine"))


@pytest.mark.parametrize(
    ("policy", "names", "actions", "errors"),
    [
        (Unmanaged.REPORT, 3, [], []),
        (Unmanaged.IGNORE, 0, [], []),
        (Unmanaged.ERROR, 3, [], ["error unmanaged -"] * 3),
        (Unmanaged.DELETE, 3, ["delete ci/a~mine #6", "delete old-dashboard-key #3", "delete staging/api #5"], []),
    ],
)
def test_keys_that_no_environment_owns_are_treated_as_the_file_says(
    policy: Unmanaged, names: int, actions: list[str], errors: list[str]
) -> None:
    plan = make_plan(declaration([], ["ci"], unmanaged=policy, ignore=("legacy-*",)), snapshot(*STRANGERS))
    assert len(plan.unmanaged) == names
    assert told(plan) == actions
    assert findings(plan) == errors


def test_an_unmanaged_finding_says_what_can_be_done_about_it() -> None:
    plan = make_plan(declaration([], unmanaged=Unmanaged.ERROR), snapshot(live(3, "x")))
    assert plan.findings[0].message == ("key 3 (x) is not declared; declare it, add its name to `ignore`, or delete it")


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "account", "expected"),
    [
        pytest.param(
            [declared("ci/a", id=7)], [live(7, "by hand")], ["rename ci/a #7 name"], id="id adopts any free key"
        ),
        pytest.param(
            [declared("ci/a", "9", id=7)],
            [live(7, "by hand")],
            ["rename ci/a #7 name,credit_limit"],
            id="id adopts and changes at once",
        ),
        pytest.param([declared("ci/a", id=7)], [live(7, "ci/a")], [], id="id confirms the match by name"),
        pytest.param(
            [declared("ci/a", id=7)],
            [live(8, "ci/a"), live(7, "ci/a~old.20270102T030405Z")],
            [],
            id="id of a key that was rotated out",
        ),
        pytest.param(
            [declared("ci/a", id=7)],
            [
                live(7, "ci/a~gone.20270102T030405Z", is_enabled=False),
                live(8, "ci/a~gone.20270202T030405Z", is_enabled=False),
            ],
            ["restore ci/a #7 name,is_enabled"],
            id="id of a retired key says which one to restore",
        ),
        pytest.param(
            [declared("ci/a", renamed_from=("ci/b",))], [live(7, "ci/b")], ["rename ci/a #7 name"], id="renamed"
        ),
        pytest.param(
            [declared("ci/a", renamed_from=("ci/b", "ci/c"))],
            [live(7, "ci/c")],
            ["rename ci/a #7 name"],
            id="renamed twice, live under the later of its earlier names",
        ),
        pytest.param(
            [declared("ci/a", renamed_from=("ci/b",))],
            [live(7, "ci/a"), live(8, "ci/b")],
            ["delete ci/b #8"],
            id="the name itself comes before earlier ones",
        ),
        pytest.param(
            [declared("ci/a", id=7, renamed_from=("ci/b",))],
            [live(7, "x"), live(8, "ci/b")],
            ["rename ci/a #7 name", "delete ci/b #8"],
            id="id comes before renamed_from",
        ),
        pytest.param(
            [declared("ci/a", renamed_from=("ci/b~new.00ff",))],
            [live(7, "ci/b~new.00ff", expires_at=LATER)],
            ["create ci/a"],
            id="a pending key is not adopted: its secret may be nowhere",
        ),
        pytest.param(
            [declared("ci/a", renamed_from=("gone-long-ago",))], [], ["create ci/a"], id="an earlier name that is gone"
        ),
    ],
)
def test_a_key_is_found_by_name_then_id_then_earlier_names(
    keys: list[DeclaredKey], account: list[LiveKey], expected: list[str]
) -> None:
    plan = make_plan(declaration(keys), snapshot(*account))
    assert told(plan) == expected
    assert plan.errors == ()


@pytest.mark.parametrize(
    ("keys", "account", "errors", "message"),
    [
        pytest.param(
            [declared("ci/a")],
            [live(8, "ci/a"), live(7, "ci/a"), live(9, "ci/a")],
            ["error duplicate-name ci/a"],
            "3 live keys are called ci/a: ids 7 and 8 and 9; delete or rename all but one of them, then plan again",
            id="one name, three keys",
        ),
        pytest.param(
            [declared("ci/a", id=7)],
            [live(8, "ci/a"), live(9, "ci/a")],
            ["error duplicate-name ci/a"],
            "2 live keys are called ci/a: ids 8 and 9; delete or rename all but one of them, then plan again",
            id="one name, two keys, and an id that helps nobody",
        ),
        pytest.param(
            [declared("ci/a", id=7)],
            [],
            ["error wrong-id ci/a"],
            "id 7 belongs to no key of the account; correct it, or delete the line to have a new key created",
            id="an id that is no key's",
        ),
        pytest.param(
            [declared("ci/a", id=7)],
            [live(8, "ci/a"), live(7, "other")],
            ["error wrong-id ci/a"],
            "id 7 belongs to other, but ci/a is key 8; correct the id or remove it",
            id="an id that is another key's",
        ),
        pytest.param(
            [declared("ci/a", id=7), declared("ci/b")],
            [live(7, "ci/b")],
            ["error wrong-id ci/a"],
            "id 7 belongs to ci/b, which is not free to be adopted; correct the id or remove it",
            id="an id that is a declared key's",
        ),
        pytest.param(
            [declared("ci/a", id=7)],
            [live(7, "ci/b~new.00ff", expires_at=LATER)],
            ["error wrong-id ci/a"],
            "id 7 belongs to ci/b~new.00ff, which is not free to be adopted; correct the id or remove it",
            id="an id that is a pending key's",
        ),
        pytest.param(
            [declared("ci/a", renamed_from=("x", "y"))],
            [live(7, "x"), live(8, "y")],
            ["error duplicate-name ci/a"],
            "2 live keys have names that renamed_from lists: ids 7 and 8; "
            "delete or rename all but one of them, then plan again",
            id="two earlier names that are both live",
        ),
        pytest.param(
            [declared("ci/a", id=7), declared("ci/b", renamed_from=("x",))],
            [live(7, "x")],
            ["error ambiguous-key ci/a", "error ambiguous-key ci/b"],
            "key 7 (x) is also claimed by ci/b; say in one place only where it belongs",
            id="two addresses that want one key",
        ),
    ],
)
def test_what_is_unclear_is_an_error_and_touches_none_of_the_keys_concerned(
    keys: list[DeclaredKey], account: list[LiveKey], errors: list[str], message: str
) -> None:
    plan = make_plan(declaration(keys, unmanaged=Unmanaged.DELETE), snapshot(*account))
    assert findings(plan) == errors
    assert plan.findings[0].message == message
    concerned = {error.rpartition(" ")[2] for error in errors}
    assert [line for line in told(plan) if line.split()[1] in concerned] == []


@pytest.mark.parametrize(
    ("wanted", "account", "expected"),
    [
        pytest.param(declared("ci/a", id=7), [live(8, "ci/a")], [], id="rotated, and its overlap long over"),
        pytest.param(
            declared("ci/a", id=7),
            [live(8, "ci/a" + GONE, is_enabled=False)],
            ["restore ci/a #8 name,is_enabled"],
            id="rotated, removed, and back by a revert",
        ),
        pytest.param(
            declared("ci/a", id=7), [live(8, "ci/a~next")], ["finish ci/a #8 name"], id="in the middle of a rotation"
        ),
        pytest.param(
            declared("ci/a", id=7, renamed_from=("x",)), [live(8, "x")], ["rename ci/a #8 name"], id="renamed beside"
        ),
    ],
)
def test_an_id_of_a_key_that_is_gone_is_a_note_where_the_address_has_another(
    wanted: DeclaredKey, account: list[LiveKey], expected: list[str]
) -> None:
    plan = make_plan(declaration([wanted]), snapshot(*account))
    assert told(plan) == expected
    assert "note stale-id ci/a" in findings(plan)
    assert plan.errors == ()


def test_a_retired_key_whose_grace_is_over_does_not_stand_in_for_an_id() -> None:
    plan = make_plan(declaration([declared("ci/a", id=7)]), snapshot(live(8, "ci/a" + FORGOTTEN, is_enabled=False)))
    assert told(plan) == ["delete ci/a #8"]
    assert findings(plan) == ["error wrong-id ci/a"]


def test_an_id_of_the_rotated_out_key_needs_no_note_while_that_one_works() -> None:
    plan = make_plan(declaration([declared("ci/a", id=7)]), snapshot(live(8, "ci/a"), live(7, "ci/a" + OLD)))
    assert told(plan) == []
    assert findings(plan) == []


def test_keys_that_an_unclear_declaration_points_at_are_not_deleted_meanwhile() -> None:
    plan = make_plan(
        declaration([declared("ci/a", renamed_from=("ci/x", "ci/y"))]), snapshot(live(7, "ci/x"), live(8, "ci/y"))
    )
    assert told(plan) == []
    assert len(plan.errors) == 1


PRODUCTION_API = declared("production/api", "5")


@pytest.mark.parametrize(
    ("keys", "account", "proposals"),
    [
        pytest.param([PRODUCTION_API], [live(7, "staging/api")], ["production/api staging/api"], id="the same name"),
        pytest.param([PRODUCTION_API], [live(7, "gone/api", "9")], ["production/api gone/api"], id="nobody's any more"),
        pytest.param(
            [PRODUCTION_API],
            [live(7, "staging/web"), live(8, "staging/x", "9")],
            ["production/api staging/web"],
            id="the same settings",
        ),
        pytest.param([PRODUCTION_API], [live(7, "staging/web", "6")], [], id="other settings"),
        pytest.param([PRODUCTION_API], [live(7, "gone/web")], [], id="the same settings, and nobody's for long"),
        pytest.param([PRODUCTION_API], [live(7, "staging/api"), live(8, "dev/api")], [], id="two that it may be"),
        pytest.param(
            [PRODUCTION_API],
            [live(7, "staging/api"), live(8, "x/api")],
            ["production/api staging/api"],
            id="one that goes, and a stranger",
        ),
        pytest.param(
            [PRODUCTION_API, declared("dev/api", "9")], [live(7, "staging/api", "1")], [], id="two that may be it"
        ),
        pytest.param(
            [PRODUCTION_API, declared("dev/web", "6")],
            [live(7, "staging/api", "6"), live(8, "staging/x", "6")],
            ["dev/web staging/x", "production/api staging/api"],
            id="by name first, then by settings",
        ),
        pytest.param([PRODUCTION_API], [live(7, "staging/api" + OVER)], [], id="a key that was rotated out"),
        pytest.param([PRODUCTION_API], [live(6, "production/api"), live(7, "staging/api")], [], id="nothing comes"),
    ],
)
def test_a_key_that_seems_to_have_moved_is_proposed_as_renamed(
    keys: list[DeclaredKey], account: list[LiveKey], proposals: list[str]
) -> None:
    plan = make_plan(declaration(keys, ["production", "dev", "staging"]), snapshot(*account))
    found = [each for each in plan.findings if each.rule == "perhaps-renamed"]
    assert [f"{each.address} {each.message.split('[')[1].split(']')[0]}" for each in found] == proposals
    assert {each.severity for each in found} <= {Severity.NOTE}


# --- rotation ---------------------------------------------------------------------------------------------------------


def rotated(text: str, credit_limit: str = "5", **fields: Any) -> DeclaredKey:
    return declared(text, credit_limit, rotate_every=DAILY, **fields)


@pytest.mark.parametrize(
    ("keys", "account", "expected"),
    [
        pytest.param(
            [rotated("ci/a")], [live(1, "ci/a", created_at=YESTERDAY)], ["rotate ci/a #1"], id="as old as it may get"
        ),
        pytest.param(
            [rotated("ci/a")], [live(1, "ci/a", created_at=YESTERDAY + timedelta(seconds=1))], [], id="a second younger"
        ),
        pytest.param(
            [rotated("ci/a", "9")],
            [live(1, "ci/a", created_at=YESTERDAY)],
            ["rotate ci/a #1 credit_limit"],
            id="a change comes with the new key",
        ),
        pytest.param(
            [rotated("ci/a", renamed_from=("x",))],
            [live(1, "x", created_at=YESTERDAY)],
            ["rotate ci/a #1 name"],
            id="a rename too",
        ),
        pytest.param(
            [rotated("ci/a", is_enabled=False)],
            [live(1, "ci/a", created_at=YESTERDAY, is_enabled=False)],
            [],
            id="a disabled key does not age",
        ),
        pytest.param(
            [rotated("ci/a", expires_at=NOW)],
            [live(1, "ci/a", created_at=YESTERDAY, expires_at=NOW)],
            [],
            id="nor does one that has expired",
        ),
        pytest.param([rotated("ci/a")], [], ["create ci/a"], id="what is not live is created"),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a~next")],
            ["finish ci/a #2 name"],
            id="interrupted before the old key retired",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a" + OLD, expires_at=LATER), live(2, "ci/a~next")],
            ["finish ci/a #2 name"],
            id="interrupted after the old key retired",
        ),
        pytest.param(
            [rotated("ci/a", "9")],
            [live(1, "ci/a", created_at=YESTERDAY), live(2, "ci/a~next", created_at=YESTERDAY)],
            ["finish ci/a #2 name,credit_limit"],
            id="a rotation is finished, not started again, with what the file says by now",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a~sent.00ff", expires_at=LATER)],
            ["rotate ci/a #1"],
            id="interrupted while the secret was delivered: who knows where it is",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a~sent.00ff", expires_at=NOW)],
            ["rotate ci/a #1", "delete ci/a #2"],
            id="interrupted long ago",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a~sent.00ff", expires_at=LATER), live(2, "ci/a")],
            [],
            id="a key that was being delivered and is older than the key in place",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a~new.00ff", expires_at=LATER)],
            [],
            id="a pending key beside a settled one has reached nobody: it moves nothing and is left to its lease",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a~new.00ff", expires_at=NOW)],
            ["delete ci/a #2"],
            id="a pending key beside a settled one goes with its lease",
        ),
        pytest.param(
            [declared("ci/a", deliver=())],
            [live(1, "ci/a"), live(2, "ci/a~sent.00ff", expires_at=LATER)],
            [],
            id="no destination, nothing to put right",
        ),
        pytest.param(
            [declared("ci/a")], [live(1, "ci/a"), live(2, "ci/a" + OLD)], [], id="the old key has its overlap"
        ),
        pytest.param(
            [declared("ci/a")], [live(1, "ci/a"), live(2, "ci/a" + OVER)], ["delete ci/a #2"], id="its overlap is over"
        ),
        pytest.param(
            [],
            [live(1, "ci/a"), live(2, "ci/a~next"), live(3, "ci/a" + OLD)],
            ["delete ci/a #1", "delete ci/a #2", "delete ci/a #3"],
            id="no longer declared, in the middle of it all",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",))],
            [live(1, "ci/a"), live(2, "ci/a~next"), live(3, "ci/a" + OLD)],
            ["finish ci/b #2 name"],
            id="renamed in the middle of it all",
        ),
        pytest.param(
            [declared("ci/a"), declared("ci/b", renamed_from=("elsewhere/a", "ci/a"))],
            [live(1, "ci/a"), live(2, "ci/a~next")],
            ["finish ci/a #2 name", "create ci/b"],
            id="an earlier name that another address has today keeps its rotation",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("dropped/a",))],
            [live(1, "dropped/a"), live(2, "dropped/a~sent.00ff", expires_at=LATER), live(3, "dropped/other~new.00ff")],
            ["rotate ci/b #1 name"],
            id="moved out of an environment that is dropped, in the middle of it all",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("dropped/a",))],
            [live(1, "dropped/a"), live(2, "dropped/a~next"), live(3, "dropped/a~mine"), live(4, "dropped/a~")],
            ["finish ci/b #2 name"],
            id="moved out of an environment that is dropped, and nearly through",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("dropped/a",))],
            [live(1, "dropped/a"), live(2, "dropped/a~next"), live(3, "ci/b")],
            [],
            id="an earlier name in no environment keeps its rotation when another key has the name",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",)), declared("ci/c", renamed_from=("ci/a",))],
            [live(1, "ci/a"), live(2, "ci/a~sent.00ff", expires_at=LATER), live(3, "ci/c")],
            ["rotate ci/b #1 name"],
            id="the sign of an interrupted rotation follows its key, not somebody who was called like it once",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",))],
            [live(1, "ci/b"), live(2, "ci/a"), live(3, "ci/a~next"), live(4, "ci/a~sent.00ff", expires_at=LATER)],
            ["delete ci/a #2", "delete ci/a #3", "rotate ci/b #1"],
            id="the key it followed is deleted at once: what the next plan would do is done now",
        ),
    ],
)
def test_rotation(keys: list[DeclaredKey], account: list[LiveKey], expected: list[str]) -> None:
    plan = make_plan(declaration(keys, ["ci"]), snapshot(*account))
    assert told(plan) == expected
    assert plan.errors == ()


def test_a_rotation_that_is_asked_for_needs_no_reason() -> None:
    wanted = declaration([declared("ci/a"), declared("ci/b")])
    account = snapshot(live(1, "ci/a"), live(2, "ci/b"))
    plan = make_plan(wanted, account, Options(frozenset({address("ci/b")})))
    assert told(plan) == ["rotate ci/b #2"]
    (action,) = plan.actions
    assert isinstance(action, Rotate)
    assert (action.reason, action.overlap) == (RotateReason.REQUESTED, timedelta(hours=24))


def test_a_key_that_is_to_be_disabled_has_no_overlap_when_it_is_rotated() -> None:
    wanted = declaration([declared("ci/a", is_enabled=False)])
    (action,) = make_plan(wanted, snapshot(live(1, "ci/a")), Options(frozenset({address("ci/a")}))).actions
    assert isinstance(action, Rotate)
    assert action.overlap is None


@pytest.mark.parametrize(
    ("rotated_now", "only", "expected"),
    [
        (["ci/a"], (), ["note goes-along -"]),
        (["ci/a"], ("ci/a",), []),
        (["ci/a", "ci/b", "ci/c", "ci/d"], (), ["note goes-along -"]),
        (["ci/a", "ci/b", "ci/c", "ci/d"], ("ci/?",), []),
        ([], (), []),
    ],
)
def test_what_goes_along_with_a_rotation_is_said(
    rotated_now: list[str], only: tuple[str, ...], expected: list[str]
) -> None:
    wanted = declaration([declared("ci/a"), declared("ci/b"), declared("ci/c"), declared("ci/d"), declared("ci/new")])
    account = snapshot(live(1, "ci/a"), live(2, "ci/b"), live(3, "ci/c"), live(4, "ci/d"))
    options = Options(frozenset(map(address, rotated_now)), only=only)
    found = [each for each in findings(make_plan(wanted, account, options)) if "goes-along" in each]
    assert found == expected


def test_a_rotation_that_has_to_wait_for_an_earlier_one_says_so() -> None:
    account = snapshot(live(1, "ci/a"), live(2, "ci/a~next"))
    plan = make_plan(declaration([declared("ci/a")]), account, Options(frozenset({address("ci/a")})))
    assert told(plan) == ["finish ci/a #2 name"]
    assert findings(plan) == ["note interrupted ci/a", "warning rotation-unfinished ci/a"]


@pytest.mark.parametrize(
    ("declared_overlap", "options", "expected"),
    [
        (None, Options(), timedelta(hours=24)),
        (timedelta(days=7), Options(), timedelta(days=7)),
        (timedelta(0), Options(), None),
        (timedelta(days=7), Options(frozenset({address("ci/a")}), overlap=False), None),
        (timedelta(days=7), Options(frozenset({address("ci/b")}), overlap=False), timedelta(days=7)),
    ],
)
def test_the_old_key_goes_on_as_long_as_declared(
    declared_overlap: timedelta | None, options: Options, expected: timedelta | None
) -> None:
    wanted = declaration([rotated("ci/a", rotation_overlap=declared_overlap)])
    rotation = make_plan(wanted, snapshot(live(1, "ci/a", created_at=YESTERDAY)), options).actions[0]
    completion = make_plan(wanted, snapshot(live(1, "ci/a"), live(2, "ci/a~next")), options).actions[0]
    assert isinstance(rotation, Rotate)
    assert isinstance(completion, Finish)
    assert (rotation.overlap, completion.overlap) == (expected, expected)


def test_age_can_be_left_out_of_account() -> None:
    account = snapshot(live(1, "ci/a", created_at=YESTERDAY))
    assert told(make_plan(declaration([rotated("ci/a")]), account, Options(by_age=False))) == []


def test_two_keys_that_wait_to_take_over_are_unclear() -> None:
    plan = make_plan(declaration([declared("ci/a")]), snapshot(live(1, "ci/a~next"), live(2, "ci/a~next")))
    assert findings(plan) == ["error duplicate-name ci/a"]
    assert "2 live keys wait to take over: ids 1 and 2" in plan.findings[0].message
    assert told(plan) == []


# --- grace ------------------------------------------------------------------------------------------------------------


def graceful(*keys: DeclaredKey) -> Declaration:
    return declaration(keys, [Environment("ci", SOMEWHERE, deletion_grace=timedelta(days=7))])


@pytest.mark.parametrize(
    ("keys", "account", "expected"),
    [
        pytest.param([], [live(1, "ci/a")], ["retire ci/a #1 name,is_enabled"], id="removed from the file"),
        pytest.param([], [live(1, "ci/a", is_enabled=False)], ["retire ci/a #1 name"], id="removed, it was disabled"),
        pytest.param([], [live(1, "ci/a" + GONE, is_enabled=False)], [], id="within its grace"),
        pytest.param([], [live(1, "ci/a" + FORGOTTEN, is_enabled=False)], ["delete ci/a #1"], id="its grace is over"),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a" + GONE, is_enabled=False)],
            ["restore ci/a #1 name,is_enabled"],
            id="declared again",
        ),
        pytest.param(
            [declared("ci/a", "9", is_enabled=False)],
            [live(1, "ci/a" + GONE, is_enabled=False)],
            ["restore ci/a #1 name,credit_limit"],
            id="declared again, and otherwise",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a" + FORGOTTEN, is_enabled=False)],
            ["create ci/a", "delete ci/a #1"],
            id="declared again too late",
        ),
        pytest.param(
            [declared("ci/a")],
            [
                live(1, "ci/a~gone.20270303T000000Z", is_enabled=False),
                live(2, "ci/a" + GONE, is_enabled=False),
                live(3, "ci/a" + GONE, is_enabled=False),
            ],
            ["restore ci/a #1 name,is_enabled"],
            id="the one retired last comes back",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a" + GONE, is_enabled=False)],
            [],
            id="a retired key beside a settled one",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a"), live(2, "ci/a" + GONE)],
            ["retire ci/a #2 is_enabled"],
            id="a retired key that works",
        ),
        pytest.param(
            [],
            [live(1, "ci/a" + GONE, is_enabled=False), live(2, "ci/a~sent.00ff", expires_at=NOW)],
            [],
            id="retired in the middle of a rotation, whose sign is kept",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a" + GONE, is_enabled=False), live(2, "ci/a~sent.00ff", expires_at=LATER)],
            ["rotate ci/a #1 name,is_enabled"],
            id="retired in the middle of a rotation, and declared again",
        ),
        pytest.param(
            [declared("ci/a")],
            [live(1, "ci/a" + GONE, is_enabled=False), live(2, "ci/a~next")],
            ["finish ci/a #2 name"],
            id="interrupted after that",
        ),
        pytest.param(
            [declared("ci/a", is_enabled=False, expires_at=NOW)],
            [
                live(1, "ci/a" + GONE, is_enabled=False, expires_at=NOW),
                live(2, "ci/a~sent.00ff", expires_at=NOW),
            ],
            ["restore ci/a #1 name"],
            id="declared again although it has expired: the sign is kept",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",))],
            [live(1, "ci/a"), live(2, "ci/a~sent.00ff", expires_at=NOW), live(3, "ci/b")],
            ["retire ci/a #1 name,is_enabled"],
            id="the name it was to get is another key's: retired, and its sign is kept",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",))],
            [live(1, "ci/a" + GONE, is_enabled=False), live(2, "ci/a~sent.00ff", expires_at=NOW), live(3, "ci/b")],
            [],
            id="the same a day later",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",))],
            [live(1, "ci/b"), live(2, "ci/a" + GONE, is_enabled=False), live(3, "ci/a~sent.00ff", expires_at=LATER)],
            [],
            id="its sign is newer than the key that has the name now, and is not about that",
        ),
        pytest.param(
            [declared("ci/b", renamed_from=("ci/a",))],
            [live(1, "ci/a" + GONE)],
            ["restore ci/b #1 name"],
            id="declared again under another name",
        ),
        pytest.param(
            [],
            [live(1, "ci/a"), live(2, "ci/a~next"), live(3, "ci/a" + OLD)],
            ["retire ci/a #1 name,is_enabled", "retire ci/a #2 name,is_enabled"],
            id="removed in the middle of a rotation: who still uses the old key keeps it, in case of a revert",
        ),
    ],
)
def test_grace(keys: list[DeclaredKey], account: list[LiveKey], expected: list[str]) -> None:
    assert told(make_plan(graceful(*keys), snapshot(*account))) == expected


def test_a_retired_key_says_until_when_it_can_come_back() -> None:
    (action,) = make_plan(graceful(), snapshot(live(1, "ci/a"))).actions
    assert isinstance(action, Retire)
    assert action.after.name == "ci/a~gone.20261129T120000Z"
    assert action.grace == timedelta(days=7)


def test_who_asks_for_a_new_key_does_not_get_the_retired_one() -> None:
    options = Options(frozenset({address("ci/a")}))
    account = snapshot(live(1, "ci/a" + GONE, is_enabled=False))
    (rotation,) = make_plan(graceful(declared("ci/a")), account, options).actions
    assert isinstance(rotation, Rotate)
    assert (rotation.live.id, rotation.reason) == (1, RotateReason.REQUESTED)


# --- findings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "account", "expected"),
    [
        pytest.param(declared("ci/a", expires_at=EARLIER), [], ["error expiry-passed ci/a"], id="to create"),
        pytest.param(declared("ci/a", expires_at=NOW), [], ["error expiry-passed ci/a"], id="to create, just now"),
        pytest.param(
            declared("ci/a", expires_at=EARLIER), [live(1, "ci/a")], ["error expiry-passed ci/a"], id="to change to it"
        ),
        pytest.param(
            declared("ci/a", expires_at=EARLIER), [live(1, "ci/a", expires_at=EARLIER)], [], id="the key carries it"
        ),
        pytest.param(
            declared("ci/a", "9", expires_at=EARLIER),
            [live(1, "ci/a", expires_at=EARLIER)],
            [],
            id="the key carries it, and another field changes",
        ),
        pytest.param(declared("ci/a", expires_at=LATER), [], [], id="in the future"),
        pytest.param(declared("ci/a", deliver=()), [], ["error no-destination ci/a"], id="a secret for nobody"),
        pytest.param(declared("ci/a", deliver=()), [live(1, "ci/a")], [], id="a key that is there needs none"),
        pytest.param(
            declared("ci/a", id=1), [live(1, "x")], ["warning not-delivered ci/a"], id="an adopted key's secret"
        ),
        pytest.param(declared("ci/a", id=1, deliver=()), [live(1, "x")], [], id="adopted, and nothing to deliver"),
    ],
)
def test_a_reviewer_is_told_what_will_not_work(key: DeclaredKey, account: list[LiveKey], expected: list[str]) -> None:
    assert findings(make_plan(declaration([key]), snapshot(*account))) == expected


# --- money ------------------------------------------------------------------------------------------------------------


def test_limits_of_managed_keys_are_added_up_before_and_after() -> None:
    plan = make_plan(
        declaration([declared("ci/a", "0.1"), declared("ci/b", "0.2"), declared("ci/c", None)]),
        snapshot(live(1, "ci/a", "100"), live(2, "ci/d", "0.5"), live(3, "ci/e", None), live(4, "stranger", "1000")),
    )
    assert plan.credit == Credit(Decimal("100.5"), Decimal("0.3"), 1, 1)


def test_an_update_carries_what_the_key_will_be() -> None:
    (action,) = make_plan(declaration([declared("ci/a", "6")]), snapshot(live(1, "ci/a"))).actions
    assert isinstance(action, Update)
    assert (action.fields, action.after.credit_limit) == ((Field.CREDIT_LIMIT,), Decimal(6))
