"""What every renderer keeps to, whatever the names in the account and the file are."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.planning.planfile import plan_document, result_document
from reconciler.render import github, markdown
from reconciler.render.escape import terminal, terminal_name, to_json
from reconciler.render.text import render_plan, render_result
from support.annotations import commands
from support.gfm import Page
from support.plans import diagnostics_with, plan_with, result_with

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = {
    "terminal escape": "\x1b[2J\x1b]0;owned\x07",
    "eight-bit escape": "\x9b2Ja",
    "newline": "a\nPlan: 0 to delete.",
    "carriage return": "a\rb",
    "line separator": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "tab and backspace": "a\tb\x08c",
    "null and delete": "a\x00b\x7f",
    "right-to-left override": "\u202egnp.exe",
    "isolates": "\u2066a\u2069",
    "zero width": "a\u200bb\u200dc\ufeffd",
    "invisible letters": "a\u3164b\u115fc\u2800d",
    "variation selector": "a\ufe0fb\U000e0101",
    "tag characters": "a\U000e0041\U000e007f",
    "spaces that look like one": "a\u00a0b\u3000c\u2003d",
    "lone surrogate": "a\ud800b\udce9",
    "private use and unassigned": "a\ue000b\U0010ffff\u0378",
    "workflow command": "::add-mask::a",
    "workflow command after a space": "a ::error::b ::warning::c",
    "old workflow command": "##[group]a",
    "backslashes": "a\\x1b\\n\\\\",
    "quotes": '"a\' "b" `c`',
    "workflow command of old": "::set-output name=a::b",
    "encoded line end": "a%0A::error::b%0D%25,title=c",
    "markup": "<script>alert(1)</script>|**b**|[c](javascript:d)",
    "pipes": "|a||b| \\| c\\\\|d |",
    "row of a table": "a |\n| --- | --- |\n| `-` **DELETE** | `b` |",
    "backticks": "`a` ``b`` ```c ` ",
    "backtick": "`",
    "backtick after a backslash": "\\` <b> \\",
    "fence": "```\na\n```",
    "link": "[a](https://example.com) [b][c] [c]: https://example.com",
    "image": "![a](https://example.com/a.png)",
    "bare links": "https://example.com www.example.com a@example.com <https://example.com> mailto:a@example.com",
    "mentions": "@octocat cc @acme/security",
    "references": "#123 GH-123 acme/api#1 deadbeef deadbeef0123 ABC-12 CVE-2024-3094",
    "closing details": "</details></table><b>a",
    "comment marker": "<!-- reconciler --> <!--a",
    "other HTML": "<?php ?> <!DOCTYPE a> <![CDATA[b]]> <img src=x onerror=c> &lt;i&gt; &#64;d",
    "emoji, formula and footnote": ":tada: $a$ $`b`$ [^1] ~~c~~ __d__ ~e~",
    "headings and quotes": "# a\n> b\n- c\n\n---",
    "alert": "> [!CAUTION]",
    "arrows of our own": "a → $5, id 7",
    "blank": " ",
    "wide": "漢字かな",
    "long": "n" * 255,
}

DIGEST = "sha256:" + "0" * 64

# A renderer, how it is asked for a text, and what it writes for a person or for a program.
PEOPLE: dict[str, Callable[[str], str]] = {
    "plan as text": lambda text: render_plan(plan_with(text), color=False, verbose=True),
    "plan as narrow text": lambda text: render_plan(plan_with(text), color=False, verbose=True, width=1),
    "plan as coloured text": lambda text: _plain(render_plan(plan_with(text), color=True, verbose=True)),
    "result as text": lambda text: render_result(result_with(text), color=False),
    "result as coloured text": lambda text: _plain(render_result(result_with(text), color=True)),
    "plan as Markdown": lambda text: markdown.render_plan(plan_with(text), digest=DIGEST),
    "result as Markdown": lambda text: markdown.render_result(result_with(text)),
    "plan as annotations": lambda text: github.annotate_plan(plan_with(text)),
    "diagnostics as annotations": lambda text: github.render_diagnostics(diagnostics_with(text)),
}
MARKDOWN = ["plan as Markdown", "result as Markdown"]
ANNOTATIONS = ["plan as annotations", "diagnostics as annotations"]
ONE_HEADLINE_EACH = {"plan as text", "plan as coloured text", "result as text", *MARKDOWN, *ANNOTATIONS}
OURS = {"h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "br", "code", "details", "summary", "sub"}
PROGRAMS: dict[str, Callable[[str], str]] = {
    "plan as JSON": lambda text: to_json(plan_document(plan_with(text), DIGEST)),
    "result as JSON": lambda text: to_json(result_document(result_with(text))),
}

hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())


@functools.cache
def rendered(text: str) -> dict[str, str]:
    """Render a text by every renderer, once for all that is asserted about it."""
    return {name: render(text) for name, render in (PEOPLE | PROGRAMS).items()}


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[(0|1|2|31|32|33|36|1;31)m", "", text)


def _in_code(shown: str) -> str:
    """Say how a text looks in Markdown, which breaks up the start of a comment on top of what a terminal needs."""
    return shown.replace("<!--", "<\\!--")


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {string for element in value.values() for string in _strings(element)}
    if isinstance(value, list):
        return {string for element in value for string in _strings(element)}
    return {value} if isinstance(value, str) else set()


def _headlines(output: str) -> int:
    return sum(not line.startswith(" ") for line in output.split("\n"))


@hostile
def test_what_people_read_shows_a_text_as_it_is_and_obeys_none(text: str) -> None:
    for name in PEOPLE:
        output = rendered(text)[name]

        # Nothing invisible or active reaches a screen.
        for line in output.removesuffix("\n").split("\n"):
            unseen = [each for each in line if each != " " and unicodedata.category(each)[0] in "CZ"]
            assert not unseen, (name, ascii(line))

        # It can be encoded and ends with one newline.
        assert output.encode().decode() == output, name
        assert output.endswith("\n"), name
        assert not output.endswith("\n\n"), name
        assert not [line for line in output.split("\n") if line != line.rstrip() and not text.endswith(" ")], name

        # A text cannot pretend to be a line of ours.
        if name in ONE_HEADLINE_EACH:
            assert _headlines(output) == _headlines(rendered("plain")[name]), name

        # No line is a command to a build log, unless it is an annotation.
        if name not in ANNOTATIONS:
            assert not [line for line in output.splitlines() if line.strip().startswith("::")], name
        assert "##[" not in output, name


@hostile
@pytest.mark.parametrize("renderer", ANNOTATIONS)
def test_annotations_are_the_only_commands_and_say_what_was_there(renderer: str, text: str) -> None:
    found = commands(rendered(text)[renderer])

    assert len(found) == len(commands(rendered("plain")[renderer]))
    assert {command.name for command in found} <= {"error", "warning", "notice"}
    assert {name for command in found for name in command.properties} == {"file", "line", "title"}
    assert {command.properties["file"] for command in found if "file" in command.properties} == {terminal(text).strip()}
    assert terminal(text) in {command.message for command in found}


@hostile
def test_a_page_has_only_our_elements_keeps_its_columns_and_shows_what_was_there(text: str) -> None:
    pages = {name: Page(rendered(text)[name]) for name in MARKDOWN}
    for name, page in pages.items():
        assert page.tags <= OURS, name
        assert not [*page.attributes, *page.comments, *page.active], name
        assert "<!--" not in rendered(text)[name], name

    findings, changes, details = pages["plan as Markdown"].tables
    shown, about = _in_code(terminal_name(text)), _in_code(terminal_name(f"{text}/{text}"))
    place = _in_code(f"{terminal(text)}:3")
    assert [(row[1], row[3]) for row in findings[1:]] == [
        (about, f"{shown}, {place}"),
        ("account", "rule"),
        (about, f"{shown}, {place}"),
    ]
    assert {len(row) for row in findings} == {4}
    assert {row[2] for row in findings[1:]} == {" ".join(_in_code(terminal(text)).split())}
    assert [row[1] for row in changes[1:]] == [about] * 8 + [shown]
    assert changes[3] == ["→ rename", about, f"name {shown} → {shown}"]
    assert {len(row) for row in changes} == {3}
    assert [row[2] for row in details[1:]] == [place] * 9
    assert f"secret → {shown} as {shown}: " in changes[1][2]


@hostile
def test_a_program_reads_back_exactly_what_was_there(text: str) -> None:
    for name in PROGRAMS:
        output = rendered(text)[name]

        assert output.isascii(), name
        assert output.endswith("}\n"), name
        assert text in _strings(json.loads(output)), name


@hostile
def test_the_same_value_gives_the_same_bytes(text: str) -> None:
    assert rendered.__wrapped__(text) == rendered(text)


def test_different_texts_look_different() -> None:
    texts = [*HOSTILE.values(), "plain", "\\x1b[2J", "\x1b[2J", "\\u202egnp.exe"]
    for name in PEOPLE:
        assert len({rendered(text)[name] for text in texts}) == len(texts), name
