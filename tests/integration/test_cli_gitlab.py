"""What the commands leave for a merge request of GitLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.command import Front, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front.declare("{a: {credit_limit: 1}, b: {credit_limit: 2}, c: {credit_limit: 3}}")


def test_the_widget_gets_the_counts_and_the_log_the_plan(front: Front) -> None:
    planned = front("plan", "--format", "gitlab")
    assert (planned.code, planned.document) == (0, {"create": 3, "update": 0, "delete": 0})
    assert "ci/a" in planned.err
    assert front("apply", "--auto-approve").code == 0
    front.declare("{a: {credit_limit: 9}, c: {credit_limit: 3}, d: {credit_limit: 4}}")
    assert front("plan", "--format", "gitlab").document == {"create": 1, "update": 1, "delete": 1}


def test_a_file_that_is_wrong_has_no_counts(front: Front) -> None:
    planned = front.write("version: 1\n")("plan", "--format", "gitlab")
    assert (planned.code, planned.out) == (1, "")
