from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from reconciler.diagnostic import Diagnostic, Location, Severity
from reconciler.model import Usage
from reconciler.planning.actions import Create, Delete, DeleteReason, Field, Finding
from reconciler.render.github import annotate_plan, render_diagnostics
from support.annotations import commands
from support.builders import address, declared, dotenv, live
from support.plans import at, full_plan, plan, retire, update

CREATE = Create(declared("ci/tests", "25", source=at(9)))
DELETE = Delete(address("ci/old"), live(7, "ci/old"), DeleteReason.UNDECLARED, at(4))
RETIRE = retire("ci/z", live(8, "ci/z"), at(4))
ERROR = Finding("credit-budget", Severity.ERROR, "100% is too much, really", address("ci/tests"), at(3, "a,b:c.yaml"))
WARNING = Finding("clock", Severity.WARNING, "off")
NOTE = Finding("unmanaged", Severity.NOTE, "1 key is not declared")


def _creates(count: int) -> list[Create]:
    return [Create(declared(f"ci/k{number}")) for number in range(count)]


def test_a_finding_is_an_annotation_at_its_place() -> None:
    assert annotate_plan(plan(findings=(ERROR, WARNING))) == (
        "::error file=a%2Cb%3Ac.yaml,line=3,title=credit-budget%3A ci/tests::100%25 is too much, really\n"
        "::warning title=clock%3A account::off\n"
        "Nothing is planned until the errors are resolved.\n"
    )


def test_a_change_is_an_annotation_with_all_its_lines_below_the_overview() -> None:
    assert annotate_plan(plan(CREATE, DELETE, RETIRE, unchanged=4)) == (
        "::warning title=Takes::deletes 1 key: ci/old; disables 1 key: ci/z\n"
        "::notice title=Gives::creates 1 key ($25 in all): ci/tests $25\n"
        "::notice title=Secrets go to::dotenv, path .secrets/test.env (1 secret)\n"
        "::warning file=keys.yaml,line=4,title=DELETE ci/old"
        "::no longer declared%0Aid 7, credit_limit $5, created 2026-11-22\n"
        "::warning file=keys.yaml,line=4,title=retire ci/z"
        "::no longer declared%0Adisabled now, can be restored for 7d, then deleted\n"
        "::notice file=keys.yaml,line=9,title=create ci/tests"
        "::credit_limit $25%0Asecret → local as NAGA_CI_TESTS: dotenv, path .secrets/test.env\n"
        "Plan: 1 to create, 1 to retire, 1 to delete; 4 unchanged.\n"
    )


def test_a_change_says_what_the_key_was_used_for_lately() -> None:
    *_, command = commands(annotate_plan(plan(DELETE, usage={7: Usage(30, Decimal("28.34"), 892)})))

    assert command.message.splitlines()[-1] == "892 requests, $28.34 in 30 days"


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (0, "Plan: 1 to create.\n"),
        (2, "Plan: 1 to create; 2 unchanged.\n"),
    ],
)
def test_the_last_line_sums_up_and_is_no_command(count: int, line: str) -> None:
    assert annotate_plan(plan(CREATE, unchanged=count)).splitlines(keepends=True)[-1] == line


def test_without_changes_there_is_one_line() -> None:
    text = "No changes. The account matches the declaration: 2 keys.\n"

    assert annotate_plan(plan(unchanged=2)) == text


def test_the_most_severe_stands_first() -> None:
    found = commands(annotate_plan(plan(CREATE, RETIRE, DELETE, findings=(NOTE, WARNING, ERROR))))

    assert [(command.name, command.properties["title"]) for command in found] == [
        ("warning", "Takes"),
        ("notice", "Gives"),
        ("notice", "Secrets go to"),
        ("error", "credit-budget: ci/tests"),
        ("warning", "DELETE ci/old"),
        ("warning", "clock: account"),
        ("warning", "retire ci/z"),
        ("notice", "create ci/tests"),
        ("notice", "unmanaged: account"),
    ]


def test_every_kind_of_change_is_annotated() -> None:
    everything = full_plan()  # a step shows ten notices: one of two creations is left out
    shown = plan(*everything.actions[1:], findings=everything.findings)
    titles = {command.properties["title"] for command in commands(annotate_plan(shown))}

    assert {
        "create ci/tests",
        "update production/api",
        "renew production/reports",
        "rename production/search",
        "rotate staging/search",
        "finish staging/api",
        "retire staging/demo",
        "restore staging/batch",
        "DELETE production/legacy",
        'DELETE "someone\'s laptop"',
    } <= titles


def test_ten_of_a_kind_are_all_shown() -> None:
    found = commands(annotate_plan(plan(*_creates(7))))

    names = [f"create ci/k{number}" for number in range(7)]
    assert [command.properties["title"] for command in found] == ["Takes", "Gives", "Secrets go to", *names]


def test_of_more_than_ten_the_tenth_counts_the_rest() -> None:
    found = commands(annotate_plan(plan(*_creates(1_500), *[DELETE] * 11, findings=(ERROR,) * 20)))

    assert Counter(command.name for command in found) == {"error": 10, "warning": 10, "notice": 10}
    counted = [command for command in found if command.properties["title"].startswith("…")]
    assert [command.properties["title"] for command in counted] == [
        "… and 11 more errors",
        "… and 3 more warnings",
        "… and 1,493 more notices",
    ]
    assert "file" not in counted[0].properties
    assert counted[0].message == "GitHub shows at most 10 of a kind for a step; the log of the step has the rest."


def test_what_github_would_not_show_stands_in_the_log_as_plain_lines() -> None:
    log = annotate_plan(plan(findings=(ERROR,) * 12)).splitlines()
    plain = [line for line in log if line.startswith("error: ")]
    assert len(plain) == 3
    assert ERROR.message in plain[0]


def test_a_place_in_an_earlier_revision_is_no_place_in_the_pull_request() -> None:
    (command,) = commands(annotate_plan(plan(findings=(replace(ERROR, source=Location("git:HEAD:a.yaml", 3, 1)),))))
    assert "file" not in command.properties


def test_a_deletion_is_not_crowded_out_by_warnings() -> None:
    found = commands(annotate_plan(plan(DELETE, findings=(WARNING,) * 20)))

    assert [command.properties["title"] for command in found[:3]] == ["Takes", "Gives", "DELETE ci/old"]


def test_a_new_place_is_not_crowded_out_by_harmless_changes() -> None:
    new = replace(CREATE.declared, deliver=(replace(dotenv("elsewhere.env"), new=True),))
    found = commands(annotate_plan(plan(*_creates(20), Create(new), *[DELETE] * 20)))

    assert [(command.name, command.properties["title"]) for command in found[:3]] == [
        ("warning", "Takes"),
        ("warning", "Gives"),
        ("notice", "Secrets go to"),
    ]
    assert found[1].message.startswith("1 new place: dotenv, path elsewhere.env (ci/tests); ")
    assert next(command for command in found[3:] if command.name == "notice").properties["title"] == "create ci/tests"


def test_a_limit_that_goes_is_a_warning() -> None:
    change = update(declared("ci/a", None), live(1, "ci/a"), Field.CREDIT_LIMIT)
    gives = commands(annotate_plan(plan(change)))[1]
    assert (gives.name, gives.message) == ("warning", "removes 1 limit: ci/a $5 → no limit")


# --- what is wrong with a declaration ---------------------------------------------------------------------------------


def test_no_diagnostic_makes_no_line() -> None:
    assert render_diagnostics([]) == ""


def test_a_diagnostic_is_an_annotation_at_its_place() -> None:
    diagnostics = [
        Diagnostic(at(9, "teams/b.yaml"), "unused", Severity.WARNING),
        Diagnostic(at(3), "credit_limit must be a number of USD or null,\nnot the text '5O0'"),
    ]

    assert render_diagnostics(diagnostics) == (
        "::error file=keys.yaml,line=3,title=declaration"
        "::credit_limit must be a number of USD or null,\\nnot the text '5O0'\n"
        "::warning file=teams/b.yaml,line=9,title=declaration::unused\n"
    )


def test_diagnostics_keep_their_order_and_the_limit() -> None:
    found = commands(render_diagnostics(Diagnostic(at(line), "no") for line in range(1, 31)))

    assert [command.properties.get("line") for command in found] == [*"123456789", None]
    assert found[-1].properties["title"] == "… and 21 more errors"
