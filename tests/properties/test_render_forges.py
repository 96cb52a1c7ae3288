"""What code forges get to see, for whatever names there are: pages in Markdown and workflow commands."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostic import Severity
from reconciler.planning.actions import Delete
from reconciler.render import github, markdown
from reconciler.render.escape import markdown as sentence
from reconciler.render.escape import markdown_name, terminal, terminal_name, workflow_data, workflow_property
from support import plans
from support.annotations import commands
from support.gfm import Page
from support.search import examples

if TYPE_CHECKING:
    from reconciler.planning.actions import ApplyResult, Plan

DIGEST = "sha256:" + "0" * 64
EXAMPLES = settings(max_examples=examples(60))
OURS = {"h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "br", "code", "details", "summary", "sub"}

OVERVIEW = ("Lifted by --allow", "Takes", "Gives", "Secrets go to")

# What Markdown, HTML, a forge or a runner gives a meaning, in any order and next to anything.
MARKUP = (
    *"`|*_~[]()<>!#@:$\\^&;=+-./'\"%, \n\r\t0a1",
    *("``", "```", "\\|", "\\`", "<!--", "-->", "<b>", "</details>", "<a href='b'>", "&lt;", "&#124;", "| --- |"),
    *("@octocat", "#12", "GH-1", "acme/api#1", "deadbeef", "ABC-1", ":tada:", "$a$", "[^1]", "[a](b)", "![a](b)"),
    *("https://a.bc", "www.a.bc", "a@b.cd", "<https://a.bc>", "mailto:a@b.cd", "- ", "> ", "# ", "1. ", "---"),
    *("::", "::error::", "##[", "%0A", "%25", "\u202e", "\u200b", "\x1b[2J", "\udce9", "word", "two words "),
)
marked = st.lists(st.sampled_from(MARKUP) | st.characters(codec=None), max_size=10).map("".join)


def _harmless(text: str) -> Page:
    page = Page(text)
    assert page.tags <= OURS
    assert not [*page.attributes, *page.comments, *page.active]
    assert "<!--" not in text
    return page


def _seen(shown: str) -> str:
    return shown.replace("<!--", "<\\!--")


@EXAMPLES
@given(marked, marked)
def test_a_name_and_a_sentence_stay_in_their_cells_and_can_be_read(name: str, message: str) -> None:
    text = f"| a | b | c |\n| --- | --- | --- |\n| {markdown_name(name)} | {sentence(message)} | end |\n"
    (table,) = _harmless(text).tables

    assert table[1] == [_seen(terminal_name(name)), _seen(" ".join(terminal(message).split())), "end"]


@EXAMPLES
@given(marked)
def test_no_text_adds_anything_to_a_page_of_ours(text: str) -> None:
    page = _harmless(markdown.render_plan(plans.plan_with(text), digest=DIGEST))
    plain = Page(markdown.render_plan(plans.plan_with("a"), digest=DIGEST))

    assert [[len(row) for row in table] for table in page.tables] == [
        [len(row) for row in table] for table in plain.tables
    ]
    assert [row[0] for row in page.tables[1]] == [row[0] for row in plain.tables[1]]
    _harmless(markdown.render_result(plans.result_with(text)))


@EXAMPLES
@given(plans.plans, st.integers(0, 6_000))
def test_a_plan_is_never_longer_than_its_limit_and_accounts_for_everything(plan: Plan, limit: int) -> None:
    text = markdown.render_plan(plan, digest=DIGEST, limit=limit)

    assert len(text) <= limit
    if DIGEST in text:
        shown = Counter({table[0][0]: len(table) - 1 for table in _harmless(text).tables})
        assert shown["Finding"] + _left_out(text, "finding") == len(plan.findings)
        assert shown["Change"] + _left_out(text, "change") == len(plan.actions)
        assert shown["Change"] == shown["Key"]


@EXAMPLES
@given(plans.results, st.integers(0, 6_000))
def test_a_result_is_never_longer_than_its_limit(result: ApplyResult, limit: int) -> None:
    text = markdown.render_result(result, limit=limit)

    assert len(text) <= limit
    _harmless(text)


@EXAMPLES
@given(plans.plans)
def test_a_plan_that_fits_is_shown_whole(plan: Plan) -> None:
    text = markdown.render_plan(plan, digest=DIGEST, limit=10**6)

    assert "more" not in text.partition("|")[0]
    assert _left_out(text, "finding") == _left_out(text, "change") == 0


@EXAMPLES
@given(marked)
def test_a_runner_reads_back_exactly_what_was_encoded(text: str) -> None:
    shown = terminal(text)
    (command,) = commands(f"::notice title={workflow_property(shown)},a=b::{workflow_data(shown)}")

    assert command.name == "notice"
    # The runner trims a property, as GitHub shows no difference there.
    assert command.properties == {"title": shown.rstrip(), "a": "b"}
    assert command.message == shown


@EXAMPLES
@given(plans.plans, st.integers(1, 30))
def test_a_step_has_at_most_ten_annotations_of_a_kind(plan: Plan, times: int) -> None:
    many = plans.plan(*plan.actions * times, findings=plan.findings * times)
    found = commands(github.annotate_plan(many))
    counts = Counter(command.name for command in found)

    assert max(counts.values(), default=0) <= 10
    assert set(counts) <= {"error", "warning", "notice"}
    assert counts["error"] == min(10, len(many.errors))
    of_all = [command for command in found if command.properties["title"] in OVERVIEW]
    assert found[: len(of_all)] == of_all
    rest = [command.name for command in found[len(of_all) :]]
    assert rest == sorted(rest, key=["error", "warning", "notice"].index)
    deletions = sum(isinstance(action, Delete) for action in many.actions)
    shown = sum(command.properties["title"].startswith("DELETE ") for command in found)
    warnings = [finding for finding in many.findings if finding.severity is Severity.WARNING]
    loud = sum(command.name == "warning" for command in of_all)
    assert shown >= min(9 - loud, deletions), (deletions, len(warnings))


def _left_out(text: str, noun: str) -> int:
    found = re.search(rf"^… and ([\d,]+) more {noun}", text, re.MULTILINE)
    return int(found[1].replace(",", "")) if found else 0
