from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.diagnostic import Severity
from reconciler.model import Delivery, Target, Usage
from reconciler.planning.actions import (
    ApplyResult,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Outcome,
    Plan,
    Retire,
    Status,
)
from reconciler.render.markdown import render_plan as render_markdown
from reconciler.render.text import render_plan, render_result
from support.builders import NOW, address, declared, live
from support.plans import at, full_plan, plan, rename, update

if TYPE_CHECKING:
    from collections.abc import Callable


CREATE = Create(declared("ci/tests", "25", source=at(9)))
UPDATE = update(declared("ci/api", "7"), live(12, "ci/api", "5"), Field.CREDIT_LIMIT)
ERROR = Finding("credit-budget", Severity.ERROR, "too much", address("ci/tests"), at(3))
WARNING = Finding("expiring", Severity.WARNING, "soon")


def _delete(number: int) -> Delete:
    return Delete(address(f"ci/k{number}"), live(number, f"ci/k{number}"), DeleteReason.UNDECLARED, at(1))


@pytest.mark.parametrize(
    ("unchanged", "unmanaged", "text"),
    [
        (4, (), "No changes. The account matches the declaration: 4 keys.\n"),
        (1, (live(1, "x"),), "No changes. The account matches the declaration: 1 key, 1 unmanaged.\n"),
        (0, (), "No changes. The account matches the declaration: 0 keys.\n"),
    ],
)
def test_an_empty_plan_says_that_the_account_matches(unchanged: int, unmanaged: tuple[()], text: str) -> None:
    assert render_plan(plan(unchanged=unchanged, unmanaged=unmanaged), color=False) == text


def test_an_error_takes_the_word_that_all_is_well_out_of_an_empty_plan() -> None:
    text = render_plan(plan(findings=(ERROR,), unchanged=3), color=False)

    assert text == (
        "Findings\n"
        "  ✗ error  ci/tests  too much  credit-budget, keys.yaml:3\n"
        "\n"
        "Nothing is planned until the errors are resolved; 3 unchanged.\n"
        "This plan cannot be applied: 1 error.\n"
    )


@pytest.mark.parametrize("render", [partial(render_plan, color=False), partial(render_markdown, digest="sha256:0")])
def test_a_plan_beside_accounts_that_could_not_be_read_is_not_called_impossible(render: Callable[[Plan], str]) -> None:
    unread = replace(ERROR, rule="account-unread", address=None, account="NAGA_B")
    one, two = (render(plan(findings=(unread,) * count, unchanged=3)) for count in (1, 2))
    assert "No changes in what could be read" in one
    assert "This plan lacks 1 account: apply does without, but a plan that was saved or reviewed is done as a" in one
    assert "This plan lacks 2 accounts: " in two
    assert "This plan cannot be applied: 2 errors." in render(plan(findings=(unread, ERROR)))


BOTH = Plan(plan().accounts * 2, ())
OF_NAGA_A = ApplyResult((Outcome(replace(CREATE, account="NAGA_A"), Status.DONE),))


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            replace(OF_NAGA_A, unreached=("NAGA_B",)),
            "The account of NAGA_B was not applied: run `reconciler plan` to see whether it matches the declaration.",
        ),
        (
            ApplyResult((), unreached=("NAGA_B", "NAGA_C")),
            (
                "The accounts of NAGA_B, NAGA_C were not applied: run `reconciler plan` to see whether they match the "
                "declaration."
            ),
        ),
        (
            OF_NAGA_A,
            "Not every account was read again: run `reconciler plan` to see whether they match the declaration.",
        ),
        (replace(OF_NAGA_A, remaining=BOTH), "The accounts match the declaration."),
        (
            replace(OF_NAGA_A, remaining=Plan((*BOTH.accounts, *plan(UPDATE).accounts), ())),
            "The accounts do not match the declaration yet: 1 to update.",
        ),
    ],
)
def test_a_result_says_which_of_several_accounts_are_not_known(result: ApplyResult, text: str) -> None:
    assert text in render_result(result, color=False).splitlines()


def test_an_error_without_any_key_needs_no_count() -> None:
    assert "Nothing is planned until the errors are resolved.\n" in render_plan(plan(findings=(ERROR,)), color=False)


def test_a_warning_does_not_forbid_anything() -> None:
    text = render_plan(plan(CREATE, findings=(WARNING,)), color=False)

    assert "  ! warning  account  soon  expiring\n" in text
    assert "cannot be applied" not in text


def test_the_worst_findings_come_first() -> None:
    text = render_plan(plan(findings=(WARNING, ERROR)), color=False)

    assert text.index("error") < text.index("warning")


def test_changes_stand_under_their_environment_with_what_they_come_to() -> None:
    credit = Credit(Decimal(5), Decimal(32), 0, 0)
    production = Create(declared("production/api", None, deliver=(), source=at(20)))

    assert render_plan(plan(UPDATE, CREATE, production, credit=credit, unchanged=2), color=False) == (
        "Takes: nothing\n"
        "Gives: creates 2 keys ($25 in all, 1 without a limit): production/api no limit, ci/tests $25; "
        "raises 1 limit: ci/api $5 → $7\n"
        "\n"
        "ci\n"
        "  ~ update  api    credit_limit $5 → $7  keys.yaml:1\n"
        "  + create  tests  credit_limit $25      keys.yaml:9\n"
        "                   secret → local as NAGA_CI_TESTS: dotenv, path .secrets/test.env\n"
        "\n"
        "production\n"
        "  + create  api    no limit              keys.yaml:20\n"
        "                   secret → nowhere\n"
        "\n"
        "Plan: 2 to create, 1 to update; 2 unchanged.\n"
        "Limits: $5 → $32 (+$27)\n"
    )


def test_a_change_shows_what_the_key_was_used_for_lately() -> None:
    text = render_plan(plan(UPDATE, usage={12: Usage(30, Decimal("28.34"), 892)}), color=False)

    assert text.partition("\n\n")[2].startswith(
        "ci\n  ~ update  api  credit_limit $5 → $7  keys.yaml:1\n                 892 requests, $28.34 in 30 days\n\n"
    )


def test_every_kind_of_change_has_its_sign_and_its_colour() -> None:
    text = render_plan(full_plan(), color=True)

    for look in (
        "\x1b[32m+ create \x1b[0m",
        "\x1b[33m~ update \x1b[0m",
        "\x1b[36m→ rename \x1b[0m",
        "\x1b[36m± rotate \x1b[0m",
        "\x1b[36m± finish \x1b[0m",
        "\x1b[1;31m- retire \x1b[0m",
        "\x1b[32m+ restore\x1b[0m",
        "\x1b[1;31m- DELETE \x1b[0m",
    ):
        assert look in text


def test_deletions_are_said_twice_and_in_red() -> None:
    text = render_plan(plan(_delete(7)), color=True)

    assert "  \x1b[1;31m- DELETE\x1b[0m  \x1b[1;31mk7\x1b[0m  \x1b[1;31mno longer declared\x1b[0m" in text
    assert "\x1b[1;31m1 to delete\x1b[0m" in text
    assert "\x1b[1;31mDeletes 1 key for good, its users lose access at once: ci/k7.\x1b[0m\n" in text


def _aftermath(reason: DeleteReason, **state: Any) -> Delete:
    return Delete(address("ci/k"), live(7, "ci/k~old.20261122T120000Z", **state), reason, at(1))


@pytest.mark.parametrize(
    ("action", "is_said"),
    [
        (_aftermath(DeleteReason.OVERLAP_OVER, expires_at=NOW), False),
        (_aftermath(DeleteReason.LEASE_EXPIRED, expires_at=NOW), False),
        (_aftermath(DeleteReason.GRACE_OVER, is_enabled=False), False),
        (_aftermath(DeleteReason.OVERLAP_OVER), True),  # somebody took its expiry away
        (_aftermath(DeleteReason.REMOVED, is_enabled=False), True),
    ],
)
def test_nobody_is_said_to_lose_what_stopped_to_work_before(action: Delete, *, is_said: bool) -> None:
    assert ("access at once" in render_plan(plan(action), color=False)) is is_said
    assert ("access at once" in render_markdown(plan(action), digest="sha256:0")) is is_said


def test_many_deletions_are_named_as_far_as_a_line_goes() -> None:
    text = render_plan(plan(*(_delete(number) for number in range(7))), color=False)

    assert text.endswith(
        "Deletes 7 keys for good, their users lose access at once: ci/k0, ci/k1, ci/k2, ci/k3, ci/k4, and 2 more.\n"
    )


def test_the_closing_lines_fit_the_terminal_too() -> None:
    text = render_plan(plan(*(_delete(number) for number in range(7))), color=False, width=60)

    assert max(len(line) for line in text.splitlines()) <= 60


def test_unmanaged_keys_are_listed_on_request_only() -> None:
    value = plan(unchanged=1, unmanaged=(live(3, "demo"), live(12, "my laptop")))

    assert "demo" not in render_plan(value, color=False)
    assert render_plan(value, color=False, verbose=True).startswith(
        'Unmanaged keys\n  · id  3   demo\n  · id  12  "my laptop"\n\n'
    )
    assert "Unmanaged" not in render_plan(plan(unchanged=1), color=False, verbose=True)


def test_without_colour_there_is_no_escape_at_all() -> None:
    assert "\x1b" not in render_plan(full_plan(), color=False, verbose=True)


# --- what apply did ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            ApplyResult((), remaining=plan()),
            "Nothing to apply.\nThe account matches the declaration.\n",
        ),
        (
            ApplyResult((Outcome(CREATE, Status.DONE, key_id=57),), remaining=plan()),
            "Done\n  + create  ci/tests  id 57\n\nApplied 1 change.\nThe account matches the declaration.\n",
        ),
        (
            ApplyResult((Outcome(CREATE, Status.FAILED, "disk full", 57), Outcome(UPDATE, Status.DONE))),
            (
                "Done\n  ~ update  ci/api\n\nFailed\n  + create  ci/tests  disk full\n\n"
                "Applied 1 of 2 changes: 1 failed.\n"
                "The account was not read again: run `reconciler plan` to see whether it matches the declaration.\n"
            ),
        ),
        (
            ApplyResult((Outcome(UPDATE, Status.NOT_ATTEMPTED, "stopped"),), interrupted=True, remaining=plan(UPDATE)),
            (
                "Not attempted\n  ~ update  ci/api  stopped\n\nApplied 0 of 1 change: 1 not attempted.\n"
                "The run was interrupted; the next apply goes on from here.\n"
                "The account does not match the declaration yet: 1 to update.\n"
            ),
        ),
        (
            ApplyResult((), note="the service\ncould not be reached"),
            (
                "Nothing to apply.\n"
                "The account was not read again: run `reconciler plan` to see whether it matches the declaration.\n"
                "Note: the service\\ncould not be reached\n"
            ),
        ),
    ],
)
def test_a_result_says_what_was_done_and_how_the_account_compares(result: ApplyResult, text: str) -> None:
    assert render_result(result, color=False) == text


def test_failures_are_listed_last_and_in_red() -> None:
    outcomes = (Outcome(CREATE, Status.FAILED, "no"), Outcome(UPDATE, Status.DONE), Outcome(_delete(1), Status.FAILED))
    text = render_result(ApplyResult(outcomes), color=True)

    assert text.index("Done") < text.index("\x1b[1;31mFailed\x1b[0m")
    assert "\x1b[1;31mApplied 1 of 3 changes: 2 failed.\x1b[0m\n" in text


def test_a_key_is_called_by_its_address_or_by_the_name_it_has() -> None:
    moved = rename(declared("ci/new"), live(4, "old"))
    stray = replace(_delete(5), address=None, live=live(5, "my laptop"))
    text = render_result(ApplyResult((Outcome(moved, Status.DONE), Outcome(stray, Status.DONE))), color=False)

    assert text.startswith('Done\n  → rename  ci/new\n  - DELETE  "my laptop"\n')


def test_a_short_result_lists_only_what_has_something_to_say() -> None:
    outcomes = (
        Outcome(CREATE, Status.DONE, key_id=57),
        Outcome(UPDATE, Status.DONE, "was changed already"),
        Outcome(_delete(1), Status.FAILED, "no"),
    )
    text = render_result(ApplyResult(outcomes, remaining=plan()), color=False, verbose=False)

    assert text.startswith("Done\n  ~ update  ci/api  was changed already\n\nFailed\n  - DELETE  ci/k1   no\n\n")
    assert "Applied 2 of 3 changes: 1 failed.\n" in text


def test_an_unmanaged_key_is_listed_by_its_id_where_it_has_one() -> None:
    text = render_plan(plan(unmanaged=(live(7, "demo"), live(-1, "staging/api"))), color=False, verbose=True)

    assert "  · id  7        demo\n  · id  unknown  staging/api\n" in text


def _creates(count: int) -> list[Create]:
    return [Create(declared(f"ci/k{number}", "1", source=at(9))) for number in range(count)]


def test_a_long_plan_is_counted_by_environment_and_names_what_is_taken() -> None:
    retiring = [action for action in full_plan().actions if isinstance(action, Retire)]
    long = plan(*_creates(41), _delete(100), *retiring)
    shown = render_plan(long, color=False, width=80, full=False)
    assert "ci: 41 to create, 1 to delete\n" in shown
    assert shown.count("+ create") == 0
    assert (shown.count("- DELETE"), shown.count("- retire")) == (1, len(retiring))
    assert "--full" in shown


@pytest.mark.parametrize(("places", "named"), [(1, 1), (10, 10), (41, 10)])
def test_a_long_plan_names_where_secrets_go_for_each_environment(places: int, named: int) -> None:
    targets = [Target("here", "dotenv", (("path", f"{number}.env"),)) for number in range(places)]
    creates = [
        Create(replace(each.declared, deliver=(Delivery(targets[number % places], "KEY", at(9)),)))
        for number, each in enumerate(_creates(41))
    ]
    _, text = render_plan(plan(*creates), color=False, width=80, full=False).split("ci: 41 to create\n")
    lines = text.splitlines()
    assert [line.startswith("  secret → here: dotenv, path ") for line in lines[: named + 1]] == [True] * named + [
        False
    ]
    assert lines[named] == (f"  and {places - named} more places" if places > named else "")


@pytest.mark.parametrize(("count", "listed"), [(20, 20), (21, 0)])
def test_of_a_long_plan_a_list_of_what_is_taken_is_not_long_either(count: int, listed: int) -> None:
    long = plan(*_creates(41), *map(_delete, range(count)))
    assert render_plan(long, color=False, width=80, full=False).count("- DELETE") == listed


@pytest.mark.parametrize(("count", "full"), [(40, False), (41, True)])
def test_a_plan_that_is_not_long_or_asked_for_is_shown_whole(count: int, *, full: bool) -> None:
    assert render_plan(plan(*_creates(count)), color=False, width=80, full=full).count("+ create") == count
