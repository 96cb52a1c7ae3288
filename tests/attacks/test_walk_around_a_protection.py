"""Goal: take a protected or busy key from its users by a change that no guardrail calls by its name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.spending import spend

if TYPE_CHECKING:
    from support.command import Front

FILE = """\
version: 1
destinations: {{local: {{type: dotenv, path: secrets.env}}}}
guardrails: {{protect_active: 30d}}
environments:
  production:
    {rails}
    deliver: [{{to: local, as: "P_{{KEY}}"}}]
    keys: {keys}
  ci:
    deliver: [{{to: local, as: "CI_{{KEY}}"}}]
    keys: {more}
"""
PROTECTED = "protected: true"


def declare(front: Front, keys: str, more: str = "{}", rails: str = PROTECTED) -> None:
    front.write(FILE.format(keys=keys, more=more, rails=rails))


def busy(front: Front, name: str, **fields: Any) -> int:
    """Create a key that was used lately."""
    key, _ = front.state.create_key(name, Decimal(5))
    spend(front.state, key.id, 1)
    if fields:
        front.state.update_key(key.id, **fields)
    return key.id


def rules(front: Front, *words: str) -> set[str]:
    document = front("plan", "--format", "json", *words).document
    return {each["rule"] for each in document["findings"] if each["severity"] == "error"}


def soon() -> str:
    return (datetime.now(UTC) + timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("rails", [PROTECTED, "deletion_grace: 7d"], ids=["protected", "in use only"])
@pytest.mark.parametrize(
    "how",
    [
        pytest.param("expires_at: {soon}", id="it expires in 90 seconds"),
        pytest.param("rotate_every: 1d, rotation_overlap: 1s", id="it is rotated with an overlap of a second"),
        pytest.param("rotate_every: 1d, rotation_overlap: 59m", id="it is rotated with an overlap below an hour"),
        pytest.param("rotate_every: 1d, is_enabled: false", id="it is rotated and disabled"),
    ],
)
def test_a_key_in_use_is_not_ended_by_another_name(front: Front, how: str, rails: str) -> None:
    busy(front, "production/api")
    front.state.travel(timedelta(days=2))
    declare(front, f"{{api: {{credit_limit: 5, {how.format(soon=soon())}}}}}", rails=rails)
    found = rules(front)
    assert "protect-active" in found
    assert ("protected" in found) == (rails == PROTECTED)
    before = front.state.keys()
    assert front("apply", "--auto-approve").code == 3
    assert front.state.keys() == before


@pytest.mark.parametrize("claim", ["renamed_from: [production/api]", "id: 1"])
def test_a_protected_key_is_not_moved_to_where_nothing_protects_it(front: Front, claim: str) -> None:
    busy(front, "production/api")
    declare(front, "{}", f"{{taken: {{credit_limit: 5, {claim}}}}}")
    assert "protected" in rules(front)
    assert front("apply", "--auto-approve").code == 3
    assert front.names() == ["production/api"]


@pytest.mark.parametrize("suffix", ["~old.20200101T000000Z", "~gone.20200101T000000Z"])
def test_a_working_key_is_not_deleted_for_what_somebody_named_it(front: Front, suffix: str) -> None:
    busy(front, f"production/api{suffix}")
    declare(front, "{}")
    assert {"protected", "protect-active"} <= rules(front)
    assert front("apply", "--auto-approve").code == 3
    assert front.names() == [f"production/api{suffix}"]


def test_what_is_named_so_and_dead_is_still_cleaned_up(front: Front) -> None:
    busy(front, "production/api~old.20200101T000000Z", is_enabled=False)
    declare(front, "{}")
    assert front("apply", "--auto-approve").code == 0
    assert front.names() == []


def test_the_protection_and_the_key_do_not_go_in_one_change(front: Front) -> None:
    busy(front, "production/api")
    declare(front, "{api: {credit_limit: 5}}")
    with open("old.yaml", "w", encoding="utf-8") as old:  # noqa: PTH123  # a file of the working folder
        old.write(FILE.format(keys="{api: {credit_limit: 5}}", more="{}", rails=PROTECTED))
    for keys in ("{}", f"{{api: {{credit_limit: 5, expires_at: {soon()}}}}}"):
        declare(front, keys, rails="deletion_grace: 7d")
        assert "protected" in rules(front, "--base", "old.yaml")


def test_what_is_allowed_is_named_in_the_plan_and_in_the_summary_of_apply(front: Front) -> None:
    busy(front, "production/api")
    declare(front, "{}")
    allow = ("--allow", "production/api")
    for output_format in ("text", "markdown", "github"):
        shown = front("plan", "--format", output_format, *allow).out
        first = shown.partition("DELETE")[0]
        assert "Lifted by --allow" in first
        assert "protected" in first
        assert "protect-active" in first
    lifted = front("plan", "--format", "json", *allow).document["lifted"]
    assert {each["rule"]: each["names"] for each in lifted} == {
        "protected": ["production/api"],
        "protect-active": ["production/api"],
    }
    done = front("apply", "--auto-approve", "--format", "json", *allow)
    assert (done.code, done.document["lifted"]) == (0, lifted)


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("unmanaged: report\n{}", "unmanaged: delete\n{}", "environment-dropped"),
        ("guardrails: {{protected: true}}\n{}", "unmanaged: delete\n{}", "environment-dropped"),
    ],
)
def test_a_protected_environment_is_not_dropped_where_the_next_plan_deletes_its_keys(
    front: Front, before: str, after: str, rule: str
) -> None:
    """A selection hides the deletions from the plan that drops it, and the next one has no base that protects them."""
    busy(front, "production/api")
    declare(front, "{api: {credit_limit: 5}}")
    text = Path("keys.yaml").read_text(encoding="utf-8")
    head, production, ci = re.split(r"(?m)^(?=  production:|  ci:)", text)
    if "guardrails" in before:
        text = text.replace("guardrails: {protect_active: 30d}\n", "").replace(f"    {PROTECTED}\n", "")
    Path("old.yaml").write_text(before.format(text), encoding="utf-8")
    front.write(after.format(head + ci))
    selected = ("--base", "old.yaml", "--only", "production/*")
    assert rules(front, *selected) == {rule}
    assert front("apply", "--auto-approve", *selected).code == 3
    assert rules(front, *selected, "--allow", "production/*") == set()
    assert production


@pytest.mark.parametrize("key", ["credit_limit: 5", "credit_limit: 5, protected: true"])
def test_a_protected_environment_does_not_move_to_another_account(front: Front, key: str) -> None:
    """There its keys would be created anew, and the old ones live on in nobody's care."""
    busy(front, "production/api")
    own = "protected" in key
    declare(front, f"{{api: {{{key}}}, b: {{credit_limit: 1}}}}", rails="deletion_grace: 7d" if own else PROTECTED)
    text = Path("keys.yaml").read_text(encoding="utf-8")
    Path("old.yaml").write_text(text, encoding="utf-8")
    front.write(text.replace("  production:\n", "  production:\n    provisioning_key_env: NAGA_OTHER\n"))
    refused = rules(front, "--base", "old.yaml")
    assert "account-changed" in refused
    assert refused - rules(front, "--base", "old.yaml", "--allow", "production/b") == set()
    allowed = ("production/api",) if own else ("production/*",)
    assert refused - rules(front, "--base", "old.yaml", "--allow", *allowed) == {"account-changed"}


@pytest.mark.parametrize(
    ("rails", "key", "found"),
    [
        ("guardrails: {max_credit_limit: 5}", "credit_limit: 9", "max-credit-limit"),
        ("guardrails: {require_limit: true}", "credit_limit: null", "require-limit"),
        ("guardrails: {require_rotation: true}", "credit_limit: 5", "require-rotation"),
        ("guardrails: {max_lifetime: 30d}", "credit_limit: 5", "max-lifetime"),
    ],
)
def test_what_guards_an_environment_goes_along_with_a_key_that_leaves_it(
    front: Front, rails: str, key: str, found: str
) -> None:
    busy(front, "production/api")
    declare(front, "{}", f"{{api: {{{key}, renamed_from: [production/api]}}, new: {{{key}}}}}", rails=rails)
    document = front("plan", "--format", "json").document
    assert [(each["rule"], each["address"]) for each in document["findings"] if each["severity"] == "error"] == [
        (found, "ci/api")
    ]
    assert rules(front, "--allow", "ci/api") == set()
