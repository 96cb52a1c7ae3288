from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import UsageError
from reconciler.planning.actions import Options
from reconciler.planning.planfile import moved, options_document, read_saved_plan
from support.builders import address

OPTIONS = Options(
    rotate=frozenset({address("ci/b"), address("ci/a")}),
    overlap=False,
    allow=("ci/*",),
    environments=frozenset({"ci"}),
    only=("*/a", "*/b"),
)


def document(**fields: Any) -> dict[str, Any]:
    base = {"format_version": 1, "digest": "sha256:00", "changes": [], "findings": []}
    return {**base, "options": options_document(OPTIONS), **fields}


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
def test_anything_else_is_not_taken_for_a_plan(content: bytes) -> None:
    with pytest.raises(
        UsageError, match=r"^plan\.json is not a plan; make one with `reconciler plan --out plan\.json`$"
    ):
        read_saved_plan(content, "plan.json")


def test_a_plan_of_another_version_says_so() -> None:
    with pytest.raises(UsageError, match="another version"):
        read_saved_plan(json.dumps(document(format_version=2)).encode(), "plan.json")


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


def test_no_limit_is_told_as_null() -> None:
    assert moved([], [change(after={"credit_limit": None})])[0].endswith("credit_limit 5 → null")
