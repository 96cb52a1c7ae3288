"""Goal: get a change past a reviewer by the length of the plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.command import Front

COUNT = 400
FILE = """\
version: 1
destinations:
  gh: {{type: github-actions, repository: acme/api}}
  {more}
environments:
  ci:
    deliver: [{{to: gh, as: "K_{{KEY}}"}}]
    keys:
{keys}
"""


def write(front: Front, file: str, more: str = "", *extra: str) -> None:
    keys = [*(f"      k{number}: {{credit_limit: 1}}" for number in range(COUNT)), *extra]
    front.write(FILE.format(more=more, keys="\n".join(keys)))
    if file != "keys.yaml":
        Path("keys.yaml").rename(file)


@pytest.mark.parametrize("output_format", ["text", "markdown", "github"])
def test_one_new_place_among_hundreds_of_keys_stands_before_the_table(front: Front, output_format: str) -> None:
    write(front, "old.yaml")
    evil = "z: {credit_limit: null, deliver: [{to: other, as: Z}]}"
    write(front, "keys.yaml", "other: {type: github-actions, repository: mallory/repo}", f"      {evil}")
    shown = front("plan", "--base", "old.yaml", "--format", output_format)
    assert shown.code == 0
    head = shown.out[:1_500]
    gives = next(line for line in head.splitlines() if "Gives" in line)
    assert "mallory/repo" in gives
    assert "no limit" in gives
    assert "ci/z" in gives


def test_where_the_places_do_not_fit_a_comment_the_reviewer_is_told_so(front: Front) -> None:
    write(front, "old.yaml")
    long = "x" * 80
    write(front, "keys.yaml", f'other: {{type: vault, path: "{{key}}/{long}"}}')
    text = Path("keys.yaml").read_text().replace("to: gh", "to: other")
    front.write(text)
    shown = front("plan", "--base", "old.yaml", "--format", "markdown")
    assert "too many for this page" in shown.out[:1_000]
    assert len(shown.out) <= 60_000
    assert all(f"path k{number}/{long}" in front("plan", "--base", "old.yaml").out for number in (0, COUNT - 1))
