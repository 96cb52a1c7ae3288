"""Whether destinations hold what they should, by what they tell."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostic import Location, Severity
from reconciler.model import Delivery, Target
from reconciler.planning.accounts import whole
from reconciler.planning.actions import Options
from reconciler.planning.deliveries import Answer, Due, Holding, due_deliveries, undelivered
from reconciler.planning.planner import make_plan, with_findings
from support.builders import NOW, address, declaration, declared, live, snapshot

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey, Snapshot
    from reconciler.planning.actions import Finding

PLACE = Location("keys.yaml", 9, 16)
VAULT, LOCAL = Target("vault", "vault", ()), Target("local", "dotenv", ())
EARLIER, CREATED = NOW - timedelta(minutes=6), "2026-11-22T12:00:00Z"


def wanted(text: str, *targets: Target, **fields: Any) -> DeclaredKey:
    deliver = tuple(Delivery(target, text.upper(), PLACE) for target in targets or (VAULT,))
    return declared(text, deliver=deliver, **fields)


def due(live_keys: Snapshot, file: Declaration, options: Options | None = None) -> list[tuple[str, int]]:
    plan = make_plan(file, live_keys, options or Options())
    return [(str(each.address), each.key.id) for each in due_deliveries(file, live_keys, plan)]


def test_a_live_key_should_be_in_each_of_its_destinations() -> None:
    file = declaration([wanted("ci/a", VAULT, LOCAL), wanted("ci/b", VAULT)])
    assert due(snapshot(live(1, "ci/a"), live(2, "ci/b")), file) == [("ci/a", 1), ("ci/a", 1), ("ci/b", 2)]


def test_what_the_plan_delivers_anyway_is_not_asked_for() -> None:
    file = declaration([wanted("ci/new"), wanted("ci/old"), wanted("ci/same")])
    found = due(snapshot(live(1, "ci/old"), live(2, "ci/same")), file, Options(rotate=frozenset({address("ci/old")})))
    assert found == [("ci/same", 2)]


def test_the_key_that_takes_over_or_comes_back_is_the_one_that_counts() -> None:
    file = declaration([wanted("ci/a"), wanted("ci/b"), wanted("ci/c", credit_limit="9")])
    until = "20261129T120000Z"
    keys = snapshot(
        live(1, "ci/a"), live(2, "ci/a~next"), live(3, f"ci/b~gone.{until}", is_enabled=False), live(4, "ci/c")
    )
    assert due(keys, file) == [("ci/a", 2), ("ci/b", 3), ("ci/c", 4)]


def test_what_goes_and_what_the_run_is_not_about_is_not_asked_for() -> None:
    file = declaration([wanted("ci/a"), wanted("other/a")])
    keys = snapshot(live(1, "ci/a"), live(2, "ci/gone"), live(3, "other/a"))
    assert due(keys, file, Options(environments=frozenset({"ci"}))) == [("ci/a", 1)]


def judged(answer: Answer, *more: Target) -> list[Finding]:
    deliveries = [Due(address("ci/a"), live(7, "ci/a"), Delivery(target, "NAGA_A", PLACE)) for target in (VAULT, *more)]
    return list(undelivered(deliveries, {VAULT: answer, **dict.fromkeys(more, Answer())}))


@pytest.mark.parametrize(
    "holding",
    [
        Holding(7, None),
        Holding(7, EARLIER),
        Holding(None, None),
        Holding(None, NOW),
        Holding(None, NOW - timedelta(minutes=5)),
    ],
)
def test_a_destination_that_holds_the_secret_for_all_it_knows_is_fine(holding: Holding) -> None:
    assert judged(Answer({"NAGA_A": holding, "OTHER": Holding(1, None)})) == []


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, "does not hold the secret of key 7 (ci/a)"),
        ({"NAGA_A": Holding(6, NOW)}, "holds the secret of key 6, not of key 7 (ci/a)"),
        (
            {"NAGA_A": Holding(None, EARLIER)},
            "holds a secret that is from 2026-11-22T11:54:00Z, older than key 7 (ci/a), which is from " + CREATED,
        ),
    ],
)
def test_a_destination_without_the_secret_is_told_with_the_way_out(held: dict[str, Holding], said: str) -> None:
    (finding,) = judged(Answer(held))
    assert (finding.rule, finding.severity, finding.source) == ("undelivered", Severity.WARNING, PLACE)
    assert finding.address == address("ci/a")
    assert finding.message == (
        f"destination vault {said} (NAGA_A), and the secret cannot be read again; "
        "pass --rotate ci/a to deliver a new one"
    )


def test_a_destination_that_fails_to_tell_is_a_warning() -> None:
    (finding,) = judged(Answer(failure="permission denied"))
    assert (finding.rule, finding.severity, finding.address) == ("not-checked", Severity.WARNING, None)
    assert finding.message == "what destination vault holds could not be found out: permission denied"
    assert finding.source == PLACE


def test_destinations_that_cannot_tell_are_named_once_and_together() -> None:
    again = Target("local", "dotenv", (("path", "elsewhere"),))
    (finding,) = judged(Answer({"NAGA_A": Holding(7, None)}), LOCAL, again, Target("age", "age", ()))
    assert (finding.rule, finding.severity) == ("not-checked", Severity.NOTE)
    assert finding.message.endswith(": destinations age, local")


def test_what_was_found_out_beside_the_planning_stands_in_its_place() -> None:
    file = declaration([wanted("ci/a")])
    plan = whole([make_plan(file, snapshot(live(1, "ci/a"), live(2, "ci/a")))])
    more = with_findings(plan, judged(Answer({})))
    assert [finding.rule for finding in more.findings] == ["duplicate-name", "undelivered"]
    assert with_findings(more, judged(Answer({}))) == more
