from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.planning.actions import ApplyResult, Options, Outcome, Status
from reconciler.planning.planfile import plan_document, result_document
from reconciler.render import github, markdown
from reconciler.render.escape import to_json
from reconciler.render.text import render_plan, render_result
from support.builders import live
from support.plans import clock_plan, diagnostics_with, full_plan, full_result, plan, plan_with, result_with

FOLDER = Path(__file__).parent
UPDATE = "UPDATE_GOLDEN" in os.environ
DIGEST = "sha256:" + "5e" * 32
HOSTILE = "\x1b[2J\x07\r::error::a\nb\u202e\u200b\udce9##[group]|<b>`é漢 @a #1 %0A,"

FULL = full_plan()
EMPTY = plan(unchanged=4, unmanaged=(live(3, "demo"),))
CLOCK, DUE = clock_plan(Options()), clock_plan(Options(due=True))
NOTHING_DUE = clock_plan(Options(due=True, only=("ci/b*",)))
ALL_DUE_DONE = ApplyResult((Outcome(DUE.actions[0], Status.DONE, key_id=2),), remaining=NOTHING_DUE)
DONE = ApplyResult((Outcome(FULL.actions[1], Status.DONE, key_id=57),), remaining=EMPTY)

GOLDEN = {
    "plan.txt": render_plan(FULL, color=False),
    "plan-verbose.txt": render_plan(FULL, color=False, verbose=True),
    "plan-80-columns.txt": render_plan(FULL, color=False, width=80),
    "plan.ansi": render_plan(FULL, color=True),
    "plan.json": to_json(plan_document(FULL, DIGEST)),
    "plan.md": markdown.render_plan(FULL, digest=DIGEST),
    "plan-short.md": markdown.render_plan(FULL, digest=DIGEST, limit=2_000),
    "plan.github": github.annotate_plan(FULL),
    "empty.txt": render_plan(EMPTY, color=False),
    "empty.json": to_json(plan_document(EMPTY, DIGEST)),
    "empty.md": markdown.render_plan(EMPTY, digest=DIGEST),
    "empty.github": github.annotate_plan(EMPTY),
    "clock.txt": render_plan(CLOCK, color=False),
    "clock.json": to_json(plan_document(CLOCK, DIGEST)),
    "clock.md": markdown.render_plan(CLOCK, digest=DIGEST),
    "due.txt": render_plan(DUE, color=False),
    "due.md": markdown.render_plan(DUE, digest=DIGEST),
    "due-nothing.txt": render_plan(NOTHING_DUE, color=False) + render_result(ALL_DUE_DONE, color=False),
    "due-nothing.md": markdown.render_plan(NOTHING_DUE, digest=DIGEST) + markdown.render_result(ALL_DUE_DONE),
    "result.txt": render_result(full_result(), color=False, lifted=FULL.lifted),
    "result.ansi": render_result(full_result(), color=True),
    "result.json": to_json(result_document(full_result())),
    "result.md": markdown.render_result(full_result(), lifted=FULL.lifted),
    "result-done.txt": render_result(DONE, color=False),
    "result-done.md": markdown.render_result(DONE),
    "hostile.txt": render_plan(plan_with(HOSTILE), color=False, verbose=True)
    + render_result(result_with(HOSTILE), color=False),
    "hostile.json": to_json(plan_document(plan_with(HOSTILE), DIGEST)),
    "hostile.md": markdown.render_plan(plan_with(HOSTILE), digest=DIGEST)
    + markdown.render_result(result_with(HOSTILE)),
    "hostile.github": github.annotate_plan(plan_with(HOSTILE)) + github.render_diagnostics(diagnostics_with(HOSTILE)),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_rendering_is_the_one_that_was_reviewed(name: str) -> None:
    path = FOLDER / name
    if UPDATE:
        path.write_bytes(GOLDEN[name].encode())
    assert path.read_bytes().decode() == GOLDEN[name], "if this is intended: UPDATE_GOLDEN=1 pytest tests/golden"


def test_no_golden_file_is_left_over() -> None:
    present = {path.name for path in FOLDER.iterdir() if path.suffix in {".txt", ".ansi", ".json", ".github"}}
    present |= {path.name for path in FOLDER.glob("*.md") if path.name != "README.md"}

    assert present == set(GOLDEN)
