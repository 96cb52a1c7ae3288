from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.planning.actions import ActionKind, ApplyResult
from reconciler.planning.planfile import plan_document, result_document
from reconciler.render.escape import terminal, terminal_name, to_json
from reconciler.render.text import render_plan, render_result
from support import plans
from support.search import examples

if TYPE_CHECKING:
    from reconciler.planning.actions import Plan

DIGEST = "sha256:" + "0" * 64
EXAMPLES = settings(max_examples=examples(60))
anything = st.text(st.characters(codec=None))
# Near misses: the characters that escaping itself uses, and those it exists for.
tricky = st.text(st.sampled_from("\\x1bu20e\x1b\u202e\n n\"':#[ "), max_size=12)


@cache
def validator() -> Draft202012Validator:
    schema = Path(__file__).parents[2] / "schemas" / "plan.schema.json"
    return Draft202012Validator(json.loads(schema.read_text()), format_checker=Draft202012Validator.FORMAT_CHECKER)


@EXAMPLES
@given(plans.plans)
def test_every_plan_document_follows_the_schema(plan: Plan) -> None:
    document: Any = json.loads(to_json(plan_document(plan, DIGEST)))

    assert list(validator().iter_errors(document)) == []
    assert sum(document["summary"][kind] for kind in ActionKind) == len(document["changes"])


@EXAMPLES
@given(plans.plans | plans.results)
def test_writing_a_document_loses_nothing(value: Plan | ApplyResult) -> None:
    document = result_document(value) if isinstance(value, ApplyResult) else plan_document(value, DIGEST)

    assert json.loads(to_json(document)) == document


@EXAMPLES
@given(plans.plans, st.booleans(), st.none() | st.integers(0, 120))
def test_colour_only_adds_colour(plan: Plan, verbose: bool, width: int | None) -> None:  # noqa: FBT001  # drawn
    plain = render_plan(plan, color=False, verbose=verbose, width=width)
    colored = render_plan(plan, color=True, verbose=verbose, width=width)

    assert "\x1b" not in plain
    assert _without_codes(colored) == plain


@EXAMPLES
@given(plans.results)
def test_a_result_says_how_many_changes_there_were(result: ApplyResult) -> None:
    text = render_result(result, color=False)

    assert _without_codes(render_result(result, color=True)) == text
    assert (f"{len(result.outcomes)} change" in text) == bool(result.outcomes)


@EXAMPLES
@given(anything | tricky)
def test_escaped_text_is_printable_and_says_exactly_what_was_there(text: str) -> None:
    shown = terminal(text)

    assert shown.isprintable()
    assert _unescaped(shown) == text


@EXAMPLES
@given(anything | tricky, anything | tricky)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (terminal_name(one) == terminal_name(other)) == (one == other)


@EXAMPLES
@given(st.text(st.characters(categories=["L", "Nd"], codec="utf-8", exclude_characters="\u115f\u1160\u3164\uffa0")))
def test_letters_of_any_script_stay_as_they_are(text: str) -> None:
    assert terminal(text) == text


def _unescaped(shown: str) -> str:
    def original(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        return chr(int(code, 16)) if code else {"n": "\n", "r": "\r", "t": "\t"}.get(found[4], found[4])

    return re.sub(r"\\(?:x(..)|u(.{4})|U(.{8})|(.))", original, shown)


def _without_codes(text: str) -> str:
    for code in ("0", "1", "2", "31", "32", "33", "36", "1;31"):
        text = text.replace(f"\x1b[{code}m", "")
    return text
