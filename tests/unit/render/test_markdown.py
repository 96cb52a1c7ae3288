from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from reconciler.diagnostic import Severity
from reconciler.model import Usage
from reconciler.planning.actions import (
    ApplyResult,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Outcome,
    Status,
)
from reconciler.render.markdown import LIMIT, render_plan, render_result
from support.builders import address, declared, live
from support.gfm import Page
from support.plans import at, full_plan, full_result, plan, retire, update

if TYPE_CHECKING:
    from reconciler.planning.actions import Plan

DIGEST = "sha256:" + "5e" * 32
FOOTER = f"<sub>Digest: `{DIGEST}`</sub>\n"
CREATE = Create(declared("ci/tests", "25", source=at(9)))
UPDATE = update(declared("ci/api", "7"), live(12, "ci/api", "5"), Field.CREDIT_LIMIT)
ERROR = Finding("credit-budget", Severity.ERROR, "$675 is over the budget of $600", address("ci/tests"), at(3))
WARNING = Finding("expiring", Severity.WARNING, "soon")
NOTE = Finding("unmanaged", Severity.NOTE, "1 key is not declared")


def _render(value: Plan, limit: int = LIMIT) -> str:
    return render_plan(value, digest=DIGEST, limit=limit)


def _create(number: int) -> Create:
    return Create(declared(f"ci/new-{number:04}"))


def _delete(number: int) -> Delete:
    return Delete(address(f"ci/old-{number:04}"), live(number, f"ci/old-{number}"), DeleteReason.UNDECLARED, at(1))


def _error(number: int) -> Finding:
    return Finding("protected", Severity.ERROR, f"key {number} is protected", address(f"ci/old-{number}"))


# --- a plan -----------------------------------------------------------------------------------------------------------


def test_without_changes_a_comment_is_short() -> None:
    assert _render(plan(unchanged=4, unmanaged=(live(1, "x"),))) == (
        f"### No changes\n\nThe account matches the declaration: 4 keys, 1 unmanaged.\n\n{FOOTER}"
    )


def test_a_plan_is_a_summary_a_table_and_folded_details() -> None:
    value = plan(UPDATE, CREATE, credit=Credit(Decimal(5), Decimal(32), 0, 0), unchanged=2)

    assert _render(value) == (
        "### Plan: 1 to create, 1 to update\n"
        "\n"
        "**Takes:** nothing<br>\n"
        "**Gives:** creates 1 key (`$25` in all): `ci/tests` `$25`; raises 1 limit: `ci/api` `$5` → `$7`<br>\n"
        "**Secrets go to:** `dotenv`, path `.secrets/test.env` (1 secret)\n"
        "\n"
        "2 unchanged. Limits: `$5` → `$32` (`+$27`)\n"
        "\n"
        "| Change | Key | What changes |\n"
        "| --- | --- | --- |\n"
        "| `~` update | `ci/api` | credit_limit `$5` → `$7` |\n"
        "| `+` create | `ci/tests` | credit_limit `$25`"
        "<br>secret → `local` as `NAGA_CI_TESTS`: `dotenv`, path `.secrets/test.env` |\n"
        "\n"
        "<details>\n"
        "<summary>Details</summary>\n"
        "\n"
        "| Key | Details | Declared at |\n"
        "| --- | --- | --- |\n"
        "| `ci/api` |  | `keys.yaml:1` |\n"
        "| `ci/tests` |  | `keys.yaml:9` |\n"
        "\n"
        "</details>\n"
        "\n"
        f"{FOOTER}"
    )


def test_findings_stand_before_the_changes_and_errors_before_all() -> None:
    text = _render(plan(CREATE, findings=(NOTE, WARNING, ERROR)))

    assert text.index("❌ **This plan cannot be applied: 1 error.**") < text.index("Limits") < text.index("| Finding")
    assert text.index("| Finding") < text.index("| Change")
    assert Page(text).tables[0] == [
        ["Finding", "Key", "Message", "Rule"],
        ["❌ error", "ci/tests", "$675 is over the budget of $600", "credit-budget, keys.yaml:3"],
        ["⚠️ warning", "account", "soon", "expiring"],
        ["ℹ️ note", "account", "1 key is not declared", "unmanaged"],  # noqa: RUF001  # the sign for information
    ]


@pytest.mark.parametrize(("unchanged", "standing"), [(0, ""), (3, "3 unchanged\n\n")])
def test_an_error_takes_the_word_that_all_is_well_out_of_an_empty_plan(unchanged: int, standing: str) -> None:
    text = _render(plan(findings=(ERROR,), unchanged=unchanged))

    assert text.startswith(
        "### Nothing is planned until the errors are resolved\n\n"
        f"❌ **This plan cannot be applied: 1 error.**\n\n{standing}| Finding"
    )


@pytest.mark.parametrize(
    ("count", "warning"),
    [
        (1, "⚠️ **Deletes 1 key for good, its users lose access at once.**\n\n| Change |"),
        (2, "⚠️ **Deletes 2 keys for good, their users lose access at once.**\n\n| Change |"),
    ],
)
def test_deletions_are_said_before_the_table_too(count: int, warning: str) -> None:
    text = _render(plan(*(_delete(number) for number in range(count))))

    assert warning in text
    assert "| `-` **DELETE** | `ci/old-0000` | no longer declared |" in text


def test_every_kind_of_change_has_its_sign_and_its_word() -> None:
    _, changes, details = Page(_render(full_plan())).tables

    assert {row[0] for row in changes[1:]} == {
        "+ create",
        "~ update",
        "↻ renew",
        "→ rename",
        "± rotate",
        "± finish",
        "- retire",
        "+ restore",
        "- DELETE",
    }
    assert [row[1] for row in changes[1:]] == [row[0] for row in details[1:]]


def test_recent_use_has_a_column_where_it_is_known() -> None:
    text = _render(plan(UPDATE, CREATE, usage={12: Usage(30, Decimal("28.34"), 892)}))

    assert "| Change | Key | What changes | Recent use |\n| --- | --- | --- | --- |\n" in text
    assert "| `~` update | `ci/api` | credit_limit `$5` → `$7` | 892 requests, `$28.34` in 30 days |\n" in text
    assert "`dotenv`, path `.secrets/test.env` |  |\n" in text
    assert "Recent use" not in _render(plan(UPDATE))


# --- of limited length ------------------------------------------------------------------------------------------------


def test_a_huge_plan_stays_below_the_limit_and_counts_what_is_left_out() -> None:
    value = plan(*(_create(number) for number in range(5_000)), *(_delete(number) for number in range(5_000)))
    text = _render(value)
    page = Page(text)
    shown = [row[0] for row in page.tables[0][1:]]

    assert len(text) <= 60_000
    assert len(text) > 59_000, "as much is shown as fits"
    assert set(shown) == {"- DELETE"}
    assert f"… and {10_000 - len(shown):,} more changes: 5,000 to create, {5_000 - len(shown):,} to delete\n" in text
    assert len(page.tables[1]) == len(page.tables[0])
    assert "### Plan: 5,000 to create, 5,000 to delete\n" in text
    assert text.endswith(FOOTER)


def test_errors_and_deletions_are_kept_before_harmless_changes() -> None:
    creates = [_create(number) for number in range(50)]
    value = plan(*creates, _delete(1), retire("ci/z", live(2, "ci/z"), at(1)), findings=(NOTE, WARNING, _error(1)))
    shown: set[str] = set()

    for limit in range(1_500, 5_000, 25):
        text = _render(value, limit)
        assert len(text) <= limit
        now = {row[0] for table in Page(text).tables for row in table}
        shown = {each for each in ("❌ error", "- DELETE", "⚠️ warning", "- retire", "+ create") if each in now}
        order = ["❌ error", "- DELETE", "⚠️ warning", "- retire", "+ create"]
        assert shown == set(order[: len(shown)])
    assert len(shown) == 5


def test_changes_stay_in_the_order_of_the_plan_whatever_is_left_out() -> None:
    value = plan(*(action for number in range(60) for action in (_create(number), _delete(number))))
    names = [row[1] for row in Page(_render(value, 12_000)).tables[0][1:]]
    order = [str(action.address) for action in value.actions]

    assert names == sorted(names, key=order.index)
    assert sum(name.startswith("ci/old") for name in names) == 60
    assert 60 < len(names) < 120


def test_findings_that_are_left_out_are_counted_by_severity() -> None:
    findings = [_error(number) for number in range(1_500)] + [WARNING, WARNING]
    text = _render(plan(findings=tuple(findings)))
    left_out = 1_502 - len(Page(text).tables[0][1:])

    assert len(text) <= 60_000
    assert f"… and {left_out:,} more findings: {left_out - 2:,} errors, 2 warnings\n" in text


def test_one_enormous_thing_does_not_push_out_everything_else() -> None:
    enormous = Finding("duplicate", Severity.ERROR, "ids " + ", ".join(str(number) for number in range(20_000)))
    text = _render(plan(CREATE, findings=(enormous, ERROR)))

    assert "over the budget" in text
    assert "`ci/tests`" in text
    assert "… and 1 more finding: 1 error\n" in text


@pytest.mark.parametrize("limit", [0, 10, 60, 80, 200, 500, 1_000, 2_000])
def test_no_limit_is_too_small_to_be_kept(limit: int) -> None:
    text = _render(full_plan(), limit)
    whole = {line for line in text.splitlines() if not line.startswith(("… and", "❌ **What this plan gives"))}

    assert len(text) <= limit
    assert whole <= set(_render(full_plan()).splitlines()), "no line is cut"


def test_a_limit_below_the_frame_leaves_the_headline() -> None:
    assert _render(plan(CREATE), 30) == "### Plan: 1 to create\n"
    assert _render(plan(CREATE), 20) == ""


# --- a result ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ApplyResult((), remaining=plan()), "### Nothing to apply\n\nThe account matches the declaration.\n"),
        (
            ApplyResult((Outcome(CREATE, Status.DONE, key_id=57),), remaining=plan()),
            (
                "### Applied 1 change\n\nThe account matches the declaration.\n\n"
                "<details>\n<summary>Done</summary>\n\n"
                "| Result | Change | Key | Message |\n| --- | --- | --- | --- |\n"
                "| ✅ done | `+` create | `ci/tests` | id `57` |\n\n</details>\n"
            ),
        ),
        (
            ApplyResult((Outcome(UPDATE, Status.NOT_ATTEMPTED),), interrupted=True, remaining=plan(UPDATE)),
            (
                "### Applied 0 of 1 change: 1 not attempted\n\n"
                "⚠️ **The run was interrupted; the next apply goes on from here.**\n\n"
                "The account does not match the declaration yet: 1 to update.\n\n"
                "| Result | Change | Key | Message |\n| --- | --- | --- | --- |\n"
                "| ⚠️ not attempted | `~` update | `ci/api` |  |\n"
            ),
        ),
        (
            ApplyResult((Outcome(CREATE, Status.FAILED, "GET /account/keys: 503", 57),), note="@a\nis down"),
            (
                "### Applied 0 of 1 change: 1 failed\n\n"
                "The account was not read again: run `reconciler plan` to see whether it matches the declaration.\n\n"
                "Note: `@a\\nis` down\n\n"
                "| Result | Change | Key | Message |\n| --- | --- | --- | --- |\n"
                "| ❌ **failed** | `+` create | `ci/tests` | GET `/account/keys`: 503 |\n"
            ),
        ),
    ],
)
def test_a_result_says_what_was_done_and_how_the_account_compares(result: ApplyResult, text: str) -> None:
    assert render_result(result) == text


def test_failures_stand_first_and_what_is_done_is_folded() -> None:
    text = render_result(full_result())
    pending, done = Page(text).tables

    assert [row[0] for row in pending[1:]] == ["❌ failed"] * 2 + ["⚠️ not attempted"] * 3
    assert {row[0] for row in done[1:]} == {"✅ done"}
    assert text.index("❌") < text.index("<details>") < text.index("✅")


def test_a_huge_result_keeps_its_failures() -> None:
    statuses = [Status.DONE] * 3_000 + [Status.NOT_ATTEMPTED] * 10 + [Status.FAILED] * 20
    outcomes = tuple(Outcome(_create(number), status) for number, status in enumerate(statuses))
    text = render_result(ApplyResult(outcomes, remaining=plan()))
    pending, done = Page(text).tables

    assert len(text) <= 60_000
    assert len(pending) == 31
    assert f"… and {3_001 - len(done):,} more changes: {3_001 - len(done):,} done\n" in text
    assert len(render_result(ApplyResult(outcomes), limit=2_000)) <= 2_000


def test_what_is_left_out_of_a_result_is_counted_by_how_it_ended() -> None:
    outcomes = tuple(Outcome(_create(number), status) for status in Status for number in range(100))
    text = render_result(ApplyResult(outcomes, remaining=plan()), limit=3_000)
    found = re.search(r"… and (\d+) more changes: (\d+) failed, 100 not attempted, 100 done\n", text)

    assert found
    assert int(found[1]) == int(found[2]) + 200
    assert len(Page(text).tables[0]) - 1 == 100 - int(found[2])


def test_a_note_too_long_for_the_limit_leaves_the_headline() -> None:
    assert render_result(ApplyResult((), note="a" * 100), limit=100) == "### Nothing to apply\n"
