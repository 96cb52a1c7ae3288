"""The metrics and the example rules as Prometheus' own tool judges them.

Not part of `make test`, which asks for no Prometheus: `make promtool` runs it, and so does CI.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from reconciler.insight.metrics import gauges
from reconciler.insight.report import UnreadAccount
from reconciler.render.metrics import render_metrics
from support.packages import ROOT
from support.reviews import usual

EXAMPLES = ROOT / "docs/examples/metrics"


def promtool(*words: str, given: str = "") -> tuple[int, str]:
    command = [shutil.which("promtool") or "promtool", *words]
    done = subprocess.run(command, cwd=EXAMPLES, input=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_metrics_have_nothing_to_find_fault_with() -> None:
    text = render_metrics(gauges([UnreadAccount("NAGA_CI_KEY", (), "no answer"), usual()], version="1", most_keys=9))

    assert promtool("check", "metrics", given=text) == (0, "")
    assert promtool("check", "metrics", given=text.replace("# HELP naga_up ", "# "))[0] != 0


@pytest.mark.parametrize("words", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")])
def test_the_example_rules_hold(words: tuple[str, ...]) -> None:
    code, output = promtool(*words)

    assert code == 0, output
    assert "SUCCESS" in output
