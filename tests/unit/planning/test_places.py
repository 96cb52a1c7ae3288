"""Where secrets go: what of it is new, and who moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostic import Location
from reconciler.model import Delivery, Target
from reconciler.planning.actions import Options, PlanInputs
from reconciler.planning.planner import make_plan
from reconciler.planning.power import deliveries_of
from support.builders import NOW, address, declaration, declared, environment, live, snapshot

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey, LiveKey, Setting
    from reconciler.planning.actions import AccountPlan

DAY = timedelta(days=1)
LINE = Location("keys.yaml", 30, 9)


def to(
    repository: str,
    name: str,
    destination: str = "gh",
    *,
    written: str | None = None,
    sha256: str = "",
    type_: str = "github-actions",
) -> Delivery:
    settings: tuple[tuple[str, Setting], ...] = (("repository", repository),)
    target = Target(
        destination,
        type_,
        settings,
        resolved=(*settings, ("file sha256", sha256)) if sha256 else settings,
        written=(("repository", written or repository),),
    )
    return Delivery(target, name, LINE)


def key(text: str, *deliver: Delivery, **fields: Any) -> DeclaredKey:
    return declared(text, deliver=deliver, **fields)


def of_places(plan: AccountPlan) -> list[str]:
    return [f"{each.severity} {each.rule} {each.address}" for each in plan.findings if each.rule.endswith("-place")]


def three_way(base: Declaration, wanted: Declaration, *account: LiveKey, options: Options | None = None) -> AccountPlan:
    return make_plan(wanted, snapshot(*account), options or Options(), PlanInputs(base=base))


A = key("ci/a", to("acme/api", "A"))
BASE = [A]
CASES = [
    pytest.param([A, key("ci/b", to("acme/api", "B"))], [], id="another key at a known place"),
    pytest.param([A, key("ci/b", to("acme/api", "B", "renamed"))], [], id="by another name of the destination"),
    pytest.param(
        [key("ci/a", to("acme/api", "A", "old")), key("ci/b", to("mallory/x", "B", "gh"))],
        ["warning new-place ci/b"],
        id="a known name that leads elsewhere, beside the old place under a new name",
    ),
    pytest.param([key("ci/a", to("mallory/x", "A"))], ["warning new-place ci/a"], id="another repository"),
    pytest.param([key("ci/a", to("acme/api", "A", type_="vault"))], ["warning new-place ci/a"], id="another type"),
    pytest.param(
        [key("ci/a", to("acme/api", "A", sha256="ff"))], ["warning new-place ci/a"], id="other recipients in the file"
    ),
    pytest.param(
        [A, key("x/b", to("acme/api", "B"))], ["warning new-place x/b"], id="known in another environment only"
    ),
    pytest.param(
        [A, key("x/b", to("acme/api", "A"))], ["warning new-place x/b"], id="the place of another environment's key"
    ),
    pytest.param(
        [key("ci/b", to("mallory/x", "B")), key("ci/c", to("mallory/y", "C"))],
        ["warning new-place ci/b", "warning new-place ci/c"],
        id="each of several",
    ),
    pytest.param([key("ci/a", to("acme/api", "Z"))], ["warning moved-place ci/a"], id="another name there"),
    pytest.param([key("ci/b", to("acme/api", "A"))], ["warning moved-place ci/b"], id="a place taken by a new key"),
    pytest.param(
        [key("ci/b", to("acme/api", "A"), renamed_from=("ci/a",))], [], id="a key that is renamed and stays there"
    ),
    pytest.param(
        [key("ci/b", to("acme/api", "B"), renamed_from=("ci/x", "ci/a"))],
        ["warning moved-place ci/b"],
        id="a key that is renamed and does not",
    ),
    pytest.param([key("ci/b", to("acme/api", "B"), renamed_from=("ci/x",))], [], id="renamed from what no file knew"),
    pytest.param([key("ci/a")], ["warning moved-place ci/a"], id="nowhere any more"),
    pytest.param([A], [], id="nothing"),
]


@pytest.mark.parametrize("state", ["created", "live"])
@pytest.mark.parametrize(("keys", "expected"), CASES)
def test_what_is_new_and_what_moved_is_told(keys: list[DeclaredKey], expected: list[str], state: str) -> None:
    account = [live(number, key.name) for number, key in enumerate(keys, start=1)] if state == "live" else []
    plan = three_way(declaration(BASE), declaration(keys), *account)
    assert of_places(plan) == expected
    assert {each.source for each in plan.findings if each.rule == "new-place"} <= {LINE}


@pytest.mark.parametrize("rule", ["new-place", "moved-place"])
@pytest.mark.parametrize(
    ("account", "rotate", "goes"),
    [
        pytest.param([], (), True, id="created"),
        pytest.param([live(1, "x/b")], ("x/b",), True, id="rotated"),
        pytest.param([live(1, "x/b")], (), False, id="left alone"),
        pytest.param([live(1, "ci/a")], (), False, id="renamed from another environment"),
    ],
)
def test_a_secret_that_stays_is_not_said_to_go_elsewhere(
    rule: str, account: list[LiveKey], rotate: tuple[str, ...], *, goes: bool
) -> None:
    base = [A, key("x/c", to("acme/x", "C"))]
    moved = key("x/b", to("acme/x" if rule == "moved-place" else "mallory/x", "B"), renamed_from=("ci/a",))
    options = Options(rotate=frozenset(map(address, rotate)))
    plan = three_way(declaration(base), declaration([moved, base[1]]), *account, options=options)
    said = [each.message for each in plan.findings if each.rule == rule]
    assert [message.startswith("its secret goes to ") for message in said] == [goes]


def test_a_template_is_compared_as_it_is_written() -> None:
    base = declaration([key("ci/a", to("ci/a", "K", written="{environment}/{key}"))])
    known = key("ci/b", to("ci/b", "K", written="{environment}/{key}"))
    said = key("ci/c", to("ci/a", "C", written="ci/a"))
    assert of_places(three_way(base, declaration([*base.keys, known, said]))) == ["warning new-place ci/c"]


PROTECTED = environment("ci", 7, protected=True)


@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        pytest.param(declaration(BASE, [PROTECTED]), [PROTECTED], id="its environment is and was protected"),
        pytest.param(declaration(BASE), [PROTECTED], id="is protected"),
        pytest.param(declaration(BASE, [PROTECTED]), ["ci"], id="was protected"),
        pytest.param(declaration([replace(A, protected=True)]), ["ci"], id="the key itself was protected"),
    ],
)
@pytest.mark.parametrize("account", [[], [live(1, "ci/a")], [live(1, "ci/a", created_at=NOW - 9 * DAY)]])
def test_a_new_place_of_what_is_protected_is_refused(
    base: Declaration, wanted: list[Any], account: list[LiveKey]
) -> None:
    moved = declaration([key("ci/a", to("mallory/x", "A"), rotate_every=8 * DAY)], wanted)
    plan = three_way(base, moved, *account)
    assert of_places(plan) == ["error new-place ci/a"]
    allowed = three_way(base, moved, *account, options=Options(allow=("ci/a",)))
    assert of_places(allowed) == ["note new-place ci/a"]
    assert [each.rule for each in allowed.findings if each.lifts] == ["new-place"]


def test_a_protected_place_is_not_taken_by_another_environment() -> None:
    keys = [replace(A, deliver=()), key("x/b", to("acme/api", "A"))]
    plan = three_way(declaration(BASE, [PROTECTED]), declaration(keys, [PROTECTED]), live(1, "ci/a"))
    assert of_places(plan) == ["warning moved-place ci/a", "error new-place x/b"]


def test_an_environment_that_is_new_begins_with_new_places() -> None:
    plan = three_way(declaration([], ["old"]), declaration(BASE, [PROTECTED]))
    assert of_places(plan) == ["warning new-place ci/a"]


def test_a_key_that_leaves_a_protected_environment_is_held_to_it() -> None:
    moved = key("x/a", to("mallory/x", "A"), renamed_from=("ci/a",), protected=True)
    plan = three_way(declaration(BASE, [PROTECTED]), declaration([moved]), live(1, "ci/a"))
    assert of_places(plan) == ["error new-place x/a"]


def test_a_warning_is_lifted_too() -> None:
    plan = three_way(declaration(BASE), declaration([key("ci/a", to("mallory/x", "A"))]), options=Options(allow=("*",)))
    assert of_places(plan) == ["note new-place ci/a"]
    assert [each.lifts for each in plan.findings if each.lifts] == [("ci/a",)]


def test_what_a_run_is_not_about_is_not_judged() -> None:
    moved = declaration([key("ci/a", to("mallory/x", "A"))])
    assert of_places(three_way(declaration(BASE), moved, options=Options(only=("ci/b",)))) == []


def test_without_a_base_nothing_is_new() -> None:
    plan = make_plan(declaration(BASE), snapshot())
    assert (of_places(plan), [each.new for each in deliveries_of(plan.actions[0])]) == ([], [False])


def test_a_change_says_which_of_its_places_are_new() -> None:
    keys = [key("ci/a", to("acme/api", "A"), to("mallory/x", "A"))]
    options = Options(rotate=frozenset({address("ci/a")}))
    plan = three_way(declaration(BASE), declaration(keys), live(1, "ci/a"), options=options)
    assert [each.new for each in deliveries_of(plan.actions[0])] == [False, True]
    assert deliveries_of(three_way(declaration(BASE), declaration([], ["ci"]), live(1, "ci/a")).actions[0]) == ()
