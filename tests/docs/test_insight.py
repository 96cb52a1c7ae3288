"""What the page on alerts shows is what the program does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reconciler.declaration import load
from reconciler.insight.alerts import AlertRule, standard_alerts
from support import pages
from support.builders import SOMEWHERE

PAGE = "docs/insight.md"
ACTIONLINT = Path(sys.executable).parent / "actionlint"


def test_the_usual_alerts_are_those_that_the_page_shows(tmp_path: Path) -> None:
    (block,) = (each for each in pages.blocks(pages.read(PAGE), "yaml") if each.startswith("version: 1\n\nalerts:"))
    (tmp_path / "keys.yaml").write_text(block, "utf-8")
    declared, usual = load(tmp_path / "keys.yaml").alerts, standard_alerts(SOMEWHERE)
    for rule in AlertRule:
        shown, judged = getattr(declared, rule.value), getattr(usual, rule.value)
        assert (shown and shown.value) == (judged and judged.value)


def test_every_alert_is_explained() -> None:
    text = pages.read(PAGE)
    assert [rule.value for rule in AlertRule if f"| `{rule.value}` |" not in text] == []


def test_the_workflow_for_alerts_is_a_sound_one(tmp_path: Path) -> None:
    (workflow,) = (each for each in pages.blocks(pages.read(PAGE), "yaml") if "reconciler check --notify" in each)
    file = tmp_path / ".github" / "workflows" / pages.file_name(workflow)
    file.parent.mkdir(parents=True)
    file.write_text(workflow, "utf-8")
    done = subprocess.run([ACTIONLINT, file], check=False, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "")
