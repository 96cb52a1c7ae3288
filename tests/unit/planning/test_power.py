"""What a plan takes and gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.planning.actions import Create, Delete, DeleteReason, Field
from reconciler.planning.power import Power, power_of
from support.builders import NOW, SOMEWHERE, address, declared, live
from support.plans import finish, full_plan, plan, rename, restore, retire, rotate, update

if TYPE_CHECKING:
    from reconciler.planning.actions import Action

SOON, LATE = NOW + timedelta(days=1), NOW + timedelta(days=9)
GONE = "ci/a~gone.20270101T000000Z"
HOUR = timedelta(hours=1)


def delete(key: str, **fields: Any) -> Delete:
    return Delete(address("ci/a"), live(1, key, **fields), DeleteReason.OVERLAP_OVER, SOMEWHERE)


def said(power: Power) -> set[str]:
    lists = {name: getattr(power, name) for name in Power.__slots__ if name != "moves"}
    return {name for name, found in lists.items() if found} | {name for name, count in power.moves.items() if count}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(Create(declared("ci/a")), {"new_keys"}, id="create"),
        pytest.param(update(declared("ci/a", "6"), live(1, "ci/a")), {"raised_limits"}, id="a higher limit"),
        pytest.param(update(declared("ci/a", None), live(1, "ci/a")), {"removed_limits"}, id="no limit any more"),
        pytest.param(update(declared("ci/a", "4"), live(1, "ci/a")), {"lower_limits"}, id="a lower limit"),
        pytest.param(update(declared("ci/a"), live(1, "ci/a", None)), {"lower_limits"}, id="a limit"),
        pytest.param(
            update(declared("ci/a", expires_at=SOON), live(1, "ci/a")), {"earlier_expiries"}, id="a first expiry"
        ),
        pytest.param(
            update(declared("ci/a", expires_at=SOON), live(1, "ci/a", expires_at=LATE)),
            {"earlier_expiries"},
            id="an earlier expiry",
        ),
        pytest.param(
            update(declared("ci/a", expires_at=LATE), live(1, "ci/a", expires_at=SOON)),
            {"later_expiries"},
            id="a later expiry",
        ),
        pytest.param(
            update(declared("ci/a"), live(1, "ci/a", expires_at=SOON)), {"removed_expiries"}, id="no expiry any more"
        ),
        pytest.param(update(declared("ci/a", is_enabled=False), live(1, "ci/a")), {"disabling"}, id="disable"),
        pytest.param(update(declared("ci/a"), live(1, "ci/a", is_enabled=False)), {"enabling"}, id="enable"),
        pytest.param(rename(declared("ci/a"), live(1, "b")), {"rename"}, id="rename"),
        pytest.param(rename(declared("ci/a", "9"), live(1, "b")), {"rename", "raised_limits"}, id="rename and raise"),
        pytest.param(rotate(declared("ci/a"), live(1, "ci/a"), overlap=HOUR), set(), id="rotate"),
        pytest.param(
            rotate(declared("ci/a"), live(1, "ci/a"), overlap=HOUR - timedelta(seconds=1)),
            {"disabling"},
            id="rotate with a short overlap",
        ),
        pytest.param(
            rotate(declared("ci/a"), live(1, "ci/a"), overlap=None), {"disabling"}, id="rotate without overlap"
        ),
        pytest.param(finish(declared("ci/a"), live(2, "ci/a~next"), live(1, "ci/a")), {"finish"}, id="finish"),
        pytest.param(retire("ci/a", live(1, "ci/a"), SOMEWHERE), {"disabling"}, id="retire"),
        pytest.param(
            retire("ci/a", live(1, "ci/a", is_enabled=False), SOMEWHERE), {"disabling"}, id="retire a disabled key"
        ),
        pytest.param(
            restore(declared("ci/a"), live(1, GONE, is_enabled=False), Field.IS_ENABLED), {"restore"}, id="restore"
        ),
        pytest.param(delete("ci/a~old.20200101T000000Z", expires_at=NOW), {"cleanup"}, id="clean up"),
        pytest.param(delete("ci/a~old.20200101T000000Z"), {"deletions"}, id="delete what still works"),
    ],
)
def test_what_a_change_takes_and_gives(action: Action, expected: set[str]) -> None:
    power = power_of(plan(action))
    assert said(power) == expected
    taken = {"deletions", "disabling", "lower_limits", "earlier_expiries"}
    assert power.takes == bool(expected & taken)


def test_new_places_are_told_with_whose_they_are() -> None:
    key = declared("ci/a")
    new = replace(key, deliver=(*key.deliver, replace(key.deliver[0], name="N", new=True)))
    power = power_of(plan(Create(key), rotate(new, live(1, "ci/a"))))
    assert [(str(action.address), delivery.name) for action, delivery in power.new_places] == [("ci/a", "N")]


def test_every_action_of_a_plan_counts() -> None:
    assert said(power_of(full_plan())) == {*Power.__slots__, "rename", "renew", "finish", "restore", "cleanup"} - {
        "moves",
        "removed_limits",
        "enabling",
        "later_expiries",
        "removed_expiries",
    }
