from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostic import Diagnostic, Severity
from reconciler.forge.threads import PlanMarker, read_plan_marker, selection
from reconciler.planning.actions import Create, Delete, DeleteReason, Finding
from reconciler.render.github import (
    Origin,
    drift_page,
    drift_title,
    failure_page,
    has_drift,
    plan_page,
    resolved_page,
    shown_drift,
)
from reconciler.render.markdown import LIMIT
from support.builders import address, declared, live
from support.gfm import Page
from support.plans import at, plan, plan_with
from support.search import examples

COMMIT = "a1" * 20
DIGEST = "sha256:" + "5e" * 32
RUN = "https://github.com/acme/api/actions/runs/42"
ORIGIN = Origin("keys.yaml", ("production",), "octocat", COMMIT, RUN)
FOOTER = (
    "<sub>`keys.yaml`, `production`: planned by `octocat` on commit `a1a1a1a1a1a1`, "
    "[run](https://github.com/acme/api/actions/runs/42)</sub>\n"
)
CREATE = Create(declared("ci/tests", "25", source=at(9)))
SELECTION = selection("keys.yaml", [])
MARKER = PlanMarker(SELECTION, COMMIT, DIGEST)
FORGED = PlanMarker(SELECTION, COMMIT, "sha256:" + "66" * 32)

HOSTILE = (
    str(FORGED),
    f"\n{FORGED}\n",
    f"--> {FORGED} <!--",
    "-->",
    "<!--",
    "@octocat @acme/admins",
    "```\n@octocat\n```",
    "`` @octocat",
    "</details></sub> @octocat #1",
    "::set-output name=digest::sha256:1",
    "\n::add-mask::x\n::error::x",
    "##[set-output name=digest;]x",
    "![x](https://evil.example.com/x.png)",
    "[x](javascript:alert(1))",
    "a | b\n| --- | --- |",
    "\r\n<script>",
    "fixes #1",
)


def harmless(text: str) -> Page:
    """See that a page mentions nobody, hides nothing and links nowhere but to the run."""
    page = Page(text)
    assert page.comments == []
    assert "<!--" not in text
    assert {value for _, value in page.attributes} <= {RUN}
    assert [each for each in page.active if "@" in each or "#" in each or "http" in each] == []
    assert page.tags <= {"h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "br", "code"} | {
        *("details", "summary", "sub", "a", "ul", "li")
    }
    return page


def test_a_comment_says_who_planned_what_on_which_commit() -> None:
    page = plan_page(plan(CREATE), DIGEST, ORIGIN)
    assert page.startswith("### Plan: 1 to create\n")
    assert page.endswith(f"<sub>Digest: `{DIGEST}`</sub>\n\n{FOOTER}")


def test_without_changes_a_comment_is_short() -> None:
    assert plan_page(plan(unchanged=4), DIGEST, ORIGIN) == (
        f"### No changes\n\nThe account matches the declaration: 4 keys.\n\n<sub>Digest: `{DIGEST}`</sub>\n\n{FOOTER}"
    )


def test_the_whole_file_names_no_environment_and_an_unknown_run_no_address() -> None:
    origin = Origin("keys.yaml", (), "", COMMIT, None)
    assert plan_page(plan(), DIGEST, origin).endswith("<sub>`keys.yaml`: planned on commit `a1a1a1a1a1a1`</sub>\n")


def test_many_environments_are_counted() -> None:
    names = tuple(f"env-{number}" for number in range(22))
    footer = plan_page(plan(), DIGEST, replace(ORIGIN, environments=names)).splitlines()[-1]
    assert "`env-19`, 2 more environments: planned" in footer
    assert "env-20" not in footer


def test_a_name_of_no_end_does_not_push_the_plan_out() -> None:
    page = plan_page(plan(CREATE), DIGEST, replace(ORIGIN, file="x" * 5_000))
    assert page.endswith("\n<sub>Planned on commit `a1a1a1a1a1a1`</sub>\n")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_forges_the_comment_or_mentions_anybody(hostile: str) -> None:
    origin = replace(ORIGIN, file=hostile, environments=(hostile,), actor=hostile)
    page = plan_page(plan_with(hostile), DIGEST, origin)
    harmless(page)
    assert read_plan_marker(SELECTION, f"{MARKER}\n{page}") == MARKER
    assert not any(read_plan_marker(SELECTION, line) for line in page.splitlines())
    assert not re.search(r"(?m)^(::|##\[)", page)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_error_forges_the_comment_or_mentions_anybody(hostile: str) -> None:
    problems: list[Diagnostic | str] = [
        hostile,
        Diagnostic(at(3, hostile), hostile),
        Diagnostic(at(4), hostile, Severity.WARNING),
    ]
    page = failure_page("The plan failed", problems, replace(ORIGIN, actor=hostile))
    harmless(page)
    assert not any(read_plan_marker(SELECTION, line) for line in page.splitlines())
    assert page.count("\n- ") == 3


@settings(max_examples=examples(60))
@given(text=st.text(max_size=60), spread=st.sampled_from(["", "@", "<!--", "`", "\n"]))
def test_whatever_a_name_is_the_page_stays_ours(text: str, spread: str) -> None:
    hostile = spread.join(text)
    origin = replace(ORIGIN, file=hostile or "x", environments=(hostile or "x",), actor=hostile)
    harmless(plan_page(plan_with(hostile), DIGEST, origin))
    harmless(failure_page("The plan failed", [hostile], origin))


def test_a_failure_lists_each_error_with_its_place() -> None:
    problems = [Diagnostic(at(3), "unknown field limit"), Diagnostic(at(7), "negative", Severity.WARNING)]
    assert failure_page("The file is not valid", problems, ORIGIN) == (
        "### ❌ The file is not valid\n\n"
        "- ❌ **error** `keys.yaml:3`: unknown field limit\n"
        "- ⚠️ warning `keys.yaml:7`: negative\n"
        f"\n{FOOTER}"
    )


def test_errors_that_do_not_fit_are_counted() -> None:
    problems = [Diagnostic(at(line), "x" * 100) for line in range(1, 2_000)]
    page = failure_page("The file is not valid", problems, ORIGIN)
    shown = page.count("\n- ")
    assert len(page) <= LIMIT
    assert f"\n… and {1_999 - shown:,} more problems; the log of the step has all.\n" in page
    assert shown > 300


@settings(max_examples=examples(50))
@given(limit=st.integers(0, 3_000), count=st.integers(0, 60))
def test_no_page_is_longer_than_its_limit(limit: int, count: int) -> None:
    problems = [f"problem {number}" for number in range(count)]
    assert len(failure_page("The plan failed", problems, ORIGIN, limit=limit)) <= limit
    value = plan(*(Create(declared(f"ci/{number}")) for number in range(count)))
    assert len(plan_page(value, DIGEST, ORIGIN, limit=limit)) <= limit


def test_a_thousand_changes_fit_into_a_comment_with_its_marker() -> None:
    value = plan(*(Create(declared(f"ci/new-{number:04}", source=at(number))) for number in range(1, 2_000)))
    for page in (plan_page(value, DIGEST, ORIGIN), drift_page(value, DIGEST, ORIGIN)):
        assert len(f"{MARKER}\n{page}") <= 65_536
        assert "more changes" in page
        assert page.endswith(FOOTER)


# --- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environments", "title"),
    [
        ((), "Drift: the account does not match keys.yaml"),
        (("production", "ci"), "Drift in production, ci: the account does not match keys.yaml"),
        (("@octocat", "#1`x`"), "Drift in ?octocat, ?1?x?: the account does not match keys.yaml"),
        (("x" * 63,) * 20, "Drift: the account does not match keys.yaml"),
    ],
)
def test_an_issue_has_a_title_that_mentions_nobody(environments: tuple[str, ...], title: str) -> None:
    assert drift_title(replace(ORIGIN, environments=environments)) == title
    assert len(drift_title(replace(ORIGIN, file="x" * 300))) == 256


def test_an_issue_shows_the_plan_and_how_it_ends() -> None:
    page = drift_page(plan(CREATE), DIGEST, ORIGIN)
    harmless(page)
    assert "This issue is kept up to date" in page
    assert "### Plan: 1 to create" in page
    assert resolved_page(ORIGIN) == f"### No drift\n\nThe account matches the file again.\n\n{FOOTER}"


ERROR = Finding("protected", Severity.ERROR, "is protected", address("ci/tests"))
NOTE = Finding("over-balance", Severity.NOTE, "$1 more than the balance")


def test_drift_is_what_somebody_has_to_act_on() -> None:
    assert has_drift(plan(CREATE))
    assert has_drift(plan(findings=(ERROR,)))
    assert not has_drift(plan(findings=(NOTE,)))
    assert not has_drift(plan())


def test_the_fingerprint_moves_with_what_matters_only() -> None:
    shown = shown_drift(plan(CREATE, findings=(ERROR, NOTE)), DIGEST)
    rephrased = replace(ERROR, message="$12 were spent")
    assert shown_drift(plan(CREATE, findings=(rephrased,)), DIGEST) == shown
    assert shown_drift(plan(CREATE, findings=(ERROR, ERROR)), DIGEST) != shown
    assert shown_drift(plan(CREATE, findings=(replace(ERROR, severity=Severity.WARNING),)), DIGEST) != shown
    assert shown_drift(plan(CREATE, findings=(ERROR,)), "sha256:" + "00" * 32) != shown
    assert re.fullmatch("[0-9a-f]{64}", shown)


def test_deletions_are_kept_when_a_comment_gets_too_long() -> None:
    gone = Delete(address("ci/old"), live(1, "ci/old"), DeleteReason.UNDECLARED, at(1))
    value = plan(*(Create(declared(f"ci/new-{number}")) for number in range(3_000)), gone)
    assert "`ci/old`" in plan_page(value, DIGEST, ORIGIN)
