from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StalePlan, UsageError
from reconciler.planning.actions import Options, Plan
from reconciler.planning.planfile import moved, options_document, plan_document, read_saved_plan, with_checksum
from reconciler.render.escape import to_json
from support.builders import address
from support.plans import full_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPTIONS = Options(
    rotate=frozenset({address("ci/b"), address("ci/a")}),
    overlap=False,
    allow=("ci/*",),
    environments=frozenset({"ci"}),
    only=("*/a", "*/b"),
)


def document(**fields: Any) -> dict[str, Any]:
    base = {"format_version": 1, "digest": "sha256:00", "changes": [], "findings": []}
    return with_checksum({**base, "options": options_document(OPTIONS), **fields})


def test_a_saved_plan_brings_back_its_digest_and_what_was_asked_for() -> None:
    saved = read_saved_plan(json.dumps(document(changes=[{"action": "create"}])).encode(), "plan.json")
    assert (saved.digest, saved.options, saved.changes) == ("sha256:00", OPTIONS, ({"action": "create"},))
    assert saved.errors == 0


def test_a_saved_plan_remembers_how_many_findings_forbade_it() -> None:
    findings = [{"severity": severity} for severity in ("error", "warning", "note", "error")]
    assert read_saved_plan(json.dumps(document(findings=findings)).encode(), "plan.json").errors == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        json.dumps({"format_version": 1, "digest": "of something else"}).encode(),
    ],
)
def test_anything_else_is_not_taken_for_a_plan(content: bytes) -> None:
    with pytest.raises(
        UsageError, match=r"^plan\.json is not a plan; make one with `reconciler plan --out plan\.json`$"
    ):
        read_saved_plan(content, "plan.json")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(document(options=None)).encode(),
        json.dumps(document(options={})).encode(),
        json.dumps(document(changes=None)).encode(),
        json.dumps(document(changes=["text"])).encode(),
        json.dumps(document(findings=[{}])).encode(),
        json.dumps(document(options={**options_document(OPTIONS), "rotate": ["ci"]})).encode(),
        json.dumps(document(options={**options_document(OPTIONS), "allow": "ci/*"})).encode(),
        json.dumps(document(options={**options_document(OPTIONS), "only": [1]})).encode(),
    ],
)
def test_a_plan_that_somebody_made_up_is_refused_as_one_that_was_edited(content: bytes) -> None:
    with pytest.raises(StalePlan):
        read_saved_plan(content, "plan.json")


def test_a_plan_of_another_version_says_so() -> None:
    with pytest.raises(UsageError, match="another version"):
        read_saved_plan(json.dumps(document(format_version=2)).encode(), "plan.json")


def edits(value: Any) -> Iterator[Any]:
    """Give every document that differs from this one in one thing: a value, a name, something more or less."""
    match value:
        case dict():
            for name, each in value.items():
                rest = {other: value[other] for other in value if other != name}
                yield rest
                yield {**rest, f"{name}s": each}
                yield from ({**value, name: edited} for edited in edits(each))
            yield {**value, "more": 1}
        case list():
            yield [*value, None]
            for index, each in enumerate(value):
                yield [*value[:index], *value[index + 1 :]]
                yield from ([*value[:index], edited, *value[index + 1 :]] for edited in edits(each))
        case bool() | None:
            yield str(value)
            yield not value
        case int():
            yield value + 1
            yield float(value)
        case _:
            yield f"{value}x"
            yield None


def test_a_plan_that_was_edited_anywhere_is_refused() -> None:
    whole = full_plan()
    plan = Plan((replace(whole.accounts[0], actions=whole.actions[1:4]),), whole.findings)
    written = json.loads(to_json(plan_document(plan, "sha256:" + "5e" * 32)))
    assert read_saved_plan(json.dumps(written, indent=1).encode(), "plan.json").errors == 1, "another layout is no edit"
    edited = [json.dumps(each).encode() for each in edits(written)]
    assert len(edited) > 300
    for each in edited:
        with pytest.raises(StalePlan):
            read_saved_plan(each, "plan.json")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[:-2], id="cut off"),
        pytest.param(lambda text: text.replace('"options"', '"findings": [], "options"'), id="a field twice"),
        pytest.param(lambda text: text + "{}", id="something after it"),
    ],
)
def test_a_plan_that_is_broken_is_refused_as_one_that_was_edited(spoil: Callable[[str], str]) -> None:
    text = to_json(plan_document(full_plan(), "sha256:" + "5e" * 32))
    with pytest.raises(StalePlan, match=r"^plan\.json is not as this version of reconciler wrote it"):
        read_saved_plan(spoil(text).encode(), "plan.json")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with pytest.raises(UsageError):
        read_saved_plan(content, "plan.json")


def change(**fields: Any) -> dict[str, Any]:
    state = {"name": "ci/a", "is_enabled": True, "credit_limit": "5", "expires_at": None}
    base = {"action": "update", "address": "ci/a", "key_id": 7, "fields": ["credit_limit"]}
    return {**base, "before": state, "after": {**state, "credit_limit": "6"}, **fields}


def test_what_moved_is_told_both_ways() -> None:
    assert moved([change()], [change(before={"credit_limit": "4"})]) == (
        "was planned, and is not any more: update ci/a (key 7): credit_limit 5 → 6",
        "is planned now, and was not: update ci/a (key 7): credit_limit 4 → 6",
    )


def test_what_stayed_is_not_told() -> None:
    created = change(action="create", key_id=None, fields=[], before=None)
    removed = change(action="delete", address=None, fields=[], after=None)
    assert moved([change(), created], [created, change(), removed]) == (
        "is planned now, and was not: delete ci/a (key 7)",
    )


def test_what_a_change_of_the_same_words_does_otherwise_is_told() -> None:
    there = {"type": "dotenv", "settings": {"path": "a.env"}, "name": "KEY"}
    planned = change(action="create", key_id=None, fields=[], deliveries=[there], source={"line": 3}, spend=None)
    elsewhere = {**there, "settings": {"path": "b.env", "outside": True}}
    same = {**planned, "source": {"line": 9}, "spend": {"cost": "1"}}
    assert moved([planned], [same]) == ()
    assert moved([planned], [{**same, "deliveries": [elsewhere, there]}]) == (
        "create ci/a: deliveries 0 settings outside was nothing, is true",
        "create ci/a: deliveries 0 settings path was a.env, is b.env",
        f"create ci/a: deliveries 1 was nothing, is {json.dumps(there)}",
    )


def test_no_limit_is_told_as_null() -> None:
    assert moved([], [change(after={"credit_limit": None})])[0].endswith("credit_limit 5 → null")
