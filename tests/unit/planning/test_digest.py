from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.model import Delivery, Guardrails, Target
from reconciler.planning.actions import Options
from reconciler.planning.planfile import digest
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, declaration, declared, dotenv, live, rails, snapshot

if TYPE_CHECKING:
    from reconciler.model import DeclaredKey, LiveKey, Setting
    from reconciler.planning.actions import AccountPlan

KEYS = [declared("ci/new"), declared("ci/more", "9"), declared("ci/same"), declared("ci/moved", renamed_from=("x",))]
ACCOUNT = [live(1, "ci/more"), live(2, "ci/same"), live(3, "ci/gone"), live(4, "x")]


def digest_of(keys: list[DeclaredKey], account: list[LiveKey]) -> str:
    return digest(make_plan(declaration(keys), snapshot(*account)))


BEFORE = digest_of(KEYS, ACCOUNT)


def test_a_digest_names_its_algorithm() -> None:
    kind, _, value = BEFORE.partition(":")
    assert kind == "sha256"
    assert len(bytes.fromhex(value)) == 32


@pytest.mark.parametrize(
    ("position", "changed"),
    [
        pytest.param(0, replace(KEYS[0], description="other words", team="other"), id="a description"),
        pytest.param(2, replace(KEYS[2], deliver=(dotenv("elsewhere"),)), id="where a key that exists is delivered"),
    ],
)
def test_it_stays_when_what_is_done_stays(position: int, changed: DeclaredKey) -> None:
    keys = [*KEYS]
    keys[position] = changed
    assert digest_of(keys, ACCOUNT) == BEFORE


@pytest.mark.parametrize(
    "account",
    [
        pytest.param([*ACCOUNT, live(9, "stranger")], id="a stranger appears"),
        pytest.param(list(reversed(ACCOUNT)), id="another order"),
        pytest.param([ACCOUNT[0], replace(ACCOUNT[1], created_at=NOW - timedelta(1)), *ACCOUNT[2:]], id="left alone"),
    ],
)
def test_it_stays_when_other_keys_of_the_account_change(account: list[LiveKey]) -> None:
    assert digest_of(KEYS, account) == BEFORE


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([replace(KEYS[0], credit_limit=None), *KEYS[1:]], id="the limit of a new key"),
        pytest.param([replace(KEYS[0], deliver=(dotenv("elsewhere"),)), *KEYS[1:]], id="where a secret goes"),
        pytest.param([replace(KEYS[0], expires_at=NOW + timedelta(1)), *KEYS[1:]], id="the expiry of a new key"),
        pytest.param([KEYS[0], replace(KEYS[1], is_enabled=False), *KEYS[2:]], id="another field of an update"),
        pytest.param(KEYS[:3], id="a rename that becomes a stranger"),
        pytest.param([], id="everything goes"),
    ],
)
def test_it_changes_when_something_else_is_done(keys: list[DeclaredKey]) -> None:
    assert digest_of(keys, ACCOUNT) != BEFORE


def test_it_changes_when_a_rotation_is_no_longer_tried() -> None:
    options = Options(frozenset({KEYS[2].address}))
    tried, untried = (declaration([replace(KEYS[2], verify=verify)]) for verify in (True, False))
    account = snapshot(*ACCOUNT)
    assert digest(make_plan(tried, account, options)) != digest(make_plan(untried, account, options))


def plan_of(*deliver: Delivery, options: Options | None = None, rules: Guardrails | None = None) -> AccountPlan:
    key = replace(KEYS[0], deliver=deliver)
    return make_plan(declaration([key], guardrails=rules or Guardrails()), snapshot(), options or Options())


def to(type_: str = "age", settings: dict[str, Setting] | None = None, **truth: Setting) -> Delivery:
    target = Target("files", type_, tuple((settings or {}).items()), tuple(sorted(truth.items())), "/repository")
    return Delivery(target, "KEY", SOMEWHERE, file="/repository/a.age")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(to("vault", path="x"), id="the type"),
        pytest.param(to(path="y"), id="a setting"),
        pytest.param(to(path="x", recipients_file="z"), id="what the destination reads"),
        pytest.param(replace(to(path="x"), file="/etc/hosts"), id="the file behind a link"),
        pytest.param(replace(to(path="x"), name="OTHER"), id="the name there"),
    ],
)
def test_it_changes_when_a_secret_goes_elsewhere_in_truth(changed: Delivery) -> None:
    assert digest(plan_of(changed)) != digest(plan_of(to(path="x")))


def test_it_is_the_same_whatever_a_destination_is_called_and_wherever_the_repository_lies() -> None:
    there = replace(to(path="x").target, destination="other", root="/elsewhere", settings=(("path", "/elsewhere/x"),))
    moved = replace(to(path="x"), target=there, file="/elsewhere/a.age")
    assert digest(plan_of(moved)) == digest(plan_of(to(path="x")))


@pytest.mark.parametrize(
    "options",
    [
        Options(allow=("ci/*",)),
        Options(environments=frozenset({"ci"})),
        Options(only=("ci/*",)),
        Options(overlap=False),
    ],
)
def test_it_changes_with_what_was_asked_for(options: Options) -> None:
    assert digest(plan_of(options=options)) != digest(plan_of())


def test_it_changes_with_the_rules_that_forbid_the_plan() -> None:
    refused = plan_of(rules=rails(max_credit_limit=Decimal(1)))
    other = plan_of(rules=rails(require_rotation=True))
    assert len({digest(refused), digest(other), digest(plan_of())}) == 3
    allowed = plan_of(rules=rails(max_credit_limit=Decimal(1)), options=Options(allow=("*",)))
    assert digest(allowed) == digest(plan_of(options=Options(allow=("*",))))


@pytest.mark.parametrize("position", [0, 2, 3])
@pytest.mark.parametrize(
    "changes",
    [{"created_at": NOW - timedelta(1)}, {"id": 77}, {"is_enabled": False}, {"expires_at": NOW + timedelta(1)}],
)
def test_it_changes_when_a_key_that_is_touched_was_touched_by_others(position: int, changes: dict[str, object]) -> None:
    account = [*ACCOUNT]
    account[position] = replace(account[position], **changes)  # type: ignore[arg-type]  # the fields vary by case
    assert digest_of(KEYS, account) != BEFORE
